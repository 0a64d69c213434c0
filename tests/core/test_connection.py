"""The connection as its user sees it: bytes in, events out, errors, limits, and the short ways for speed."""

from __future__ import annotations

import pytest

from pgproto import NEED_DATA, Connection, NeedData
from pgproto import messages as m
from pgproto._conversation import RowSink
from pgproto._state import Phase, Step
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import DataRow, DataRows, Message, Role
from tests.support.pair import drain, ready, snapshot

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
ONE_COLUMN = m.RowDescription((m.FieldDescription("a"),))
ROW = DataRow((b"1",))
DONE = m.CommandComplete("SELECT 1")
IDLE = m.ReadyForQuery("I")


# A session, from the first byte to the last.


def test_a_session_as_a_client_sees_it() -> None:
    client = Connection(Role.FRONTEND)
    assert (
        client.send(m.StartupMessage({"user": "u"})) == b"\x00\x00\x00\x10\x00\x03\x00\x00user\x00u\x00\x00"
    )
    assert client.next_event() is NEED_DATA
    client.receive_data(b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I")
    assert client.next_event() == m.AuthenticationOk()
    assert client.next_event() == m.ReadyForQuery("I")
    assert client.next_event() is NEED_DATA

    assert client.send(m.Query("select 1")) == b"Q\x00\x00\x00\x0dselect 1\x00"
    answer = ONE_COLUMN.encode() + ROW.encode() + DONE.encode() + IDLE.encode()
    events: list[Message] = []
    for number in range(len(answer)):
        client.receive_data(answer[number : number + 1])
        events += drain(client)
    assert events == [ONE_COLUMN, ROW, DONE, IDLE]

    assert client.send(m.Terminate()) == b"X\x00\x00\x00\x04"
    client.receive_data(b"")
    assert client.next_event() is NEED_DATA
    assert client.is_closed


def test_need_data_is_the_only_one_of_its_kind() -> None:
    assert list(NeedData) == [NEED_DATA]
    assert Connection(Role.FRONTEND).next_event() is NeedData.NEED_DATA


def test_a_connection_tells_where_it_stands() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Sync())
    assert repr(client) == "<Connection frontend READY, 1 replies pending>"
    assert client.role is Role.FRONTEND
    assert (client.phase, client.step, client.transaction_status) == (Phase.READY, Step.SYNC, "I")
    assert not client.is_closed


# Errors.


def test_what_the_caller_may_not_do_changes_nothing() -> None:
    client = ready(Role.FRONTEND)
    before = snapshot(client)
    for message in (m.CopyDone(), m.StartupMessage({}), m.ReadyForQuery("I"), m.Query("\0"), m.Close("X")):
        with pytest.raises(LocalProtocolError):
            client.send(message)
    assert snapshot(client) == before
    assert client.send(m.Query("")) == b"Q\x00\x00\x00\x05\x00"


@ROLES
def test_what_the_peer_may_not_do_ends_everything(role: Role) -> None:
    connection = ready(role)
    connection.send(m.Query("") if role is Role.FRONTEND else m.NoticeResponse({}))
    connection.receive_data(b"!\x00\x00\x00\x04" + m.ReadyForQuery("I").encode())
    errors: list[str] = []
    for _ in range(3):
        with pytest.raises(RemoteProtocolError) as caught:
            connection.next_event()
        errors.append(str(caught.value))
        connection.receive_data(b"more")
    assert len(set(errors)) == 1
    assert "unknown type '!'" in errors[0]
    assert connection.is_closed
    assert connection.pending == 0
    with pytest.raises(LocalProtocolError, match="unknown type '!'"):
        connection.send(m.Sync())
    with pytest.raises(LocalProtocolError):
        connection.send_group(b"", ())
    connection.receive_data(b"")
    with pytest.raises(RemoteProtocolError, match="unknown type '!'"):
        connection.next_event()


def test_what_came_before_a_bad_message_is_delivered() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Query(""))
    client.receive_data(m.EmptyQueryResponse().encode() + IDLE.encode() + IDLE.encode())
    assert [client.next_event(), client.next_event()] == [m.EmptyQueryResponse(), IDLE]
    with pytest.raises(RemoteProtocolError):
        client.next_event()


# The end of the stream.


