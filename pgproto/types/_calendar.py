"""Dates and timestamps that `datetime` cannot hold: before year 1, after year 9999, and infinite.

Chapter "Data Types", section "Date/Time Types"; the calendar is the proleptic Gregorian one, as PostgreSQL's.
PostgreSQL counts days and microseconds from 2000-01-01; so do these types, exactly. They compare with each
other and with the `date` or `datetime` of their kind, and `str()` gives PostgreSQL's own text form, such as
"0044-03-15 BC".
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar, Final, Literal, TypeAlias

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import malformed, shortened
from pgproto.types._value import Value, integer_within

__all__ = [
    "DAY",
    "EPOCH",
    "EPOCH_ORDINAL",
    "EPOCH_UTC",
    "MICROSECOND",
    "DateInfinity",
    "OutOfRangeDate",
    "OutOfRangeTimestamp",
    "OutOfRangeTimestampTZ",
    "TimestampInfinity",
    "TimestampTZInfinity",
    "civil_from_day",
    "day_from_civil",
    "day_text",
    "parse_day",
    "parse_time",
    "time_text",
]

EPOCH: Final = datetime(2000, 1, 1)
EPOCH_UTC: Final = datetime(2000, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = EPOCH.toordinal()
MICROSECOND: Final = timedelta.resolution
DAY: Final = 86_400_000_000
"""In microseconds."""

_DATE = pattern(r"([0-9]{4,7})-([0-9]{2})-([0-9]{2})")
_TIME = pattern(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?")
_FIRST_DAY, _LAST_DAY = -2_451_545, 2_145_031_948
"""4714-11-24 BC and 5874897-12-31, the ends of PostgreSQL's calendar."""
_FIRST_MICROSECOND, _LAST_MICROSECOND = _FIRST_DAY * DAY, 9_223_371_331_200_000_000 - 1
"""4714-11-24 BC 00:00:00 and 294276-12-31 23:59:59.999999."""


def civil_from_day(day: int) -> tuple[int, int, int]:
    """Year (0 is 1 BC, -1 is 2 BC ...), month and day of the month, of a day counted from 2000-01-01."""
    # In years that begin in March the leap day is the last one; eras of 400 years are all alike.
    era, day_of_era = divmod(day + 730_425, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * day_of_year + 2) // 153
    month = march_month + 3 if march_month < 10 else march_month - 9
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * march_month + 2) // 5 + 1


