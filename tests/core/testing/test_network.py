"""The network of `pgproto.testing`: what arrives when, and how lines break."""

from __future__ import annotations

import contextlib
from typing import Literal

import pytest

from pgproto import messages as m
from pgproto.testing import Direction, FakeServer, Fault, Link, Network, Statement

__all__: list[str] = []

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT


class Echo:
    """Says what it hears, in capitals."""

    def __init__(self) -> None:
        self.heard = b""
        self.told_of_the_end = False
        self.closed = False
        self._out = b""

    def receive_data(self, data: bytes) -> None:
        self.heard += data
        self._out += data.upper()
        self.told_of_the_end = self.told_of_the_end or not data
        self.closed = self.closed or b"bye" in data

    def data_to_send(self, now: float) -> bytes:
        data, self._out = self._out, b""
        return data

    def next_time(self) -> float | None:
        return None

    @property
    def is_closed(self) -> bool:
        return self.closed


def connected(
    *faults: Fault, latency: float = 0.0, chunk: int = 1 << 20, capacity: int = 1 << 20
) -> tuple[Echo, Link]:
    echo = Echo()
    network = Network(
        {"here:1": lambda: echo}, latency=latency, chunk=chunk, capacity=capacity, faults=[faults]
    )
    return echo, network.open("here:1")


def everything(link: Link, now: float = 0.0) -> bytes:
    received = b""
    while data := link.receive(1 << 20, now):
        received += data
    return received


def test_there_and_back() -> None:
    echo, link = connected()
    assert link.send(b"hello", 0.0) == 5
    assert everything(link) == b"HELLO"
    assert echo.heard == bytes(link.sent) == b"hello"
    assert link.receive(10, 0.0) is None


def test_bytes_take_their_time() -> None:
    echo, link = connected(latency=0.5)
    link.send(b"hello", 1.0)
    assert link.next_time() == 1.5
    assert link.receive(10, 1.4) is None
    assert echo.heard == b""
    link.advance(1.5)
    assert echo.heard == b"hello"
    assert link.next_time() == 2.0
    assert link.receive(10, 1.9) is None
    assert link.receive(3, 2.0) == b"HEL"
    assert link.receive(3, 2.0) == b"LO"
    assert link.next_time() is None


def test_bytes_come_in_pieces() -> None:
    _, link = connected(chunk=2)
    link.send(b"hello", 0.0)
    assert [link.receive(10, 0.0) for _ in range(3)] == [b"HE", b"LL", b"O"]


def test_a_line_holds_only_so_much() -> None:
    echo, link = connected(latency=1.0, capacity=4)
    assert link.send(b"hello", 0.0) == 4
    assert link.send(b"o", 0.0) == 0
    link.advance(1.0)
    assert echo.heard == b"hell"
    # The answer fills the other direction, so the server hears nothing more.
    assert link.send(b"olleh", 1.0) == 4
    link.advance(2.0)
    assert echo.heard == b"hell"
    assert link.next_time() is None
    assert link.receive(10, 2.0) == b"HELL"
    assert echo.heard == b"hellolle"


def test_closing() -> None:
    echo, link = connected(latency=1.0)
    link.send(b"hello", 0.0)
    link.close(0.0)
    assert not echo.told_of_the_end
    link.advance(1.0)
    assert echo.heard == b"hello"
    assert echo.told_of_the_end


def test_the_server_closes() -> None:
    _, link = connected()
    link.send(b"goodbye", 0.0)
    assert everything(link) == b"GOODBYE"
    assert link.receive(10, 0.0) == b""
    with pytest.raises(BrokenPipeError):
        link.send(b"more", 0.0)


def test_nobody_there() -> None:
    network = Network({"192.0.2.1:1": Echo}, names={"db": "192.0.2.1"})
    assert network.resolve("db") == "192.0.2.1"
    assert network.resolve("::1") == "::1"
    network.open("192.0.2.1:1")
    for failing in (lambda: network.open("192.0.2.1:2"), lambda: network.resolve("other")):
        with pytest.raises(OSError, match=r"192\.0\.2\.1:2|other"):
            failing()
    assert len(network.links) == 1
    assert network.next_time() is None