def test_the_end_may_come_only_after_a_goodbye() -> None:
    """Cut off at each byte of a session, a client reports it, wherever that was."""
    answers = m.AuthenticationOk().encode() + m.ParameterStatus("a", "b").encode() + IDLE.encode()
    for cut in range(len(answers) + 1):
        client = Connection(Role.FRONTEND)
        client.send(m.StartupMessage({"user": "u"}))
        if cut:
            client.receive_data(answers[:cut])
        client.receive_data(b"")
        with pytest.raises(RemoteProtocolError, match="the server closed the connection"):
            drain(client)
        assert client.is_closed


@pytest.mark.parametrize("cut", range(1, 16))
def test_the_end_in_the_middle_of_a_startup_message(cut: int) -> None:
    server = Connection(Role.BACKEND)
    server.receive_data(m.StartupMessage({"user": "u"}).encode()[:cut])
    server.receive_data(b"")
    with pytest.raises(RemoteProtocolError, match="the client closed the connection in the middle"):
        server.next_event()


def test_what_came_before_the_end_is_delivered() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Query(""))
    client.receive_data(m.EmptyQueryResponse().encode())
    client.receive_data(b"")
    assert client.next_event() == m.EmptyQueryResponse()
    with pytest.raises(RemoteProtocolError, match="without a word, when the session is ready"):
        client.next_event()


@ROLES
def test_nothing_comes_after_the_end(role: Role) -> None:
    connection = ready(role)
    connection.receive_data(b"")
    connection.receive_data(b"")
    with pytest.raises(LocalProtocolError, match="after the end of the stream"):
        connection.receive_data(b"x")


# What may come in.


def test_any_buffer_is_taken_and_copied_if_it_can_change() -> None:
    for view in (False, True):
        client = ready(Role.FRONTEND)
        client.send(m.Query(""))
        data = bytearray(m.EmptyQueryResponse().encode())
        buffer = memoryview(data) if view else data
        client.receive_data(buffer)  # type: ignore[arg-type]  # not every caller has a type checker
        data[0] = 0
        assert client.next_event() == m.EmptyQueryResponse()


# Rows that go past the events.


def _count_rows(seen: list[bytes]) -> RowSink:
    """A sink that notes each whole row."""

    def sink(data: bytes, start: int, end: int) -> int:
        position = start
        while end - position >= 7 and data[position] == 0x44:
            following = position + 1 + int.from_bytes(data[position + 1 : position + 5], "big")
            if following > end:
                break
            seen.append(data[position:following])
            position = following
        return position

    return sink


@pytest.mark.parametrize("size", [1, 3, 11, 12, 13, 100, 10_000])
def test_a_sink_gets_the_rows_of_one_reply(size: int) -> None:
    client = ready(Role.FRONTEND)
    for message in (m.Execute(), m.Execute(), m.Sync()):
        client.send(message)
    seen: list[bytes] = []
    client.row_sink = _count_rows(seen)
    wire = ROW.encode() * 20 + DONE.encode() + ROW.encode() * 2 + DONE.encode() + IDLE.encode()
    events: list[Message] = []
    for start in range(0, len(wire), size):
        client.receive_data(wire[start : start + size])
        events += drain(client)
    assert seen == [ROW.encode()] * 20
    # It ended with its reply: the next one's rows are events again.
    assert events == [DONE, ROW, ROW, DONE, IDLE]
    assert client.row_sink is None


def test_other_messages_come_between_rows_as_ever() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    seen: list[bytes] = []
    client.row_sink = _count_rows(seen)
    notice = m.NoticeResponse({"M": "x"})
    client.receive_data(ROW.encode() + notice.encode() + ROW.encode() + m.PortalSuspended().encode())
    assert drain(client) == [notice, m.PortalSuspended()]
    assert seen == [ROW.encode()] * 2


def test_a_sink_sees_no_row_that_may_not_come() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Query(""))
    seen: list[bytes] = []
    client.row_sink = _count_rows(seen)
    client.receive_data(ROW.encode())
    with pytest.raises(RemoteProtocolError, match="DataRow may not come"):
        client.next_event()
    assert seen == []
    assert client.row_sink is None


def test_an_error_in_the_reply_ends_the_sink() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    client.row_sink = _count_rows([])
    client.receive_data(ROW.encode() + m.ErrorResponse({"M": "x"}).encode())
    drain(client)
    assert client.row_sink is None


