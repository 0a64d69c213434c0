"""What a caller does wrong is told to that caller, at once, and is nobody else's problem."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn, cast

import pytest

import pgproto_asyncio
from pgproto import ConfigError, DataError, PoolClosed, QueryTimeout
from tests.contract.faces import Connect, Face, Session
from tests.contract.pools import make_pool
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio

CHANNEL = f"misuse_{os.getpid()}"
"""Other processes use the same server, and would be heard."""


class Sentinel(Exception):
    """Nothing that a driver knows."""


def fail(*_: object) -> NoReturn:
    raise Sentinel


class BadText(str):
    """A text that cannot be encoded."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return fail()


class BadList(list[object]):
    """A list that cannot be read."""

    def __iter__(self) -> Iterator[object]:
        return fail()


class BadZone(datetime.tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, dt: datetime.datetime | None, /) -> datetime.timedelta:
        return fail()

    def dst(self, dt: datetime.datetime | None, /) -> datetime.timedelta:
        return fail()

    def tzname(self, dt: datetime.datetime | None, /) -> str:
        return fail()


class BadNumber(int):
    """A number that cannot be compared."""

    def __le__(self, other: object) -> bool:
        return fail()

    __ge__ = __le__


VALUES: dict[str, tuple[str, object]] = {
    "a text": ('"char"', BadText("x")),
    "a list": ("int4multirange", BadList([1])),
    "a time": ("timestamptz", datetime.datetime(2020, 1, 1, tzinfo=BadZone())),
    "a number": ("pg_lsn", BadNumber(5)),
    "a list for a composite type": ("pg_temp.pair", BadList([1, 2])),
}


async def stream(session: Session, sql: str, *arguments: object) -> None:
    async with session.stream(sql, *arguments) as rows:
        async for _ in rows:
            pass


async def pipeline(session: Session, sql: str, *arguments: object) -> None:
    async with session.pipeline() as group:
        result = group.fetchval(sql, *arguments)
    result.result()


async def prepared(session: Session, sql: str, *arguments: object) -> None:
    statement = await session.prepare(sql)
    try:
        await statement.fetch(*arguments)
    finally:
        await statement.close()


async def fetch(session: Session, sql: str, *arguments: object) -> None:
    await session.fetch(sql, *arguments)


