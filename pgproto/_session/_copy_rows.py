"""What all formats of COPY have in common about rows: their columns, and the errors in them."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from pgproto.errors import DataError
from pgproto.types import Codec
from pgproto.types._codec import shortened
from pgproto.types._guards import is_iterable

__all__ = ["CopyColumn", "RowReader", "RowWriter", "check_row", "explain"]


class CopyColumn(NamedTuple):
    """A column that is copied."""

    name: str
    codec: Codec


class RowWriter(Protocol):
    """Rows to bytes, in one of the formats."""

    header: bytes
    """What comes before the first row."""
    trailer: bytes
    """What comes after the last one."""
    count: int
    """How many rows there were."""
    size: int
    """How many bytes they have."""

    def fill(self, rows: Iterable[object], out: list[bytes], limit: int) -> bool:
        """Append rows until they have ``limit`` bytes; True if these were all."""
        ...


class RowReader(Protocol):
    """Bytes to rows, in one of the formats."""

    def take(self, data: bytes, rows: list[object]) -> int:
        """Append the rows at the beginning of the data; returns where the first begins that is not whole."""
        ...

    def finish(self, left: int) -> None:
        """There is no more data; ``left`` bytes of it were not a whole row."""
        ...


def check_row(row: object, count: int, number: int) -> tuple[object, ...]:
    """The values of a row; raises `DataError` if it is none, or if they are too few or too many."""
    if _is_set(row) or not is_iterable(row):
        which = f"row {number}" if number else "a row"
        raise DataError(f"{which} is a sequence of {count} values, not {shortened(row)}")
    values = tuple(row)
    if number and len(values) != count:
        raise DataError(f"row {number} has {len(values)} values; the copy has {count} columns")
    return values


def _is_set(value: object) -> bool:
    """Whether it has no order, so that nobody could tell which value is whose."""
    return isinstance(value, AbstractSet)


def explain(error: Exception, number: int, column: CopyColumn) -> DataError:
    """The error with the place where it happened."""
    return DataError(f"row {number}, column {column.name!r}: {error}")