@pytest.mark.parametrize("taken", [-1, 0, 2, 1_000])
def test_a_sink_must_take_whole_rows(taken: int) -> None:
    """One that takes nothing would be asked for ever; one that takes too much would lose what follows."""
    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    client.receive_data(m.NoticeResponse({}).encode() + ROW.encode())
    assert client.next_event() == m.NoticeResponse({})

    def sink(data: bytes, start: int, end: int) -> int:
        return end + 1 if taken == 1_000 else start + min(taken, 0)

    client.row_sink = sink
    with pytest.raises(RemoteProtocolError, match="could not be taken"):
        client.next_event()


def test_a_sink_that_refuses_a_row_fails_the_connection() -> None:
    def sink(data: bytes, start: int, end: int) -> int:
        raise RemoteProtocolError("a row of the wrong kind")

    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    client.row_sink = sink
    client.receive_data(ROW.encode())
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="of the wrong kind"):
            client.next_event()


# Groups of requests, encoded before.

GROUP = (m.Bind(), m.Execute(), m.Sync())
BYTES = b"".join([message.encode() for message in GROUP])
STEPS = (Step.BIND, Step.EXECUTE, Step.SYNC)


def test_a_group_is_the_same_as_its_messages() -> None:
    one, other = ready(Role.FRONTEND), ready(Role.FRONTEND)
    for _ in range(2):
        assert one.send_group(BYTES, STEPS) == b"".join([other.send(message) for message in GROUP])
        assert snapshot(one) == snapshot(other)
    answer = m.BindComplete().encode() + ROW.encode() + DONE.encode() + IDLE.encode()
    one.receive_data(answer * 2)
    assert drain(one) == [m.BindComplete(), ROW, DONE, IDLE] * 2
    assert one.pending == 0


def test_a_group_that_may_not_be_sent_changes_nothing() -> None:
    fresh = Connection(Role.FRONTEND)
    server = ready(Role.BACKEND)
    closing = ready(Role.FRONTEND)
    closing.send(m.Terminate())
    skipping = ready(Role.FRONTEND)
    skipping.send(m.Parse("", ""))
    skipping.receive_data(m.ErrorResponse({"M": "x"}).encode())
    copying = ready(Role.FRONTEND)
    copying.send(m.Query("copy"))
    copying.receive_data(m.CopyInResponse().encode())
    for connection in (fresh, server, closing, skipping, copying):
        drain(connection)
        before = snapshot(connection)
        with pytest.raises(LocalProtocolError, match="a group of requests may not be sent"):
            connection.send_group(BYTES, STEPS)
        assert snapshot(connection) == before


def test_rows_keep_their_bytes() -> None:
    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    client.receive_data(ROW.encode() * 3)
    rows = client.next_event()
    assert isinstance(rows, DataRows)
    assert rows.encode() == ROW.encode() * 3


# Looking on.


def test_whoever_traces_sees_the_bytes_of_both_sides() -> None:
    seen: list[tuple[Role, bytes]] = []
    client = ready(Role.FRONTEND)
    client.trace = lambda sender, data: seen.append((sender, data))
    client.send(m.Query(""))
    client.send_group(BYTES, STEPS)
    client.receive_data(m.EmptyQueryResponse().encode()[:3])
    client.receive_data(m.EmptyQueryResponse().encode()[3:])
    client.receive_data(b"")
    with pytest.raises(LocalProtocolError):
        client.send(m.CopyDone())
    assert seen == [
        (Role.FRONTEND, b"Q\x00\x00\x00\x05\x00"),
        (Role.FRONTEND, BYTES),
        (Role.BACKEND, b"I\x00\x00"),
        (Role.BACKEND, b"\x00\x04"),
    ]


def test_a_server_may_speak_while_bytes_of_the_client_wait() -> None:
    """Its client may have gone on already; only over the answer to an encryption request nobody may."""
    server = Connection(Role.BACKEND)
    server.receive_data(m.StartupMessage({"user": "u"}).encode())
    server.next_event()
    server.receive_data(m.Query("").encode())
    server.send(m.AuthenticationOk())
    server.send(IDLE)
    assert server.next_event() == m.Query("")
