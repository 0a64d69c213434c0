"""Whether a connection is encrypted, and how it comes to be.

`sslmode` is a ladder. On each rung a connection is attempted in one way, or in two, one after the other:

| sslmode     | first                 | then, on a new connection       | the certificate must be       |
|-------------|-----------------------|---------------------------------|-------------------------------|
| disable     | no TLS                |                                 |                               |
| allow       | no TLS                | TLS, if the server refused us   | an authority's, if any given  |
| prefer      | TLS if the server can | no TLS, if the handshake failed | an authority's, if any given  |
| require     | TLS                   |                                 | an authority's, if any given  |
| verify-ca   | TLS                   |                                 | an authority's                |
| verify-full | TLS                   |                                 | an authority's, for this name |

Unix-domain sockets are never encrypted: whoever can listen in there can do worse.

With `sslnegotiation=postgres` the client asks first, and the server answers with one byte. Exactly that
byte is read: what comes behind it in clear text was not said by the server under TLS, and must never be
taken for it. What comes in place of that byte, an error message say, was not said by anybody we know; its
text is not shown, and nothing is tried without TLS because of it. With `sslnegotiation=direct` the
handshake comes at once, and the name of the protocol in it (ALPN) makes sure that the other side speaks
PostgreSQL's.

PostgreSQL documentation: "SSL Session Encryption", "Protection Provided in Different Modes".
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from pgproto import messages
from pgproto._connecting._established import Route
from pgproto._connecting._link import Link, on_socket
from pgproto._effects import (
    Flow,
    OpenSocket,
    OpenStream,
    PeerUser,
    StartTLS,
    TCPAddress,
    TLSInfo,
    UnixAddress,
)
from pgproto._tls import ALPN
from pgproto.errors import (
    AuthenticationError,
    ConnectionLost,
    Error,
    InvalidPassword,
    PostgresError,
    TLSError,
)

__all__ = ["LADDER", "Encryption", "handshake", "negotiate", "open_socket", "worth_the_next_rung"]


class Encryption(enum.Enum):
    """One way to attempt a connection."""

    NONE = "no TLS"
    OFFERED = "TLS if the server can"
    REQUIRED = "TLS"


LADDER: Final[dict[str, tuple[Encryption, ...]]] = {
    "disable": (Encryption.NONE,),
    "allow": (Encryption.NONE, Encryption.REQUIRED),
    "prefer": (Encryption.OFFERED, Encryption.NONE),
    "require": (Encryption.REQUIRED,),
    "verify-ca": (Encryption.REQUIRED,),
    "verify-full": (Encryption.REQUIRED,),
}


def worth_the_next_rung(tried: Encryption, error: Exception) -> bool:
    """Whether a first attempt failed in a way that the table's second attempt is for."""
    if tried is Encryption.OFFERED:
        return isinstance(error, TLSError)
    # A server that wants TLS says so before it authenticates anybody. Of a wrong password, TLS makes no
    # right one.
    refused = isinstance(error, PostgresError) and error.untrusted
    return refused and not isinstance(error, InvalidPassword)


def open_socket(route: Route) -> Flow[None]:
    """Connect to the server's address, and make sure of its user if that was asked for."""
    if route.open_socket is not None:
        yield from _open_stream(route, route.open_socket)
        return
    yield from on_socket(
        OpenSocket(route.address, route.keepalive, route.tcp_user_timeout), f"connecting to {route.address}"
    )
    if route.peer_user is not None and isinstance(route.address, UnixAddress):
        user = yield from on_socket(PeerUser(), "asking for the user at the other end of the socket")
        if user != route.peer_user:
            raise AuthenticationError(
                f"the server runs as user {user!r}, and requirepeer={route.peer_user!r} does not allow that"
            )


def _open_stream(route: Route, open_socket: Callable[[str, int], object]) -> Flow[None]:
    assert isinstance(route.address, TCPAddress), "the application's function takes a host and a port"
    effect = OpenStream(open_socket, route.address.host, route.address.port)
    try:
        yield from on_socket(effect, f"opening a stream to {route.address}")
    except Error:
        raise
    except Exception as error:
        # Libraries for tunnels and proxies have errors of their own, which are no OSErrors.
        raise ConnectionLost(
            f"failed while opening a stream to {route.address}: {type(error).__name__}: {error}",
            outcome="not_sent",
        ) from error


def negotiate(link: Link, encryption: Encryption) -> Flow[bool]:
    """Ask for TLS; return whether the handshake is next. Raises `TLSError` if it is not, and must be."""
    link.now("asking for TLS")
    yield from link.send(messages.SSLRequest())
    answer = yield from link.receive(limit=1)
    assert isinstance(answer, messages.EncryptionResponse), "the connection accepts nothing else here"
    if not answer.accepted and encryption is Encryption.REQUIRED:
        raise TLSError("the server does not support TLS, which sslmode asks for")
    return answer.accepted


def handshake(route: Route) -> Flow[TLSInfo]:
    """Make the open socket's connection a TLS connection, with the route's context. Raises `TLSError`."""
    try:
        info = yield from StartTLS(route.tls_context, route.server_hostname)
    except TimeoutError as error:
        raise ConnectionLost("timed out while shaking hands for TLS", outcome="not_sent") from error
    except (OSError, ValueError) as error:
        # ValueError is what ssl makes of a host name that no certificate can have.
        raise TLSError(f"the TLS handshake failed: {error}") from error
    if info.alpn != ALPN and (route.direct_tls or info.alpn is not None):
        spoken = "no protocol that it names" if info.alpn is None else repr(info.alpn)
        raise TLSError(
            f"the server speaks {spoken} over TLS; it must be {ALPN!r} (ALPN). Servers before PostgreSQL 17 "
            f"need sslnegotiation=postgres"
        )
    return info
