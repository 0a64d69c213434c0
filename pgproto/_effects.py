"""What a flow asks of the world.

Some tasks take several exchanges with several decisions between them: opening a connection, proving who one
is, cancelling a query. Each is written once, as a generator. Where it needs the world (a socket, the clock, a
file, a slow computation) it yields one of the effects below, and gets its result back::

    def greet() -> Flow[bytes]:
        yield from Send(b"hello")
        return (yield from Receive())

A transport carries out effects, and decides nothing::

    async def run(flow):
        result, error = None, None
        while True:
            try:
                effect = flow.throw(error) if error else flow.send(result)
            except StopIteration as stop:
                return stop.value
            result, error = None, None
            try:
                async with timeout_at(self.deadline):
                    result = await self.perform(effect)  # one `match`, a few lines for each effect
            except Exception as failure:
                error = failure

What all transports promise:

- What fails is thrown into the flow; what fails in the world as an `OSError`: a name that does not resolve, a
  refused connection, a handshake. Past the deadline it is a `TimeoutError`, which is one.
- A flow has at most one socket open at a time. When a flow ends with an exception, or is abandoned because
  its caller was cancelled, the transport closes the socket that is open, and closes the generator.
- An effect never outlives the flow that asked for it.

A test carries out the same effects from a list.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar

from pgproto._dataclasses import dataclass
from pgproto.messages import Message

__all__ = [
    "Address",
    "AskPassword",
    "CloseSocket",
    "DeriveKey",
    "Effect",
    "Entropy",
    "FileContents",
    "Flow",
    "KeepAlive",
    "Now",
    "OpenSocket",
    "OpenStream",
    "PeerUser",
    "ReadFile",
    "Receive",
    "ReceiveMessage",
    "Resolve",
    "RunInThread",
    "Send",
    "SendMessage",
    "SetDeadline",
    "StartTLS",
    "TCPAddress",
    "TLSInfo",
    "UnixAddress",
    "Warn",
]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Effect(Generic[R_co]):
    """Something that a flow cannot do itself; `R_co` is the type of its result.

    `result = yield from effect` is how a flow asks for it: that way the type of the result is known.
    """

    __slots__ = ()

    def __iter__(self) -> Flow[R_co]:
        result: R_co = yield self
        return result


# What is sent into a flow depends on what it has just yielded, which the type system cannot say.
# `Effect.__iter__` is the only place that receives it, and gives it its type.
Flow: TypeAlias = Generator[Effect[object], Any, R]
"""A task as a generator of effects; `R` is the type of what it returns in the end."""


# --- Facts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Now(Effect[float]):
    """The monotonic clock, in seconds. `SetDeadline` is in its terms."""


@dataclass(frozen=True, slots=True)
class Entropy(Effect[bytes]):
    """`size` bytes that nobody can guess, as from `os.urandom`."""

    size: int


@dataclass(frozen=True, slots=True)
class FileContents:
    """What `ReadFile` found."""

    data: bytes
    mode: int
    """As `os.fstat(...).st_mode`: the kind of file, and its permissions."""
    owner: int | None
    """The owner's user id, where the system has one."""

    def __repr__(self) -> str:
        return f"FileContents(data=<{len(self.data)} bytes>, mode={self.mode:#o}, owner={self.owner})"


@dataclass(frozen=True, slots=True)
class ReadFile(Effect["FileContents | None"]):
    """A small file's contents, or None if there is no such file; `OSError` if it cannot be read.

    The mode and owner are those of the file that was opened (`fstat`, not `stat`). More than a MiB is an
    `OSError`: what is read here are files of settings.
    """

    path: str


@dataclass(frozen=True, slots=True)
class Warn(Effect[None]):
    """Something that the user should hear about: the transport writes it to its log, as a warning."""

    message: str


# --- Time and work -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetDeadline(Effect[None]):
    """From now on, whatever is not done when `Now()` shows `at` fails with `TimeoutError`; None lifts it.

    It holds for every effect that follows, until the next `SetDeadline`, or the flow's end.
    """

    at: float | None


@dataclass(frozen=True, slots=True)
class RunInThread(Effect[R]):
    """The result of `work()`, called in a worker thread: it takes milliseconds, or reads files.

    Whatever `work` raises is thrown into the flow. It cannot be interrupted: past the deadline, or when the
    caller is cancelled, the transport does not wait for it and drops its result.
    """

    work: Callable[[], R]


@dataclass(frozen=True, slots=True)
class DeriveKey(RunInThread[R]):
    """`RunInThread` for cryptography: 5 ms of arithmetic at the least that PostgreSQL asks for."""


@dataclass(frozen=True, slots=True)
class AskPassword(Effect[object]):
    """The result of the application's own `ask()`, awaited if it is awaitable: a password or a token.

    It is called on the event loop. Whatever it raises is thrown into the flow.
    """

    ask: Callable[[], object]


# --- Sockets -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """Where a server listens: a numeric address and a port.

    For `OpenStream` it is the host as the parameters have it, whatever that is.
    """

    host: str
    """As text: "192.0.2.1", "2001:db8::1", "fe80::1%eth0"."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """Where a server listens: a Unix-domain socket."""

    path: str
    """A leading "@" stands for Linux's abstract namespace: the name begins with a zero byte instead."""

    def __str__(self) -> str:
        return self.path


