"""The simple query, and the empty one, as requests.

PostgreSQL documentation: "Simple Query", "Multiple Statements in a Simple Query".
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from pgproto import messages as m
from pgproto._dataclasses import dataclass
from pgproto._record import Record, record_type
from pgproto._rows import Decoder, compile_decoder, skip_rows
from pgproto._session._copy_sql import expect_no_copy, no_copy
from pgproto._session._machine import SYNC, RequestMachine
from pgproto._session._request import COPYING, Request
from pgproto._session._sql import ENDING, check_kept, check_sql, first_keyword
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import (
    CommitUnknown,
    DataError,
    Error,
    Outcome,
    PostgresError,
    QueryTimeout,
    RemoteProtocolError,
)
from pgproto.types import TEXT, Codec

__all__ = ["Bracket", "Command", "Commit", "Ping", "Result", "SimpleQuery"]


_COMMIT_NOTHING: Final = frozenset({"BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK"})
"""Commands of a transaction that can be lost without a doubt of what came of it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement of a simple query gave."""

    tag: CommandTag
    rows: list[Record] = field(default_factory=list[Record])
    """Every value as the server's text, a `str`; NULL is None."""


def _encode(value: object) -> bytes:
    return str(value).encode()


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DataError("the server sent text that is not UTF-8") from None


_VERB: Final = "simple_query()"
_TEXT_CODEC: Final = Codec(25, "text", TEXT, _encode, _decode)


class SimpleQuery(Request[list[Result]]):
    """A string of any number of statements, executed as one; values come as text.

    They are not decoded: no question about a type can come between its statements, so what a value is would
    depend on what else the session has seen; and its text depends on settings that the string may change.
    """

    __slots__ = ("_decode", "_results", "_rows")

    # A transaction that one of the statements opens belongs to its caller.
    opens_lease = True

    def __init__(self, sql: str, timeout: float | None = None) -> None:
        super().__init__(sql, timeout)
        self._results: list[Result] = []
        self._rows: list[object] = []
        self._decode: Decoder | None = None

    def begin(self, machine: RequestMachine) -> None:
        check_sql(self.sql)
        if first_keyword(self.sql) == "COPY":
            expect_no_copy(self.sql, _VERB)
        machine.traces.see_text(self.sql)
        machine.write(self, m.Query(self.sql).encode(), (Step.QUERY,))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case m.RowDescription():
                make = record_type(tuple([field.name for field in message.fields]))
                self._decode = compile_decoder([_TEXT_CODEC] * len(message.fields), make)
                self._rows = []
                machine.connection.row_sink = self._take_rows
            case m.CommandComplete():
                machine.command_completed(message.command_tag)
                self._end_statement(message.command_tag)
            case m.EmptyQueryResponse():
                self._end_statement("")
            case m.CopyInResponse():
                machine.send(m.CopyFail(no_copy(_VERB, sending=True)))
            case m.CopyOutResponse():
                self.error = DataError(no_copy(_VERB, sending=False))
            case _:
                # Copy data that nobody wants.
                ...

    def _end_statement(self, tag: str) -> None:
        if not self._results and self.error is None:
            # Of the others it is not known where they begin.
            self.error = check_kept(self.sql, tag)
        rows = [row for row in self._rows if isinstance(row, Record)]
        self._results.append(Result(CommandTag(tag), rows))
        self._rows = []

    def _take_rows(self, data: bytes, start: int, end: int) -> int:
        decode = self._decode
        if decode is None or self.abandoned:
            return skip_rows(data, start, end)
        try:
            return decode(self._rows, data, start, end)
        except DataError as error:
            self.error = error
            self._decode = None
            return skip_rows(data, start, end)

    @property
    def expects(self) -> frozenset[type[m.Message]]:
        return COPYING

    @property
    def ends_transaction(self) -> bool:
        # Any of its statements may.
        return True

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        if self._results:
            error.add_note(f"statement {len(self._results) + 1} of the query string failed")
        super().fail(machine, error)

    def value(self) -> list[Result]:
        return self._results


class Command(Request[CommandTag]):
    """One statement of the library's own, such as BEGIN, sent as a simple query."""

    __slots__ = ("essential", "tag")

    def __init__(self, sql: str, *, essential: bool = False, timeout: float | None = None) -> None:
        super().__init__(sql, timeout)
        self.essential = essential
        self.tag = ""

    def begin(self, machine: RequestMachine) -> None:
        machine.write(self, m.Query(self.sql).encode(), (Step.QUERY,))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        if isinstance(message, m.CommandComplete):
            self.tag = message.command_tag

    @property
    def ends_transaction(self) -> bool:
        return first_keyword(self.sql) in ENDING

    def loss(self, reason: str, outcome: Outcome) -> Error:
        if outcome == "unknown" and first_keyword(self.sql) in _COMMIT_NOTHING:
            outcome = "not_committed"
        return super().loss(reason, outcome)

    def leave(self, machine: RequestMachine) -> None:
        """Nothing: it is over in no time, and what it opened is closed by another."""

    def value(self) -> CommandTag:
        return CommandTag(self.tag)


class Bracket(Command):
    """A command that begins or ends a transaction, or a part of one, and so leaves this status."""

    __slots__ = ("_status",)

    def __init__(self, sql: str, status: str, *, essential: bool = False) -> None:
        super().__init__(sql, essential=essential)
        self._status = status

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if self.error is None and status != self._status:
            raise RemoteProtocolError(
                f"the server answered {first_keyword(self.sql)} with {self.tag!r} and status {status!r}"
            )
        return True


class Commit(Command):
    """COMMIT, which has succeeded only if the server says so, and is outside a transaction then."""

    __slots__ = ()

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__("COMMIT", essential=True, timeout=timeout)

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        super().receive(machine, message)
        if self.tag not in ("", "COMMIT", "ROLLBACK"):
            raise RemoteProtocolError(f"the server answered COMMIT with {self.tag!r}")

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if self.error is None and not (self.tag and status == "I"):
            raise RemoteProtocolError(f"the server answered COMMIT with {self.tag!r} and status {status!r}")
        return True

    def loss(self, reason: str, outcome: Outcome) -> Error:
        if outcome != "unknown":
            return super().loss(reason, outcome)
        return CommitUnknown(f"whether the transaction was committed is not known: {reason}")

    def overdue(self, timeout: QueryTimeout) -> Error:
        error = CommitUnknown(f"whether the transaction was committed is not known: {timeout}")
        error.__cause__ = timeout
        return error

    def value(self) -> CommandTag:
        if (error := check_kept(self.sql, self.tag)) is not None:
            raise error
        return CommandTag(self.tag)


class Ping(Request[None]):
    """An empty group: it only asks whether the server still answers, and leaves nothing in its log."""

    __slots__ = ()

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__("", timeout)

    def begin(self, machine: RequestMachine) -> None:
        machine.write(self, SYNC, (Step.SYNC,))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Nothing comes but ReadyForQuery, which `ready` takes."""

    def value(self) -> None:
        return None
