"""Pools in trouble: lost sessions, storms of cancellation, hooks that fail, sessions that nobody returns."""

from __future__ import annotations

import gc
import logging
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from pgproto import ConnectionLost, PoolClosed, PoolTimeout
from tests.contract.faces import LOOPS, SWIFT, Face
from tests.contract.observer import Observer
from tests.contract.pools import MakePool, Pool, kill_all, make_pool
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool_of(face: Face, postgres: Server) -> MakePool:
    """Makes pools of the transport under test."""

    def make(**options: object) -> AbstractAsyncContextManager[Pool]:
        return make_pool(face, postgres.dsn, **options)

    return make


# --- Lost sessions -----------------------------------------------------------------------------------------


async def test_all_sessions_are_killed_and_nobody_notices(pool_of: MakePool, observer: Observer) -> None:
    async with pool_of(min_size=5, max_size=5) as pool:
        for _ in range(3):
            assert kill_all(observer) >= 1
            for _ in range(50):
                async with pool.acquire() as session:
                    assert await session.fetchval("select 1") == 1
        status = pool.status()
        assert status.size <= 5
        assert status.generation >= 1
        assert status.requests_errors == 0


async def test_a_session_that_dies_in_use_is_replaced(pool_of: MakePool, observer: Observer) -> None:
    async with pool_of(max_size=1) as pool:
        async with pool.acquire() as session:
            observer.value("select pg_terminate_backend(%s, 60000)", session.backend_pid)
            with pytest.raises(ConnectionLost):
                await session.fetchval("select 1")
        assert await pool.fetchval("select 2") == 2
        assert pool.status().returns_bad == 1


