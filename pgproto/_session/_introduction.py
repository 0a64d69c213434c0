"""Introducing a statement: Parse and Describe, and whatever else must be known before it can be executed.

The types that the server tells decide how arguments are encoded and in which format each column comes. Where
a type is one of the database's own, the server is asked about it in between. All of it stays within the group
of the request that needs it: no Sync comes before the end, so a transaction pooler cannot give the halves to
different servers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, TypeVar, cast

from pgproto import messages as m
from pgproto._rows import compile_decoder
from pgproto._session._machine import FLUSH, RequestMachine
from pgproto._session._request import Request
from pgproto._session._sql import check_sql, first_keyword
from pgproto._session._statement import Statement
from pgproto._state import Step
from pgproto.errors import DataError, PostgresError
from pgproto.types import Codec
from pgproto.types._builtin import BUILTIN_CODECS
from pgproto.types._codec import ChangedType

__all__ = [
    "EXECUTE",
    "IntroducingRequest",
    "bound",
    "defined_types",
    "forget_types",
    "in_format",
    "is_of_changed_type",
    "is_outdated",
    "known_statement",
    "make_statement",
    "renewed",
    "reshaped",
]

R_co = TypeVar("R_co", covariant=True)

EXECUTE: Final = m.Execute().encode()
_STEPS: Final = (Step.PARSE, Step.DESCRIBE_STATEMENT)
_TYPES_STEPS: Final = (Step.PARSE, Step.BIND, Step.DESCRIBE_PORTAL, Step.EXECUTE)
_OID_ARRAY: Final = 1028

_OUTDATED: Final = frozenset({"08", "0A", "26", "42"})
"""Classes of errors: a result or parameters of another kind (protocol violation, feature not supported,
syntax error or access rule violation), or a statement that is not there (invalid SQL statement name)."""
_NOT_THERE: Final = "26000"


class IntroducingRequest(Request[R_co]):
    """A request that may have to introduce statements; `introduced` is called when one is known."""

    __slots__ = ("_columns", "_introducing", "_name", "_parameters", "_type_rows", "_unknown")

    # What an introduction sets when it begins; most requests have none.
    _name: str
    _parameters: tuple[int, ...]
    _columns: tuple[m.FieldDescription, ...]
    _unknown: set[int]
    _type_rows: list[object]

    def __init__(self, sql: str, timeout: float | None) -> None:
        super().__init__(sql, timeout)
        self._introducing: str | None = None

    @property
    def introducing(self) -> bool:
        """Whether what comes belongs to an introduction."""
        return self._introducing is not None

    @property
    def asked_about_types(self) -> bool:
        """Whether the last introduction had to ask about types, with a statement that has no name either."""
        return bool(self._unknown)

    @abstractmethod
    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        """The server knows the statement and has described it."""

    def end_early(self, machine: RequestMachine) -> None:
        """End the group here: its owner has gone, or a statement cannot be introduced."""
        machine.end_group(self)

    def introduce(self, machine: RequestMachine, sql: str, name: str) -> None:
        """Write Parse, Describe and Flush for a statement; raises `DataError` for SQL that cannot be sent."""
        check_sql(sql)
        self._introducing = sql
        self._name = name
        self._parameters = ()
        self._unknown = set()
        self._type_rows = []
        data = m.Parse(name, sql).encode() + m.Describe("S", name).encode() + FLUSH
        machine.write(self, data, _STEPS)

    def receive_introduction(self, machine: RequestMachine, message: m.Message) -> None:
        """Take a message while `introducing`."""
        match message:
            case m.ParameterDescription():
                self._parameters = message.parameter_types
            case m.RowDescription() if self._unknown:
                codecs = [
                    in_format(machine.types.codec(each.type_oid), each.format) for each in message.fields
                ]
                machine.connection.row_sink = partial(compile_decoder(codecs), self._type_rows)
            case m.RowDescription():
                self._described(machine, message.fields)
            case m.NoData():
                self._described(machine, ())
            case m.CommandComplete():
                self._types_known(machine)
            case _:
                # ParseComplete and BindComplete say nothing more.
                ...

    def _described(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        self._columns = columns
        oids = [*self._parameters, *[column.type_oid for column in columns]]
        self._unknown = machine.types.unknown(oids)
        if self._unknown and not self.abandoned:
            self._ask_for_types(machine)
        else:
            self._end_introduction(machine)

    def _ask_for_types(self, machine: RequestMachine) -> None:
        sql, arguments = machine.types.introspection_query(self._unknown)
        codec = machine.types.codec(_OID_ARRAY)
        bind = m.Bind("", "", (codec.format,), (codec.encode(arguments[0]),), (1,))
        parts = (m.Parse("", sql, (_OID_ARRAY,)), bind, m.Describe("P"), m.Execute())
        self._type_rows = []
        machine.write(self, b"".join([part.encode() for part in parts]) + FLUSH, _TYPES_STEPS)

    def _types_known(self, machine: RequestMachine) -> None:
        rows = cast("list[tuple[object, ...]]", self._type_rows)
        self._type_rows = []
        try:
            machine.types.learn(rows, self._unknown)
        except DataError as error:
            self.error = error
        self._end_introduction(machine)

    def _end_introduction(self, machine: RequestMachine) -> None:
        sql, self._introducing = self._introducing or "", None
        if self.abandoned or self.error is not None:
            self.end_early(machine)
            return
        statement = make_statement(machine, sql, self._name, self._parameters, self._columns)
        try:
            self.introduced(machine, statement)
        except DataError as error:
            self.error = error
            machine.end_group(self)


def in_format(codec: Codec, format: int) -> Codec:
    """The codec for values that come in this format, whatever it prefers itself."""
    if codec.format == format:
        return codec
    return Codec(codec.oid, codec.name, format, codec.encoder(format), codec.decoder(format))


def make_statement(
    machine: RequestMachine,
    sql: str,
    name: str,
    parameters: Sequence[int],
    columns: Sequence[m.FieldDescription],
) -> Statement:
    """The statement with the codecs that its types have in this session."""
    machine.traces.see_text(sql)
    return _with_codecs(machine, sql, name, first_keyword(sql), parameters, columns)


def _with_codecs(
    machine: RequestMachine,
    sql: str,
    name: str,
    keyword: str,
    parameters: Sequence[int],
    columns: Sequence[m.FieldDescription],
) -> Statement:
    types = machine.types
    # Another thread's session may change what they share at any time; then this is outdated at once.
    generation = types.generation
    return Statement(
        sql,
        name,
        keyword,
        [types.codec(oid) for oid in parameters],
        columns,
        [types.codec(column.type_oid) for column in columns],
        generation,
    )


def known_statement(machine: RequestMachine, sql: str) -> Statement | None:
    """The cached statement for this SQL, with the codecs of now; None if it has to be introduced."""
    statement = machine.statements.find(sql)
    if statement is None:
        return None
    machine.statements.touch(sql)
    if statement.generation == machine.types.generation:
        return statement
    current = renewed(machine, statement)
    if current is None:
        machine.statements.discard(statement)
    else:
        machine.statements.renew(current)
    return current


def renewed(machine: RequestMachine, statement: Statement) -> Statement | None:
    """The statement with the codecs of now, since types have been learned, forgotten, or given others.

    None if the server has to be asked about its types again.
    """
    oids = [*statement.parameter_types, *[column.type_oid for column in statement.columns]]
    if machine.types.unknown(oids):
        return None
    current = _with_codecs(
        machine,
        statement.sql,
        statement.name,
        statement.keyword,
        statement.parameter_types,
        statement.columns,
    )
    if not current.has_codecs_of(statement):
        return current
    # What its row decoders have learned is still worth having.
    statement.generation = current.generation
    return statement


def bound(
    machine: RequestMachine, statement: Statement, arguments: Sequence[object], portal: str = ""
) -> bytes:
    """The Bind message for these arguments; raises `DataError` for those that do not fit."""
    try:
        return statement.bind(arguments, portal)
    except DataError:
        forget_types(machine, statement)
        # Its parameters may have got other types since it was described.
        machine.statements.discard(statement)
        raise


def is_outdated(machine: RequestMachine, error: PostgresError) -> bool:
    """Whether the reason for it may be that a statement is not what it was when it was described.

    This is for errors that come before a statement that was known is executed.
    """
    if error.sqlstate == _NOT_THERE:
        # Where one is missing, all may be. It is enough to hear so once.
        machine.statements.discard_all()
    return (error.sqlstate or "")[:2] in _OUTDATED


def reshaped(
    machine: RequestMachine, statement: Statement, columns: Sequence[m.FieldDescription]
) -> tuple[Statement, Statement] | None:
    """Two statements, if these are not the columns that were expected; None if they are.

    One that is parsed anew for each use may have got another shape since it was first seen. The first of the
    two is what to remember. The second is what to read the rows by that come this time: they are in the
    formats that were asked for by the old shape.
    """
    if _shape(columns) == _shape(statement.columns):
        return None
    current = make_statement(machine, statement.sql, "", statement.parameter_types, columns)
    pairs = zip(current.codecs, columns, strict=True)
    codecs = [in_format(codec, column.format) for codec, column in pairs]
    return current, Statement(statement.sql, "", current.keyword, (), columns, codecs)


def _shape(columns: Sequence[m.FieldDescription]) -> list[tuple[str, int]]:
    return [(column.name, column.type_oid) for column in columns]


def forget_types(machine: RequestMachine, statement: Statement) -> None:
    """Look the types of its parameters up again the next time, as far as they are the database's own.

    They may have been altered since; this is for arguments that did not fit.
    """
    if defined := defined_types(statement.parameter_types):
        machine.types.forget(defined)


def defined_types(oids: Iterable[int]) -> set[int]:
    """Those of these types that are not built in."""
    return {oid for oid in oids if oid not in BUILTIN_CODECS}


def is_of_changed_type(error: BaseException | None) -> bool:
    """Whether the reason for it may be that a type is not any more what it was when it was looked up."""
    while error is not None and not isinstance(error, ChangedType):
        error = error.__cause__
    return error is not None
