from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import TEXT, Interval
from tests.core.types.support import builtin, member

_INT32 = st.integers(-(2**31), 2**31 - 1)
_INTERVALS = st.builds(Interval, _INT32, _INT32, st.integers(-(2**63), 2**63 - 1))
INTERVAL = builtin("interval")


@given(_INTERVALS)
def test_both_ways_in_both_formats(value: Interval) -> None:
    assert INTERVAL.decode(INTERVAL.encode(value)) == value
    assert INTERVAL.decoder(TEXT)(INTERVAL.encoder(TEXT)(value)) == value
    assert Interval.parse(str(value)) == value


@given(st.timedeltas())
def test_takes_timedelta(value: timedelta) -> None:
    interval = INTERVAL.decode(INTERVAL.encode(value))
    assert isinstance(interval, Interval)
    assert interval.as_timedelta() == value
    assert interval.days * interval.microseconds >= 0


def test_parts_of_a_negative_timedelta_are_negative() -> None:
    assert Interval.from_timedelta(timedelta(hours=-1)) == Interval(0, 0, -3_600_000_000)
    assert Interval.from_timedelta(timedelta(days=-1)) == Interval(0, -1, 0)


@pytest.mark.parametrize("value", ["1 day", 5, None, 1.5])
def test_refuses_other_values(value: object) -> None:
    with pytest.raises(DataError, match=r"as interval: it takes an Interval or a datetime.timedelta"):
        INTERVAL.encode(value)


def test_takes_enum_members() -> None:
    assert INTERVAL.encode(member(timedelta(1))) == INTERVAL.encode(Interval(days=1))


@pytest.mark.parametrize(
    "parts", [(2**31, 0, 0), (0, -(2**31) - 1, 0), (0, 0, 2**63), (1.5, 0, 0), ("1", 0, 0), (10**5000, 0, 0)]
)
def test_refuses_what_is_out_of_range(parts: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="is out of range"):
        Interval(*parts)


@pytest.mark.parametrize(
    ("interval", "why"),
    [
        (Interval(months=1), "has months"),
        (Interval.infinity, "has months, or is infinite"),
        (Interval(0, 2**31 - 1, 2**63 - 1), "out of the range of timedelta"),
    ],
)
def test_as_timedelta_loses_nothing(interval: Interval, why: str) -> None:
    with pytest.raises(DataError, match=why):
        interval.as_timedelta()


def test_equality_is_of_the_parts_and_order_is_postgresqls() -> None:
    assert Interval(months=1) != Interval(days=30)
    assert sorted([Interval(months=1), Interval(days=29), Interval(days=31)]) == [
        Interval(days=29),
        Interval(months=1),
        Interval(days=31),
    ]
    assert Interval(days=30) < Interval(months=1) <= Interval(months=1)
    assert Interval.negative_infinity < Interval(-(2**31), -(2**31), 0) < Interval() < Interval.infinity
    assert Interval(microseconds=1) > Interval()
    assert Interval().__lt__(timedelta(1)) is NotImplemented
    assert Interval.infinity.is_infinite
    assert Interval.negative_infinity.is_infinite
    assert not Interval(months=2**31 - 1).is_infinite


def test_truth_is_not_being_zero() -> None:
    assert not Interval()
    assert Interval(months=1)
    assert Interval(1, -30)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 day ",
        "P1D",
        "@ 1 day",
        "1 day 2",
        "00:60",
        "1 mon 1 year",
        "9999999999 days",
        "99999999999:00:00",
        "9999999999:00:00",
        "\u0661 day",
    ],
)
def test_refuses_other_styles(text: str) -> None:
    with pytest.raises(DataError):
        Interval.parse(text)
    with pytest.raises(DataError):
        INTERVAL.decoder(TEXT)(text.encode())
