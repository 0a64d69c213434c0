"""point, line, lseg, box, path, polygon and circle.

Chapter "Data Types", section "Geometric Types". All coordinates are floats. A point can be given as a tuple
`(x, y)`, also within another shape; and so can a line, `(a, b, c)`, and what is made of two points or of a
point and a radius.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, SupportsFloat, TypeAlias, TypeVar

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value
from pgproto.types._float_text import float_text
from pgproto.types._guards import is_tuple
from pgproto.types._numbers import FLOAT
from pgproto.types._value import Value, slot_setter

__all__ = ["GEOMETRY_CODECS", "Box", "Circle", "Line", "LineSegment", "Path", "Point", "Polygon"]

_Shape = TypeVar("_Shape", bound=Value)
_PointLike: TypeAlias = "Point | tuple[float, float]"

_NUMBER = pattern(FLOAT)
_COUNT: Final = struct.Struct("!i")
_POINT_SIZE: Final = 16


def _number(value: object) -> float:
    if isinstance(value, SupportsFloat):
        try:
            return float(value)
        except (ArithmeticError, TypeError, ValueError):
            pass
    raise DataError(f"a coordinate is a float, not {shortened(value)}")


def _points(shape: str, points: Iterable[_PointLike]) -> tuple[Point, ...]:
    checked = tuple([_point(point) for point in points])
    if not checked:
        raise DataError(f"a {shape} has at least one point")
    return checked


def _point(value: object) -> Point:
    if isinstance(value, Point):
        return value
    if is_tuple(value) and len(value) == 2:
        return Point(_number(value[0]), _number(value[1]))
    raise DataError(f"it takes a Point or a tuple (x, y), not {shortened(value)}")


def _list(points: Iterable[Point]) -> str:
    return ",".join([str(point) for point in points])


class Point(Value):
    """A point in the plane; immutable. `x, y = point` takes it apart.

    Raises:
        DataError: a coordinate is no number.
    """

    __slots__ = ("x", "y")

    x: float
    y: float

    def __init__(self, x: float, y: float) -> None:
        _set_x(self, _number(x))
        _set_y(self, _number(y))

    def __iter__(self) -> Iterator[float]:
        return iter((self.x, self.y))

    def __str__(self) -> str:
        return f"({float_text(self.x)},{float_text(self.y)})"


_new = object.__new__
_set_x = slot_setter(Point, "x")
_set_y = slot_setter(Point, "y")


class Line(Value):
    """The infinite line a*x + b*y + c = 0; immutable. PostgreSQL refuses one where a and b are zero.

    Raises:
        DataError: a coefficient is no number.
    """

    __slots__ = ("a", "b", "c")

    a: float
    b: float
    c: float

    def __init__(self, a: float, b: float, c: float) -> None:
        object.__setattr__(self, "a", _number(a))
        object.__setattr__(self, "b", _number(b))
        object.__setattr__(self, "c", _number(c))

    def __str__(self) -> str:
        return f"{{{float_text(self.a)},{float_text(self.b)},{float_text(self.c)}}}"


class LineSegment(Value):
    """PostgreSQL's lseg: the line from one point to another; immutable."""

    __slots__ = ("start", "end")  # noqa: RUF023  # the constructor's order

    start: Point
    end: Point

    def __init__(self, start: _PointLike, end: _PointLike) -> None:
        object.__setattr__(self, "start", _point(start))
        object.__setattr__(self, "end", _point(end))

    def __str__(self) -> str:
        return f"[{self.start},{self.end}]"


class Box(Value):
    """A rectangle; immutable. Any two opposite corners will do; it keeps the upper right and the lower left
    one, as PostgreSQL does.
    """

    __slots__ = ("upper_right", "lower_left")  # noqa: RUF023  # the constructor's order

    upper_right: Point
    lower_left: Point

    def __init__(self, upper_right: _PointLike, lower_left: _PointLike) -> None:
        first, second = _point(upper_right), _point(lower_left)
        low_x, high_x = _ordered(first.x, second.x)
        low_y, high_y = _ordered(first.y, second.y)
        object.__setattr__(self, "upper_right", Point(high_x, high_y))
        object.__setattr__(self, "lower_left", Point(low_x, low_y))

    def __str__(self) -> str:
        return f"{self.upper_right},{self.lower_left}"


