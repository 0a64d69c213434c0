"""Replies that are as one before was, but for the values: checked and unpacked at one go.

A statement that returns one row, or none, is answered with the same bytes each time, as long as the values
are of the same lengths: only these and the transaction status differ. So one `struct` takes a reply apart
into the values and what is between them, and that is compared with what it was before.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from pgproto._rows._alike import HEADER_SIZE, ManyOf, lengths_of
from pgproto._short_way import BIND_COMPLETE_SIZE, Reader, UsualReply
from pgproto.messages._ending import Ending

__all__ = ["LearnedReply"]

_LARGEST: Final = 4096
_MOST_COLUMNS: Final = 64
_LONGEST_INTERVAL: Final = 1024
"""After so many replies that were not as expected, at the most, one is learned."""
_VALUES: Final = slice(1, -1, 2)
_GAPS: Final = slice(None, None, 2)


class LearnedReply(UsualReply):
    """What the last reply was like, or one before: it may have had one row, or none."""

    __slots__ = ("_interval", "_missed", "codes", "many_of")

    def __init__(self) -> None:
        super().__init__()
        self.codes: Sequence[str] = ()
        """For each column the `struct` code, "" for a variable width."""
        self.many_of: ManyOf | None = None
        """What makes the rows of what was unpacked so, as soon as it is compiled."""
        self._missed = 0
        self._interval = 1

    def missed(self, data: bytes, start: int, rows_end: int, ending: Ending) -> None:
        self._missed += 1
        if self._missed < self._interval or ending[2] > _LARGEST:
            return
        rows_start, whole = start + BIND_COMPLETE_SIZE, data[start : start + ending[2]]
        if rows_end == rows_start:
            self.read = _reader_of_ending(whole, ending)
        elif self.many_of is None:
            return
        elif 0 < len(self.codes) <= _MOST_COLUMNS:
            lengths = lengths_of(data, rows_start, rows_end, len(self.codes))
            self.read = _reader_of_row(whole, ending, self.codes, lengths, self.many_of) or self.read
        self._missed = 0
        self._interval = min(2 * self._interval, _LONGEST_INTERVAL)


def _endings(ending: Ending) -> dict[bytes, Ending]:
    """By what the last byte says: the transaction status."""
    tag, _, size = ending
    return {status.encode(): (tag, status, size) for status in "ITE"}


def _reader_of_ending(whole: bytes, ending: Ending) -> Reader:
    """For replies without a row."""
    size, expected, endings = len(whole), whole[:-1], _endings(ending)
    unpack = struct.Struct(f"!{size - 1}ss").unpack_from

    def read(rows: list[object], data: bytes, start: int, end: int) -> Ending | None:
        if end - start < size:
            return None
        most, status = unpack(data, start)
        return endings.get(status) if most == expected else None

    return read


def _reader_of_row(
    whole: bytes, ending: Ending, codes: Sequence[str], lengths: Sequence[int], many_of: ManyOf
) -> Reader | None:
    """For replies with one row, whose values have these lengths, -1 for NULL; none if that cannot be."""
    if len(lengths) != len(codes):
        return None
    size, endings = len(whole), _endings(ending)
    layout, gaps, gap_start, position = "!", list[bytes](), 0, BIND_COMPLETE_SIZE + HEADER_SIZE
    for code, length in zip(codes, lengths, strict=True):
        value = "0s" if length < 0 else code or f"{length}s"
        if struct.calcsize(f"!{value}") != max(length, 0):
            return None
        position += 4
        gaps.append(whole[gap_start:position])
        layout += f"{position - gap_start}s{value}"
        gap_start = position = position + max(length, 0)
    gaps.append(whole[gap_start:-1])
    expected = tuple(gaps)
    unpack = struct.Struct(f"{layout}{size - 1 - gap_start}ss").unpack_from
    many = many_of(tuple([length < 0 for length in lengths]))

    def read(rows: list[object], data: bytes, start: int, end: int) -> Ending | None:
        if end - start < size:
            return None
        parts = unpack(data, start)
        if parts[_GAPS] != expected or (known := endings.get(parts[-1])) is None:
            return None
        try:
            rows += many((parts[_VALUES],))
        except Exception:
            # What cannot be made so is made again in a safer way, which also knows what to say.
            return None
        return known

    return read
