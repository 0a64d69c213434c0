"""`Network`: servers at addresses, lines between, and a clock that somebody else moves.

Bytes take `Network.latency` seconds each way, in pieces of at most `Network.chunk` bytes, and at most
`Network.capacity` bytes are on their way in each direction: a server that cannot get rid of its answer hears
nothing more, as a real one. A `Fault` breaks a line at a chosen byte.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pgproto.testing._peer import Peer

__all__ = ["Direction", "Fault", "Link", "Network"]

_BIG: Final = 1 << 30


class Direction(enum.Enum):
    """Which way bytes go."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


FaultKind: TypeAlias = Literal["reset", "hang up", "stall", "flip", "drop", "duplicate"]


@dataclass(frozen=True)
class Fault:
    """What happens to the byte at this offset of the stream."""

    kind: FaultKind
    """The connection is reset or closed before the byte arrives; nothing arrives from it on; the byte has a
    bit flipped, is missing, or comes twice."""
    direction: Direction
    offset: int
    """How many bytes pass unharmed."""
    bit: int = 0
    """Which bit is flipped, 0 to 7."""


class _Stream:
    """One direction: bytes on their way."""

    def __init__(self, direction: Direction, faults: Sequence[Fault]) -> None:
        self.under_way: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.ended = False
        """Whether nothing will be put in any more."""
        self.stalled = False
        self._offset = 0
        self._faults = deque(
            sorted(
                [fault for fault in faults if fault.direction is direction], key=lambda fault: fault.offset
            )
        )

    def put(self, data: bytes, due: float, chunk: int) -> Fault | None:
        """Send bytes off; returns the fault that ends the connection there, if there is one."""
        while data and not self.ended:
            if self._faults and self._faults[0].offset < self._offset + len(data):
                before = self._faults[0].offset - self._offset
                self._enqueue(data[:before], due, chunk)
                fault = self._faults.popleft()
                data = data[before:]
                self._offset += before
                if fault.kind in ("reset", "hang up"):
                    return fault
                self.stalled = self.stalled or fault.kind == "stall"
                damaged = _damaged(data[:1], fault)
                self._enqueue(damaged, due, chunk)
                self._offset += 1
                data = data[1:]
            else:
                self._enqueue(data, due, chunk)
                self._offset += len(data)
                data = b""
        return None

    def _enqueue(self, data: bytes, due: float, chunk: int) -> None:
        if self.stalled:
            return
        for start in range(0, len(data), chunk):
            piece = data[start : start + chunk]
            self.under_way.append((due, piece))
            self.size += len(piece)

    def take(self, now: float, limit: int) -> bytes:
        """What has arrived by now: at most one piece, and at most ``limit`` bytes."""
        if not self.under_way or self.under_way[0][0] > now:
            return b""
        due, data = self.under_way.popleft()
        if len(data) > limit:
            self.under_way.appendleft((due, data[limit:]))
            data = data[:limit]
        self.size -= len(data)
        return data

    @property
    def next_due(self) -> float | None:
        return self.under_way[0][0] if self.under_way else None

    def cut(self) -> None:
        """Lose what is under way."""
        self.under_way.clear()
        self.size = 0
        self.ended = True


def _damaged(byte: bytes, fault: Fault) -> bytes:
    match fault.kind:
        case "flip":
            return bytes([byte[0] ^ (1 << fault.bit)])
        case "drop":
            return b""
        case "duplicate":
            return byte * 2
        case _:
            return byte


