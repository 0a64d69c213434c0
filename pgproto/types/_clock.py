"""Times of day: what time and timetz have in common, and `EndOfDay`, which `datetime.time` cannot be."""

from __future__ import annotations

from datetime import UTC, time, timedelta, timezone
from typing import Final

from pgproto._dataclasses import dataclass
from pgproto._patterns import pattern
from pgproto.types._calendar import DAY, parse_time, time_text
from pgproto.types._codec import malformed, shortened, wrong_value

__all__ = [
    "EndOfDay",
    "parse_offset",
    "parse_time_of_day",
    "parse_timetz",
    "time_count",
    "time_value",
    "timetz_parts",
    "timetz_text",
    "timetz_value",
]

_OFFSET = pattern(r"([-+])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?")
_TIMETZ_TEXT = pattern(r"([0-9:.]{8,15})([-+][0-9:]{2,8})")
_MAX_OFFSET: Final = 16 * 3600 - 1
"""PostgreSQL's time zones are at most 15:59:59 away from UTC."""


@dataclass(frozen=True, slots=True)
class EndOfDay:
    """24:00:00, which PostgreSQL's time and timetz have and `datetime.time` has not.

    Args:
        utcoffset: for timetz; None for time.

    Without one it is later than any naive `datetime.time`.
    """

    utcoffset: timedelta | None = None

    def __lt__(self, other: object) -> bool:
        return False if self._comparable(other) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return isinstance(other, time) if self._comparable(other) else NotImplemented

    def __le__(self, other: object) -> bool:
        return isinstance(other, EndOfDay) if self._comparable(other) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return True if self._comparable(other) else NotImplemented

    def _comparable(self, other: object) -> bool:
        if isinstance(other, EndOfDay):
            return self.utcoffset == other.utcoffset
        return self.utcoffset is None and isinstance(other, time) and other.tzinfo is None

    def __str__(self) -> str:
        return "24:00:00" + (
            "" if self.utcoffset is None else _offset_text(int(self.utcoffset.total_seconds()))
        )


def _offset_text(seconds: int) -> str:
    """An offset east of UTC as PostgreSQL writes it: as short as possible."""
    sign, rest = ("-", -seconds) if seconds < 0 else ("+", seconds)
    parts = [rest // 3600, rest // 60 % 60, rest % 60]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return sign + ":".join(f"{part:02d}" for part in parts)


def parse_offset(name: str, text: str) -> int:
    """Seconds east of UTC."""
    match = _OFFSET.fullmatch(text)
    if match is None:
        raise malformed(name, f"no offset from UTC: {shortened(text)}")
    sign, hours, minutes, seconds = match.groups(default="0")
    offset = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return -offset if sign == "-" else offset


def time_count(value: object) -> int:
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise wrong_value("time", value, "it has a time zone, which a time without time zone would lose")
        return _clock(value)
    if isinstance(value, EndOfDay):
        if value.utcoffset is not None:
            raise wrong_value("time", value, "it has an offset, which a time without time zone would lose")
        return DAY
    raise wrong_value("time", value, "it takes a naive datetime.time or an EndOfDay")


def _clock(value: time) -> int:
    seconds = value.hour * 3600 + value.minute * 60 + value.second
    return seconds * 1_000_000 + value.microsecond


def time_value(microseconds: int) -> object:
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    try:
        return time(minutes // 60, minutes % 60, seconds, fraction)
    except (ValueError, OverflowError):
        if microseconds == DAY:
            return EndOfDay()
        raise malformed("time", f"{microseconds} microseconds are not within a day") from None


def parse_time_of_day(text: str) -> int:
    return parse_time("time", text)


# timetz counts twice: microseconds since midnight, and seconds *west* of UTC.


def timetz_parts(value: object) -> tuple[int, int]:
    if isinstance(value, time):
        offset, count = value.utcoffset(), _clock(value)
    elif isinstance(value, EndOfDay):
        offset, count = value.utcoffset, DAY
    else:
        raise wrong_value("timetz", value, "it takes a datetime.time with a fixed offset, or an EndOfDay")
    if offset is None:
        raise wrong_value("timetz", value, "it has no offset from UTC, or one that depends on the date")
    seconds, rest = divmod(offset, timedelta(seconds=1))
    if rest or abs(seconds) > _MAX_OFFSET:
        raise wrong_value("timetz", value, "PostgreSQL's offsets are whole seconds, up to 15:59:59")
    return count, -seconds


def timetz_value(microseconds: int, west: int) -> object:
    if abs(west) > _MAX_OFFSET:
        raise malformed("timetz", f"an offset of {-west} seconds")
    value = time_value(microseconds)
    offset = timedelta(seconds=-west)
    if isinstance(value, time):
        return value.replace(tzinfo=timezone(offset) if west else UTC)
    return EndOfDay(offset)


def parse_timetz(text: str) -> tuple[int, int]:
    match = _TIMETZ_TEXT.fullmatch(text)
    if match is None:
        raise malformed("timetz", f"no time of day with an offset: {shortened(text)}")
    return parse_time("timetz", match[1]), -parse_offset("timetz", match[2])


def timetz_text(microseconds: int, west: int) -> str:
    return time_text(microseconds) + _offset_text(-west)
