"""The extended query, as a request: the way of everything that has parameters or returns typed rows.

A statement that is known goes out in one flight: Bind, Execute, Sync. One that is not is introduced first.
PostgreSQL documentation: "Extended Query".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast

from pgproto import messages as m
from pgproto._connection import RowSink
from pgproto._row_factories import RowFactory
from pgproto._rows import Decoder, skip_rows
from pgproto._session._introduction import EXECUTE, IntroducingRequest, in_format, make_statement
from pgproto._session._machine import FLUSH, SYNC, RequestMachine
from pgproto._session._request import COPYING
from pgproto._session._sql import ENDING, check_sql, first_keyword
from pgproto._session._statement import PreparedStatement, Statement, check_arguments
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import (
    DataError,
    NoRows,
    PostgresError,
    ResultTooLarge,
    TooManyRows,
)

__all__ = ["Query", "Rows", "all_rows", "command_tag", "first_row", "first_value", "one_row"]

R_co = TypeVar("R_co", covariant=True)

_EXECUTE_AND_SYNC: Final = EXECUTE + SYNC
_DESCRIBE_EXECUTE_AND_SYNC: Final = m.Describe("P").encode() + EXECUTE + SYNC
_KNOWN: Final = (Step.BIND, Step.EXECUTE, Step.SYNC)
_KNOWN_UNNAMED: Final = (Step.PARSE, Step.BIND, Step.DESCRIBE_PORTAL, Step.EXECUTE, Step.SYNC)
_COPY: Final = (Step.PARSE, Step.BIND, Step.EXECUTE)

# What the server says when a statement that it once described is not what it was.
_STALE: Final = frozenset({"0A000", "26000"})
_UNDEFINED_OBJECT: Final = "42704"


class Rows:
    """The rows of one execution, as they come in."""

    __slots__ = ("_bytes", "_decode", "_factory", "error", "limit", "names", "rows", "tag")

    def __init__(self, row: Callable[..., object] | None, limit: int | None = None) -> None:
        self._factory = RowFactory(row)
        self._decode: Decoder | None = None
        self._bytes = 0
        self.limit = limit
        """How many rows to keep at the most; those behind are dropped."""
        self.names: tuple[str, ...] = ()
        self.rows: list[object] = []
        self.tag = ""
        self.error: BaseException | None = None
        """Why the rows are not to be had, though the server has sent them."""

    def use(self, statement: Statement) -> None:
        """Expect rows of this statement."""
        self.names = statement.names
        self._decode = statement.decoder(self._factory)

    def sink(self, machine: RequestMachine, owner: IntroducingRequest[object]) -> RowSink:
        """What takes the rows from the connection, for a request of this machine."""
        limit = machine.max_result_bytes

        def take(data: bytes, start: int, end: int) -> int:
            decode = self._decode
            if decode is None or owner.abandoned:
                return skip_rows(data, start, end)
            try:
                position = decode(self.rows, data, start, end)
            except DataError as error:
                # The values are broken, the messages are not: only this request fails.
                self._give_up(error)
                return skip_rows(data, start, end)
            if self.limit is not None and len(self.rows) > self.limit:
                del self.rows[self.limit :]
            if limit is not None:
                self._bytes += position - start
                if self._bytes > limit:
                    self._give_up(
                        ResultTooLarge(f"the result has more than {limit} bytes (max_result_bytes)")
                    )
                    machine.cancel(owner)
            return position

        return take

    def _give_up(self, error: BaseException) -> None:
        self.error = error
        self._decode = None
        self.rows.clear()

    def made(self) -> list[object]:
        """The rows as the caller wants them; runs the caller's own code."""
        return self._factory.finish(self.names, self.rows)


