"""The short ways: what a client meets again and again, read at one go.

`Connection` reads message by message, and that is all that is needed. But the reply to a query is nearly
always the same few messages in a row, so a session reads them together where they have come together. Each
method takes nothing that `Connection.next_event` would refuse, and leads to the same state; whatever it does
not know it leaves to `next_event`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from pgproto import messages as m
from pgproto._connection import Connection, RowSink
from pgproto._state import Step
from pgproto.errors import RemoteProtocolError
from pgproto.messages._copy_data import CopyDataReader
from pgproto.messages._ending import SHORTEST_ENDING, Ending, ending_of
from pgproto.messages._executions import read_executions

__all__ = ["BIND_COMPLETE_SIZE", "ClientConnection", "Reader", "ReplySink", "Sink", "UsualReply"]

_DATA_ROW: Final = m.DataRow.tag[0]
_COMPLETE: Final = m.CommandComplete.tag[0]
_SHORTEST_ROW: Final = 7
_BIND_COMPLETE: Final = m.BindComplete().encode()
BIND_COMPLETE_SIZE: Final = len(_BIND_COMPLETE)
"""In bytes."""

_BIND: Final = Step.BIND
_EXECUTE_ROWS: Final = Step.EXECUTE_ROWS
_EXECUTE_COPY_OUT: Final = Step.EXECUTE_COPY_OUT
_SYNC: Final = Step.SYNC
_DONE: Final = Step.DONE


Reader: TypeAlias = Callable[[list[object], bytes, int, int], Ending | None]
"""``read(rows, data, start, end)`` takes the reply to Bind, Execute and Sync that begins ``data[start:end]``,
if it is whole and one that is known: it appends the rows, and returns how the reply ends, with the size of
all of it. Else it returns None and has done nothing."""


def read_nothing(rows: list[object], data: bytes, start: int, end: int) -> Ending | None:
    """Knows no reply."""
    return None


class UsualReply(ABC):
    """What the replies to a certain statement are like, learned from them."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: Reader = read_nothing

    @abstractmethod
    def missed(self, data: bytes, start: int, rows_end: int, ending: Ending) -> None:
        """A reply was not known, though it is in order; perhaps the next will be like it.

        It begins at ``start`` with BindComplete; its rows end at ``rows_end``; ``ending`` has its size.
        """


class ReplySink(Protocol):
    """What takes rows, as a `RowSink` does; it may know whole replies, and then it has the rows of those."""

    @property
    def usual(self) -> UsualReply | None: ...
    @property
    def rows(self) -> list[object]: ...
    def take(self, data: bytes, start: int, end: int) -> int: ...


class Sink:
    """A `RowSink` as such."""

    __slots__ = ("_take", "rows", "usual")

    def __init__(self, take: RowSink) -> None:
        self._take = take
        self.usual: UsualReply | None = None
        self.rows: list[object] = []

    def take(self, data: bytes, start: int, end: int) -> int:
        return self._take(data, start, end)


class ClientConnection(Connection):
    """A `Connection` for a client, with the short ways; see the module."""

    __slots__ = ("unread",)

    unread: int
    """After `take_reply` has taken one: how many bytes there are behind it."""

    def take_reply(self, sink: ReplySink) -> Ending | None:
        """The reply to Bind, Execute and Sync that were sent together: how it ends, if it is all there.

        Its rows go into ``sink``. If the rest has not come, or is not what it usually is, the result is
        None; the rows at the beginning may have been taken then, and `row_sink` is set for those that follow.
        """
        incoming, queue = self._incoming, self._queue
        position = incoming.position
        if self._step is _BIND:
            try:
                if queue[1] is not _SYNC:
                    return None
            except IndexError:
                return None
            usual, ending = sink.usual, None
            if usual is not None:
                read = usual.read
                ending = read(sink.rows, incoming.data, position, incoming.end)
            if ending is None and (ending := self._read_reply(sink.take, usual)) is None:
                return None
            queue.popleft()
        else:
            if self._step is not _EXECUTE_ROWS or not queue or queue[0] is not _SYNC:
                return None
            ending = self._read_rest(sink.take)
            if ending is None:
                return None
            # What `_begin_next` does besides; at Bind there is nothing of the kind yet.
            self._columns = self.row_sink = None
        queue.popleft()
        self._step = queue.popleft() if queue else _DONE
        _, self._status, size = ending
        incoming.position = position = position + size
        self.unread = incoming.end - position + incoming.held
        return ending

    def _read_reply(self, sink: RowSink, usual: UsualReply | None) -> Ending | None:
        """As it comes: BindComplete, and the rest."""
        incoming = self._incoming
        data, position = incoming.data, incoming.position
        if not data.startswith(_BIND_COMPLETE, position):
            return None
        start = position + BIND_COMPLETE_SIZE
        taken, ending = self._read_rows_and_ending(sink, start)
        if ending is None:
            if taken > start:
                self._queue.popleft()
                self._go_on_with_rows(sink, taken)
            return None
        ending = ending[0], ending[1], taken + ending[2] - position
        if usual is not None:
            usual.missed(data, position, taken, ending)
        return ending

    def _read_rest(self, sink: RowSink) -> Ending | None:
        """What follows the rows that have been taken already."""
        position = self._incoming.position
        taken, ending = self._read_rows_and_ending(sink, position)
        if ending is None:
            if taken > position:
                self._go_on_with_rows(sink, taken)
            return None
        return ending[0], ending[1], taken + ending[2] - position

    def _go_on_with_rows(self, sink: RowSink, position: int) -> None:
        self._move(_EXECUTE_ROWS)
        self.row_sink = sink
        self._incoming.position = position

    def _read_rows_and_ending(self, sink: RowSink, position: int) -> tuple[int, Ending | None]:
        """Where the rows end, and how the reply ends, if that has come and is what it usually is."""
        incoming = self._incoming
        data, end, taken = incoming.data, incoming.end, position
        if end - position >= _SHORTEST_ROW and data[position] == _DATA_ROW:
            longest = self._max_message_size
            try:
                # A row over the limit does not fit in here, so it becomes the first of what is left: refused.
                taken = sink(data, position, end if end - position <= longest else position + 1 + longest)
            except RemoteProtocolError:
                return position, None  # `next_event` meets it again, and says what it is
            if not position <= taken <= end:
                return position, None
        if end - taken >= SHORTEST_ENDING and data[taken] == _COMPLETE:
            # The last byte of a tag's length is all of it, or `ending_of` will see that it is not.
            return taken, ending_of(data[taken : taken + 7 + data[taken + 4]])
        return taken, None

    def take_copy_data(self, reader: CopyDataReader) -> bytes:
        """What a COPY TO STDOUT goes on with: the data of all messages that are whole."""
        if self._step is not _EXECUTE_COPY_OUT:
            return b""
        incoming = self._incoming
        data, incoming.position = reader.take(
            incoming.data, incoming.position, incoming.end, self._max_message_size
        )
        return data

    def take_executions(self) -> list[tuple[str, int]]:
        """Replies to Bind and Execute that bring no rows, as many as there are.

        Returns their command tags, with how often each comes in succession.
        """
        if self._step is not _BIND:
            return []
        incoming = self._incoming
        runs, position = read_executions(incoming.data, incoming.position, incoming.end, self.pending // 2)
        if not runs or not self._pass_executions(sum([times for _, times in runs])):
            return []
        incoming.position = position
        return runs
