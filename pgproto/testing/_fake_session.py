"""`FakeSession`: one connection of a fake server, from StartupMessage to the end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pgproto import messages as m
from pgproto._connection import Connection
from pgproto._state import Step
from pgproto.errors import (
    DataError,
    FeatureNotSupported,
    InFailedSqlTransaction,
    InvalidCursorName,
    InvalidSqlStatementName,
    PostgresError,
    ProtocolViolation,
    QueryCanceled,
    RemoteProtocolError,
    UndefinedParameter,
)
from pgproto.messages import Message, Role
from pgproto.testing._fake_reports import notice_response, report
from pgproto.testing._fake_transaction import Done, FakeTransaction, Status, control_of
from pgproto.testing._statement import Known, Statement

if TYPE_CHECKING:
    from pgproto.testing._fake import FakeServer

__all__ = ["FakeSession"]

Pauses: TypeAlias = Generator[float, None, None]
"""The seconds that the server takes between two things."""


@dataclass
class _Portal:
    """A statement with its arguments."""

    known: Known
    arguments: list[object]
    formats: list[int]
    rows: Iterator[Sequence[object]] | None = None
    count: int = 0


class FakeSession:
    """A server's side of one connection; it is a `Peer`."""

    def __init__(self, server: FakeServer, process_id: int) -> None:
        self.connection: Connection = Connection(Role.BACKEND)
        self.key: m.BackendKeyData = m.BackendKeyData(process_id, process_id.to_bytes(4, "big"))
        self.heard: list[Message] = []
        """What it has taken up so far, in order."""
        self.violation: RemoteProtocolError | None = None
        """What the client has said that the protocol forbids."""
        self.startup: dict[str, str] = {}
        """What the client said in its StartupMessage."""
        self._server = server
        self._out: list[bytes] = []
        self._statements: dict[str, Known] = {}
        self._portals: dict[str, _Portal] = {}
        self._transaction = FakeTransaction(server.committed)
        self._channels: set[str] = set()
        self._copy_messages: deque[Message] = deque()
        self._copying = False
        self._work: Pauses | None = None
        self._until = 0.0
        self._interrupted = False
        self._client_gone = False
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it hangs up."""
        return self._closed

    @property
    def status(self) -> Status:
        """The transaction status."""
        return self._transaction.status

    @property
    def process_id(self) -> int:
        """What the client knows it by."""
        return self.key.process_id

    # As a peer.

    def receive_data(self, data: bytes) -> None:
        """Hear bytes; what they ask is done in `data_to_send`."""
        if not self._closed:
            self._client_gone = not data
            self.connection.receive_data(data)

    def data_to_send(self, now: float) -> bytes:
        """Do what can be done by this time, and return what there is to say."""
        while not self._closed:
            if self._work is not None:
                if self._copying:
                    if not self._hear_copy():
                        break
                elif now < self._until and not self._interrupted:
                    break
                self._go_on(now)
            elif not self._begin(now):
                break
        data = b"".join(self._out)
        self._out.clear()
        return data

    def next_time(self) -> float | None:
        """When the statement under way is over."""
        if self._work is None or self._closed or self._copying:
            return 0.0 if self._out else None
        return 0.0 if self._out or self._interrupted else self._until

    # For tests.

    def interrupt(self) -> None:
        """Cancel what is under way, as a cancel request does; COPY FROM STDIN notices with its next data."""
        self._interrupted = self._work is not None

    def hang_up(self, error: PostgresError | None = None) -> None:
        """End the connection, with a last word or without one."""
        if error is not None and not self._closed:
            self._out.append(self.connection.send(report(error, "FATAL")))
        self._closed = True

    def notify(self, notification: m.NotificationResponse) -> None:
        """Pass on a notification, if the client listens."""
        if notification.channel in self._channels and not self._closed:
            self._say(notification)

    # The flow of messages.

    def _say(self, *messages: Message) -> None:
        self._out += [self.connection.send(message) for message in messages]

    def _begin(self, now: float) -> bool:
        """Take up the next message; False if there is none."""
        message = self._next_message()
        if message is None:
            return False
        self._work = self._respond(message)
        self._until = now
        return True

    def _next_message(self) -> Message | None:
        try:
            event = self.connection.next_event()
        except RemoteProtocolError as error:
            self.violation = None if self._client_gone else error
            self._closed = True
            return None
        if not isinstance(event, Message):
            self._closed = self._closed or self.connection.is_closed
            return None
        self.heard.append(event)
        return event

    def _go_on(self, now: float) -> None:
        work = self._work
        if work is None:
            return
        try:
            if self._interrupted:
                self._interrupted = False
                self._until = now + work.throw(QueryCanceled("canceling statement due to user request"))
            else:
                self._until = now + next(work)
        except StopIteration:
            self._work = None
        except PostgresError as error:
            self._work = None
            self._fail(error)

    def _fail(self, error: PostgresError) -> None:
        self._copying = False
        self._transaction.fail()
        self._portals.clear()
        self._say(report(error, "ERROR"))
        if self.connection.step is Step.READY_NEXT:
            self._end_group()

    def _end_group(self) -> None:
        self._transaction.end_group()
        if self.status == "I":
            self._portals.clear()
        self._say(m.ReadyForQuery(self.status))

    def _respond(self, message: Message) -> Pauses:
        match message:
            case m.SSLRequest() | m.GSSENCRequest():
                self._say(m.EncryptionResponse(b"N"))
            case m.StartupMessage():
                self._greet(message)
            case m.CancelRequest():
                self._server.cancel(message.process_id, message.secret_key)
                self._closed = True
            case m.Query():
                yield from self._simple_query(message.query)
            case m.Parse():
                self._statements[message.name] = self._find(message.query)
                self._say(m.ParseComplete())
            case m.Bind():
                self._bind(message)
            case m.Describe():
                self._describe(message)
            case m.Execute():
                yield from self._execute(self._portal(message.portal), message.max_rows)
            case m.Close():
                self._close(message)
            case m.Sync():
                self._end_group()
            case m.Terminate():
                self._closed = True
            case m.Flush():
                ...
            case _:
                raise FeatureNotSupported(f"a fake server knows nothing of {type(message).__name__}")

    def _greet(self, message: m.StartupMessage) -> None:
        self.startup = dict(message.parameters)
        parameters = [m.ParameterStatus(name, value) for name, value in self._server.parameters.items()]
        self._say(m.AuthenticationOk(), *parameters, self.key, m.ReadyForQuery("I"))

    # Statements and portals.

    def _find(self, sql: str) -> Known:
        word, _ = control_of(sql)
        if self.status == "E" and word not in ("COMMIT", "ROLLBACK", "ROLLBACK TO", "END", "ABORT"):
            raise InFailedSqlTransaction(
                "current transaction is aborted, commands ignored until end of transaction block"
            )
        try:
            return self._server.find(sql)
        except PostgresError:
            if sql.strip() and not word:
                raise
            return Known(sql, Statement())

    def _bind(self, message: m.Bind) -> None:
        known = self._statements.get(message.statement)
        if known is None:
            raise InvalidSqlStatementName(f'prepared statement "{message.statement}" does not exist')
        if len(message.parameters) != len(known.parameters):
            raise ProtocolViolation(
                f"bind message supplies {len(message.parameters)} parameters, "
                f'but prepared statement "{message.statement}" requires {len(known.parameters)}'
            )
        try:
            arguments = known.decode(
                message.parameters, _formats(message.parameter_formats, len(message.parameters))
            )
        except DataError as error:
            raise ProtocolViolation(str(error)) from error
        formats = _formats(message.result_formats, len(known.columns))
        self._portals[message.portal] = _Portal(known, arguments, formats)
        self._say(m.BindComplete())

    def _describe(self, message: m.Describe) -> None:
        if message.kind == "P":
            portal = self._portal(message.name)
            known, formats = portal.known, portal.formats
        else:
            found = self._statements.get(message.name)
            if found is None:
                raise InvalidSqlStatementName(f'prepared statement "{message.name}" does not exist')
            known, formats = found, [0] * len(found.columns)
            self._say(m.ParameterDescription(tuple([codec.oid for codec in known.parameters])))
        self._say(m.RowDescription(known.fields(formats)) if known.gives_rows else m.NoData())

    def _portal(self, name: str) -> _Portal:
        portal = self._portals.get(name)
        if portal is None:
            raise InvalidCursorName(f'portal "{name}" does not exist')
        return portal

    def _close(self, message: m.Close) -> None:
        if message.kind == "S":
            self._statements.pop(message.name, None)
        else:
            self._portals.pop(message.name, None)
        self._say(m.CloseComplete())

    # Execution.

    def _simple_query(self, query: str) -> Pauses:
        statements = [part for part in query.split(";") if part.strip()]
        for sql in statements:
            known = self._find(sql.strip())
            if known.parameters:
                raise UndefinedParameter("there is no parameter $1")
            formats = [0] * len(known.columns)
            if known.gives_rows:
                self._say(m.RowDescription(known.fields(formats)))
            yield from self._execute(_Portal(known, [], formats), 0)
        if not statements:
            self._say(m.EmptyQueryResponse())
        self._end_group()

    def _execute(self, portal: _Portal, limit: int) -> Pauses:
        known = portal.known
        word, rest = control_of(known.sql)
        if portal.rows is None:
            yield known.statement.delay
            self._say(*[notice_response(notice) for notice in known.statement.notices])
            try:
                portal.rows = iter(known.statement.give(portal.arguments))
            except PostgresError:
                if word in ("COMMIT", "END"):
                    self._transaction.control("ROLLBACK", "")
                raise
        for sent, row in enumerate(portal.rows, 1):
            self._say(m.DataRow(known.encode(row, portal.formats)))
            portal.count += 1
            if sent == limit:
                self._say(m.PortalSuspended())
                return
        arguments = tuple(portal.arguments)
        tag = f"SELECT {portal.count}"
        if known.statement.copy_in is not None:
            data = yield from self._copy_in(known)
            tag, arguments = f"COPY {known.statement.copy_in(data) or 0}", (data,)
        elif known.statement.copy_out is not None:
            tag = yield from self._copy_out(known)
        if not known.sql.strip():
            self._say(m.EmptyQueryResponse())
            return
        if word:
            tag = self._control(word, rest)
        else:
            self._transaction.add(Done(known.sql, arguments))
        self._say(m.CommandComplete(known.statement.tag or tag))

    def _control(self, word: str, rest: str) -> str:
        """Do what a statement means for the session; returns the command tag."""
        match word:
            case "LISTEN":
                self._channels.add(_unquoted(rest.strip()))
            case "UNLISTEN":
                self._channels.discard(_unquoted(rest.strip()))
            case "DEALLOCATE" | "DISCARD" if rest.upper().startswith("ALL"):
                self._statements.clear()
                return word + " ALL"
            case _:
                # SET changes nothing here.
                ...
        return self._transaction.control(word, rest)

    # COPY.

    def _copy_in(self, known: Known) -> Generator[float, None, bytes]:
        self._say(m.CopyInResponse(known.copy_format, (known.copy_format,) * len(known.columns)))
        self._copying = True
        data = bytearray()
        while True:
            while not self._copy_messages:
                yield math.inf
            match self._copy_messages.popleft():
                case m.CopyData() as piece:
                    data += piece.data
                case m.CopyFail() as failure:
                    raise QueryCanceled(f"COPY from stdin failed: {failure.message}")
                case _:
                    self._copying = False
                    return bytes(data)

    def _hear_copy(self) -> bool:
        """Take up the next message for a COPY FROM STDIN; False if there is none."""
        message = self._next_message()
        if message is not None:
            self._copy_messages.append(message)
        return message is not None

    def _copy_out(self, known: Known) -> Generator[float, None, str]:
        self._say(m.CopyOutResponse(known.copy_format, (known.copy_format,) * len(known.columns)))
        count = 0
        for piece in known.statement.copy_out or ():
            self._say(m.CopyData(piece))
            count += 1
            yield known.statement.delay
        self._say(m.CopyDone())
        return f"COPY {count}"


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _formats(given: Sequence[int], count: int) -> list[int]:
    """One format for each value, as Bind tells it in short."""
    if not given:
        return [0] * count
    return list(given) * count if len(given) == 1 else list(given)
