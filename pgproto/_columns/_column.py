"""One column: a buffer of numbers, or a list of objects."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from pgproto.types._codec import BINARY, Codec

__all__ = ["FIXED", "Column", "NumberColumn", "ObjectColumn", "new_column"]

FIXED: Final = frozenset("hiqIQfd?")
"""The `struct` codes that have the same width in a buffer of this machine."""

_TO_BOOL: Final = b"\0" + b"\1" * 255
_SWAPPED: Final = sys.byteorder == "little"


class NumberColumn:
    """Numbers of a fixed width, in this machine's byte order; NULLs are marked in a second buffer."""

    __slots__ = ("buffer", "code", "codec", "valid", "width")

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.code = codec.struct_format
        """The `struct` code."""
        self.width = struct.calcsize("=" + self.code)
        self.buffer = bytearray()
        """What PostgreSQL sent: of a date or a timestamp, a count since 2000-01-01."""
        self.valid: bytearray | None = None
        """For each row, 0 where it is NULL; None if none is."""

    def __len__(self) -> int:
        return len(self.buffer) // self.width

    def gather(self, data: bytes, start: int, stop: int, step: int) -> None:
        """Add the values that are ``step`` bytes apart in ``data``, the first at ``start``.

        Each byte of the values is one slice; so the order of the bytes is changed on the way, for nothing.
        """
        width = self.width
        first = data[start:stop:step]
        if width == 1:
            self.buffer += first.translate(_TO_BOOL)
        else:
            values = bytearray(width * len(first))
            for byte in range(width):
                values[width - 1 - byte if _SWAPPED else byte :: width] = (
                    data[start + byte : stop : step] if byte else first
                )
            self.buffer += values
        if self.valid is not None:
            self.valid += b"\1" * len(first)

    def extend(self, values: Sequence[Any]) -> None:
        """Add numbers, and None for NULL."""
        try:
            # To this one, None is false.
            packed = None if self.code == "?" and None in values else self._pack(values)
        except struct.error:
            packed = None
        if packed is None:
            if self.valid is None:
                self.valid = bytearray(b"\1" * len(self))
            self.valid += bytes([value is not None for value in values])
            packed = self._pack([0 if value is None else value for value in values])
        elif self.valid is not None:
            self.valid += b"\1" * len(values)
        self.buffer += packed

    def _pack(self, values: Sequence[Any]) -> bytes:
        return struct.pack(f"={len(values)}{self.code}", *values)

    @property
    def numbers(self) -> memoryview[Any]:
        """The numbers, with 0 for NULL."""
        # The type of the elements depends on the code, which type checkers want to know in advance.
        return cast("memoryview[Any]", memoryview(self.buffer).cast(cast("Literal['q']", self.code)))

    @property
    def valid_rows(self) -> memoryview[bool] | None:
        """For each row, whether it has a value; None if all have."""
        return None if self.valid is None else memoryview(self.valid).cast("?")

    def values(self) -> Sequence[Any]:
        """The numbers if they are the values and none is NULL, else a list of the values."""
        numbers = self.numbers
        convert = self.codec.from_struct
        if convert is None:
            return numbers if self.valid is None else self._with_nulls(numbers)
        return list(map(convert, numbers)) if self.valid is None else self._with_nulls(numbers, convert)

    def _with_nulls(self, numbers: Iterable[Any], convert: Callable[[Any], Any] | None = None) -> list[Any]:
        marked = zip(numbers, self.valid or b"", strict=True)
        if convert is None:
            return [number if valid else None for number, valid in marked]
        return [convert(number) if valid else None for number, valid in marked]


class ObjectColumn:
    """Values of any other type, as they are."""

    __slots__ = ("codec", "objects")

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.objects: list[Any] = []

    def __len__(self) -> int:
        return len(self.objects)

    def extend(self, values: Sequence[Any]) -> None:
        """Add values, and None for NULL."""
        self.objects.extend(values)

    def values(self) -> Sequence[Any]:
        """The values."""
        return self.objects


Column: TypeAlias = NumberColumn | ObjectColumn


def new_column(codec: Codec) -> Column:
    """An empty column for values of this codec."""
    return (
        NumberColumn(codec)
        if codec.format == BINARY and codec.struct_format in FIXED
        else ObjectColumn(codec)
    )
