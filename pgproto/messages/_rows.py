"""DataRow, and DataRows: a run of them that arrived together.

A result of a million rows must not become a million events. Consecutive DataRow messages of one
chunk go up as one sequence over the bytes as they came, and become `DataRow` objects only when
somebody asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final, Self, overload

from pgproto._wire import Reader, Writer
from pgproto.errors import RemoteProtocolError
from pgproto.messages._base import Message

__all__ = ["DataRow", "DataRows", "check_row", "scan_rows"]

_ROW_HEADER: Final = struct.Struct("!BIH")
_LENGTH: Final = struct.Struct("!i")
_DATA_ROW: Final = 0x44


class DataRow(Message):
    """One row: ``values`` in the order of the columns, each bytes or None for NULL."""

    __slots__ = ("values",)

    tag: ClassVar[bytes] = b"D"

    def __init__(self, values: Iterable[bytes | None] = ()) -> None:
        self.values: tuple[bytes | None, ...] = tuple(values)

    def __eq__(self, other: object) -> bool:
        return self.values == other.values if isinstance(other, DataRow) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.values)

    def __repr__(self) -> str:
        return f"DataRow(values={self.values!r})"

    def write_body(self, writer: Writer) -> None:
        writer.uint16(len(self.values))
        for value in self.values:
            writer.value(value)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls([reader.value() for _ in range(reader.uint16())])


class DataRows(Message, Sequence[DataRow]):
    """A sequence of the DataRow messages that arrived one after the other.

    How many rows come together depends on how the network cut the stream, so only the rows
    themselves mean something, never their grouping.
    """

    __slots__ = ("_data", "_starts")

    tag: ClassVar[bytes] = b"D"

    def __init__(self, data: bytes, starts: Sequence[int]) -> None:
        self._data = data
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def column_counts(self) -> set[int]:
        """How many columns the rows have: one number, for rows that a `Connection` has received."""
        unpack = _ROW_HEADER.unpack_from
        return {unpack(self._data, start)[2] for start in self._starts}

    @overload
    def __getitem__(self, index: int) -> DataRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[DataRow]: ...
    def __getitem__(self, index: int | slice) -> DataRow | list[DataRow]:
        if isinstance(index, slice):
            return [self._row(start) for start in self._starts[index]]
        return self._row(self._starts[index])

    def __iter__(self) -> Iterator[DataRow]:
        return map(self._row, self._starts)

    def _row(self, start: int) -> DataRow:
        _, length, _ = _ROW_HEADER.unpack_from(self._data, start)
        return DataRow.read_body(Reader(self._data, start + 5, start + 1 + length, "DataRow"))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, DataRows) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<DataRows of {len(self)}>"

    def encode(self) -> bytes:
        """All the messages, as they came."""
        return self._data


def check_row(data: bytes, start: int, end: int) -> int:
    """Check that the DataRow message of ``data[start:end]`` is well formed; returns its column count.

    Raises `RemoteProtocolError`.
    """
    position = start + 7
    if position > end:
        raise RemoteProtocolError("DataRow is malformed: it has no column count")
    columns = (data[start + 5] << 8) | data[start + 6]
    unpack_length = _LENGTH.unpack_from
    for _ in range(columns):
        if end - position < 4:
            raise RemoteProtocolError(f"DataRow is malformed: it ends before its {columns} columns do")
        length: int = unpack_length(data, position)[0]
        position += 4
        if length > 0:
            position += length
        elif length < -1:
            raise RemoteProtocolError(f"DataRow is malformed: a value has length {length}")
    if position != end:
        raise RemoteProtocolError(f"DataRow is malformed: its {columns} columns do not fill it exactly")
    return columns


def scan_rows(data: bytes, position: int, end: int, limit: int, columns: int | None) -> tuple[list[int], int]:
    """Find the run of whole DataRow messages that starts at ``position``.

    Returns where each begins, counted from ``position``, and where the run ends: before the first that
    is not well formed, longer than ``limit`` bytes, or not of ``columns`` columns (None: as many as the
    first). If that is the very first one, `RemoteProtocolError` says what is wrong with it.
    """
    starts: list[int] = []
    first = position
    while end - position >= 7 and data[position] == _DATA_ROW:
        _, length, count = _ROW_HEADER.unpack_from(data, position)
        following = position + 1 + length
        if following > end:
            break
        try:
            if not 6 <= length <= limit:
                raise RemoteProtocolError(
                    f"DataRow claims a length of {length} bytes; 6 to {limit} are possible"
                )
            if columns is not None and count != columns:
                raise RemoteProtocolError(f"a row of {count} columns in a result of {columns}")
            check_row(data, position, following)
        except RemoteProtocolError:
            if starts:
                break
            raise
        columns = count
        starts.append(position - first)
        position = following
    return starts, position
