"""COPY in both directions: bytes and rows, all formats, and what goes wrong with them."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterator

import pytest

import pgproto_blocking
from pgproto import (
    BadCopyFileFormat,
    DataError,
    InvalidTextRepresentation,
    LocalProtocolError,
    PostgresError,
    UndefinedColumn,
    UndefinedTable,
    UniqueViolation,
)
from tests.contract.copying import count, table
from tests.contract.faces import Connect, Face, LoopFace
from tests.support.servers import Server

pytestmark = pytest.mark.anyio

ROWS = [
    (1, "plain", 1.5, datetime.date(2024, 2, 29)),
    (2, 'tab\there, line\nbreak, return\r, back\\slash, "quotes", \\N, \\.', -0.25, None),
    (3, "", float("inf"), datetime.date(1, 1, 1)),
    (4, None, None, None),
    (5, "\\.\n\\.\r\n,ß漢", 0.0, datetime.date(9999, 12, 31)),
]
COLUMNS = "(a, b, c, d)"
FORMATS = [
    "",
    "(format text, delimiter '|', null '-')",
    "(format text, null 'nil', delimiter '|')",
    "with delimiter as 'X' null as 'nothing'",
    "(format csv)",
    "(format csv, header, delimiter ';', quote '''', escape '\\', null 'plain')",
    "with csv header quote as '~'",
    "(format binary)",
    "with binary",
]


async def test_bytes(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.copy_in("copy t (a, b) from stdin") as copy:
            await copy.write(b"1\to")
            await copy.write(bytearray(b"ne\n2\t"))
            await copy.write(memoryview(b"xtwox")[1:-1])
            await copy.write("\n3\tdréi\n")
            await copy.write(b"")
            assert copy.byte_count == len("1\tone\n2\ttwo\n3\tdréi\n".encode())
            assert copy.row_count == 0
        assert copy.tag == "COPY 3"
        assert copy.row_count == 3
        data = b""
        async with session.copy_out("copy (select a, b from t order by a) to stdout") as out:
            async for chunk in out:
                data += chunk
        assert data == "1\tone\n2\ttwo\n3\tdréi\n".encode()
        assert (out.tag, out.row_count, out.byte_count) == ("COPY 3", 3, len(data))


@pytest.mark.parametrize("options", FORMATS)
async def test_rows_there_and_back(connect: Connect, options: str) -> None:
    async with table(connect) as session:
        async with session.copy_in(f"copy t {COLUMNS} from stdin {options}") as copy:
            await copy.write_row(ROWS[0])
            assert copy.row_count == 1
            await copy.write_rows(ROWS[1:])
        assert copy.row_count == len(ROWS)
        assert await session.fetch("select * from t order by a", row=tuple) == ROWS
        async with session.copy_out(f"copy t to stdout {options}") as out:
            found = [row async for row in out.rows()]
        if "binary" in options:
            assert found == ROWS
        else:
            texts = [(str(a), b, None if d is None else str(d)) for a, b, _, d in ROWS]
            assert [(a, b, d) for a, b, _, d in found] == texts
            assert [None if c is None else float(c) for _, _, c, _ in found] == [c for _, _, c, _ in ROWS]
        assert out.row_count == len(ROWS)


async def test_types_of_the_database(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("drop type if exists pg_temp.mood")
        await session.execute("create type pg_temp.mood as enum ('sad', 'happy')")
        await session.execute("create temporary table t (a pg_temp.mood[], b jsonb, c numeric, d int4range)")
        rows: list[tuple[object, ...]] = [
            (["sad", "happy"], {"x": [1, None]}, None, None),
            ([], [1], None, None),
        ]
        for options in ("", "(format csv)", "(format binary)"):
            await session.execute("truncate t")
            async with session.copy_in(f"copy t from stdin {options}") as copy:
                await copy.write_rows(rows)
            assert await session.fetch("select * from t", row=tuple) == rows


async def test_records(connect: Connect, face: Face) -> None:
    async with table(connect) as session:
        assert await session.copy_records_to_table("t", records=ROWS) == len(ROWS)
        assert await session.fetch("select * from t order by a", row=tuple) == ROWS
        assert await session.copy_records_to_table("t", records=iter([]), schema="pg_temp") == 0
        records = ((name, number) for number, name in enumerate(["x", "y"], 6))
        assert await session.copy_records_to_table("t", records=records, columns=["b", "a"]) == 2
        assert await session.fetchval("select b from t where a = 7") == "y"
        if isinstance(face, LoopFace):

            async def later() -> AsyncIterator[list[object]]:
                for number in range(8, 11):
                    await face.sleep(0)
                    yield [number]

            assert await session.copy_records_to_table("t", records=later(), columns=["a"]) == 3


async def test_names_are_taken_as_they_are(connect: Connect) -> None:
    async with connect() as session:
        await session.execute('create temporary table "T ""x""; drop" ("A b" int, "select" text)')
        records = [(1, "x")]
        columns = ["A b", "select"]
        assert await session.copy_records_to_table('T "x"; drop', records=records, columns=columns) == 1
        async with session.copy_in('copy "T ""x""; drop" ("select", "A b") from stdin csv') as copy:
            await copy.write_row(("y", 2))
        assert await session.fetch('select * from "T ""x""; drop"', row=tuple) == [(1, "x"), (2, "y")]
        with pytest.raises(DataError):
            await session.copy_records_to_table("", records=records)


async def test_generated_columns(connect: Connect) -> None:
    async with table(connect, "a int, b int generated always as (a + 1) stored") as session:
        with pytest.raises(DataError, match="name the columns"):
            await session.copy_records_to_table("t", records=[(1,)])
        assert await session.copy_records_to_table("t", records=[(1,)], columns=["a"]) == 1


async def test_an_exception_in_the_block(connect: Connect) -> None:
    async with table(connect) as session:
        for already in (0, 10, 300_000):
            with pytest.raises(ZeroDivisionError):
                async with session.copy_in("copy t (a) from stdin") as copy:
                    await copy.write(b"1\n" * already)
                    raise ZeroDivisionError
            assert session.transaction_status == "I"
            assert await count(session) == 0


async def test_an_exception_of_the_producer(connect: Connect) -> None:
    def records() -> Iterator[tuple[int]]:
        for number in range(20_000):
            yield (number,)
        raise ZeroDivisionError

    async with table(connect) as session:
        with pytest.raises(ZeroDivisionError):
            await session.copy_records_to_table("t", records=records(), columns=["a"])
        assert await count(session) == 0


async def test_values_that_do_not_fit(connect: Connect) -> None:
    async with table(connect) as session:
        for options in ("", "(format csv)", "(format binary)"):
            with pytest.raises(DataError, match=r"row 3, column 'a'.*'three'"):
                async with session.copy_in(f"copy t {COLUMNS} from stdin {options}") as copy:
                    await copy.write_rows([ROWS[0], ROWS[1], ("three", "x", 1.0, None)])
            with pytest.raises(DataError, match="row 2 has 3 values; the copy has 4 columns"):
                async with session.copy_in(f"copy t from stdin {options}") as copy:
                    await copy.write_row(ROWS[0])
                    await copy.write_row((1, 2, 3))
            for wrong in ("abcd", {"a": 1}, {1, 2, 3, 4}, 5):
                with pytest.raises(DataError, match="sequence of 4 values"):
                    async with session.copy_in(f"copy t from stdin {options}") as copy:
                        await copy.write_rows([wrong])
        assert await count(session) == 0


async def test_values_that_cannot_be_told_from_null(connect: Connect) -> None:
    async with table(connect) as session:
        with pytest.raises(DataError, match="row 1, column 'b': an empty string"):
            async with session.copy_in("copy t (b) from stdin (null '')") as copy:
                await copy.write_row(("",))
        async with session.copy_in("copy t (b) from stdin (format csv)") as copy:
            await copy.write_rows([("",), (None,)])
        async with session.copy_in("copy t (b) from stdin (null 'nil')") as copy:
            await copy.write_rows([("nil",), (None,)])
        assert await session.fetch("select b from t", row=tuple) == [("",), (None,), ("nil",), (None,)]


async def test_a_bad_row_may_be_left_out(connect: Connect) -> None:
    async with table(connect) as session:
        for options in ("", "(format binary)"):
            async with session.copy_in(f"copy t (a) from stdin {options}") as copy:
                for value in (1, "two", 3):
                    try:
                        await copy.write_row((value,))
                    except DataError:
                        assert value == "two"
            assert copy.row_count == 2
        assert await count(session) == 4


async def test_an_error_of_the_server_in_the_middle(connect: Connect) -> None:
    async with table(connect, "a int primary key") as session:
        written = 0
        with pytest.raises(InvalidTextRepresentation):
            async with session.copy_in("copy t from stdin") as copy:
                await copy.write(b"nonsense\n")
                while written < 100_000:
                    await copy.write(b"1\n" * 10_000)
                    written += 1
        assert written < 100_000
        with pytest.raises(UniqueViolation):
            await session.copy_records_to_table("t", records=[(1,), (1,)])
        with pytest.raises(BadCopyFileFormat):
            async with session.copy_in("copy t from stdin") as copy:
                await copy.write(b"1\t2\n")
        assert session.transaction_status == "I"
        assert await count(session) == 0


async def test_an_error_that_was_caught_comes_once(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.copy_in("copy t from stdin") as copy:
            with pytest.raises(PostgresError):
                while True:
                    await copy.write(b"nonsense\n" * 10_000)
            with pytest.raises(LocalProtocolError):
                await copy.write(b"1\n")
        assert await count(session) == 0


async def test_statements_that_are_refused(connect: Connect) -> None:
    async with table(connect) as session:
        for sql, error in (
            ("select 1", DataError),
            ("copy t to stdout", DataError),
            ("copy t from '/nowhere'", DataError),
            ("copy nothing from stdin", UndefinedTable),
            ("copy t (nothing) from stdin", UndefinedColumn),
            ("copy t from stdin; select 1", PostgresError),
            ("copy t frm stdin", PostgresError),
            ("copy t from stdin\0", DataError),
        ):
            with pytest.raises(error):
                async with session.copy_in(sql):
                    pytest.fail("it began")
        for sql, error in (
            ("select 1", DataError),
            ("copy t from stdin", DataError),
            ("copy nothing to stdout", UndefinedTable),
            ("copy nothing to stdout (format binary)", UndefinedTable),
            ("copy (select 1/0) to stdout", PostgresError),
        ):
            with pytest.raises(error):
                async with session.copy_out(sql) as out:
                    async for _ in out:
                        pytest.fail("it gave data")
        assert await count(session) == 0


async def test_an_error_of_the_copy_points_into_the_copy(connect: Connect) -> None:
    async with table(connect) as session:
        with pytest.raises(UndefinedTable) as caught:
            async with session.copy_in("copy   nothing from stdin"):
                pytest.fail("it began")
        assert caught.value.query == "copy   nothing from stdin"
        assert "SELECT" not in str(caught.value)


async def test_a_copy_whose_sql_is_not_understood(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.copy_in('copy t (a, U&"\\0062") from stdin') as copy:
            with pytest.raises(DataError, match="bytes can be copied"):
                await copy.write_row((1, "x"))
            await copy.write(b"1\tx\n")
        assert copy.row_count == 1


def test_interrupted_while_writing(postgres: Server) -> None:
    """Nobody knows what was written then; so nothing is kept, even if the block goes on."""

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise KeyboardInterrupt

    with pgproto_blocking.connect(postgres.dsn) as session:
        session.execute("create temp table t (a int)")
        with (
            pytest.raises(LocalProtocolError, match="given up, for writing to it was interrupted"),
            session.copy_in("copy t from stdin") as copy,
        ):
            with pytest.raises(KeyboardInterrupt):
                copy.write_rows(rows())
            with pytest.raises(LocalProtocolError, match="not open"):
                copy.write("2\n")
        assert session.fetchval("select count(*) from t") == 0
