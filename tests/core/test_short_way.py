"""The short ways of `ClientConnection` against the long one: all see the same and end in the same state."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgproto import NEED_DATA, RemoteProtocolError, Role, messages
from pgproto._rows import skip_rows
from pgproto._short_way import ClientConnection, Sink
from pgproto._state import Step
from pgproto.messages._copy_data import CopyDataReader

READY = [messages.ReadyForQuery("I"), messages.ReadyForQuery("T"), messages.ReadyForQuery("E")]

GROUP = (Step.BIND, Step.EXECUTE, Step.SYNC)
ROW = messages.DataRow((b"1", None)).encode()
ENDINGS = [
    messages.CommandComplete(tag).encode() + ready.encode()
    for tag in ("SELECT 1", "", "Z" * 40, "x" * 200)
    for ready in READY
]
BOUND = messages.BindComplete().encode()
PIECES = [
    BOUND,
    ROW,
    ROW * 3,
    *ENDINGS,
    messages.CommandComplete("a").encode(),
    messages.ReadyForQuery("I").encode(),
    messages.NoticeResponse({"S": "NOTICE", "M": "well"}).encode(),
    messages.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22012", "M": "no"}).encode(),
    messages.EmptyQueryResponse().encode(),
    messages.PortalSuspended().encode(),
    b"C\0\0\0\x08a\0b\0",
    b"C\0\0\0\x06ab",
    b"C\0\0\0\x06\xff\0",
    b"Z\0\0\0\5X",
    b"D\0\0\0\5\0",
    b"D\0\0\0\6\xff\xff",
    b"D\x7f\xff\xff\xff\0\0",
]


def connected_with(steps: tuple[Step, ...]) -> ClientConnection:
    connection = ClientConnection(Role.FRONTEND, max_message_size=1000)
    connection.send(messages.StartupMessage({"user": "alice"}))
    for message in (messages.AuthenticationOk(), messages.ReadyForQuery("I")):
        connection.receive_data(message.encode())
        connection.next_event()
    connection.send_group(b"", steps)
    return connection


def connected() -> ClientConnection:
    connection = connected_with(GROUP)
    connection.send_group(b"", GROUP)
    return connection


def bound() -> ClientConnection:
    connection = connected()
    connection.receive_data(BOUND)
    assert isinstance(connection.next_event(), messages.BindComplete)
    return connection


def follow(data: list[bytes], *, short: bool) -> tuple[list[object], bytes, object]:
    """What is seen, the rows, and how it ends; that a statement was bound is not seen on the short way."""
    connection = connected()
    rows = bytearray()

    def take(data: bytes, start: int, end: int) -> int:
        stop = skip_rows(data, start, end)
        rows.extend(data[start:stop])
        return stop

    seen: list[object] = []
    try:
        for chunk in data:
            connection.receive_data(chunk)
            while True:
                if short and (ending := connection.take_reply(Sink(take))) is not None:
                    assert ending[1] == connection.transaction_status
                    seen.append(messages.CommandComplete(ending[0]))
                    seen += [ready for ready in READY if ready.status == ending[1]]
                elif (event := connection.next_event()) is NEED_DATA:
                    break
                elif isinstance(event, messages.BindComplete):
                    connection.row_sink = take
                else:
                    seen.append(event)
    except RemoteProtocolError as error:
        return seen, bytes(rows), str(error)
    place = connection.step, connection.pending, connection.transaction_status, connection._columns
    return seen, bytes(rows), (*place, connection.row_sink if connection.step is Step.BIND else None)


@given(st.lists(st.sampled_from(PIECES), max_size=5), st.integers(0, 400))
@example([BOUND, b"D\0\0\0\5\0", BOUND], 0)
@example([BOUND, ROW, ENDINGS[0]], len(BOUND + ROW))
def test_both_ways_lead_to_the_same(pieces: list[bytes], cut: int) -> None:
    whole = b"".join(pieces)
    chunks = [chunk for chunk in (whole[:cut], whole[cut:]) if chunk]
    assert follow(chunks, short=True) == follow(chunks, short=False)


@pytest.mark.parametrize("rows", [b"", ROW, ROW * 3])
@pytest.mark.parametrize("ending", ENDINGS[:6])
def test_a_usual_reply_goes_the_short_way(rows: bytes, ending: bytes) -> None:
    connection = connected()
    connection.receive_data(BOUND + rows + ending)
    assert connection.take_reply(Sink(skip_rows)) is not None
    assert not connection.unread
    for behind in (BOUND, BOUND + rows + ending):
        more = connected()
        more.receive_data(BOUND + rows + ending + behind)
        assert more.take_reply(Sink(skip_rows)) is not None
        assert more.unread == len(behind)
        more = connected()
        for part in (BOUND + rows + ending, behind):
            more.receive_data(part)
        assert more.take_reply(Sink(skip_rows)) is not None
        assert more.unread == len(behind)
    assert connection.step is Step.BIND
    assert connection.next_event() is NEED_DATA


def test_what_is_cut_off_goes_on() -> None:
    connection = connected()
    for data in (BOUND + ROW * 2, ROW, ROW + ENDINGS[0][:3]):
        connection.receive_data(data)
        assert connection.take_reply(Sink(skip_rows)) is None
        assert connection.step is Step.EXECUTE_ROWS
    connection.receive_data(ENDINGS[0][3:])
    assert connection.take_reply(Sink(skip_rows)) is None
    assert connection.next_event() == messages.CommandComplete("SELECT 1")


COPY_PIECES = [
    messages.CopyData(b"1\ta\n").encode(),
    messages.CopyData(b"").encode(),
    messages.CopyData(b"x" * 251).encode(),
    messages.CopyData(b"x" * 252).encode(),
    messages.CopyData(b"x" * 300).encode(),
    messages.CopyData(b"d\0\0\0\5x").encode(),
    messages.CopyData(b"\0").encode(),
    *[messages.CopyData(b"ddd" * size).encode() * 200 for size in range(3)],
    messages.CopyDone().encode(),
    messages.NoticeResponse({"S": "NOTICE", "M": "well"}).encode(),
    messages.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "57014", "M": "no"}).encode(),
    b"d\0\0\0\3" + bytes(252),
    b"d\0\0\0\0",
    b"d\0\0\0\xff",
    b"d\x80\0\0\0",
    b"d\0\0\x10\0" + bytes(5000),
]


def copying() -> ClientConnection:
    connection = bound()
    connection.receive_data(messages.CopyOutResponse(0, (0,)).encode())
    connection.next_event()
    return connection


def copy(chunks: list[bytes], *, short: bool, text: bool) -> tuple[bytes, list[object], object]:
    """The data, what else is seen, and how it ends."""
    connection = copying()
    reader = CopyDataReader(text=text)
    data = b""
    seen: list[object] = []
    try:
        for chunk in chunks:
            connection.receive_data(chunk)
            while True:
                if short:
                    data += connection.take_copy_data(reader)
                if (event := connection.next_event()) is NEED_DATA:
                    break
                if isinstance(event, messages.CopyData):
                    data += event.data
                else:
                    seen.append((len(data), event))
    except RemoteProtocolError as error:
        return data, seen, str(error)
    return data, seen, (connection.step, connection.pending)


@given(st.lists(st.sampled_from(COPY_PIECES), max_size=6), st.integers(0, 3000), st.booleans())
def test_copy_data_by_both_ways_is_the_same(pieces: list[bytes], cut: int, text: bool) -> None:
    whole = b"".join(pieces)
    chunks = [chunk for chunk in (whole[:cut], whole[cut:]) if chunk]
    assert copy(chunks, short=True, text=text) == copy(chunks, short=False, text=text)


@given(st.binary(max_size=40), st.sampled_from(COPY_PIECES), st.integers(0, 1200))
def test_copy_data_of_any_bytes(some: bytes, piece: bytes, offset: int) -> None:
    whole = bytearray(COPY_PIECES[-8] + COPY_PIECES[0] * 120 + piece * 2 + COPY_PIECES[0] * 2)
    whole[offset : offset + len(some)] = some
    assert copy([bytes(whole)], short=True, text=True) == copy([bytes(whole)], short=False, text=True)


@pytest.mark.parametrize("length", range(4))
def test_copy_data_of_an_impossible_length(length: int) -> None:
    """What follows is as long as it would be if lengths were counted without the sign."""
    wrong = b"d\0\0\0" + bytes([length]) + b"x" * (252 + length)
    whole = COPY_PIECES[0] * 120 + wrong + COPY_PIECES[0] * 2
    result = copy([whole], short=True, text=True)
    assert result == copy([whole], short=False, text=True)
    assert result[0] == b"1\ta\n" * 120


@pytest.mark.parametrize("text", [True, False])
def test_copy_data_that_is_too_long_is_left(text: bool) -> None:
    short, long = messages.CopyData(b"x" * 96).encode(), messages.CopyData(b"x" * 97).encode()
    data = short * 12 + long * 12
    assert CopyDataReader(text=text).take(data, 0, len(data), 100) == (b"x" * 96 * 12, len(short) * 12)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("size", [0, 1, 250, 251, 252, 300])
@pytest.mark.parametrize("behind", [b"", COPY_PIECES[0][:-1], messages.CopyDone().encode()])
def test_copy_data_is_taken_at_one_go(size: int, behind: bytes, text: bool) -> None:
    connection = copying()
    rows = [bytes([97 + number % 26]) * size for number in range(400)]
    connection.receive_data(b"".join([messages.CopyData(row).encode() for row in rows]) + behind)
    reader = CopyDataReader(text=text)
    assert connection.take_copy_data(reader) == b"".join(rows)
    assert reader._short is (text and size < 252)
    if behind == COPY_PIECES[0][:-1]:
        connection.receive_data(COPY_PIECES[0][-1:])
        assert connection.next_event() == messages.CopyData(b"1\ta\n")
    elif behind:
        assert connection.next_event() == messages.CopyDone()
    assert connection.next_event() is NEED_DATA


def test_copy_data_outside_of_a_copy_is_not_taken() -> None:
    connection = bound()
    connection.receive_data(COPY_PIECES[0])
    assert connection.take_copy_data(CopyDataReader(text=True)) == b""


def test_not_in_another_state() -> None:
    connection = connected()
    connection.receive_data(BOUND + ENDINGS[0])
    assert connection.take_reply(Sink(skip_rows)) == ("SELECT 1", "I", len(BOUND + ENDINGS[0]))
    connection.receive_data(ENDINGS[0])
    assert connection.take_reply(Sink(skip_rows)) is None
    with pytest.raises(RemoteProtocolError):
        connection.next_event()


PAIRS = [
    messages.BindComplete().encode() + messages.CommandComplete(tag).encode()
    for tag in ("INSERT 0 1", "UPDATE 0", "", "x" * 48, "x" * 49, "x" * 300)
]
EXECUTION_PIECES = [
    *PAIRS,
    *[pair * 5 for pair in PAIRS],
    PAIRS[0] * 300,
    PAIRS[0] * 767,
    messages.BindComplete().encode(),
    messages.CommandComplete("a").encode(),
    messages.BindComplete().encode() + ROW + messages.CommandComplete("a").encode(),
    messages.EmptyQueryResponse().encode(),
    messages.ReadyForQuery("I").encode(),
    messages.NoticeResponse({"S": "NOTICE", "M": "well"}).encode(),
    messages.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22012", "M": "no"}).encode(),
    messages.BindComplete().encode() + b"C\0\0\0\x08a\0b\0",
    messages.BindComplete().encode() + b"C\0\0\0\x06ab",
    messages.BindComplete().encode() + b"C\0\0\0\4",
    messages.BindComplete().encode() + b"C\0\0\0\0",
    b"2\0\0\0\5\0",
]
EXECUTIONS = (Step.BIND, Step.EXECUTE)
QUEUES = [
    EXECUTIONS * 2000,
    (*EXECUTIONS * 3, Step.SYNC),
    (*EXECUTIONS * 3, Step.SYNC, *EXECUTIONS * 3),
    (*EXECUTIONS * 2, Step.PARSE, *EXECUTIONS * 2),
    (*EXECUTIONS, Step.BIND, Step.DESCRIBE_PORTAL, *EXECUTIONS),
    (Step.BIND,),
    (Step.BIND, Step.EXECUTE),
    (Step.EXECUTE, Step.BIND, Step.EXECUTE),
    (),
]


def executions(chunks: list[bytes], steps: tuple[Step, ...], *, short: bool) -> tuple[list[object], object]:
    connection = connected_with(steps)
    seen: list[object] = []
    try:
        for chunk in chunks:
            connection.receive_data(chunk)
            while True:
                for tag, times in connection.take_executions() if short else ():
                    assert times > 0
                    seen += [messages.BindComplete(), messages.CommandComplete(tag)] * times
                if (event := connection.next_event()) is NEED_DATA:
                    break
                seen.append(event)
    except RemoteProtocolError as error:
        return seen, str(error)
    return seen, (connection.step, tuple(connection._queue), connection.transaction_status)


@given(st.lists(st.sampled_from(EXECUTION_PIECES), max_size=6), st.integers(0, 700), st.sampled_from(QUEUES))
def test_executions_by_both_ways_are_the_same(pieces: list[bytes], cut: int, steps: tuple[Step, ...]) -> None:
    whole = b"".join(pieces)
    chunks = [chunk for chunk in (whole[:cut], whole[cut:]) if chunk]
    assert executions(chunks, steps, short=True) == executions(chunks, steps, short=False)


@pytest.mark.parametrize("times", [*range(1, 70), 255, 256, 257, 511, 512, 513, 1023, 1500, 1999])
@pytest.mark.parametrize("tail", [b"", PAIRS[0][:-1], PAIRS[1] * 3])
def test_executions_are_counted(times: int, tail: bytes) -> None:
    connection = connected_with(EXECUTIONS * (times + 3))
    connection.receive_data(PAIRS[0] * times + tail)
    expected = [("INSERT 0 1", times)]
    if tail == PAIRS[1] * 3:
        expected.append(("UPDATE 0", 3))
    assert connection.take_executions() == expected
    assert connection.take_executions() == []
    assert connection.pending == (0 if len(expected) > 1 else 6)


def test_no_more_executions_are_taken_than_were_asked_for() -> None:
    connection = connected_with((*EXECUTIONS * 2, Step.SYNC))
    connection.receive_data(PAIRS[0] * 3)
    taken = connection.take_executions()
    assert taken in ([("INSERT 0 1", 2)], [])
    with pytest.raises(RemoteProtocolError, match="BindComplete may not come"):
        while connection.next_event() is not NEED_DATA:
            continue
