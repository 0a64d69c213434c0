"""Callers that give up: deadlines, cancellation, silent servers, lost connections."""

from __future__ import annotations

import random
import time

import anyio
import pytest

from pgproto import ConnectionLost, QueryCanceled, QueryTimeout
from tests.contract.faces import SWIFT, Connect, Face, in_flight
from tests.contract.observer import Observer
from tests.support.faulty_proxy import FaultyProxy

__all__: list[str] = []

pytestmark = pytest.mark.anyio

LONG = pytest.mark.timeout(600)
SLACK = 20.0
"""For a machine that is busy; without a deadline it would be minutes."""


# --- Deadlines ---------------------------------------------------------------------------------------------


async def test_a_query_past_its_deadline_ends_here_and_there(connect: Connect, observer: Observer) -> None:
    async with connect() as session:
        started = time.monotonic()
        with pytest.raises(QueryTimeout) as info:
            await session.fetch("select pg_sleep(60)", timeout=0.2)
        assert isinstance(info.value, TimeoutError)
        assert await session.fetchval("select 7") == 7
        # It would have been a minute, had the server not been told.
        assert time.monotonic() - started < 40
        assert session.transaction_status == "I"


async def test_a_default_deadline(connect: Connect) -> None:
    async with connect(command_timeout=0.2) as session:
        with pytest.raises(QueryTimeout):
            await session.execute("select pg_sleep(60)")
        assert await session.fetchval("select 1", timeout=30) == 1


async def test_a_deadline_in_the_queue_sends_nothing(connect: Connect, face: Face) -> None:
    over = False
    async with connect() as session:
        await session.execute("create temp table t (a int)")

        async def hold() -> None:
            async with session.transaction():
                await face.until(lambda: over)

        async with face.tasks() as tasks:
            job = tasks.start(hold)
            await face.until(lambda: session.transaction_status == "T")
            try:
                with pytest.raises(QueryTimeout):
                    await session.execute("insert into t values (1)", timeout=0.1)
            finally:
                over = True
            await job.result()
        assert await session.fetchval("select count(*) from t") == 0


async def test_a_silent_server_is_waited_for_no_longer_than_told(
    connect_through: Connect, proxy: FaultyProxy
) -> None:
    async with connect_through(cancel_timeout=0.5) as session:
        assert await session.fetchval("select 1") == 1
        proxy.fail("swallow")
        started = time.monotonic()
        with pytest.raises((QueryTimeout, ConnectionLost)):
            await session.fetchval("select 1", timeout=1)
        assert time.monotonic() - started < 1 + 0.5 + SLACK
        # In doubt, the session does not come back to life.
        with pytest.raises((QueryTimeout, ConnectionLost)):
            await session.fetchval("select 2", timeout=1)
        started = time.monotonic()
        await session.close(timeout=0.5)
        assert time.monotonic() - started < 0.5 + SLACK
        assert session.is_closed


# --- Cancelling by hand ------------------------------------------------------------------------------------


async def test_cancel_from_beside(connect: Connect, face: Face, observer: Observer) -> None:
    async with connect() as session:

        async def sleep() -> None:
            await session.execute("select pg_sleep(60)")

        async with face.tasks() as tasks:
            job = tasks.start(sleep)
            await face.until(lambda: observer.sleeps(session.backend_pid))
            await session.cancel()
            assert isinstance(await job.error(), QueryCanceled)
        assert await session.fetchval("select 1") == 1


# --- Cancelled tasks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "face", [name for name in SWIFT if name != "blocking"], indirect=True, ids=lambda name: name
)
@pytest.mark.parametrize("wanted", [300, pytest.param(10_000, marks=[pytest.mark.slow, LONG])])
async def test_cancelled_tasks_harm_nobody(connect: Connect, face: Face, wanted: int) -> None:
    """Cancellations race with completions; whoever stays gets what is theirs."""
    victims, bystanders = 8, 4
    chance = random.Random(5)
    # As long as some of the answers take, however busy the machine is.
    longest = 0.015
    outcome = {"cancelled": 0, "answered": 0}

    async with connect(cancel_timeout=10) as session:

        async def victim(number: int, patience: float) -> None:
            sql = "select $1::int from pg_sleep(0.002)" if number % 3 == 0 else "select $1::int"
            with anyio.move_on_after(patience) as scope:
                assert await session.fetchval(sql, number) == number
                outcome["answered"] += 1
            outcome["cancelled"] += scope.cancelled_caught

        async def bystander(number: int) -> None:
            while outcome["cancelled"] < wanted:
                number += 1
                assert await session.fetchval("select $1::int", number) == number

        async with face.tasks() as tasks:
            jobs = [tasks.start(bystander, 1_000_000 * (each + 1)) for each in range(bystanders)]
            rounds = 0
            while outcome["cancelled"] < wanted:
                answered = outcome["answered"]
                running = [
                    tasks.start(victim, rounds * victims + each, chance.random() * longest)
                    for each in range(victims)
                ]
                rounds += 1
                for job in running:
                    assert await job.error() is None
                longest = max(0.015, longest * (2 if outcome["answered"] == answered else 0.9))
            for job in jobs:
                assert await job.error() is None
        assert outcome["cancelled"] + outcome["answered"] == rounds * victims
        assert outcome["answered"] > wanted / 200
        assert await session.fetchval("select 'fine'") == "fine"


async def test_a_cancelled_transaction_leaves_nothing(connect: Connect, face: Face) -> None:
    if face.name == "blocking":
        pytest.skip("threads cannot be cancelled; their deadlines are tested above")
    async with connect() as session:
        await session.execute("create temp table t (a int)")

        async def transact(wait: str) -> None:
            async with session.transaction() as tx:
                await tx.execute("insert into t values (1)")
                await tx.execute(wait)

        for patience in (0.0, 0.001, 0.002, 0.005, 0.05):
            with anyio.move_on_after(patience):
                await transact("select pg_sleep(10)")
            assert await session.fetchval("select count(*) from t") == 0
            assert session.transaction_status == "I"


# --- Lost connections --------------------------------------------------------------------------------------


async def test_every_pending_request_hears_of_a_lost_connection(
    connect_through: Connect, proxy: FaultyProxy, face: Face
) -> None:
    async with connect_through() as session:
        assert await session.fetchval("select 1") == 1
        started = len(proxy.links)

        async def ask(number: int) -> int:
            answer: int = await session.fetchval("select $1::int from pg_sleep(30)", number)
            return answer

        async with face.tasks() as tasks:
            jobs = [tasks.start(ask, number) for number in range(5)]
            await face.until(lambda: in_flight(session) > 0)
            proxy.fail("reset")
            errors = [await job.error() for job in jobs]
        assert all(isinstance(error, ConnectionLost) for error in errors)
        assert len(proxy.links) == started
        assert session.is_closed
        with pytest.raises(ConnectionLost) as info:
            await session.execute("select 1")
        assert info.value.outcome == "not_sent"


async def test_a_killed_backend(connect: Connect, observer: Observer) -> None:
    async with connect() as session:
        with pytest.raises(ConnectionLost) as info:
            await session.fetchval("select pg_terminate_backend(pg_backend_pid())")
        assert info.value.outcome == "unknown"
        assert session.is_closed


async def test_no_time_at_all(connect: Connect, face: Face) -> None:
    async with connect() as session:

        async def ask() -> None:
            with pytest.raises(QueryTimeout):
                await session.fetchval("select pg_sleep(0.01)", timeout=1e-9)

        await face.gather([ask] * 5)
        assert await session.fetchval("select 1") == 1