@pytest.mark.parametrize(
    ("fault", "heard", "received"),
    [
        (Fault("flip", TO_SERVER, 1), b"hdllo", b"HDLLO"),
        (Fault("flip", TO_SERVER, 1, bit=3), b"hmllo", b"HMLLO"),
        (Fault("drop", TO_SERVER, 0), b"ello", b"ELLO"),
        (Fault("duplicate", TO_SERVER, 4), b"helloo", b"HELLOO"),
        (Fault("flip", TO_CLIENT, 4), b"hello", b"HELLN"),
        (Fault("drop", TO_CLIENT, 4), b"hello", b"HELL"),
        (Fault("duplicate", TO_CLIENT, 0), b"hello", b"HHELLO"),
        (Fault("stall", TO_SERVER, 2), b"he", b"HE"),
        (Fault("stall", TO_CLIENT, 2), b"hello", b"HE"),
        (Fault("hang up", TO_SERVER, 3), b"hel", b""),
        (Fault("hang up", TO_CLIENT, 3), b"hello", b"HEL"),
        (Fault("drop", TO_SERVER, 9), b"hello", b"HELLO"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 100])
def test_faults(fault: Fault, heard: bytes, received: bytes, chunk: int) -> None:
    echo, link = connected(fault, chunk=chunk)
    link.send(b"hello", 0.0)
    assert everything(link) == received
    assert echo.heard == heard
    if fault.kind == "hang up":
        assert link.receive(10, 0.0) == b""
        assert echo.told_of_the_end
    else:
        assert link.receive(10, 0.0) is None


@pytest.mark.parametrize("direction", list(Direction))
def test_a_reset_loses_what_is_under_way(direction: Direction) -> None:
    echo, link = connected(Fault("reset", direction, 3))
    link.send(b"hello", 0.0)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            link.receive(10, 0.0)
        with pytest.raises(ConnectionResetError):
            link.send(b"more", 0.0)
    assert link.next_time() is None
    assert echo.heard in (b"", b"hello")


def test_several_faults_in_one_stream() -> None:
    echo, link = connected(
        Fault("drop", TO_SERVER, 3), Fault("flip", TO_SERVER, 0), Fault("drop", TO_SERVER, 4)
    )
    link.send(b"he", 0.0)
    link.send(b"llo", 0.0)
    assert echo.heard == b"iel"


def test_faults_belong_to_connections_in_their_order() -> None:
    network = Network({"here:1": Echo}, faults=[(), (Fault("reset", TO_SERVER, 0),)])
    first, second, third = [network.open("here:1") for _ in range(3)]
    for link in (first, third):
        link.send(b"a", 0.0)
        assert everything(link) == b"A"
    second.send(b"a", 0.0)
    assert second.was_reset


@pytest.mark.parametrize("kind", ["reset", "hang up"])
def test_a_server_does_what_it_has_heard_though_nobody_hears_it(kind: Literal["reset", "hang up"]) -> None:
    server = FakeServer({"work": Statement(delay=5.0)})
    startup = m.StartupMessage({"user": "alice"}).encode()
    network = Network({"here:1": server}, faults=[[Fault(kind, TO_CLIENT, 500)]])
    link = network.open("here:1")
    link.send(startup, 0.0)
    said = len(everything(link))
    assert said < 500
    # The answer to what comes before reaches the byte at which the line breaks.
    link.send(m.Query(";" * 10).encode() * 100 + m.Query("work").encode(), 1.0)
    with contextlib.suppress(OSError):
        everything(link, 1.0)
    assert link.next_time() == 6.0
    assert server.committed == []
    network.advance(6.0)
    assert [done.sql for done in server.committed] == ["work"]
    assert server.sessions[0].is_closed
    assert link.next_time() is None


def test_what_a_server_says_of_its_own_accord() -> None:
    server = FakeServer({})
    network = Network({"here:1": server})
    link = network.open("here:1")
    link.send(m.StartupMessage({"user": "alice"}).encode() + m.Query("listen news").encode(), 0.0)
    everything(link)
    assert network.next_time() is None
    server.notify("news", "hello")
    assert network.next_time() == 0.0
    assert b"hello" in everything(link)
    assert not link.is_closed
    server.sessions[0].hang_up()
    assert network.next_time() == 0.0
    assert link.receive(1, 1.0) == b""
    assert network.next_time() is None
    link.close(1.0)
    assert link.is_closed
