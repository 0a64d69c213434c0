"""From the startup message to a session that is ready."""

from __future__ import annotations

from typing import Any

import pytest

from pgproto import messages as m
from pgproto._connecting import Established
from pgproto._effects import Effect, Receive, TCPAddress, UnixAddress
from pgproto.errors import (
    AuthenticationError,
    CannotConnectNow,
    ConnectionLost,
    Error,
    InvalidPassword,
    PostgresError,
    RemoteProtocolError,
    TooManyConnections,
)
from tests.core.connecting.servers import REPORTED, Script, Server, fatal
from tests.core.connecting.support import World, config, failure, session

HERE = "192.0.2.1:5432"
OK = m.AuthenticationOk()
READY = m.ReadyForQuery("I")


def connected(server: Server, **params: Any) -> Established:
    return session(World({HERE: server}), config(sslmode="disable", **params))


def refused(server: Server, error: type[Error], **params: Any) -> Error:
    failed = failure(World({HERE: server}), config(sslmode="disable", **params), error)
    assert isinstance(failed, Error)
    return failed


# --- What works --------------------------------------------------------------------------------------------


def test_a_session() -> None:
    notice = m.NoticeResponse({"S": "WARNING", "C": "01000", "M": "collation version mismatch"})
    server = Server(password="pencil", before_ready=[notice])
    established = connected(server, password="pencil", application_name="test", dbname="app")
    assert server.heard[0] == m.StartupMessage(
        {"user": "alice", "database": "app", "application_name": "test", "client_encoding": "UTF8"}
    )
    assert established.parameters == REPORTED
    assert (established.process_id, established.secret_key) == (4711, b"\x01\x02\x03\x04")
    assert established.protocol_version == 0x0003_0000
    assert established.address == TCPAddress("192.0.2.1", 5432)
    assert established.host.host == "192.0.2.1"
    assert established.tls is None
    assert established.authentication.method == "scram-sha-256"
    assert established.notices == (notice,)
    assert established.unrecognized_options == ()
    assert established.connection.transaction_status == "I"
    assert established.connection.send(m.Query("select 1"))


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_how_the_bytes_are_cut_does_not_matter(chunk: int) -> None:
    established = connected(Server(password="pencil", chunk=chunk), password="pencil")
    assert established.parameters == REPORTED


def test_a_server_without_a_key() -> None:
    established = connected(Server(key=None))
    assert (established.process_id, established.secret_key) == (None, None)


def test_no_key_in_what_can_be_seen() -> None:
    established = connected(Server(key=m.BackendKeyData(1, b"\xca\xfe\xba\xbe")))
    assert "xca" not in repr(established)
    assert "cafe" not in repr(established)


def test_more_parameters() -> None:
    server = Server()
    session(World({HERE: server}), config(sslmode="disable"), parameters={"statement_timeout": "5s"})
    first = server.heard[0]
    assert isinstance(first, m.StartupMessage)
    assert first.parameters["statement_timeout"] == "5s"


def test_a_unix_domain_socket() -> None:
    server = Server(encryption=b"S", user="postgres")
    world = World({"/run/pg/.s.PGSQL.5433": server})
    given = config(host="/run/pg", port=5433, sslmode="require", requirepeer="postgres")
    established = session(world, given)
    assert established.address == UnixAddress("/run/pg/.s.PGSQL.5433")
    assert established.tls is None
    assert world.sockets[0].socket_options() == []
    assert isinstance(server.heard[0], m.StartupMessage), "no TLS on a Unix-domain socket"


@pytest.mark.parametrize(("user", "error"), [("mallory", AuthenticationError), (None, ConnectionLost)])
def test_the_wrong_user_behind_a_unix_domain_socket(user: str | None, error: type[Error]) -> None:
    server = Server(user=user)
    world = World({"@pg/.s.PGSQL.5432": server})
    failed = failure(world, config(host="@pg", requirepeer="postgres"), error)
    assert server.heard == []
    assert user is None or ("'mallory'" in str(failed) and "requirepeer='postgres'" in str(failed))


def test_a_user_is_not_asked_for_over_tcp() -> None:
    connected(Server(), requirepeer="postgres")