Address: TypeAlias = TCPAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How the operating system probes an idle connection; None leaves a value to the system."""

    idle: int | None = None
    """Seconds without traffic before the first probe (TCP_KEEPIDLE)."""
    interval: int | None = None
    """Seconds between probes (TCP_KEEPINTVL)."""
    count: int | None = None
    """Probes without an answer before the connection counts as lost (TCP_KEEPCNT)."""


@dataclass(frozen=True, slots=True)
class Resolve(Effect["tuple[TCPAddress, ...]"]):
    """The addresses of a host name, in the system's order (`getaddrinfo` for a stream socket).

    Numeric addresses come back as they are. `OSError` if there are none.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class OpenSocket(Effect[None]):
    """A connected stream socket, on which the effects below work.

    On TCP: TCP_NODELAY is set, SO_KEEPALIVE and its values as `keepalive` says (None: off), and
    TCP_USER_TIMEOUT; whatever of these the system does not have is passed over.
    """

    address: Address
    keepalive: KeepAlive | None = None
    tcp_user_timeout: int | None = None
    """Milliseconds that sent data may stay unacknowledged; None leaves it to the system."""

    def socket_options(self) -> list[tuple[str, str, int]]:
        """What to set on the socket, as names of the `socket` module: level, option, value.

        A transport passes over the options that the system does not have.
        """
        if isinstance(self.address, UnixAddress):
            return []
        options: list[tuple[str, str, int | None]] = [("IPPROTO_TCP", "TCP_NODELAY", 1)]
        if self.keepalive is not None:
            options += [
                ("SOL_SOCKET", "SO_KEEPALIVE", 1),
                ("IPPROTO_TCP", "TCP_KEEPIDLE", self.keepalive.idle),
                ("IPPROTO_TCP", "TCP_KEEPINTVL", self.keepalive.interval),
                ("IPPROTO_TCP", "TCP_KEEPCNT", self.keepalive.count),
            ]
        options.append(("IPPROTO_TCP", "TCP_USER_TIMEOUT", self.tcp_user_timeout))
        return [(level, name, value) for level, name, value in options if value is not None]


@dataclass(frozen=True, slots=True)
class OpenStream(Effect[None]):
    """A connected stream, made by the application's own `open(host, port)`, in the place of `OpenSocket`.

    What it returns is awaited if it is awaitable, and used as it is: its options are its maker's. It must be
    what the transport can work with, else that is a `ConfigError`; from then on it is the transport's, who
    closes it. Whatever `open` raises is thrown into the flow.
    """

    open: Callable[[str, int], object]
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PeerUser(Effect[str]):
    """The name of the user whose process is at the other end of the open Unix-domain socket.

    `OSError` if the operating system does not tell, or does not know the name.
    """


@dataclass(frozen=True, slots=True)
class Send(Effect[None]):
    """All of `data` is given to the socket, or to the TLS connection on it. `OSError` if it is gone."""

    data: bytes

    def __repr__(self) -> str:
        return f"Send(<{len(self.data)} bytes>)"


@dataclass(frozen=True, slots=True)
class Receive(Effect[bytes]):
    """The next bytes that come, at least one; b"" at the end of the stream.

    At most `limit` bytes, if there is a limit: what came beyond it stays with the transport, for the next
    `Receive`. An end of the TLS connection without its close_notify is an end like any other.
    """

    limit: int | None = None


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What is known of a TLS connection after its handshake."""

    version: str
    """"TLSv1.3" and the like."""
    cipher: str
    alpn: str | None
    """The application protocol that both sides agreed on."""
    peer_certificate: bytes | None
    """The server's certificate, DER-encoded, whether or not it was verified."""
    verified: bool
    """Whether the certificate was checked against the trusted authorities."""


@dataclass(frozen=True, slots=True)
class StartTLS(Effect[TLSInfo]):
    """A TLS handshake as the client, on the open socket; from then on all bytes go through TLS.

    If the transport holds bytes that it received and no `Receive` has returned, they came in clear text
    before the handshake, and somebody hopes that they will pass for the server's: the transport does not
    start, and throws `RemoteProtocolError`. A handshake that fails is an `OSError` (`ssl.SSLError` is one).
    `pgproto._tls.describe` makes the result from an `ssl.SSLObject` or an `ssl.SSLSocket`.
    """

    context: object
    """An `ssl.SSLContext`, complete: the transport changes nothing about it."""
    server_hostname: str | None
    """For the certificate's name and for SNI, as `SSLContext.wrap_socket` takes it."""


@dataclass(frozen=True, slots=True)
class CloseSocket(Effect[None]):
    """The socket is closed, at once and without a word to the peer. Never fails; nothing, if none is open."""


# --- Messages ----------------------------------------------------------------------------------------------
# For flows that live above a protocol connection, such as authentication: whoever runs them encodes and
# decodes. Within a session that is another flow, so transports never see these two.


@dataclass(frozen=True, slots=True)
class SendMessage(Effect[None]):
    """The message is sent."""

    message: Message


@dataclass(frozen=True, slots=True)
class ReceiveMessage(Effect[Message]):
    """The next message of the conversation; notices and the like are not part of it."""
