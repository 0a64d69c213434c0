"""Many callers on one session: each gets its own answer, and nobody waits for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from pgproto import DivisionByZero, Error
from tests.contract.faces import LOOPS, SWIFT, Connect, Face, Job, Session
from tests.support.faulty_proxy import FaultyProxy

pytestmark = pytest.mark.anyio

CALLERS = 64
QUERIES = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 50


async def ask(session: Session, caller: int, queries: int) -> int:
    """Ask for one's own number again and again; every seventh time the server fails."""
    failures = 0
    for query in range(queries):
        token = caller * 1_000_000 + query
        divisor = 0 if (caller + query) % 7 == 0 else 1
        try:
            answer = await session.fetchrow("select $1::int8 / $2::int8, $1::text", token, divisor)
        except DivisionByZero:
            failures += 1
            assert divisor == 0
        else:
            assert answer == (token, str(token))
    return failures


@pytest.mark.parametrize("face", SWIFT, indirect=True)
async def test_nobody_gets_anothers_answer(
    connect: Connect, face: Face, record_property: Callable[[str, object], None]
) -> None:
    async with connect() as session:
        callers = [partial(ask, session, caller, QUERIES) for caller in range(CALLERS)]
        started = time.perf_counter()
        failures = await face.gather(callers)
        record_property("queries per second", CALLERS * QUERIES / (time.perf_counter() - started))
        expected = [sum((caller + query) % 7 == 0 for query in range(QUERIES)) for caller in range(CALLERS)]
        assert failures == expected
        assert session.transaction_status == "I"


async def test_statements_nobody_has_seen_before(connect: Connect, face: Face) -> None:
    # Each caller introduces a statement of its own, while the others do.
    async def introduce(session: Session, caller: int) -> None:
        for query in range(10):
            token = caller * 100 + query
            if token % 7 == 0:
                with pytest.raises(Error):
                    await session.fetchval(f"select {token} from nowhere")
            else:
                assert await session.fetchval(f"select {token} + $1::int", 1) == token + 1

    async with connect(statement_cache_size=5) as session:
        await face.gather([partial(introduce, session, caller) for caller in range(32)])
        left = await session.fetchval("select count(*) from pg_prepared_statements")
        assert left <= 5 + 1


async def test_all_kinds_of_requests_beside_each_other(connect: Connect, face: Face) -> None:
    async def fetches(session: Session, token: int) -> None:
        assert await session.fetch("select $1::int, g from generate_series(1, 3) as g", token) == [
            (token, 1),
            (token, 2),
            (token, 3),
        ]

    async def asks_simply(session: Session, token: int) -> None:
        (first, second) = await session.simple_query(f"select {token}; select {token + 1}")
        assert (first.rows, second.rows) == ([(str(token),)], [(str(token + 1),)])

    async def transacts(session: Session, token: int) -> None:
        async with session.transaction() as transaction:
            await transaction.execute("insert into t values ($1)", token)
            assert await transaction.fetchval("select count(*) from t where a = $1", token) == 1
            assert session.transaction_status == "T"

    async def repeats(session: Session, token: int) -> None:
        assert await session.executemany("insert into u values ($1)", [(token,)] * 5) == 5

    async def streams(session: Session, token: int) -> None:
        sql = "select $1::int + g from generate_series(1, 20) as g"
        async with session.stream(sql, token, batch=7) as rows:
            assert [row[0] async for row in rows] == [token + g for g in range(1, 21)]

    async def pipelines(session: Session, token: int) -> None:
        async with session.pipeline() as pipeline:
            first = pipeline.fetchval("select $1::int", token)
            second = pipeline.fetchval("select $1::int + 1", token)
        assert (first.result(), second.result()) == (token, token + 1)

    async def pings(session: Session, token: int) -> None:
        await session.ping()

    async def fails(session: Session, token: int) -> None:
        with pytest.raises(DivisionByZero):
            await session.execute("select $1::int / 0", token)

    kinds = [fetches, asks_simply, transacts, repeats, streams, pipelines, pings, fails]

    async def caller(session: Session, number: int) -> None:
        for step in range(len(kinds)):
            await kinds[(number + step) % len(kinds)](session, number * 100 + step)

    async with connect() as session:
        await session.simple_query("create temp table t (a int primary key); create temp table u (a int)")
        await face.gather([partial(caller, session, number) for number in range(24)])
        assert await session.fetchval("select count(*) from t") == 24
        assert await session.fetchval("select count(*) from u") == 24 * 5
        assert session.transaction_status == "I"