class Link:
    """One connection, seen from the client: what a socket would do, and when."""

    def __init__(self, network: Network, peer: Peer, faults: Sequence[Fault]) -> None:
        self.peer = peer
        self.was_reset: bool = False
        self.sent: bytearray = bytearray()
        """All that the client has written."""
        self._network = network
        self._to_server = _Stream(Direction.TO_SERVER, faults)
        self._to_client = _Stream(Direction.TO_CLIENT, faults)
        self._client_closed = False
        self._server_told = False
        self._now = -1.0

    def send(self, data: bytes, now: float) -> int:
        """Write; returns how many bytes the line takes, maybe none. Raises `OSError` if it is broken."""
        if self.was_reset:
            raise ConnectionResetError("the connection was reset")
        if self.peer.is_closed and not self._to_client.under_way:
            raise BrokenPipeError("the other side has closed the connection")
        room = max(0, self._network.capacity - self._to_server.size)
        accepted = data[:room]
        self.sent += accepted
        fault = self._to_server.put(accepted, now + self._network.latency, self._network.chunk)
        if fault is not None:
            self._break(fault)
        self.advance(now)
        return len(accepted)

    def receive(self, limit: int, now: float) -> bytes | None:
        """Read; None if nothing has come yet, ``b""`` at the end. Raises `OSError` if the line is broken."""
        self.advance(now)
        data = self._to_client.take(now, limit)
        if data:
            # There is room again for what the server has to say.
            self.advance(now)
            return data
        if self.was_reset:
            raise ConnectionResetError("the connection was reset")
        if self._to_client.under_way or self._to_client.stalled:
            return None
        return b"" if self._to_client.ended else None

    @property
    def is_closed(self) -> bool:
        """Whether the client has closed it, or something has broken it."""
        return self._client_closed or self.was_reset

    def close(self, now: float) -> None:
        """The client closes; what it has sent still arrives, and what is on its way to it does not."""
        self._client_closed = True
        self._to_client.cut()
        self.advance(now)

    def reset(self) -> None:
        """Break the line: both sides see a reset, and what is under way is lost."""
        self.was_reset = True
        self._to_server.cut()
        self._to_client.cut()

    def advance(self, now: float) -> None:
        """Let happen what happens by this time."""
        self._now = now
        while True:
            self._let_server_speak(now)
            data = b""
            if self._to_client.size < self._network.capacity:
                data = self._to_server.take(now, _BIG)
            if not data:
                break
            if not self.peer.is_closed:
                self.peer.receive_data(data)
        over = (self._client_closed or self.was_reset) and not self._to_server.under_way
        if over and not self._server_told:
            self._server_told = True
            if not self.peer.is_closed:
                self.peer.receive_data(b"")
                self._let_server_speak(now)

    def next_time(self) -> float | None:
        """When something will happen by itself; None if nothing will."""
        if self.peer.is_closed and not (self._to_client.ended or self.was_reset):
            return 0.0
        times = [self._to_server.next_due, self._to_client.next_due, self.peer.next_time()]
        if times[1] is not None and times[1] <= self._now:
            # It has arrived; when the client takes it is not for the network to say.
            times[1] = None
        if self._to_client.size >= self._network.capacity:
            times[0] = None
        return min([each for each in times if each is not None], default=None)

    def _let_server_speak(self, now: float) -> None:
        # A server does what it was asked to, even if nobody hears its answer any more.
        data = self.peer.data_to_send(now)
        if data and not self._to_client.ended:
            fault = self._to_client.put(data, now + self._network.latency, self._network.chunk)
            if fault is not None:
                self._break(fault)
        if self.peer.is_closed and not self.was_reset:
            self._to_client.ended = True

    def _break(self, fault: Fault) -> None:
        if fault.kind == "reset":
            self.reset()
        else:
            # The line is closed for both; what has been sent before still arrives.
            self._to_client.ended = self._to_server.ended = self._client_closed = True


class Network:
    """Who listens where.

    ``servers`` are functions that accept a connection, such as a `FakeServer`, by ``"host:port"`` or by the
    path of a Unix-domain socket; ``names`` are the addresses of host names. ``latency`` is in seconds.
    ``faults`` are for the first connection, the second, and so on.
    """

    def __init__(
        self,
        servers: Mapping[str, Callable[[], Peer]],
        *,
        names: Mapping[str, str] | None = None,
        latency: float = 0.0,
        chunk: int = _BIG,
        capacity: int = _BIG,
        faults: Sequence[Sequence[Fault]] = (),
    ) -> None:
        self.servers: dict[str, Callable[[], Peer]] = dict(servers)
        self.names: dict[str, str] = dict(names or {})
        self.latency = latency
        self.chunk = chunk
        self.capacity = capacity
        self.links: list[Link] = []
        """All connections that were ever made."""
        self._faults = deque(faults)

    def resolve(self, host: str) -> str:
        """The address of a host; raises `OSError` if it has none."""
        if host in self.names:
            return self.names[host]
        if host.replace(".", "").isdigit() or ":" in host:
            return host
        raise OSError(f"no address is known for {host!r}")

    def open(self, address: str) -> Link:
        """Connect; raises `OSError` if nobody listens there."""
        accept = self.servers.get(address)
        if accept is None:
            raise ConnectionRefusedError(f"nobody listens at {address}")
        link = Link(self, accept(), self._faults.popleft() if self._faults else ())
        self.links.append(link)
        return link

    def advance(self, now: float) -> None:
        """Let happen on all lines what happens by this time."""
        for link in self.links:
            link.advance(now)

    def next_time(self) -> float | None:
        """When something will happen by itself; None if nothing will."""
        times = [link.next_time() for link in self.links]
        return min([each for each in times if each is not None], default=None)