VERBS: dict[str, Callable[..., Any]] = {
    "fetch": fetch,
    "stream": stream,
    "pipeline": pipeline,
    "prepare": prepared,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("value", VALUES)
async def test_a_value_whose_own_code_fails(verb: str, value: str, connect: Connect) -> None:
    """Whether the statement is known, or is introduced first."""
    type_name, bad = VALUES[value]
    sql = f"select $1::{type_name}"
    async with connect(command_timeout=20) as session:
        await session.execute("create type pg_temp.pair as (a int, b int)")
        for _ in range(2):
            with pytest.raises(DataError, match=r"parameter \$1") as caught:
                await VERBS[verb](session, sql, bad)
            causes: list[BaseException | None] = [caught.value]
            while causes[-1] is not None:
                causes.append(causes[-1].__cause__)
            assert any(type(cause) is Sentinel for cause in causes)
            assert await session.fetchval("select 1") == 1
            assert session.transaction_status == "I"


async def test_many_values_one_of_whose_own_code_fails(connect: Connect) -> None:
    async with connect(command_timeout=20) as session:
        await session.execute('create temp table t (a "char")')
        for _ in range(2):
            with pytest.raises((DataError, Sentinel)):
                await session.executemany("insert into t values ($1)", [("a",), (BadText("x"),)])
            with pytest.raises((DataError, Sentinel)):
                await session.copy_records_to_table("t", records=[("a",), (BadText("x"),)])
            with pytest.raises((DataError, Sentinel)):
                async with session.copy_in("copy t from stdin") as copy:
                    await copy.write_row((BadText("x"),))
        assert await session.fetchval("select count(*) from t") == 0


# --- executemany whose sets end, or fail, before there is a statement for them ------------------------------

TYPES = {"a built-in type": "int8", "a type of the database": "pg_temp.pair"}


@pytest.mark.parametrize("parameter", TYPES)
async def test_a_batch_of_nothing(parameter: str, connect: Connect) -> None:
    async with connect(command_timeout=20) as session:
        await session.execute("create type pg_temp.pair as (a int, b int)")
        assert await session.executemany(f"select $1::{TYPES[parameter]}", []) == 0
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("parameter", TYPES)
async def test_a_batch_whose_source_fails_at_once(parameter: str, connect: Connect) -> None:
    def sets() -> Iterator[tuple[int]]:
        yield from map(fail, [1])

    async with connect(command_timeout=20) as session:
        await session.execute("create type pg_temp.pair as (a int, b int)")
        with pytest.raises(Sentinel):
            await session.executemany(f"select $1::{TYPES[parameter]}", sets())
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("parameter", TYPES)
async def test_a_batch_of_nothing_that_waits_its_turn(parameter: str, connect: Connect, face: Face) -> None:
    async with connect(command_timeout=20) as session, face.tasks() as tasks:
        await session.execute("create type pg_temp.pair as (a int, b int)")
        sql = f"select $1::{TYPES[parameter]}"

        async def nothing() -> int:
            return await session.executemany(sql, [])

        slow = tasks.start(lambda: session.execute("select pg_sleep(0.1)"))
        batch = tasks.start(nothing)
        await slow.result()
        assert await batch.result() == 0
        assert await session.fetchval("select 1") == 1


# --- Deadlines ---------------------------------------------------------------------------------------------


async def copy_in(session: Session, timeout: Any) -> None:
    async with session.copy_in("copy t from stdin", timeout=timeout) as copy:
        await copy.write_row((1,))


async def copy_out(session: Session, timeout: Any) -> None:
    async with session.copy_out("copy t to stdout", timeout=timeout) as copy:
        async for _ in copy:
            pass


async def timed_pipeline(session: Session, timeout: Any) -> None:
    async with session.pipeline(timeout=timeout) as group:
        group.execute("select 1")


async def listen(session: Session, timeout: Any) -> None:
    async with session.listen(CHANNEL) as notifications:
        await session.execute(f"notify {CHANNEL}")
        while not notifications._listener.subscription.waiting:
            await session.ping()
        await notifications.get(timeout=timeout)


TIMED: dict[str, Callable[[Session, Any], Any]] = {
    "execute": lambda session, timeout: session.execute("select 1", timeout=timeout),
    "fetch": lambda session, timeout: session.fetch("select 1", timeout=timeout),
    "executemany": lambda session, timeout: session.executemany("select $1::int8", [(1,)], timeout=timeout),
    "simple_query": lambda session, timeout: session.simple_query("select 1", timeout=timeout),
    "prepare": lambda session, timeout: session.prepare("select 1", timeout=timeout),
    "ping": lambda session, timeout: session.ping(timeout=timeout),
    "pipeline": timed_pipeline,
    "copy_in": copy_in,
    "copy_out": copy_out,
    "copy_records": lambda session, timeout: session.copy_records_to_table(
        "t", records=[(1,)], timeout=timeout
    ),
    "listen": listen,
}


@pytest.mark.parametrize("verb", TIMED)
async def test_a_deadline_that_is_over_already(verb: str, connect: Connect) -> None:
    """The answer may be there before anybody looks; either way the next request gets its own."""
    async with connect(command_timeout=20, cancel_timeout=20) as session:
        await session.execute("create temp table t (a int)")
        for timeout in (0, -1, 1e-9, 1e-4, -math.inf):
            with suppress(QueryTimeout):
                await TIMED[verb](session, timeout)
            assert await session.fetchval("select $1::int8", 7) == 7
        assert session.transaction_status == "I"


async def test_a_deadline_for_what_does_not_come(connect: Connect) -> None:
    # A cancel request may arrive before what it is for; then that goes on to its end.
    async with connect(cancel_timeout=20) as session, session.listen(CHANNEL) as notifications:
        for timeout in (0, -1, 1e-9, -math.inf):
            with pytest.raises(QueryTimeout):
                await notifications.get(timeout=timeout)
            with pytest.raises(QueryTimeout):
                await session.execute("select pg_sleep(3)", timeout=timeout)
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("verb", TIMED)
async def test_a_deadline_that_is_far_away(verb: str, connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int)")
        # More milliseconds than an int32 holds, more seconds than a time_t, and more than a float.
        for timeout in (3e6, 1e10, 1e300, math.inf, 10**400):
            await TIMED[verb](session, timeout)
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("verb", TIMED)
async def test_a_deadline_that_is_none(verb: str, connect: Connect) -> None:
    async with connect(command_timeout=20) as session:
        await session.execute("create temp table t (a int)")
        with pytest.raises(DataError, match="NaN"):
            await TIMED[verb](session, math.nan)
        with pytest.raises(TypeError, match="seconds, not str"):
            await TIMED[verb](session, "5")
        assert await session.fetchval("select 1") == 1


BAD_DEADLINES: list[tuple[Any, type[Exception]]] = [(math.nan, DataError), ("5", TypeError)]


async def test_deadlines_of_sessions(face: Face, connect: Connect) -> None:
    async with connect(timeout=1e10) as session:
        await session.close(timeout=math.inf)
    for none in (0, -1):
        async with connect() as session:
            await session.close(timeout=none)
            assert session.is_closed
    for bad, error in BAD_DEADLINES:
        async with connect() as session:
            with pytest.raises(error, match="seconds"):
                await session.close(timeout=bad)
        with pytest.raises(error, match="seconds"):
            async with connect(timeout=bad):
                pytest.fail("it is connected")


async def test_deadlines_of_pools(face: Face, postgres: Server) -> None:
    async with make_pool(face, postgres.dsn, acquire_timeout=1e9, max_lifetime=1e9) as pool:
        async with pool.acquire(timeout=math.inf) as session:
            assert await session.fetchval("select 1") == 1
        for bad, error in BAD_DEADLINES:
            with pytest.raises(error, match="seconds"):
                async with pool.acquire(timeout=bad):
                    pytest.fail("it has a session")
            with pytest.raises(error, match="seconds"):
                await pool.close(timeout=bad)
        assert await pool.fetchval("select 1") == 1
        await pool.close(timeout=1e300)


async def test_a_pool_that_was_never_opened(face: Face, postgres: Server) -> None:
    if face.name == "trio":
        pytest.skip("a pool of trio has nothing but its block")
    pool = cast("pgproto_asyncio.Pool", make_pool(face, postgres.dsn))
    with pytest.raises(PoolClosed, match="not open yet"):
        await pool.fetchval("select 1")
    await pool.close()
    with pytest.raises(PoolClosed):
        await pool.open()


# --- Things of the wrong kind ------------------------------------------------------------------------------

NO_QUERY: dict[str, Callable[[Session, Any], Any]] = {
    "execute": lambda session, sql: session.execute(sql),
    "fetch": lambda session, sql: session.fetch(sql),
    "fetch_columns": lambda session, sql: session.fetch_columns(sql),
    "executemany": lambda session, sql: session.executemany(sql, [(1,)]),
    "simple_query": lambda session, sql: session.simple_query(sql),
    "prepare": lambda session, sql: session.prepare(sql),
    "stream": stream,
    "pipeline": pipeline,
    "copy_in": lambda session, sql: session.copy_in(sql).__aenter__(),
    "copy_out": lambda session, sql: session.copy_out(sql).__aenter__(),
}


@pytest.mark.parametrize("verb", NO_QUERY)
async def test_a_query_that_is_no_text(verb: str, connect: Connect) -> None:
    async with connect(command_timeout=20) as session:
        for sql in (None, 5, b"select 1", ["select 1"]):
            with pytest.raises(TypeError, match=f"a query is a str, not {type(sql).__name__}"):
                await NO_QUERY[verb](session, sql)
            assert await session.fetchval("select 1") == 1


async def test_other_things_of_the_wrong_kind(connect: Connect) -> None:
    anything: Any = 5
    async with connect(command_timeout=20) as session:
        with pytest.raises(DataError, match="isolation 5 does not exist"):
            session.transaction(isolation=anything)
        batches: list[Any] = [0, -1, 2**31, "5", None]
        for batch in batches:
            with pytest.raises(DataError, match="it has from 1 to"):
                session.stream("select 1", batch=batch)
        with pytest.raises(TypeError, match="a name is a str, not int"):
            session.listen(anything)
        with pytest.raises(TypeError, match="a handler is a function, not int"):
            session.add_notice_handler(anything)
        with pytest.raises(TypeError, match="the position of a column, not 'a'"):
            await session.fetchval("select 1 as a", column=cast("Any", "a"))
        assert await session.fetchval("select 1") == 1


WRONG: list[tuple[str, object, str]] = [
    *[(hook, 5, "int; it has to be a function") for hook in ("before_connect", "after_connect")],
    *[(hook, "x", "str; it has to be a function") for hook in ("before_acquire", "after_release")],
    ("before_close", {}, "dict; it has to be a function"),
    ("dsn", 5, "int; it has to be a string"),
    ("types", 5, "int; it has to be a pgproto.types.TypeRegistry"),
    ("reset", 5, "5; it has to be SQL"),
    ("cancel_timeout", "1", "'1'; it has to be a positive number of seconds"),
    ("multiplex", "8", "'8'; it has to be a whole number"),
    ("recycle", ["fast"], "['fast']; it has to be"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG, ids=[each[0] for each in WRONG])
async def test_a_pool_of_wrong_things(face: Face, name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_pool(face, **cast("Any", {"dsn": "", name: value}))
    assert f"{name} is " in str(raised.value)
    assert message in str(raised.value)


async def test_a_session_with_wrong_codecs(face: Face, postgres: Server) -> None:
    with pytest.raises(ConfigError, match="types is of type int; it has to be"):
        async with face.connect(postgres.dsn, types=5):
            ...
