"""Sessions as data: who said what, played to one end, and written down what it made of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pgproto import Connection, Role, messages
from pgproto._state import Step
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message
from pgproto.messages._rows import scan_rows
from tests.support.pair import drain

__all__ = [
    "Cut",
    "Hear",
    "Say",
    "Script",
    "Transcript",
    "at_once",
    "bytewise",
    "play",
    "randomly",
    "script_for",
]


class Say(NamedTuple):
    """The end that is played to says this."""

    message: Message


class Hear(NamedTuple):
    """Its peer sends these bytes; none is the end of the stream."""

    data: bytes


Script = Sequence[Say | Hear]
Cut = Callable[[bytes], Iterable[bytes]]
"""How the network cuts what is sent."""


class Transcript(NamedTuple):
    """All that can be seen of a connection."""

    events: list[Message]
    said: list[bytes | None]
    """What each message became; None if it was refused."""
    error: str | None
    """What the peer did wrong."""
    rows_past_events: int
    """How many of the events were rows that a sink had taken."""


def at_once(data: bytes) -> Iterable[bytes]:
    """Not at all."""
    return (data,)


def bytewise(data: bytes) -> Iterable[bytes]:
    """As small as can be."""
    return [data[number : number + 1] for number in range(len(data))]


def randomly(rng: random.Random) -> Cut:
    """In a few pieces, or in many."""
    largest = rng.choice((2, 5, 20, 100, 1000, 5000))

    def cut(data: bytes) -> Iterable[bytes]:
        start = 0
        while start < len(data):
            size = rng.randint(1, largest)
            yield data[start : start + size]
            start += size

    return cut


def script_for(role: Role, session: Iterable[tuple[Role, Sequence[Message]]]) -> list[Say | Hear]:
    """A session, as the end of this role lives through it."""
    script: list[Say | Hear] = []
    for side, said in session:
        if side is role:
            script += [Say(message) for message in said]
        else:
            script.append(Hear(b"".join([message.encode() for message in said])))
    return script


def play(role: Role, script: Script, cut: Cut = at_once, *, sink: bool = False) -> Transcript:
    """What a connection of this role makes of it.

    With ``sink``, the rows go past the events wherever they can; the transcript has them all the same.
    """
    connection = Connection(role)
    transcript = Transcript([], [], None, 0)
    taken = 0
    for step in script:
        if isinstance(step, Say):
            try:
                transcript.said.append(connection.send(step.message))
            except LocalProtocolError:
                transcript.said.append(None)
            continue
        for piece in cut(step.data) if step.data else (b"",):
            try:
                connection.receive_data(piece)
            except LocalProtocolError:
                continue  # after the end of the stream
            try:
                if sink:
                    taken += _drain_with_sink(connection, transcript.events)
                else:
                    _collect(connection, transcript.events)
            except RemoteProtocolError as error:
                _check_terminal(connection, str(error))
                return transcript._replace(error=str(error), rows_past_events=taken)
    return transcript._replace(rows_past_events=taken)


def _collect(connection: Connection, events: list[Message]) -> None:
    while True:
        event = connection.next_event()
        if isinstance(event, messages.DataRows):
            events.extend(event)
        elif isinstance(event, Message):
            events.append(event)
        else:
            return


_ROWS_MAY_COME = (Step.EXECUTE, Step.EXECUTE_ROWS, Step.QUERY_ROWS)


def _drain_with_sink(connection: Connection, events: list[Message]) -> int:
    taken = 0
    columns: int | None = None

    def sink(data: bytes, start: int, end: int) -> int:
        nonlocal columns, taken
        starts, stop = scan_rows(data, start, end, connection._max_message_size, columns)
        rows = messages.DataRows(data[start:stop], starts)
        columns = len(rows[0].values)
        connection._columns = columns
        events.extend(rows)
        taken += len(rows)
        return stop

    while True:
        if connection.row_sink is None and connection.step in _ROWS_MAY_COME:
            columns = connection._columns
            connection.row_sink = sink
        before = len(events)
        event = connection.next_event()
        if isinstance(event, messages.RowDescription):
            # A reply may have several results; each has a sink of its own.
            connection.row_sink = None
        if isinstance(event, Message):
            events.extend(event if isinstance(event, messages.DataRows) else [event])
        elif len(events) == before:
            connection.row_sink = None
            return taken


def _check_terminal(connection: Connection, error: str) -> None:
    """After an error it is over: the same again, and nothing more can be said."""
    assert connection.is_closed
    assert connection.pending == 0
    connection.receive_data(b"" if connection._end_of_file else b"Z\x00\x00\x00\x05I")
    assert _error_of(lambda: drain(connection)) == error
    goodbye = messages.Terminate() if connection.role is Role.FRONTEND else messages.ReadyForQuery("I")
    assert _error_of(lambda: connection.send(goodbye)) is not None


def _error_of(action: Callable[[], object]) -> str | None:
    try:
        action()
    except (LocalProtocolError, RemoteProtocolError) as error:
        return str(error)
    return None
