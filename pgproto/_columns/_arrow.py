"""Columns for Arrow: what each is called there, and the buffers that it is made of.

Chapter "Columnar Format" of Arrow's documentation, and "The Arrow C data interface" for the format strings.
Arrow counts dates and timestamps from 1970, marks NULLs and booleans by bits, and knows neither infinite
dates nor the time 24:00.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from pgproto._columns._column import Column, NumberColumn, ObjectColumn
from pgproto._rows._kinds import is_text
from pgproto.errors import DataError

__all__ = ["ArrowColumn", "arrow_column"]

Buffer: TypeAlias = bytes | bytearray | None

_NUMBERS: Final = {"h": "s", "i": "i", "I": "I", "q": "l", "Q": "L", "f": "f", "d": "g"}
_TIMES: Final = {1082: "tdD", 1083: "ttu", 1114: "tsu:", 1184: "tsu:UTC"}
_EPOCH_DAYS: Final = 10_957
"""From 1970-01-01 to 2000-01-01, where PostgreSQL begins to count."""
_DAY: Final = 86_400_000_000
_BYTEA, _CHAR, _UUID = 17, 18, 2950
_INT32_MAX, _INT64_MAX = 2**31 - 1, 2**63 - 1
_ONE_AND_ZERO = bytes([ord("0")]) + bytes([ord("1")]) * 255


class ArrowColumn(NamedTuple):
    """What the C data interface wants to know of a column."""

    format: str
    nulls: int
    buffers: tuple[Buffer, ...]
    """The first tells where NULLs are, None if there are none."""


def arrow_column(name: str, column: Column) -> ArrowColumn:
    """The column as Arrow has it; numbers are not copied.

    Raises:
        DataError: a date or time is none that Arrow can hold.
        TypeError: the type has no counterpart there.
    """
    if isinstance(column, NumberColumn):
        numbers = _number_column(name, column)
        if numbers is not None:
            return numbers
    return _object_column(name, column)


def _number_column(name: str, column: NumberColumn) -> ArrowColumn | None:
    valid = None if column.valid is None else _bits(column.valid)
    nulls = 0 if column.valid is None else column.valid.count(0)
    if column.code == "?":
        return ArrowColumn("b", nulls, (valid, _bits(column.buffer)))
    if column.codec.from_struct is None:
        return ArrowColumn(_NUMBERS[column.code], nulls, (valid, column.buffer))
    if column.codec.oid not in _TIMES or column.code not in "iq":
        return None
    return ArrowColumn(_TIMES[column.codec.oid], nulls, (valid, _since_1970(name, column)))


def _since_1970(name: str, column: NumberColumn) -> bytes:
    largest, epoch = (_INT32_MAX, _EPOCH_DAYS) if column.code == "i" else (_INT64_MAX, _EPOCH_DAYS * _DAY)
    lowest, highest = -largest, largest - epoch
    if column.codec.oid == 1083:
        lowest, highest, epoch = 0, _DAY - 1, 0
    numbers = column.numbers
    if len(numbers) and not (lowest <= min(numbers) and max(numbers) <= highest):
        raise DataError(
            f"column {name!r} has a {column.codec.name} that is infinite, or none that Arrow can hold"
        )
    return array(column.code, [number + epoch for number in numbers]).tobytes()


def _object_column(name: str, column: Column) -> ArrowColumn:
    objects = column.values()
    nulls = objects.count(None)
    valid = _bits(bytes([value is not None for value in objects])) if nulls else None
    oid = column.codec.oid
    if oid == _UUID:
        return ArrowColumn(
            "w:16", nulls, (valid, b"".join([value.bytes if value else bytes(16) for value in objects]))
        )
    if isinstance(column, ObjectColumn) and (oid in (_BYTEA, _CHAR) or is_text(column.codec)):
        parts = [b"" if value is None else value if oid == _BYTEA else value.encode() for value in objects]
        code, offsets = _offsets(parts)
        if oid == _BYTEA:
            code = "z" if code == "u" else "Z"
        return ArrowColumn(code, nulls, (valid, offsets, b"".join(parts)))
    raise TypeError(
        f"column {name!r}: {column.codec.name} has no counterpart in Arrow; cast it to another type"
    )


def _offsets(parts: Sequence[bytes]) -> tuple[str, bytes]:
    """Where each string begins, and the last ends: in 32 bits if that will do."""
    ends = list(accumulate(map(len, parts), initial=0))
    return ("u", array("i", ends).tobytes()) if ends[-1] <= _INT32_MAX else ("U", array("q", ends).tobytes())


def _bits(flags: bytes | bytearray) -> bytes:
    """A bit for each byte, 1 if it is not zero; the first is the lowest of the first byte."""
    if not flags:
        return b""
    # Python reads a binary number of any length in one go.
    return int(flags.translate(_ONE_AND_ZERO)[::-1], 2).to_bytes((len(flags) + 7) // 8, "little")
