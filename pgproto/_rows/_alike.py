"""Rows that are all of one length: checked by the hundred, with a slice for each byte of their headers.

Where all columns are of a fixed width and none is NULL, the bytes between the values are the same in each
row. The n-th bytes of all rows are one slice with the row's length as its step, so comparing a slice checks
that byte in all of them, at less than a nanosecond for each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

__all__ = ["Alike", "alike_counter"]

Alike: TypeAlias = Callable[[bytes, int, int], int]
"""``alike(data, start, count)``: how many of the ``count`` rows at ``start`` have the expected header bytes,
counted up to the first that has not."""

_DATA_ROW: Final = 0x44


def alike_counter(widths: Sequence[int]) -> Alike:
    """What counts the rows whose columns have these widths, in bytes."""
    length = 6 + sum(widths) + 4 * len(widths)
    expected = list(enumerate(struct.pack("!BiH", _DATA_ROW, length, len(widths))))
    position = 7
    for width in widths:
        expected += enumerate(struct.pack("!i", width), position)
        position += 4 + width
    # What is most likely to differ comes first: the lower bytes of the message's length.
    expected.sort(key=lambda item: (not 3 <= item[0] <= 4, item[0]))
    checks = [(offset, bytes((byte,))) for offset, byte in expected]
    step = length + 1

    def alike(data: bytes, start: int, count: int) -> int:
        stop = start + count * step
        for offset, byte in checks:
            column = data[start + offset : stop : step]
            if column != byte * count:
                count -= len(column.lstrip(byte))
                if count == 0:
                    return 0
                stop = start + count * step
        return count

    return alike
