"""A world without sockets.

Names, addresses, files and servers are in dictionaries, and the clock moves when somebody waits in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pgproto._config import Config, load_config
from pgproto._connecting import Established, connect
from pgproto._effects import (
    Address,
    AskPassword,
    CloseSocket,
    Effect,
    Entropy,
    FileContents,
    Flow,
    Now,
    OpenSocket,
    PeerUser,
    ReadFile,
    Receive,
    Resolve,
    RunInThread,
    Send,
    SetDeadline,
    StartTLS,
    TCPAddress,
    TLSInfo,
)
from pgproto.errors import RemoteProtocolError
from tests.core.connecting.servers import Server

__all__ = ["Place", "World", "config", "contents", "failure", "session", "tls_info"]

T = TypeVar("T")

Place = Server | Exception | Callable[[], Server]
"""Who is at an address: a server, for one connection; why nobody is; or a new server each time."""


class World:
    """Carries out effects; `places` says who is where, in a list for one connection after the other."""

    def __init__(
        self,
        places: Mapping[str, Place | list[Place]],
        *,
        names: Mapping[str, tuple[str, ...] | Exception] | None = None,
        files: Mapping[str, FileContents | Exception] | None = None,
        entropy: Callable[[int], bytes] = lambda size: b"\x07" * size,
        slow: dict[str, float] | None = None,
    ) -> None:
        self.places: dict[str, list[Place]] = {
            where: [*place] if isinstance(place, list) else [place] for where, place in places.items()
        }
        self.names = names or {}
        self.files = files or {}
        self.entropy = entropy
        self.slow = slow or {}
        """Seconds that an effect takes, by its name."""
        self.now = 1000.0
        self.deadline: float | None = None
        self.open: Server | None = None
        self.log: list[str] = []
        """The places that were tried."""
        self.sockets: list[OpenSocket] = []
        self.read: list[str] = []
        self.contexts: list[object] = []

    def run(self, flow: Flow[T]) -> T:
        result: object = None
        error: Exception | None = None
        while True:
            try:
                effect = flow.send(result) if error is None else flow.throw(error)
            except StopIteration as stop:
                value: T = stop.value
                return value
            result, error = None, None
            try:
                self.wait(self.slow.get(type(effect).__name__, 0.0))
                result = self.perform(effect)
            except Exception as failure:
                error = failure

    def wait(self, seconds: float) -> None:
        if not seconds:
            return
        self.now += seconds
        if self.deadline is not None and self.now >= self.deadline:
            self.now = self.deadline
            raise TimeoutError

    def wait_in_vain(self) -> None:
        assert self.deadline is not None, "would wait for ever"
        self.now = max(self.now, self.deadline)
        raise TimeoutError

    def perform(self, effect: Effect[object]) -> object:
        match effect:
            case Now():
                return self.now
            case SetDeadline(at):
                self.deadline = at
                return None
            case Entropy(size):
                return self.entropy(size)
            case ReadFile(path):
                self.read.append(path)
                contents = self.files.get(path)
                if isinstance(contents, Exception):
                    raise contents
                return contents
            case RunInThread():
                return effect.work()
            case AskPassword(ask):
                return ask()
            case Resolve(host, port):
                return self.resolve(host, port)
            case OpenSocket(address):
                self.sockets.append(effect)
                self.connect(address)
                return None
            case CloseSocket():
                self.open = None
                return None
            case _:
                return self.on_socket(effect)

    def resolve(self, host: str, port: int) -> tuple[TCPAddress, ...]:
        found = self.names.get(host, (host,))
        if isinstance(found, Exception):
            raise found
        return tuple(TCPAddress(address, port) for address in found)

    def connect(self, address: Address) -> None:
        assert self.open is None, "one socket at a time"
        self.log.append(str(address))
        places = self.places[str(address)]
        place = places.pop(0) if len(places) > 1 else places[0]
        if isinstance(place, TimeoutError):
            self.wait_in_vain()
        if isinstance(place, Exception):
            raise place
        self.open = place if isinstance(place, Server) else place()

    def on_socket(self, effect: Effect[object]) -> object:
        peer = self.open
        assert peer is not None, f"{effect} without a socket"
        match effect:
            case Send(data):
                if peer.closed:
                    raise BrokenPipeError("gone")
                peer.feed(data)
                return None
            case Receive(limit):
                if not peer.output:
                    if not peer.closed:
                        self.wait_in_vain()
                    return b""
                size = min(peer.chunk, limit or peer.chunk)
                data, peer.output = peer.output[:size], peer.output[size:]
                return data
            case StartTLS(context, server_hostname):
                return self.start_tls(peer, context, server_hostname)
            case PeerUser():
                if peer.user is None:
                    raise OSError("no such option")
                return peer.user
            case _:
                raise AssertionError(effect)

    def start_tls(self, peer: Server, context: object, server_hostname: str | None) -> TLSInfo:
        if peer.output:
            raise RemoteProtocolError("bytes came in clear text before the handshake")
        if isinstance(peer.handshake, TimeoutError):
            self.wait_in_vain()
        if isinstance(peer.handshake, Exception):
            raise peer.handshake
        self.contexts.append(context)
        peer.tls = True
        peer.server_hostname = server_hostname
        return peer.handshake or tls_info()


def tls_info(*, alpn: str | None = "postgresql", verified: bool = False, certificate: bytes = b"") -> TLSInfo:
    return TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", alpn, certificate, verified)


def config(**params: Any) -> Config:
    """A configuration, from parameters alone."""
    given = {"user": "alice", "host": "192.0.2.1", **params}
    return World({}).run(load_config(None, given, {}, home="/home/alice"))


def session(world: World, given: Config, **more: Any) -> Established:
    """Connect, which must succeed, and leave the socket open."""
    established = world.run(connect(given, **more))
    assert world.open is not None
    return established


def failure(world: World, given: Config, error: type[BaseException], **more: Any) -> BaseException:
    """Connect, which must fail like this, and leave no socket open."""
    try:
        established = world.run(connect(given, **more))
    except error as failed:
        assert world.open is None, "the socket was left open"
        return failed
    raise AssertionError(f"connected: {established}")


def contents(data: bytes = b"", mode: int = 0o100600, owner: int | None = 1000) -> FileContents:
    return FileContents(data, mode, owner)
