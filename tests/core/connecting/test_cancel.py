"""Cancel requests: over the same way as the session, or not at all."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from pgproto import messages as m
from pgproto._connecting import Established, cancel
from pgproto.errors import (
    AuthenticationError,
    ConnectionLost,
    Error,
    LocalProtocolError,
    RemoteProtocolError,
    TLSError,
)
from tests.core.connecting.servers import Server
from tests.core.connecting.support import World, config, session

HERE = "192.0.2.1:5432"
REQUEST = m.CancelRequest(4711, b"\x01\x02\x03\x04")
LONG = m.BackendKeyData(4711, bytes(range(32)))


def established(server: Server | None = None, **params: Any) -> Established:
    world = World({HERE: server or Server()})
    return session(world, config(**{"sslmode": "disable", **params}))


def under_tls(**params: Any) -> Established:
    context = ssl.create_default_context()
    params = {
        "sslmode": "verify-full",
        "ssl_context": context,
        "host": "db.example",
        "hostaddr": "192.0.2.1",
        **params,
    }
    return established(Server(encryption=b"S"), **params)


def cancelled(server: Server, given: Established) -> World:
    world = World({str(given.address): server})
    world.run(cancel(given))
    assert world.open is None
    return world


def fails(server: Server | Exception, given: Established, error: type[Error], **more: Any) -> World:
    world = World({str(given.address): server})
    with pytest.raises(error):
        world.run(cancel(given, **more))
    assert world.open is None, "the socket was left open"
    return world


def test_a_request() -> None:
    server = Server()
    world = cancelled(server, established())
    assert server.heard == [REQUEST]
    assert world.log == [HERE]


def test_a_long_key() -> None:
    server = Server()
    cancelled(server, established(Server(key=LONG), max_protocol_version="3.2"))
    assert server.heard == [m.CancelRequest(4711, bytes(range(32)))]


def test_tls_first() -> None:
    given = under_tls()
    server = Server(encryption=b"S")
    world = cancelled(server, given)
    assert server.heard == [m.SSLRequest(), REQUEST]
    assert server.tls
    assert server.server_hostname == "db.example"
    assert world.contexts == [given.route.tls_context]
    assert world.read == [], "the context is the session's"


def test_direct_tls() -> None:
    server = Server()
    cancelled(server, under_tls(sslnegotiation="direct"))
    assert server.heard == [REQUEST]
    assert server.tls


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-full"])
@pytest.mark.parametrize(
    ("server", "error"),
    [
        (Server(encryption=b"N"), TLSError),
        (Server(encryption=b"S", handshake=ssl.SSLCertVerificationError("not for this name")), TLSError),
        (Server(encryption=b"E"), RemoteProtocolError),
        (Server(encryption=b"SX"), RemoteProtocolError),
    ],
)
def test_a_key_does_not_leave_without_the_sessions_tls(mode: str, server: Server, error: type[Error]) -> None:
    server = Server(encryption=server.encryption, handshake=server.handshake)
    fails(server, under_tls(sslmode=mode), error)
    assert server.heard == [m.SSLRequest()]


def test_a_session_without_tls_is_cancelled_without_it() -> None:
    server = Server(encryption=b"S")
    cancelled(server, established(Server(encryption=b"N"), sslmode="prefer"))
    assert server.heard == [REQUEST]


def test_over_a_unix_domain_socket() -> None:
    world = World({"/run/.s.PGSQL.5432": Server(user="postgres")})
    given = session(world, config(host="/run", requirepeer="postgres"))
    server = Server(user="postgres")
    cancelled(server, given)
    assert server.heard == [REQUEST]
    server = Server(user="mallory")
    fails(server, given, AuthenticationError)
    assert server.heard == []


def test_the_same_socket_settings() -> None:
    given = established(keepalives_idle=5)
    world = cancelled(Server(), given)
    assert world.sockets[0].keepalive == given.route.keepalive
    assert world.sockets[0].address == given.address


def test_without_a_key() -> None:
    world = World({})
    with pytest.raises(LocalProtocolError, match="no key"):
        world.run(cancel(established(Server(key=None))))
    assert world.log == []


def test_failures() -> None:
    fails(ConnectionRefusedError("refused"), established(), ConnectionLost)
    fails(Server(silent_at="CancelRequest"), established(), ConnectionLost, deadline=1001.0)
    fails(TimeoutError(), established(), ConnectionLost, deadline=1001.0)


def test_an_answer_is_a_violation() -> None:
    class Talking(Server):
        def answer(self, message: m.Message) -> None:
            self.lie(m.AuthenticationOk())

    fails(Talking(), established(), RemoteProtocolError)


def test_a_reset_is_an_end() -> None:
    class Resetting(World):
        def on_socket(self, effect: Any) -> object:
            if type(effect).__name__ == "Receive":
                raise ConnectionResetError("reset by peer")
            return super().on_socket(effect)

    world = Resetting({HERE: Server()})
    world.run(cancel(established()))
    assert world.open is None
