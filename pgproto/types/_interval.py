"""`Interval`: months, days and microseconds, kept apart as PostgreSQL keeps them.

Chapter "Data Types", section "Date/Time Types". An interval always decodes to an `Interval`, never sometimes
to a `timedelta`: a month is no fixed number of days, nor is a day always 24 hours, and a type that depends on
the value is a trap. `Interval.as_timedelta()` converts where that loses nothing. Parameters may be an
`Interval` or a `timedelta`.
"""

from __future__ import annotations

import struct
from datetime import timedelta
from functools import total_ordering
from typing import ClassVar, Final

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value
from pgproto.types._value import Value, integer_within, slot_setter

__all__ = ["INTERVAL_CODEC", "Interval"]

_LAYOUT: Final = struct.Struct("!qii")
_INT32_MAX, _INT64_MAX = 2**31 - 1, 2**63 - 1
_INT32_MIN, _INT64_MIN = -(2**31), -(2**63)
_DAY: Final = 86_400_000_000
_MONTH: Final = 30 * _DAY
_TEXT = pattern(
    r"(?:([-+]?[0-9]{1,10}) years? ?)?(?:([-+]?[0-9]{1,10}) mons? ?)?(?:([-+]?[0-9]{1,10}) days? ?)?"
    r"(?:([-+]?)([0-9]{1,10}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?)?"
)


@total_ordering
class Interval(Value):
    """A span of time as PostgreSQL has it; immutable.

    Two are equal if all three parts are: one month is not 30 days here. They are ordered as PostgreSQL orders
    them, which takes a month for 30 days and a day for 24 hours; where that makes no difference, by their
    parts.

    `str()` gives PostgreSQL's own text form (with `IntervalStyle = postgres`): "1 year 2 mons 3 days
    04:05:06".

    Args:
        months: years are twelve of them.
        days: of whatever length daylight saving gives them.
        microseconds: hours, minutes and seconds.

    Raises:
        DataError: a part is out of range: 32 bits for months and days, 64 for microseconds.
    """

    __slots__ = ("months", "days", "microseconds")  # noqa: RUF023  # the constructor's order

    months: int
    days: int
    microseconds: int

    infinity: ClassVar[Interval]
    """Longer than any other; PostgreSQL 17 and later."""
    negative_infinity: ClassVar[Interval]
    """Shorter than any other; PostgreSQL 17 and later."""

    def __init__(self, months: int = 0, days: int = 0, microseconds: int = 0) -> None:
        if not (
            integer_within(months, _INT32_MIN, _INT32_MAX)
            and integer_within(days, _INT32_MIN, _INT32_MAX)
            and integer_within(microseconds, _INT64_MIN, _INT64_MAX)
        ):
            raise DataError(
                f"an interval of {shortened(months)} months, {shortened(days)} days and "
                f"{shortened(microseconds)} microseconds is out of range"
            )
        _set_months(self, months)
        _set_days(self, days)
        _set_microseconds(self, microseconds)

    @classmethod
    def from_timedelta(cls, value: timedelta) -> Interval:
        """The same span: days stay days, the rest becomes microseconds, and both have the same sign."""
        days, microseconds = value.days, value.seconds * 1_000_000 + value.microseconds
        if days < 0 and microseconds:
            # A timedelta of minus one hour is minus one day and 23 hours.
            return cls(0, days + 1, microseconds - _DAY)
        return cls(0, days, microseconds)

    @property
    def is_infinite(self) -> bool:
        """True for `Interval.infinity` and `Interval.negative_infinity`."""
        return self == Interval.infinity or self == Interval.negative_infinity

    def as_timedelta(self) -> timedelta:
        """The same span as a `timedelta`, with a day for 24 hours.

        Raises:
            DataError: it has months, is infinite, or is more than a `timedelta` can hold.
        """
        if self.months:
            raise DataError(f"the interval {self} has months, or is infinite: no timedelta is the same")
        try:
            return timedelta(self.days, 0, self.microseconds)
        except OverflowError:
            raise DataError(f"the interval {self} is out of the range of timedelta") from None

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Interval):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple[int, int, int, int]:
        span = self.months * _MONTH + self.days * _DAY + self.microseconds
        return span, self.months, self.days, self.microseconds

    def __bool__(self) -> bool:
        return bool(self.months or self.days or self.microseconds)

    def __str__(self) -> str:
        if self == Interval.infinity:
            return "infinity"
        if self == Interval.negative_infinity:
            return "-infinity"
        parts: list[str] = []
        before = False
        years, months = _truncated(self.months, 12)
        for number, unit in ((years, "year"), (months, "mon"), (self.days, "day")):
            if number:
                # A positive part says so behind a negative one.
                sign = "+" if before and number > 0 else ""
                parts.append(f"{sign}{number} {unit}{'' if number == 1 else 's'}")
                before = number < 0
        if self.microseconds or not parts:
            seconds, fraction = divmod(abs(self.microseconds), 1_000_000)
            sign = "-" if self.microseconds < 0 else "+" if before else ""
            tail = f".{fraction:06d}".rstrip("0") if fraction else ""
            parts.append(f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tail}")
        return " ".join(parts)

    @classmethod
    def parse(cls, text: str) -> Interval:
        """The interval that `str()`, or PostgreSQL with `IntervalStyle = postgres`, wrote.

        Raises:
            DataError: the text is in another style, or out of range.
        """
        if text == "infinity":
            return cls.infinity
        if text == "-infinity":
            return cls.negative_infinity
        match = _TEXT.fullmatch(text) if text else None
        if match is None or text[-1] == " ":
            raise malformed("interval", f"not in the style postgres of IntervalStyle: {shortened(text)}")
        years, months, days, sign, hours, minutes, seconds, fraction = match.groups(default="0")
        microseconds = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1_000_000
        microseconds += int(fraction.ljust(6, "0"))
        return cls(int(years) * 12 + int(months), int(days), -microseconds if sign == "-" else microseconds)


