"""The extended query, as a request: the way of everything that has parameters or returns typed rows.

A statement that is known goes out in one flight: Bind, Execute, Sync. One that is not is introduced first,
by Parse, Describe and Flush, and nothing else is written until the server has described it: the types that
it tells decide how the arguments are encoded and in which format each column comes. All of it is one group
with one Sync, so a transaction pooler cannot give its halves to different servers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pgproto import messages as m
from pgproto._row_factories import RowFactory
from pgproto._rows import Decoder, skip_rows
from pgproto._session._machine import FLUSH, SYNC, RequestMachine
from pgproto._session._request import Request
from pgproto._session._sql import check_sql, first_keyword
from pgproto._session._statement import Statement
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import DataError, NoRows, PostgresError, RemoteProtocolError, TooManyRows
from pgproto.types import Codec

__all__ = ["Query", "all_rows", "command_tag", "first_row", "one_row"]

R_co = TypeVar("R_co", covariant=True)

_EXECUTE: Final = m.Execute().encode()
_EXECUTE_AND_SYNC: Final = _EXECUTE + SYNC
_DESCRIBE_EXECUTE_AND_SYNC: Final = m.Describe("P").encode() + _EXECUTE + SYNC
_KNOWN: Final = (Step.BIND, Step.EXECUTE, Step.SYNC)
_KNOWN_UNNAMED: Final = (Step.PARSE, Step.BIND, Step.DESCRIBE_PORTAL, Step.EXECUTE, Step.SYNC)
_COPY: Final = (Step.PARSE, Step.BIND, Step.EXECUTE)
_INTRODUCTION: Final = (Step.PARSE, Step.DESCRIBE_STATEMENT)

# What the server says when a statement that it once described is not what it was.
_STALE: Final = frozenset({"0A000", "26000"})


class Query(Request[R_co]):
    """One statement with arguments; ``finish`` makes the result of what came."""

    __slots__ = (
        "_arguments",
        "_bound",
        "_decode",
        "_factory",
        "_finish",
        "_introducing",
        "_name",
        "_parameters",
        "_retried",
        "_stale",
        "copies",
        "limit",
        "opens_lease",
        "rows",
        "statement",
        "tag",
    )

    def __init__(
        self,
        machine: RequestMachine,
        sql: str,
        arguments: Sequence[object],
        finish: Callable[[Query[R_co]], R_co],
        *,
        row: Callable[..., object] | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(sql, timeout)
        statement = machine.statements.get(sql)
        keyword = first_keyword(sql) if statement is None else statement.keyword
        self.opens_lease = keyword in ("BEGIN", "START")
        self.copies = keyword == "COPY"
        self.limit = limit
        """How many rows to keep at the most; those behind are dropped."""
        self.statement = statement
        self.rows: list[object] = []
        self.tag = ""
        self._arguments = arguments
        self._finish = finish
        self._factory = RowFactory(row)
        self._decode: Decoder | None = None
        self._introducing = False
        self._bound = False
        self._stale = False
        self._retried = False
        self._name = ""
        self._parameters: tuple[int, ...] = ()

    # Writing.

    def begin(self, machine: RequestMachine) -> None:
        self.statement = statement = machine.statements.get(self.sql)
        if self.copies:
            self._copy(machine)
        elif statement is None:
            self._introduce(machine)
        else:
            self._execute(machine, statement)

    def _introduce(self, machine: RequestMachine) -> None:
        check_sql(self.sql)
        self._name = "" if machine.unnamed_statements else machine.statements.new_name()
        data = m.Parse(self._name, self.sql).encode() + m.Describe("S", self._name).encode() + FLUSH
        self._introducing = True
        machine.write(self, data, _INTRODUCTION)

    def _execute(self, machine: RequestMachine, statement: Statement) -> None:
        data = statement.bind(self._arguments)
        self._use(statement)
        closes, close_steps = machine.take_closes()
        if statement.name:
            machine.write(self, closes + data + _EXECUTE_AND_SYNC, close_steps + _KNOWN)
        else:
            machine.write(
                self,
                closes + statement.parse + data + _DESCRIBE_EXECUTE_AND_SYNC,
                close_steps + _KNOWN_UNNAMED,
            )

    def _copy(self, machine: RequestMachine) -> None:
        # While the server reads copy data it ignores Sync, and takes any further request for a broken
        # protocol. So this one holds back all others until the copy is over, and its Sync comes last.
        check_sql(self.sql)
        if self._arguments:
            raise DataError(f"COPY takes no parameters; {len(self._arguments)} arguments were given")
        data = m.Parse("", self.sql).encode() + m.Bind().encode() + _EXECUTE
        machine.write(self, data + FLUSH, _COPY)
        self.execute_end = self.first_byte + len(data)

    def _use(self, statement: Statement) -> None:
        self.statement = statement
        self._decode = statement.decoder(self._factory)

    # Reading.

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        kind = type(message)
        if kind is m.BindComplete:
            self._bound = True
            machine.connection.row_sink = self._take_rows
        elif isinstance(message, m.CommandComplete):
            self.tag = message.command_tag
            if self.copies:
                machine.end_group(self)
        else:
            self._receive_other(machine, message)

    def _receive_other(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case m.ParameterDescription():
                self._parameters = message.parameter_types
            case m.RowDescription() if self._introducing:
                self._introduced(machine, message.fields)
            case m.NoData() if self._introducing:
                self._introduced(machine, ())
            case m.RowDescription():
                self._described(machine, message.fields)
                machine.connection.row_sink = self._take_rows
            case m.NoData():
                self._described(machine, ())
            case m.CopyInResponse() if self.copies:
                machine.send(m.CopyFail("execute() and fetch() cannot send copy data; copy_in() can"))
                machine.end_group(self)
            case m.CopyOutResponse() if self.copies:
                self.error = DataError("execute() and fetch() cannot receive copy data; copy_out() can")
            case m.CopyInResponse() | m.CopyOutResponse():
                raise RemoteProtocolError("the server answered with COPY what is no COPY statement")
            case _:
                # ParseComplete, CloseComplete, EmptyQueryResponse and unwanted copy data say nothing more.
                ...

    def _introduced(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        """The server knows the statement, and has told its types: now it can be executed."""
        self._introducing = False
        statement = self._make_statement(machine, columns)
        machine.statements.add(statement)
        if self.abandoned:
            machine.end_group(self)
            return
        try:
            self._execute(machine, statement)
        except DataError as error:
            self.error = error
            machine.end_group(self)

    def _make_statement(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> Statement:
        codec = machine.types.codec
        parameters = [codec(oid) for oid in self._parameters]
        codecs = [codec(column.type_oid) for column in columns]
        return Statement(self.sql, self._name, first_keyword(self.sql), parameters, columns, codecs)

    def _described(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        """A statement that is parsed anew each time may have got another shape since it was first seen."""
        known = self.statement
        if known is not None and _shape(columns) == _shape(known.columns):
            return
        self._name, self._parameters = "", () if known is None else known.parameter_types
        statement = self._make_statement(machine, columns)
        machine.statements.add(statement)
        # This time the columns come in the formats that were asked for by the old shape.
        codecs = [
            in_format(codec, column.format) for codec, column in zip(statement.codecs, columns, strict=True)
        ]
        self._use(Statement(self.sql, "", statement.keyword, (), columns, codecs))

    def _take_rows(self, data: bytes, start: int, end: int) -> int:
        decode = self._decode
        if decode is None or self.abandoned:
            return skip_rows(data, start, end)
        rows = self.rows
        try:
            position = decode(rows, data, start, end)
        except DataError as error:
            # The values are broken, the messages are not: only this request fails.
            self.error = error
            self._decode = None
            return skip_rows(data, start, end)
        if self.limit is not None and len(rows) > self.limit:
            del rows[self.limit :]
        return position

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        super().fail(machine, error)
        statement = self.statement
        if statement is None or self._bound or self._introducing:
            return
        stale = error.sqlstate in _STALE
        if stale or not statement.name:
            machine.statements.discard(statement)
        self._stale = stale and not self._retried

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if self._stale and status == "I" and not self.abandoned:
            # The server refused before it executed anything, so nobody can tell that there were two tries.
            self._retried, self._stale, self.error = True, False, None
            return False
        return True

    # The result.

    def value(self) -> R_co:
        return self._finish(self)

    def made_rows(self) -> list[object]:
        """The rows as the caller wants them; runs the caller's own code."""
        names = () if self.statement is None else self.statement.names
        return self._factory.finish(names, self.rows)


def _shape(columns: Sequence[m.FieldDescription]) -> list[tuple[str, int]]:
    return [(column.name, column.type_oid) for column in columns]


def in_format(codec: Codec, format: int) -> Codec:
    """The codec as it is for values that come in this format, whatever it prefers itself."""
    if codec.format == format:
        return codec
    return Codec(codec.oid, codec.name, format, codec.encoder(format), codec.decoder(format))


def all_rows(query: Query[list[object]]) -> list[object]:
    """Every row."""
    return query.made_rows()


def first_row(query: Query[object]) -> object:
    """The first row; None if there is none."""
    rows = query.made_rows()
    return rows[0] if rows else None


def one_row(query: Query[object]) -> object:
    """The only row. Raises `NoRows` or `TooManyRows`."""
    if not query.rows:
        raise NoRows("the query returned no row, where one was wanted")
    if len(query.rows) > 1:
        raise TooManyRows("the query returned more than the one row that was wanted")
    return query.made_rows()[0]


def command_tag(query: Query[CommandTag]) -> CommandTag:
    """What the statement did."""
    return CommandTag(query.tag)
