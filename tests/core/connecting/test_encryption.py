"""TLS: which mode does what with which server, and what hostile ones try."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from pgproto import messages as m
from pgproto._connecting import Established
from pgproto._effects import TLSInfo
from pgproto.errors import (
    ConfigError,
    ConnectionLost,
    Error,
    InvalidPassword,
    PostgresError,
    RemoteProtocolError,
    TLSError,
)
from tests.core.connecting.servers import Server, fatal
from tests.core.connecting.support import World, config, contents, failure, session, tls_info

HERE = "192.0.2.1:5432"
ROOT = "/home/alice/.postgresql/root.crt"
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def given(sslmode: str, **params: Any) -> Any:
    """A configuration with a context of its own, so that no files are needed."""
    if sslmode == "disable":
        return config(sslmode=sslmode, **params)
    return config(sslmode=sslmode, ssl_context=ssl.create_default_context(), **params)


def outcome(sslmode: str, *servers: Server, **params: Any) -> tuple[str, World]:
    """How it ends: "plain", "TLS", or the name of the error; and the world after that."""
    world = World({HERE: list(servers)})
    try:
        established = session(world, given(sslmode, **params))
    except Error as error:
        return type(error).__name__, world
    return ("TLS" if established.tls else "plain"), world


CAN: dict[str, Any] = {"encryption": b"S"}
CANNOT: dict[str, Any] = {"encryption": b"N"}
FAILS: dict[str, Any] = {
    "encryption": b"S",
    "handshake": ssl.SSLCertVerificationError("self-signed certificate"),
}
WANTS_TLS: dict[str, Any] = {"encryption": b"S", "only_with": "tls"}
WANTS_NONE: dict[str, Any] = {"encryption": b"S", "only_with": "plain"}


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        # disable, allow, prefer, require, verify-ca, verify-full
        (CAN, ["plain", "plain", "TLS", "TLS", "TLS", "TLS"]),
        (CANNOT, ["plain", "plain", "plain", "TLSError", "TLSError", "TLSError"]),
        (FAILS, ["plain", "plain", "plain", "TLSError", "TLSError", "TLSError"]),
        (WANTS_TLS, ["PostgresError", "TLS", "TLS", "TLS", "TLS", "TLS"]),
        (WANTS_NONE, ["plain", "plain", "PostgresError", "PostgresError", "PostgresError", "PostgresError"]),
    ],
)
def test_the_ladder(server: dict[str, Any], expected: list[str]) -> None:
    found = [outcome(mode, Server(**server), Server(**server))[0] for mode in MODES]
    assert [name.replace("InvalidAuthorizationSpecification", "PostgresError") for name in found] == expected


def test_prefer_goes_on_without_tls_on_the_same_connection() -> None:
    end, world = outcome("prefer", Server(**CANNOT))
    assert (end, world.log) == ("plain", [HERE])


def test_prefer_goes_on_without_tls_on_a_new_connection() -> None:
    second = Server()
    end, world = outcome("prefer", Server(**FAILS), second)
    assert (end, world.log) == ("plain", [HERE, HERE])
    assert isinstance(second.heard[0], m.StartupMessage), "TLS is not asked for again"


def test_prefer_tells_both_errors() -> None:
    world = World({HERE: [Server(**FAILS), Server(only_with="tls")]})
    error = failure(world, given("prefer"), PostgresError)
    assert "self-signed certificate" in "".join(error.__notes__)


def test_allow_goes_up_only_if_that_may_help() -> None:
    # A wrong password stays wrong under TLS.
    servers = [Server(encryption=b"S", password="pencil") for _ in range(2)]
    end, world = outcome("allow", *servers, password="eraser")
    assert (end, world.log) == (InvalidPassword.__name__, [HERE])
    # What comes after authentication has nothing to do with it.
    servers = [Server(encryption=b"S", before_ready=[fatal("3D000", "no such database")]) for _ in range(2)]
    end, world = outcome("allow", *servers)
    assert (end, world.log) == ("InvalidCatalogName", [HERE])


def test_allow_says_what_the_server_said_first() -> None:
    refusing = [Server(startup=[fatal("28000", "no entry")]), Server(encryption=b"N")]
    world = World({HERE: [*refusing]})
    error = failure(world, given("allow"), PostgresError)
    assert "no entry" in str(error)
    assert isinstance(error.__cause__, TLSError)
    assert world.log == [HERE, HERE]


@pytest.mark.parametrize("mode", MODES[2:])
@pytest.mark.parametrize("surplus", [b"E", b"R\x00\x00\x00\x08\x00\x00\x00\x00", b"\x16\x03\x01", b"S"])
def test_bytes_behind_the_answer(mode: str, surplus: bytes) -> None:
    """CVE-2021-23222: what comes in clear text must not pass for what was said under TLS."""
    server = Server(encryption=b"S" + surplus)
    end, world = outcome(mode, server)
    assert end == "RemoteProtocolError"
    assert world.contexts == []
    assert world.log == [HERE], "not tried without TLS"
    assert len(server.heard) == 1


@pytest.mark.parametrize("mode", MODES[2:])
def test_exactly_one_byte_is_read_before_the_handshake(mode: str) -> None:
    class OneByte(World):
        def on_socket(self, effect: Any) -> object:
            if type(effect).__name__ == "Receive" and not self.contexts:
                assert effect.limit == 1
            return super().on_socket(effect)

    assert session(OneByte({HERE: Server(encryption=b"S")}), given(mode)).tls


@pytest.mark.parametrize("mode", MODES[2:])
@pytest.mark.parametrize(
    "reply",
    [
        fatal("53300", "canary: too many").encode(),
        b"Ecanary: could not fork\n\0",
        b"HTTP/1.1 400 canary\r\n",
        b"G",
        b"s",
        b"\0",
        b"X",
    ],
)
def test_no_answer_to_the_question(mode: str, reply: bytes) -> None:
    """CVE-2024-10977: nobody knows who said it, so it is not shown, and nothing is tried without TLS."""
    world = World({HERE: Server(encryption=reply)})
    error = failure(world, given(mode), RemoteProtocolError)
    assert "canary" not in str(error) + repr(error) + repr(error.__cause__) + repr(error.__context__)
    assert world.log == [HERE]


@pytest.mark.parametrize("mode", MODES[2:])
def test_a_server_that_hangs_up_at_the_question(mode: str) -> None:
    end, world = outcome(mode, Server(hangs_up_at="SSLRequest"))
    assert (end, world.log) == ("ConnectionLost", [HERE])


@pytest.mark.parametrize("mode", MODES[2:])
@pytest.mark.parametrize(
    "server", [Server(silent_at="SSLRequest"), Server(encryption=b"S", handshake=TimeoutError())]
)
def test_a_server_that_stalls(mode: str, server: Server) -> None:
    server = Server(silent_at=server.silent_at, encryption=server.encryption, handshake=server.handshake)
    end, world = outcome(mode, server, connect_timeout=10)
    assert (end, world.log, world.now) == ("ConnectionLost", [HERE], 1010.0)


def test_a_plain_byte_behind_the_refusal() -> None:
    end, _ = outcome("prefer", Server(encryption=b"NE"))
    assert end == "RemoteProtocolError"


# --- Direct TLS --------------------------------------------------------------------------------------------


def direct(server: Server, **params: Any) -> Established:
    return session(World({HERE: server}), given("require", sslnegotiation="direct", **params))


def test_direct_tls() -> None:
    server = Server()
    established = direct(server)
    assert established.tls == tls_info()
    assert isinstance(server.heard[0], m.StartupMessage), "without a question"


@pytest.mark.parametrize(
    ("negotiation", "alpn", "fine"),
    [
        ("direct", "postgresql", True),
        ("direct", None, False),
        ("direct", "h2", False),
        ("postgres", "postgresql", True),
        ("postgres", None, True),  # servers before PostgreSQL 17
        ("postgres", "h2", False),
    ],
)
def test_the_protocol_named_under_tls(negotiation: str, alpn: str | None, fine: bool) -> None:
    world = World({HERE: Server(encryption=b"S", handshake=tls_info(alpn=alpn))})
    params = given("require", sslnegotiation=negotiation)
    if fine:
        assert session(world, params).tls == tls_info(alpn=alpn)
    else:
        error = failure(world, params, TLSError)
        assert "'postgresql' (ALPN)" in str(error)
        assert repr(alpn) in str(error) or alpn is None


def test_direct_tls_that_fails() -> None:
    error = failure(
        World({HERE: Server(handshake=ConnectionResetError("reset"))}),
        given("require", sslnegotiation="direct"),
        TLSError,
    )
    assert "reset" in str(error)


# --- What the handshake is told, and what comes of it -------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"host": "db.example", "hostaddr": "192.0.2.1"}, "db.example"),
        ({"host": "192.0.2.1"}, "192.0.2.1"),
        ({"host": "192.0.2.1", "sslsni": 0}, None),
        ({"host": "", "hostaddr": "192.0.2.1"}, None),
    ],
)
def test_the_name(params: dict[str, Any], told: str | None) -> None:
    server = Server(encryption=b"S")
    session(World({HERE: server}), given("require", **params))
    assert server.server_hostname == told


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"host": "", "hostaddr": "192.0.2.1"}, "needs a host name"),
        ({"host": "db.example", "hostaddr": "192.0.2.1", "sslsni": 0}, "sslsni=0"),
    ],
)
def test_a_name_that_verify_full_needs(params: dict[str, Any], complaint: str) -> None:
    error = failure(World({HERE: Server(encryption=b"S")}), given("verify-full", **params), ConfigError)
    assert complaint in str(error)


def test_a_name_that_ssl_refuses() -> None:
    world = World({HERE: Server(encryption=b"S", handshake=ValueError("server_hostname cannot be ..."))})
    failure(world, given("require"), TLSError)


@pytest.mark.parametrize(
    ("info", "cleartext"),
    [(tls_info(), True), (tls_info(verified=True), True)],
)
def test_a_password_under_tls(info: TLSInfo, cleartext: bool) -> None:
    server = Server(encryption=b"S", handshake=info, asks=m.AuthenticationCleartextPassword())
    assert session(World({HERE: server}), given("require", password="x")).authentication.method == "password"


@pytest.mark.parametrize(("verified", "untrusted"), [(False, True), (True, False)])
def test_whose_word_it_is(verified: bool, untrusted: bool) -> None:
    server = Server(encryption=b"S", handshake=tls_info(verified=verified), startup=[fatal("28000")])
    error = failure(World({HERE: server}), given("require"), PostgresError)
    assert isinstance(error, PostgresError)
    assert error.untrusted is untrusted


# --- The context -------------------------------------------------------------------------------------------


def test_the_context_is_made_when_it_is_needed() -> None:
    world = World({HERE: Server(encryption=b"N")})
    session(world, config(sslmode="prefer"))
    assert world.read == []
    world = World({HERE: Server(encryption=b"S")})
    session(world, config(sslmode="prefer"))
    assert world.read != []


def test_the_context_is_made_once() -> None:
    places = {
        f"192.0.2.{number}:5432": Server(encryption=b"S", startup=[fatal("57P03")]) for number in (1, 2)
    }
    world = World({**places, "192.0.2.3:5432": Server(encryption=b"S")})
    session(world, config(host="192.0.2.1,192.0.2.2,192.0.2.3", sslmode="require"))
    assert len(world.contexts) == 3
    assert len(set(map(id, world.contexts))) == 1
    assert len(world.read) == len(set(world.read))


def test_parameters_that_make_no_context_are_no_reason_to_go_without() -> None:
    world = World({HERE: lambda: Server(encryption=b"S")}, files={ROOT: contents(b"no certificate")})
    error = failure(world, config(sslmode="prefer", sslcert="/no/such.crt"), ConfigError)
    assert "/no/such.crt" in str(error)
    assert world.log == [HERE]


@pytest.mark.parametrize(
    ("mode", "context", "complaint"),
    [
        ("require", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "for servers"),
        ("verify-ca", ssl._create_unverified_context(), "verify_mode"),
        ("verify-full", ssl._create_unverified_context(), "verify_mode"),
    ],
)
def test_contexts_that_cannot_be(mode: str, context: ssl.SSLContext, complaint: str) -> None:
    world = World({HERE: Server(encryption=b"S")})
    error = failure(world, config(sslmode=mode, ssl_context=context), ConfigError)
    assert complaint in str(error)
    assert world.contexts == []


def test_a_context_of_the_application_is_used_as_it_is() -> None:
    context = ssl.create_default_context()
    world = World({HERE: Server(encryption=b"S")})
    established = session(world, config(ssl_context=context))
    assert world.contexts == [context]
    assert world.read == []
    assert established.route.tls_context is context


def test_errors_of_the_network_are_no_reason_to_go_without() -> None:
    world = World({HERE: ConnectionRefusedError("refused")})
    failure(world, given("prefer"), ConnectionLost)
    assert world.log == [HERE]
