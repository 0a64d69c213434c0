"""vector, halfvec and sparsevec, of the extension vector (pgvector).

A vector or halfvec is a list of floats; a parameter may be any iterable of numbers, such as an array of
numpy. A sparsevec is a `SparseVector`. The binary forms are those of the extension's functions `vector_send`,
`halfvec_send` and `sparsevec_send`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value
from pgproto.types._float_text import float4_text
from pgproto.types._guards import is_iterable
from pgproto.types._numbers import parse_float
from pgproto.types._value import Value, integer_within

__all__ = ["SparseVector", "halfvec_codec", "sparsevec_codec", "vector_codec"]

_DENSE: Final = struct.Struct("!HH")
_SPARSE: Final = struct.Struct("!iii")
_DENSE_TEXT = pattern(r"\[([^][]*)\]")
_SPARSE_TEXT = pattern(r"\{([^{}]*)\}/([0-9]{1,10})")
_INDEX = pattern(r"[0-9]{1,10}")
_MAX_DENSE: Final = 2**16 - 1
_MAX_SPARSE: Final = 2**31 - 1


def _dense_codec(oid: int, name: str, code: str) -> Codec:
    width = struct.calcsize("!" + code)

    def encode(value: object) -> bytes:
        plain = unwrapped(value)
        if not is_iterable(plain):
            raise wrong_value(name, value, "it takes a list, or another iterable, of numbers")
        try:
            # One more than there may be: an iterable may have no end.
            numbers = list(islice(plain, _MAX_DENSE + 1))
            data = struct.pack(f"!{len(numbers)}{code}", *numbers)
        except Exception as error:
            # An iterable, or a number's __float__, may fail in any way.
            raise wrong_value(name, value, f"{type(error).__name__}: {error}") from error
        if not 1 <= len(numbers) <= _MAX_DENSE:
            raise wrong_value(name, value, f"{len(numbers)} dimensions were read; it takes 1 to {_MAX_DENSE}")
        return _DENSE.pack(len(numbers), 0) + data

    def decode(data: bytes) -> object:
        if len(data) < _DENSE.size:
            raise malformed(name, f"{len(data)} bytes, at least {_DENSE.size} expected")
        count, unused = _DENSE.unpack_from(data)
        if unused or len(data) != _DENSE.size + width * count:
            raise malformed(name, f"{count} dimensions in {len(data) - _DENSE.size} bytes")
        return list(struct.unpack_from(f"!{count}{code}", data, _DENSE.size))

    def encode_text(value: object) -> bytes:
        numbers = struct.iter_unpack("!" + code, encode(value)[_DENSE.size :])
        return f"[{','.join([float4_text(number) for (number,) in numbers])}]".encode("ascii")

    def decode_text(data: bytes) -> object:
        match = _DENSE_TEXT.fullmatch(ascii_text(name, data))
        if match is None:
            raise malformed(name, f"no vector: {shortened(data)}")
        return _rounded(name, code, [parse_float(name, number) for number in match[1].split(",")])

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=encode_text,
        decode_text=decode_text,
        takes_sequences=True,
    )


def _rounded(name: str, code: str, numbers: list[float]) -> list[float]:
    """The same numbers as in binary format: the text form has fewer digits."""
    layout = f"!{len(numbers)}{code}"
    try:
        return list(struct.unpack(layout, struct.pack(layout, *numbers)))
    except OverflowError:
        raise malformed(name, "a number is out of range") from None


def vector_codec(oid: int, name: str) -> Codec:
    """The codec for vectors of float4."""
    return _dense_codec(oid, name, "f")


def halfvec_codec(oid: int, name: str) -> Codec:
    """The codec for vectors of half-precision floats."""
    return _dense_codec(oid, name, "e")


class SparseVector(Value):
    """A vector most of whose elements are zero; immutable.

    Args:
        dimensions: how many elements it has.
        elements: those that are not zero, by index, counted from 0 (in PostgreSQL's text form from 1).

    Raises:
        DataError: an index is not one of the dimensions, or an element is no number.
    """

    __slots__ = ("dimensions", "elements")

    dimensions: int
    elements: tuple[tuple[int, float], ...]
    """Indices and elements, ascending."""

    def __init__(
        self, dimensions: int, elements: Mapping[int, float] | Iterable[tuple[int, float]] = ()
    ) -> None:
        if not integer_within(dimensions, 1, _MAX_SPARSE):
            raise DataError(f"a sparse vector has at least one dimension, not {shortened(dimensions)}")
        try:
            items = sorted([(index, float(value)) for index, value in dict(elements).items() if value])
        except Exception:
            # Mappings, iterables and numbers may fail in any way.
            raise DataError(f"not numbers by index: {shortened(elements)}") from None
        if not all(integer_within(index, 0, dimensions - 1) for index, _ in items):
            raise DataError(f"an index is not within {dimensions} dimensions: {shortened(elements)}")
        object.__setattr__(self, "dimensions", dimensions)
        object.__setattr__(self, "elements", tuple(items))

    def __str__(self) -> str:
        entries = [f"{index + 1}:{float4_text(value)}" for index, value in self.elements]
        return f"{{{','.join(entries)}}}/{self.dimensions}"


def sparsevec_codec(oid: int, name: str) -> Codec:
    """The codec for sparse vectors of float4."""

    def vector(value: object) -> SparseVector:
        plain = unwrapped(value)
        if not isinstance(plain, SparseVector):
            raise wrong_value(name, value, "it takes a SparseVector")
        return plain

    def encode(value: object) -> bytes:
        plain = vector(value)
        count = len(plain.elements)
        indices, values = [index for index, _ in plain.elements], [number for _, number in plain.elements]
        try:
            body = struct.pack(f"!{count}i{count}f", *indices, *values)
        except OverflowError:
            raise wrong_value(name, value, "an element is out of the range of float4") from None
        return _SPARSE.pack(plain.dimensions, count, 0) + body

    def decode(data: bytes) -> object:
        if len(data) < _SPARSE.size:
            raise malformed(name, f"{len(data)} bytes, at least {_SPARSE.size} expected")
        dimensions, count, unused = _SPARSE.unpack_from(data)
        if unused or count < 0 or len(data) != _SPARSE.size + 8 * count:
            raise malformed(name, f"{count} elements in {len(data) - _SPARSE.size} bytes")
        numbers = struct.unpack_from(f"!{count}i{count}f", data, _SPARSE.size)
        return made(dimensions, list(zip(numbers[:count], numbers[count:], strict=True)))

    def made(dimensions: int, items: list[tuple[int, float]]) -> SparseVector:
        if len({index for index, _ in items}) != len(items):
            raise malformed(name, "an index is there twice")
        try:
            return SparseVector(dimensions, items)
        except DataError as error:
            raise malformed(name, str(error)) from None

    def decode_text(data: bytes) -> object:
        match = _SPARSE_TEXT.fullmatch(ascii_text(name, data))
        if match is None:
            raise malformed(name, f"no sparse vector: {shortened(data)}")
        indices: list[int] = []
        values: list[float] = []
        for entry in match[1].split(",") if match[1] else ():
            index, _, number = entry.partition(":")
            if _INDEX.fullmatch(index) is None:
                raise malformed(name, f"no index: {shortened(entry)}")
            indices.append(int(index) - 1)
            values.append(parse_float(name, number))
        return made(int(match[2]), list(zip(indices, _rounded(name, "f", values), strict=True)))

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=lambda value: str(vector(value)).encode("ascii"),
        decode_text=decode_text,
    )
