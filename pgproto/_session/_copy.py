"""COPY, as requests: data of any length in one direction, between Parse, Bind, Execute and the one Sync.

While the server reads copy data it ignores Sync, and takes any further request for a broken protocol. So a
COPY holds back all other requests from its first byte to its end, and its Sync comes last. However its owner
leaves it, it is brought to that end: data to the server is taken back with CopyFail, data from the server is
dropped, or the server is asked to cancel.

Where the statement's columns can be told, they are described before it in the same group, so that rows can be
written and read by their types. PostgreSQL documentation: "COPY Operations".
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from pgproto import messages as m
from pgproto._session._copy_format import RowStream, row_reader, row_writer
from pgproto._session._copy_rows import CopyColumn, RowWriter
from pgproto._session._copy_sql import CopyStatement, parse_copy
from pgproto._session._introduction import EXECUTE, IntroducingRequest
from pgproto._session._machine import FLUSH, RequestMachine
from pgproto._session._request import COPYING
from pgproto._session._sql import check_sql, first_keyword, quote_ident
from pgproto._session._statement import Statement
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import DataError, PostgresError
from pgproto.messages._copy_data import CopyDataReader

__all__ = ["CopyIn", "CopyOut", "copy_records_sql"]

_STEPS: Final = (Step.PARSE, Step.BIND, Step.EXECUTE)

PIECE: Final = 64 * 1024
"""How many bytes of copy data make a message."""
UNSENT: Final = 256 * 1024
"""How many bytes may wait for the transport before the owner has to."""
UNREAD: Final = 1024 * 1024
"""How many bytes may wait for the owner before the transport stops reading; half of that, and it goes on."""

_BINARY: Final = 1


class _Copy(IntroducingRequest[CommandTag]):
    """What both directions have in common."""

    __slots__ = (
        "_again",
        "_copied",
        "_count",
        "_describe",
        "_format",
        "_tag",
        "begun",
        "byte_count",
        "statement",
    )

    def __init__(self, sql: str, timeout: float | None) -> None:
        super().__init__(sql, timeout)
        self.statement: CopyStatement | None = parse_copy(sql) if first_keyword(sql) == "COPY" else None
        self.begun = False
        """Whether the server has agreed to copy."""
        self.byte_count: int = 0
        """How many bytes of data have been copied, as far as the owner knows."""
        self._tag = ""
        self._copied: tuple[CopyColumn, ...] | None = None
        self._format = 0
        self._count = 0
        # Whether to ask for the columns' types, and whether that has failed and is not to be tried again.
        self._describe = True
        self._again = False

    # Writing.

    @abstractmethod
    def _wants_description(self, statement: CopyStatement) -> bool:
        """Whether the columns' types may be needed; raises `DataError` if it copies the other way."""

    def begin(self, machine: RequestMachine) -> None:
        check_sql(self.sql)
        if first_keyword(self.sql) != "COPY":
            raise DataError("the statement is no COPY; execute() and fetch() are for others")
        statement = self.statement
        if statement is not None and self._wants_description(statement) and self._describe:
            self.introduce(machine, statement.describe, "")
        else:
            self._copy(machine)

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        columns = zip(statement.names, statement.codecs, strict=True)
        self._copied = tuple([CopyColumn(name, codec) for name, codec in columns])
        self._copy(machine)

    def _copy(self, machine: RequestMachine) -> None:
        data = m.Parse("", self.sql).encode() + m.Bind().encode() + EXECUTE
        machine.write(self, data + FLUSH, _STEPS)

    # Reading.

    @property
    def expects(self) -> frozenset[type[m.Message]]:
        return COPYING

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case _ if self.introducing:
                self.receive_introduction(machine, message)
            case m.CopyInResponse() | m.CopyOutResponse():
                self._format = message.format
                self._count = len(message.column_formats)
                self._respond(machine, message)
            case m.CommandComplete():
                self._complete(machine, message.command_tag)
            case _:
                # ParseComplete, BindComplete, CopyDone, and data that nobody wants.
                ...

    @abstractmethod
    def _respond(self, machine: RequestMachine, message: m.Message) -> None:
        """The server agrees to copy, in one direction or the other."""

    def _complete(self, machine: RequestMachine, tag: str) -> None:
        self._tag = tag
        if not machine.is_writing(self):
            return
        if self.begun or self.abandoned or self.error is not None:
            machine.end_group(self)
            # COPY does not commit by itself: that is for the Sync to do.
            self.execute_end = machine.written
        else:
            # It copied between the server and a file there, which nobody asked for: undo what can be.
            self.error = DataError("the COPY was one of the server's own files: no data came, nor was wanted")
            machine.take_back(self)

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        if self.introducing:
            # It is about a statement that nobody has seen, so let the COPY itself be refused, if it is.
            self._introducing = None
            self._describe = False
            self._again = True
            error.position = None
        super().fail(machine, error)

    def ready(self, machine: RequestMachine, status: str) -> bool:
        machine.reading_paused = False
        again, self._again = self._again, False
        if again and status == "I" and not self.abandoned:
            self.error = None
            return False
        return True

    def value(self) -> CommandTag:
        return CommandTag(self._tag)


