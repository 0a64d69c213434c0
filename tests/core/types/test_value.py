"""What all value types have in common."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

import pgproto.types
from pgproto.types import (
    Array,
    BitString,
    Box,
    Circle,
    Composite,
    Cube,
    DateInfinity,
    EndOfDay,
    Interval,
    JsonText,
    Lexeme,
    Line,
    LineSegment,
    LogSequenceNumber,
    MacAddress,
    Money,
    Multirange,
    OutOfRangeDate,
    OutOfRangeTimestamp,
    OutOfRangeTimestampTZ,
    Path,
    Point,
    Polygon,
    Position,
    Range,
    Snapshot,
    SparseVector,
    Tid,
    TimestampInfinity,
    TimestampTZInfinity,
    TsVector,
)

_BEYOND = 2921940

VALUES: list[Any] = [
    Array((1, None), (2,), (0,)),
    BitString("01"),
    Box(Point(1, 1), Point(0, 0)),
    Circle(Point(0, 0), 1),
    Composite(("a",), (1,)),
    Cube([1, 2], [3, 4]),
    DateInfinity(-1),
    EndOfDay(timedelta(hours=1)),
    Interval(1, 2, 3),
    JsonText("null"),
    Lexeme("a", (Position(1, "A"),)),
    Line(1, 2, 3),
    LineSegment(Point(0, 0), Point(1, 1)),
    LogSequenceNumber("1/2"),
    MacAddress("08:00:2b:01:02:03"),
    Money(5),
    Multirange([Range(1, 2)]),
    OutOfRangeDate(_BEYOND),
    OutOfRangeTimestamp(_BEYOND * 86400 * 10**6),
    OutOfRangeTimestampTZ(_BEYOND * 86400 * 10**6),
    Path([Point(0, 0)], True),
    Point(1, 2),
    Polygon([Point(0, 0)]),
    Position(1, "A"),
    Range(1, 2, "[]"),
    Snapshot(1, 5, (2, 3)),
    SparseVector(5, {1: 2.0}),
    Tid(1, 2),
    TimestampInfinity(),
    TimestampTZInfinity(),
    TsVector([("a", [Position(1)])]),
]


def test_all_are_here() -> None:
    public: dict[str, object] = {name: getattr(pgproto.types, name) for name in pgproto.types.__all__}
    classes = {name for name, value in public.items() if isinstance(value, type)} - {"Codec", "TypeRegistry"}
    assert classes == {type(value).__name__ for value in VALUES}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
class TestValues:
    def test_equal_only_themselves(self, value: Any) -> None:
        assert value == copy.deepcopy(value)
        assert value != object()
        for other in VALUES:
            # A Position is a tuple, a LogSequenceNumber is an int.
            assert (value == other) == (value is other)

    def test_hash(self, value: Any) -> None:
        assert hash(value) == hash(copy.deepcopy(value))
        assert len({value, copy.deepcopy(value)}) == 1

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, value: Any, protocol: int) -> None:
        twin = pickle.loads(pickle.dumps(value, protocol))
        assert type(twin) is type(value)
        assert twin == value
        assert repr(twin) == repr(value)
        assert str(twin) == str(value)

    def test_copy(self, value: Any) -> None:
        assert copy.copy(value) == value

    def test_are_immutable_and_take_no_attributes(self, value: Any) -> None:
        slots: tuple[str, ...] = getattr(value, "__slots__", ())
        for name in ("anything", *slots):
            with pytest.raises((AttributeError, TypeError)):
                setattr(value, name, 1)
            with pytest.raises((AttributeError, TypeError)):
                delattr(value, name)

    def test_repr_makes_it_again(self, value: Any) -> None:
        if isinstance(value, Composite):
            assert repr(value) == "Composite(a=1)"
            return
        names = {name: getattr(pgproto.types, name) for name in pgproto.types.__all__}
        assert eval(repr(value), {**names, "datetime": __import__("datetime")}) == value


def test_parts_in_the_order_of_the_constructor() -> None:
    assert Tid(1, 2) == Tid(block=1, offset=2)
    assert repr(Tid(1, 2)) == "Tid(block=1, offset=2)"
    assert Tid(1, 2) != Tid(2, 1)
    assert Tid(1, 2).__eq__((1, 2)) is NotImplemented
    assert DateInfinity() != TimestampInfinity()
    assert hash(DateInfinity()) != hash(TimestampInfinity())
