"""date, time, timetz, timestamp and timestamptz.

Chapter "Data Types", section "Date/Time Types". Values are those of `datetime` wherever it can hold them:

- date: `date`; a `datetime` is refused, as its time of day would be lost.
- timestamp: a naive `datetime`; a `date` parameter is its midnight, as in PostgreSQL itself. One with a time
  zone is refused: PostgreSQL would drop the zone and keep the wall clock.
- timestamptz: a `datetime` with a time zone, always in UTC when it comes from the server. A naive one is
  refused: it names no moment.
- time: a naive `time`. timetz: a `time` with a fixed offset.

What `datetime` cannot hold comes as the types of `pgproto.types` that can: `OutOfRangeDate`, `DateInfinity`
and their kind, and `EndOfDay` for 24:00. That is the default of three policies for overflow: `"wrap"`;
`"raise"` makes a `DataError` of it; `"text"` gives the text that PostgreSQL would have sent, which may then
be passed as a parameter too.

The text format is read in the style ISO of DateStyle, PostgreSQL's default.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, TypeAlias, TypeVar

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._calendar import (
    DAY,
    EPOCH,
    EPOCH_ORDINAL,
    EPOCH_UTC,
    MICROSECOND,
    DateInfinity,
    OutOfRangeDate,
    OutOfRangeTimestamp,
    OutOfRangeTimestampTZ,
    TimestampInfinity,
    TimestampTZInfinity,
    day_text,
    parse_day,
    parse_time,
    time_text,
)
from pgproto.types._clock import (
    EndOfDay,
    parse_offset,
    parse_time_of_day,
    parse_timetz,
    time_count,
    time_value,
    timetz_parts,
    timetz_text,
    timetz_value,
)
from pgproto.types._codec import (
    BINARY,
    Codec,
    ascii_text,
    fixed_width,
    malformed,
    shortened,
    unwrapped,
    wrong_value,
)

__all__ = ["TEMPORAL_CODECS", "EndOfDay", "Overflow", "temporal_codecs"]

Overflow: TypeAlias = Literal["wrap", "raise", "text"]
"""What becomes of dates and times that `datetime` cannot hold."""

_Count = TypeVar("_Count")

_TIMETZ: Final = struct.Struct("!qi")
_DATE_INFINITY, _MOMENT_INFINITY = 2**31 - 1, 2**63 - 1
_MOMENT_TEXT = pattern(r"([0-9]{4,7}-[0-9]{2}-[0-9]{2}) ([0-9:.]{8,15})([-+][0-9:]{2,8})?( BC)?")


# Each type is a count (of days, of microseconds) and four functions: the count of a value, the value of a
# count, the count of a text, and the text of a count.


def _date_count(value: object) -> int:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.toordinal() - EPOCH_ORDINAL
    if isinstance(value, OutOfRangeDate):
        return value.days
    if isinstance(value, DateInfinity):
        return _DATE_INFINITY if value.sign > 0 else -_DATE_INFINITY - 1
    if isinstance(value, datetime):
        raise wrong_value("date", value, "its time of day would be lost; pass its .date()")
    raise wrong_value("date", value, "it takes a datetime.date, an OutOfRangeDate or a DateInfinity")


def _date_value(days: int) -> object:
    try:
        return _from_ordinal(days + EPOCH_ORDINAL)
    except (ValueError, OverflowError):
        if days == _DATE_INFINITY:
            return DateInfinity(1)
        return DateInfinity(-1) if days == -_DATE_INFINITY - 1 else OutOfRangeDate(days)


_from_ordinal = date.fromordinal


def _date_text(days: int) -> str:
    if days == _DATE_INFINITY:
        return "infinity"
    return "-infinity" if days == -_DATE_INFINITY - 1 else "".join(day_text(days))


def _parse_date(text: str) -> int:
    if text in ("infinity", "-infinity"):
        return _DATE_INFINITY if text == "infinity" else -_DATE_INFINITY - 1
    return parse_day("date", text)[0]


def _microseconds(span: timedelta) -> int:
    # Twice as fast as dividing by a microsecond.
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _timestamp_count(value: object) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is not None and value.utcoffset() is not None:
            raise wrong_value(
                "timestamp", value, "it has a time zone, which a timestamp without time zone would lose"
            )
        return _microseconds((value if value.tzinfo is None else value.replace(tzinfo=None)) - EPOCH)
    if isinstance(value, date):
        return (value.toordinal() - EPOCH_ORDINAL) * DAY
    if isinstance(value, OutOfRangeTimestamp):
        return value.microseconds
    if isinstance(value, TimestampInfinity):
        return _MOMENT_INFINITY if value.sign > 0 else -_MOMENT_INFINITY - 1
    raise wrong_value("timestamp", value, "it takes a naive datetime.datetime or a date")


def _timestamp_value(microseconds: int) -> object:
    try:
        return EPOCH + MICROSECOND * microseconds
    except OverflowError:
        if microseconds == _MOMENT_INFINITY:
            return TimestampInfinity(1)
        if microseconds == -_MOMENT_INFINITY - 1:
            return TimestampInfinity(-1)
        return OutOfRangeTimestamp(microseconds)


def _timestamptz_count(value: object) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is not UTC and value.utcoffset() is None:
            raise wrong_value(
                "timestamptz", value, "it has no time zone, so it names no moment; give it a tzinfo"
            )
        return _microseconds(value - EPOCH_UTC)
    if isinstance(value, OutOfRangeTimestampTZ):
        return value.microseconds
    if isinstance(value, TimestampTZInfinity):
        return _MOMENT_INFINITY if value.sign > 0 else -_MOMENT_INFINITY - 1
    raise wrong_value("timestamptz", value, "it takes a datetime.datetime with a time zone")


def _timestamptz_value(microseconds: int) -> object:
    try:
        return EPOCH_UTC + MICROSECOND * microseconds
    except OverflowError:
        if microseconds == _MOMENT_INFINITY:
            return TimestampTZInfinity(1)
        if microseconds == -_MOMENT_INFINITY - 1:
            return TimestampTZInfinity(-1)
        return OutOfRangeTimestampTZ(microseconds)


def _moment_text(microseconds: int, offset: str) -> str:
    if microseconds == _MOMENT_INFINITY:
        return "infinity"
    if microseconds == -_MOMENT_INFINITY - 1:
        return "-infinity"
    day, rest = divmod(microseconds, DAY)
    text, era = day_text(day)
    return f"{text} {time_text(rest)}{offset}{era}"


def _timestamp_text(microseconds: int) -> str:
    return _moment_text(microseconds, "")


def _timestamptz_text(microseconds: int) -> str:
    return _moment_text(microseconds, "+00")


def _parse_moment(name: str, text: str) -> tuple[int, str | None]:
    """The wall clock's count and the offset, as text."""
    if text in ("infinity", "-infinity"):
        return (_MOMENT_INFINITY if text == "infinity" else -_MOMENT_INFINITY - 1), None
    match = _MOMENT_TEXT.fullmatch(text)
    if match is None:
        raise malformed(name, f"not in the style ISO of DateStyle: {shortened(text)}")
    day, clock, offset, era = match.groups()
    return parse_day(name, day + (era or ""))[0] * DAY + parse_time(name, clock), offset or ""