def _ordered(first: float, second: float) -> tuple[float, float]:
    """The lesser first; NaN is greater than all, as PostgreSQL has it. The second where it makes no
    difference."""
    if first < second or (second != second and first == first):
        return first, second
    return second, first


class Path(Value):
    """Points joined by lines, closed if there is a line from the last to the first; immutable.

    Raises:
        DataError: there are no points.
    """

    __slots__ = ("points", "closed")  # noqa: RUF023  # the constructor's order

    points: tuple[Point, ...]
    closed: bool

    def __init__(self, points: Iterable[_PointLike], closed: bool = False) -> None:
        object.__setattr__(self, "points", _points("path", points))
        object.__setattr__(self, "closed", bool(closed))

    def __str__(self) -> str:
        return f"({_list(self.points)})" if self.closed else f"[{_list(self.points)}]"


class Polygon(Value):
    """The area within a closed path; immutable.

    Raises:
        DataError: there are no points.
    """

    __slots__ = ("points",)

    points: tuple[Point, ...]

    def __init__(self, points: Iterable[_PointLike]) -> None:
        object.__setattr__(self, "points", _points("polygon", points))

    def __str__(self) -> str:
        return f"({_list(self.points)})"


class Circle(Value):
    """A circle; immutable. PostgreSQL refuses a negative radius."""

    __slots__ = ("center", "radius")

    center: Point
    radius: float

    def __init__(self, center: _PointLike, radius: float) -> None:
        object.__setattr__(self, "center", _point(center))
        object.__setattr__(self, "radius", _number(radius))

    def __str__(self) -> str:
        return f"<{self.center},{float_text(self.radius)}>"


def _make_point(x: float, y: float) -> Point:
    value = _new(Point)
    _set_x(value, x)
    _set_y(value, y)
    return value


def _make_circle(x: float, y: float, radius: float) -> Circle:
    return Circle(_make_point(x, y), radius)


def _paired(numbers: Iterable[float]) -> list[Point]:
    iterator = iter(numbers)
    return [_make_point(x, y) for x, y in zip(iterator, iterator, strict=True)]


# Each shape is a list of floats, for some a fixed number of them, and a form of text in which "#" stands for
# a number.


def _numbers_in(name: str, text: str) -> tuple[list[float], str]:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return numbers, _NUMBER.sub("#", text)


def _fixed_codec(
    oid: int,
    name: str,
    kind: type[_Shape],
    form: str,
    flat: Callable[[Any], tuple[float, ...]],
    make: Callable[..., _Shape],
) -> Codec:
    """The codec of a shape of so many numbers as there are in the form."""
    layout = struct.Struct(f"!{form.count('#')}d")
    parts = kind.__slots__

    def shape(value: object) -> _Shape:
        plain = unwrapped(value)
        if isinstance(plain, kind):
            return plain
        if is_tuple(plain) and len(plain) == len(parts):
            try:
                return kind(*plain)
            except DataError as error:
                raise wrong_value(name, value, str(error)) from None
        raise wrong_value(name, value, f"it takes a {kind.__name__} or a tuple ({', '.join(parts)})")

    def decode(data: bytes) -> object:
        try:
            return make(*layout.unpack(data))
        except struct.error:
            raise malformed(name, f"{len(data)} bytes instead of {layout.size}") from None

    def decode_text(data: bytes) -> object:
        numbers, found = _numbers_in(name, ascii_text(name, data))
        if found != form:
            raise malformed(name, f"not of the form {form}: {shortened(data)}")
        return make(*numbers)

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=lambda value: layout.pack(*flat(shape(value))),
        decode=decode,
        encode_text=lambda value: str(shape(value)).encode("ascii"),
        decode_text=decode_text,
        takes_tuples=True,
    )


