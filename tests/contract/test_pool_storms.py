"""Pools in a storm: callers that are cancelled or out of time, thousands of them, and many threads.

Somebody looks at the server all the while: there are never more sessions than the pool may have.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import anyio
import psycopg
import pytest

import pgproto_blocking
from pgproto import PoolTimeout, QueryTimeout
from tests.contract.faces import CANCEL_TIMEOUT, Face
from tests.contract.pools import make_pool
from tests.support.servers import Server

__all__: list[str] = []

CALLERS = 16
SIZE = 4
WHOLE = 20_000
PART = 2_000
"""What the default run does of it."""
PATIENCE = 0.002
"""Seconds after which callers are stopped that have a session; ten times that for others."""
PATIENT: dict[str, Any] = {"cancel_timeout": CANCEL_TIMEOUT}
"""Who does not wait for a cancel request leaves a server process behind that is busy, and counts."""
_COUNT = "select count(*) from pg_stat_activity where application_name = %s"


class Sampler:
    """Counts the sessions with a name, as the server sees them, again and again."""

    def __init__(self) -> None:
        self.most = 0
        self.samples = 0

    def run(self, connection: psycopg.Connection[Any], name: str, over: threading.Event) -> None:
        while not over.is_set():
            row = connection.execute(_COUNT, (name,)).fetchone()
            assert row is not None
            self.most = max(self.most, row[0])
            self.samples += 1


@contextmanager
def sampling(server: Server, name: str) -> Generator[Sampler, None, None]:
    sampler = Sampler()
    over = threading.Event()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        thread = threading.Thread(target=sampler.run, args=(connection, name, over), daemon=True)
        thread.start()
        try:
            yield sampler
        finally:
            over.set()
            thread.join()
    assert sampler.samples > 0


@pytest.fixture
def name() -> str:
    return f"pgproto-storm-{os.getpid()}-{next(_numbers)}"


_numbers = itertools.count()


class Storm:
    """What 16 callers do, each of them asking for what nobody else asks for; and who was stopped."""

    def __init__(self, pool: Any, count: int) -> None:
        self.pool = pool
        self.count = count
        self.stopped = 0
        self.served = 0
        self._number = itertools.count(1)
        self._chance = random.Random(count)

    async def ask(self, number: int) -> None:
        """A one-shot request."""
        if number % 2:
            answer = await self.pool.fetchval("select $1::int8", number)
        else:
            answer = await self.pool.fetchval("select $1::int8 from pg_sleep(0.001)", number)
        assert answer == number, "somebody else's answer"
        self.served += 1

    async def use(self, number: int, begun: Callable[[], object]) -> None:
        """Something that takes a session; says so when it has one."""
        match number % 3:
            case 0:
                async with self.pool.acquire() as session:
                    begun()
                    assert await session.fetchval("select -$1::int8", number) == -number
                    answer = await session.fetchval("select $1::int8 from pg_sleep(0.002)", number)
            case 1:
                async with self.pool.transaction() as tx:
                    begun()
                    answer = await tx.fetchval("select $1::int8 from pg_sleep(0.002)", number)
            case _:
                async with self.pool.acquire() as session:
                    begun()
                    sql = "select $1::int8 from generate_series(1, 100)"
                    async with session.stream(sql, number, batch=10) as rows:
                        (answer,) = {row[0] async for row in rows}
        assert answer == number, "somebody else's answer"
        self.served += 1

    async def keep_calling(self) -> None:
        """Ask and use, and be stopped: at any time, or soon after the session has come, or never."""
        while self.stopped < self.count:
            number, chance = next(self._number), self._chance
            with anyio.CancelScope() as scope:
                patience = chance.random() * PATIENCE
                match chance.randrange(10):
                    case 0:
                        await self.ask(number)
                    case 1 | 2 | 3:
                        scope.deadline = anyio.current_time() + 10 * patience
                        await self.ask(number)
                    case 4 | 5 | 6:
                        scope.deadline = anyio.current_time() + 10 * patience
                        await self.use(number, bool)
                    case _:
                        await self.use(number, partial(self._stop_soon, scope, patience))
            self.stopped += scope.cancelled_caught

    def _stop_soon(self, scope: anyio.CancelScope, patience: float) -> None:
        scope.deadline = anyio.current_time() + patience


async def _storm(face: Face, server: Server, name: str, count: int) -> None:
    with sampling(server, name) as sampler:
        async with make_pool(face, server.dsn, max_size=SIZE, application_name=name) as pool:
            storm = Storm(pool, count)
            async with anyio.create_task_group() as group:
                for _ in range(CALLERS):
                    group.start_soon(storm.keep_calling)
            await face.until(lambda: pool.status().in_use == 0)
            assert storm.stopped >= count
            # Some were stopped while they waited, and some while they had a session.
            status = pool.status()
            assert storm.served > 0
            assert status.requests_abandoned > 0
            assert status.returns_num > storm.served
            await _all_is_there(face, pool, storm)
    assert 1 <= sampler.most <= SIZE
    print(f"{storm.stopped} stopped, {status.requests_abandoned} of them while they waited")
    print(f"{storm.served} served, {status.connections_num} connections, {sampler.samples} samples")


async def _all_is_there(face: Face, pool: Any, storm: Storm) -> None:
    """No slot is lost, every session is as good as new, and the accounts add up."""
    held = anyio.Event()
    count = 0

    async def hold(number: int) -> int:
        nonlocal count
        async with pool.acquire(timeout=60) as session:
            assert session.transaction_status == "I"
            assert await session.fetchval("select $1::int8", number) == number
            count += 1
            if count == SIZE:
                held.set()
            await held.wait()
            return int(session.backend_pid)

    assert len(set(await face.gather([partial(hold, number) for number in range(SIZE)]))) == SIZE
    await face.until(lambda: pool.status().idle == SIZE)
    _see_to_accounts(pool.status(), storm.served)


def _see_to_accounts(status: Any, served: int) -> None:
    assert (status.size, status.in_use, status.waiting, status.holders) == (SIZE, 0, 0, 0)
    ended = status.returns_num + status.requests_abandoned + status.requests_errors
    assert status.requests_num == ended
    assert status.returns_num >= served
    assert sum(status.usage_histogram) == status.returns_num


@pytest.mark.anyio
@pytest.mark.parametrize("face", ["swift-asyncio", "uvloop", "trio"], indirect=True)
async def test_a_storm_of_cancellation(face: Face, postgres: Server, name: str) -> None:
    await _storm(face, postgres, name, PART)


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("face", ["swift-asyncio", "uvloop", "trio"], indirect=True)
async def test_a_great_storm_of_cancellation(face: Face, postgres: Server, name: str) -> None:
    await _storm(face, postgres, name, WHOLE)


# --- Threads -----------------------------------------------------------------------------------------------


class ThreadStorm:
    """The same with threads: they run out of time."""

    def __init__(self, pool: pgproto_blocking.Pool, count: int) -> None:
        self.pool = pool
        self.count = count
        self.stopped = 0
        self.served = 0
        self.wrong: list[object] = []
        self._lock = threading.Lock()
        self._number = itertools.count(1)

    def keep_calling(self) -> None:
        chance = random.Random(self.count)
        try:
            while self.stopped < self.count:
                stopped = self.call(next(self._number), chance)
                with self._lock:
                    self.stopped += stopped
                    self.served += not stopped
        except BaseException as error:
            self.wrong.append(error)

    def call(self, number: int, chance: random.Random) -> bool:
        """Ask, with little time or with enough; whether it was too little."""
        patience = chance.random() * PATIENCE
        try:
            match chance.randrange(10):
                case 0:
                    answer = self.pool.fetchval("select $1::int8", number)
                case 1 | 2 | 3:
                    answer = self.pool.fetchval(
                        "select $1::int8 from pg_sleep(0.001)", number, timeout=patience
                    )
                case 4 | 5 | 6:
                    with self.pool.acquire(timeout=10 * patience) as session:
                        answer = session.fetchval("select $1::int8", number)
                case _:
                    with self.pool.acquire() as session, session.transaction() as tx:
                        answer = tx.fetchval("select $1::int8 from pg_sleep(0.002)", number, timeout=patience)
        except (PoolTimeout, QueryTimeout):
            return True
        if answer != number:
            self.wrong.append((number, answer))
        return False


def _storm_of_threads(server: Server, name: str, count: int) -> None:
    with (
        sampling(server, name) as sampler,
        pgproto_blocking.Pool(server.dsn, max_size=SIZE, application_name=name, **PATIENT) as pool,
    ):
        storm = ThreadStorm(pool, count)
        run_threads(CALLERS, storm.keep_calling)
        assert storm.wrong == []
        assert storm.stopped >= count
        assert storm.served > 0
        with ExitStack() as stack:
            sessions = [stack.enter_context(pool.acquire(timeout=60)) for _ in range(SIZE)]
            assert [session.fetchval("select $1::int", 7) for session in sessions] == [7] * SIZE
            assert len({session.backend_pid for session in sessions}) == SIZE
        until(lambda: pool.status().idle == SIZE)
        status = pool.status()
        assert status.requests_timeouts > 0
        _see_to_accounts(status, storm.served)
    assert 1 <= sampler.most <= SIZE
    print(f"{storm.stopped} stopped, {status.requests_timeouts} of them while they waited")
    print(f"{storm.served} served, {status.connections_num} connections, {sampler.samples} samples")


def run_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_storm_of_threads_that_run_out_of_time(postgres: Server, name: str) -> None:
    _storm_of_threads(postgres, name, PART)


@pytest.mark.slow
def test_a_great_storm_of_threads_that_run_out_of_time(postgres: Server, name: str) -> None:
    _storm_of_threads(postgres, name, WHOLE)


@pytest.fixture
def small_stacks() -> Iterator[None]:
    """A thousand threads, and not eight gigabytes."""
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


@pytest.mark.usefixtures("small_stacks")
def test_a_thousand_threads_are_served_in_the_order_in_which_they_came(postgres: Server) -> None:
    served: list[int] = []

    def wait(number: int) -> None:
        with pool.acquire():
            served.append(number)

    with pgproto_blocking.Pool(postgres.dsn, max_size=1, acquire_timeout=100) as pool:
        threads = [threading.Thread(target=wait, args=(number,)) for number in range(1000)]
        with pool.acquire():
            for number, thread in enumerate(threads):
                thread.start()
                while pool.status().waiting <= number:
                    time.sleep(0)
            assert served == []
        for thread in threads:
            thread.join()
    assert served == list(range(1000))


def _many_checkouts(server: Server, times: int) -> None:
    wrong: list[object] = []
    number = itertools.count()
    with pgproto_blocking.Pool(server.dsn, max_size=8) as pool:

        def work() -> None:
            try:
                for _ in range(times):
                    mine = next(number)
                    with pool.acquire() as session:
                        if session.fetchval("select $1::int", mine) != mine:
                            wrong.append(mine)
            except BaseException as error:
                wrong.append(error)

        run_threads(64, work)
        assert wrong == []
        status = pool.status()
        assert (status.in_use, status.waiting) == (0, 0)
        assert (status.requests_num, status.returns_num) == (64 * times, 64 * times)
        assert status.connections_num <= 8


def test_many_threads(postgres: Server) -> None:
    _many_checkouts(postgres, 30)


@pytest.mark.slow
def test_many_threads_for_long(postgres: Server) -> None:
    _many_checkouts(postgres, 1000)
