"""Columns as arrays of numpy, which is imported when it is wanted and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from pgproto._columns._column import Column, NumberColumn
from pgproto.errors import DataError

__all__ = ["to_numpy"]

_EPOCH_DAYS: Final = 10_957
"""From 1970-01-01, where numpy begins to count, to 2000-01-01, where PostgreSQL does."""
_EPOCH_MICROSECONDS: Final = _EPOCH_DAYS * 86_400_000_000
_INT32_MAX, _INT64_MAX = 2**31 - 1, 2**63 - 1
_INT32_MIN, _INT64_MIN = -(2**31), -(2**63)


def to_numpy(column: Column) -> Any:
    """An array of numpy; see `pgproto._columns.Columns.to_numpy`."""
    numpy: Any = import_module("numpy")
    if not isinstance(column, NumberColumn):
        return _objects(numpy, column)
    numbers = numpy.frombuffer(column.buffer, dtype=column.code)
    valid = None if column.valid is None else numpy.frombuffer(column.valid, dtype="?")
    match column.codec.oid, column.code:
        case (1082, "i"):  # date
            return _moments(numpy, numbers, valid, "D", (_INT32_MIN, _INT32_MAX), _EPOCH_DAYS)
        case (1114 | 1184, "q"):  # timestamp, timestamptz
            return _moments(numpy, numbers, valid, "us", (_INT64_MIN, _INT64_MAX), _EPOCH_MICROSECONDS)
        case (1083, "q"):  # time
            return _filled(numpy, numbers.view("timedelta64[us]"), valid)
        case _ if column.codec.from_struct is not None:
            return _objects(numpy, column)
        case _:
            return numbers if valid is None else numpy.ma.masked_array(numbers, mask=~valid)


def _objects(numpy: Any, column: Column) -> Any:
    array = numpy.empty(len(column), dtype=object)
    array[:] = column.values()
    return array


def _moments(numpy: Any, numbers: Any, valid: Any, unit: str, infinities: tuple[int, int], epoch: int) -> Any:
    negative, positive = infinities
    wide = numbers.astype("int64")
    if wide.size and (wide.min() == negative or wide.max() == positive or wide.max() > _INT64_MAX - epoch):
        raise DataError(
            f"a value is infinite, or beyond what datetime64[{unit}] can hold; "
            f"leave it out, or take the column as objects"
        )
    wide += epoch
    return _filled(numpy, wide.view(f"datetime64[{unit}]"), valid)


def _filled(numpy: Any, array: Any, valid: Any) -> Any:
    return array if valid is None else numpy.where(valid, array, numpy.array("NaT", array.dtype))
