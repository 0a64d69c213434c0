"""COPY's binary format: rows to bytes, by a function that is made for the columns, and bytes to rows.

PostgreSQL documentation: "COPY", section "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pgproto._session._copy_rows import CopyColumn, check_row, explain
from pgproto._session._packer import Packer
from pgproto._session._packing import Fill, Frame
from pgproto.errors import DataError
from pgproto.types._codec import BINARY

__all__ = ["HEADER", "TRAILER", "BinaryRows", "BinaryWriter"]

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
HEADER: Final = _SIGNATURE + bytes(8)
"""Signature, no flags, and no extension."""
TRAILER: Final = b"\xff\xff"
"""Where a row's count of fields would be: -1."""

_INT16: Final = struct.Struct("!h")
_UINT16: Final = struct.Struct("!H")
_INT32: Final = struct.Struct("!i")
_NULL: Final = _INT32.pack(-1)
_MAX_EXTENSION: Final = 1024 * 1024


class BinaryWriter:
    """Rows to bytes in binary format."""

    def __init__(self, columns: Sequence[CopyColumn]) -> None:
        self.columns = columns
        self.header = HEADER
        self.trailer = TRAILER
        self.count = 0
        self.size = 0
        self._encoders = [_encoder(column) for column in columns]
        self._head = _UINT16.pack(len(columns))
        self._packer = Packer(self._encoders, Frame(self._head))
        self._fill: Fill | None = None

    def fill(self, rows: Iterable[object], out: list[bytes], limit: int) -> bool:
        """As `RowWriter` has it."""
        fill = self._fill
        if fill is None:
            fill = self._fill = self._packer.fill()
        return fill(rows, out, limit, self._slow, self._check, self._note)

    def _note(self, count: int, size: int) -> None:
        self.count += count
        self.size += size

    def _check(self, row: object) -> tuple[object, ...]:
        return check_row(row, len(self._encoders), 0)

    def _slow(self, row: object, out: list[bytes], already: int) -> int:
        """Append one row, looking at everything."""
        number = self.count + already + 1
        values = check_row(row, len(self._encoders), number)
        parts = [self._head]
        for column, encode, value in zip(self.columns, self._encoders, values, strict=True):
            if value is None:
                parts.append(_NULL)
                continue
            try:
                data = encode(value)
                parts.append(_INT32.pack(len(data)))
            except (DataError, struct.error) as error:
                raise explain(error, number, column) from error
            parts.append(data)
        out += parts
        if self._packer.missed(values):
            self._fill = None
        return sum(map(len, parts))


def _encoder(column: CopyColumn) -> Callable[[object], bytes]:
    try:
        return column.codec.encoder(BINARY)
    except DataError as error:
        raise DataError(f"column {column.name!r}: {error}; COPY in text format can") from None


class BinaryRows:
    """Bytes in binary format to rows; they come in pieces, cut anywhere."""

    def __init__(self, columns: Sequence[CopyColumn]) -> None:
        self._columns = columns
        self._decoders = [column.codec.decoder(BINARY) for column in columns]
        self._begun = False
        self._ended = False
        self._number = 0

    def take(self, data: bytes, rows: list[object]) -> int:
        """Append the rows at the beginning of the data; returns where the first begins that is not whole."""
        position = 0
        if not self._begun:
            position = self._take_header(data)
            if not position:
                return 0
        while not self._ended:
            following = self._take_row(data, position, rows)
            if following == position:
                break
            position = following
        if self._ended and position < len(data):
            raise DataError(f"{len(data) - position} bytes follow the end of the copy data")
        return position

    def finish(self, left: int) -> None:
        """There is no more data; ``left`` bytes of it were not a whole row."""
        if left or not self._ended:
            raise DataError("the copy data ends without a trailer, in the midst of a row")

    def _take_header(self, data: bytes) -> int:
        size = len(HEADER)
        if len(data) < size:
            return 0
        if not data.startswith(_SIGNATURE):
            raise DataError("the copy data does not begin as COPY's binary format does")
        flags, extension = struct.unpack_from("!Ii", data, len(_SIGNATURE))
        if flags & 0xFFFF_0000 or not 0 <= extension <= _MAX_EXTENSION:
            raise DataError("the copy data is in a variant of COPY's binary format that is not known")
        if len(data) < size + extension:
            return 0
        self._begun = True
        return size + int(extension)

    def _take_row(self, data: bytes, position: int, rows: list[object]) -> int:
        start, size = position, len(data)
        if position + 2 > size:
            return start
        (count,) = _INT16.unpack_from(data, position)
        position += 2
        if count == -1:
            self._ended = True
            return position
        if count != len(self._decoders):
            raise DataError(f"a row of {count} fields in a copy of {len(self._decoders)} columns")
        fields: list[bytes | None] = []
        for _ in range(count):
            if position + 4 > size:
                return start
            (length,) = _INT32.unpack_from(data, position)
            position += 4
            if length < -1:
                raise DataError(f"a field of {length} bytes in the copy data")
            if length == -1:
                fields.append(None)
                continue
            if position + length > size:
                return start
            fields.append(data[position : position + length])
            position += length
        self._number += 1
        rows.append(self._decoded(fields))
        return position

    def _decoded(self, fields: list[bytes | None]) -> tuple[object, ...]:
        values: list[object] = []
        for column, decode, each in zip(self._columns, self._decoders, fields, strict=True):
            try:
                values.append(None if each is None else decode(each))
            except DataError as error:
                raise explain(error, self._number, column) from error
        return tuple(values)
