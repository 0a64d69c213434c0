"""Asking a server to cancel what a session is doing.

The request goes over a connection of its own, to the same address, and with the same encryption: it carries
the session's secret key, and whoever reads that can cancel too. A session under TLS is never cancelled
without it, nor without the same verification. The server says nothing; it closes the connection when it has
done its part.

PostgreSQL documentation: "Canceling Requests in Progress".
"""

from __future__ import annotations

from pgproto import messages
from pgproto._connecting._encryption import Encryption, handshake, negotiate, open_socket
from pgproto._connecting._established import Established, Route
from pgproto._connecting._link import Link
from pgproto._effects import CloseSocket, Flow, Receive, SetDeadline
from pgproto.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError

__all__ = ["cancel"]


def cancel(session: Established, *, deadline: float | None = None) -> Flow[None]:
    """Ask the server to cancel what the session is doing, and wait until it has heard.

    Whether there was something to cancel only the session itself can tell. `deadline` is a moment of the
    clock that `Now` shows. The flow has a socket of its own, not the session's.

    Raises `ConnectionLost`, `TLSError`, `AuthenticationError` or `RemoteProtocolError` if the request could
    not be delivered, and `LocalProtocolError` if the server gave no key for it.
    """
    if session.process_id is None or session.secret_key is None:
        raise LocalProtocolError("the server gave no key for cancelling, so its session cannot be cancelled")
    request = messages.CancelRequest(session.process_id, session.secret_key)
    yield from SetDeadline(deadline)
    try:
        yield from _deliver(session.route, request)
    except Exception:
        yield from CloseSocket()
        raise
    yield from CloseSocket()


def _deliver(route: Route, request: messages.CancelRequest) -> Flow[None]:
    yield from open_socket(route)
    link = Link(messages.DEFAULT_MAX_MESSAGE_SIZE)
    if route.tls_context is not None:
        if not route.direct_tls:
            yield from negotiate(link, Encryption.REQUIRED)
        yield from handshake(route)
    link.now("asking the server to cancel")
    yield from link.send(request)
    try:
        answer = yield from Receive()
    except TimeoutError as error:
        raise ConnectionLost("timed out while asking the server to cancel", outcome="unknown") from error
    except OSError:
        # A reset is an end, too.
        return
    if answer:
        raise RemoteProtocolError("the server answers a cancel request with words; it must hang up")
