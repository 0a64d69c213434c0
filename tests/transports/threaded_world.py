"""The blocking transport in a world of its own, with all the threads it wants, of which one runs at a time.

The threads are real, and so is what they run; what they wait with is not: the locks, queues, sockets and the
clock of the transport lead in here. Whoever waits lets another one go on, which chance chooses, the same one
each time; whoever takes a lock may have to let another one go first; and when everybody waits, virtual time
passes. So a program with threads does the same each time, and if they wait for what will never happen, it
fails with `Deadlock`.
"""

from __future__ import annotations

import math
import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias, TypeVar, cast
from unittest import mock

import pgproto_blocking
from pgproto.testing import Network
from pgproto_asyncio.testing import Deadlock
from pgproto_blocking import _driver, _passengers, _pool, _wire
from tests.contract.faces import Awaited
from tests.contract.pools import Pool
from tests.transports.blocking_world import BlockingWorld, drive
from tests.transports.worlds import Function, Main

__all__ = ["ThreadedWorld"]

T = TypeVar("T")

Condition: TypeAlias = Callable[[], bool]

_SHARE = 0.2
"""How often others go on first where a lock is taken."""
_MOST_TURNS = 100_000


class ThreadedWorld(BlockingWorld):
    name = "threads"

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.make_pool = self._make_pool
        self.running = self._main = _Thread(self, bool)
        """The thread whose turn it is; the others wait."""
        self._alive: set[_Thread] = set()
        """Those that were started and are not over."""
        self._waiting: dict[_Thread, tuple[Condition, float]] = {}
        self._chance = random.Random(0)
        self._turns = 0
        self.broken: BaseException | None = None
        """What a thread was ended by."""
        self._stuck: Deadlock | None = None

    def _run(self, main: Main[T]) -> T:
        outcome = drive(main(self))
        # Those that were left behind, in what took too long, end by themselves.
        self.wait_for(lambda: not self._alive)
        if self.broken is not None:
            raise self.broken
        return outcome

    @contextmanager
    def _in_force(self) -> Generator[None, None, None]:
        threads = SimpleNamespace(
            Lock=partial(_Lock, self),
            Event=partial(_Event, self),
            Thread=partial(_Thread, self),
            current_thread=lambda: self.running,
        )
        queues = SimpleNamespace(SimpleQueue=partial(_Queue, self), Empty=queue.Empty)
        clock = SimpleNamespace(monotonic=self.now)
        with super()._in_force(), ExitStack() as stack:
            for module in (_driver, _passengers, _pool, _wire):
                stack.enter_context(mock.patch.object(module, "threading", threads))
            stack.enter_context(mock.patch.object(_pool, "queue", queues))
            stack.enter_context(mock.patch.object(_pool, "time", clock))
            yield

    def _make_pool(self, dsn: str, **options: Any) -> AbstractAsyncContextManager[Pool]:
        pool = pgproto_blocking.Pool(dsn, open_socket=self._open, **options)
        return cast("AbstractAsyncContextManager[Pool]", Awaited(pool))

    async def together(self, *functions: Function) -> list[Any]:
        results: list[Any] = [None] * len(functions)

        def call(place: int, function: Function) -> None:
            try:
                results[place] = drive(function())
            except Exception as error:
                results[place] = error

        threads = [_Thread(self, call, args=each) for each in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    # Whose turn it is.

    def wait_for(self, condition: Condition, until: float = math.inf) -> bool:
        me = self.running
        self._waiting[me] = condition, until
        self.go_on(me)
        if self._stuck is not None:
            raise self._stuck
        return condition()

    def may_pause(self) -> None:
        """Perhaps let another one go on first."""
        if self._chance.random() < _SHARE:
            self.wait_for(lambda: True)

    def begin(self, thread: _Thread) -> None:
        """From now on the thread has its turns."""
        self._alive.add(thread)
        self._waiting[thread] = lambda: True, math.inf

    def end(self, thread: _Thread) -> None:
        """The thread has had its last turn."""
        self._alive.discard(thread)
        self.go_on(None)

    def go_on(self, me: _Thread | None) -> None:
        """Let somebody go on who can; returns when it is ``me`` again."""
        chosen = self.running = self._choose()
        del self._waiting[chosen]
        if chosen is me:
            return
        chosen.turn.release()
        if me is not None:
            me.turn.acquire()

    def _choose(self) -> _Thread:
        self._turns += 1
        try:
            while not (able := [thread for thread in self._waiting if self._is_able(thread)]):
                self.let_pass(min([until for _, until in self._waiting.values()]))
            if self._turns > _MOST_TURNS:
                raise Deadlock(f"the threads do not come to their end, at {self._now:.3f} s")
        except Deadlock as error:
            # It is for the program to say so; the other threads stay where they are.
            self._stuck = error
            return self._main
        return self._chance.choice(able)

    def _is_able(self, thread: _Thread) -> bool:
        condition, until = self._waiting[thread]
        return until <= self._now or condition()


class _Thread:
    """As `threading.Thread`."""

    def __init__(
        self,
        world: ThreadedWorld,
        target: Callable[..., object],
        args: tuple[Any, ...] = (),
        name: str = "",
        daemon: bool = True,
    ) -> None:
        self.name = name
        self.turn = threading.Lock()
        """Released for the time of a turn."""
        self.turn.acquire()
        self._world = world
        self._target = target
        self._args = args
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)

    def start(self) -> None:
        self._world.begin(self)
        self._thread.start()

    def _run(self) -> None:
        self.turn.acquire()
        try:
            self._target(*self._args)
        except BaseException as error:
            self._world.broken = error
        self._is_over = True
        self._world.end(self)

    def join(self, timeout: float | None = None) -> None:
        self._world.wait_for(lambda: self._is_over, _end(self._world, timeout))


def _end(world: ThreadedWorld, timeout: float | None) -> float:
    return math.inf if timeout is None or timeout < 0 else world.now() + timeout


class _Lock:
    """As `threading.Lock`."""

    def __init__(self, world: ThreadedWorld) -> None:
        self._world = world
        self._is_locked = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            self._world.may_pause()
        if self._is_locked:
            free = blocking and self._world.wait_for(lambda: not self._is_locked, _end(self._world, timeout))
            if not free:
                return False
        self._is_locked = True
        return True

    def release(self) -> None:
        assert self._is_locked, "a lock is released that nobody holds"
        self._is_locked = False

    def locked(self) -> bool:
        return self._is_locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class _Event:
    """As `threading.Event`."""

    def __init__(self, world: ThreadedWorld) -> None:
        self._world = world
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float | None = None) -> bool:
        return self._world.wait_for(self.is_set, _end(self._world, timeout))


class _Queue:
    """As `queue.SimpleQueue`."""

    def __init__(self, world: ThreadedWorld) -> None:
        self._world = world
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, timeout: float | None = None) -> Any:
        if not self._world.wait_for(lambda: bool(self._items), _end(self._world, timeout)):
            raise queue.Empty
        return self._items.popleft()
