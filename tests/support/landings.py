"""Where a connection attempt with the same parameters ends, for us and for libpq."""

from __future__ import annotations

from collections.abc import Mapping

from pgproto import NEED_DATA
from pgproto import messages as m
from pgproto._connecting import Established, cancel
from pgproto.errors import Error
from tests.support.certificates import NAME
from tests.support.clusters import USERS
from tests.support.flows import PlainTransport, connected
from tests.support.libpq import Landing, libpq_beside
from tests.support.servers import Server

__all__ = ["address", "attempt", "attempt_by_libpq", "both", "sleep_and_cancel"]

_PASSWORDS = {**USERS, "only_tls": "tunnel", "only_plain": "field"}


def address(server: Server, user: str = "alice", **more: str) -> dict[str, str]:
    """Parameters for a connection over TCP, to the name that the server's certificate is for."""
    return {
        "host": NAME,
        "hostaddr": server.host,
        "port": str(server.port),
        "user": user,
        "password": _PASSWORDS.get(user, ""),
        "dbname": server.database,
        **more,
    }


def attempt(parameters: Mapping[str, str]) -> Landing | str:
    """Connect, and hang up; the error if it fails."""
    with PlainTransport() as transport:
        try:
            session = connected(transport, "", **parameters)
        except Error as error:
            return f"{type(error).__name__}: {error}"
        return Landing(session.host.port, session.tls is not None)


def attempt_by_libpq(major: int, parameters: Mapping[str, str]) -> Landing | str:
    """The same with libpq of that version, if it is here."""
    return libpq_beside(major).connect({**parameters, "gssencmode": "disable"})


def both(major: int, parameters: Mapping[str, str]) -> Landing | None:
    """Where the attempt ends with us and with libpq alike; None if it fails."""
    ours, theirs = attempt(parameters), attempt_by_libpq(major, parameters)
    found = [landing if isinstance(landing, Landing) else None for landing in (ours, theirs)]
    assert found[0] == found[1], (parameters, ours, theirs)
    return found[0]


def sleep_and_cancel(transport: PlainTransport, session: Established) -> None:
    """Have the server sleep, and cancel that."""
    assert transport.socket is not None
    transport.socket.sendall(session.connection.send(m.Query("select pg_sleep(60)")))
    while True:
        with PlainTransport() as other:
            other.run(cancel(session))
            assert other.socket is None
        transport.socket.settimeout(0.1)
        try:
            session.connection.receive_data(transport.socket.recv(65_536))
            break
        except TimeoutError:
            # The request was there before the query was.
            continue
    errors = [answer.sqlstate for answer in transport.ask(session) if isinstance(answer, m.ErrorResponse)]
    assert errors == ["57014"]
    assert session.connection.next_event() is NEED_DATA
