"""What the compiled functions need to know of a column: its kind.

A kind says how the value is found in the row (a `struct` code for a fixed width, "" for a variable one) and
with which expression it is made. The expressions are ours; what a codec brings along comes in as an argument
of the compiled function, called ``c`` and the number of the column.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import date
from itertools import starmap
from typing import Any, Final, NamedTuple

from pgproto.types._builtin import BUILTIN_CODECS
from pgproto.types._calendar import EPOCH, EPOCH_ORDINAL, EPOCH_UTC, MICROSECOND
from pgproto.types._codec import BINARY, Codec

__all__ = ["NAMES", "NULL", "Kind", "converter_of", "is_text", "kind_of"]


class Kind(NamedTuple):
    """How the values of a column are decoded."""

    code: str
    """The `struct` code, or "" for a variable width."""
    expression: str
    """With ``{v}`` for what `struct` unpacked, ``{d}`` for the bytes, ``{c}`` for the converter."""

    @property
    def width(self) -> int:
        """In bytes; only of a fixed width."""
        return struct.calcsize("!" + self.code)


NULL: Final = Kind("0s", "None")
"""In place of the kind of a column that is NULL in all rows."""

_FIXED: Final = frozenset("bBhHiIqQfd?")

_CALLED: Final = Kind("", "{c}({d})")
_TEXT: Final = Kind("", "{d}.decode()")
_BYTES: Final = Kind("", "{d}")
_TIMESTAMP: Final = Kind("q", "epoch + microsecond * {v}")
_TIMESTAMPTZ: Final = Kind("q", "epoch_utc + microsecond * {v}")
_DATE: Final = Kind("i", f"from_ordinal({{v}} + {EPOCH_ORDINAL})")
_UUID: Final = Kind("16s", "{c}({v})")
_CHAR: Final = Kind("B", "characters[{v}]")

_char = BUILTIN_CODECS[18].decode

NAMES: Final[Mapping[str, Any]] = {
    "epoch": EPOCH,
    "epoch_utc": EPOCH_UTC,
    "microsecond": MICROSECOND,
    "from_ordinal": date.fromordinal,
    "starmap": starmap,
    "characters": [_char(bytes([byte])) for byte in range(256)],
}
"""What the expressions use."""

# The functions whose values are all of one width, and those whose work is so little that calling them takes
# as long again. Where an expression fails (a date that `datetime` has not, bytes that are not UTF-8), the row
# is decoded once more, with the function.
_TEXT_CODE: Final = getattr(BUILTIN_CODECS[25].decode, "__code__", None)
_BY_FUNCTION: Final = (
    (BUILTIN_CODECS[1082].from_struct, _DATE),
    (BUILTIN_CODECS[1114].from_struct, _TIMESTAMP),
    (BUILTIN_CODECS[1184].from_struct, _TIMESTAMPTZ),
    (BUILTIN_CODECS[17].decode, _BYTES),
    (BUILTIN_CODECS[2950].decode, _UUID),
    (_char, _CHAR),
)


def kind_of(codec: Codec, inline: bool = True) -> Kind:
    """The kind of a column with this codec.

    ``inline`` allows expressions that fail for values which are in order, if rare.
    """
    if codec.format == BINARY and codec.struct_format in _FIXED:
        if codec.from_struct is None:
            return Kind(codec.struct_format, "{v}")
        known = _by_function(codec.from_struct) if inline else None
        return known or Kind(codec.struct_format, "{c}({v})")
    if is_text(codec):
        return _TEXT
    return _by_function(codec.decode) or _CALLED


def is_text(codec: Codec) -> bool:
    """Whether the values are the UTF-8 that came, and nothing else is made of it."""
    # All the decoders of text share their code.
    return getattr(codec.decode, "__code__", None) is _TEXT_CODE


def _by_function(function: object) -> Kind | None:
    return next((kind for known, kind in _BY_FUNCTION if known is function), None)


def converter_of(codec: Codec) -> Any:
    """What ``{c}`` stands for in the expression of the column's kind."""
    return codec.from_struct if codec.format == BINARY and codec.struct_format in _FIXED else codec.decode
