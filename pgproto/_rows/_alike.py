"""Rows whose values are of the same lengths: checked and unpacked by the hundred.

The bytes between the values of such rows are the same in each. The n-th bytes of all rows are one slice with
the row's length as its step, so comparing a slice checks that byte in all of them, at less than a nanosecond
for each. Then one `struct` unpacks them all.

Rows of fixed-width columns are so as long as the same ones are NULL. Of other rows, codes, hashes and
numbered names often are; whether it is worth looking is found out again and again, at ever longer intervals.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = [
    "FEW",
    "HEADER_SIZE",
    "LAYOUTS",
    "Alike",
    "Many",
    "ManyOf",
    "Run",
    "alike_counter",
    "lengths_of",
    "run_of_many",
]

Run: TypeAlias = Callable[[list[object], bytes, int, int], int]
"""``run(rows, data, start, end)`` decodes rows until one is not as expected, and returns where that begins.
It raises nothing."""

Many: TypeAlias = Callable[[Iterable[tuple[Any, ...]]], Iterable[object]]
"""Makes the rows of what `struct` has unpacked. It fails as a whole if one of them cannot be made."""

Alike: TypeAlias = Callable[[bytes, int, int], int]
"""``alike(data, start, count)``: how many of the ``count`` rows at ``start`` have the expected header bytes,
counted up to the first that has not."""

ManyOf: TypeAlias = Callable[[tuple[bool, ...]], Many]
"""For rows in which these columns are NULL."""

FEW: Final = 16
"""So many rows of one length at the least are worth the effort."""

_DATA_ROW: Final = 0x44
HEADER_SIZE: Final = 7
"""Of a DataRow, up to the length of its first value, in bytes."""
_LENGTH: Final = struct.Struct("!i")
_FIRST_BATCH: Final = 256
_BATCH: Final = 4096
LAYOUTS: Final = 16
"""How many are kept for one result."""
_LONGEST_INTERVAL: Final = 1024
"""After so many rows, at the most, there is another look whether they are alike."""


def alike_counter(lengths: Sequence[int]) -> Alike:
    """What counts the rows whose values have these lengths, in bytes; -1 is NULL."""
    length = 6 + sum([4 + max(length, 0) for length in lengths])
    expected = list(enumerate(struct.pack("!BiH", _DATA_ROW, length, len(lengths))))
    position = HEADER_SIZE
    for value in lengths:
        expected += enumerate(struct.pack("!i", value), position)
        position += 4 + max(value, 0)
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


def run_of_many(codes: Sequence[str], run: Run, many_of: ManyOf) -> Run:
    """What decodes by the hundred where rows have the same lengths, and leaves all others to ``run``.

    Args:
        codes: for each column the `struct` code, "" for a variable width.
        run: decodes one row after the other.
        many_of: what makes the rows of what was unpacked: `bytes` for a column of variable width.
    """
    find_layout = _layout_finder(codes)
    interval = FEW

    def decode(rows: list[object], data: bytes, start: int, end: int) -> int:
        nonlocal interval
        position = start
        while end - position > HEADER_SIZE and data[position] == _DATA_ROW:
            step = 1 + _LENGTH.unpack_from(data, position + 1)[0]
            if not HEADER_SIZE <= step <= (end - position) // FEW:
                break
            layout = find_layout(data, position, step)
            following = _decode_alike(rows, data, position, end, layout, many_of) if layout else position
            if following > position:
                interval = FEW
            else:
                following = run(rows, data, position, min(position + interval * step, end))
                interval = min(2 * interval, _LONGEST_INTERVAL)
            if following == position:
                break
            position = following
        return run(rows, data, position, end)

    return decode


class _Layout(NamedTuple):
    step: int
    alike: Alike
    each: Callable[[memoryview], Iterator[tuple[Any, ...]]]
    nulls: tuple[bool, ...]


def _layout(codes: Sequence[str], lengths: tuple[int, ...]) -> _Layout:
    """How to unpack rows whose values have these lengths."""
    nulls = tuple([length < 0 for length in lengths])
    parts = [
        "0s" if length < 0 else code or f"{length}s" for code, length in zip(codes, lengths, strict=True)
    ]
    whole = struct.Struct("!7x" + "".join(f"4x{part}" for part in parts))
    widths = [-1 if null else struct.calcsize(f"!{part}") for null, part in zip(nulls, parts, strict=True)]
    return _Layout(whole.size, alike_counter(widths), whole.iter_unpack, nulls)


def _layout_finder(codes: Sequence[str]) -> Callable[[bytes, int, int], _Layout | None]:
    """``find(data, start, step)``: the layout of the row of this size, if others may share it."""
    layout_of = lru_cache(maxsize=LAYOUTS)(partial(_layout, codes))
    usual = layout_of((0,) * len(codes)) if all(codes) else None

    def find(data: bytes, start: int, step: int) -> _Layout | None:
        if usual is not None and step == usual.step:
            return usual
        lengths = _may_be_alike(data, start, step) and lengths_of(data, start, start + step, len(codes))
        return layout_of(lengths) if lengths else None

    return find


def _may_be_alike(data: bytes, start: int, step: int) -> bool:
    """Whether some of the rows that follow have the same header; a first look that costs little."""
    first, second, last = start + step, start + 2 * step, start + (FEW - 1) * step
    header = data[start : start + HEADER_SIZE]
    return (
        data[first : first + HEADER_SIZE] == header
        and data[second : second + HEADER_SIZE] == header
        and data[last : last + HEADER_SIZE] == header
    )


def lengths_of(data: bytes, start: int, end: int, columns: int) -> tuple[int, ...]:
    """Of the values of the row that is ``data[start:end]``, -1 for NULL; none if there is an error."""
    lengths: list[int] = []
    position = start + HEADER_SIZE
    for _ in range(columns):
        if position > end - 4:
            return ()
        length: int = _LENGTH.unpack_from(data, position)[0]
        if length < -1:
            return ()
        lengths.append(length)
        position += 4 + max(length, 0)
    return tuple(lengths) if position == end else ()


def _decode_alike(
    rows: list[object], data: bytes, start: int, end: int, layout: _Layout, many_of: ManyOf
) -> int:
    """Decode the rows of this layout at ``start``, if they are not too few; returns where they end."""
    step, alike, each, nulls = layout
    position, size = start, _FIRST_BATCH
    while size := min((end - position) // step, size):
        count = alike(data, position, size)
        if count < (FEW if position == start else 1):
            return position
        try:
            rows.extend(many_of(nulls)(each(memoryview(data)[position : position + count * step])))
        except Exception:
            # One of them cannot be made so: it is found and decoded by itself.
            return position
        position += count * step
        if count < size:
            break
        size = _BATCH
    return position