class CopyIn(_Copy):
    """COPY FROM STDIN: the owner adds data, and sends it as the transport takes it."""

    __slots__ = ("_pending", "_rows", "_size")

    def __init__(self, sql: str, timeout: float | None) -> None:
        super().__init__(sql, timeout)
        self._pending: list[bytes] = []
        self._size = 0
        self._rows: RowWriter | None = None

    def _wants_description(self, statement: CopyStatement) -> bool:
        if not statement.from_client:
            raise DataError("copy_in() is for COPY FROM STDIN; this COPY takes no data from the client")
        return statement.options is not None

    def _respond(self, machine: RequestMachine, message: m.Message) -> None:
        if isinstance(message, m.CopyOutResponse):
            self.error = DataError("copy_in() is for COPY FROM STDIN; the server sends data instead")
            machine.cancel(self)
        elif self.abandoned:
            self._take_back(machine, "nobody wants it any more")
        else:
            self.begun = True
            machine.stir_when_sent(self)
            machine.stir(self)

    def leave(self, machine: RequestMachine) -> None:
        """Have the server forget what it got; if it has not agreed yet, it will be told when it does."""
        self._forget_pending()
        if self.begun and machine.is_writing(self):
            self._take_back(machine, "its owner has gone")
        else:
            machine.cancel(self)

    # What the owner calls.

    @property
    def row_count(self) -> int:
        """How many rows were written; when it is done, what the server says."""
        count = CommandTag(self._tag).rows
        if count is not None:
            return count
        return 0 if self._rows is None else self._rows.count

    def is_open(self, machine: RequestMachine) -> bool:
        """Whether data can be sent; if not, there is an outcome, or will be."""
        return self.begun and not self.done and machine.is_writing(self)

    def has_room(self, machine: RequestMachine) -> bool:
        """Whether the owner need not wait for the transport."""
        return self.done or not machine.is_writing(self) or (self.begun and machine.unsent <= UNSENT)

    @property
    def is_full(self) -> bool:
        """Whether what was added is enough for a message."""
        return self._size >= PIECE

    def pieces(self, data: bytes | bytearray | memoryview | str) -> Iterator[bytes]:
        """The data in pieces for `add`."""
        view = memoryview(_encoded(data)).cast("B")
        for start in range(0, len(view), PIECE):
            yield bytes(view[start : start + PIECE])

    def add(self, piece: bytes) -> None:
        """Add data, to be sent with `send`."""
        self._pending.append(piece)
        self._size += len(piece)
        self.byte_count += len(piece)

    def add_rows(self, rows: Iterator[object]) -> bool:
        """Add rows until they are enough for a message; True if these were all.

        Raises `DataError` for a row that does not fit; those before it have been added.
        """
        writer = self._rows or self._begin_rows()
        before = writer.size
        try:
            return writer.fill(rows, self._pending, PIECE - self._size)
        finally:
            self._size += writer.size - before
            self.byte_count += writer.size - before

    def _begin_rows(self) -> RowWriter:
        writer = row_writer(self.statement, self._copied, self._format, self._count)
        if not self.byte_count:
            self.add(writer.header)
        elif self._format == _BINARY:
            raise DataError("in binary format the data is either written in rows or in bytes, not both")
        self._rows = writer
        return writer

    def send(self, machine: RequestMachine) -> None:
        """Send what was added, if the copy is still open."""
        if self._size and self.is_open(machine):
            machine.send(m.CopyData(b"".join(self._pending)))
        self._forget_pending()

    def _forget_pending(self) -> None:
        self._pending.clear()
        self._size = 0

    def finish(self, machine: RequestMachine) -> None:
        """The data is complete."""
        if self._rows is not None:
            self.add(self._rows.trailer)
        open_still = self.is_open(machine)
        self.send(machine)
        if open_still:
            machine.send(m.CopyDone())
            machine.end_group(self)
            self.execute_end = machine.written

    def give_up(self, machine: RequestMachine, reason: str) -> None:
        """The data will not be complete: nothing of it is kept."""
        self._forget_pending()
        if self.is_open(machine):
            self._take_back(machine, reason)

    def _take_back(self, machine: RequestMachine, reason: str) -> None:
        machine.send(m.CopyFail(f"the client gave up the copy: {reason}"))
        machine.end_group(self)


