"""A pool in a world in memory, and what must hold of it whatever was done to its callers."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, cast

import pgproto_asyncio
from pgproto import SerializationFailure
from pgproto.testing import Direction, FakeServer, Fault, Network, Statement
from tests.transports.recorded import Trace, record
from tests.transports.worlds import World

__all__ = ["ADD", "DSN", "SLEEP", "Stage", "answer"]

ADDRESS: Final = "192.0.2.1:5432"
DSN: Final = "postgresql://alice@192.0.2.1/app?sslmode=disable"
ADD: Final = "select $1::int8 + 1"
SLEEP: Final = "select pg_sleep(3600)"
LATENCY: Final = 0.01
_CANCEL_REQUEST: Final = (80877102).to_bytes(4, "big")
_PATIENCE: Final = 100.0
"""Virtual seconds."""


def _add(number: int) -> list[tuple[int]]:
    return [(number + 1,)]


_ANSWERS: Final = {
    ADD: Statement(["int8"], {"sum": "int8"}, _add),
    SLEEP: Statement(columns={"pg_sleep": "void"}, rows=[(None,)], delay=3600),
    "select many": Statement(columns={"number": "int8"}, rows=[(number,) for number in range(50)]),
    "copy t from stdin": Statement(copy_in=lambda data: data.count(b"\n"), columns={"a": "int8"}),
    "copy t to stdout": Statement(copy_out=[b"1\n"] * 50, delay=0.01, columns={"a": "int8"}),
    "insert": Statement(["int8"]),
}


def answer(sql: str) -> Statement:
    """What the server says to it; to what it does not know, that it has done so."""
    return _ANSWERS.get(sql) or Statement()


class _CountingNetwork(Network):
    """Knows how many sessions there were at most, by what the client and by what the server sees."""

    most = 0

    def advance(self, now: float) -> None:
        super().advance(now)
        self.most = max(self.most, self.count())

    def count(self) -> int:
        """How many sessions are neither over for the client nor for the server."""
        server = self.servers[ADDRESS]
        assert isinstance(server, FakeServer)
        seen = sum(1 for session in server.sessions if session.startup and not session.is_closed)
        held = sum(1 for link in self.links if link.sent and not _is_over(link))
        return max(seen, held)


def _is_over(link: Any) -> bool:
    return bool(link._client_closed) or link.was_reset or link.sent[4:8] == _CANCEL_REQUEST


def _leave_nothing_to_chance(seed: int) -> None:
    """The pool's jitter, and the order in which trio runs its tasks."""
    random.seed(seed)
    if importlib.util.find_spec("trio"):
        scheduler: Any = importlib.import_module("trio._core._run")
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
        scheduler._r.seed(seed)


