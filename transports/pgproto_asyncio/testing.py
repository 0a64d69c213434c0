"""Programs on asyncio with a network in memory and a clock that only moves while everybody waits.

    network = Network({"192.0.2.1:5432": FakeServer({...})}, latency=0.02)

    async def main():
        async with pgproto_asyncio.connect("postgresql://alice@192.0.2.1/app") as session:
            ...

    run(main(), network)

The driver is used as it is; only the event loop is another. What would take hours takes none, and what would
wait for ever fails with `Deadlock`. There is no TLS on this network.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from pgproto.testing import Link, Network

__all__ = ["Deadlock", "VirtualLoop", "run"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
P = TypeVar("P", bound=asyncio.BaseProtocol)

_HIGH_WATER = 64 * 1024
_CHUNK = 256 * 1024


class Deadlock(RuntimeError):
    """Everybody waits, and nothing will ever happen."""


def run(main: Coroutine[Any, Any, T], network: Network, *, debug: bool | None = None) -> T:
    """Run a program to its end, as `asyncio.run` does, on this network.

    Raises `Deadlock` if it would wait for ever.
    """
    with asyncio.Runner(debug=debug, loop_factory=lambda: VirtualLoop(network)) as runner:
        return runner.run(main)


class _Idle(selectors.DefaultSelector):
    """Never waits: where the loop would, it lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.wait: Callable[[float | None], None] = lambda _: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout != 0:
            self.wait(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections lead into a `pgproto.testing.Network`, and whose time is virtual."""

    def __init__(self, network: Network) -> None:
        self._virtual_time = 0.0
        selector = _Idle()
        super().__init__(selector)
        selector.wait = self._let_time_pass
        self.network = network
        self._transports: list[_Transport] = []
        self._wake_up: asyncio.TimerHandle | None = None

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_time

    def _let_time_pass(self, timeout: float | None) -> None:
        following = self.network.next_time()
        if following is not None and self._plan(max(following, self._virtual_time)):
            # Somebody has made a server speak, beside the network.
            return
        if timeout is None:
            raise Deadlock(f"everybody waits, at {self._virtual_time:.3f} s, for what will never happen")
        self._virtual_time += timeout

    # What takes the real world's time is done at once.

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call the function here and now."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Ask the network for the address."""
        address = self.network.resolve(str(host))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    # Connections.

    async def create_connection(
        self, protocol_factory: Callable[[], P], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, P]:
        """Connect to what the network has there; options are of no consequence."""
        return await self._connect(protocol_factory, f"{self.network.resolve(str(host))}:{port}")

    async def create_unix_connection(
        self, protocol_factory: Callable[[], P], path: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, P]:
        """Connect to what the network has under this path."""
        return await self._connect(protocol_factory, str(path))

    async def _connect(self, protocol_factory: Callable[[], P], address: str) -> tuple[asyncio.Transport, P]:
        await asyncio.sleep(self.network.latency)
        link = self.network.open(address)
        protocol = protocol_factory()
        transport = _Transport(self, link, protocol)
        self._transports.append(transport)
        protocol.connection_made(transport)
        self.happened()
        return transport, protocol

    def happened(self) -> None:
        """Something was sent or closed: see what comes of it."""
        self._plan(self._virtual_time)

    def forget(self, transport: _Transport) -> None:
        """This connection is over."""
        if transport in self._transports:
            self._transports.remove(transport)

    def _plan(self, when: float) -> bool:
        """Look again at this time; False if that was planned already, for this time or before."""
        if self._wake_up is not None:
            if self._wake_up.when() <= when:
                return False
            self._wake_up.cancel()
        self._wake_up = self.call_at(when, self._carry)
        return True

    def _carry(self) -> None:
        """Deliver what has arrived."""
        self._wake_up = None
        self.network.advance(self._virtual_time)
        more = False
        for transport in [*self._transports]:
            more = transport.carry() or more
        following = self._virtual_time if more else self.network.next_time()
        if following is not None:
            self._plan(max(following, self._virtual_time))


class _Socket:
    """Takes socket options, and has none."""

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: object) -> None: ...

    def getsockopt(self, *_: object) -> int:
        raise OSError("a connection in memory has no such option")


class _Transport(asyncio.Transport):
    """One connection."""

    def __init__(self, loop: VirtualLoop, link: Link, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"socket": _Socket()})
        self._loop = loop
        self._link = link
        self._protocol = protocol
        self._buffer = bytearray()
        self._high = _HIGH_WATER
        self._writing_paused = False
        self._reading_paused = False
        self._closing = False
        self._over = False

    # What protocols call.

    def write(self, data: Any) -> None:
        """Send, as soon as the line takes it."""
        if self._over or self._closing:
            return
        self._buffer += data
        self._write()
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()
        self._loop.happened()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pause the protocol when more than ``high`` bytes wait."""
        self._high = _HIGH_WATER if high is None else high

    def get_write_buffer_size(self) -> int:
        """How many bytes wait."""
        return len(self._buffer)

    def can_write_eof(self) -> bool:
        """No half of a connection is closed alone."""
        return False

    def pause_reading(self) -> None:
        """Deliver nothing."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        self._reading_paused = False
        self._loop.happened()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._closing or self._over

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol have what comes."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who has what comes."""
        return self._protocol

    def close(self) -> None:
        """Close, when what waits has been sent."""
        if not self._closing:
            self._closing = True
            if not self._buffer:
                self._end(None)

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._buffer.clear()
        self._end(None)

    # What the loop calls.

    def carry(self) -> bool:
        """Move bytes both ways; True if there is more to be had at once."""
        if self._over:
            return False
        if self._buffer:
            self._write()
        if self.is_closing() or self._reading_paused:
            return False
        try:
            data = self._link.receive(_CHUNK, self._loop.time())
        except OSError as error:
            self._end(error)
            return False
        if data is None:
            return False
        if data:
            self._deliver(data)
            return True
        if isinstance(self._protocol, asyncio.Protocol) and not self._protocol.eof_received():
            self.close()
        return False

    def _deliver(self, data: bytes) -> None:
        if isinstance(self._protocol, asyncio.Protocol):
            self._protocol.data_received(data)

    def _write(self) -> None:
        try:
            sent = self._link.send(bytes(self._buffer), self._loop.time())
        except OSError as error:
            self._end(error)
            return
        del self._buffer[:sent]
        if self._writing_paused and not self._buffer:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._closing and not self._buffer:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        self._buffer.clear()
        self._link.close(self._loop.time())
        self._loop.forget(self)
        self._loop.call_soon(self._protocol.connection_lost, error)
        self._loop.happened()