class CopyOut(_Copy):
    """COPY TO STDOUT: data comes as the owner takes it."""

    __slots__ = ("_chunks", "_dropping", "_reader", "_size")

    def __init__(self, sql: str, timeout: float | None) -> None:
        super().__init__(sql, timeout)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._dropping = False
        self._reader = CopyDataReader(text=False)

    def _wants_description(self, statement: CopyStatement) -> bool:
        if not statement.to_client:
            raise DataError("copy_out() is for COPY TO STDOUT; this COPY sends no data to the client")
        # The other formats are text to a client as well.
        return statement.options is not None and statement.options.format == "binary"

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        if type(message) is not m.CopyData:
            super().receive(machine, message)
        else:
            # Joined once for all messages that came together, for there may be one for each row.
            self._receive_data(machine, message.data + machine.connection.take_copy_data(self._reader))

    def _receive_data(self, machine: RequestMachine, data: bytes) -> None:
        if data and not self._dropping:
            self._chunks.append(data)
            self._size += len(data)
            if self._size > UNREAD:
                machine.reading_paused = True
            if not self.stirred:
                machine.stir(self)

    def _respond(self, machine: RequestMachine, message: m.Message) -> None:
        if isinstance(message, m.CopyInResponse):
            self.error = DataError("copy_out() is for COPY TO STDOUT; the server asks for data instead")
            machine.send(m.CopyFail("copy_out() cannot send copy data; copy_in() can"))
            machine.end_group(self)
        else:
            self._reader = CopyDataReader(text=self._format != _BINARY)
            self.begun = True
            machine.stir(self)

    def leave(self, machine: RequestMachine) -> None:
        """Drop what comes, and have the server stop."""
        self.stop(machine, cancel=True)

    # What the owner calls.

    @property
    def has_data(self) -> bool:
        """Whether `take` has something to give."""
        return self._size > 0

    def take(self, machine: RequestMachine) -> bytes:
        """Some of the data that has come; empty if there is none."""
        taken: list[bytes] = []
        size = 0
        while self._chunks and (not taken or size + len(self._chunks[0]) <= PIECE):
            taken.append(self._chunks.popleft())
            size += len(taken[-1])
        self._size -= size
        self.byte_count += size
        if self._size <= UNREAD // 2:
            machine.reading_paused = False
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def row_stream(self) -> RowStream:
        """What makes rows of the data; raises `DataError` if the statement does not say enough for that."""
        return RowStream(row_reader(self.statement, self._copied, self._format, self._count))

    def stop(self, machine: RequestMachine, *, cancel: bool | None = None) -> None:
        """The owner wants no more data: what is still to come is dropped.

        ``cancel`` is whether to ask the server to stop; None for doing so unless that would break the
        transaction that the copy is in.
        """
        self._dropping = True
        self._chunks.clear()
        self._size = 0
        machine.reading_paused = False
        if not self.done and (machine.status == "I" if cancel is None else cancel):
            machine.cancel(self)


def copy_records_sql(table: str, columns: Sequence[str] | None, schema: str | None) -> str:
    """The COPY that takes rows for these columns in binary format."""
    if isinstance(columns, str):
        raise DataError("the columns are a sequence of names, not one string")
    target = quote_ident(table) if schema is None else quote_ident(schema) + "." + quote_ident(table)
    if columns is not None:
        target += " (" + ", ".join([quote_ident(column) for column in columns]) + ")"
    return "COPY " + target + " FROM STDIN (FORMAT binary)"


def _encoded(data: bytes | bytearray | memoryview | str) -> bytes | bytearray | memoryview:
    if not isinstance(data, str):
        return data
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text has a lone surrogate at index {error.start}, which is no character"
        ) from None