class Stage:
    """One run of one scene: its world, its pool, and the step at which somebody is cancelled."""

    def __init__(
        self,
        kind: type[World],
        step: int,
        *,
        faults: int = 0,
        collisions: int = 0,
        is_open: bool = True,
        max_size: int = 2,
        **options: Any,
    ) -> None:
        self.server = FakeServer(self._answer)
        broken = [[Fault("reset", Direction.TO_CLIENT, 5)] for _ in range(faults)]
        self.network = _CountingNetwork({ADDRESS: self.server}, latency=LATENCY, faults=broken)
        self.world = kind(self.network)
        self.step = step
        self.cancelled = False
        self.max_size = max_size
        self._is_open = is_open
        self._collisions = collisions
        self._options = {"max_size": max_size, **options}
        self.pool: pgproto_asyncio.Pool
        self.traces: list[Trace] = []
        """Of each pool that there was."""

    def play(self, scene: Callable[[Stage], Awaitable[None]]) -> None:
        """Play the scene to its end, and see that all is as it must be."""
        _leave_nothing_to_chance(self.step)
        self.world.run(partial(self._main, scene))
        assert self.network.most <= self.max_size, self.network.most
        broken = [str(each.violation) for each in self.server.sessions if each.violation]
        # A session that is given up is closed without a word.
        assert all("without a word" in each for each in broken), broken
        for trace in self.traces:
            trace.check()

    async def _main(self, scene: Callable[[Stage], Awaitable[None]], _: World) -> None:
        if self._is_open:
            async with self.new_pool() as self.pool:
                await scene(self)
                if not self.pool.status().closed:
                    await self.check()
        else:
            await scene(self)
        assert self.pool.status().size == 0
        await self.until(lambda: self.network.count() == 0)

    def _answer(self, sql: str) -> Statement | None:
        if sql != "collide":
            return answer(sql)

        def collide() -> list[tuple[object, ...]]:
            self._collisions -= 1
            if self._collisions >= 0:
                raise SerializationFailure("could not serialize access")
            return []

        return Statement(rows=collide)

    def new_pool(self, **options: Any) -> AbstractAsyncContextManager[pgproto_asyncio.Pool]:
        """A pool of this world's transport."""
        pool = self.world.make_pool(DSN, **{**self._options, **options})
        self.traces.append(record(getattr(pool, "_wrapped", pool)))
        return cast("AbstractAsyncContextManager[pgproto_asyncio.Pool]", pool)

    # What scenes are made of.

    async def cancel(self, victim: Callable[[], Awaitable[Any]]) -> None:
        """Run it, and cancel it when the step has come."""
        self.cancelled = await self.world.cancel_at(self.step, victim)

    def victim(self, function: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[None]]:
        """What `cancel` does, for `beside`."""
        return partial(self.cancel, function)

    async def beside(self, *functions: Callable[[], Awaitable[Any]]) -> None:
        """Run all of them beside each other; none of them may fail."""
        for outcome in await self.world.together(*functions):
            if isinstance(outcome, BaseException):
                raise outcome

    async def use(self, number: int = 1) -> None:
        """Acquire a session, and ask it something."""
        async with self.pool.acquire() as session:
            assert await session.fetchval(ADD, number) == number + 1

    async def hold(self, seconds: float) -> None:
        """Acquire a session, and keep it for so long."""
        async with self.pool.acquire():
            await self.world.sleep(seconds)

    async def ask(self, number: int = 1) -> None:
        """Make a one-shot request."""
        assert await self.pool.fetchval(ADD, number) == number + 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until it is so."""
        assert await self._comes_to(condition), f"it did not come to this within {_PATIENCE} s"

    async def _comes_to(self, condition: Callable[[], bool]) -> bool:
        deadline = self.world.now() + _PATIENCE
        while not condition():
            if self.world.now() >= deadline:
                return False
            await self.world.sleep(LATENCY)
            self.network.advance(self.world.now())
        return True

    # What must hold.

    async def check(self) -> None:
        """Nothing is lost: what everybody has done with is there again, and as it was."""
        pool = self.pool
        await self.until(self._is_quiet)
        assert await self._all_at_once() == self.max_size
        await self.until(self._is_quiet)
        status = pool.status()
        assert status.size == status.idle <= self.max_size
        await self.until(lambda: not pool._jobs and not getattr(pool, "_tasks", None))

    def _is_quiet(self) -> bool:
        status = self.pool.status()
        assert status.size <= self.max_size
        return status.size == status.idle and status.waiting == status.holders == 0

    async def _all_at_once(self) -> int:
        """How many sessions can be had at one time; each has to be as good as new."""
        most = held = 0

        async def borrow(number: int) -> None:
            nonlocal most, held
            async with self.pool.acquire() as session:
                assert session.transaction_status == "I"
                assert await session.fetchval(ADD, number) == number + 1
                held += 1
                most = max(most, held)
                await self._comes_to(lambda: most == self.max_size)
                held -= 1

        await self.beside(*[partial(borrow, 1000 * number) for number in range(self.max_size)])
        return most
