"""Copy data from the server, which sends a message for each row: many of them read at one go.

In COPY's text formats no data holds a zero byte, so the headers of the messages stand out: a type and two
zeros or more. There a regular expression cuts the messages out, and whether each is as long as its header
says is checked for all at once.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from pgproto._patterns import pattern

__all__ = ["CopyDataReader"]

_HEADER: Final = struct.Struct("!BI")
_HEADER_SIZE: Final = 5
_COPY_DATA: Final = b"d"[0]
_SHORT: Final = pattern(rb"d\0\0\0(.)", re.DOTALL)
"""The header of a message with less than 256 bytes; its last byte is the length."""
_LONGEST_SHORT: Final = 255
_FEW: Final = 1024
"""So many bytes are not worth it."""

# A length counts itself, four bytes; one that does not is deleted.
_DATA_LENGTHS: Final = bytes([(length - 4) % 256 for length in range(256)])
_TOO_SHORT: Final = bytes(range(4))


class CopyDataReader:
    """Takes the data of messages that come in succession.

    ``text`` is whether zero bytes are not to be expected in the data.
    """

    __slots__ = ("_short",)

    def __init__(self, *, text: bool) -> None:
        self._short = text

    def take(self, data: bytes, start: int, end: int, longest: int) -> tuple[bytes, int]:
        """The data in the whole CopyData messages that ``data[start:end]`` begins with, and where they end.

        A message that claims a length over ``longest``, or none that is possible, is left where it is.
        """
        pieces: list[bytes] = []
        if self._short and end - start > _FEW and longest >= _LONGEST_SHORT:
            pieces, start = self._take_short(data, start, end)
        add, header = pieces.append, _HEADER.unpack_from
        while end - start >= _HEADER_SIZE:
            tag, length = header(data, start)
            following = start + 1 + length
            if tag != _COPY_DATA or not 4 <= length <= longest or following > end:
                break
            add(data[start + _HEADER_SIZE : following])
            start = following
        return b"".join(pieces), start

    def _take_short(self, data: bytes, start: int, end: int) -> tuple[list[bytes], int]:
        """All messages but the last if each is a short one, else none; other messages may follow the last."""
        before, *found = _SHORT.split(data[start:end])
        lengths, pieces = found[:-2:2], found[1:-2:2]
        if not before and pieces:
            claimed = b"".join(lengths).translate(_DATA_LENGTHS, _TOO_SHORT)
            if claimed == _lengths(pieces):
                return pieces, end - len(found[-1]) - _HEADER_SIZE
        self._short = False
        return [], start


def _lengths(pieces: list[bytes]) -> bytes:
    """The length of each, as a byte; nothing if one is too long for that."""
    try:
        return bytes(map(len, pieces))
    except ValueError:
        return b""
