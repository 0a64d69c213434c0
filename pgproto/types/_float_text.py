"""Floats as PostgreSQL writes them: the fewest digits that give the same number again.

So does Python's `repr`, but for two differences: where the exponent begins, and that PostgreSQL does not
content itself with digits that are exactly halfway to the next number, which readers round to the even one.
"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

__all__ = ["float4_text", "float_text"]

_FLOAT4: Final = struct.Struct("!f")
_BITS4: Final = struct.Struct("!I")
_MANTISSA4: Final = 0x7F_FFFF
_LARGEST4: Final = 0x7F7F_FFFF
_WHOLE: Final = 2.0**53
"""From here on all floats are whole numbers; below it, no number halfway between two has few digits."""
_ENOUGH: Final = 17
_ENOUGH4: Final = 9
_EXACT: Final = Context(prec=1200, traps=[])


def float_text(value: float) -> str:
    """A float8 as PostgreSQL writes it."""
    if not math.isfinite(value):
        return _not_finite(value)
    text = repr(value)
    if abs(value) >= _WHOLE:
        below, above = math.nextafter(value, -math.inf), math.nextafter(value, math.inf)
        number = int(Decimal(text))
        if math.isfinite(below + above) and 2 * number in (int(value) + int(below), int(value) + int(above)):
            text = _shortest(value, below, above, _ENOUGH)
    return _arranged(text, 15)


def float4_text(value: float) -> str:
    """A float4 as PostgreSQL writes it; `value` must be one, or is rounded to one."""
    try:
        exact: float = _FLOAT4.unpack(_FLOAT4.pack(value))[0]
    except OverflowError:
        return float_text(value)
    if not math.isfinite(exact) or exact == 0:
        return _arranged(repr(exact), 6) if exact == 0 else _not_finite(exact)
    size = abs(exact)
    sign = "-" if exact < 0 else ""
    (bits,) = _BITS4.unpack(_FLOAT4.pack(size))
    below: float = _FLOAT4.unpack(_BITS4.pack(bits - 1))[0]
    above: float = 2 * size - below if bits == _LARGEST4 else _FLOAT4.unpack(_BITS4.pack(bits + 1))[0]
    if bits & _MANTISSA4 == 0:
        # A power of two has neighbours at different distances.
        return sign + _arranged(_shortest(size, below, above, _ENOUGH4), 6)
    for digits in range(1, _ENOUGH4):
        text = f"{size:.{digits}g}"
        if (below + size) / 2 < float(text) < (size + above) / 2:
            return sign + _arranged(text, 6)
    return sign + _arranged(f"{size:.{_ENOUGH4}g}", 6)


def _not_finite(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _shortest(value: float, below: float, above: float, enough: int) -> str:
    """The fewest digits of a number that is nearer to the value than to either neighbour."""
    exact = Decimal(value)
    low = _EXACT.divide(_EXACT.add(exact, Decimal(below)), Decimal(2))
    high = _EXACT.divide(_EXACT.add(exact, Decimal(above)), Decimal(2))
    for digits in range(1, enough):
        rounded = [
            Context(prec=digits, rounding=rounding, traps=[]).create_decimal(exact)
            for rounding in (ROUND_FLOOR, ROUND_CEILING)
        ]
        inside = [number for number in rounded if low < number < high]
        if inside:
            nearest = min(inside, key=lambda number: abs(_EXACT.subtract(number, exact)))
            return f"{nearest:e}"
    return f"{value:.{enough}g}"


def _arranged(text: str, fixed_digits: int) -> str:
    """The digits of a finite number as PostgreSQL arranges them.

    Args:
        text: the number, as Python writes it.
        fixed_digits: from so many digits before the decimal point on, there is an exponent.
    """
    sign = "-" if text[0] == "-" else ""
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The power of ten of the first digit.
    power = len(whole) - 1 - (len(whole + fraction) - len(digits)) + int(exponent or "0")
    digits = digits.rstrip("0")
    if not digits:
        return sign + "0"
    if not -4 <= power < fixed_digits:
        point = "." if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}{digits[1:]}e{power:+03d}"
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    if len(digits) <= power + 1:
        return sign + digits.ljust(power + 1, "0")
    return f"{sign}{digits[: power + 1]}.{digits[power + 1 :]}"
