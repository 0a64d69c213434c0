"""Pools whose caller is interrupted, and whose server is the primary no more."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

import pgproto_blocking
from pgproto import ReadOnlySqlTransaction
from tests.contract.faces import Face
from tests.contract.observer import Observer
from tests.contract.pools import MakePool, Pool, make_pool
from tests.support.servers import Server

__all__: list[str] = []


@pytest.fixture
def pool_of(face: Face, postgres: Server) -> MakePool:
    """Makes pools of the transport under test."""

    def make(**options: object) -> AbstractAsyncContextManager[Pool]:
        return make_pool(face, postgres.dsn, **options)

    return make


@pytest.mark.anyio
async def test_a_server_that_has_become_read_only(pool_of: MakePool) -> None:
    async with pool_of(min_size=3, max_size=3) as pool:
        async with pool.acquire() as session:
            # As a standby would answer; it is not what the application asked for.
            await session.execute("set default_transaction_read_only to on")
            with pytest.raises(ReadOnlySqlTransaction):
                await session.execute("create table pool_read_only (a int)")
        status = pool.status()
        assert status.generation == 1
        # Those of before are not lent again, and all of the new ones take writes.
        for _ in range(10):
            assert await pool.fetchval("show transaction_read_only") == "off"
        assert {each.generation for each in pool.sessions() if each.state == "idle"} == {1}


@pytest.mark.anyio
async def test_a_transaction_that_was_asked_to_be_read_only(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        with pytest.raises(ReadOnlySqlTransaction):
            async with pool.transaction(readonly=True) as tx:
                await tx.execute("create table pool_read_only (a int)")
        assert await pool.fetchval("select 1") == 1
        assert (pool.status().generation, pool.status().connections_num) == (0, 1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also in a process that was started in the background, to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _interrupt_when(condition: Callable[[], bool]) -> threading.Thread:
    """Interrupt the main thread as Ctrl-C does."""

    def watch() -> None:
        while not condition():
            time.sleep(0.005)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_in_a_query(postgres: Server, observer: Observer) -> None:
    with pgproto_blocking.Pool(postgres.dsn, max_size=1, cancel_timeout=20) as pool:
        pids: list[int] = []

        def waits() -> bool:
            # The server may sleep before the thread that has asked does. Interrupted under its lock, that
            # would end the session.
            return (
                bool(pids)
                and observer.sleeps(pids[0])
                and not any(driver._lock.locked() for driver in pool._drivers)
            )

        watcher = _interrupt_when(waits)
        with pytest.raises(KeyboardInterrupt), pool.acquire() as session:
            pids.append(session.backend_pid)
            session.fetchval("select pg_sleep(60)")
        watcher.join()
        # The server was told to stop, and the session is as good as before.
        assert pool.fetchval("select pg_backend_pid()") == pids[0]
        assert (pool.status().in_use, pool.status().returns_bad) == (0, 0)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_while_waiting(postgres: Server) -> None:
    with pgproto_blocking.Pool(postgres.dsn, max_size=1) as pool:
        with pool.acquire():
            watcher = _interrupt_when(lambda: pool.status().waiting == 1)
            with pytest.raises(KeyboardInterrupt):
                pool.fetchval("select 1")
            watcher.join()
            assert pool.status().waiting == 0
        assert pool.fetchval("select 1") == 1
        assert pool.status().in_use == 0
