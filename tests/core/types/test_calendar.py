"""Dates and times that `datetime` cannot hold."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import (
    DateInfinity,
    EndOfDay,
    OutOfRangeDate,
    OutOfRangeTimestamp,
    OutOfRangeTimestampTZ,
    TimestampInfinity,
    TimestampTZInfinity,
)
from pgproto.types._calendar import (
    DAY,
    EPOCH_ORDINAL,
    civil_from_day,
    day_from_civil,
    day_text,
    parse_day,
    parse_time,
)

FIRST_DAY, LAST_DAY = -2_451_545, 2_145_031_948
BEYOND = 2921940
"""10000-01-01."""


@given(st.dates())
def test_the_calendar_is_the_one_of_datetime(value: date) -> None:
    day = value.toordinal() - EPOCH_ORDINAL
    assert civil_from_day(day) == (value.year, value.month, value.day)
    assert day_from_civil(value.year, value.month, value.day) == day


@given(st.integers(FIRST_DAY, LAST_DAY))
def test_the_calendar_goes_on_in_both_directions(day: int) -> None:
    year, month, day_of_month = civil_from_day(day)
    assert day_from_civil(year, month, day_of_month) == day
    assert 1 <= month <= 12
    assert 1 <= day_of_month <= 31
    assert civil_from_day(day + 146_097) == (year + 400, month, day_of_month)


@given(st.integers(FIRST_DAY, LAST_DAY))
def test_day_text_can_be_read_back(day: int) -> None:
    assert parse_day("date", "".join(day_text(day))) == (day, civil_from_day(day)[0] <= 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-1-1",
        "2024-13-01",
        "2024-00-10",
        "2023-02-29",
        "0000-01-01",
        "2024-01-01 AD",
        "99999999-01-01",
    ],
)
def test_refuses_what_is_no_date(text: str) -> None:
    with pytest.raises(DataError, match="malformed date"):
        parse_day("date", text)


@pytest.mark.parametrize(
    "text", ["", "24:00:01", "1:00:00", "00:60:00", "00:00:60", "00:00:00.1234567", "25:00:00"]
)
def test_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(DataError, match="malformed time"):
        parse_time("time", text)


DATES = [
    DateInfinity(-1),
    OutOfRangeDate(FIRST_DAY),
    OutOfRangeDate(-730120),
    date.min,
    date.max,
    OutOfRangeDate(BEYOND),
    DateInfinity(),
]
TIMESTAMPS = [
    TimestampInfinity(-1),
    OutOfRangeTimestamp(FIRST_DAY * DAY),
    OutOfRangeTimestamp(-730119 * DAY - 1),
    datetime.min,
    datetime(2024, 1, 1),
    datetime.max,
    OutOfRangeTimestamp(BEYOND * DAY),
    TimestampInfinity(),
]
TIMESTAMPTZS = [
    TimestampTZInfinity(-1),
    OutOfRangeTimestampTZ(FIRST_DAY * DAY),
    datetime.min.replace(tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5))),
    datetime.max.replace(tzinfo=UTC),
    OutOfRangeTimestampTZ(9223371331199999999),
    TimestampTZInfinity(),
]


@pytest.mark.parametrize(
    "values", [DATES, TIMESTAMPS, TIMESTAMPTZS], ids=["date", "timestamp", "timestamptz"]
)
def test_are_ordered_among_their_own_kind(values: list[object]) -> None:
    for (first, left), (second, right) in itertools.product(enumerate(values), repeat=2):
        assert (left < right) == (first < second)  # type: ignore[operator]  # any of them
        assert (left <= right) == (first <= second)  # type: ignore[operator]  # any of them
        assert (left > right) == (first > second)  # type: ignore[operator]  # any of them
        assert (left >= right) == (first >= second)  # type: ignore[operator]  # any of them
        assert (left == right) == (first == second)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (DateInfinity(), TimestampInfinity()),
        (DateInfinity(), datetime(2024, 1, 1)),
        (TimestampInfinity(), datetime(2024, 1, 1, tzinfo=UTC)),
        (TimestampInfinity(), TimestampTZInfinity()),
        (TimestampTZInfinity(), datetime(2024, 1, 1)),
        (TimestampTZInfinity(), date(2024, 1, 1)),
        (OutOfRangeDate(BEYOND), BEYOND),
        (EndOfDay(), EndOfDay(timedelta(0))),
        (EndOfDay(timedelta(0)), time(0)),
        (EndOfDay(), time(0, tzinfo=UTC)),
    ],
)
def test_are_not_ordered_with_other_kinds(left: object, right: object) -> None:
    assert left != right
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(left, compare)(right) is NotImplemented


def test_end_of_day_is_later_than_any_time() -> None:
    end, last = EndOfDay(), time.max
    assert end > last
    assert end >= last
    assert last < end
    assert last <= end
    assert not end < last
    assert not end <= last
    assert end <= EndOfDay()
    assert end >= EndOfDay()
    assert not end < EndOfDay()
    assert not end > EndOfDay()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (DateInfinity(), "infinity"),
        (TimestampTZInfinity(-1), "-infinity"),
        (OutOfRangeDate(FIRST_DAY), "4714-11-24 BC"),
        (OutOfRangeDate(LAST_DAY), "5874897-12-31"),
        (OutOfRangeTimestamp(-730119 * DAY - 1), "0001-12-31 23:59:59.999999 BC"),
        (OutOfRangeTimestamp(BEYOND * DAY), "10000-01-01 00:00:00"),
        (OutOfRangeTimestampTZ(9223371331199999999), "294276-12-31 23:59:59.999999+00"),
        (OutOfRangeTimestampTZ(FIRST_DAY * DAY), "4714-11-24 00:00:00+00 BC"),
        (EndOfDay(), "24:00:00"),
        (EndOfDay(timedelta(hours=-5, minutes=-30)), "24:00:00-05:30"),
    ],
)
def test_text(value: object, text: str) -> None:
    assert str(value) == text


def test_civil() -> None:
    assert OutOfRangeDate(-730120).civil == (0, 12, 31)
    assert OutOfRangeTimestamp(BEYOND * DAY + 5).civil == (10000, 1, 1)


@pytest.mark.parametrize("days", [FIRST_DAY - 1, LAST_DAY + 1, 1.5, "x", None])
def test_no_date_outside_the_calendar(days: int) -> None:
    with pytest.raises(DataError, match="outside PostgreSQL's calendar"):
        OutOfRangeDate(days)


@pytest.mark.parametrize("microseconds", [FIRST_DAY * DAY - 1, 9223371331200000000, 1.5])
def test_no_timestamp_outside_the_calendar(microseconds: int) -> None:
    with pytest.raises(DataError, match="outside PostgreSQL's calendar"):
        OutOfRangeTimestamp(microseconds)


def test_what_datetime_can_hold_is_its_own() -> None:
    for days in (0, BEYOND - 1, -730119):
        with pytest.raises(DataError, match=r"within the range of datetime\.date"):
            OutOfRangeDate(days)
        with pytest.raises(DataError, match=r"within the range of datetime\.datetime"):
            OutOfRangeTimestamp(days * DAY)


def test_infinities_have_a_sign() -> None:
    with pytest.raises(DataError, match="1 or -1, not 0"):
        DateInfinity(0)  # type: ignore[arg-type]  # that is the point
    assert DateInfinity(1) == DateInfinity() != DateInfinity(-1)
    assert DateInfinity() != TimestampInfinity()
