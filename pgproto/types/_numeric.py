"""numeric: `decimal.Decimal`, exact, with its scale; NaN and the infinities too.

Chapter "Data Types", section "Arbitrary Precision Numbers". The binary form is a count of base-10000 digits,
the weight of the first, a sign, and the scale, followed by the digits (`numeric_send` in PostgreSQL's
source).

Takes a `Decimal` or an `int`, and a `float` as the exact number that it is (0.1 is not one tenth; pass
`Decimal("0.1")` for that). The exponent of an integer longer than 1,000 trailing zeros stays an exponent:
`Decimal("1E+5000")`, equal to the number, and not five thousand zeros that the server never sent.
"""

from __future__ import annotations

import operator
import re
import struct
from decimal import Context, Decimal
from typing import Final

from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value

__all__ = ["NUMERIC_CODEC"]

_HEADER: Final = struct.Struct("!HhHH")
_POSITIVE, _NEGATIVE, _NAN, _PLUS_INFINITY, _MINUS_INFINITY = 0x0000, 0x4000, 0xC000, 0xD000, 0xF000
_SPECIAL: Final = {
    _NAN: Decimal("NaN"),
    _PLUS_INFINITY: Decimal("Infinity"),
    _MINUS_INFINITY: Decimal("-Infinity"),
}
_MAX_SCALE: Final = 16383
_MAX_ADJUSTED: Final = 131071
"""The power of ten of the largest number's first digit."""
_FEW_DIGITS: Final = 8
"""Up to so many base-10000 digits, arithmetic on an int is the fastest way."""
_FREE_ZEROS: Final = 1000
"""So many zeros may always be filled in; PostgreSQL allows no larger scale in a column's definition
either."""
_ZEROS_PER_BYTE: Final = 64
_EXACT: Final = Context(prec=100, traps=[])
_TEXT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?|NaN|-?Infinity")


def _decode(data: bytes, nested: bool) -> Decimal:
    if len(data) < 8:
        raise malformed("numeric", f"{len(data)} bytes, at least 8 expected")
    count, weight, sign, scale = _HEADER.unpack_from(data)
    if len(data) != 8 + 2 * count:
        raise malformed("numeric", f"{len(data)} bytes for {count} digits")
    digits: tuple[int, ...] = struct.unpack_from(f"!{count}H", data, 8)
    if sign not in (_POSITIVE, _NEGATIVE):
        special = _SPECIAL.get(sign)
        if special is None or count:
            raise malformed("numeric", f"sign {sign:#06x} with {count} digits")
        return special
    if scale > _MAX_SCALE:
        raise malformed("numeric", f"scale {scale} is over {_MAX_SCALE}")
    if count and max(digits) > 9999:
        raise malformed("numeric", f"{max(digits)} is no base-10000 digit")
    # The value is the digits, read as one integer, times 10 ** power; it becomes coefficient * 10 ** -scale.
    zeros = 4 * (weight - count + 1) + scale if count else 0
    if zeros > _FREE_ZEROS + _ZEROS_PER_BYTE * len(data):
        return _padded(digits, zeros, sign, scale, nested)
    if count <= _FEW_DIGITS and -3 <= zeros <= 40:
        coefficient = 0
        for digit in digits:
            coefficient = coefficient * 10000 + digit
        if zeros > 0:
            coefficient *= 10**zeros
        elif zeros < 0:
            coefficient, rest = divmod(coefficient, 10**-zeros)
            if rest:
                raise malformed("numeric", f"more digits than its scale of {scale}")
        return _scaled(-coefficient if sign else coefficient, -scale)
    return _long(digits, zeros, sign, scale)


def _scaled(coefficient: int, exponent: int) -> Decimal:
    return _EXACT.scaleb(coefficient, exponent)


