"""cube, of the extension of that name: `Cube`.

The binary form (`cube_send`) is a word with the number of dimensions, whose highest bit says that the cube is
a point, and the coordinates of the one corner or of both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value
from pgproto.types._float_text import float_text
from pgproto.types._numbers import parse_float
from pgproto.types._value import Value

__all__ = ["Cube", "cube_codec"]

_HEADER: Final = struct.Struct("!I")
_IS_POINT: Final = 0x8000_0000
_MAX_DIMENSIONS: Final = 100
_TEXT = pattern(r"\(([^()]*)\)(?:,\(([^()]+)\))?")


class Cube(Value):
    """A box in any number of dimensions; immutable. Without a second corner it is a point.

    Raises:
        DataError: the corners are no numbers, or have different dimensions.
    """

    __slots__ = ("corner", "opposite")

    corner: tuple[float, ...]
    opposite: tuple[float, ...]

    def __init__(self, corner: Iterable[float], opposite: Iterable[float] | None = None) -> None:
        first = _floats(corner)
        second = first if opposite is None else _floats(opposite)
        if len(first) != len(second):
            raise DataError(f"corners of {len(first)} and {len(second)} dimensions are not of one cube")
        object.__setattr__(self, "corner", first)
        object.__setattr__(self, "opposite", second)

    @property
    def is_point(self) -> bool:
        """Whether both corners are the same."""
        return self.corner == self.opposite

    def __str__(self) -> str:
        corners = [self.corner] if self.is_point else [self.corner, self.opposite]
        return ",".join([f"({', '.join([float_text(number) for number in corner])})" for corner in corners])


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    try:
        return tuple([float(value) for value in values])
    except Exception:
        # An iterable, or a number's __float__, may fail in any way.
        raise DataError(f"not a sequence of numbers: {shortened(values)}") from None


def cube_codec(oid: int, name: str) -> Codec:
    """The codec for cubes."""

    def cube(value: object) -> Cube:
        plain = unwrapped(value)
        if not isinstance(plain, Cube):
            raise wrong_value(name, value, "it takes a Cube")
        if len(plain.corner) > _MAX_DIMENSIONS:
            raise wrong_value(name, value, f"more than {_MAX_DIMENSIONS} dimensions")
        return plain

    def encode(value: object) -> bytes:
        plain = cube(value)
        numbers = plain.corner if plain.is_point else plain.corner + plain.opposite
        header = len(plain.corner) | (_IS_POINT if plain.is_point else 0)
        return _HEADER.pack(header) + struct.pack(f"!{len(numbers)}d", *numbers)

    def decode(data: bytes) -> object:
        if len(data) < _HEADER.size:
            raise malformed(name, f"{len(data)} bytes, at least {_HEADER.size} expected")
        (header,) = _HEADER.unpack_from(data)
        dimensions = header & ~_IS_POINT
        count = dimensions if header & _IS_POINT else 2 * dimensions
        if dimensions > _MAX_DIMENSIONS or len(data) != _HEADER.size + 8 * count:
            raise malformed(name, f"{dimensions} dimensions in {len(data) - _HEADER.size} bytes")
        numbers = struct.unpack_from(f"!{count}d", data, _HEADER.size)
        return Cube(numbers[:dimensions], None if header & _IS_POINT else numbers[dimensions:])

    def decode_text(data: bytes) -> object:
        match = _TEXT.fullmatch(ascii_text(name, data))
        if match is None:
            raise malformed(name, f"no cube: {shortened(data)}")
        texts = [corner for corner in match.groups() if corner is not None]
        corners = [
            [parse_float(name, number) for number in text.split(", ")] if text else [] for text in texts
        ]
        try:
            return Cube(*corners)
        except DataError as error:
            raise malformed(name, str(error)) from None

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=lambda value: str(cube(value)).encode("ascii"),
        decode_text=decode_text,
    )
