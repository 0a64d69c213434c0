"""The shells do what their machine says: the lives of pools under random use, recorded and played again.

The scenes of `test_pool_scenes` are recorded as well, with every cancellation.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest

import pgproto_blocking
from pgproto import ConnectionLost, PoolTimeout, QueryTimeout
from pgproto._pool import Close, PoolMachine, WakeAt
from pgproto.testing import FakeServer
from tests.contract.faces import Awaited
from tests.contract.pools import Pool
from tests.transports.recorded import Trace, record
from tests.transports.stage import ADD, DSN, SLEEP, Stage, answer
from tests.transports.wired import WiredServer
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

RUNS = 12
USERS = 6
TURNS = 8

Sleep = Callable[[float], Awaitable[None]]


class Shared(Exception):
    """What the application itself raises."""


# --- Random use --------------------------------------------------------------------------------------------


class User:
    """Somebody who uses a pool in all the ways there are, as chance will have it."""

    def __init__(self, pool: Pool, sleep: Sleep, seed: int) -> None:
        self.pool = pool
        self.sleep = sleep
        self.chance = random.Random(seed)
        self.did = 0

    async def live(self) -> None:
        ways = (
            self.use,
            self.ask,
            self.hold,
            self.leave_a_mess,
            self.run_out_of_time,
            self.hang_up,
            self.err,
        )
        for way in self.chance.choices(ways, (6, 6, 3, 3, 2, 1, 2), k=TURNS):
            with suppress(PoolTimeout, ConnectionLost, Shared):
                await way()
                self.did += 1
            await self.sleep(self.chance.choice([0, 0, 0.01, 0.02]))

    async def use(self) -> None:
        async with self.pool.acquire() as session:
            assert await session.fetchval(ADD, 1) == 2

    async def ask(self) -> None:
        number = self.chance.randrange(1000)
        assert await self.pool.fetchval(ADD, number) == number + 1

    async def hold(self) -> None:
        async with self.pool.acquire():
            await self.sleep(self.chance.choice([0.01, 0.03]))

    async def leave_a_mess(self) -> None:
        async with self.pool.acquire() as session:
            await session.execute(self.chance.choice(["begin", "set work_mem to '1MB'", "listen news"]))

    async def run_out_of_time(self) -> None:
        with suppress(QueryTimeout):
            async with self.pool.acquire(timeout=self.chance.choice([0.0, 0.02, 1.0])) as session:
                await session.fetchval(SLEEP, timeout=0.02)

    async def hang_up(self) -> None:
        async with self.pool.acquire() as session:
            session.terminate()

    async def err(self) -> None:
        async with self.pool.transaction() as tx:
            await tx.fetchval(ADD, 1)
            raise Shared


async def manage(pool: Pool, sleep: Sleep, chance: random.Random, most: int) -> None:
    """What an administrator may do meanwhile; in the end the pool is as large as it was."""
    for _ in range(chance.randrange(4)):
        await sleep(0.02)
        match chance.randrange(3):
            case 0:
                await pool.drain()
            case 1:
                await pool.expire(0.05)
            case _:
                await pool.resize(min_size=0, max_size=chance.randint(1, most))
    await pool.resize(max_size=most)


def some_options(chance: random.Random, hook: Callable[..., object]) -> dict[str, Any]:
    most = chance.choice([1, 2, 3])
    hooks = ("before_connect", "after_connect", "before_acquire", "after_release", "before_close")
    return {
        "max_size": most,
        "min_size": chance.choice([0, 1, most]),
        "acquire_timeout": chance.choice([1.0, 30.0]),
        "max_waiting": chance.choice([None, None, 4]),
        "multiplex": chance.choice([1, 1, 4]),
        "recycle": chance.choice(["fast", "fast", "verified", "clean"]),
        "max_lifetime": chance.choice([None, 0.2, 3600.0]),
        "max_idle": chance.choice([None, 0.1, 600.0]),
        "leak_after": chance.choice([None, 0.02]),
        **{name: hook for name in hooks if chance.random() < 0.3},
    }


class Hook:
    """Fails now and then, while it is armed."""

    def __init__(self, chance: random.Random) -> None:
        self.armed = False
        self._chance = chance

    def __call__(self, _: object) -> None:
        if self.armed and self._chance.random() < 0.05:
            raise Shared


def _ramble(kind: type[World], seed: int) -> Trace:
    chance = random.Random(seed)
    hook = Hook(chance)
    options = some_options(chance, hook)

    async def play(stage: Stage) -> None:
        users = [User(stage.pool, anyio.sleep, 1000 * seed + number) for number in range(USERS)]

        async def cancelled_now_and_then(user: User) -> None:
            for _ in range(2):
                with anyio.move_on_after(chance.choice([0.05, 0.1, 1.0, 10.0])):
                    await user.live()

        async def kill() -> None:
            await anyio.sleep(chance.choice([0.05, 0.1, 0.3]))
            for session in stage.server.sessions:
                session.hang_up()
            stage.network.advance(stage.world.now())

        jobs = [partial(cancelled_now_and_then, user) for user in users]
        hook.armed = True
        await stage.beside(*jobs, partial(manage, stage.pool, anyio.sleep, chance, stage.max_size), kill)
        hook.armed = False

    stage = Stage(kind, seed, faults=chance.choice([0, 0, 1, 3]), **options)
    stage.play(play)
    (trace,) = stage.traces
    return trace


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


def _see_much(traces: list[Trace]) -> None:
    """A walk that does not get far proves nothing."""
    methods = {call.method for trace in traces for call in trace.calls}
    expected = {
        "open",
        "acquire",
        "release",
        "abandon",
        "finished",
        "tick",
        "drain",
        "expire",
        "resize",
        "close",
    }
    assert methods >= expected
    names = {type(step).__name__ for trace in traces for step in trace.steps}
    assert names >= {"Open", "Reset", "RunHook", "Close"}
    assert any(isinstance(step, Close) and not step.graceful for trace in traces for step in trace.steps)
    assert sum(call.method == "release" for trace in traces for call in trace.calls) > RUNS * USERS


def test_random_use(kind: type[World]) -> None:
    _see_much([_ramble(kind, seed) for seed in range(RUNS)])


@pytest.mark.slow
def test_much_random_use(kind: type[World]) -> None:
    for seed in range(RUNS, 50 * RUNS):
        try:
            _ramble(kind, seed)
        except BaseException as error:
            error.add_note(f"with seed {seed}")
            raise


# --- With threads ------------------------------------------------------------------------------------------


async def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - in a thread, and there is no loop


def _thread_of(function: Callable[[], Awaitable[None]], failures: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            # Nothing in it ever waits for a loop.
            function().__await__().send(None)
        except StopIteration:
            return
        except BaseException as error:
            failures.append(error)

    return threading.Thread(target=run)


def _ramble_with_threads(seed: int) -> Trace:
    chance = random.Random(seed)
    hook = Hook(chance)
    options = some_options(chance, hook)
    most: int = options["max_size"]
    failures: list[BaseException] = []
    with WiredServer(FakeServer(answer)) as wired:
        bare = pgproto_blocking.Pool(DSN, open_socket=wired.open_socket, **options)
        trace = record(bare)
        with bare:
            pool: Any = Awaited(bare)
            users = [User(pool, _sleep, 1000 * seed + number) for number in range(USERS)]
            jobs = [user.live for user in users]
            threads = [_thread_of(job, failures) for job in jobs]
            threads.append(_thread_of(partial(manage, pool, _sleep, chance, most), failures))
            hook.armed = True
            for thread in threads:
                thread.start()
            time.sleep(0.03)
            for session in list(wired.server.sessions):
                wired.call(session.hang_up)
            for thread in threads:
                thread.join()
            hook.armed = False
            assert failures == []
        assert wired.most <= most
    trace.check()
    return trace


def test_random_use_by_threads() -> None:
    _see_much([_ramble_with_threads(seed) for seed in range(RUNS)])


@pytest.mark.slow
def test_much_random_use_by_threads() -> None:
    for seed in range(RUNS, 20 * RUNS):
        try:
            _ramble_with_threads(seed)
        except BaseException as error:
            error.add_note(f"with seed {seed}")
            raise


# --- Shells that do not ------------------------------------------------------------------------------------


def _carry_out(change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], None]:
    """Make a pool carry out something else than it is asked to."""

    def sabotage(pool: Any) -> None:
        carry_out = pool._carry_out

        def carry_out_else(actions: list[Any]) -> None:
            carry_out(change(actions))

        pool._carry_out = carry_out_else

    return sabotage


def _finish_twice(pool: Any) -> None:
    finish = pool._finish

    def finish_twice(*outcome: object) -> None:
        finish(*outcome)
        finish(*outcome)

    pool._finish = finish_twice


def _skip_hooks(pool: Any) -> None:
    async def skip(*_: object) -> None: ...

    pool._run_hook = skip


def _leave_sockets_open(pool: Any) -> None:
    def abort_too_late(step: Any) -> None:
        member = step.slot.session
        pool._machine.finished(step, pool._now())
        member.driver.abort()
        pool._pump()

    pool._abort = abort_too_late


def _know_better(pool: Any) -> None:
    # A decision that the machine knows nothing of.
    machine: PoolMachine[Any, Any] = pool._machine._machine
    machine._max_size -= 1


SABOTAGE: dict[str, tuple[Callable[[Any], None], str]] = {
    "a thing done twice": (
        _carry_out(lambda actions: [*actions, *[each for each in actions if isinstance(each, WakeAt)]]),
        "was done where|len",
    ),
    "a thing left out": (
        _carry_out(lambda actions: [each for each in actions if not isinstance(each, WakeAt)]),
        "was done where|len",
    ),
    "another order": (_carry_out(lambda actions: actions[::-1]), "was done where"),
    "finished twice": (_finish_twice, "finished (twice|2 times)"),
    "a hook that is not called": (_skip_hooks, "ran 0 times"),
    "a socket that stays open": (_leave_sockets_open, "its socket was not"),
    "a decision of its own": (_know_better, "now it is"),
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_shell_that_does_something_else_is_found_out(name: str) -> None:
    sabotage, complaint = SABOTAGE[name]

    async def play(stage: Stage) -> None:
        sabotage(stage.pool)
        await stage.beside(stage.use, stage.use, stage.use)
        async with stage.pool.acquire():
            await stage.pool.close(timeout=0)

    def after_release(session: object) -> None: ...

    stage = Stage(WORLDS[0], 0, after_release=after_release)
    with pytest.raises(AssertionError, match=complaint):
        stage.play(play)
