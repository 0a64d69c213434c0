from __future__ import annotations

import enum
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import (
    TEXT,
    Codec,
    DateInfinity,
    EndOfDay,
    Interval,
    OutOfRangeDate,
    TimestampInfinity,
    TypeRegistry,
)
from tests.core.types.support import builtin, same

_OFFSETS = st.timedeltas(timedelta(hours=-15, minutes=-59), timedelta(hours=15, minutes=59)).map(
    lambda offset: timezone(timedelta(seconds=offset // timedelta(seconds=1)))
)
_TYPES = ["date", "time", "timetz", "timestamp", "timestamptz"]


class _BrokenZone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise RuntimeError("no")

    def dst(self, when: datetime | None) -> timedelta | None:
        return None

    def tzname(self, when: datetime | None) -> str | None:
        return None


class _FineZone(_BrokenZone):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(seconds=1.5)


class _Day(enum.Enum):
    FIRST = date(2024, 1, 1)


def round_trip(name: str, value: object) -> tuple[object, object]:
    codec = builtin(name)
    return codec.decode(codec.encode(value)), codec.decoder(TEXT)(codec.encoder(TEXT)(value))


@given(st.dates())
def test_date(value: date) -> None:
    assert round_trip("date", value) == (value, value)


@given(st.datetimes())
def test_timestamp(value: datetime) -> None:
    assert round_trip("timestamp", value) == (value, value)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=_OFFSETS))
def test_timestamptz_comes_back_in_utc(value: datetime) -> None:
    for result in round_trip("timestamptz", value):
        assert isinstance(result, datetime)
        assert result == value
        assert result.tzinfo is UTC


@given(st.times())
def test_time(value: time) -> None:
    assert round_trip("time", value) == (value, value)


@given(st.times(), _OFFSETS)
def test_timetz(value: time, zone: timezone) -> None:
    value = value.replace(tzinfo=zone)
    for result in round_trip("timetz", value):
        assert isinstance(result, time)
        assert (result, result.utcoffset()) == (value, value.utcoffset())


@given(st.integers(-(2**31), 2**31 - 1))
def test_every_date_there_is(days: int) -> None:
    data = struct.pack("!i", days)
    if days not in (-(2**31), 2**31 - 1) and not -2_451_545 <= days <= 2_145_031_948:
        with pytest.raises(DataError, match="outside PostgreSQL's calendar"):
            builtin("date").decode(data)
        return
    value = builtin("date").decode(data)
    assert builtin("date").encode(value) == data
    assert builtin("date").decoder(TEXT)(str(value).encode()) == value


@pytest.mark.parametrize("name", ["timestamp", "timestamptz"])
@given(microseconds=st.integers(-(2**63), 2**63 - 1))
def test_every_timestamp_there_is(name: str, microseconds: int) -> None:
    data = struct.pack("!q", microseconds)
    codec = builtin(name)
    if (
        -(2**63) < microseconds < -2_451_545 * 86_400 * 10**6
        or 9223371331200000000 <= microseconds < 2**63 - 1
    ):
        with pytest.raises(DataError, match="outside PostgreSQL's calendar"):
            codec.decode(data)
        return
    value = codec.decode(data)
    assert codec.encode(value) == data
    assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value


def test_what_postgresql_makes_of_a_date_for_a_timestamp() -> None:
    assert builtin("timestamp").decode(builtin("timestamp").encode(date(2024, 1, 1))) == datetime(2024, 1, 1)


def test_takes_enum_members() -> None:
    assert builtin("date").encode(_Day.FIRST) == builtin("date").encode(date(2024, 1, 1))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("date", datetime(2024, 1, 1), "its time of day would be lost"),
        ("date", "2024-01-01", "it takes a datetime.date"),
        ("date", 5, "it takes a datetime.date"),
        ("timestamp", datetime(2024, 1, 1, tzinfo=UTC), "has a time zone, which a timestamp without"),
        ("timestamp", "2024-01-01", "it takes a naive datetime.datetime or a date"),
        ("timestamp", DateInfinity(), "it takes a naive datetime.datetime or a date"),
        ("timestamptz", datetime(2024, 1, 1), "has no time zone, so it names no moment"),
        ("timestamptz", date(2024, 1, 1), "it takes a datetime.datetime with a time zone"),
        ("timestamptz", TimestampInfinity(), "it takes a datetime.datetime with a time zone"),
        ("timestamptz", datetime(2024, 1, 1, tzinfo=_BrokenZone()), "RuntimeError: no"),
        ("time", time(1, tzinfo=UTC), "has a time zone, which a time without"),
        ("time", EndOfDay(timedelta(0)), "has an offset, which a time without"),
        ("time", "01:00", "it takes a naive datetime.time"),
        ("time", timedelta(hours=1), "it takes a naive datetime.time"),
        ("timetz", time(1), "has no offset from UTC"),
        ("timetz", EndOfDay(), "has no offset from UTC"),
        ("timetz", time(1, tzinfo=ZoneInfo("Europe/Berlin")), "one that depends on the date"),
        ("timetz", time(1, tzinfo=timezone(timedelta(hours=16))), "up to 15:59:59"),
        ("timetz", time(1, tzinfo=_FineZone()), "whole seconds"),
        ("timetz", time(1, tzinfo=_BrokenZone()), "RuntimeError: no"),
        ("timetz", "01:00+00", "it takes a datetime.time with a fixed offset"),
    ],
)
def test_refuses_what_would_lose_something(name: str, value: object, why: str) -> None:
    with pytest.raises(DataError, match=f"as {name}: .*{why}"):
        builtin(name).encode(value)
    with pytest.raises(DataError, match=f"as {name}: .*{why}"):
        builtin(name).encoder(TEXT)(value)