@pytest.mark.parametrize("face", SWIFT, indirect=True)
async def test_both_buffers_full(connect: Connect, face: Face) -> None:
    # 10 MB to the server, 40 MB back: whoever only writes, or only reads, is stuck before long.
    callers, each = 100, 200
    answer = "y" * 1500
    sql = "select $1::text, repeat('y', $2::int)"

    async def caller(session: Session, number: int) -> None:
        for query in range(each):
            question = f"{number}-{query}-".ljust(500, "x")
            got = await session.fetchrow(sql, question, len(answer))
            assert got == (question, answer)

    async with connect() as session:
        await face.gather([partial(caller, session, number) for number in range(callers)])


@pytest.mark.parametrize("face", SWIFT, indirect=True)
async def test_a_pipeline_longer_than_all_buffers(connect: Connect, face: Face) -> None:
    # One group that is written without a pause, while its answers come in.
    async with connect() as session:
        sql, text = "select $1::int, $2::text", "x" * 500
        async with session.pipeline() as pipeline:
            results: list[Any] = [pipeline.fetchrow(sql, number, text) for number in range(20_000)]
        assert [result.result() for result in results] == [(number, text) for number in range(20_000)]


@pytest.mark.parametrize("face", SWIFT, indirect=True)
async def test_large_requests_and_large_answers(connect: Connect, face: Face) -> None:
    async def caller(session: Session, number: int) -> None:
        value = bytes([number]) * 10_000_000
        assert await session.fetchval("select $1::bytea || $1::bytea", value) == value + value

    async with connect() as session:
        await face.gather([partial(caller, session, number) for number in range(4)])


async def test_requests_travel_together(connect_through: Connect, face: Face, proxy: FaultyProxy) -> None:
    # A hundred answers take a few round trips, not a hundred.
    async with connect_through() as session:
        assert await session.fetchval("select $1::int", 0) == 0
        proxy.delay = 0.05
        async with connect_through() as distant:
            assert await distant.fetchval("select $1::int", 0) == 0
            started = time.monotonic()
            answers = await face.gather([partial(distant.fetchval, "select $1::int", n) for n in range(100)])
            took = time.monotonic() - started
        assert answers == list(range(100))
        # Far fewer even on a machine that is busy with something else.
        assert took < 50 * 2 * proxy.delay


@pytest.mark.parametrize("face", LOOPS, indirect=True)
async def test_the_order_of_asking_is_the_order_of_answering(connect: Connect, face: Face) -> None:
    ask = "select nextval('s') - 1 from (select $1::int) as number"
    async with connect() as session:
        await session.execute("create temp sequence s minvalue 0")
        await session.fetchval(ask, 0)
        async with face.tasks() as tasks:
            jobs: list[Job[Any]] = []
            for number in range(20):
                jobs.append(tasks.start(session.fetchval, ask, number))
                # Trio starts those that are started together in no particular order.
                await face.sleep(0)
            answers = [await job.result() for job in jobs]
        assert answers == list(range(20))


async def test_many_sessions(connect: Connect, face: Face) -> None:
    async def one(number: int) -> int:
        async with connect() as session:
            return int(await session.fetchval("select $1::int", number))

    functions: list[Callable[[], Coroutine[Any, Any, int]]] = [partial(one, number) for number in range(20)]
    assert await face.gather(functions) == list(range(20))


async def test_whoever_waits_behind_a_lease_is_served_when_it_ends(connect: Connect, face: Face) -> None:
    order: list[str] = []
    waiting: list[str] = []

    async def holder(session: Session) -> None:
        async with session.transaction():
            await face.until(lambda: len(waiting) == 3)
            for _ in range(20):
                await session.execute("select 1")
            assert order == []
            order.append("holder")

    async def outsider(session: Session, name: str) -> None:
        await face.until(lambda: session.transaction_status == "T")
        waiting.append(name)
        await session.execute("select 1")
        order.append(name)

    async with connect() as session:
        functions = [partial(holder, session), *[partial(outsider, session, name) for name in "abc"]]
        await face.gather(functions)
    assert order[0] == "holder"
    assert sorted(order[1:]) == ["a", "b", "c"]
