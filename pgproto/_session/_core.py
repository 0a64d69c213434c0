"""`SessionCore`: everything a session can be asked for, as requests.

Each transport's public `Session` has the same verbs; each verb is one line that hands a request from here
to the transport's driver and waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pgproto._columns import Columns
from pgproto._connecting import Established
from pgproto._patterns import pattern
from pgproto._session._batch import Batch
from pgproto._session._copy import CopyIn, CopyOut
from pgproto._session._cursor import Cursor
from pgproto._session._lease import Lease, lease_of_context
from pgproto._session._listener import Listener
from pgproto._session._machine import RequestMachine
from pgproto._session._pipeline import Pipeline, PipelineResult
from pgproto._session._prepare import CloseStatement, Prepare
from pgproto._session._queries import Arguments, Queries, Row
from pgproto._session._request import Request
from pgproto._session._results import (
    ColumnRows,
    Rows,
    all_rows,
    command_tag,
    first_row,
    first_value,
    one_row,
)
from pgproto._session._retry import Retries
from pgproto._session._simple import Ping, Result, SimpleQuery
from pgproto._session._statement import PreparedStatement
from pgproto._session._tag import CommandTag
from pgproto._session._transaction import TransactionScope
from pgproto.errors import DataError, LocalProtocolError, PostgresError
from pgproto.messages import NoticeResponse, ParameterStatus
from pgproto.types import CodecFormat, TypeRegistry

__all__ = ["FIND_TYPE", "ServerVersion", "SessionCore"]

_VERSION: Final = pattern(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?", re.ASCII)

FIND_TYPE: Final = """
select case
    when $1 ~ '^[0-9]+$'
    then (select oid from pg_catalog.pg_type where oid = $1::pg_catalog.oid)
    when $2::pg_catalog.text is not null
    then pg_catalog.to_regtype(
        pg_catalog.quote_ident($2) || '.' || pg_catalog.quote_ident($1)
    )::pg_catalog.oid
    else coalesce(
        pg_catalog.to_regtype(pg_catalog.quote_ident($1)), pg_catalog.to_regtype($1)
    )::pg_catalog.oid
