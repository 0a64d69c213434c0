from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Network
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.types import TEXT, Composite, Interval, Point, Range
from pgproto.types._text_form import text_form
from tests.core.types.support import builtin

_FORMS: list[tuple[object, str]] = [
    (True, "t"),
    (False, "f"),
    (5, "5"),
    (1.0, "1"),
    (math.nan, "NaN"),
    (Decimal("1E+3"), "1000"),
    (Decimal("NaN"), "NaN"),
    (Decimal("-Infinity"), "-Infinity"),
    ("a b", "a b"),
    (b"\x00", "\\x00"),
    (date(2024, 1, 1), "2024-01-01"),
    (datetime(2024, 1, 1, 2, 3, 4, 500000), "2024-01-01 02:03:04.5"),
    (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01 00:00:00+00"),
    (
        datetime(2024, 1, 1, 0, 0, 0, 120, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
        "2024-01-01 00:00:00.00012-05:30",
    ),
    (time(1, 2), "01:02:00"),
    (time(1, 2, 3, 1, tzinfo=timezone(timedelta(hours=3))), "01:02:03.000001+03"),
    (time(1, tzinfo=timezone(-timedelta(hours=3, seconds=5))), "01:00:00-03:00:05"),
    (timedelta(days=1, seconds=1), "1 day 00:00:01"),
    (Interval(1), "1 mon"),
    (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
    (IPv4Network("10.0.0.0/8"), "10.0.0.0/8"),
    ({"a": [1]}, '{"a": [1]}'),
    ([], "{}"),
    ([1, None, "a b"], '{1,NULL,"a b"}'),
    ([[1, 2], [3, 4]], "{{1,2},{3,4}}"),
    ([[1], [2, 3]], '{{1},"{2,3}"}'.replace("{1}", '"{1}"')),
    ([[], []], '{"{}","{}"}'),
    ((1, None, "a b"), '(1,,"a b")'),
    (Composite(("a",), ([1],)), '("{1}")'),
    (Range(1, 5), "[1,5)"),
    (Point(1, 2), "(1,2)"),
]


@pytest.mark.parametrize(("value", "text"), _FORMS)
def test_by_type(value: object, text: str) -> None:
    assert text_form(value) == text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timestamp", st.datetimes()),
        ("timestamptz", st.datetimes(timezones=st.just(UTC))),
        ("time", st.times()),
        ("timetz", st.times(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, seconds=7))]))),
        ("numeric", st.decimals(allow_nan=False)),
        ("float8", st.floats(allow_nan=False)),
        ("interval", st.timedeltas().map(Interval.from_timedelta)),
        ("uuid", st.uuids()),
        ("_int4", st.lists(st.lists(st.integers(-5, 5), min_size=2, max_size=2))),
    ],
)
@given(data=st.data())
def test_is_what_the_types_codec_writes(
    name: str, values: st.SearchStrategy[object], data: st.DataObject
) -> None:
    value = data.draw(values)
    decode, encode = builtin(name).decoder(TEXT), builtin(name).encoder(TEXT)
    assert encode(decode(text_form(value).encode())) == encode(value)
