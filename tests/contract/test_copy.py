# ruff: noqa: PT012 - what is in a block is what is tested
"""COPY in both directions: bytes and rows, all formats, and every way to stop in the middle."""

from __future__ import annotations

import datetime
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trustme

from pgproto import (
    BadCopyFileFormat,
    ConnectionLost,
    DataError,
    Error,
    InvalidTextRepresentation,
    LocalProtocolError,
    PostgresError,
    QueryCanceled,
    QueryTimeout,
    UndefinedColumn,
    UndefinedTable,
    UniqueViolation,
)
from tests.contract.faces import Connect, Face, Job, LoopFace, Session
from tests.contract.observer import Observer
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import Server, TLSFiles

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


@asynccontextmanager
async def table(
    connect: Connect, definition: str = "a int, b text, c float8, d date"
) -> AsyncGenerator[Session]:
    async with connect() as session:
        await session.execute(f"create temporary table t ({definition})")
        yield session


async def count(session: Session) -> object:
    return await session.fetchval("select count(*) from t")


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


async def test_a_hundred_megabytes(connect: Connect) -> None:
    await _many(connect, 8)


@pytest.mark.slow
async def test_really_a_hundred_megabytes(connect: Connect) -> None:
    await _many(connect, 100)


async def _many(connect: Connect, megabytes: int) -> None:
    line = b"x" * 1023 + b"\n"
    async with table(connect, "b text") as session:
        tracemalloc.start()
        try:
            async with session.copy_in("copy t from stdin") as copy:
                for _ in range(megabytes):
                    await copy.write(line * 1024)
            size = 0
            async with session.copy_out("copy t to stdout") as out:
                async for chunk in out:
                    size += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == megabytes * 1024 * 1024
        assert copy.row_count == out.row_count == megabytes * 1024
        assert peak < 8 * 1024 * 1024


async def test_leaving_a_copy_out_early(connect: Connect) -> None:
    async with connect(cancel_timeout=20) as session:
        sql = "copy (select repeat('x', 1000) from generate_series(1, 10000000)) to stdout"
        for _ in range(3):
            async with session.copy_out(sql) as out:
                async for _chunk in out:
                    break
            assert out.tag is None
            assert session.transaction_status == "I"
            assert await session.fetchval("select 1") == 1
        async with session.copy_out(sql):
            ...
        with pytest.raises(ZeroDivisionError):
            async with session.copy_out(sql) as out:
                async for _row in out.rows():
                    raise ZeroDivisionError
        assert await session.fetchval("select 2") == 2


async def test_others_wait_for_a_slow_reader(connect: Connect, face: Face) -> None:
    async with connect() as session, face.tasks() as tasks:
        numbers: list[int] = []

        async def other() -> None:
            numbers.append(await session.fetchval("select 7"))

        outside = tasks.start(_copy_slowly, session, face)
        await face.sleep(0.05)
        job = tasks.start(other)
        await job.result()
        assert await outside.result() == 20_000 * 1001
        assert numbers == [7]


async def _copy_slowly(session: Session, face: Face) -> int:
    size = 0
    sql = "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout"
    async with session.copy_out(sql) as out:
        async for chunk in out:
            if not size:
                await face.sleep(0.2)
            size += len(chunk)
    return size


async def test_in_a_transaction(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.transaction() as tx:
            async with tx.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"1\n2\n")
            assert await tx.copy_records_to_table("t", records=[(3,)], columns=["a"]) == 1
            async with session.copy_out("copy t (a) to stdout (format binary)") as out:
                found = [row async for row in out.rows()]
            assert found == [(1,), (2,), (3,)]
            # Leaving early does not break the transaction.
            async with tx.copy_out("copy (select generate_series(1, 100000)) to stdout") as out:
                async for _ in out:
                    break
            assert session.transaction_status == "T"
        assert await count(session) == 3
        with pytest.raises(ZeroDivisionError):
            async with session.transaction() as tx, tx.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"4\n")
                raise ZeroDivisionError
        assert session.transaction_status == "I"
        assert await count(session) == 3


async def test_a_savepoint_around_a_copy_that_fails(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.transaction() as tx:
            await tx.execute("insert into t values (1)")
            with pytest.raises(PostgresError):
                async with tx.transaction() as inner, inner.copy_in("copy t (a) from stdin") as copy:
                    await copy.write(b"nonsense\n")
        assert await count(session) == 1


async def test_others_wait(connect: Connect, face: Face) -> None:
    async with table(connect) as session, face.tasks() as tasks:
        job = tasks.start(session.fetchval, "select count(*) from t")
        assert await job.result() == 0

        async def copy_slowly() -> None:
            async with session.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"1\n")
                started.append(True)
                await face.sleep(0.05)
                await copy.write(b"2\n")

        started: list[bool] = []
        copying = tasks.start(copy_slowly)
        await face.until(lambda: bool(started))
        assert await session.fetchval("select count(*) from t") == 2
        await copying.result()


