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
import struct
from decimal import Context, Decimal
from typing import Final

from pgproto._patterns import pattern
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
_NOT_SIGN: Final = 0xBFFF
"""The bits of the sign's field that numbers leave at zero."""
_LARGEST_DIGIT: Final = 9999
_FEW_ZEROS: Final = 40
_POWERS: Final = tuple([10**power for power in range(_FEW_ZEROS + 1)])
_LAYOUTS: Final = tuple([struct.Struct(f"!HhHH{count}H") for count in range(9)])
_SMALL: Final = {layout.size: layout.unpack for layout in _LAYOUTS}
"""Up to so many digits, by the length of the message: arithmetic on an int is the fastest way then."""
_FEW_CHARACTERS: Final = 28
"""A number that is written with so many, padded with up to three zeros, has eight digits at the most."""
_FREE_ZEROS: Final = 1000
"""So many zeros may always be filled in; PostgreSQL allows no larger scale in a column's definition
either."""
_ZEROS_PER_BYTE: Final = 64
_EXACT: Final = Context(prec=100, traps=[])
_TEXT = pattern(r"-?[0-9]+(?:\.[0-9]+)?|NaN|-?Infinity")


def _decode(data: bytes, nested: bool) -> Decimal:
    small = _SMALL.get(len(data))
    if small is not None:
        count, weight, sign, scale, *digits = small(data)
        zeros = 4 * (weight - count + 1) + scale
        if (
            count == len(digits)
            and scale <= _MAX_SCALE
            and sign & _NOT_SIGN == 0
            and -4 < zeros <= _FEW_ZEROS
        ):
            coefficient = 0
            for digit in digits:
                if digit > _LARGEST_DIGIT:
                    break
                coefficient = coefficient * 10_000 + digit
            else:
                if zeros >= 0:
                    coefficient *= _POWERS[zeros]
                else:
                    coefficient, rest = divmod(coefficient, _POWERS[-zeros])
                    if rest:
                        raise malformed("numeric", f"more digits than its scale of {scale}")
                return _EXACT.scaleb(-coefficient if sign else coefficient, -scale)
    return _decode_any(data, nested)


def _decode_any(data: bytes, nested: bool) -> Decimal:
    """The long way: large numbers, numbers of many digits, those that are none, and what is malformed."""
    if len(data) < _HEADER.size:
        raise malformed("numeric", f"{len(data)} bytes, at least {_HEADER.size} expected")
    count, weight, sign, scale = _HEADER.unpack_from(data)
    if len(data) != _HEADER.size + 2 * count:
        raise malformed("numeric", f"{len(data)} bytes for {count} digits")
    digits: tuple[int, ...] = struct.unpack_from(f"!{count}H", data, _HEADER.size)
    if sign & _NOT_SIGN:
        special = _SPECIAL.get(sign)
        if special is None or count:
            raise malformed("numeric", f"sign {sign:#06x} with {count} digits")
        return special
    if scale > _MAX_SCALE:
        raise malformed("numeric", f"scale {scale} is over {_MAX_SCALE}")
    if count and max(digits) > _LARGEST_DIGIT:
        raise malformed("numeric", f"{max(digits)} is no base-10000 digit")
    # The value is the digits, read as one integer, times 10 ** power; it becomes coefficient * 10 ** -scale.
    zeros = 4 * (weight - count + 1) + scale if count else 0
    if zeros > _FREE_ZEROS + _ZEROS_PER_BYTE * len(data):
        return _padded(digits, zeros, sign, scale, nested)
    return _long(digits, zeros, sign, scale)


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


def _number(value: object) -> Decimal:
    """The value as a Decimal."""
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, float):
        number = Decimal(value)
    else:
        plain = unwrapped(value)
        if plain is not value:
            return _number(plain)
        try:
            number = Decimal(operator.index(value))  # type: ignore[arg-type]  # it raises TypeError otherwise
        except Exception:
            raise wrong_value("numeric", value, "it takes a Decimal, an int or a float") from None
    if number.is_snan():
        raise wrong_value("numeric", value, "PostgreSQL has no signaling NaN")
    return number


def _plain_text(value: object, number: Decimal) -> str:
    """A finite number without an exponent."""
    first = number.adjusted()
    if first > _MAX_ADJUSTED:
        if number:
            why = f"more than {_MAX_ADJUSTED + 1} digits before the decimal point"
            raise wrong_value("numeric", value, why)
        return "0"
    text = format(number, "f") if first >= -_MAX_SCALE else ""
    if not text or (len(text) - text.find(".") - 1 > _MAX_SCALE and "." in text):
        raise wrong_value("numeric", value, f"more than {_MAX_SCALE} digits after the decimal point")
    # There is no negative zero.
    return text if number else text.lstrip("-")


def _encode(value: object) -> bytes:
    if type(value) is Decimal:
        text = str(value)
        if len(text) <= _FEW_CHARACTERS:
            whole, _, fraction = text.partition(".")
            try:
                return _encode_small(int(whole + fraction), len(fraction))
            except ValueError:
                # It is written with an exponent, or not finite.
                ...
    elif type(value) is int and -_POWERS[_FEW_CHARACTERS] < value < _POWERS[_FEW_CHARACTERS]:
        return _encode_small(value, 0)
    return _encode_any(value)


def _encode_small(coefficient: int, scale: int) -> bytes:
    sign = _POSITIVE if coefficient >= 0 else _NEGATIVE
    padding = -scale % 4
    rest = abs(coefficient) * _POWERS[padding]
    weight = -1 - (scale + padding) // 4
    digits: list[int] = []
    while rest:
        rest, digit = divmod(rest, 10_000)
        weight += 1
        if digit or digits:
            digits.append(digit)
    digits.reverse()
    return _LAYOUTS[len(digits)].pack(len(digits), weight if digits else 0, sign, scale, *digits)


def _encode_any(value: object) -> bytes:
    """The long way: numbers of many digits, those that are none, and what is no number yet."""
    number = _number(value)
    if not number.is_finite():
        sign = _NAN if number.is_nan() else _PLUS_INFINITY if number > 0 else _MINUS_INFINITY
        return _HEADER.pack(0, 0, sign, 0)
    text = _plain_text(value, number)
    sign = _POSITIVE
    if text[0] == "-":
        sign, text = _NEGATIVE, text[1:]
    whole, _, fraction = text.partition(".")
    whole = whole.lstrip("0")
    # Groups of four decimal digits, counted from the decimal point.
    text = "0" * (-len(whole) % 4) + whole + fraction + "0" * (-len(fraction) % 4)
    weight = (len(whole) + 3) // 4 - 1
    digits = [int(text[start : start + 4]) for start in range(0, len(text), 4)]
    while digits and digits[-1] == 0:
        digits.pop()
    if digits and digits[0] == 0:
        # Only of a number below one.
        first = next(index for index, digit in enumerate(digits) if digit)
        digits, weight = digits[first:], weight - first
    count = len(digits)
    return struct.pack(f"!HhHH{count}H", count, weight if count else 0, sign, len(fraction), *digits)


def _encode_text(value: object) -> bytes:
    number = _number(value)
    if number.is_nan():
        return b"NaN"
    if not number.is_finite():
        return b"Infinity" if number > 0 else b"-Infinity"
    return _plain_text(value, number).encode("ascii")


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
