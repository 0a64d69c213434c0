"""Arrays: of any element type, in up to six dimensions, with NULLs and lower bounds.

Chapter "Data Types", section "Arrays". An array decodes to a list, of lists where it has several dimensions,
with None for NULL. An array whose lower bounds are not all 1 decodes to an `Array`, which keeps them.

A parameter may be a list, a tuple or another sequence, a set, or an `Array`. Lists and tuples inside are
further dimensions, and all must have the same length. Where an element may be a tuple (points, ranges),
only lists are. Where it may be a list too (json, composites, vectors), a list has one dimension, whatever its
elements are; more than one dimension of these is an `Array`, both ways.

The binary form (`array_send` in PostgreSQL's source) is the number of dimensions, a flag for NULLs, the OID
of the element type, length and lower bound of each dimension, and each element behind its length, or behind
-1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from pgproto._dataclasses import dataclass
from pgproto.errors import DataError
from pgproto.types._array_text import array_text, parse_array
from pgproto.types._codec import (
    BINARY,
    MAX_DEPTH,
    TEXT,
    Codec,
    Decode,
    Encode,
    container,
    join_fields,
    malformed,
    shortened,
    take_fields,
    wrong_value,
)
from pgproto.types._elements import element_packer
from pgproto.types._guards import is_collection, is_list, is_list_or_tuple
from pgproto.types._text_form import text_form
from pgproto.types._value import integer_within

__all__ = ["Array", "array_codec"]

_HEADER: Final = struct.Struct("!iiI")
_DIMENSION: Final = struct.Struct("!ii")
_ONE_DIMENSION: Final = struct.Struct("!iiIii")
_MAX_DIMENSIONS: Final = 6
_INT32_MAX: Final = 2**31 - 1
_FREE_LISTS: Final = 64
_BLOCKS: Final = (64, 8, 1)
"""So many elements are unpacked together: by the dozen it costs half of unpacking them one by one."""

_MOST_AT_ONCE: Final = 1024
"""Of more elements, what unpacks all of them at once would take as much memory as they do."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array with its shape: what a nested list cannot say; immutable.

    Raises:
        DataError: the lengths do not multiply to the number of elements, or there are more than six
        dimensions.
    """

    elements: tuple[Any, ...]
    """All elements, the last dimension running fastest."""
    lengths: tuple[int, ...] = ()
    """The length of each dimension; none means one dimension of all elements."""
    lower_bounds: tuple[int, ...] = ()
    """The first subscript of each dimension; none means that all are 1, PostgreSQL's default."""

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "elements", tuple(self.elements))
        set_field(self, "lengths", tuple(self.lengths) or ((len(self.elements),) if self.elements else ()))
        set_field(self, "lower_bounds", tuple(self.lower_bounds) or (1,) * len(self.lengths))
        if not all(integer_within(length, 0, _INT32_MAX) for length in self.lengths):
            raise DataError(f"the lengths of an array are integers of 32 bits, not {shortened(self.lengths)}")
        if len(self.lengths) > _MAX_DIMENSIONS or len(self.lower_bounds) != len(self.lengths):
            raise DataError(f"an array has up to {_MAX_DIMENSIONS} dimensions, each with one lower bound")
        expected = math.prod(self.lengths) if self.lengths else 0
        if expected != len(self.elements):
            raise DataError(f"an array of {self.lengths} has no {len(self.elements)} elements")
        for length, bound in zip(self.lengths, self.lower_bounds, strict=True):
            if not integer_within(bound, -_INT32_MAX - 1, _INT32_MAX - length):
                raise DataError(
                    f"subscripts from {shortened(bound)}, for {length} elements, are out of range"
                )

    def to_list(self) -> list[Any]:
        """The elements as a list, of lists if there are several dimensions."""
        return _nested(list(self.elements), self.lengths)

    def __str__(self) -> str:
        elements = [None if element is None else text_form(element).encode() for element in self.elements]
        return array_text(elements, self.lengths, self.lower_bounds, b",").decode()


