"""The decoder of one result shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from pgproto._rows._loop import DATA_ROW, decode_row, row_end
from pgproto._rows._source import MAX_COMPILED_COLUMNS, Run, compile_run
from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types._codec import Codec

__all__ = ["Decoder", "Make", "compile_decoder"]

Make: TypeAlias = Callable[[tuple[object, ...]], object]
Decoder: TypeAlias = Callable[[list[object], bytes, int, int], int]
"""``decode(rows, data, start, end)`` appends a row for each whole DataRow message at the beginning of
``data[start:end]`` and returns where it stopped: before the first message of another type, or that is not
whole, or that is wrong. If the very first one is wrong, it raises and has appended nothing:
`RemoteProtocolError` if the row is malformed, `DataError` if a value in it cannot be decoded (then
`skip_rows` steps over it and the rest). So the outcome does not depend on how the bytes were cut."""

_MAX_LENGTH: Final = 0x7FFF_FFFF


def compile_decoder(codecs: Sequence[Codec], make: Make | None = None, longest: int = _MAX_LENGTH) -> Decoder:
    """The decoder for rows whose columns have these codecs.

    Args:
        codecs: one for each column; in the format that was asked for.
        make: makes the row from the tuple of its values; None leaves the tuple. It must not fail.
        longest: the greatest length that a message may have, in bytes.
    """
    return _RowDecoder(codecs, make, longest)


class _RowDecoder:
    """A compiled function for the rows as expected, and the loop for all others."""

    __slots__ = ("_codecs", "_longest", "_make", "_run")

    def __init__(self, codecs: Sequence[Codec], make: Make | None, longest: int) -> None:
        self._codecs = tuple(codecs)
        self._make = make
        self._longest = longest
        self._run: Run | None = None
        if len(self._codecs) <= MAX_COMPILED_COLUMNS:
            self._run = compile_run(self._codecs, make)

    def __call__(self, rows: list[object], data: bytes, start: int, end: int) -> int:
        # A message that is too long does not fit into a chunk that is short enough.
        run = self._run if end - start <= self._longest else None
        position = start if run is None else run(rows, data, start, end)
        while position < end and data[position] == DATA_ROW:
            try:
                following = row_end(data, position, end, self._longest)
                if following == position:
                    break
                values = decode_row(data, position, following, self._codecs)
            except (RemoteProtocolError, DataError):
                if position > start:
                    break
                raise
            rows.append(values if self._make is None else self._make(values))
            position = following if run is None else run(rows, data, following, end)
        return position
