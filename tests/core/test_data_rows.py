"""DataRow and DataRows: what makes a million rows cheap, and what is checked of each of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from pgproto import NEED_DATA, Connection
from pgproto.errors import RemoteProtocolError
from pgproto.messages import (
    Bind,
    BindComplete,
    CommandComplete,
    DataRow,
    DataRows,
    Execute,
    FieldDescription,
    Query,
    Role,
    RowDescription,
    Sync,
)
from pgproto.messages._rows import check_row, scan_rows
from tests.support.pair import drain, ready

ROWS = [DataRow((b"1", b"one")), DataRow((b"2", None)), DataRow((b"", b"x" * 300))]
WIRE = b"".join([row.encode() for row in ROWS])


def asking(columns: int = 2, **options: int) -> Connection:
    """A client that has asked for rows, and knows how many columns they have."""
    connection = ready(Role.FRONTEND, **options)
    connection.send(Query("select"))
    connection.receive_data(RowDescription((FieldDescription("c"),) * columns).encode())
    drain(connection)
    return connection


def received() -> DataRows:
    connection = asking()
    connection.receive_data(WIRE)
    rows = connection.next_event()
    assert isinstance(rows, DataRows)
    return rows


def test_rows_that_arrive_together_are_one_event() -> None:
    connection = asking()
    connection.receive_data(WIRE + CommandComplete("SELECT 3").encode())
    rows = connection.next_event()
    assert isinstance(rows, DataRows)
    assert list(rows) == ROWS
    assert connection.next_event() == CommandComplete("SELECT 3")
    assert connection.next_event() is NEED_DATA


def test_a_row_by_itself_is_a_row() -> None:
    connection = asking()
    connection.receive_data(ROWS[0].encode())
    assert connection.next_event() == ROWS[0]
    connection.receive_data(ROWS[1].encode() + ROWS[2].encode()[:-1])
    assert connection.next_event() == ROWS[1]
    assert connection.next_event() is NEED_DATA
    connection.receive_data(ROWS[2].encode()[-1:])
    assert connection.next_event() == ROWS[2]


def test_rows_are_a_sequence() -> None:
    rows = received()
    assert len(rows) == 3
    assert [rows[0], rows[1], rows[-1]] == ROWS
    assert rows[1:] == ROWS[1:]
    assert ROWS[1] in rows
    assert rows.index(ROWS[2]) == 2
    assert list(reversed(rows)) == ROWS[::-1]
    with pytest.raises(IndexError):
        rows[3]
    assert rows.column_counts == {2}
    assert rows.encode() == WIRE
    assert repr(rows) == "<DataRows of 3>"


def test_rows_are_compared_by_their_rows() -> None:
    one, other = received(), received()
    assert one == other
    assert hash(one) == hash(other)
    assert one != ROWS
    connection = asking()
    connection.receive_data(WIRE + ROWS[0].encode())
    assert connection.next_event() != one


def test_a_row_is_made_of_any_values() -> None:
    assert DataRow([b"1", None]) == DataRow((b"1", None))
    assert hash(DataRow([b"1"])) == hash(DataRow((b"1",)))
    assert DataRow().values == ()
    assert repr(DataRow((b"1", None))) == "DataRow(values=(b'1', None))"
    assert DataRow() != ()


def test_a_server_can_send_rows_as_they_came() -> None:
    server = ready(Role.BACKEND)
    server.receive_data(Query("select").encode())
    drain(server)
    server.send(RowDescription((FieldDescription("a"), FieldDescription("b"))))
    assert server.send(received()) == WIRE
    assert server.send(CommandComplete("SELECT 3"))


# Malformed rows.


def framed(columns: int, body: bytes) -> bytes:
    return b"D" + struct.pack("!iH", 6 + len(body), columns) + body


MALFORMED = [
    framed(1, b""),
    framed(1, b"\x00\x00\x00"),
    framed(1, b"\x00\x00\x00\x02x"),
    framed(1, b"\x00\x00\x00\x01xy"),
    framed(1, b"\xff\xff\xff\xfe"),
    framed(1, b"\x80\x00\x00\x00"),
    framed(1, b"\x7f\xff\xff\xff"),
    framed(2, b"\x00\x00\x00\x01x"),
    framed(2, b"\x00\x00\x00\x05x\x00\x00\x00\x00"),
    framed(0, b"\x00"),
    framed(0, b"\x00\x00\x00\x00"),
    framed(65_535, b"\xff" * 4),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_rows(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="DataRow is malformed"):
        check_row(data, 0, len(data))
    # What stands behind it in the buffer does not help.
    with pytest.raises(RemoteProtocolError, match="DataRow is malformed"):
        check_row(b"??" + data + bytes(100), 2, 2 + len(data))


def test_a_row_without_a_count() -> None:
    with pytest.raises(RemoteProtocolError, match="no column count"):
        check_row(b"D\x00\x00\x00\x05\x00", 0, 6)


@pytest.mark.parametrize("row", ROWS)
def test_well_formed_rows(row: DataRow) -> None:
    data = row.encode()
    assert check_row(data, 0, len(data)) == 2
    assert check_row(b"?" + data + b"?", 1, 1 + len(data)) == 2


WRONG = [
    *MALFORMED,
    DataRow((b"1",)).encode(),
    DataRow((b"1", b"2", b"3")).encode(),
    b"D\x00\x00\x00\x05\x00",
    b"D\x00\x00\x00\x00\x00\x02",
    b"D\xff\xff\xff\xff\x00\x02",
    b"D\x00\x00\x03\xe9\x00\x02",
    DataRow((b"x" * 500, b"y" * 500)).encode(),
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("before", range(3))
def test_what_is_wrong_is_told_after_what_was_right(before: int, wrong: bytes) -> None:
    """The rows before a bad one are delivered, and the error is the one that it brings by itself."""
    connection = asking(max_message_size=1000)
    connection.receive_data(wrong)
    with pytest.raises(RemoteProtocolError) as alone:
        drain(connection)

    connection = asking(max_message_size=1000)
    connection.receive_data(b"".join([row.encode() for row in ROWS[:before]]) + wrong + WIRE)
    rows: Sequence[DataRow] = []
    if before:
        event = connection.next_event()
        assert isinstance(event, DataRow | DataRows)
        rows = [event] if isinstance(event, DataRow) else list(event)
    assert rows == ROWS[:before]
    with pytest.raises(RemoteProtocolError) as behind:
        connection.next_event()
    assert str(behind.value) == str(alone.value)


def test_a_scan_counts_from_where_it_begins() -> None:
    data = b"?????" + WIRE + b"C\x00\x00\x00"
    starts, end = scan_rows(data, 5, len(data), 1000, None)
    assert end == 5 + len(WIRE)
    assert starts == [0, len(ROWS[0].encode()), len(ROWS[0].encode() + ROWS[1].encode())]


def test_a_scan_stops_before_what_is_not_complete() -> None:
    for cut in range(1, len(ROWS[2].encode()) + 1):
        starts, end = scan_rows(WIRE, 0, len(WIRE) - cut, 1000, 2)
        assert len(starts) == 2
        assert end == len(WIRE) - len(ROWS[2].encode())
    assert scan_rows(b"", 0, 0, 1000, None) == ([], 0)


def test_rows_of_an_extended_query_are_like_the_first() -> None:
    connection = ready(Role.FRONTEND)
    for message in (Bind(), Execute(), Sync()):
        connection.send(message)
    connection.receive_data(BindComplete().encode() + WIRE + DataRow((b"1",)).encode())
    assert connection.next_event() == BindComplete()
    rows = connection.next_event()
    assert isinstance(rows, DataRows)
    assert len(rows) == 3
    with pytest.raises(RemoteProtocolError, match="a row of 1 columns in a result of 2"):
        connection.next_event()
