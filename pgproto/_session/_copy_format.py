"""Rows and the bytes of COPY: which writer or reader goes with which statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pgproto._session._copy_binary import BinaryRows, BinaryWriter
from pgproto._session._copy_rows import CopyColumn, RowReader, RowWriter
from pgproto._session._copy_sql import CopyOptions, CopyStatement
from pgproto._session._copy_text import CSVRows, CSVWriter, TextRows, TextWriter
from pgproto.errors import DataError

__all__ = ["RowStream", "row_reader", "row_writer"]

_BINARY: Final = 1
_RESCANNED: Final = 64 * 1024


def _options(statement: CopyStatement | None, overall_format: int, verb: str) -> CopyOptions:
    if statement is None:
        raise DataError(f"{verb} does not understand this COPY statement; bytes can be copied all the same")
    if statement.options is None:
        raise DataError(
            f"{verb} cannot tell the format of this COPY: {statement.reason}; "
            "bytes can be copied all the same"
        )
    if (statement.options.format == "binary") is not (overall_format == _BINARY):
        raise DataError(f"{verb} cannot tell the format of this COPY: the server sees it as another")
    return statement.options


def row_writer(
    statement: CopyStatement | None, columns: Sequence[CopyColumn] | None, overall_format: int, count: int
) -> RowWriter:
    """What writes rows for this statement; the server has told the format and the count of columns.

    Raises `DataError` if the statement does not say enough.
    """
    options = _options(statement, overall_format, "write_row()")
    if columns is None:
        raise DataError(
            "write_row() does not know the types of the columns; bytes can be copied all the same"
        )
    if len(columns) != count:
        # Generated columns are of the table, but not of a COPY that does not name its columns.
        raise DataError(
            f"the table has {len(columns)} columns and the copy {count}; name the columns in the COPY"
        )
    match options.format:
        case "binary":
            return BinaryWriter(columns)
        case "csv":
            return CSVWriter(options, columns)
        case "text":
            return TextWriter(options, columns)


def row_reader(
    statement: CopyStatement | None, columns: Sequence[CopyColumn] | None, overall_format: int, count: int
) -> RowReader:
    """What reads the rows of this statement, as `row_writer` writes them."""
    options = _options(statement, overall_format, "rows()")
    if options.format == "csv":
        return CSVRows(options)
    if options.format == "text":
        return TextRows(options)
    if columns is None:
        raise DataError("rows() does not know the types of the columns")
    if len(columns) != count:
        raise DataError(
            f"the table has {len(columns)} columns and the copy {count}; name the columns in the COPY"
        )
    return BinaryRows(columns)


class RowStream:
    """The rows of copy data that comes in pieces, cut anywhere."""

    __slots__ = ("_left", "_reader", "_wanted")

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        self._left = b""
        self._wanted = 0

    def feed(self, chunk: bytes) -> list[object]:
        """The rows that are whole with this piece."""
        data = self._left + chunk if self._left else chunk
        rows: list[object] = []
        if len(data) < self._wanted:
            self._left = data
            return rows
        self._left = data[self._reader.take(data, rows) :]
        # A row that is longer than its pieces is not looked through again for each of them.
        self._wanted = 2 * len(self._left) if len(self._left) > _RESCANNED else 0
        return rows

    def finish(self) -> list[object]:
        """There is no more: the rows that are left. Raises `DataError` if they are not whole."""
        rows: list[object] = []
        left = self._left[self._reader.take(self._left, rows) :] if self._left else b""
        self._left = b""
        self._reader.finish(len(left))
        return rows
