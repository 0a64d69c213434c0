"""COPY's text and CSV formats: rows to bytes and bytes to rows.

PostgreSQL documentation: "COPY", sections "Text Format" and "CSV Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from pgproto._patterns import pattern
from pgproto._session._copy_rows import CopyColumn, check_row, explain
from pgproto._session._copy_sql import CopyOptions
from pgproto.errors import DataError
from pgproto.types._codec import TEXT

__all__ = ["CSVRows", "CSVWriter", "TextRows", "TextWriter"]

_ESCAPES: Final = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}
_UNESCAPES: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_UNESCAPE: Final = pattern(rb"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)


class _Writer:
    """Rows to lines; subclasses say what a field looks like."""

    def __init__(self, options: CopyOptions, columns: Sequence[CopyColumn]) -> None:
        self.columns = columns
        self.count = 0
        self.size = 0
        self.trailer = b""
        self._options = options
        self._encoders = [column.codec.encoder(TEXT) for column in columns]
        names = [self._field(column.name.encode()) for column in columns] if options.header else []
        self.header = self._line(names) if options.header else b""

    def fill(self, rows: Iterable[object], out: list[bytes], limit: int) -> bool:
        """As `RowWriter` has it."""
        enough = self.size + limit
        for row in rows:
            line = self._line(self._fields(row))
            out.append(line)
            self.count += 1
            self.size += len(line)
            if self.size >= enough:
                return False
        return True

    def _fields(self, row: object) -> list[bytes]:
        number = self.count + 1
        values = check_row(row, len(self._encoders), number)
        fields: list[bytes] = []
        for column, encode, value in zip(self.columns, self._encoders, values, strict=True):
            try:
                fields.append(self._options.null if value is None else self._field(encode(value)))
            except DataError as error:
                raise explain(error, number, column) from error
        return fields

    def _line(self, fields: Sequence[bytes]) -> bytes:
        return self._options.delimiter.join(fields) + b"\n"

    def _field(self, data: bytes) -> bytes:
        raise NotImplementedError


class TextWriter(_Writer):
    """Rows in text format."""

    def __init__(self, options: CopyOptions, columns: Sequence[CopyColumn]) -> None:
        self._special = re.compile(rb"[\\\n\r\t" + re.escape(options.delimiter) + rb"]")
        self._markers = frozenset({options.null, options.default})
        super().__init__(options, columns)

    def _field(self, data: bytes) -> bytes:
        field = self._special.sub(_escaped, data)
        if field not in self._markers:
            return field
        # The server looks for these before it takes escapes away.
        if not field:
            raise DataError(
                "an empty string cannot be told from NULL (or the default) where that is '' in text format"
            )
        return b"\\x%02x" % field[0] + field[1:]


def _escaped(match: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(match[0]) or b"\\" + match[0]


class CSVWriter(_Writer):
    """Rows in CSV format; all values are in quotes, so that none is taken for NULL or the end of data."""

    def __init__(self, options: CopyOptions, columns: Sequence[CopyColumn]) -> None:
        self._special = re.compile(rb"[" + re.escape(options.quote + options.escape) + rb"]")
        super().__init__(options, columns)

    def _field(self, data: bytes) -> bytes:
        quote, escape = self._options.quote, self._options.escape
        if self._special.search(data):
            data = self._special.sub(lambda match: escape + match[0], data)
        return quote + data + quote


class _Lines:
    """Bytes to rows of text."""

    def __init__(self, options: CopyOptions) -> None:
        self._options = options
        self._skip = options.header

    def take(self, data: bytes, rows: list[object]) -> int:
        """As `RowReader` has it."""
        position = 0
        while (following := self._row_end(data, position)) > position:
            if self._skip:
                self._skip = False
            else:
                rows.append(self._row(data, position, following))
            position = following
        return position

    def finish(self, left: int) -> None:
        """As `RowReader` has it."""
        if left:
            raise DataError(f"the copy data ends in the midst of a row, after {left} bytes of it")

    def _row_end(self, data: bytes, position: int) -> int:
        """Where the row that begins there ends, behind its newline; ``position`` if it is not whole."""
        return data.find(b"\n", position) + 1 or position

    def _row(self, data: bytes, start: int, end: int) -> tuple[str | None, ...]:
        raise NotImplementedError


class TextRows(_Lines):
    """Rows in text format."""

    def __init__(self, options: CopyOptions) -> None:
        super().__init__(options)
        self._field = re.compile(rb"(?:[^\\" + re.escape(options.delimiter) + rb"]++|\\.)*+", re.DOTALL)

    def _row(self, data: bytes, start: int, end: int) -> tuple[str | None, ...]:
        line = data[start : end - 1]
        null = self._options.null
        if b"\\" not in line:
            return tuple([None if raw == null else _text(raw) for raw in line.split(self._options.delimiter)])
        values: list[str | None] = []
        position = 0
        while True:
            match = self._field.match(line, position)
            raw = match[0] if match else b""
            values.append(None if raw == null else _text(_UNESCAPE.sub(_unescaped, raw)))
            position += len(raw) + 1
            if position > len(line):
                return tuple(values)


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 16)])
    if match[2]:
        return bytes([int(match[2], 8) & 0xFF])
    return _UNESCAPES.get(match[3], match[3])


class CSVRows(_Lines):
    """Rows in CSV format, in which a value in quotes may have newlines."""

    def __init__(self, options: CopyOptions) -> None:
        super().__init__(options)
        quote, escape = re.escape(options.quote), re.escape(options.escape)
        self._quote = options.quote
        delimiter = re.escape(options.delimiter)
        if options.quote == options.escape:
            inside = rb"(?:[^" + quote + rb"]++|" + quote + quote + rb")*+"
        else:
            escaped = escape + rb"[" + quote + escape + rb"]"
            inside = rb"(?:[^" + quote + escape + rb"]++|" + escaped + rb"|" + escape + rb")*+"
        self._unescape = re.compile(escape + rb"([" + quote + escape + rb"])")
        self._value = re.compile(
            rb"(?:%b(%b)%b|([^%b%b\n]*+))([%b\n])" % (quote, inside, quote, quote, delimiter, delimiter)
        )

    def _row_end(self, data: bytes, position: int) -> int:
        start = position
        while match := self._value.match(data, position):
            position = match.end()
            if match[3] == b"\n":
                return position
        if data.find(b"\n", position) >= 0 and data.find(self._quote, position) < 0:
            raise DataError("a row of the copy data is not as CSV has it")
        return start

    def _row(self, data: bytes, start: int, end: int) -> tuple[str | None, ...]:
        values: list[str | None] = []
        null = self._options.null
        while start < end and (match := self._value.match(data, start)):
            quoted, plain = match[1], match[2]
            if quoted is not None:
                values.append(_text(self._unescape.sub(rb"\1", quoted)))
            else:
                values.append(None if plain == null else _text(plain))
            start = match.end()
        return tuple(values)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the copy data is not UTF-8 at byte {error.start} of a value") from None
