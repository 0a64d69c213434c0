"""`Columns`: what comes of a result that was collected by column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgproto._columns._arrow import arrow_column
from pgproto._columns._column import Column, NumberColumn
from pgproto._columns._numpy import to_numpy

__all__ = ["Columns"]


class Columns(Mapping[str, Sequence[Any]]):
    """The columns of a result by their names, in their order.

    A column of numbers (int2, int4, int8, float4, float8, oid, bool) without NULLs is a `memoryview` of them:
    it has a length, can be indexed, sliced and iterated, and goes into `numpy.asarray`, `array.array` and
    whatever else takes a buffer, without a copy. Any other column is a `list`, with None for NULL; and so is
    a column of numbers that has NULLs. Of columns with the same name, the name is the last's; `at` has them
    all.
    """

    __slots__ = ("_by_name", "_columns", "_count", "_names", "_values")

    def __init__(self, names: Sequence[str], columns: Sequence[Column], count: int) -> None:
        self._names = tuple(names)
        self._columns = tuple(columns)
        self._count = count
        self._by_name = {name: position for position, name in enumerate(names)}
        self._values: dict[int, Sequence[Any]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all the columns, as often as they occur."""
        return self._names

    @property
    def row_count(self) -> int:
        """How many rows the result has."""
        return self._count

    def at(self, position: int) -> Sequence[Any]:
        """The column at this position.

        Raises:
            IndexError: there is no such position.
            DataError: a date or time in it cannot be decoded.
        """
        column = self._columns[position]
        values = self._values.get(position)
        if values is None:
            values = self._values[position] = column.values()
        return values

    def __getitem__(self, name: str) -> Sequence[Any]:
        """The column of this name.

        Raises:
            KeyError: there is no column of this name.
            DataError: a date or time in it cannot be decoded.
        """
        return self.at(self._by_name[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def numbers(self, name: str) -> tuple[memoryview[Any], memoryview[bool] | None]:
        """The numbers of a column of a fixed width as PostgreSQL sent them, and which of the rows have one.

        The first is a `memoryview` of the numbers, 0 where the value is NULL: of a date the days since
        2000-01-01, of a timestamp or timestamptz the microseconds since then, of a time since midnight. The
        second is a `memoryview` of bools, false for NULL; None if no value is NULL. Nothing is copied.

        Raises:
            KeyError: there is no column of this name.
            TypeError: its values are not of a fixed width, or came as text.
        """
        column = self._columns[self._by_name[name]]
        if not isinstance(column, NumberColumn):
            raise TypeError(f"column {name!r} of type {column.codec.name} holds no numbers")
        return column.numbers, column.valid_rows

    def to_numpy(self, name: str) -> Any:
        """The column of this name as an array of numpy, which must be installed.

        Numbers are not copied. They are a masked array where some are NULL. Dates and timestamps are
        ``datetime64``, times ``timedelta64``, with NaT for NULL. Whatever else is an array of objects.

        Raises:
            KeyError: there is no column of this name.
            DataError: a date or timestamp is infinite, or beyond what ``datetime64`` can hold.
            ImportError: numpy is not installed.
        """
        return to_numpy(self._columns[self._by_name[name]])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The columns for Arrow, by its PyCapsule interface, which many libraries know.

        So ``pyarrow.table(columns)`` and ``polars.DataFrame(columns)`` take them as they are, and copy no
        numbers. ``requested_schema`` is not looked at, as the interface allows.

        Raises:
            DataError: a date or time is infinite, or none that Arrow can hold.
            TypeError: a column is of a type that has no counterpart in Arrow.
        """
        # Only here is ctypes needed.
        from pgproto._columns._capsule import stream_capsule

        columns = [
            arrow_column(name, column) for name, column in zip(self._names, self._columns, strict=True)
        ]
        return stream_capsule(self._names, columns, self._count)

    def __repr__(self) -> str:
        return f"<Columns {', '.join(map(repr, self._names))} of {self._count} rows>"
