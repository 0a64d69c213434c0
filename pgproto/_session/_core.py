"""`SessionCore`: everything a session can be asked for, as requests.

Each transport's public `Session` has the same verbs; each verb is one line that hands a request from here
to the transport's driver and waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from pgproto._connecting import Established
from pgproto._session._machine import RequestMachine
from pgproto._session._query import Query, all_rows, command_tag, first_row, one_row
from pgproto._session._request import Request
from pgproto._session._simple import Ping, Result, SimpleQuery
from pgproto._session._tag import CommandTag
from pgproto.errors import DataError, PostgresError

__all__ = ["ServerVersion", "SessionCore"]

Row: TypeAlias = Callable[..., object] | None

_VERSION: Final = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?", re.ASCII)


class ServerVersion(NamedTuple):
    """PostgreSQL's version: two numbers that compare, and ``"18.6"`` as text. (0, 0) if it is unknown."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class SessionCore:
    """The verbs of a session, above its `RequestMachine`."""

    __slots__ = ("established", "machine")

    def __init__(self, machine: RequestMachine, established: Established) -> None:
        self.machine = machine
        self.established = established
        """How the session came about, and what a cancel request for it needs."""

    # What is asked of the server; `row` is what the public verbs document.

    def execute(self, sql: str, arguments: tuple[object, ...], timeout: float | None) -> Request[CommandTag]:
        """The command tag; rows, if any, are dropped."""
        return Query(self.machine, sql, arguments, command_tag, limit=0, timeout=timeout)

    def fetch(
        self, sql: str, arguments: tuple[object, ...], row: Row, timeout: float | None
    ) -> Request[list[Any]]:
        """All rows."""
        return Query(self.machine, sql, arguments, all_rows, row=row, timeout=timeout)

    def fetchrow(
        self, sql: str, arguments: tuple[object, ...], row: Row, timeout: float | None
    ) -> Request[Any]:
        """The first row or None."""
        return Query(self.machine, sql, arguments, first_row, row=row, limit=1, timeout=timeout)

    def fetch_one(
        self, sql: str, arguments: tuple[object, ...], row: Row, timeout: float | None
    ) -> Request[Any]:
        """Exactly one row."""
        return Query(self.machine, sql, arguments, one_row, row=row, limit=2, timeout=timeout)

    def fetchval(
        self, sql: str, arguments: tuple[object, ...], column: int, timeout: float | None
    ) -> Request[Any]:
        """One column of the first row."""

        def value(query: Query[Any]) -> object:
            if not query.rows:
                return None
            first = query.rows[0]
            try:
                return first[column]  # type: ignore[index]  # rows of this query are tuples
            except IndexError:
                width = len(query.statement.names) if query.statement else 0
                raise DataError(f"column {column} was wanted; the result has {width}") from None

        return Query(self.machine, sql, arguments, value, row=tuple, limit=1, timeout=timeout)

    def simple_query(self, sql: str, timeout: float | None) -> Request[list[Result]]:
        """One result for each statement."""
        return SimpleQuery(sql, timeout)

    def ping(self, timeout: float | None) -> Request[None]:
        """A round trip."""
        return Ping(timeout)

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
        match = _VERSION.match(self.machine.parameters.get("server_version", ""))
        return ServerVersion(0, 0) if match is None else ServerVersion(int(match[1]), int(match[2] or 0))

    @property
    def parameters(self) -> Mapping[str, str]:
        """Run-time parameters as last reported; a live view."""
        return MappingProxyType(self.machine.parameters)

    @property
    def backend_pid(self) -> int:
        """The server's process id for this session."""
        return self.machine.process_id

    def add_notice_handler(self, handler: Callable[[PostgresError], object]) -> None:
        """Call ``handler`` with each notice of the server."""
        self.machine.notice_handlers.append(handler)