def _parse_timestamp(text: str) -> int:
    count, offset = _parse_moment("timestamp", text)
    if offset:
        raise malformed("timestamp", f"it has an offset from UTC: {shortened(text)}")
    return count


def _parse_timestamptz(text: str) -> int:
    count, offset = _parse_moment("timestamptz", text)
    if offset is None:
        return count
    if not offset:
        raise malformed("timestamptz", f"no offset from UTC: {shortened(text)}")
    return count - parse_offset("timestamptz", offset) * 1_000_000


_PLAIN: Final = (date, time)
"""What `datetime` holds by itself; a `datetime` is a `date`."""


def _by_policy(name: str, value: object, overflow: Overflow) -> object:
    """What becomes of a decoded value that is not one of `datetime`."""
    if isinstance(value, _PLAIN):
        return value
    if overflow == "raise":
        raise DataError(f"the {name} {value} is outside the range of Python's datetime")
    return str(value)


def _counting_codec(
    oid: int,
    name: str,
    code: str,
    *,
    count: Callable[[object], int],
    value: Callable[[int], object],
    parse: Callable[[str], int],
    text: Callable[[int], str],
    overflow: Overflow,
) -> Codec:
    pack = struct.Struct("!" + code).pack

    def by_policy(number: int) -> object:
        return _by_policy(name, value(number), overflow)

    def counted(given: object) -> int:
        return _guarded(name, given, count, parse, overflow)

    def encode(given: object) -> bytes:
        try:
            return pack(count(given))
        except Exception:
            # Whatever it was, it is looked at more closely now.
            return pack(counted(given))

    def encode_text(given: object) -> bytes:
        return text(counted(given)).encode("ascii")

    def decode_text(data: bytes) -> object:
        return from_struct(parse(ascii_text(name, data)))

    from_struct = value if overflow == "wrap" else by_policy
    return fixed_width(
        oid,
        name,
        code,
        encode=encode,
        encode_text=encode_text,
        decode_text=decode_text,
        from_struct=from_struct,
    )


