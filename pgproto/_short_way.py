"""The short ways: what a client meets again and again, read at one go.

`Connection` reads message by message, and that is all that is needed. But the reply to a query is nearly
always the same few messages in a row, so a session reads them together where they have come together. Each
method takes nothing that `Connection.next_event` would refuse, and leads to the same state; whatever it does
not know it leaves to `next_event`.
"""

from __future__ import annotations

from typing import Final

from pgproto import messages as m
from pgproto._connection import Connection, RowSink
from pgproto._state import Step
from pgproto.errors import RemoteProtocolError
from pgproto.messages._copy_data import CopyDataReader
from pgproto.messages._ending import SHORTEST_ENDING, Ending, ending_of
from pgproto.messages._executions import read_executions

__all__ = ["ClientConnection"]

_DATA_ROW: Final = m.DataRow.tag[0]
_COMPLETE: Final = m.CommandComplete.tag[0]
_SHORTEST_ROW: Final = 7
_BIND_COMPLETE: Final = m.BindComplete().encode()

_BIND: Final = Step.BIND
_EXECUTE_ROWS: Final = Step.EXECUTE_ROWS
_EXECUTE_COPY_OUT: Final = Step.EXECUTE_COPY_OUT
_SYNC: Final = Step.SYNC
_DONE: Final = Step.DONE


class ClientConnection(Connection):
    """A `Connection` for a client, with the short ways; see the module."""

    __slots__ = ("has_unread",)

    has_unread: bool
    """After `take_reply` has taken one: whether there are bytes behind it."""

    def take_reply(self, sink: RowSink) -> Ending | None:
        """The reply to Bind, Execute and Sync that were sent together: how it ends, if it is all there.

        The rows go to ``sink``. If the rest has not come, or is not what it usually is, the result is None;
        the rows at the beginning may have been taken then, and `row_sink` is set for those that follow.
        """
        incoming, queue, step = self._incoming, self._queue, self._step
        data, position, end = incoming.data, incoming.position, incoming.end
        if step is _BIND:
            if not data.startswith(_BIND_COMPLETE, position) or len(queue) < 2 or queue[1] is not _SYNC:
                return None
            position += 5
        elif step is not _EXECUTE_ROWS or not queue or queue[0] is not _SYNC:
            return None
        taken = position
        if end - position >= _SHORTEST_ROW and data[position] == _DATA_ROW:
            longest = self._max_message_size
            try:
                # A row over the limit does not fit in here, so it becomes the first of what is left: refused.
                taken = sink(data, position, end if end - position <= longest else position + 1 + longest)
                if not position <= taken <= end:
                    raise RemoteProtocolError("DataRow could not be taken")
            except RemoteProtocolError as error:
                self._fail(str(error))
                raise
        ending = None
        if end - taken >= SHORTEST_ENDING and data[taken] == _COMPLETE:
            # The last byte of a tag's length is all of it, or `ending_of` will see that it is not.
            ending = ending_of(data[taken : taken + 7 + data[taken + 4]])
        if ending is None:
            if taken > position:
                if step is _BIND:
                    queue.popleft()
                self._move(_EXECUTE_ROWS)
                self.row_sink = sink
                incoming.position = taken
            return None
        if step is _BIND:
            queue.popleft()
        queue.popleft()
        self._status = ending[1]
        incoming.position = position = taken + ending[2]
        self.has_unread = position < end or incoming.held > 0
        # As `_begin_next` does.
        self._step = queue.popleft() if queue else _DONE
        self._columns = self.row_sink = None
        return ending

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