class Query(IntroducingRequest[R_co]):
    """One statement with arguments; ``finish`` makes the result of what came.

    ``prepared`` is a statement that the caller holds; else it is looked up by its SQL.
    """

    __slots__ = (
        "_arguments",
        "_bound",
        "_finish",
        "_prepared",
        "_retried",
        "_stale",
        "_statement",
        "copies",
        "opens_lease",
        "rows",
    )

    def __init__(
        self,
        machine: RequestMachine,
        sql: str,
        arguments: Sequence[object],
        finish: Callable[[Rows], R_co],
        *,
        row: Callable[..., object] | None = None,
        limit: int | None = None,
        timeout: float | None = None,
        prepared: PreparedStatement | None = None,
    ) -> None:
        super().__init__(sql, timeout)
        statement = machine.statements.get(sql) if prepared is None else prepared.statement
        keyword = first_keyword(sql) if statement is None else statement.keyword
        self.opens_lease = keyword in ("BEGIN", "START")
        self.copies = keyword == "COPY"
        self.rows = Rows(row, limit)
        self._arguments = arguments
        self._finish = finish
        self._prepared = prepared
        self._statement: Statement | None = None
        self._bound = False
        self._stale = False
        self._retried = False

    @property
    def expects(self) -> frozenset[type[m.Message]]:
        return COPYING if self.copies else super().expects

    @property
    def ends_transaction(self) -> bool:
        return first_keyword(self.sql) in ENDING

    # Writing.

    def begin(self, machine: RequestMachine) -> None:
        prepared = self._prepared
        statement = machine.statements.get(self.sql) if prepared is None else prepared.current()
        if self.copies:
            self._copy(machine)
        elif statement is None:
            check_arguments(self._arguments)
            self.introduce(machine, self.sql, machine.new_statement_name())
        else:
            self._execute(machine, statement)

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        if self._prepared is not None:
            self._prepared.statement = statement
        else:
            machine.statements.add(statement)
        self._execute(machine, statement)

    def _execute(self, machine: RequestMachine, statement: Statement) -> None:
        data = statement.bind(self._arguments)
        self._statement = statement
        self.rows.use(statement)
        closes, close_steps = machine.take_closes()
        if statement.name:
            machine.write(self, closes + data + _EXECUTE_AND_SYNC, close_steps + _KNOWN)
        else:
            data = closes + statement.parse + data + _DESCRIBE_EXECUTE_AND_SYNC
            machine.write(self, data, close_steps + _KNOWN_UNNAMED)

    def _copy(self, machine: RequestMachine) -> None:
        # While the server reads copy data it ignores Sync, and takes any further request for a broken
        # protocol. So this one holds back all others until the copy is over, and its Sync comes last.
        check_sql(self.sql)
        if self._arguments:
            raise DataError(f"COPY takes no parameters; {len(self._arguments)} arguments were given")
        data = m.Parse("", self.sql).encode() + m.Bind().encode() + EXECUTE
        machine.write(self, data + FLUSH, _COPY)
        self.execute_end = self.first_byte + len(data)

    # Reading.

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        kind = type(message)
        if self._introducing is not None:
            self.receive_introduction(machine, message)
        elif kind is m.BindComplete:
            self._bound = True
            machine.connection.row_sink = self.rows.sink(machine, self)
        elif isinstance(message, m.CommandComplete):
            self.rows.tag = message.command_tag
            machine.command_completed(message.command_tag)
            if self.copies:
                machine.end_group(self)
        else:
            self._receive_other(machine, message)

    def _receive_other(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case m.RowDescription():
                self._check_shape(machine, message.fields)
                machine.connection.row_sink = self.rows.sink(machine, self)
            case m.NoData():
                self._check_shape(machine, ())
            case m.CopyInResponse():
                machine.send(m.CopyFail("execute() and fetch() cannot send copy data; copy_in() can"))
                machine.end_group(self)
            case m.CopyOutResponse():
                self.error = DataError("execute() and fetch() cannot receive copy data; copy_out() can")
            case _:
                # ParseComplete, CloseComplete, EmptyQueryResponse and unwanted copy data say nothing more.
                ...

    def _check_shape(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        """A statement that is parsed anew each time may have got another shape since it was first seen."""
        known = self._statement
        if known is None or _shape(columns) == _shape(known.columns):
            return
        statement = make_statement(machine, self.sql, "", known.parameter_types, columns)
        machine.statements.add(statement)
        # This time the columns come in the formats that were asked for by the old shape.
        pairs = zip(statement.codecs, columns, strict=True)
        codecs = [in_format(codec, column.format) for codec, column in pairs]
        self.rows.use(Statement(self.sql, "", statement.keyword, (), columns, codecs))

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        super().fail(machine, error)
        if error.sqlstate == _UNDEFINED_OBJECT:
            # Types may have been dropped, and made again under another OID.
            machine.types.forget()
        statement = self._statement
        if statement is None or self._bound:
            return
        stale = error.sqlstate in _STALE
        if stale or not statement.name:
            machine.statements.discard(statement)
            if self._prepared is not None:
                self._prepared.statement = None
        self._stale = stale and not self._retried

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if self._stale and status == "I" and not self.abandoned:
            # The server refused before it executed anything, so nobody can tell that there were two tries.
            self._retried, self._stale = True, False
            self.error = self._statement = None
            return False
        if self.error is None:
            self.error = self.rows.error
        return True

    def left_alone(self, machine: RequestMachine) -> None:
        machine.cancel(self)

    def value(self) -> R_co:
        return self._finish(self.rows)


def _shape(columns: Sequence[m.FieldDescription]) -> list[tuple[str, int]]:
    return [(column.name, column.type_oid) for column in columns]


def all_rows(rows: Rows) -> list[object]:
    """Every row."""
    return rows.made()


def first_row(rows: Rows) -> object:
    """The first row; None if there is none."""
    made = rows.made()
    return made[0] if made else None


def first_value(column: int, rows: Rows) -> object:
    """One value of the first row; None if there is no row. Raises `DataError` if there is no such column."""
    for first in rows.rows:
        try:
            return cast("tuple[object, ...]", first)[column]
        except IndexError:
            raise DataError(f"column {column} was wanted; the result has {len(rows.names)}") from None
    return None


def one_row(rows: Rows) -> object:
    """The only row. Raises `NoRows` or `TooManyRows`."""
    if not rows.rows:
        raise NoRows("the query returned no row, where one was wanted")
    if len(rows.rows) > 1:
        raise TooManyRows("the query returned more than the one row that was wanted")
    return rows.made()[0]


def command_tag(rows: Rows) -> CommandTag:
    """What the statement did."""
    return CommandTag(rows.tag)
