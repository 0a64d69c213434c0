"""The verbs that ask: what they take and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from pgproto import CommandTag, DataError, NoRows, Record, SyntaxErrorOrAccessRuleViolation, TooManyRows
from pgproto.types import Range, Tid
from tests.contract.faces import Connect

pytestmark = pytest.mark.anyio

PEOPLE = "select * from (values (1, 'ann'), (2, 'bob'), (3, null)) as people (id, name) order by id"
NOBODY = "select 1 as id, 'x' as name where false"


@dataclass(frozen=True)
class Person:
    id: int
    name: str | None


class PersonTuple(NamedTuple):
    name: str | None
    id: int


# --- execute -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "tag", "command", "rows"),
    [
        ("select generate_series(1, 3)", "SELECT 3", "SELECT", 3),
        ("create temp table t (a int)", "CREATE TABLE", "CREATE TABLE", None),
        ("insert into t values (1), (2)", "INSERT 0 2", "INSERT", 2),
        ("update t set a = 3 where a = 1", "UPDATE 1", "UPDATE", 1),
        ("delete from t where a = 9", "DELETE 0", "DELETE", 0),
        ("set work_mem to '1MB'", "SET", "SET", None),
        ("create temp table u as select 1", "SELECT 1", "SELECT", 1),
        ("", "", "", None),
        ("-- nothing", "", "", None),
    ],
)
async def test_command_tags(connect: Connect, sql: str, tag: str, command: str, rows: int | None) -> None:
    async with connect() as session:
        await session.simple_query("create temp table if not exists t (a int); insert into t values (1)")
        if sql.startswith("create temp table t"):
            await session.execute("drop table t")
        if sql.startswith("insert"):
            await session.execute("truncate t")
        got = await session.execute(sql)
        assert isinstance(got, CommandTag)
        assert (got, got.command, got.rows) == (tag, command, rows)


async def test_execute_takes_arguments(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int, b text)")
        assert await session.execute("insert into t values ($1, $2)", 7, "seven") == "INSERT 0 1"
        assert await session.fetch("select * from t") == [(7, "seven")]


# --- fetch -------------------------------------------------------------------------------------------------


async def test_fetch(connect: Connect) -> None:
    async with connect() as session:
        rows = await session.fetch(PEOPLE)
        assert rows == [(1, "ann"), (2, "bob"), (3, None)]
        assert all(type(row).__mro__[1] is Record for row in rows)
        assert rows[0]["name"] == rows[0].name == rows[0][1] == "ann"
        assert rows[2].asdict() == {"id": 3, "name": None}
        assert await session.fetch(NOBODY) == []
        assert await session.fetch("create temp table t ()") == []
        assert await session.fetch("select from generate_series(1, 3)") == [(), (), ()]


async def test_a_known_statement_gives_the_same(connect: Connect) -> None:
    async with connect() as session:
        first = await session.fetch(PEOPLE)
        assert await session.fetch(PEOPLE) == first
        assert await session.fetch(PEOPLE, row=dict) == [row.asdict() for row in first]
        assert await session.execute(PEOPLE) == "SELECT 3"
        assert await session.fetchval(PEOPLE, column=1) == "ann"


def id_and_name(record: Record) -> str:
    return f"{record.id}:{record.name}"


_ROWS: list[tuple[Callable[..., object] | None, object, type[object]]] = [
    (None, (1, "ann"), Record),
    (Record, (1, "ann"), Record),
    (tuple, (1, "ann"), tuple),
    (dict, {"id": 1, "name": "ann"}, dict),
    (Person, Person(1, "ann"), Person),
    (PersonTuple, PersonTuple("ann", 1), PersonTuple),
    (id_and_name, "1:ann", str),
    (len, 2, int),
]


@pytest.mark.parametrize(("row", "ann", "kind"), _ROWS)
async def test_what_becomes_of_a_row(
    connect: Connect, row: Callable[..., object] | None, ann: object, kind: type[object]
) -> None:
    async with connect() as session:
        everyone: list[Any] = await session.fetch(PEOPLE, row=row)
        assert everyone[0] == ann
        assert isinstance(everyone[0], kind)
        assert len(everyone) == 3
        assert await session.fetchrow(PEOPLE, row=row) == ann
        assert await session.fetch_one(PEOPLE + " limit 1", row=row) == ann
        assert await session.fetch(NOBODY, row=row) == []
        assert await session.fetchrow(NOBODY, row=row) is None


async def test_a_row_that_cannot_be_made_harms_nobody(connect: Connect) -> None:
    def refuse(record: Record) -> None:
        raise ZeroDivisionError(record.id)

    async with connect() as session:
        with pytest.raises(ZeroDivisionError, match="1"):
            await session.fetch(PEOPLE, row=refuse)
        with pytest.raises(DataError, match="Person"):
            await session.fetch("select 1 as id, 'x' as surname", row=Person)
        with pytest.raises(TypeError):
            await session.fetch(PEOPLE, row=3)  # type: ignore[call-overload]
        assert await session.fetch(PEOPLE, row=Person) == [
            Person(1, "ann"),
            Person(2, "bob"),
            Person(3, None),
        ]


async def test_fetchrow(connect: Connect) -> None:
    async with connect() as session:
        assert await session.fetchrow(PEOPLE) == (1, "ann")
        assert await session.fetchrow(NOBODY) is None
        assert await session.fetchrow("create temp table t ()") is None
        # The statement runs to its end, whatever is dropped of its rows.
        await session.execute("create temp sequence s")
        await session.fetchrow("select nextval('s') from generate_series(1, 1000)")
        assert await session.fetchval("select last_value from s") == 1000


async def test_fetch_one(connect: Connect) -> None:
    async with connect() as session:
        assert await session.fetch_one(PEOPLE + " limit 1") == (1, "ann")
        with pytest.raises(NoRows):
            await session.fetch_one(NOBODY)
        with pytest.raises(TooManyRows):
            await session.fetch_one(PEOPLE)
        with pytest.raises(NoRows):
            await session.fetch_one("create temp table t ()")
        assert await session.fetch_one("select 1") == (1,)


async def test_fetchval(connect: Connect) -> None:
    async with connect() as session:
        assert await session.fetchval(PEOPLE) == 1
        assert await session.fetchval(PEOPLE, column=1) == "ann"
        assert await session.fetchval(PEOPLE, column=-1) == "ann"
        assert await session.fetchval("select null::int") is None
        assert await session.fetchval(NOBODY) is None
        with pytest.raises(DataError, match="2"):
            await session.fetchval(PEOPLE, column=2)
        assert await session.fetchval(PEOPLE) == 1


# --- arguments ---------------------------------------------------------------------------------------------


async def test_arguments_are_values_and_nothing_else(connect: Connect) -> None:
    nasty = ["'; drop table t; --", "\\", '"', "$1", "%s", "🐘", "\x01\x7f", "", " ", "null", "\r\n\t"]
    async with connect() as session:
        for text in nasty:
            assert await session.fetchval("select $1::text", text) == text
        assert await session.fetchval("select $1::text[]", nasty) == nasty
        assert await session.fetchval("select $1::text", None) is None
        assert await session.fetchrow("select $2::int, $1::text, $2", "b", 1) == (1, "b", 1)


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3)])
async def test_the_wrong_number_of_arguments(connect: Connect, arguments: tuple[int, ...]) -> None:
    sql = "select $1::int + $2::int"
    async with connect() as session:
        # Whether the statement is known already or not.
        for _ in range(2):
            with pytest.raises(DataError, match=f"2 parameters; {len(arguments)} arg"):
                await session.fetchval(sql, *arguments)
        assert await session.fetchval(sql, 1, 2) == 3
        with pytest.raises(DataError, match="2 parameters"):
            await session.fetchval(sql, *arguments)
        assert await session.fetchval(sql, 1, 2) == 3


async def test_an_argument_of_the_wrong_type_fails_alone(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(DataError, match=r"\$2"):
            await session.fetchval("select $1::int + $2::int", 1, "two")
        with pytest.raises(DataError, match=r"\$1"):
            await session.fetchval("select $1::int + $2::int", 2**40, 2)
        with pytest.raises(DataError):
            await session.fetchval("select $1::text", "a\0b")
        with pytest.raises(DataError):
            await session.fetchval("select $1::text", "\ud800")
        assert await session.fetchval("select $1::int + $2::int", 1, 2) == 3
        assert session.transaction_status == "I"


async def test_tuples_stand_for_ranges_and_tids(connect: Connect) -> None:
    async with connect() as session:
        sql = "select $1::int4range, $2::tstzrange, $3::int4range[], $4::tid, $5::tid[]"
        noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
        sent = (1, 5), (noon, None), [(1, 2), None], (7, 1), [(7, 1), (0, 2)]
        for _ in range(2):
            assert tuple(await session.fetch_one(sql, *sent)) == (
                Range(1, 5),
                Range(noon, None),
                [Range(1, 2), None],
                Tid(7, 1),
                [Tid(7, 1), Tid(0, 2)],
            )
        with pytest.raises(DataError, match=r"\$1: .* as int4range: it takes a Range, or a tuple"):
            await session.fetchval("select $1::int4range", (1, 5, "[)"))


async def test_truth_as_numpy_has_it(connect: Connect) -> None:
    numpy: Any = pytest.importorskip("numpy")
    async with connect() as session:
        yes, no = numpy.array([1, 0]) == 1
        for _ in range(2):
            row = await session.fetch_one("select $1::bool, $2::bool, $3::bool[]", yes, no, [yes, None, no])
            assert tuple(row) == (True, False, [True, None, False])
        await session.execute("create temp table flags (flag bool)")
        assert await session.executemany("insert into flags values ($1)", [(yes,), (no,), (True,)]) == 3
        assert await session.copy_records_to_table("flags", records=[(yes,)]) == 1
        assert await session.fetchval("select count(*) from flags where flag") == 3


@pytest.mark.parametrize("sql", ["select '\0b'", "select '\ud800'"])
async def test_sql_that_cannot_be_sent(connect: Connect, sql: str) -> None:
    async with connect() as session:
        for attempt in (session.execute, session.fetch, session.simple_query, session.prepare):
            with pytest.raises(DataError, match="position 9"):
                await attempt(sql)
        assert await session.fetchval("select 1") == 1


async def test_as_many_parameters_as_the_protocol_has(connect: Connect) -> None:
    most = 65_535
    sql = "select " + " + ".join([f"${number}::int8" for number in range(1, 101)])
    many = f"select ${most}::int, cardinality(array[{','.join([f'${n}::int2' for n in range(1, most)])}])"
    async with connect() as session:
        assert await session.fetchval(sql, *range(100)) == sum(range(100))
        assert await session.fetchrow(many, *[1] * (most - 1), 7) == (7, most - 1)
        too_many = [1] * (most + 1)
        with pytest.raises(DataError, match="65536 arguments"):
            await session.fetchval(many.replace("select", f"select ${most + 1}::int2,"), *too_many)
        with pytest.raises(DataError, match="65536 arguments"):
            await session.fetchval(many, *too_many)
        with pytest.raises(DataError, match="65536 arguments"):
            async with session.stream(many + " as cursor", *too_many):
                pytest.fail("it began")
        assert await session.fetchval("select 1") == 1


async def test_large_values(connect: Connect) -> None:
    text = "ä" * 3_000_000
    async with connect() as session:
        assert await session.fetchval("select length($1::text)", text) == len(text)
        assert await session.fetchval("select $1::text", text) == text
        assert await session.fetchval("select repeat('x', 50000000)") == "x" * 50_000_000


async def test_wide_rows(connect: Connect) -> None:
    columns = 1600
    sql = "select " + ", ".join([f"{n} as c{n}" for n in range(columns)])
    async with connect() as session:
        row = await session.fetch_one(sql)
        assert row == tuple(range(columns))
        assert row.c1599 == 1599


async def test_many_rows(connect: Connect) -> None:
    async with connect() as session:
        rows = await session.fetch("select n, n::text, n / 2.0::float8 from generate_series(1, 50000) as n")
        assert len(rows) == 50_000
        assert rows[-1] == (50_000, "50000", 25_000.0)
        assert rows == [(n, str(n), n / 2) for n in range(1, 50_001)]


async def test_columns_of_the_same_name(connect: Connect) -> None:
    async with connect() as session:
        assert await session.fetchrow("select 1 as a, 2 as a") == (1, 2)
        assert await session.fetchrow("select 1, 2", row=tuple) == (1, 2)


async def test_types_that_nobody_knows_come_as_text(connect: Connect) -> None:
    async with connect() as session:
        await session.simple_query("create type pg_temp.mood as enum ('sad', 'ok')")
        assert await session.fetchval("select 'ok'::pg_temp.mood") == "ok"
        assert await session.fetchval("select $1::pg_temp.mood", "sad") == "sad"
        assert await session.fetchval("select array['ok', 'sad']::pg_temp.mood[]") == ["ok", "sad"]
        assert await session.fetchval("select 'a <-> b'::tsquery") == "'a' <-> 'b'"
        assert await session.fetchval("select pg_node_tree from (select null::pg_node_tree) as x") is None


# --- simple queries ----------------------------------------------------------------------------------------


async def test_a_simple_query_of_several_statements(connect: Connect) -> None:
    async with connect() as session:
        results = await session.simple_query(
            "create temp table t (a int); insert into t values (1), (2);"
            "select a, null as b from t; select 'x';"
        )
        assert [result.tag for result in results] == ["CREATE TABLE", "INSERT 0 2", "SELECT 2", "SELECT 1"]
        assert [result.tag.rows for result in results] == [None, 2, 2, 1]
        assert [result.rows for result in results] == [[], [], [("1", None), ("2", None)], [("x",)]]
        assert results[2].rows[1]["a"] == "2"


@pytest.mark.parametrize("sql", ["", " ; ", "-- nothing"])
async def test_a_simple_query_of_nothing(connect: Connect, sql: str) -> None:
    async with connect() as session:
        results = await session.simple_query(sql)
        assert [result.rows for result in results] == [[]] * len(results)


async def test_a_simple_query_is_one_transaction(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int)")
        with pytest.raises(SyntaxErrorOrAccessRuleViolation) as caught:
            await session.simple_query("insert into t values (1); select * from nowhere; select 1")
        assert "statement 2" in "".join(caught.value.__notes__)
        assert await session.fetch("select * from t") == []


async def test_a_simple_query_can_hold_a_transaction(connect: Connect) -> None:
    async with connect() as session:
        results = await session.simple_query("begin; select 1; commit")
        assert [result.tag for result in results] == ["BEGIN", "SELECT 1", "COMMIT"]
        assert session.transaction_status == "I"


async def test_ping(connect: Connect) -> None:
    async with connect() as session:
        await session.ping()
        await session.ping(timeout=30)