def test_the_sockets_settings() -> None:
    world = World({HERE: Server()})
    session(world, config(keepalives_idle=5, keepalives_interval=0, tcp_user_timeout=7000))
    opened = world.sockets[0]
    assert opened.keepalive is not None
    assert (opened.keepalive.idle, opened.keepalive.interval, opened.keepalive.count) == (5, None, 3)
    assert opened.tcp_user_timeout == 7000
    assert opened.socket_options() == [
        ("IPPROTO_TCP", "TCP_NODELAY", 1),
        ("SOL_SOCKET", "SO_KEEPALIVE", 1),
        ("IPPROTO_TCP", "TCP_KEEPIDLE", 5),
        ("IPPROTO_TCP", "TCP_KEEPCNT", 3),
        ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 7000),
    ]
    world = World({HERE: Server()})
    session(world, config(keepalives=0, tcp_user_timeout=0))
    assert world.sockets[0].socket_options() == [("IPPROTO_TCP", "TCP_NODELAY", 1)]
    assert (world.sockets[0].keepalive, world.sockets[0].tcp_user_timeout) == (None, None)


# --- Protocol versions -------------------------------------------------------------------------------------

LONG_KEY = m.BackendKeyData(1, bytes(range(32)))


@pytest.mark.parametrize(
    ("params", "server", "version", "key"),
    [
        ({}, Server(), 0x0003_0000, b"\x01\x02\x03\x04"),
        ({"max_protocol_version": "3.2"}, Server(key=LONG_KEY), 0x0003_0002, bytes(range(32))),
        ({"max_protocol_version": "latest"}, Server(key=LONG_KEY), 0x0003_0002, bytes(range(32))),
        ({"max_protocol_version": "3.2"}, Server(newest=0x0003_0000), 0x0003_0000, b"\x01\x02\x03\x04"),
        (
            {"max_protocol_version": "3.2", "min_protocol_version": "3.2"},
            Server(),
            0x0003_0002,
            b"\x01\x02\x03\x04",
        ),
    ],
)
def test_versions(params: dict[str, str], server: Server, version: int, key: bytes) -> None:
    established = connected(server, **params)
    assert established.protocol_version == version
    assert established.secret_key == key


def test_a_pooler_that_chokes_on_minor_versions_gets_a_second_try() -> None:
    poolers = [Server(chokes=True), Server(chokes=True)]
    world = World({HERE: [*poolers]})
    established = session(world, config(sslmode="disable", max_protocol_version="latest"))
    assert established.protocol_version == 0x0003_0000
    assert world.log == [HERE, HERE]
    second = poolers[1].heard[0]
    assert isinstance(second, m.StartupMessage)
    assert second.protocol_version == 0x0003_0000


def test_a_pooler_that_chokes_is_not_asked_again_if_that_is_too_old() -> None:
    params = {"max_protocol_version": "3.2", "min_protocol_version": "3.2"}
    error = refused(Server(chokes=True), PostgresError, **params)
    assert isinstance(error, PostgresError)
    assert error.sqlstate == "08P01"


def test_a_server_that_always_chokes() -> None:
    world = World({HERE: lambda: Server(startup=[fatal("0A000", "unsupported frontend protocol")])})
    failure(world, config(sslmode="disable", max_protocol_version="3.2"), PostgresError)
    assert world.log == [HERE, HERE]
    world = World({HERE: lambda: Server(startup=[fatal("0A000", "unsupported frontend protocol")])})
    failure(world, config(sslmode="disable"), PostgresError)
    assert world.log == [HERE]


def test_a_server_that_is_too_old() -> None:
    params = {"max_protocol_version": "3.2", "min_protocol_version": "3.2"}
    error = refused(Server(newest=0x0003_0000), RemoteProtocolError, **params)
    assert "3.0" in str(error)
    assert "min_protocol_version=3.2" in str(error)


def test_options_of_the_protocol() -> None:
    world = World({HERE: Server()})
    established = session(world, config(sslmode="disable"), parameters={"_pq_.compression": "on"})
    assert established.unrecognized_options == ("_pq_.compression",)


def negotiate(version: int, *options: str) -> Script:
    return [m.NegotiateProtocolVersion(version, options), OK, READY]


