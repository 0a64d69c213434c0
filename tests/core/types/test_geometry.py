from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Box, Circle, Line, LineSegment, Path, Point, Polygon
from tests.core.types.support import builtin, member, same

_FLOATS = st.floats(allow_nan=False)
_POINTS = st.builds(Point, _FLOATS, _FLOATS)
_MANY = st.lists(_POINTS, min_size=1, max_size=8)
SHAPES = {
    "point": _POINTS,
    "line": st.builds(Line, _FLOATS, _FLOATS, _FLOATS),
    "lseg": st.builds(LineSegment, _POINTS, _POINTS),
    "box": st.builds(Box, _POINTS, _POINTS),
    "path": st.builds(Path, _MANY, st.booleans()),
    "polygon": st.builds(Polygon, _MANY),
    "circle": st.builds(Circle, _POINTS, _FLOATS),
}
ORIGIN = Point(0, 0)


@pytest.mark.parametrize("name", SHAPES)
class TestShapes:
    @given(data=st.data())
    def test_both_ways_in_both_formats(self, name: str, data: st.DataObject) -> None:
        value = data.draw(SHAPES[name])
        codec = builtin(name)
        assert same(codec.decode(codec.encode(value)), value)
        assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value)), value)
        assert codec.encoder(TEXT)(value) == str(value).encode()

    @pytest.mark.parametrize("value", [(), (0,), (0, 0, 0, 0), [0, 0], "(0,0)", 5, None, [ORIGIN], 1j])
    def test_refuse_other_values(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}: it takes a "):
            builtin(name).encode(value)

    @pytest.mark.parametrize("data", [b"", b"\x00" * 7, b"\x00" * 15, b"\x00" * 65])
    def test_refuse_other_widths(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}"):
            builtin(name).decode(data)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"(",
            b"1,2",
            b"(1,2",
            b"((1,2)",
            b"[1,2]",
            b"(1, 2)",
            b"(a,b)",
            b"\xff",
            b"()",
            b"[]",
            b"(())",
        ],
    )
    def test_refuse_other_text(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}"):
            builtin(name).decoder(TEXT)(data)


def test_enum_members() -> None:
    assert builtin("point").encode(member(ORIGIN)) == b"\x00" * 16


@pytest.mark.parametrize("name", ["path", "polygon"])
@pytest.mark.parametrize("count", [0, -1, 2, 2**31 - 1])
def test_refuses_another_number_of_points(name: str, count: int) -> None:
    head = b"\x00" if name == "path" else b""
    with pytest.raises(DataError, match=f"malformed {name}: {count} points in 16 bytes"):
        builtin(name).decode(head + struct.pack("!i", count) + b"\x00" * 16)


def test_a_path_is_open_or_closed() -> None:
    with pytest.raises(DataError, match="neither open nor closed"):
        builtin("path").decode(b"\x02" + struct.pack("!i", 1) + b"\x00" * 16)


def test_a_box_keeps_the_corners_that_postgresql_keeps() -> None:
    corners = (Point(2, 3), Point(0, 1))
    for first, second in ((Point(2, 3), Point(0, 1)), (Point(0, 1), Point(2, 3)), (Point(0, 3), Point(2, 1))):
        box = Box(first, second)
        assert (box.upper_right, box.lower_left) == corners
    nan = Box(Point(math.nan, 0), Point(1, 0))
    assert math.isnan(nan.upper_right.x)
    assert nan.lower_left.x == 1
    assert math.isnan(Box(Point(1, 0), Point(math.nan, 0)).upper_right.x)


@pytest.mark.parametrize("coordinate", ["1", None, 1j, 10**400, Decimal("sNaN")])
def test_coordinates_are_numbers(coordinate: float) -> None:
    for make in (
        lambda: Point(0, coordinate),
        lambda: Line(0, 0, coordinate),
        lambda: Circle(ORIGIN, coordinate),
    ):
        with pytest.raises(DataError, match="a coordinate is a float"):
            make()


class Pair(NamedTuple):
    x: float
    y: int


TUPLES: dict[str, list[tuple[object, object]]] = {
    "point": [((Decimal(1), 2.5), Point(1, 2.5)), (Pair(1, 2), Point(1, 2))],
    "line": [((1, 2, 3), Line(1, 2, 3))],
    "lseg": [(((1, 2), Point(3, 4)), LineSegment(Point(1, 2), Point(3, 4)))],
    "box": [(((1, 2), (3, 4)), Box(Point(1, 2), Point(3, 4)))],
    "circle": [(((1, 2), 3), Circle(Point(1, 2), 3)), ((ORIGIN, 3), Circle(ORIGIN, 3))],
}


@pytest.mark.parametrize("name", TUPLES)
@pytest.mark.parametrize("format", [TEXT, BINARY])
def test_tuples_in_place_of_shapes(name: str, format: int) -> None:
    codec = builtin(name)
    array = builtin("_" + name)
    for given_, shape in TUPLES[name]:
        assert codec.decoder(format)(codec.encoder(format)(given_)) == shape
        for values, expected in (
            ([given_], [shape]),
            ((given_, shape, None), [shape, shape, None]),
            ([[given_, shape]], [[shape, shape]]),
        ):
            assert array.decoder(format)(array.encoder(format)(values)) == expected
    with pytest.raises(DataError, match=f"as {name}: it takes a "):
        array.encoder(format)(TUPLES[name][0][0])


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("point", (1, "x"), "a coordinate is a float, not 'x'"),
        ("point", (1, None), "a coordinate is a float, not None"),
        ("point", [1, 2], r"it takes a Point or a tuple \(x, y\)"),
        ("box", (1, 2), r"it takes a Point or a tuple \(x, y\), not 1"),
        ("box", [(1, 2), (3, 4)], r"it takes a Box or a tuple \(upper_right, lower_left\)"),
        ("circle", (1, 2, 3), r"it takes a Circle or a tuple \(center, radius\)"),
        ("path", ((1, 2), (3, 4)), "it takes a Path"),
        ("polygon", ((1, 2), (3, 4)), "it takes a Polygon"),
    ],
)
def test_tuples_that_are_no_shapes(name: str, value: object, complaint: str) -> None:
    with pytest.raises(DataError, match=rf"cannot encode .* as {name}: {complaint}"):
        builtin(name).encode(value)


def test_shapes_are_made_of_points_or_tuples() -> None:
    assert Path([(0, 1), Point(2, 3)], closed=True) == Path([Point(0, 1), Point(2, 3)], closed=True)
    assert Polygon([(0, 1)]) == Polygon([Point(0, 1)])
    for make in (
        lambda: Box([0, 0], ORIGIN),  # type: ignore[arg-type]  # that is the point
        lambda: LineSegment(ORIGIN, (0, 0, 0)),  # type: ignore[arg-type]  # that is the point
        lambda: Path(["ab"]),  # type: ignore[list-item]  # that is the point
    ):
        with pytest.raises(DataError, match="it takes a Point"):
            make()
    with pytest.raises(DataError, match="a path has at least one point"):
        Path([])
    with pytest.raises(DataError, match="a polygon has at least one point"):
        Polygon([])


def test_a_point_can_be_taken_apart() -> None:
    x, y = Point(1, 2)
    assert (x, y) == tuple(Point(1, 2)) == (1.0, 2.0)


def test_integers_become_floats() -> None:
    assert type(Point(1, 2).x) is float
    assert Point(1, 2) == Point(1.0, 2.0)
    assert str(Point(1, 2)) == "(1,2)"
