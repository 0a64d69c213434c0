"""COPY's binary format: rows to bytes, by a function that is made for the columns, and bytes to rows.

PostgreSQL documentation: "COPY", section "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from pgproto._session._copy_rows import CopyColumn, check_row, explain
from pgproto.errors import DataError
from pgproto.types import Codec
from pgproto.types._builtin import BUILTIN_CODECS
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
_MAX_COMPILED: Final = 128

_NUMBERS: Final = frozenset({20, 21, 23, 26, 700, 701})
"""Types for which `struct` takes and refuses the very values that their codecs do."""
_TEXTS: Final = frozenset({19, 25, 1042, 1043})
_BOOL: Final = 16

_Fill: TypeAlias = Callable[[Iterable[object], list[bytes], int], bool]


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
        self._fill: _Fill | None = None

    def fill(self, rows: Iterable[object], out: list[bytes], limit: int) -> bool:
        """As `RowWriter` has it."""
        if self._fill is None:
            self._fill = self._compiled()
        return self._fill(rows, out, limit)

    def _compiled(self) -> _Fill:
        if len(self.columns) > _MAX_COMPILED:
            return self._fill_slowly
        kinds = tuple([_kind(column.codec) for column in self.columns])
        return _builder(kinds)(self._slow, self._note, check_row, *self._encoders)

    def _note(self, count: int, size: int) -> None:
        self.count += count
        self.size += size

    def _fill_slowly(self, rows: Iterable[object], out: list[bytes], limit: int) -> bool:
        enough = self.size + limit
        for row in rows:
            self.size += self._slow(row, out, 0)
            self.count += 1
            if self.size >= enough:
                return False
        return True

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
        return sum(map(len, parts))


def _encoder(column: CopyColumn) -> Callable[[object], bytes]:
    try:
        return column.codec.encoder(BINARY)
    except DataError as error:
        raise DataError(f"column {column.name!r}: {error}; COPY in text format can") from None


def _kind(codec: Codec) -> str:
    """How a value of the column is packed: by a `struct` code, as "text", or as whatever its codec makes."""
    if BUILTIN_CODECS.get(codec.oid) is codec:
        if codec.oid in _NUMBERS or codec.oid == _BOOL:
            return codec.struct_format
        if codec.oid in _TEXTS:
            return "text"
    return "value"


@lru_cache(maxsize=256)
def _builder(kinds: tuple[str, ...]) -> Callable[..., _Fill]:
    """Compile what packs rows of these kinds of columns.

    All lengths and numbers between two values of variable width go through one `struct.Struct`. A row that is
    anything but expected raises something, and is packed again by the function that looks at everything.
    """
    source = _Source(kinds)
    text = source.text()
    namespace: dict[str, Any] = dict(source.names)
    exec(compile(text, "<copy>", "exec"), namespace)
    builder: Callable[..., _Fill] = namespace["build"]
    return builder


class _Source:
    """The Python source of a packer."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds
        self.names: dict[str, Callable[..., bytes]] = {}
        self._checks: list[str] = []
        self._parts: list[str] = []
        self._sizes: list[str] = []
        self._fixed = 0
        self._codes = "H"
        self._arguments = [str(len(kinds))]

    def text(self) -> str:
        """All of it."""
        for index, kind in enumerate(self._kinds):
            if kind in ("text", "value"):
                self._variable(index, kind)
            else:
                self._number(index, kind)
        self._pack()
        values = "".join([f"v{index}, " for index in range(len(self._kinds))])
        encoders = "".join([f", e{index}" for index in range(len(self._kinds))])
        body = [
            f"{values}= row" if values else "() = row",
            *self._checks,
            f"out += ({', '.join(self._parts)},)",
            f"size += {' + '.join([str(self._fixed), *self._sizes])}",
        ]
        lines = [
            f"def build(slow, note, check{encoders}):",
            "    def fill(rows, out, limit):",
            "        size = count = 0",
            "        try:",
            "            for row in rows:",
            "                if row.__class__ is not tuple and row.__class__ is not list:",
            f"                    row = check(row, {len(self._kinds)}, 0)",
            "                try:",
            *["                    " + line for line in body],
            "                except Exception:",
            "                    size += slow(row, out, count)",
            "                count += 1",
            "                if size >= limit:",
            "                    return False",
            "        finally:",
            "            note(count, size)",
            "        return True",
            "    return fill",
        ]
        return "\n".join(lines)

    def _number(self, index: int, code: str) -> None:
        if code == "?":
            self._checks.append(f"if v{index} is not True and v{index} is not False: raise TypeError")
        self._codes += "i" + code
        self._arguments += [str(struct.calcsize("!" + code)), f"v{index}"]

    def _variable(self, index: int, kind: str) -> None:
        value, data, length = f"v{index}", f"b{index}", f"n{index}"
        self._checks.append(f"if {value} is None: {data} = b''; {length} = -1")
        self._checks.append("else:")
        if kind == "text":
            self._checks.append(
                f"    {data} = {value}.encode() if {value}.__class__ is str else e{index}({value})"
            )
            self._checks.append(f"    if 0 in {data}: e{index}({value})")
        else:
            self._checks.append(f"    {data} = e{index}({value})")
        self._checks.append(f"    {length} = len({data})")
        self._codes += "i"
        self._arguments.append(length)
        self._pack()
        self._parts.append(data)
        self._sizes.append(f"len({data})")

    def _pack(self) -> None:
        """What has come together since the last value of variable width."""
        if self._codes:
            layout = struct.Struct("!" + self._codes)
            name = f"p{len(self.names)}"
            self.names[name] = layout.pack
            self._parts.append(f"{name}({', '.join(self._arguments)})")
            self._fixed += layout.size
        self._codes = ""
        self._arguments = []


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