def _packed_points(points: tuple[Point, ...]) -> bytes:
    numbers = [number for point in points for number in (point.x, point.y)]
    return _COUNT.pack(len(points)) + struct.pack(f"!{len(numbers)}d", *numbers)


def _unpacked_points(name: str, data: bytes, start: int) -> list[Point]:
    if len(data) < start + _COUNT.size:
        raise malformed(name, f"{len(data)} bytes, at least {start + _COUNT.size} expected")
    (count,) = _COUNT.unpack_from(data, start)
    start += _COUNT.size
    if count < 1 or len(data) - start != count * _POINT_SIZE:
        raise malformed(name, f"{count} points in {len(data) - start} bytes")
    return _paired(struct.unpack_from(f"!{2 * count}d", data, start))


def _points_in(name: str, text: str) -> list[Point]:
    """The points of the text form of a path or polygon, whose outer brackets the caller has checked."""
    numbers, found = _numbers_in(name, text[1:-1])
    if len(text) < 2 or not numbers or found != ",".join(["(#,#)"] * (len(numbers) // 2)):
        raise malformed(name, f"no points: {shortened(text)}")
    return _paired(numbers)


def _path(value: object) -> Path:
    plain = unwrapped(value)
    if not isinstance(plain, Path):
        raise wrong_value("path", value, "it takes a Path")
    return plain


def _encode_path(value: object) -> bytes:
    path = _path(value)
    return bytes([path.closed]) + _packed_points(path.points)


def _decode_path(data: bytes) -> object:
    if data[:1] not in (b"\x00", b"\x01"):
        raise malformed("path", f"neither open nor closed: {data[:1]!r}")
    return Path(_unpacked_points("path", data, 1), data[0] == 1)


def _decode_path_text(data: bytes) -> object:
    text = ascii_text("path", data)
    if text[:1] + text[-1:] not in ("[]", "()"):
        raise malformed("path", f"neither open nor closed: {shortened(text)}")
    return Path(_points_in("path", text), text[0] == "(")


def _polygon(value: object) -> Polygon:
    plain = unwrapped(value)
    if not isinstance(plain, Polygon):
        raise wrong_value("polygon", value, "it takes a Polygon")
    return plain


def _decode_polygon_text(data: bytes) -> object:
    text = ascii_text("polygon", data)
    if text[:1] + text[-1:] != "()":
        raise malformed("polygon", f"no outer parentheses: {shortened(text)}")
    return Polygon(_points_in("polygon", text))


GEOMETRY_CODECS: Final = (
    _fixed_codec(600, "point", Point, "(#,#)", lambda point: (point.x, point.y), _make_point),
    _fixed_codec(628, "line", Line, "{#,#,#}", lambda line: (line.a, line.b, line.c), Line),
    _fixed_codec(
        601,
        "lseg",
        LineSegment,
        "[(#,#),(#,#)]",
        lambda line: (line.start.x, line.start.y, line.end.x, line.end.y),
        lambda *numbers: LineSegment(*_paired(numbers)),
    ),
    _fixed_codec(
        603,
        "box",
        Box,
        "(#,#),(#,#)",
        lambda box: (box.upper_right.x, box.upper_right.y, box.lower_left.x, box.lower_left.y),
        lambda *numbers: Box(*_paired(numbers)),
    ),
    _fixed_codec(
        718,
        "circle",
        Circle,
        "<(#,#),#>",
        lambda circle: (circle.center.x, circle.center.y, circle.radius),
        _make_circle,
    ),
    Codec(
        oid=602,
        name="path",
        format=BINARY,
        encode=_encode_path,
        decode=_decode_path,
        encode_text=lambda value: str(_path(value)).encode("ascii"),
        decode_text=_decode_path_text,
    ),
    Codec(
        oid=604,
        name="polygon",
        format=BINARY,
        encode=lambda value: _packed_points(_polygon(value).points),
        decode=lambda data: Polygon(_unpacked_points("polygon", data, 0)),
        encode_text=lambda value: str(_polygon(value)).encode("ascii"),
        decode_text=_decode_polygon_text,
    ),
)