@pytest.mark.parametrize("name", [*_TYPES, "interval"])
@pytest.mark.parametrize("data", [b"", b"\x00" * 3, b"\x00" * 7, b"\x00" * 17])
def test_refuses_other_widths(name: str, data: bytes) -> None:
    with pytest.raises(DataError, match=f"malformed {name}: {len(data)} bytes instead of"):
        builtin(name).decode(data)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("time", struct.pack("!q", -1), "not within a day"),
        ("time", struct.pack("!q", 86_400_000_001), "not within a day"),
        ("time", struct.pack("!q", 2**63 - 1), "not within a day"),
        ("timetz", struct.pack("!qi", 0, 57600), "an offset of -57600 seconds"),
        ("timetz", struct.pack("!qi", -1, 0), "not within a day"),
    ],
)
def test_refuses_what_is_no_time(name: str, data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        builtin(name).decode(data)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", "01/02/2024"),
        ("date", "2024-02-30"),
        ("date", "Infinity"),
        ("timestamp", "2024-01-01"),
        ("timestamp", "2024-01-01T00:00:00"),
        ("timestamp", "2024-01-01 00:00:00+00"),
        ("timestamp", "Mon Jan 01 00:00:00 2024"),
        ("timestamptz", "2024-01-01 00:00:00"),
        ("timestamptz", "2024-01-01 00:00:00+::"),
        ("timestamptz", "2024-01-01 00:00:00 UTC"),
        ("timestamptz", "294277-01-01 00:00:00+00"),
        ("time", "24:00:00.000001"),
        ("timetz", "01:00:00"),
        ("timetz", "01:00:00+1"),
        ("timetz", "01:00:00+99"),
        ("time", "\u0661\u0661:00:00"),
    ],
)
def test_refuses_other_text(name: str, text: str) -> None:
    with pytest.raises(DataError):
        builtin(name).decoder(TEXT)(text.encode())


def test_text_of_another_time_zone() -> None:
    decode = builtin("timestamptz").decoder(TEXT)
    assert decode(b"2024-01-01 02:30:00.5+02:30") == datetime(2024, 1, 1, microsecond=500000, tzinfo=UTC)
    assert decode(b"1883-01-01 00:00:00-00:01:15") == datetime(1883, 1, 1, 0, 1, 15, tzinfo=UTC)


class TestOverflow:
    OUTSIDE = (
        ("date", OutOfRangeDate(2921940), "10000-01-01"),
        ("date", DateInfinity(), "infinity"),
        ("timestamp", TimestampInfinity(-1), "-infinity"),
        ("time", EndOfDay(), "24:00:00"),
        ("timetz", EndOfDay(timedelta(hours=1)), "24:00:00+01"),
    )
    INSIDE = (
        ("date", date(2024, 1, 1)),
        ("timestamp", datetime(2024, 1, 1)),
        ("timestamptz", datetime(2024, 1, 1, tzinfo=UTC)),
        ("time", time(1)),
        ("timetz", time(1, tzinfo=UTC)),
        ("interval", Interval.infinity),
    )

    def codec(self, registry: TypeRegistry, name: str) -> Codec:
        codec = registry.find(name)
        assert codec is not None
        return codec

    @pytest.mark.parametrize("policy", ["raise", "text", "wrap"])
    @pytest.mark.parametrize(("name", "value"), INSIDE)
    def test_what_datetime_holds_is_its_own_by_any_policy(
        self, policy: str, name: str, value: object
    ) -> None:
        codec = self.codec(TypeRegistry(overflow=policy), name)  # type: ignore[arg-type]  # one of the three
        assert same(codec.decode(codec.encode(value)), value)
        assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value)), value)

    @pytest.mark.parametrize(("name", "value", "text"), OUTSIDE)
    def test_raise(self, name: str, value: object, text: str) -> None:
        codec = self.codec(TypeRegistry(overflow="raise"), name)
        for decode, encode in ((codec.decode, codec.encode), (codec.decoder(TEXT), codec.encoder(TEXT))):
            with pytest.raises(DataError, match="outside the range of Python's datetime"):
                decode(encode(value))

    @pytest.mark.parametrize(("name", "value", "text"), OUTSIDE)
    def test_text(self, name: str, value: object, text: str) -> None:
        codec = self.codec(TypeRegistry(overflow="text"), name)
        assert codec.decode(codec.encode(value)) == text
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == text
        assert codec.encode(text) == codec.encode(value)
        assert codec.encoder(TEXT)(text) == text.encode()
        with pytest.raises(DataError, match=f"as {name}: not in PostgreSQL's text form"):
            codec.encode("tomorrow")

    def test_holds_inside_containers_too(self) -> None:
        codec = self.codec(TypeRegistry(overflow="text"), "_date")
        assert codec.decode(codec.encode([DateInfinity(), date(2024, 1, 1)])) == [
            "infinity",
            date(2024, 1, 1),
        ]
