"""A portal that gives its rows in batches: what a row stream is made of.

PostgreSQL documentation: "Extended Query", on Execute's row-count limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pgproto import messages as m
from pgproto._session._introduction import (
    IntroducingRequest,
    bound,
    is_outdated,
    known_statement,
    make_statement,
    reshaped,
)
from pgproto._session._machine import SYNC, RequestMachine
from pgproto._session._request import SUSPENDING, Request
from pgproto._session._results import Rows
from pgproto._session._statement import Statement, check_arguments
from pgproto._state import Step
from pgproto.errors import DataError, PostgresError, RemoteProtocolError

__all__ = ["Cursor"]

_OPEN: Final = (Step.BIND, Step.EXECUTE, Step.SYNC)
_FETCH: Final = (Step.DESCRIBE_PORTAL, Step.EXECUTE, Step.SYNC)
_OPEN_UNNAMED: Final = (Step.PARSE, Step.BIND, Step.DESCRIBE_PORTAL, Step.EXECUTE, Step.SYNC)

_LARGEST_BATCH: Final = 2**31 - 1


class Cursor:
    """A named portal within a transaction, and the requests on it."""

    __slots__ = ("_arguments", "_batch", "_row", "_sql", "_statement", "exhausted", "portal")

    def __init__(
        self,
        machine: RequestMachine,
        sql: str,
        arguments: Sequence[object],
        batch: int,
        row: Callable[..., object] | None,
    ) -> None:
        if not _is_count(batch):
            raise DataError(f"a batch of {batch!r} rows; it has from 1 to {_LARGEST_BATCH}")
        self._sql = sql
        self._arguments = arguments
        self._batch = batch
        self._row = row
        self._statement: Statement | None = None
        self.portal = machine.statements.new_name()
        self.exhausted = False
        """Whether the server has said that there are no more rows."""

    def open(self) -> Request[list[object]]:
        """Open the portal and fetch the first batch."""
        return _Open(self, self._sql, self._arguments, self._row)

    def fetch(self) -> Request[list[object]]:
        """Fetch the next batch."""
        return _Fetch(self, self._sql, self._row)

    def close(self) -> Request[None]:
        """Drop the portal."""
        return _Close(self).unattended()

    def execute(self) -> bytes:
        """The Execute message for one batch."""
        return m.Execute(self.portal, self._batch).encode()

    def describe(self, statement: Statement) -> None:
        """The portal's statement is known now."""
        self._statement = statement

    def use(self, rows: Rows) -> None:
        """Make ``rows`` take what the portal gives."""
        if self._statement is not None:
            rows.use(self._statement)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 1 <= value <= _LARGEST_BATCH


class _Batch(IntroducingRequest[list[object]]):
    """The part that opening and fetching have in common."""

    __slots__ = ("cursor", "rows")

    def __init__(self, cursor: Cursor, sql: str, row: Callable[..., object] | None) -> None:
        super().__init__(sql, None)
        self.cursor = cursor
        self.rows = Rows(row)

    @property
    def expects(self) -> frozenset[type[m.Message]]:
        return SUSPENDING

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case _ if self.introducing:
                self.receive_introduction(machine, message)
            case m.BindComplete():
                machine.connection.row_sink = self.rows.sink(machine, self)
            case m.RowDescription():
                self.see_shape(machine, message.fields)
                machine.connection.row_sink = self.rows.sink(machine, self)
            case m.CommandComplete() | m.EmptyQueryResponse():
                self.cursor.exhausted = True
            case _:
                # ParseComplete and PortalSuspended: there may be more.
                ...

    def see_shape(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        """These are the columns of what comes."""

    def leave(self, machine: RequestMachine) -> None:
        # Not more: a batch is small, and a cancel would break the transaction around it.
        self.rows.drop()

    def ready(self, machine: RequestMachine, status: str) -> bool:
        self.error = self.rows.failure(machine) or self.error
        return True

    def value(self) -> list[object]:
        return self.rows.made()


class _Open(_Batch):
    __slots__ = ("_arguments", "_known")

    def __init__(
        self, cursor: Cursor, sql: str, arguments: Sequence[object], row: Callable[..., object] | None
    ) -> None:
        super().__init__(cursor, sql, row)
        self._arguments = arguments
        self._known: Statement | None = None
        """The statement as it was known before."""

    def begin(self, machine: RequestMachine) -> None:
        statement = known_statement(machine, self.sql)
        if statement is None:
            check_arguments(self._arguments)
            self.introduce(machine, self.sql, machine.statements.name_to_give())
            return
        self._known = statement
        if statement.name:
            # What the server has prepared may be stale, and to hear so would cost the transaction. To parse
            # it anew costs next to nothing beside the rows of a stream.
            statement = make_statement(machine, self.sql, "", statement.parameter_types, statement.columns)
        self._execute(machine, statement)

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        machine.statements.add(statement)
        self._execute(machine, statement)

    def _execute(self, machine: RequestMachine, statement: Statement) -> None:
        if statement.keyword == "COPY":
            raise DataError("COPY gives no rows to stream; copy_in() and copy_out() copy")
        try:
            bind = bound(machine, statement, self._arguments, self.cursor.portal)
        except DataError:
            self._forget(machine)
            raise
        self.cursor.describe(statement)
        self.rows.use(statement)
        execute = self.cursor.execute() + SYNC
        if statement.name:
            machine.write(self, bind + execute, _OPEN)
        else:
            describe = m.Describe("P", self.cursor.portal).encode()
            machine.write(self, statement.parse + bind + describe + execute, _OPEN_UNNAMED)

    def see_shape(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        known = self._known
        if known is None or (both := reshaped(machine, known, columns)) is None:
            return
        if known.name:
            machine.statements.discard(known)
        else:
            machine.statements.add(both[0])
        self.cursor.describe(both[1])
        self.rows.use(both[1])

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        super().fail(machine, error)
        if is_outdated(machine, error) and not self.rows.began:
            self._forget(machine)

    def _forget(self, machine: RequestMachine) -> None:
        if self._known is not None:
            machine.statements.discard(self._known)


class _Fetch(_Batch):
    __slots__ = ()

    def begin(self, machine: RequestMachine) -> None:
        self.cursor.use(self.rows)
        # Describe says when this batch's turn has come, so that its rows find their way.
        machine.write(
            self, m.Describe("P", self.cursor.portal).encode() + self.cursor.execute() + SYNC, _FETCH
        )

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        raise RemoteProtocolError("a portal's statement was described again")


class _Close(Request[None]):
    __slots__ = ("_portal",)

    essential = True

    def __init__(self, cursor: Cursor) -> None:
        super().__init__("", None)
        self._portal = cursor.portal

    def begin(self, machine: RequestMachine) -> None:
        machine.write(self, m.Close("P", self._portal).encode() + SYNC, (Step.CLOSE, Step.SYNC))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Nothing: CloseComplete says that it is done."""

    def value(self) -> None:
        return None