async def test_nothing_else_inside_of_the_block(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.copy_in("copy t (a) from stdin") as copy:
            await copy.write(b"1\n")
            with pytest.raises(LocalProtocolError, match="COPY is under way"):
                await session.execute("select 1")
            with pytest.raises(LocalProtocolError, match="COPY is under way"):
                async with session.transaction():
                    pytest.fail("it began")
        async with session.copy_out("copy t to stdout") as out:
            with pytest.raises(LocalProtocolError, match="COPY is under way"):
                await session.fetch("select 1")
            async for _ in out:
                ...
        assert await count(session) == 1


async def test_use_outside_of_the_block(connect: Connect) -> None:
    async with table(connect) as session:
        copy = session.copy_in("copy t (a) from stdin")
        with pytest.raises(LocalProtocolError):
            await copy.write(b"1\n")
        async with copy:
            ...
        with pytest.raises(LocalProtocolError):
            await copy.write_row((1,))
        out = session.copy_out("copy t to stdout")
        with pytest.raises(LocalProtocolError):
            async for _ in out:
                ...


async def test_copy_amid_many_queries(connect: Connect, face: Face) -> None:
    async with table(connect) as session, face.tasks() as tasks:

        async def bare() -> object:
            with pytest.raises(QueryCanceled, match="copy_in"):
                await session.execute("/*c*/ copy t from stdin")
            return "bare"

        async def whole() -> object:
            async with session.copy_in("/*c*/ copy t (a) from stdin") as copy:
                await copy.write(b"1\n")
            return "whole"

        jobs: list[Job[Any]] = []
        for number in range(50):
            jobs.append(tasks.start(session.fetchval, "select $1::int", number))
            if number % 20 == 10:
                jobs.append(tasks.start(bare))
                jobs.append(tasks.start(whole))
        results = [await job.result() for job in jobs]
        assert [each for each in results if isinstance(each, int)] == list(range(50))
        assert results.count("bare") == results.count("whole") == 2
        assert await count(session) == 2


async def test_cancelled_in_the_middle(connect: Connect, face: Face) -> None:
    if not isinstance(face, LoopFace):
        pytest.skip("threads are not cancelled")
    async with table(connect) as session:
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"1\n" * 100_000)
                await anyio.sleep(60)
        assert scope.cancelled_caught
        assert await count(session) == 0
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_in("copy t (a) from stdin") as copy:
                while True:
                    await copy.write(b"1\n" * 100_000)
        assert scope.cancelled_caught
        assert await count(session) == 0
        sql = "copy (select repeat('x', 1000) from generate_series(1, 10000000)) to stdout"
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_out(sql) as out:
                async for _ in out:
                    await anyio.sleep(0.01)
        assert scope.cancelled_caught
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_out("copy (select pg_sleep(60)) to stdout") as out:
                async for _ in out:
                    ...
        assert scope.cancelled_caught
        assert await session.fetchval("select 1") == 1


async def test_cancelled_before_it_begins(connect: Connect, face: Face, observer: Observer) -> None:
    if not isinstance(face, LoopFace):
        pytest.skip("threads are not cancelled")
    observer.execute("drop table if exists copied_later; create table copied_later (a int)")
    async with connect(cancel_timeout=20) as session, connect() as other:  # noqa: SIM117
        async with other.transaction() as tx:
            await tx.execute("lock table copied_later")
            with anyio.move_on_after(0.1) as scope:
                async with session.copy_in("copy copied_later from stdin"):
                    pytest.fail("it began")
            assert scope.cancelled_caught
            # It did not wait for the lock.
            assert await session.fetchval("select 1") == 1
    observer.execute("drop table copied_later")


async def test_timeouts(connect: Connect, face: Face) -> None:
    async with table(connect) as session:
        with pytest.raises(QueryTimeout):
            async with session.copy_in("copy t (a) from stdin", timeout=0.05) as copy:
                await copy.write(b"1\n")
                await face.sleep(0.1)
                while True:
                    await copy.write(b"1\n" * 100_000)
        # The server has digested what was taken back: only what is alone in flight is cancelled.
        await session.ping()
        with pytest.raises(QueryTimeout):
            async with session.copy_out("copy (select pg_sleep(60)) to stdout", timeout=0.05) as out:
                async for _ in out:
                    ...
        assert await count(session) == 0


async def test_the_connection_is_lost(connect: Connect, face: Face, observer: Observer) -> None:
    for finish in (True, False):
        async with table(connect) as session:
            with pytest.raises(Error) as caught:
                async with session.copy_in("copy t (a) from stdin") as copy:
                    await copy.write(b"1\n")
                    observer.terminate(session.backend_pid)
                    await face.until(lambda: observer.state(session.backend_pid) is None)
                    while not finish:
                        await copy.write(b"1\n" * 100_000)
            assert isinstance(caught.value, ConnectionLost)
            assert session.is_closed
    async with connect() as session:
        sql = "copy (select repeat('x', 1000) from generate_series(1, 10000000)) to stdout"
        with pytest.raises(ConnectionLost):
            async with session.copy_out(sql) as out:
                observer.terminate(session.backend_pid)
                async for _ in out:
                    ...


async def test_a_line_that_breaks(connect_through: Connect, proxy: FaultyProxy) -> None:
    async with connect_through() as session:
        await session.execute("create temporary table t (a int)")
        with pytest.raises(ConnectionLost) as caught:
            async with session.copy_in("copy t from stdin") as copy:
                proxy.fail("reset", after=1_000_000)
                while True:
                    await copy.write(b"1\n" * 100_000)
        assert caught.value.outcome == "not_committed"


async def test_over_tls(face: Face, own_postgres: Server) -> None:
    issued = trustme.CA().issue_cert("db.example")
    chain = b"".join([each.bytes() for each in issued.cert_chain_pems])
    own_postgres.set_tls(TLSFiles(chain, issued.private_key_pem.bytes()))
    async with face.connect(own_postgres.dsn_for("alice"), sslmode="require") as session:
        await session.execute("create temporary table t (a text)")
        async with session.copy_in("copy t from stdin") as copy:
            for _ in range(30):
                await copy.write((b"x" * 999 + b"\n") * 100)
        size = 0
        async with session.copy_out("copy t to stdout") as out:
            async for chunk in out:
                size += len(chunk)
        assert size == 3_000_000
