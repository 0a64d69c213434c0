"""Programs on trio with a network in memory and a clock that only moves while everybody waits.

    network = Network({"192.0.2.1:5432": FakeServer({...})}, latency=0.02)

    async def main():
        async with pgproto_trio.connect("postgresql://alice@192.0.2.1/app") as session:
            ...

    run(main, network)

The driver is used as it is; only trio's sockets, names and clock are others. What would take hours takes
none. There is no TLS on this network.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from pgproto.testing import Link, Network

__all__ = ["VirtualSocket", "run"]

T = TypeVar("T")


def run(main: Callable[..., Awaitable[T]], network: Network, *arguments: object) -> T:
    """Run a program to its end, as `trio.run` does, on this network."""
    clock = MockClock(autojump_threshold=0)
    watch = _Watch(network, clock)

    async def on_network() -> T:
        sockets = watch.sockets = _Sockets(network)
        trio.socket.set_custom_hostname_resolver(sockets)
        trio.socket.set_custom_socket_factory(sockets)
        return await main(*arguments)

    return trio.run(on_network, clock=clock, instruments=[watch])


class _Watch(trio.abc.Instrument):
    """Sees to it that no virtual time passes while something happens in the real world or on the network."""

    def __init__(self, network: Network, clock: MockClock) -> None:
        self.sockets: _Sockets | None = None
        self._network = network
        self._clock = clock
        self._stopped = False

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        # A thread takes the real world's time.
        working = trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0
        if working is not self._stopped:
            self._stopped = working
            self._clock.autojump_threshold = math.inf if working else 0.0

    def before_io_wait(self, timeout: float) -> None:
        # Somebody may have made a server speak, beside the network.
        if self.sockets is not None:
            self.sockets.look()


class _Sockets(trio.abc.HostnameResolver, trio.abc.SocketFactory):
    """Makes sockets, and wakes those who wait for what happens on them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._news = trio.Event()
        self._expected = math.inf

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        address = self.network.resolve("" if host is None else host.decode())
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        return sockaddr[0], str(sockaddr[1])

    def socket(
        self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0
    ) -> VirtualSocket:
        return VirtualSocket(self, family)

    def happened(self) -> None:
        """Something was sent or closed: everybody looks again."""
        self.network.advance(trio.current_time())
        self._news.set()
        self._news = trio.Event()

    async def wait(self) -> None:
        """Wait until something has happened, or something that was sent arrives."""
        news = self._news
        following = self.network.next_time()
        self._expected = math.inf if following is None else following
        with trio.move_on_at(self._expected) as scope:
            await news.wait()
        if scope.cancelled_caught:
            # It may be on a line that nobody waits for.
            self.happened()

    def look(self) -> None:
        """See whether something happens before those who wait expect it."""
        following = self.network.next_time()
        if following is not None and following < self._expected:
            self._expected = following
            self.happened()


class VirtualSocket(trio.socket.SocketType):
    """One connection, as trio sees it."""

    def __init__(self, sockets: _Sockets, family: int) -> None:
        super().__init__()
        self._sockets = sockets
        self._family = family
        self._link: Link | None = None
        self._closed = False

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_UNIX."""
        return socket.AddressFamily(self._family)

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_STREAM."""
        return socket.SOCK_STREAM

    @property
    def proto(self) -> int:
        """None in particular."""
        return 0

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # the name is trio's
        """Never: no half of a connection is closed alone."""
        return False

    def fileno(self) -> int:
        """No file."""
        return -1

    def setsockopt(self, *_: Any, **__: Any) -> None:
        """Take an option; it is of no consequence."""

    def getsockopt(self, *_: Any, **__: Any) -> Any:
        """Raise: there are no options."""
        raise OSError("a connection in memory has no such option")

    async def connect(self, address: Any) -> None:
        """Connect to what the network has there."""
        await trio.sleep(self._sockets.network.latency)
        where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        self._link = self._sockets.network.open(where)
        self._sockets.happened()

    async def send(self, buffer: Any, flags: int = 0) -> int:
        """Send what the line takes, when it takes any."""
        data = bytes(buffer)
        await trio.lowlevel.checkpoint()
        while True:
            sent = self._expect_link().send(data, trio.current_time())
            if sent or not data:
                self._sockets.happened()
                return sent
            # Nothing has happened: two who wait for room must not wake each other for ever.
            await self._sockets.wait()

    async def recv(self, buflen: int, flags: int = 0) -> bytes:
        """Take what has arrived, when there is any."""
        await trio.lowlevel.checkpoint()
        while (data := self._expect_link().receive(buflen, trio.current_time())) is None:
            await self._sockets.wait()
        if data:
            # There is room again for those who send.
            self._sockets.happened()
        return data

    def shutdown(self, flag: int) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close; whoever waits for this socket hears of it."""
        if not self._closed:
            self._closed = True
            if self._link is not None:
                self._link.close(trio.current_time())
            self._sockets.happened()

    def _expect_link(self) -> Link:
        if self._closed:
            raise trio.ClosedResourceError("the socket has been closed")
        if self._link is None:
            raise OSError("the socket is not connected")
        return self._link
