"""The blocking transport in a world of its own: its socket leads into a network in memory, on virtual time.

The driver and its wire are as they are; the socket, the selector and the clock below them are others. There
is one thread, so what is to happen together happens one after the other, and a program that would have to
wait for another thread fails with `Deadlock`.
"""

from __future__ import annotations

import math
import selectors
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest import mock

import pgproto_blocking
from pgproto.testing import Link, Network
from pgproto_asyncio.testing import Deadlock
from pgproto_blocking import _driver, _flow, _wire
from tests.contract.faces import Awaited
from tests.transports.worlds import Function, How, Main, World

__all__ = ["BlockingWorld", "drive"]

T = TypeVar("T")

_CHUNK = 256 * 1024


class BlockingWorld(World):
    name = "blocking"

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.connect = self._connect
        self._now = 0.0
        self._sockets: list[_Socket] = []

    def run(self, main: Main[T]) -> T:
        with self._in_force():
            outcome = self._run(main)
        assert all(each.fileno() == -1 for each in self._sockets), "a file descriptor is left open"
        return outcome

    def _run(self, main: Main[T]) -> T:
        return drive(main(self))

    @contextmanager
    def _in_force(self) -> Generator[None, None, None]:
        clock = SimpleNamespace(monotonic=self.now, perf_counter=self.now, time=self.now)
        with (
            mock.patch.object(_driver, "time", clock),
            mock.patch.object(_flow, "time", clock),
            mock.patch.object(_wire, "time", clock),
            mock.patch.object(_wire, "new_selector", partial(_Selector, self)),
            mock.patch.object(_driver.Driver, "clock", staticmethod(self.now)),
        ):
            yield

    @asynccontextmanager
    async def _connect(self, dsn: str, **parameters: Any) -> AsyncGenerator[Any, None]:
        with pgproto_blocking.connect(dsn, open_socket=self._open, **parameters) as session:
            yield Awaited(session)

    def _open(self, host: str, port: int) -> socket.socket:
        self._sockets.append(_Socket(self, self.network.open(f"{host}:{port}")))
        return self._sockets[-1]

    def now(self) -> float:
        return self._now

    def let_pass(self, until: float) -> None:
        """Let virtual time pass, at most until then: less if something happens before."""
        following = self.network.next_time()
        then = until if following is None else min(until, max(following, self._now))
        if then == math.inf:
            raise Deadlock(f"the thread waits, at {self._now:.3f} s, for what will never happen")
        self._now = then
        self.network.advance(then)

    def wait_for(self, condition: Callable[[], bool], until: float = math.inf) -> bool:
        """Let virtual time pass until it is so, or it is too late; returns whether it is so."""
        while not condition():
            if self._now >= until:
                return False
            self.let_pass(until)
        return True

    async def sleep(self, seconds: float) -> None:
        self.wait_for(lambda: False, self._now + seconds)

    async def in_peace(self, function: Function) -> None:
        await function()

    async def cancel_at(
        self,
        step: int,
        function: Function,
        *,
        how: How = "once",
        also: Callable[[], object] | None = None,
    ) -> bool:
        """Run the function; threads are not cancelled."""
        await function()
        return False

    async def within(self, seconds: float, function: Function) -> bool:
        """Run the function; it has all the time it wants."""
        await function()
        return False

    async def together(self, *functions: Function) -> list[Any]:
        results: list[Any] = []
        for function in functions:
            try:
                results.append(await function())
            except Exception as error:
                results.append(error)
        return results


def drive(coroutine: Awaitable[T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        cast("Coroutine[Any, Any, T]", coroutine).send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    raise AssertionError("a program of the blocking transport waited for an event loop")


class _Socket(socket.socket):
    """The end of a link, in the shape of a socket that never blocks."""

    def __init__(self, world: BlockingWorld, link: Link) -> None:
        super().__init__()
        self._world = world
        self._link = link
        self._arrived = b""
        self._shut = False

    def can_read(self) -> bool:
        """Whether `recv` has something to tell."""
        if self._shut or self._arrived or self._link.was_reset:
            return True
        try:
            data = self._link.receive(_CHUNK, self._world.now())
        except OSError:
            # `recv` will say so.
            return True
        self._arrived = data or b""
        return data is not None

    def can_write(self) -> bool:
        """Whether `send` takes something, or fails."""
        line = self._link._to_server
        return self._link.was_reset or line.size < self._world.network.capacity

    def recv(self, limit: int, flags: int = 0) -> bytes:
        if not self.can_read():
            raise BlockingIOError
        if self._shut:
            return b""
        if not self._arrived:
            return self._link.receive(limit, self._world.now()) or b""
        data = self._arrived[:limit]
        if not flags & socket.MSG_PEEK:
            self._arrived = self._arrived[limit:]
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        sent = self._link.send(bytes(data), self._world.now())
        if data and not sent:
            raise BlockingIOError
        return sent

    def shutdown(self, how: int) -> None:
        self._shut = True
        self._link.close(self._world.now())

    def close(self) -> None:
        self._link.close(self._world.now())
        super().close()


class _Selector(selectors.BaseSelector):
    """Waits for one of these sockets; meanwhile virtual time passes."""

    def __init__(self, world: BlockingWorld) -> None:
        self._world = world
        self._keys: dict[object, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = key = selectors.SelectorKey(fileobj, fileobj.fileno(), events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Any:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        until = math.inf if timeout is None else self._world.now() + timeout
        self._world.wait_for(lambda: any(map(_ready, self._keys.values())), until)
        return [(key, ready) for key in self._keys.values() if (ready := _ready(key))]


def _ready(key: selectors.SelectorKey) -> int:
    opened = cast("_Socket", key.fileobj)
    ready = selectors.EVENT_READ if opened.can_read() else 0
    if opened.can_write():
        ready |= selectors.EVENT_WRITE
    return ready & key.events
