"""Collecting the rows of one result by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from pgproto._columns._column import NumberColumn, new_column
from pgproto._columns._columns import Columns
from pgproto._rows import compile_decoder
from pgproto._rows._alike import alike_counter
from pgproto._rows._loop import DATA_ROW
from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types._codec import Codec, fixed_width

__all__ = ["ColumnCollector"]

_MAX_LENGTH: Final = 0x7FFF_FFFF
_BATCH: Final = 4096
_FEW: Final = 8
_SMALLEST_WINDOW: Final = 32
_WORTH_IT: Final = 4
_HEADER_SIZE: Final = 7


class ColumnCollector:
    """Takes the rows of one result; `take` is to a connection what a row decoder is.

    Args:
        codecs: one for each column; in the format that was asked for.
        longest: the greatest length that a message may have, in bytes.
    """

    __slots__ = ("_alike", "_columns", "_count", "_decode", "_longest", "_numbers", "_step", "_window")

    def __init__(self, codecs: Sequence[Codec], longest: int = _MAX_LENGTH) -> None:
        self._columns = [new_column(codec) for codec in codecs]
        self._decode = compile_decoder([_unconverted(codec) for codec in codecs], None, longest)
        self._count = 0
        # Where the value of each column begins in rows that are all of one length; empty if they are not.
        numbers = [column for column in self._columns if isinstance(column, NumberColumn)]
        self._numbers: list[tuple[int, NumberColumn]] = []
        position = _HEADER_SIZE
        if len(numbers) == len(self._columns):
            for column in numbers:
                self._numbers.append((position + 4, column))
                position += 4 + column.width
        if position - 1 > longest:
            self._numbers = []
        self._step = position
        self._alike = alike_counter([column.width for column in numbers])
        # How many rows to decode one by one, before trying again whether they are alike.
        self._window = _SMALLEST_WINDOW

    def __len__(self) -> int:
        """How many rows have been taken."""
        return self._count

    def take(self, data: bytes, start: int, end: int) -> int:
        """Take the whole DataRow messages at the beginning of ``data[start:end]``; returns where it stopped.

        Raises:
            RemoteProtocolError: the very first row is malformed.
            DataError: a value in the very first row cannot be decoded.
        """
        position = start
        while True:
            if self._numbers:
                position = self._gather(data, position, end)
            if position == end or data[position] != DATA_ROW:
                return position
            rows: list[object] = []
            try:
                following = self._decode_some(rows, data, position, end)
            except (RemoteProtocolError, DataError):
                if position > start:
                    return position
                raise
            if following == position:
                return position
            self._add(cast("list[tuple[object, ...]]", rows))
            position = following

    def finish(self, names: Sequence[str]) -> Columns:
        """The columns, by these names."""
        return Columns(names, self._columns, self._count)

    def _gather(self, data: bytes, position: int, end: int) -> int:
        """Take rows that are alike, by the thousand; stops at the first that is not."""
        step = self._step
        taken = 0
        while end - position >= step * _FEW:
            wanted = min((end - position) // step, _BATCH)
            count = self._alike(data, position, wanted)
            if count:
                stop = position + count * step
                for offset, column in self._numbers:
                    column.gather(data, position + offset, stop, step)
                taken += count
                position = stop
            if count < wanted:
                # The more it was worth, the sooner it is tried again.
                short = taken < _WORTH_IT * self._window
                self._window = min(2 * self._window, _BATCH) if short else _SMALLEST_WINDOW
                break
        self._count += taken
        return position

    def _decode_some(self, rows: list[object], data: bytes, position: int, end: int) -> int:
        """Decode rows one by one: all, or as many as it may take to get over those that are not alike."""
        if self._numbers:
            window = position + self._window * self._step
            if window < end:
                following = self._decode(rows, data, position, window)
                if following > position:
                    return following
        return self._decode(rows, data, position, end)

    def _add(self, rows: list[tuple[object, ...]]) -> None:
        self._count += len(rows)
        for column, values in zip(self._columns, zip(*rows, strict=True), strict=True):
            column.extend(values)


def _unconverted(codec: Codec) -> Codec:
    """The codec of the bare numbers, if that is what a column of it holds."""
    if codec.from_struct is None or not isinstance(new_column(codec), NumberColumn):
        return codec
    return fixed_width(
        codec.oid,
        codec.name,
        codec.struct_format,
        encode=codec.encode,
        encode_text=codec.encode,
        decode_text=codec.decode,
    )