def _truncated(value: int, divisor: int) -> tuple[int, int]:
    """Division as C does it: towards zero."""
    quotient, rest = divmod(abs(value), divisor)
    return (-quotient, -rest) if value < 0 else (quotient, rest)


_new = object.__new__
_set_months = slot_setter(Interval, "months")
_set_days = slot_setter(Interval, "days")
_set_microseconds = slot_setter(Interval, "microseconds")

Interval.infinity = Interval(_INT32_MAX, _INT32_MAX, _INT64_MAX)
Interval.negative_infinity = Interval(_INT32_MIN, _INT32_MIN, _INT64_MIN)


def _decode(data: bytes) -> object:
    try:
        microseconds, days, months = _LAYOUT.unpack(data)
    except struct.error:
        raise malformed("interval", f"{len(data)} bytes instead of 16") from None
    value = _new(Interval)
    _set_months(value, months)
    _set_days(value, days)
    _set_microseconds(value, microseconds)
    return value


def _interval(value: object) -> Interval:
    if isinstance(value, Interval):
        return value
    if isinstance(value, timedelta):
        return Interval.from_timedelta(value)
    plain = unwrapped(value)
    if plain is not value:
        return _interval(plain)
    raise wrong_value("interval", value, "it takes an Interval or a datetime.timedelta")


def _encode(value: object) -> bytes:
    interval = _interval(value)
    return _LAYOUT.pack(interval.microseconds, interval.days, interval.months)


def _encode_text(value: object) -> bytes:
    return str(_interval(value)).encode("ascii")


def _decode_text(data: bytes) -> object:
    return Interval.parse(ascii_text("interval", data))


INTERVAL_CODEC: Final = Codec(
    oid=1186,
    name="interval",
    format=BINARY,
    encode=_encode,
    decode=_decode,
    encode_text=_encode_text,
    decode_text=_decode_text,
)
