"""Ranges and multiranges of any subtype.

Chapter "Data Types", section "Range Types". A range decodes to a `Range`, a multirange to a `Multirange`.
The server brings ranges of integers and dates into the form `[lower,upper)`; what is sent may be in any. A
tuple `(lower, upper)` is sent as such a range, too, so that in an array of ranges only lists are dimensions.

The binary form of a range (`range_send` in PostgreSQL's source) is a byte of flags and the bounds that are
there, each behind its length; of a multirange, a count and each range behind its length.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, overload

from pgproto._patterns import pattern
from pgproto.errors import DataError
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
    nested_decoder,
    shortened,
    take_fields,
    unwrapped,
    wrong_value,
)
from pgproto.types._guards import is_list_or_tuple, is_plain_tuple
from pgproto.types._row_text import BOUND, field_of, field_text
from pgproto.types._text_form import text_form
from pgproto.types._value import Value, slot_setter

__all__ = ["Bounds", "Multirange", "Range", "multirange_codec", "range_codec"]

Bounds: TypeAlias = Literal["[)", "[]", "(]", "()"]
"""A square bracket for a bound that is part of the range, a round one for a bound that is not."""

_EMPTY, _LOWER_INCLUDED, _UPPER_INCLUDED, _LOWER_INFINITE, _UPPER_INFINITE = 0x01, 0x02, 0x04, 0x08, 0x10
_COUNT: Final = struct.Struct("!i")


class Range(Value):
    """A range of values; immutable.

    `Range(1, 5)` is `[1,5)`, `Range(None, 5, "(]")` is `(,5]`, `Range(empty=True)` is the empty range.
    Without a bound, None, a range has no end on that side, and no such end is part of it. Two are equal if
    their bounds are: `[1,5)` and `[1,4]` are not, as only the server knows whether the subtype has steps.

    Raises:
        DataError: the bounds are none of "[)", "[]", "(]" and "()", or an empty range has any.
    """

    __slots__ = ("lower", "upper", "bounds", "empty")  # noqa: RUF023  # the constructor's order

    lower: Any
    upper: Any
    bounds: Bounds
    empty: bool

    def __init__(
        self, lower: Any = None, upper: Any = None, bounds: Bounds = "[)", empty: bool = False
    ) -> None:
        if bounds not in ("[)", "[]", "(]", "()"):
            raise DataError(f"the bounds of a range are [), [], (] or (), not {shortened(bounds)}")
        if empty and not (lower is None and upper is None):
            raise DataError("an empty range has no bounds")
        _set_lower(self, lower)
        _set_upper(self, upper)
        _set_bounds(
            self, _BOUNDS[bounds[0] == "[" and lower is not None, bounds[1] == "]" and upper is not None]
        )
        _set_empty(self, empty)

    @property
    def lower_included(self) -> bool:
        """Whether the lower bound is part of the range."""
        return self.bounds[0] == "["

    @property
    def upper_included(self) -> bool:
        """Whether the upper bound is part of the range."""
        return self.bounds[1] == "]"

    def __contains__(self, value: Any) -> bool:
        if self.empty:
            return False
        if self.lower is not None and not (
            self.lower < value or (self.lower_included and self.lower == value)
        ):
            return False
        return self.upper is None or value < self.upper or (self.upper_included and bool(self.upper == value))

    def __bool__(self) -> bool:
        return not self.empty

    def __str__(self) -> str:
        lower, upper = (
            None if bound is None else text_form(bound).encode() for bound in (self.lower, self.upper)
        )
        return _range_text(self, lower, upper).decode()


_BOUNDS: Final[dict[tuple[bool, bool], Bounds]] = {
    (True, False): "[)",
    (True, True): "[]",
    (False, True): "(]",
    (False, False): "()",
}
_set_lower = slot_setter(Range, "lower")
_set_upper = slot_setter(Range, "upper")
_set_bounds = slot_setter(Range, "bounds")
_set_empty = slot_setter(Range, "empty")


class Multirange(Value, Sequence[Range]):
    """A set of values as ranges, which the server has put in order and joined where they touch; immutable."""

    __slots__ = ("ranges",)

    ranges: tuple[Range, ...]

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        object.__setattr__(self, "ranges", tuple(ranges))

    def __len__(self) -> int:
        return len(self.ranges)

    @overload
    def __getitem__(self, index: int) -> Range: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Range, ...]: ...
    def __getitem__(self, index: int | slice) -> Range | tuple[Range, ...]:
        return self.ranges[index]

    def __iter__(self) -> Iterator[Range]:
        return iter(self.ranges)

    def __contains__(self, value: object) -> bool:
        """Whether a value is in one of the ranges, or a range is one of them."""
        if isinstance(value, Range):
            return value in self.ranges
        return any(value in part for part in self.ranges)

    def __str__(self) -> str:
        return "{" + ",".join(str(part) for part in self.ranges) + "}"


def _range_text(value: Range, lower: bytes | None, upper: bytes | None) -> bytes:
    if value.empty:
        return b"empty"
    start, end = value.bounds
    texts = (b"" if bound is None else field_text(bound) for bound in (lower, upper))
    return start.encode() + b",".join(texts) + end.encode()


def _parse_range(name: str, data: bytes, position: int, decode: Decode) -> tuple[Range, int]:
    """The range that begins at this byte, and where it ends."""
    if data.startswith(b"empty", position):
        return Range(empty=True), position + 5
    lower = BOUND.match(data, position + 1)
    comma = position + 1 if lower is None else lower.end()
    upper = BOUND.match(data, comma + 1)
    end = comma + 1 if upper is None else upper.end()
    marks = data[position : position + 1], data[comma : comma + 1], data[end : end + 1]
    if marks[0] not in (b"[", b"(") or marks[1] != b"," or marks[2] not in (b"]", b")"):
        raise malformed(name, f"no range at byte {position}: {shortened(data)}")
    lower_included, upper_included = marks[0] == b"[", marks[2] == b"]"
    if (lower_included and lower is None) or (upper_included and upper is None):
        raise malformed(name, f"a bound that is not there is included: {shortened(data)}")
    first, last = (None if match is None else decode(field_of(match)) for match in (lower, upper))
    return Range(first, last, _BOUNDS[lower_included, upper_included]), end + 1


def _checked_range(name: str, value: object) -> Range:
    plain = unwrapped(value)
    if isinstance(plain, Range):
        return plain
    if is_plain_tuple(plain) and len(plain) == 2:
        return Range(*plain)
    raise wrong_value(name, value, "it takes a Range, or a tuple (lower, upper)")


def _encode_range(name: str, encode: Encode, value: object) -> bytes:
    plain = _checked_range(name, value)
    if plain.empty:
        return bytes([_EMPTY])
    flags = _LOWER_INCLUDED if plain.lower_included else 0
    flags |= _UPPER_INCLUDED if plain.upper_included else 0
    flags |= _LOWER_INFINITE if plain.lower is None else 0
    flags |= _UPPER_INFINITE if plain.upper is None else 0
    bounds = [bound for bound in (plain.lower, plain.upper) if bound is not None]
    return bytes([flags]) + join_fields(name, encode, bounds)


def _decode_range(name: str, decode: Callable[[bytes, int], object], data: bytes, depth: int) -> Range:
    if depth > MAX_DEPTH:
        raise malformed(name, f"nested more than {MAX_DEPTH} deep")
    if not data:
        raise malformed(name, "0 bytes")
    flags = data[0]
    if flags & _EMPTY:
        if data != b"\x01":
            raise malformed(name, f"empty, with flags {flags:#x} and {len(data)} bytes")
        return Range(empty=True)
    lower_infinite, upper_infinite = bool(flags & _LOWER_INFINITE), bool(flags & _UPPER_INFINITE)
    lower_included, upper_included = bool(flags & _LOWER_INCLUDED), bool(flags & _UPPER_INCLUDED)
    if flags > 0x1F or (lower_infinite and lower_included) or (upper_infinite and upper_included):
        raise malformed(name, f"flags {flags:#x}")
    fields = take_fields(name, data, 1, 2 - lower_infinite - upper_infinite)
    bounds = [None if field is None else decode(field, depth + 1) for field in fields]
    if any(bound is None for bound in bounds):
        raise malformed(name, "a bound is NULL")
    lower = None if lower_infinite else bounds[0]
    upper = None if upper_infinite else bounds[-1]
    return Range(lower, upper, _BOUNDS[lower_included, upper_included])


def range_codec(oid: int, name: str, subtype: Codec) -> Codec:
    """The codec for ranges of this subtype."""
    encode_bound, decode_bound = subtype.encoder(TEXT), subtype.decoder(TEXT)

    def encode_text(value: object) -> bytes:
        plain = _checked_range(name, value)
        lower, upper = (
            None if bound is None else encode_bound(bound) for bound in (plain.lower, plain.upper)
        )
        return _range_text(plain, lower, upper)

    def decode_text(data: bytes) -> object:
        value, end = _parse_range(name, data, 0, decode_bound)
        if end != len(data):
            raise malformed(name, f"{len(data) - end} bytes too many: {shortened(data)}")
        return value

    def encode_binary() -> Encode:
        encode = subtype.encoder(BINARY)
        return lambda value: _encode_range(name, encode, value)

    def decode_binary() -> Callable[[bytes, int], object]:
        decode = nested_decoder(subtype)
        return lambda data, depth: _decode_range(name, decode, data, depth)

    return container(
        oid,
        name,
        (subtype,),
        encode_text=encode_text,
        decode_text=decode_text,
        encode_binary=encode_binary,
        decode_binary=decode_binary,
        takes_tuples=True,
    )


def _checked_ranges(name: str, value: object) -> Sequence[object]:
    plain = unwrapped(value)
    if isinstance(plain, Multirange):
        return plain.ranges
    if not is_list_or_tuple(plain):
        raise wrong_value(name, value, "it takes a Multirange, or a list of Range")
    if any(part is None for part in plain):
        raise wrong_value(name, value, "no range in it can be NULL")
    return plain


def multirange_codec(oid: int, name: str, part: Codec) -> Codec:
    """The codec for multiranges of this range type."""
    encode_part, decode_part = part.encoder(TEXT), part.decoder(TEXT)

    def encode_text(value: object) -> bytes:
        return b"{" + b",".join([encode_part(item) for item in _checked_ranges(name, value)]) + b"}"

    def decode_text(data: bytes) -> object:
        return Multirange(decode_part(text) for text in _split_ranges(name, data))  # type: ignore[misc]  # all are Range

    def encode_binary() -> Encode:
        encode = part.encoder(BINARY)

        def encode_all(value: object) -> bytes:
            ranges = _checked_ranges(name, value)
            return _COUNT.pack(len(ranges)) + join_fields(name, encode, ranges)

        return encode_all

    def decode_binary() -> Callable[[bytes, int], object]:
        decode = nested_decoder(part)

        def decode_all(data: bytes, depth: int) -> object:
            if depth > MAX_DEPTH:
                raise malformed(name, f"nested more than {MAX_DEPTH} deep")
            if len(data) < _COUNT.size:
                raise malformed(name, f"{len(data)} bytes, at least {_COUNT.size} expected")
            (count,) = _COUNT.unpack_from(data)
            if count < 0:
                raise malformed(name, f"{count} ranges")
            ranges: list[Any] = []
            for field in take_fields(name, data, _COUNT.size, count):
                if field is None:
                    raise malformed(name, "a range in it is NULL")
                ranges.append(decode(field, depth + 1))
            return Multirange(ranges)

        return decode_all

    return container(
        oid,
        name,
        (part,),
        encode_text=encode_text,
        decode_text=decode_text,
        encode_binary=encode_binary,
        decode_binary=decode_binary,
    )


_RANGE = pattern(rb'empty|[\[(](?:"(?:[^"\\]++|""|\\\\)*+"|[^"\\()\[\]]++)*+[\])]', re.DOTALL)


def _split_ranges(name: str, data: bytes) -> list[bytes]:
    """The texts of the ranges of a multirange."""
    if data == b"{}":
        return []
    texts: list[bytes] = []
    position = 0
    while position < len(data):
        match = _RANGE.match(data, position + 1)
        if match is None or data[position : position + 1] != (b"," if texts else b"{"):
            raise malformed(name, f"no ranges at byte {position}: {shortened(data)}")
        texts.append(match[0])
        position = match.end()
        if position == len(data) - 1 and data.endswith(b"}"):
            return texts
    raise malformed(name, f"no ranges: {shortened(data)}")
