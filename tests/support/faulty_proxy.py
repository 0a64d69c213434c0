"""A proxy on the loopback interface that breaks the line on purpose.

    with FaultyProxy("127.0.0.1", server.port, delay=0.01) as proxy:
        ...connect to proxy.port...
        proxy.fail("reset")                                   # now
        proxy.fail("swallow", after=100, direction=TO_SERVER) # at the hundredth byte

It runs in a thread of its own, so it works whatever the test waits with.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

__all__ = ["TO_CLIENT", "TO_SERVER", "Direction", "FaultyProxy", "How", "Link"]

T = TypeVar("T")

How = Literal["reset", "hang up", "swallow"]
"""RST to both sides; FIN to both sides; or silence: everything is acknowledged and nothing arrives."""

Direction = Literal["to server", "to client"]
TO_SERVER: Final = "to server"
TO_CLIENT: Final = "to client"

_CHUNK = 64 * 1024
# With a linger time of zero, closing sends RST.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass
class _Fault:
    how: How
    after: int
    direction: Direction | None


@dataclass(eq=False)
class Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    carried: dict[str, int] = field(default_factory=lambda: {TO_SERVER: 0, TO_CLIENT: 0})
    """How many bytes have passed, in each direction."""
    swallows: bool = False
    ended: bool = False

    def end(self, *, reset: bool) -> None:
        """Close both sides."""
        self.ended = True
        for writer in (self.client, self.server):
            if reset:
                opened: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                writer.transport.abort()
            else:
                writer.close()


class FaultyProxy:
    """Carries connections from its `port` to a server; `delay` is in seconds, one way."""

    def __init__(self, host: str, port: int, *, delay: float = 0.0) -> None:
        self.delay = delay
        self.port = 0
        self.links: list[Link] = []
        """All connections that were ever made through it."""
        self._target = (host, port)
        self._faults: list[_Fault] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What a test asks for.

    def fail(self, how: How, *, after: int = 0, direction: Direction | None = None) -> None:
        """Break every link that has carried ``after`` bytes in that direction (None: in both together).

        That is at once if it has already, and it goes for links that are still to come, until `mend`.
        """
        self._run(self._add(_Fault(how, after, direction)))

    def mend(self) -> None:
        """Let new links live."""
        self._run(self._call(self._faults.clear))

    @property
    def live(self) -> int:
        """How many links are open."""
        return sum(not link.ended for link in self.links)

    # In the thread.

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _call(self, function: Callable[[], T]) -> T:
        return function()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in self.links:
            if not link.ended:
                link.end(reset=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The transports tell their protocols of the end in the next turn of the loop.
        await asyncio.sleep(0)

    async def _add(self, fault: _Fault) -> None:
        self._faults.append(fault)
        for link in self.links:
            self._judge(link, {})

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server_writer)
        self.links.append(link)
        self._judge(link, {})
        self._spawn(self._carry(link, TO_SERVER, reader, server_writer))
        self._spawn(self._carry(link, TO_CLIENT, server_reader, writer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, link: Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not self.delay:
            await self._pump(link, direction, lambda: reader.read(_CHUNK), writer)
            return
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take() -> bytes:
            due, data = await queue.get()
            await asyncio.sleep(due - time.monotonic())
            return data

        async def fill() -> None:
            data = b"-"
            while data:
                data = await self._read(reader)
                queue.put_nowait((time.monotonic() + self.delay, data))

        self._spawn(fill())
        await self._pump(link, direction, take, writer)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(_CHUNK)
        except OSError:
            return b""

    async def _pump(
        self,
        link: Link,
        direction: Direction,
        take: Callable[[], Awaitable[bytes]],
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            while (data := await take()) and not link.ended:
                while data and not link.ended:
                    allowed = self._judge(link, {direction: len(data)})
                    part, data = data[:allowed], data[allowed:]
                    link.carried[direction] += len(part)
                    if not link.swallows and part:
                        writer.write(part)
                        await writer.drain()
        except OSError:
            # One side has gone; the other hears of it below.
            ...
        if not link.ended and not link.swallows:
            link.end(reset=False)

    def _judge(self, link: Link, more: dict[Direction, int]) -> int:
        """Break the link if it has carried enough; returns how many of ``more`` bytes it may carry now."""
        allowed = sum(more.values())
        for fault in self._faults:
            carried = sum(
                count for direction, count in link.carried.items() if fault.direction in (None, direction)
            )
            if link.ended or carried >= fault.after:
                self._break(link, fault.how)
            elif fault.direction is None or fault.direction in more:
                allowed = min(allowed, fault.after - carried)
        return allowed

    def _break(self, link: Link, how: How) -> None:
        if how == "swallow":
            link.swallows = True
        elif not link.ended:
            link.end(reset=how == "reset")
