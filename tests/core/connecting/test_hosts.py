"""Several hosts, several addresses: which are tried, in what order, for how long, and what is said of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from pgproto import messages as m
from pgproto._connecting import connect
from pgproto._effects import CloseSocket, Now, OpenSocket, Resolve, SetDeadline, TCPAddress
from pgproto.errors import (
    AuthenticationError,
    CannotConnectNow,
    ConnectionLost,
    InvalidPassword,
    PostgresError,
    RemoteProtocolError,
    TLSError,
    TooManyConnections,
)
from tests.core.connecting.servers import READ_ONLY, STANDBY, Server, fatal
from tests.core.connecting.support import Place, World, config, failure, session

ONE, TWO, THREE = (f"192.0.2.{number}:5432" for number in (1, 2, 3))
THREE_HOSTS = "192.0.2.1,192.0.2.2,192.0.2.3"
REFUSED = ConnectionRefusedError(111, "Connection refused")


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


def three(*places: Place, **params: Any) -> World:
    """Try three hosts; whether it ends well is for the world to tell."""
    world = World(dict(zip((ONE, TWO, THREE), places, strict=True)))
    session(world, config(host=THREE_HOSTS, sslmode="disable", **params))
    return world


def none_of(error: type[BaseException], *places: Place, **params: Any) -> tuple[BaseException, World]:
    world = World(dict(zip((ONE, TWO, THREE), places, strict=True)))
    return failure(world, config(host=THREE_HOSTS, sslmode="disable", **params), error), world


@pytest.mark.parametrize(
    "first",
    [
        REFUSED,
        OSError(113, "No route to host"),
        TimeoutError(),
        Server(startup=[fatal("57P03", "the database system is starting up")]),
        Server(hangs_up_at="StartupMessage"),
        Server(silent_at="StartupMessage"),
        Server(startup=[b"HTTP/1.1 400 Bad Request\r\n"]),
    ],
)
def test_failures_that_lead_to_the_next_host(first: Place) -> None:
    if isinstance(first, Server):
        first = Server(startup=first.startup, hangs_up_at=first.hangs_up_at, silent_at=first.silent_at)
    assert three(first, Server(), Server(), connect_timeout=10).log == [ONE, TWO]


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (Server(password="pencil"), InvalidPassword),
        (Server(startup=[fatal("28000", "no pg_hba.conf entry")]), PostgresError),
        (Server(before_ready=[fatal("53300", "too many")]), TooManyConnections),
        (Server(before_ready=[fatal("3D000", "no such database")]), PostgresError),
        (Server(asks=m.AuthenticationCleartextPassword()), AuthenticationError),
    ],
)
def test_failures_that_end_it(first: Server, error: type[Exception]) -> None:
    failed, world = none_of(error, first, Server(), Server(), password="eraser")
    assert world.log == [ONE]
    assert "while connecting to 192.0.2.1:5432" in notes(failed)


def test_the_error_that_ends_it_tells_what_was_before() -> None:
    failed, world = none_of(InvalidPassword, REFUSED, Server(password="pencil"), Server(), password="eraser")
    assert world.log == [ONE, TWO]
    assert "before that, 192.0.2.1:5432" in notes(failed)
    assert "Connection refused" in notes(failed)


def test_one_error_for_all() -> None:
    failed, _ = none_of(
        ConnectionLost,
        REFUSED,
        TimeoutError(),
        Server(startup=[fatal("57P03", "the database system is starting up")]),
        connect_timeout=3,
    )
    message = str(failed)
    for text in (ONE, TWO, THREE, "Connection refused", "timed out", "starting up"):
        assert text in message
    group: Any = failed.__cause__
    assert [type(error) for error in group.exceptions] == [ConnectionLost, ConnectionLost, CannotConnectNow]
    assert isinstance(failed, ConnectionLost)
    assert failed.outcome == "not_sent"


def test_the_only_error_is_the_error() -> None:
    world = World({ONE: Server(startup=[fatal("57P03", "starting up")])})
    failure(world, config(sslmode="disable"), CannotConnectNow)
    failed = failure(World({ONE: REFUSED}), config(), ConnectionLost)
    assert ONE in str(failed)
    assert "Connection refused" in str(failed)
    assert failed.__cause__ is REFUSED


def test_errors_of_one_kind() -> None:
    world = World({ONE: Server(), TWO: Server()})
    failed = failure(world, config(host="192.0.2.1,192.0.2.2", sslmode="require"), TLSError)
    assert str(failed).count("does not support TLS") == 2
    world = World({ONE: Server(startup=[b"x" * 9]), TWO: Server(startup=[b"x" * 9])})
    failure(world, config(host="192.0.2.1,192.0.2.2", sslmode="disable"), ConnectionLost)
    world = World({ONE: Server(startup=[b"x" * 9])})
    failure(world, config(sslmode="disable"), RemoteProtocolError)


def test_all_addresses_of_a_name() -> None:
    names = {"db.example": ("2001:db8::1", "192.0.2.1", "192.0.2.2")}
    places: dict[str, Place] = {"[2001:db8::1]:5432": OSError("unreachable"), ONE: REFUSED, TWO: Server()}
    world = World(places, names=names)
    established = session(world, config(host="db.example", sslmode="disable"))
    assert world.log == ["[2001:db8::1]:5432", ONE, TWO]
    assert established.address == TCPAddress("192.0.2.2", 5432)
    assert established.host.host == "db.example"


def test_a_server_that_is_starting_up_is_not_asked_at_its_other_addresses() -> None:
    names = {"a.example": ("192.0.2.1", "192.0.2.2"), "b.example": ("192.0.2.3",)}
    places: dict[str, Place] = {ONE: Server(startup=[fatal("57P03")]), TWO: Server(), THREE: Server()}
    world = World(places, names=names)
    session(world, config(host="a.example,b.example", sslmode="disable"))
    assert world.log == [ONE, THREE]


def test_names_that_are_not_known() -> None:
    names: dict[str, Any] = {"a.example": OSError(-2, "Name or service not known"), "b.example": ()}
    world = World({THREE: Server()}, names=names)
    session(world, config(host="a.example,b.example,192.0.2.3", sslmode="disable"))
    assert world.log == [THREE]
    failed = failure(World({}, names=names), config(host="a.example"), ConnectionLost)
    assert "looking up the host name 'a.example'" in str(failed)
    assert "Name or service not known" in str(failed)
    failed = failure(World({}, names=names), config(host="b.example"), ConnectionLost)
    assert "'b.example' has no address" in str(failed)


def test_a_numeric_address_is_not_looked_up() -> None:
    world = World({TWO: Server()}, names={"db.example": OSError("down")})
    session(world, config(host="db.example", hostaddr="192.0.2.2", sslmode="disable"))
    assert world.log == [TWO]


def test_ports_and_sockets() -> None:
    world = World({"/run/.s.PGSQL.1": FileNotFoundError("no such file"), "192.0.2.1:2": Server()})
    session(world, config(host="/run,192.0.2.1", port="1,2", sslmode="disable"))
    assert world.log == ["/run/.s.PGSQL.1", "192.0.2.1:2"]


# --- Time --------------------------------------------------------------------------------------------------


def test_the_timeout_is_for_each_address() -> None:
    names = {"a.example": ("192.0.2.1", "192.0.2.2"), "b.example": ("192.0.2.3",)}
    world = World({ONE: TimeoutError(), TWO: TimeoutError(), THREE: TimeoutError()}, names=names)
    failure(world, config(host="a.example,b.example", connect_timeout=10), ConnectionLost)
    assert world.log == [ONE, TWO, THREE]
    assert world.now == 1030.0


def test_the_timeout_covers_the_name() -> None:
    world = World({ONE: TimeoutError()}, names={"a.example": ("192.0.2.1",)}, slow={"Resolve": 7.0})
    failure(world, config(host="a.example", connect_timeout=10), ConnectionLost)
    assert world.now == 1010.0
    world = World({TWO: Server()}, names={"a.example": ("192.0.2.1",)}, slow={"Resolve": 11.0})
    failure(world, config(host="a.example", connect_timeout=10), ConnectionLost)
    assert (world.now, world.log) == (1010.0, [])


def test_the_timeout_covers_the_second_attempt() -> None:
    silent = Server(silent_at="StartupMessage")
    failing = Server(encryption=b"S", handshake=OSError("bad record"))
    world = World({ONE: [failing, silent]}, slow={"StartTLS": 6.0})
    failure(world, config(sslmode="prefer", connect_timeout=10), ConnectionLost)
    assert (world.log, world.now) == ([ONE, ONE], 1010.0)


def test_the_deadline_is_for_all() -> None:
    world = World({ONE: TimeoutError(), TWO: TimeoutError(), THREE: Server()})
    given = config(host=THREE_HOSTS, sslmode="disable", connect_timeout=10)
    failed = failure(world, given, ConnectionLost, deadline=1015.0)
    assert (world.log, world.now) == ([ONE, TWO], 1015.0)
    assert str(failed).count("timed out") == 2


def test_the_deadline_without_a_timeout() -> None:
    world = World({ONE: TimeoutError(), TWO: Server()})
    failure(world, config(host="192.0.2.1,192.0.2.2"), ConnectionLost, deadline=1001.0)
    assert (world.log, world.now) == ([ONE], 1001.0)


def test_without_either_nothing_is_asked_of_the_clock() -> None:
    flow = connect(config(host="db.example"))
    assert next(flow) == SetDeadline(None)
    assert flow.send(None) == Resolve("db.example", 5432)
    flow.close()


def test_abandoned_in_the_middle() -> None:
    """Whoever gives up closes the flow; it must not ask for anything more."""
    flow = connect(config(hostaddr="192.0.2.1", connect_timeout=1))
    assert next(flow) == Now()
    assert flow.send(0.0) == SetDeadline(1.0)
    assert isinstance(flow.send(None), OpenSocket)
    flow.close()


def test_a_socket_is_closed_before_the_next_is_opened() -> None:
    flow = connect(config(host="", hostaddr="192.0.2.1,192.0.2.2", sslmode="disable"))
    next(flow)
    assert isinstance(flow.send(None), OpenSocket)
    assert flow.throw(REFUSED) == CloseSocket()
    assert flow.send(None) == SetDeadline(None)


# --- target_session_attrs ----------------------------------------------------------------------------------

PRIMARY: dict[str, str] = {}
KINDS = {"primary": PRIMARY, "standby": STANDBY, "read-only primary": READ_ONLY}


@pytest.mark.parametrize(
    ("target", "order", "chosen"),
    [
        ("any", ("standby", "primary", "read-only primary"), [ONE]),
        ("read-write", ("standby", "read-only primary", "primary"), [ONE, TWO, THREE]),
        ("read-write", ("primary", "standby", "standby"), [ONE]),
        ("read-only", ("primary", "standby", "primary"), [ONE, TWO]),
        ("read-only", ("primary", "read-only primary", "standby"), [ONE, TWO]),
        ("primary", ("standby", "read-only primary", "primary"), [ONE, TWO]),
        ("primary", ("standby", "standby", "primary"), [ONE, TWO, THREE]),
        ("standby", ("primary", "read-only primary", "standby"), [ONE, TWO, THREE]),
        ("prefer-standby", ("primary", "standby", "primary"), [ONE, TWO]),
        ("prefer-standby", ("primary", "read-only primary", "primary"), [ONE, TWO, THREE, ONE]),
        ("read-write", ("standby", "standby", "standby"), None),
        ("read-only", ("primary", "primary", "primary"), None),
        ("primary", ("standby", "standby", "standby"), None),
        ("standby", ("primary", "primary", "read-only primary"), None),
    ],
)
@pytest.mark.parametrize("modern", [True, False])
def test_which_server_is_wanted(
    target: str, order: tuple[str, ...], chosen: list[str] | None, modern: bool
) -> None:
    def make(kind: str) -> Place:
        state = KINDS[kind]
        if modern:
            return lambda: Server(parameters=state)
        standby = state.get("in_hot_standby", "off")
        read_only = "on" if "on" in (standby, state.get("default_transaction_read_only")) else "off"
        unknown = {"in_hot_standby": "", "default_transaction_read_only": ""}
        answers: Any = {
            "SHOW transaction_read_only": read_only.encode(),
            "SELECT pg_catalog.pg_is_in_recovery()": b"t" if standby == "on" else b"f",
        }
        return lambda: Server(parameters=unknown, answers=answers)

    places = [make(kind) for kind in order]
    if chosen is not None:
        assert three(*places, target_session_attrs=target).log == chosen
    else:
        failed, world = none_of(ConnectionLost, *places, target_session_attrs=target)
        assert world.log == [ONE, TWO, THREE]
        assert str(failed).count(f"target_session_attrs={target}") == 3


def test_a_session_that_is_not_wanted_is_closed_with_a_word() -> None:
    standby = Server(parameters=STANDBY)
    three(standby, Server(), Server(), target_session_attrs="primary")
    assert standby.heard[-1] == m.Terminate()


def test_a_session_that_is_not_wanted_and_has_gone() -> None:
    class Gone(Server):
        def feed(self, data: bytes) -> None:
            if data[:1] == b"X":
                raise BrokenPipeError("gone")
            super().feed(data)

    failed, world = none_of(
        ConnectionLost,
        Gone(parameters=STANDBY),
        Server(parameters=STANDBY),
        REFUSED,
        target_session_attrs="primary",
    )
    assert world.log == [ONE, TWO, THREE]
    assert str(failed).count("hot standby") == 2


ROW = m.RowDescription((m.FieldDescription("answer"),))
READY = m.ReadyForQuery("I")
DONE = m.CommandComplete("SHOW")


@pytest.mark.parametrize(
    "answer",
    [
        b"perhaps",
        b"",
        b"\xff",
        None,
        [ROW, DONE, READY],  # no row
        [ROW, m.DataRow((b"on",)), m.DataRow((b"on",)), DONE, READY],
        [ROW, m.DataRow((b"on",)), m.DataRow((b"off",)), m.DataRow((b"off",)), DONE, READY],
        [
            m.RowDescription((m.FieldDescription("a"), m.FieldDescription("b"))),
            m.DataRow((b"on", b"on")),
            DONE,
            READY,
        ],
        [ROW, m.DataRow((b"on",)), DONE, m.ReadyForQuery("T")],
        [m.CopyInResponse(0, ()), READY],
        [m.EmptyQueryResponse(), READY],
        [m.DataRow((b"on",)), DONE, READY],
        [READY],
    ],
)
def test_answers_that_are_neither_yes_nor_no(answer: Any) -> None:
    server = Server(parameters={"in_hot_standby": ""}, answers={"SHOW transaction_read_only": answer})
    world = World({ONE: server})
    failure(world, config(sslmode="disable", target_session_attrs="read-write"), RemoteProtocolError)


def test_an_error_for_an_answer() -> None:
    answer = [fatal("57P01", "terminating connection")]
    server = Server(parameters={"in_hot_standby": ""}, answers={"SHOW transaction_read_only": answer})
    failed, world = none_of(PostgresError, server, Server(), Server(), target_session_attrs="read-write")
    assert world.log == [ONE]
    assert isinstance(failed, PostgresError)
    assert not failed.untrusted


def test_a_report_within_the_answer() -> None:
    answer = [ROW, m.ParameterStatus("TimeZone", "UTC"), m.DataRow((b"off",)), DONE, READY]
    server = Server(parameters={"in_hot_standby": ""}, answers={"SHOW transaction_read_only": answer})
    world = World({ONE: server})
    established = session(world, config(sslmode="disable", target_session_attrs="read-write"))
    assert established.parameters["TimeZone"] == "UTC"


def test_prefer_standby_does_not_hide_a_wrong_password() -> None:
    places = (Server(password="pencil"), Server(parameters=STANDBY), Server())
    _, world = none_of(InvalidPassword, *places, password="eraser", target_session_attrs="prefer-standby")
    assert world.log == [ONE]


# --- load_balance_hosts ------------------------------------------------------------------------------------


def chosen_first(seed: int, **params: Any) -> str:
    source = random.Random(seed)
    names = {"db.example": ("192.0.2.1", "192.0.2.2", "192.0.2.3")}
    world = World({ONE: Server(), TWO: Server(), THREE: Server()}, names=names, entropy=source.randbytes)
    session(world, config(sslmode="disable", **params))
    return world.log[0]


@pytest.mark.parametrize("host", [THREE_HOSTS, "db.example"])
def test_the_load_is_spread_evenly(host: str) -> None:
    rounds = 600
    counts = Counter(chosen_first(seed, host=host, load_balance_hosts="random") for seed in range(rounds))
    expected = rounds / 3
    chi_squared = sum((counts[place] - expected) ** 2 / expected for place in (ONE, TWO, THREE))
    # Two degrees of freedom: a fair choice is above this once in a thousand times, and the seeds are fixed.
    assert chi_squared < 13.8


def test_every_order_occurs() -> None:
    orders: set[tuple[str, ...]] = set()
    for seed in range(200):
        world = World(dict.fromkeys((ONE, TWO, THREE), REFUSED), entropy=random.Random(seed).randbytes)
        failure(world, config(host=THREE_HOSTS, load_balance_hosts="random"), ConnectionLost)
        assert sorted(world.log) == [ONE, TWO, THREE]
        orders.add(tuple(world.log))
    assert len(orders) == 6


@pytest.mark.parametrize("host", [THREE_HOSTS, "db.example"])
def test_without_balance_the_order_is_kept(host: str) -> None:
    assert {chosen_first(seed, host=host) for seed in range(20)} == {ONE}
