"""What comes of one execution: its rows as they come in, and what each verb makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from pgproto._columns import ColumnCollector, Columns
from pgproto._connection import RowSink
from pgproto._row_factories import RowFactory
from pgproto._rows import Decoder, skip_rows
from pgproto._session._introduction import IntroducingRequest, is_of_changed_type
from pgproto._session._machine import RequestMachine
from pgproto._session._statement import Statement
from pgproto._session._tag import CommandTag
from pgproto._short_way import UsualReply
from pgproto.errors import DataError, NoRows, ResultTooLarge, TooManyRows

__all__ = [
    "ColumnRows",
    "Rows",
    "all_columns",
    "all_rows",
    "command_tag",
    "first_of_first",
    "first_row",
    "first_value",
    "one_row",
]


# These have no state of their own.
_RECORDS: Final = RowFactory()
_TUPLES: Final = RowFactory(tuple)


class Rows:
    """The rows of one execution, as they come in."""

    __slots__ = ("_decode", "_factory", "began", "error", "limit", "names", "rows", "tag", "usual")

    def __init__(self, row: Callable[..., object] | None = None, limit: int | None = None) -> None:
        self._factory = _RECORDS if row is None else _TUPLES if row is tuple else RowFactory(row)
        self._decode: Decoder | None = None
        self.usual: UsualReply | None = None
        self.began = False
        """Whether any have come."""
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
        key = self._factory.key
        self._decode, self.usual = statement.decoders.get(key) or statement.decoder(self._factory)

    def sink(self, machine: RequestMachine, owner: IntroducingRequest[object]) -> RowSink:
        """What takes the rows from the connection, for a request of this machine."""
        limit = machine.max_result_bytes
        if limit is None:
            return self.take
        size = 0

        def take(data: bytes, start: int, end: int) -> int:
            nonlocal size
            position = self.take(data, start, end)
            size += position - start
            if size > limit and self._decode is not None:
                self._give_up(ResultTooLarge(f"the result has more than {limit} bytes (max_result_bytes)"))
                machine.cancel(owner)
            return position

        return take

    def take(self, data: bytes, start: int, end: int) -> int:
        """Take rows out of ``data[start:end]``, as a `RowSink` does."""
        decode = self._decode
        rows = self.rows
        try:
            position = skip_rows(data, start, end) if decode is None else decode(rows, data, start, end)
        except DataError as error:
            # The values are broken, the messages are not: only this request fails.
            self._give_up(error)
            position = skip_rows(data, start, end)
        if position > start:
            self.began = True
            if self.limit is not None and len(rows) > self.limit:
                del rows[self.limit :]
        return position

    def drop(self) -> None:
        """Nobody wants them any more."""
        self._decode = None
        self.rows.clear()

    def _give_up(self, error: BaseException) -> None:
        self.error = error
        self.drop()

    def failure(self, machine: RequestMachine) -> BaseException | None:
        """Why the rows are not to be had, if there is an `error`; asked once they are all there."""
        if is_of_changed_type(self.error):
            machine.types.forget()
        return self.error

    def made(self) -> list[object]:
        """The rows as the caller wants them; runs the caller's own code."""
        return self._factory.finish(self.names, self.rows)


class ColumnRows(Rows):
    """The same, collected by column."""

    __slots__ = ("_collector",)

    def __init__(self) -> None:
        super().__init__()
        self._collector = ColumnCollector(())

    def use(self, statement: Statement) -> None:
        self.names = statement.names
        self._collector = collector = ColumnCollector(statement.codecs)
        self._decode = lambda rows, data, start, end: collector.take(data, start, end)

    def drop(self) -> None:
        super().drop()
        self._collector = ColumnCollector(())

    def columns(self) -> Columns:
        """What was collected; none if the statement returns no rows."""
        return self._collector.finish(self.names)


def all_columns(rows: ColumnRows) -> Columns:
    """Every column."""
    return rows.columns()


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
        except TypeError:
            raise TypeError(f"column= takes the position of a column, not {column!r}") from None
        except IndexError:
            raise DataError(f"column {column} was wanted; the result has {len(rows.names)}") from None
    return None


def first_of_first(rows: Rows) -> object:
    """The first value of the first row, as `first_value`."""
    made: list[Any] = rows.rows
    try:
        return made[0][0]
    except IndexError:
        return first_value(0, rows)


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
