"""The text form of rows, `(1,"a b",)`, and the quoting that ranges share with it.

Chapter "Data Types", section "Composite Types", "Composite Type Input and Output Syntax". Quotes and
backslashes are doubled, and nothing at all between two commas is NULL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgproto._patterns import pattern
from pgproto.types._codec import malformed, shortened

__all__ = ["BOUND", "field_of", "field_text", "parse_row", "row_text"]

_BARE = pattern(rb"[A-Za-z0-9_.+:-]+")
_SPECIAL = pattern(rb'(["\\])')

_QUOTED = rb'"((?:[^"\\]++|""|\\\\)*+)"'
_FIELD = pattern(_QUOTED + rb'|([^"\\,()]++)')
BOUND = pattern(_QUOTED + rb'|([^"\\,()\[\]]++)')
"""A bound of a range that is there: quoted, or bare, without any kind of bracket."""


def field_text(text: bytes) -> bytes:
    """A field or bound, quoted where it has to be."""
    return text if _BARE.fullmatch(text) else b'"' + _SPECIAL.sub(rb"\1\1", text) + b'"'


def _unquoted(text: bytes) -> bytes:
    """What is between the outer quotes, with the inner ones and the backslashes single again."""
    return text.replace(b'""', b'"').replace(b"\\\\", b"\\")


def row_text(fields: Iterable[bytes | None]) -> bytes:
    """The text form of a row of these fields, None for NULL."""
    return b"(" + b",".join([b"" if field is None else field_text(field) for field in fields]) + b")"


def field_of(match: re.Match[bytes]) -> bytes:
    """The text of a field that was found."""
    return _unquoted(match[1]) if match[2] is None else match[2]


def parse_row(name: str, data: bytes) -> list[bytes | None]:
    """The texts of the fields, None for NULL. `()` is a row of one NULL, or of no fields."""
    fields: list[bytes | None] = []
    position = 1
    if data[:1] != b"(":
        raise malformed(name, f"no row: {shortened(data)}")
    while True:
        match = _FIELD.match(data, position)
        fields.append(None if match is None else field_of(match))
        position = position if match is None else match.end()
        mark = data[position : position + 1]
        position += 1
        if mark == b")" and position == len(data):
            return fields
        if mark != b",":
            raise malformed(name, f"no row at byte {position - 1}: {shortened(data)}")
