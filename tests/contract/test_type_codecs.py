"""Codecs of the application's own, for a session, for all of a pool's, and types that change."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, cast

import pytest

from pgproto import DataError, UndefinedObject
from pgproto.types import Range, TypeRegistry
from tests.contract.faces import Connect, Face, Session
from tests.contract.pools import make_pool
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


def shout(value: str) -> str:
    return value.upper()


async def test_a_builtin_type_with_statements_prepared_before(connect: Connect) -> None:
    sql = "select $1::numeric, array[$1::numeric]"
    async with connect() as session:
        statement = await session.prepare(sql)
        exact = Decimal("1.5")
        assert await session.fetchrow(sql, exact) == await statement.fetchrow(exact) == (exact, [exact])
        await session.set_type_codec("numeric", encoder=str, decoder=float)
        for row in (await session.fetch_one(sql, 1.5), await statement.fetch_one(1.5)):
            assert row == (1.5, [1.5])
            assert type(row[0]) is type(row[1][0]) is float
        async with session.transaction(), session.stream(sql, 2.5) as rows:
            assert [row async for row in rows] == [(2.5, [2.5])]
        async with session.pipeline() as pipeline:
            result = pipeline.fetchval(sql, 3.5)
        assert type(result.result()) is float
        await session.reset_type_codec("numeric")
        for value in (
            await session.fetchval(sql, Decimal("1.5")),
            await statement.fetchval(Decimal("1.5")),
        ):
            assert type(value) is Decimal


async def test_one_session_does_not_touch_another(connect: Connect) -> None:
    registry = TypeRegistry()
    registry.set_codec("bool", decoder=shout)
    async with connect(types=registry) as one, connect(types=registry) as other:
        assert await one.fetchval("select true") == "T"
        await one.set_type_codec("bool", decoder=str)
        assert await one.fetchval("select true") == "t"
        assert await other.fetchval("select true") == "T"
        registry.set_codec("bool", decoder=len)
        assert await other.fetchval("select true") == 1
        assert await one.fetchval("select true") == "t"
        await one.reset_type_codec(16)
        assert await one.fetchval("select true") is True


@pytest.mark.parametrize("name", ["int4", "integer", "pg_catalog.int4", 23])
async def test_names_of_a_type(connect: Connect, name: str | int) -> None:
    async with connect() as session:
        await session.set_type_codec(name, decoder=lambda data: data.hex(), format="binary")
        assert await session.fetchval("select $1::int4", 258) == "00000102"
        await session.reset_type_codec(name)
        assert await session.fetchval("select $1::int4", 258) == 258


@pytest.mark.parametrize(
    ("name", "schema"),
    [("no_such", None), ("int4", "public"), ("int4", "nowhere"), (4_000_000_000, None)],
)
async def test_types_that_do_not_exist(connect: Connect, name: str | int, schema: str | None) -> None:
    async with connect() as session:
        with pytest.raises(DataError, match="the database has no type"):
            await session.set_type_codec(name, schema=schema, decoder=str)
        with pytest.raises(DataError, match="the format is"):
            await session.set_type_codec("int4", decoder=str, format=cast("Any", "tuple"))
        assert await session.fetchval("select 1") == 1


async def test_types_of_the_database_outlive_being_made_anew(connect: Connect) -> None:
    sql = "select 'sad'::pg_temp.mood, array['sad'::pg_temp.mood], $1::pg_temp.mood::text"
    async with connect() as session:
        await session.execute("create type pg_temp.mood as enum ('sad')")
        assert await session.fetchrow(sql, "sad") == ("sad", ["sad"], "sad")
        schema = await session.fetchval("select nspname from pg_namespace where oid = pg_my_temp_schema()")
        await session.set_type_codec("mood", schema=schema, encoder=str.lower, decoder=shout)
        assert await session.fetchrow(sql, "SAD") == ("SAD", ["SAD"], "sad")
        await session.simple_query("drop type pg_temp.mood; create type pg_temp.mood as enum ('sad')")
        assert await session.fetchrow(sql, "SAD") == ("SAD", ["SAD"], "sad")
        await session.reset_type_codec("mood", schema=schema)
        assert await session.fetchrow(sql, "sad") == ("sad", ["sad"], "sad")


async def test_for_all_sessions_of_a_pool(face: Face, postgres: Server) -> None:
    registry = TypeRegistry()
    registry.set_codec("jsonb", decoder=lambda text: json.loads(text, parse_float=Decimal))
    async with make_pool(face, postgres.dsn, types=registry, max_size=2) as pool:
        assert await pool.fetchval("""select '{"a": 1.10}'::jsonb""") == {"a": Decimal("1.10")}
        async with pool.acquire() as one, pool.acquire() as other:
            for session in (one, other):
                assert str(await session.fetchval("select '1.10'::jsonb")) == "1.10"
            await one.set_type_codec("jsonb", decoder=str)
            assert await one.fetchval("select '1.10'::jsonb") == "1.10"
            assert await other.fetchval("select '1.10'::jsonb") == Decimal("1.10")


@pytest.fixture
async def defined(face: Face, postgres: Server) -> AsyncGenerator[dict[str, str | int], None]:
    """What one type of the database is called."""
    name = f"spot_{os.getpid()}_{face.name.replace('-', '_')}"
    async with face.connect(postgres.dsn) as session:
        await session.execute(f"create type {name} as (x int4, y int4)")
        number = await session.fetchval("select $1::text::regtype::oid", name)
        yield {"name": name, "qualified name": f"public.{name}", "OID": number}
        await session.execute(f"drop type {name}")


@pytest.mark.parametrize("where", ["a registry", "a registry of one session", "a pool", "a session"])
@pytest.mark.parametrize(
    ("by", "builtin"), [("name", "date"), ("qualified name", "pg_catalog.date"), ("OID", 1082)]
)
async def test_all_ways_to_register(
    face: Face, postgres: Server, where: str, by: str, builtin: str | int, defined: dict[str, str | int]
) -> None:
    """A function for one direction; the other is what it was. What is made of the types follows."""
    type, name = defined[by], defined["name"]

    def register(session: Session) -> object:
        return session.set_type_codec(type, decoder=shout)

    registry = TypeRegistry()
    registry.set_codec(builtin, decoder=lambda text: f"on {text}")
    if where.startswith("a registry"):
        registry.set_codec(type, decoder=shout)
    sql = f"select $1::date, daterange($1, $1, '[]'), $2::{name}, $3::{name}[]"
    arguments = (date(2000, 1, 1), (1, 2), [(3, None)])
    if where in ("a registry", "a pool"):
        hook = {"after_connect": register} if where == "a pool" else {}
        async with make_pool(face, postgres.dsn, max_size=1, types=registry, **hook) as pool:
            rows = [await pool.fetch_one(sql, *arguments) for _ in range(2)]
            async with pool.acquire() as lent:
                rows.append(await lent.fetch_one(sql, *arguments))
    else:
        async with face.connect(postgres.dsn, types=registry) as session:
            if where == "a session":
                await session.set_type_codec(type, decoder=shout)
            rows = [await session.fetch_one(sql, *arguments) for _ in range(2)]
    for row in rows:
        days = Range("on 2000-01-01", "on 2000-01-02")
        assert row == ("on 2000-01-01", days, "(1,2)", ["(3,)"])


async def test_codecs_of_a_borrower_end_when_the_session_goes_back(face: Face, postgres: Server) -> None:
    sql = "select true, 1.5"
    async with make_pool(face, postgres.dsn, max_size=1) as pool:
        for decoder, expected in ((shout, "T"), (len, 1)):
            async with pool.acquire() as session:
                # The statement is known to the session from the first round on.
                assert await session.fetchrow(sql) == (True, Decimal("1.5"))
                await session.set_type_codec("bool", decoder=decoder)
                assert await session.fetchrow(sql) == (expected, Decimal("1.5"))
            assert await pool.fetchrow(sql) == (True, Decimal("1.5"))


async def test_codecs_of_after_connect_stay(face: Face, postgres: Server) -> None:
    def prepare(session: Session) -> object:
        return session.set_type_codec("bool", decoder=shout)

    async with make_pool(face, postgres.dsn, max_size=1, after_connect=prepare) as pool:
        for _ in range(2):
            async with pool.acquire() as session:
                assert await session.fetchval("select true") == "T"
                await session.set_type_codec("bool", decoder=len)
                assert await session.fetchval("select true") == 1
            assert await pool.fetchval("select true") == "T"


async def test_arguments_of_dataclasses_enums_and_addresses(connect: Connect) -> None:
    @dataclass
    class Spot:
        x: int
        label: str | None

    class Colour(Enum):
        RED = "red"

    async with connect() as session:
        await session.execute("create type pg_temp.spot as (x int4, label text)")
        spot, address = Spot(5, None), IPv4Address("10.0.0.1")
        sql = "select $1::pg_temp.spot, $2::pg_temp.spot[], $3::text, $4::inet, $5::numeric"
        row = await session.fetchrow(sql, spot, [spot], Colour.RED, address, Decimal("1.10"))
        assert row == ((5, None), [(5, None)], "red", address, Decimal("1.10"))
        with pytest.raises(DataError, match=r"\$1: .*\(type\) as .*spot"):
            await session.fetchval("select $1::pg_temp.spot", Spot)


async def test_codecs_that_fail(connect: Connect) -> None:
    async with connect() as session:
        await session.set_type_codec("int4", encoder=lambda value: 1 / 0, decoder=lambda text: 1 / 0)
        with pytest.raises(DataError, match=r"\$2: cannot encode 2 \(int\) as int4.*ZeroDivisionError"):
            await session.execute("select $1::text, $2::int4", "x", 2)
        with pytest.raises(DataError, match=r"column 2: .*malformed int4.*ZeroDivisionError"):
            await session.fetch("select 'x', 5 from generate_series(1, 1000)")
        for number in range(10):
            assert await session.fetchval("select $1::int8", number) == number


# --- Types that change -------------------------------------------------------------------------------------


async def test_labels_are_added(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create type pg_temp.mood as enum ('sad')")
        assert await session.fetchval("select $1::pg_temp.mood", "sad") == "sad"
        await session.execute("alter type pg_temp.mood add value 'happy'")
        assert await session.fetchval("select $1::pg_temp.mood", "happy") == "happy"
        assert await session.fetchval("select array[$1::pg_temp.mood]", "happy") == ["happy"]


async def test_attributes_come_and_go(connect: Connect) -> None:
    to_server = "select ($1::pg_temp.spot).x"
    from_server = "select s, array[s] from spots s"
    async with connect() as session, connect() as other:
        await session.execute("create type pg_temp.spot as (x int4)")
        await session.execute("create temp table spots (x int4)")
        await session.execute("insert into spots values (1)")
        assert await session.fetchval(to_server, (5,)) == 5
        assert await session.fetchrow(from_server) == ((1,), [(1,)])
        await session.execute("alter type pg_temp.spot add attribute y text")
        await session.execute("alter table spots add y text default 'up'")
        assert await session.fetchval(to_server, (6, "up")) in (6, 5)
        assert await session.fetchval(to_server, {"x": 7, "y": None}) == 7
        await told_or_right(session, from_server, ((1, "up"), [(1, "up")]))
        await session.execute("alter type pg_temp.spot drop attribute x")
        await session.execute("alter table spots drop x")
        await told_or_right(session, from_server, (("up",), [("up",)]))
        assert await other.fetchval("select 1") == 1


async def told_or_right(session: Session, sql: str, expected: object) -> None:
    """The request that meets a type as it was not known may fail; the next one may not."""
    try:
        assert await session.fetchrow(sql) == expected
    except DataError:
        assert await session.fetchrow(sql) == expected


async def test_a_type_is_made_anew(connect: Connect) -> None:
    sql = "select $1::pg_temp.thing, array[$1::pg_temp.thing]"
    async with connect() as session:
        statement = None
        for definition, value in (("enum ('a')", "a"), ("(a int4, b text)", (1, "b")), ("(c bool)", (True,))):
            await session.execute("drop type if exists pg_temp.thing")
            await session.execute(f"create type pg_temp.thing as {definition}")
            if statement is None:
                statement = await session.prepare(sql)
            assert await session.fetchrow(sql, value) == (value, [value])
            assert await statement.fetchrow(value) == (value, [value])
        await session.execute("drop type pg_temp.thing")
        with pytest.raises(UndefinedObject):
            await session.fetchrow(sql, "a")
        assert await session.fetchval("select 1") == 1
