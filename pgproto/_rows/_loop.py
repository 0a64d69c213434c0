"""One row at a time, one column at a time, with every byte looked at.

This decodes the rows that the compiled functions do not expect, and finds the words for rows that are wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types._codec import Codec

__all__ = ["DATA_ROW", "decode_row", "row_end", "skip_rows"]

DATA_ROW: Final = 0x44
"""The type byte of DataRow, ``D``."""

_HEADER_SIZE: Final = 7
_SHORTEST: Final = 6
_HEADER: Final = struct.Struct("!Bi")
_COUNT: Final = struct.Struct("!H")
_LENGTH: Final = struct.Struct("!i")


def row_end(data: bytes, start: int, end: int, longest: int) -> int:
    """Where the DataRow message that begins at ``start`` ends.

    ``start`` itself if there is another message, or one that is not whole before ``end``.

    Raises:
        RemoteProtocolError: its length is less than any row can have, or over ``longest``.
    """
    if end - start < 5 or data[start] != DATA_ROW:
        return start
    length: int = _HEADER.unpack_from(data, start)[1]
    if not _SHORTEST <= length <= longest:
        raise RemoteProtocolError(
            f"DataRow claims a length of {length} bytes; {_SHORTEST} to {longest} are possible"
        )
    following = start + 1 + length
    return following if following <= end else start


def decode_row(data: bytes, start: int, end: int, codecs: Sequence[Codec]) -> tuple[object, ...]:
    """The values of the DataRow message that is ``data[start:end]``.

    Raises:
        RemoteProtocolError: the row is malformed, or has another number of columns.
        DataError: a value cannot be decoded; the message tells the number of its column, from 1.
    """
    spans = _spans(data, start, end, len(codecs))
    values: list[object] = []
    for codec, span in zip(codecs, spans, strict=True):
        if span is None:
            values.append(None)
            continue
        try:
            values.append(codec.decode(data[span[0] : span[1]]))
        except DataError as error:
            raise DataError(f"column {len(values) + 1}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            raise DataError(
                f"column {len(values) + 1}: the decoder of type {codec.name} failed: {error!r}"
            ) from error
    return tuple(values)


def _spans(data: bytes, start: int, end: int, columns: int) -> list[tuple[int, int] | None]:
    """Where each value begins and ends, None for NULL; the whole row is checked before any is decoded."""
    count: int = _COUNT.unpack_from(data, start + 5)[0]
    if count != columns:
        raise RemoteProtocolError(f"a row of {count} columns in a result of {columns}")
    position = start + _HEADER_SIZE
    spans: list[tuple[int, int] | None] = []
    for number in range(1, columns + 1):
        if end - position < 4:
            raise RemoteProtocolError(f"DataRow is malformed: it ends before its column {number}")
        length: int = _LENGTH.unpack_from(data, position)[0]
        position += 4
        if length == -1:
            spans.append(None)
        elif 0 <= length <= end - position:
            spans.append((position, position + length))
            position += length
        else:
            raise RemoteProtocolError(
                f"DataRow is malformed: column {number} claims {length} bytes where {end - position} are left"
            )
    if position != end:
        raise RemoteProtocolError(f"DataRow is malformed: {end - position} bytes follow its last column")
    return spans


def skip_rows(data: bytes, start: int, end: int, longest: int = 0x7FFF_FFFF) -> int:
    """Step over the whole DataRow messages at the beginning of ``data[start:end]``.

    It looks at their frames only. Returns where it stopped: before the first message of another type, or
    that is not whole. ``longest`` limits the length field.

    Raises:
        RemoteProtocolError: the first of them has an impossible length.
    """
    position = start
    while True:
        try:
            following = row_end(data, position, end, longest)
        except RemoteProtocolError:
            if position == start:
                raise
            return position
        if following == position:
            return position
        position = following