def _guarded(
    name: str,
    given: object,
    count: Callable[[object], _Count],
    parse: Callable[[str], _Count],
    overflow: Overflow,
) -> _Count:
    """The count of a caller's value, whose time zone may be code that fails in any way."""
    try:
        plain = unwrapped(given)
        if overflow == "text" and isinstance(plain, str):
            try:
                return parse(plain)
            except DataError:
                raise wrong_value(name, given, "not in PostgreSQL's text form") from None
        return count(plain)
    except DataError:
        raise
    except Exception as error:
        raise wrong_value(name, given, f"{type(error).__name__}: {error}") from error


def _timetz_codec(overflow: Overflow) -> Codec:
    def parts(given: object) -> tuple[int, int]:
        return _guarded("timetz", given, timetz_parts, parse_timetz, overflow)

    def value(microseconds: int, west: int) -> object:
        result = timetz_value(microseconds, west)
        return result if overflow == "wrap" else _by_policy("timetz", result, overflow)

    def encode(given: object) -> bytes:
        return _TIMETZ.pack(*parts(given))

    def decode(data: bytes) -> object:
        if len(data) != _TIMETZ.size:
            raise malformed("timetz", f"{len(data)} bytes instead of {_TIMETZ.size}")
        return value(*_TIMETZ.unpack(data))

    def encode_text(given: object) -> bytes:
        return timetz_text(*parts(given)).encode("ascii")

    def decode_text(data: bytes) -> object:
        return value(*parse_timetz(ascii_text("timetz", data)))

    return Codec(
        oid=1266,
        name="timetz",
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=encode_text,
        decode_text=decode_text,
    )


def temporal_codecs(overflow: Overflow) -> tuple[Codec, ...]:
    """The codecs of dates and times, by a policy for what `datetime` cannot hold."""
    return (
        _counting_codec(
            1082,
            "date",
            "i",
            count=_date_count,
            value=_date_value,
            parse=_parse_date,
            text=_date_text,
            overflow=overflow,
        ),
        _counting_codec(
            1083,
            "time",
            "q",
            count=time_count,
            value=time_value,
            parse=parse_time_of_day,
            text=time_text,
            overflow=overflow,
        ),
        _timetz_codec(overflow),
        _counting_codec(
            1114,
            "timestamp",
            "q",
            count=_timestamp_count,
            value=_timestamp_value,
            parse=_parse_timestamp,
            text=_timestamp_text,
            overflow=overflow,
        ),
        _counting_codec(
            1184,
            "timestamptz",
            "q",
            count=_timestamptz_count,
            value=_timestamptz_value,
            parse=_parse_timestamptz,
            text=_timestamptz_text,
            overflow=overflow,
        ),
    )


TEMPORAL_CODECS: Final = temporal_codecs("wrap")