@pytest.mark.parametrize(
    "startup",
    [
        negotiate(0x0003_0002),  # changes nothing
        negotiate(0x0003_0003),  # more than was asked for
        negotiate(0x0003_FFFF),
        negotiate(0x0004_0000),
        negotiate(0x0002_0000),
        negotiate(0x0003_0001),  # does not exist
        negotiate(0x0003_0000, "_pq_.surprise"),
        negotiate(0x0003_0000, "user"),
        [m.NegotiateProtocolVersion(0x0003_0000), m.NegotiateProtocolVersion(0x0003_0000), OK, READY],
        [OK, m.NegotiateProtocolVersion(0x0003_0000), READY],
        [b"v\x00\x00\x00\x0c\x00\x03\x00\x00\x7f\xff\xff\xff"],
        [b"v\x00\x00\x00\x0c\x00\x03\x00\x00\xff\xff\xff\xff"],
        [b"v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x01"],
    ],
)
def test_negotiations_that_are_refused(startup: Script) -> None:
    refused(Server(startup=startup), RemoteProtocolError, max_protocol_version="3.2")


# --- Errors ------------------------------------------------------------------------------------------------


def test_a_wrong_password() -> None:
    error = refused(Server(password="pencil"), InvalidPassword, password="eraser")
    assert isinstance(error, PostgresError)
    assert error.untrusted
    assert "eraser" not in str(error)


@pytest.mark.parametrize(
    ("server", "kind", "untrusted"),
    [
        (Server(startup=[fatal("57P03", "starting up")]), CannotConnectNow, True),
        (Server(startup=[fatal("28000", "no pg_hba.conf entry")]), PostgresError, True),
        (Server(before_ready=[fatal("53300", "sorry, too many clients already")]), TooManyConnections, False),
        (Server(before_ready=[fatal("3D000", "database does not exist")]), PostgresError, False),
        (Server(before_ready=[fatal("42704", "no such parameter", "ERROR")]), PostgresError, False),
    ],
)
def test_refusals(server: Server, kind: type[PostgresError], untrusted: bool) -> None:
    error = refused(server, kind)
    assert isinstance(error, PostgresError)
    assert error.untrusted is untrusted


def test_an_error_from_a_stranger_is_marked_and_harmless() -> None:
    body = b"SFATAL\0M\x1b[2J\xff\xfe\nboo\0\0"
    script: Script = [b"E" + (len(body) + 4).to_bytes(4, "big") + body]
    error = refused(Server(startup=script), PostgresError)
    assert isinstance(error, PostgresError)
    assert error.untrusted
    assert error.sqlstate is None
    assert "\x1b" not in str(error)
    assert "boo" in str(error)


@pytest.mark.parametrize(
    "startup",
    [
        [b"E\x40\x00\x00\x00"],  # an error of a gigabyte
        [b"E\x00\x00\x40\x01"],  # of more than 16 KiB
        [b"E\x00\x00\x00\x03"],
        [b"R\xff\xff\xff\xff"],
        [b"R\x00\x00\x00\x0c\x00\x00\x00\x0aSCRAM"],  # a list without an end
        [b"R\x00\x00\x40\x04\x00\x00\x00\x0a" + b"A\0" * 8000],  # a list of 8,000
        [b"R\x00\x00\x00\x08\x00\x00\x00\x63"],
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [b"SSH-2.0-OpenSSH_9.2\r\n"],
        [READY],
        [m.BackendKeyData(1, b"1234")],
        [m.ParameterStatus("client_encoding", "UTF8"), OK, READY],
        [m.DataRow((b"1",))],
        [m.NotificationResponse(1, "x", "y")],
        [OK, OK, READY],
        [OK, m.AuthenticationCleartextPassword()],
        [OK, m.AuthenticationSASL(("SCRAM-SHA-256",))],
        [OK, m.AuthenticationSASLFinal(b"v=x")],
        [OK, m.DataRow((b"1",))],
        [OK, m.BackendKeyData(1, b"1234"), m.BackendKeyData(1, b"1234")],
        [OK, b"K\x00\x00\x00\x0b\x00\x00\x00\x01\x01\x02\x03"],  # a key of three bytes
        [OK, m.BackendKeyData(1, b"12345"), READY],  # of five, in protocol 3.0
        [OK, m.BackendKeyData(1, bytes(256)), READY],
        [OK, b"K\x00\x00\x01\x09\x00\x00\x00\x01" + bytes(257)],
        [OK, m.ReadyForQuery("T")],
        [OK, m.ReadyForQuery("E")],
        [OK, b"Z\x00\x00\x00\x05x"],
        [OK, m.ParameterStatus("client_encoding", "LATIN1"), READY],
        [OK, m.ParameterStatus("client_encoding", ""), READY],
        [OK, m.ParameterStatus("standard_conforming_strings", "off"), READY],
        [OK, *[m.ParameterStatus(f"name{number}", "") for number in range(257)], READY],
        [OK, *[m.ParameterStatus(f"name{number}", "x" * 30_000) for number in range(3)], READY],
    ],
)
def test_servers_that_break_the_rules(startup: Script) -> None:
    refused(Server(startup=startup), RemoteProtocolError)