def day_from_civil(year: int, month: int, day: int) -> int:
    """The reverse of `civil_from_day`; a day that the month does not have runs over into the next."""
    era, year_of_era = divmod(year - (month <= 2), 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 730_425


def parse_day(type_name: str, text: str) -> tuple[int, bool]:
    """The day that PostgreSQL's ISO form of a date stands for, and whether the text says "BC"."""
    body = text.removesuffix(" BC")
    match = _DATE.fullmatch(body)
    if match is None:
        raise malformed(type_name, f"not in the style ISO of DateStyle: {shortened(text)}")
    year, month, day = (int(part) for part in match.groups())
    if year == 0:
        raise malformed(type_name, f"there is no year 0: {shortened(text)}")
    before_christ = body != text
    if before_christ:
        year = 1 - year
    result = day_from_civil(year, month, day)
    if not 1 <= month <= 12 or civil_from_day(result) != (year, month, day):
        raise malformed(type_name, f"no date: {shortened(text)}")
    return result, before_christ


def parse_time(type_name: str, text: str) -> int:
    """The microseconds since midnight that "04:05:06.789" stands for; "24:00:00" is the last."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise malformed(type_name, f"no time of day: {shortened(text)}")
    hours, minutes, seconds, fraction = match.groups(default="")
    microseconds = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1_000_000
    microseconds += int(fraction.ljust(6, "0"))
    if int(minutes) > 59 or int(seconds) > 59 or microseconds > DAY:
        raise malformed(type_name, f"no time of day: {shortened(text)}")
    return microseconds


def time_text(microseconds: int) -> str:
    """A time of day as PostgreSQL writes it."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    tail = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tail}"


_Key: TypeAlias = tuple[int, int]


class _Moment(Value):
    """What is ordered among its own kind: a key is -1, 0 or 1 for how infinite, and a count since
    2000-01-01."""

    __slots__ = ()

    @abstractmethod
    def key(self) -> _Key:
        """How infinite it is, and the count."""

    @classmethod
    @abstractmethod
    def _key_of(cls, other: object) -> _Key | None:
        """The key of another value of the same kind, None for anything else."""

    def __lt__(self, other: object) -> bool:
        key = self._key_of(other)
        return NotImplemented if key is None else self.key() < key

    def __le__(self, other: object) -> bool:
        key = self._key_of(other)
        return NotImplemented if key is None else self.key() <= key

    def __gt__(self, other: object) -> bool:
        key = self._key_of(other)
        return NotImplemented if key is None else self.key() > key

    def __ge__(self, other: object) -> bool:
        key = self._key_of(other)
        return NotImplemented if key is None else self.key() >= key


class _DateKind(_Moment):
    __slots__ = ()

    @classmethod
    def _key_of(cls, other: object) -> _Key | None:
        if isinstance(other, _DateKind):
            return other.key()
        if isinstance(other, date) and not isinstance(other, datetime):
            return 0, other.toordinal() - EPOCH_ORDINAL
        return None


class _TimestampKind(_Moment):
    __slots__ = ()

    @classmethod
    def _key_of(cls, other: object) -> _Key | None:
        if isinstance(other, _TimestampKind):
            return other.key()
        if isinstance(other, datetime) and other.utcoffset() is None:
            return 0, (other.replace(tzinfo=None) - EPOCH) // MICROSECOND
        return None


class _TimestampTZKind(_Moment):
    __slots__ = ()

    @classmethod
    def _key_of(cls, other: object) -> _Key | None:
        if isinstance(other, _TimestampTZKind):
            return other.key()
        if isinstance(other, datetime) and other.utcoffset() is not None:
            return 0, (other - EPOCH_UTC) // MICROSECOND
        return None


class _Infinity(_Moment):
    __slots__ = ("sign",)

    sign: Literal[1, -1]

    def __init__(self, sign: Literal[1, -1] = 1) -> None:
        if sign not in (1, -1):
            raise DataError(f"the sign of an infinity is 1 or -1, not {shortened(sign)}")
        object.__setattr__(self, "sign", sign)

    def key(self) -> _Key:
        return self.sign, 0

    def __str__(self) -> str:
        return "infinity" if self.sign > 0 else "-infinity"


class DateInfinity(_Infinity, _DateKind):
    """The date `infinity`, later than all others, or with the sign -1 `-infinity`, earlier than all
    others."""

    __slots__ = ()


class TimestampInfinity(_Infinity, _TimestampKind):
    """The timestamp `infinity`, or with the sign -1 `-infinity`."""

    __slots__ = ()


class TimestampTZInfinity(_Infinity, _TimestampTZKind):
    """The timestamp with time zone `infinity`, or with the sign -1 `-infinity`."""

    __slots__ = ()


class OutOfRangeDate(_DateKind):
    """A date before 0001-01-01 or after 9999-12-31.

    Args:
        days: counted from 2000-01-01.

    Raises:
        DataError: it is a date that `datetime.date` can hold, or one that PostgreSQL cannot.
    """

    __slots__ = ("days",)

    days: int

    def __init__(self, days: int) -> None:
        if not integer_within(days, _FIRST_DAY, _LAST_DAY):
            raise DataError(f"day {shortened(days)} is outside PostgreSQL's calendar")
        if 1 <= days + EPOCH_ORDINAL <= date.max.toordinal():
            raise DataError(f"day {days} is within the range of datetime.date: use that")
        object.__setattr__(self, "days", days)

    @property
    def civil(self) -> tuple[int, int, int]:
        """Year, month and day; the year 0 is 1 BC, -1 is 2 BC."""
        return civil_from_day(self.days)

    def key(self) -> _Key:
        return 0, self.days

    def __str__(self) -> str:
        text, era = day_text(self.days)
        return text + era


class _OutOfRangeMoment(_Moment):
    __slots__ = ("microseconds",)

    _offset: ClassVar[str] = ""

    microseconds: int

    def __init__(self, microseconds: int) -> None:
        if not integer_within(microseconds, _FIRST_MICROSECOND, _LAST_MICROSECOND):
            raise DataError(f"microsecond {shortened(microseconds)} is outside PostgreSQL's calendar")
        if 1 <= microseconds // DAY + EPOCH_ORDINAL <= date.max.toordinal():
            raise DataError(f"microsecond {microseconds} is within the range of datetime.datetime: use that")
        object.__setattr__(self, "microseconds", microseconds)

    @property
    def civil(self) -> tuple[int, int, int]:
        """Year, month and day; the year 0 is 1 BC, -1 is 2 BC."""
        return civil_from_day(self.microseconds // DAY)

    def key(self) -> _Key:
        return 0, self.microseconds

    def __str__(self) -> str:
        day, rest = divmod(self.microseconds, DAY)
        text, era = day_text(day)
        return f"{text} {time_text(rest)}{self._offset}{era}"


class OutOfRangeTimestamp(_OutOfRangeMoment, _TimestampKind):
    """A timestamp before the year 1 or after the year 9999.

    Args:
        microseconds: counted from 2000-01-01 00:00.

    Raises:
        DataError: it is one that `datetime` can hold, or one that PostgreSQL cannot.
    """

    __slots__ = ()


class OutOfRangeTimestampTZ(_OutOfRangeMoment, _TimestampTZKind):
    """A timestamp with time zone before the year 1 or after the year 9999 (in UTC).

    Args:
        microseconds: counted from 2000-01-01 00:00 UTC.

    Raises:
        DataError: it is one that `datetime` can hold, or one that PostgreSQL cannot.
    """

    __slots__ = ()

    _offset = "+00"


def day_text(days: int) -> tuple[str, str]:
    """A date as PostgreSQL writes it: what comes before a time of day, and " BC" or "", which comes
    behind."""
    year, month, day = civil_from_day(days)
    if year > 0:
        return f"{year:04d}-{month:02d}-{day:02d}", ""
    return f"{1 - year:04d}-{month:02d}-{day:02d}", " BC"
