"""The verbs that are one query each. They make requests, of which any session can be asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pgproto._columns import Columns
from pgproto._session._query import Query
from pgproto._session._request import Request
from pgproto._session._results import (
    ColumnRows,
    Rows,
    all_columns,
    all_rows,
    command_tag,
    first_of_first,
    first_row,
    first_value,
    one_row,
)
from pgproto._session._statement import PreparedStatement
from pgproto._session._tag import CommandTag

__all__ = ["Arguments", "Queries", "Row"]

Arguments: TypeAlias = tuple[object, ...]
Row: TypeAlias = Callable[..., object] | None
_Prepared: TypeAlias = PreparedStatement | None


class Queries:
    """Makes queries; ``row`` is what the public verbs document, ``prepared`` a statement of that session."""

    __slots__ = ()

    def execute(
        self, sql: str, arguments: Arguments, timeout: float | None, prepared: _Prepared = None
    ) -> Request[CommandTag]:
        """The command tag; rows, if any, are dropped."""
        return Query(sql, arguments, Rows(None, 0), command_tag, timeout, prepared)

    def fetch(
        self, sql: str, arguments: Arguments, row: Row, timeout: float | None, prepared: _Prepared = None
    ) -> Request[list[Any]]:
        """All rows."""
        return Query(sql, arguments, Rows(row), all_rows, timeout, prepared)

    def fetchrow(
        self, sql: str, arguments: Arguments, row: Row, timeout: float | None, prepared: _Prepared = None
    ) -> Request[Any]:
        """The first row or None."""
        return Query(sql, arguments, Rows(row, 1), first_row, timeout, prepared)

    def fetch_one(
        self, sql: str, arguments: Arguments, row: Row, timeout: float | None, prepared: _Prepared = None
    ) -> Request[Any]:
        """Exactly one row."""
        return Query(sql, arguments, Rows(row, 2), one_row, timeout, prepared)

    def fetchval(
        self, sql: str, arguments: Arguments, column: int, timeout: float | None, prepared: _Prepared = None
    ) -> Request[Any]:
        """One column of the first row."""
        finish = first_of_first if column == 0 else partial(first_value, column)
        return Query(sql, arguments, Rows(tuple, 1), finish, timeout, prepared)

    def fetch_columns(
        self, sql: str, arguments: Arguments, timeout: float | None, prepared: _Prepared = None
    ) -> Request[Columns]:
        """All rows, by column."""
        return Query(sql, arguments, ColumnRows(), all_columns, timeout, prepared)