end
"""
"""The OID of a type by its name and its schema, which may be NULL; or by its OID, if there is such a type."""


class ServerVersion(NamedTuple):
    """PostgreSQL's version: two numbers that compare, and ``"18.6"`` as text. (0, 0) if it is unknown."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class SessionCore(Queries):
    """The verbs of a session, above its `RequestMachine`."""

    __slots__ = ("_shared_types", "established", "machine")

    def __init__(self, machine: RequestMachine, established: Established) -> None:
        self.machine = machine
        self._shared_types: TypeRegistry | None = None
        self.established = established
        """How the session came about, and what a cancel request for it needs."""

    # What is asked of the server, besides queries; `row` is what the public verbs document.

    def simple_query(self, sql: str, timeout: float | None) -> Request[list[Result]]:
        """One result for each statement."""
        return SimpleQuery(sql, timeout)

    def prepare(
        self, sql: str, timeout: float | None, scope: TransactionScope | None = None
    ) -> Request[PreparedStatement]:
        """A statement for the caller to hold; it belongs to the transaction ``scope``, if there is one."""
        return Prepare(sql, timeout, scope)

    def close_statement(self, prepared: PreparedStatement) -> Request[None]:
        """The end of such a statement."""
        return CloseStatement(prepared)

    def executemany(self, sql: str, timeout: float | None) -> Batch:
        """One statement with many sets of arguments, which are added to it as it goes."""
        return Batch(sql, timeout)

    def copy_in(self, sql: str, timeout: float | None) -> CopyIn:
        """COPY FROM STDIN, whose data is added as it goes."""
        return CopyIn(sql, timeout)

    def copy_out(self, sql: str, timeout: float | None) -> CopyOut:
        """COPY TO STDOUT, whose data is taken as it comes."""
        return CopyOut(sql, timeout)

    def pipeline(self, results: Sequence[PipelineResult[object]], timeout: float | None) -> Request[None]:
        """Several statements as one group."""
        return Pipeline(results, timeout)

    def transaction(self, isolation: str | None, readonly: bool, deferrable: bool) -> TransactionScope:
        """A transaction, or a savepoint in the one around the caller."""
        return TransactionScope(self.machine, isolation, readonly, deferrable)

    def retries(self, retries: int) -> Retries:
        """The attempts at a transaction of the caller's, which must not be inside of another."""
        if lease_of_context(self.machine) is not None:
            raise LocalProtocolError(
                "only a whole transaction can be tried again, and this one is in another"
            )
        return Retries(self.machine, retries)

    def cursor(self, sql: str, arguments: tuple[object, ...], batch: int, row: Row) -> Cursor:
        """A portal that gives rows in batches, within a transaction."""
        return Cursor(self.machine, sql, arguments, batch, row)

    def lease(self) -> Lease | None:
        """The transaction on this session that the caller's context is inside of, if there is one."""
        return lease_of_context(self.machine)

    def listener(self, channel: str) -> Listener:
        """A subscription to a channel, and the commands that begin and end it."""
        return Listener(self.machine, channel)

    # Statements of a pipeline: the same verbs, for later.

    def later_execute(self, sql: str, arguments: Arguments) -> PipelineResult[CommandTag]:
        """The command tag."""
        return PipelineResult(sql, arguments, Rows(None, 0), command_tag)

    def later_fetch(self, sql: str, arguments: Arguments, row: Row) -> PipelineResult[Any]:
        """All rows."""
        return PipelineResult(sql, arguments, Rows(row), all_rows)

    def later_fetchrow(self, sql: str, arguments: Arguments, row: Row) -> PipelineResult[Any]:
        """The first row or None."""
        return PipelineResult(sql, arguments, Rows(row, 1), first_row)

    def later_fetch_one(self, sql: str, arguments: Arguments, row: Row) -> PipelineResult[Any]:
        """Exactly one row."""
        return PipelineResult(sql, arguments, Rows(row, 2), one_row)

    def later_fetchval(self, sql: str, arguments: Arguments, column: int) -> PipelineResult[Any]:
        """One column of the first row."""
        return PipelineResult(sql, arguments, Rows(tuple, 1), partial(first_value, column))

    def later_fetch_columns(self, sql: str, arguments: Arguments) -> PipelineResult[Columns]:
        """All rows, by column."""
        rows = ColumnRows()
        return PipelineResult(sql, arguments, rows, lambda _: rows.columns())

    def ping(self, timeout: float | None) -> Request[None]:
        """A round trip."""
        return Ping(timeout)

    # Codecs of the session's own.

    def type_query(self, type: str | int, oid: int | None) -> tuple[str, list[int]]:
        """What asks the server about a type, and with which argument; nothing comes of it if it is known."""
        if not oid:
            raise DataError(f"the database has no type {type!r}")
        sql, (oids,) = self.machine.types.introspection_query(self.machine.types.unknown([oid]))
        return sql, oids

    def set_type_codec(
        self,
        oid: int,
        rows: Sequence[Sequence[object]],
        encoder: Callable[[Any], Any] | None,
        decoder: Callable[[Any], object] | None,
        format: CodecFormat,
    ) -> None:
        """Functions for the values of a type, described by ``rows`` if it was not known."""
        types = self._own_types()
        if rows:
            types.learn(rows)
        types.set_codec(types.codec(oid).name, encoder=encoder, decoder=decoder, format=format)

    def reset_type_codec(self, oid: int, rows: Sequence[Sequence[object]]) -> None:
        """The type's own functions."""
        types = self._own_types()
        if rows:
            types.learn(rows)
        types.reset_codec(types.codec(oid).name)
        types.reset_codec(oid)

    def keep_codecs(self) -> None:
        """Let the codecs of now be what `leave_codecs` goes back to."""
        self._shared_types = None

    def leave_codecs(self) -> None:
        """Take back what the one who had the session said about types: the next one must not meet it."""
        if self._shared_types is not None:
            self.machine.types, self._shared_types = self._shared_types, None

    def _own_types(self) -> TypeRegistry:
        """A registry that no other session shares."""
        if self._shared_types is None:
            self._shared_types = self.machine.types
            self.machine.types = self._shared_types.copy()
        return self.machine.types

    # What is known without asking.

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended."""
        return self.machine.failure is not None

    @property
    def transaction_status(self) -> str:
        """What the server's last ReadyForQuery said."""
        return self.machine.status

    @property
    def server_version(self) -> ServerVersion:
        """The server's version."""
        match = _VERSION.match(self.machine.reports.parameters.get("server_version", ""))
        return ServerVersion(0, 0) if match is None else ServerVersion(int(match[1]), int(match[2] or 0))

    @property
    def parameters(self) -> Mapping[str, str]:
        """Run-time parameters as last reported; a live view."""
        return MappingProxyType(self.machine.reports.parameters)

    @property
    def backend_pid(self) -> int:
        """The server's process id for this session."""
        return self.machine.process_id

    def add_notice_handler(self, handler: Callable[[PostgresError], object]) -> None:
        """Call ``handler`` with each notice of the server."""
        self.machine.reports.add_handler(NoticeResponse, handler)

    def remove_notice_handler(self, handler: Callable[[PostgresError], object]) -> None:
        """Call it no more."""
        self.machine.reports.remove_handler(NoticeResponse, handler)

    def add_parameter_handler(self, handler: Callable[[str, str], object]) -> None:
        """Call ``handler`` with the name and the value of each parameter that the server reports."""
        self.machine.reports.add_handler(ParameterStatus, handler)

    def remove_parameter_handler(self, handler: Callable[[str, str], object]) -> None:
        """Call it no more."""
        self.machine.reports.remove_handler(ParameterStatus, handler)