def _nested(values: list[Any], lengths: Sequence[int]) -> list[Any]:
    for length in reversed(lengths[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def _shaped(
    element: Codec, values: list[Any], lengths: tuple[int, ...], lower_bounds: tuple[int, ...]
) -> object:
    ambiguous = element.takes_sequences and len(lengths) > 1
    if ambiguous or lower_bounds != (1,) * len(lower_bounds):
        return Array(tuple(values), lengths, lower_bounds)
    return _nested(values, lengths)


def _check_lists(name: str, lengths: tuple[int, ...], size: int) -> None:
    """Dimensions of length 1 make many lists of few bytes."""
    lists, total = 0, 1
    for length in lengths[:-1]:
        total *= length
        lists += total
    if lists > _FREE_LISTS + size * 3 // 4:
        raise malformed(name, f"{lists} rows in {size} bytes")


def _shape(name: str, data: bytes, element_oid: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Lengths, lower bounds, and where the elements begin."""
    if len(data) < _HEADER.size:
        raise malformed(name, f"{len(data)} bytes, at least {_HEADER.size} expected")
    dimensions, flags, oid = _HEADER.unpack_from(data)
    if not 0 <= dimensions <= _MAX_DIMENSIONS or flags not in (0, 1):
        raise malformed(name, f"{dimensions} dimensions with flags {flags:#x}")
    if oid != element_oid:
        raise malformed(name, f"elements of type OID {oid} instead of {element_oid}")
    start = _HEADER.size + dimensions * _DIMENSION.size
    if len(data) < start:
        raise malformed(name, f"{len(data)} bytes for {dimensions} dimensions")
    pairs = [
        _DIMENSION.unpack_from(data, _HEADER.size + index * _DIMENSION.size) for index in range(dimensions)
    ]
    for length, bound in pairs:
        if length < 0 or bound > _INT32_MAX - length:
            raise malformed(name, f"a dimension of length {length} from {bound}")
    return tuple(length for length, _ in pairs), tuple(bound for _, bound in pairs), start


def _uniform(data: bytes, start: int, width: int, count: int) -> bool:
    """Whether all elements have this width, and none is NULL: then one loop in C unpacks them."""
    step = width + 4
    if len(data) - start != count * step:
        return False
    zeros = bytes(count)
    return (
        data[start + 3 :: step] == bytes((width,)) * count
        and data[start::step] == zeros
        and data[start + 1 :: step] == zeros
        and data[start + 2 :: step] == zeros
    )


def _unpacker(code: str) -> Callable[[bytes, int, int], list[Any]]:
    """Unpacks so many elements of one width, each behind its length, from a position to the end."""
    blocks = [struct.Struct("!" + f"4x{code}" * size) for size in _BLOCKS]
    # How many there were the last time; and of how many all are unpacked in one call, and by what.
    seen = 0
    whole: tuple[int, Callable[[bytes, int], tuple[Any, ...]]] = (-1, blocks[-1].unpack_from)

    def unpack(data: bytes, start: int, count: int) -> list[Any]:
        nonlocal seen, whole
        size, unpack_whole = whole
        if count == size:
            return list(unpack_whole(data, start))
        if count == seen and count <= _MOST_AT_ONCE:
            # Arrays are often alike, as vectors and matrices are.
            whole = count, struct.Struct("!" + f"4x{code}" * count).unpack_from
        seen = count
        view = memoryview(data)
        values: list[Any] = []
        for block in blocks:
            rest = len(data) - (len(data) - start) % block.size
            for several in block.iter_unpack(view[start:rest]):
                values += several
            start = rest
        return values

    return unpack


def _binary_decoder(name: str, element: Codec) -> Callable[[bytes, int], object]:
    decode_nested, decode_alone = element.decode_nested, element.decoder(BINARY)
    element_oid, from_struct = element.oid, element.from_struct
    unpack = _unpacker(element.struct_format) if element.struct_format else None
    width = struct.calcsize("!" + element.struct_format)

    def elements(data: bytes, start: int, count: int, depth: int) -> list[Any]:
        if unpack is not None and _uniform(data, start, width, count):
            values = unpack(data, start, count)
            return values if from_struct is None else list(map(from_struct, values))
        fields = take_fields(name, data, start, count)
        if decode_nested is not None:
            return [None if field is None else decode_nested(field, depth + 1) for field in fields]
        return [None if field is None else decode_alone(field) for field in fields]

    def decode(data: bytes, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise malformed(name, f"nested more than {MAX_DEPTH} deep")
        if len(data) >= _ONE_DIMENSION.size:
            dimensions, flags, oid, count, bound = _ONE_DIMENSION.unpack_from(data)
            if dimensions == bound == 1 and count > 0 and flags in (0, 1) and oid == element_oid:
                # Nearly all arrays are so, and there is nothing to make of the list.
                return elements(data, _ONE_DIMENSION.size, count, depth)
        lengths, lower_bounds, start = _shape(name, data, element_oid)
        count = math.prod(lengths) if lengths else 0
        if count == 0 and lengths:
            raise malformed(name, "a dimension of length 0")
        values = elements(data, start, count, depth)
        _check_lists(name, lengths, len(data))
        return _shaped(element, values, lengths, lower_bounds)

    return decode


def _listed(value: object) -> list[object] | None:
    """The value as a list, or None if it is no collection; it may raise whatever it likes."""
    if is_collection(value):
        return list(value)
    # numpy's arrays know how to become lists, with a list for each row of more than one dimension.
    as_list = getattr(value, "tolist", None) if hasattr(type(value), "__array_interface__") else None
    listed: object = None if as_list is None else as_list()
    return listed if is_list(listed) else None


def _rows(values: list[object], element: Codec) -> list[Sequence[object]]:
    """Those that are no elements, but a further dimension of them."""
    if element.takes_tuples:
        return [value for value in values if is_list(value)]
    return [value for value in values if is_list_or_tuple(value)]


def _flattened(
    name: str, value: object, element: Codec
) -> tuple[Sequence[object], tuple[int, ...], tuple[int, ...]]:
    """The elements of a parameter, the lengths and the lower bounds."""
    if isinstance(value, Array):
        return value.elements, value.lengths, value.lower_bounds
    try:
        values = _listed(value)
    except Exception as error:
        # A sequence of the caller's own may fail in any way.
        raise wrong_value(name, value, f"{type(error).__name__}: {error}") from error
    if values is None:
        raise wrong_value(
            name, value, "it takes a list, another sequence, a set, an array of numpy, or an Array"
        )
    lengths = [len(values)]
    while not element.takes_sequences and _rows(values[:1], element):
        rows = _rows(values, element)
        if len(rows) != len(values) or len({len(row) for row in rows}) > 1:
            raise wrong_value(name, value, "its rows must be lists of the same length")
        if len(lengths) == _MAX_DIMENSIONS:
            raise wrong_value(name, value, f"an array has up to {_MAX_DIMENSIONS} dimensions")
        lengths.append(len(rows[0]))
        values = [cell for row in rows for cell in row]
    return (values, tuple(lengths), (1,) * len(lengths)) if values else ((), (), ())


def _binary_encoder(name: str, element: Codec) -> Encode:
    encode_element, element_oid = element.encoder(BINARY), element.oid
    pack = element_packer(element)

    def encode(value: object) -> bytes:
        elements, lengths, lower_bounds = _flattened(name, value, element)
        nulls = 0
        try:
            body: bytes | None = pack(elements)
        except Exception:
            body = None
        if body is None:
            nulls = int(any([item is None for item in elements]))  # noqa: C419  # faster than a generator
            body = join_fields(name, encode_element, elements)
        shape = [_DIMENSION.pack(*pair) for pair in zip(lengths, lower_bounds, strict=True)]
        return b"".join([_HEADER.pack(len(lengths), nulls, element_oid), *shape, body])

    return encode


def _text_encoder(name: str, element: Codec, delimiter: bytes) -> Encode:
    encode_element = element.encoder(TEXT)

    def encode(value: object) -> bytes:
        elements, lengths, lower_bounds = _flattened(name, value, element)
        texts = [None if item is None else encode_element(item) for item in elements]
        return array_text(texts, lengths, lower_bounds, delimiter)

    return encode


def _text_decoder(name: str, element: Codec, delimiter: bytes) -> Decode:
    decode_element = element.decoder(TEXT)

    def decode(data: bytes) -> object:
        texts, lengths, lower_bounds = parse_array(name, data, delimiter)
        values: list[Any] = texts
        for index, text in enumerate(texts):
            # In place: texts and values together would take more memory than they have to.
            if text is not None:
                values[index] = decode_element(text)
        _check_lists(name, lengths, len(data))
        return _shaped(element, values, lengths, lower_bounds)

    return decode


def array_codec(oid: int, name: str, element: Codec, delimiter: str = ",") -> Codec:
    """The codec for arrays of this element; it travels in the format in which the element does."""
    separator = delimiter.encode()
    return container(
        oid,
        name,
        (element,),
        encode_text=_text_encoder(name, element, separator),
        decode_text=_text_decoder(name, element, separator),
        encode_binary=lambda: _binary_encoder(name, element),
        decode_binary=lambda: _binary_decoder(name, element),
    )