async def test_a_session_that_its_holder_closed(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        for end in ("close", "terminate"):
            async with pool.acquire() as session:
                if end == "close":
                    await session.close()
                else:
                    session.terminate()
            assert await pool.fetchval("select 1") == 1


# --- Hooks -------------------------------------------------------------------------------------------------


async def test_hooks_are_called_in_their_turn(pool_of: MakePool, face: Face) -> None:
    told: list[str] = []

    def before_connect(parameters: dict[str, object]) -> dict[str, object]:
        told.append("before_connect")
        return {**parameters, "application_name": "hooked"}

    def hook(name: str) -> Any:
        def call(session: Any) -> None:
            assert session.transaction_status == "I"
            told.append(name)

        async def call_later(session: Any) -> None:
            if name != "before_close":
                assert await session.fetchval("select 1") == 1
            told.append(name)

        return call if face.name == "blocking" else call_later

    names = ("after_connect", "before_acquire", "after_release", "before_close")
    async with pool_of(
        max_size=1, before_connect=before_connect, **{name: hook(name) for name in names}
    ) as pool:
        assert await pool.fetchval("show application_name") == "hooked"
        await face.until(lambda: pool.status().idle == 1)
    assert told == ["before_connect", *names]


@pytest.mark.parametrize(
    "name", ["before_connect", "after_connect", "before_acquire", "after_release", "before_close"]
)
async def test_a_hook_that_fails_wedges_nothing(pool_of: MakePool, face: Face, name: str) -> None:
    fails = True

    def hook(_: object) -> None:
        if fails:
            raise ZeroDivisionError(name)

    async with pool_of(max_size=2, **{name: hook}) as pool:
        if name in ("after_release", "before_close"):
            assert await pool.fetchval("select 1") == 1
            if name == "after_release":
                await face.until(lambda: pool.status().hooks_errors == 1)
        else:
            with pytest.raises(ZeroDivisionError, match=name):
                await pool.fetchval("select 1")
        fails = False
        assert await face.gather([lambda: pool.fetchval("select 2")] * 10) == [2] * 10
        if name != "before_close":
            assert pool.status().hooks_errors == 1


async def test_a_hooks_session_ends_with_the_hook(pool_of: MakePool) -> None:
    kept: list[Any] = []
    async with pool_of(max_size=1, after_connect=kept.append) as pool:
        assert await pool.fetchval("select 1") == 1
        with pytest.raises(Exception, match="lent to a hook"):
            kept[0].terminate()
        assert await pool.fetchval("select 1") == 1


# --- Sessions that are not returned ------------------------------------------------------------------------


async def _lose(pool: Any) -> None:
    await pool.acquire().__aenter__()
    gc.collect()


async def test_a_leak_is_reported_with_its_place(
    pool_of: MakePool, face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    async with pool_of(max_size=1, leak_after=0.05) as pool:
        with caplog.at_level(logging.WARNING, logger="pgproto"):
            async with pool.acquire():
                await face.until(lambda: pool.status().leaks_num == 1)
    (record,) = [each for each in caplog.records if "out of the pool" in each.getMessage()]
    assert __file__ in record.getMessage()
    assert "test_a_leak_is_reported_with_its_place" in record.getMessage()


async def test_a_forgotten_session_comes_back(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=1) as pool:
        with pytest.warns(ResourceWarning, match="not returned"):
            await _lose(pool)
        assert await pool.fetchval("select 1") == 1
        assert pool.status().connections_num == 1


# --- Changing it under load --------------------------------------------------------------------------------


@pytest.mark.parametrize("face", SWIFT, indirect=True)
async def test_resize_drain_and_expire_under_load(pool_of: MakePool, face: Face, observer: Observer) -> None:
    async with pool_of(max_size=8) as pool, face.tasks() as tasks:
        stop = False

        async def work() -> int:
            count = 0
            while not stop:
                assert await pool.fetchval("select 1") == 1
                count += 1
            return count

        jobs = [tasks.start(work) for _ in range(16)]
        await face.until(lambda: pool.status().size == 8 and pool.status().opening == 0)
        old = {each.number for each in pool.sessions()}
        await pool.drain()
        await face.until(lambda: not old & {each.number for each in pool.sessions()})
        await pool.resize(max_size=2)
        await face.until(lambda: pool.status().size <= 2)
        await pool.resize(max_size=6)
        await face.until(lambda: pool.status().size == 6 and pool.status().opening == 0)
        old = {each.number for each in pool.sessions()}
        await pool.expire(0.2)
        await face.until(lambda: not old & {each.number for each in pool.sessions()})
        stop = True
        assert sum([await job.result() for job in jobs]) > 0
        assert pool.status().requests_errors == 0


async def test_closing_waits_for_holders_and_refuses_waiters(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=1) as pool, face.tasks() as tasks:
        async with pool.acquire() as session:
            waiter = tasks.start(pool.fetchval, "select 1")
            await face.until(lambda: pool.status().waiting == 1)
            closing = tasks.start(pool.close)
            assert isinstance(await waiter.error(), PoolClosed)
            assert await session.fetchval("select 2") == 2
            assert not closing.done
        await closing.result()
        assert pool.status().size == 0


async def test_closing_by_force(pool_of: MakePool, observer: Observer, face: Face) -> None:
    async with pool_of(max_size=1) as pool, face.tasks() as tasks:
        async with pool.acquire() as session:
            pid = session.backend_pid
            job = tasks.start(session.fetchval, "select pg_sleep(60)")
            await face.until(lambda: observer.sleeps(pid))
            await pool.close(timeout=0.05)
            assert await job.error() is not None
            with pytest.raises(PoolClosed):
                await session.fetchval("select 1")
        # The server was told to stop.
        await face.until(lambda: observer.state(pid) is None)


# --- One-shot requests that share sessions -----------------------------------------------------------------


@pytest.mark.parametrize("face", SWIFT, indirect=True)
async def test_shared_sessions(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=2, multiplex=8) as pool:

        async def ask(number: int) -> int:
            return int(await pool.fetchval("select $1::int", number))

        for _ in range(10):
            numbers = range(64)
            asked = [lambda number=number: ask(number) for number in numbers]
            assert await face.gather(asked) == list(numbers)
        assert pool.status().connections_num <= 2


async def test_one_shot_requests_cannot_disturb_each_other(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=1, multiplex=8) as pool:

        async def fail() -> None:
            with pytest.raises(Exception, match="division by zero"):
                await pool.fetchval("select 1 / 0")

        async def begin() -> None:
            await pool.execute("begin isolation level serializable")

        async def ask() -> None:
            # Nobody is in the transaction that somebody else has begun.
            assert await pool.fetchval("show transaction_isolation") == "read committed"

        await face.gather([ask, fail, begin, ask, ask, begin, fail, ask] * 4)
        async with pool.acquire() as session:
            assert session.transaction_status == "I"
        assert pool.status().in_use == 0


@pytest.mark.parametrize("face", LOOPS, indirect=True)
async def test_a_shared_request_that_is_cancelled(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=1, multiplex=4) as pool:
        with anyio.move_on_after(0.05):
            await pool.fetchval("select pg_sleep(60)")
        assert await pool.fetchval("select 1") == 1
        assert pool.status().returns_bad == 0


async def test_nobody_waits_for_longer_than_told(face: Face, postgres: Server) -> None:
    async with make_pool(face, postgres.dsn_for("alice"), port=1, acquire_timeout=1) as pool:
        with pytest.raises(PoolTimeout, match="the last attempt to connect failed"):
            await pool.fetchval("select 1")