def _long(digits: tuple[int, ...], zeros: int, sign: int, scale: int) -> Decimal:
    text = "%04d" * len(digits) % digits
    if zeros > 0:
        text += "0" * zeros
    elif zeros < 0:
        text, rest = text[:zeros], text[zeros:]
        if rest.strip("0"):
            raise malformed("numeric", f"more digits than its scale of {scale}")
    value = Decimal(f"{text or '0'}E-{scale}")
    return value.copy_negate() if sign and value else value


def _padded(digits: tuple[int, ...], zeros: int, sign: int, scale: int, nested: bool) -> Decimal:
    """A value whose few digits stand for very many: a small message must not become a large object."""
    if scale == 0:
        value = Decimal(f"{'%04d' * len(digits) % digits}E{zeros}")
        return value.copy_negate() if sign and value else value
    if nested:
        raise malformed("numeric", f"{zeros} zeros to fill in, inside an array or a row: cast it to text")
    return _long(digits, zeros, sign, scale)


def _decode_value(data: bytes) -> object:
    return _decode(data, nested=False)


def _decode_nested(data: bytes, depth: int) -> object:
    return _decode(data, nested=True)


def _exact(value: object) -> Decimal:
    """The value as a Decimal that a numeric can hold."""
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, float):
        number = Decimal(value)
    else:
        plain = unwrapped(value)
        if plain is not value:
            return _exact(plain)
        try:
            number = Decimal(operator.index(value))  # type: ignore[arg-type]  # it raises TypeError otherwise
        except Exception:
            raise wrong_value("numeric", value, "it takes a Decimal, an int or a float") from None
    if number.is_snan():
        raise wrong_value("numeric", value, "PostgreSQL has no signaling NaN")
    if number.is_finite():
        if number and number.adjusted() > _MAX_ADJUSTED:
            raise wrong_value(
                "numeric", value, f"more than {_MAX_ADJUSTED + 1} digits before the decimal point"
            )
        exponent = number.as_tuple().exponent
        if not number and isinstance(exponent, int) and exponent > 0:
            return Decimal(0)
        if isinstance(exponent, int) and exponent < -_MAX_SCALE:
            raise wrong_value("numeric", value, f"more than {_MAX_SCALE} digits after the decimal point")
    return number


def _encode(value: object) -> bytes:
    number = _exact(value)
    if not number.is_finite():
        sign = _NAN if number.is_nan() else _PLUS_INFINITY if number > 0 else _MINUS_INFINITY
        return _HEADER.pack(0, 0, sign, 0)
    whole, _, fraction = format(number, "f").lstrip("-").partition(".")
    scale = len(fraction)
    whole = whole.lstrip("0")
    # Groups of four decimal digits, counted from the decimal point.
    text = "0" * (-len(whole) % 4) + whole + fraction + "0" * (-scale % 4)
    weight = (len(whole) + 3) // 4 - 1
    digits = [int(text[start : start + 4]) for start in range(0, len(text), 4)]
    first = 0
    while first < len(digits) and digits[first] == 0:
        first += 1
    last = len(digits)
    while last > first and digits[last - 1] == 0:
        last -= 1
    if first == last:
        return _HEADER.pack(0, 0, _POSITIVE, scale)
    sign = _NEGATIVE if number.is_signed() else _POSITIVE
    return struct.pack(
        f"!HhHH{last - first}H", last - first, weight - first, sign, scale, *digits[first:last]
    )


def _encode_text(value: object) -> bytes:
    number = _exact(value)
    if number.is_nan():
        return b"NaN"
    if not number.is_finite():
        return b"Infinity" if number > 0 else b"-Infinity"
    return format(number if number else number.copy_abs(), "f").encode("ascii")


def _decode_text(data: bytes) -> object:
    text = ascii_text("numeric", data)
    if _TEXT.fullmatch(text) is None:
        raise malformed("numeric", f"not a number: {shortened(text)}")
    return Decimal(text)


NUMERIC_CODEC: Final = Codec(
    oid=1700,
    name="numeric",
    format=BINARY,
    encode=_encode,
    decode=_decode_value,
    encode_text=_encode_text,
    decode_text=_decode_text,
    decode_nested=_decode_nested,
)