def test_many_parameters_that_are_repeated() -> None:
    reports: Script = [m.ParameterStatus("application_name", str(number)) for number in range(1000)]
    assert connected(Server(before_ready=reports)).parameters["application_name"] == "999"


@pytest.mark.parametrize("value", ["UTF8", "utf8", "UTF-8", "UNICODE"])
def test_names_of_utf_8(value: str) -> None:
    connected(Server(parameters={"client_encoding": value}))


def test_a_server_that_reports_nothing() -> None:
    established = connected(Server(parameters=dict.fromkeys(REPORTED, "")))
    assert established.parameters == {}


def test_a_flood_of_notices_takes_no_room() -> None:
    notice = m.NoticeResponse({"S": "NOTICE", "M": "x" * 1000})
    assert len(connected(Server(before_ready=[notice] * 5000)).notices) == 100


@pytest.mark.parametrize("at", ["StartupMessage", "SASLInitialResponse", "SASLResponse"])
def test_servers_that_hang_up(at: str) -> None:
    error = refused(Server(password="x", hangs_up_at=at), ConnectionLost, password="x")
    assert isinstance(error, ConnectionLost)
    assert error.outcome == "not_sent"
    assert "closed the connection while" in str(error)


def test_a_server_that_hangs_up_in_the_middle_of_a_message() -> None:
    refused(Server(startup=[b"R\x00\x00\x00\x08\x00"], stops=True), ConnectionLost)


@pytest.mark.parametrize("at", ["StartupMessage", "SASLInitialResponse", "SASLResponse"])
def test_servers_that_fall_silent(at: str) -> None:
    error = refused(Server(password="x", silent_at=at), ConnectionLost, password="x", connect_timeout=5)
    assert "timed out while" in str(error)
    assert isinstance(error.__cause__, TimeoutError)


def test_a_slow_drip_does_not_win_time() -> None:
    world = World({HERE: Server(password="x", chunk=1)}, slow={"Receive": 1.0})
    failure(world, config(sslmode="disable", password="x", connect_timeout=30), ConnectionLost)
    assert world.now == 1030.0


@pytest.mark.parametrize("effect", ["RunInThread", "DeriveKey", "OpenSocket", "Send", "AskPassword"])
def test_all_that_may_take_long_has_the_same_deadline(effect: str) -> None:
    world = World({HERE: Server(password="x")}, slow={effect: 60.0})
    ask = (lambda: "x") if effect == "AskPassword" else "x"
    if effect == "RunInThread":
        # With TLS, the context is made in a thread.
        world = World({HERE: Server(encryption=b"S")}, slow={effect: 60.0})
    failure(world, config(password=ask, connect_timeout=5), ConnectionLost)
    assert world.now == 1005.0


class HungUp(Server):
    """It takes nothing, and may have said something before."""

    def feed(self, data: bytes) -> None:
        self.closed = True
        raise ConnectionResetError("reset by peer")


def test_a_socket_that_breaks() -> None:
    error = refused(HungUp(), ConnectionLost)
    assert "reset by peer" in str(error)
    assert isinstance(error.__cause__, ConnectionResetError)


def test_the_last_words_of_a_server_that_has_hung_up() -> None:
    error = refused(HungUp(output=fatal("53300", "too many clients").encode()), TooManyConnections)
    assert "too many clients" in str(error)


def test_the_tls_alert_of_a_server_that_has_hung_up() -> None:
    class Alerting(World):
        alert = OSError("certificate revoked")

        def on_socket(self, effect: Effect[object]) -> object:
            if isinstance(effect, Receive):
                raise self.alert
            return super().on_socket(effect)

    world = Alerting({HERE: HungUp()})
    assert "reset by peer" in str(failure(world, config(sslmode="disable"), ConnectionLost))
    # What sets an ssl.SSLError apart.
    world.alert.reason = "SSLV3_ALERT_CERTIFICATE_REVOKED"  # type: ignore[attr-defined]
    assert "certificate revoked" in str(failure(world, config(sslmode="disable"), ConnectionLost))
