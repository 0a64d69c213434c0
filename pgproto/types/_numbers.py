"""Truth values and numbers of a fixed width: bool, the integers, OIDs and transaction ids, floats.

Chapter "Data Types", sections "Numeric Types", "Boolean Type" and "Object Identifier Types".

A bool is `True` or `False`, or one of numpy's. Integer types take an `int` or anything with `__index__`
(numpy's integers, say), `True` and `False` among them, and refuse a float. Floating-point types take whatever
has `__float__` or `__index__`: they are inexact by nature, and a float4 is rounded as PostgreSQL itself does.
A number out of the type's range is an error.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import (
    Codec,
    Encode,
    ascii_text,
    encode_member,
    fixed_width,
    malformed,
    shortened,
    unwrapped,
    wrong_value,
)
from pgproto.types._float_text import float4_text, float_text

__all__ = [
    "FLOAT",
    "NUMBER_CODECS",
    "float4_text",
    "float_text",
    "integer_codec",
    "parse_float",
    "parse_integer",
]

_INTEGER = pattern(rb"-?[0-9]{1,20}")
FLOAT: Final = r"-?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?(?:e[-+]?[0-9]{1,3})?|Infinity)|NaN"
"""A regular expression for PostgreSQL's text form of a floating-point number."""
_FLOAT = pattern(FLOAT)
_FLOAT4: Final = struct.Struct("!f")


def parse_integer(name: str, data: bytes, minimum: int, maximum: int) -> int:
    """The integer that PostgreSQL's text form of one stands for."""
    if _INTEGER.fullmatch(data) is None:
        raise malformed(name, f"not an integer: {shortened(data)}")
    value = int(data)
    if not minimum <= value <= maximum:
        raise malformed(name, f"{value} is out of range")
    return value


def integer_codec(oid: int, name: str, code: str, from_struct: Any = None) -> Codec:
    """A codec for integers of the width and sign that the `struct` code says."""
    layout = struct.Struct("!" + code)
    bits = layout.size * 8
    signed = code.islower()
    minimum, maximum = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    pack = layout.pack

    def encode(value: object) -> bytes:
        try:
            return pack(value)
        except struct.error:
            plain = unwrapped(value)
            if plain is not value:
                return encode_member(encode, value, plain)
            raise _refused(value) from None
        except Exception as error:
            # __index__ is the value's own code.
            raise wrong_value(name, value, f"its __index__ failed: {type(error).__name__}") from error

    def _refused(value: object) -> DataError:
        if not hasattr(value, "__index__"):
            return wrong_value(name, value, "it takes an int")
        return wrong_value(name, value, f"out of range, {minimum} to {maximum}")

    def encode_text(value: object) -> bytes:
        return b"%d" % layout.unpack(encode(value))[0]

    def decode_text(data: bytes) -> object:
        value = parse_integer(name, data, minimum, maximum)
        return value if from_struct is None else from_struct(value)

    return fixed_width(
        oid,
        name,
        code,
        encode=encode,
        encode_text=encode_text,
        decode_text=decode_text,
        from_struct=from_struct,
    )


def _encode_bool(value: object) -> bytes:
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    plain = unwrapped(value)
    if plain is not value:
        return encode_member(_encode_bool, value, plain)
    kind = type(value)
    if kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"):
        return b"\x01" if value else b"\x00"
    raise wrong_value("bool", value, "it takes True or False")


def _encode_bool_text(value: object) -> bytes:
    return b"t" if _encode_bool(value) == b"\x01" else b"f"


def _decode_bool_text(data: bytes) -> bool:
    if data == b"t":
        return True
    if data == b"f":
        return False
    raise malformed("bool", f"neither t nor f: {shortened(data)}")


def parse_float(name: str, text: str) -> float:
    """The float that PostgreSQL's text form of one stands for."""
    if _FLOAT.fullmatch(text) is None:
        raise malformed(name, f"not a number: {shortened(text)}")
    return float(text)


def _float_encoder(name: str, layout: struct.Struct) -> Encode:
    pack = layout.pack

    def encode(value: object) -> bytes:
        try:
            return pack(value)
        except (struct.error, OverflowError):
            # struct.error is also what becomes of an exception in the value's own __float__.
            plain = unwrapped(value)
            if plain is not value:
                return encode_member(encode, value, plain)
            why = "out of range" if isinstance(value, (int, float)) else "it takes a float or an int"
            raise wrong_value(name, value, why) from None

    return encode


def _float4_codec() -> Codec:
    encode = _float_encoder("float4", _FLOAT4)

    def encode_text(value: object) -> bytes:
        return float4_text(_FLOAT4.unpack(encode(value))[0]).encode("ascii")

    def decode_text(data: bytes) -> object:
        value = parse_float("float4", ascii_text("float4", data))
        try:
            # The same number as in binary format: its text form is rounded to fewer digits.
            return _FLOAT4.unpack(_FLOAT4.pack(value))[0]
        except OverflowError:
            raise malformed("float4", f"{shortened(data)} is out of range") from None

    return fixed_width(700, "float4", "f", encode=encode, encode_text=encode_text, decode_text=decode_text)


def _float8_codec() -> Codec:
    layout = struct.Struct("!d")
    encode = _float_encoder("float8", layout)

    def encode_text(value: object) -> bytes:
        return float_text(layout.unpack(encode(value))[0]).encode("ascii")

    def decode_text(data: bytes) -> object:
        return parse_float("float8", ascii_text("float8", data))

    return fixed_width(701, "float8", "d", encode=encode, encode_text=encode_text, decode_text=decode_text)


NUMBER_CODECS: Final = (
    fixed_width(
        16, "bool", "?", encode=_encode_bool, encode_text=_encode_bool_text, decode_text=_decode_bool_text
    ),
    integer_codec(21, "int2", "h"),
    integer_codec(23, "int4", "i"),
    integer_codec(20, "int8", "q"),
    integer_codec(26, "oid", "I"),
    integer_codec(28, "xid", "I"),
    integer_codec(29, "cid", "I"),
    integer_codec(5069, "xid8", "Q"),
    _float4_codec(),
    _float8_codec(),
)
