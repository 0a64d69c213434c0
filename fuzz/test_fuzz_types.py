"""Whatever bytes come for a value, a decoder returns a value or raises DataError; whatever is passed in, an
encoder returns bytes or raises DataError.

Bytes are pure garbage, or true values of some type that were cut, joined, repeated and overwritten.
"""

from __future__ import annotations

import contextlib
import struct
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Codec, TypeRegistry
from pgproto.types._builtin import BUILTIN_CODECS
from pgproto.types._codec import Decode
from tests.core.types.vectors import VECTORS
from tests.support.memory import peak_memory

MOST_PER_BYTE = 64
SLACK = 16_384

_SCHEMA: list[list[object]] = [
    [70001, "public", "hstore", "base", 0, ",", "hstore", [], []],
    [70002, "public", "cube", "base", 0, ",", "cube", [], []],
    [70003, "public", "vector", "base", 0, ",", "vector", [], []],
    [70004, "public", "halfvec", "base", 0, ",", "vector", [], []],
    [70005, "public", "sparsevec", "base", 0, ",", "vector", [], []],
    [70006, "public", "ltree", "base", 0, ",", "ltree", [], []],
    [70007, "public", "_hstore", "array", 70001, ",", None, [], []],
    [70008, "public", "item", "composite", 0, ",", None, ["a", "b", "c"], [23, 1009, 3904]],
    [70009, "public", "_item", "array", 70008, ",", None, [], []],
    [70010, "public", "itemrange", "range", 70008, ",", None, [], []],
    [70011, "public", "itemmultirange", "multirange", 70010, ",", None, [], []],
    [70012, "public", "anything", "composite", 0, ",", None, ["r", "n"], [2249, 1700]],
]
_REGISTRY = TypeRegistry()
_REGISTRY.learn(_SCHEMA)
CODECS = [_REGISTRY.codec(oid) for oid in (*BUILTIN_CODECS, *(int(str(row[0])) for row in _SCHEMA))]

_SEEDS = [bytes.fromhex(binary) for _, _, binary, _ in VECTORS] + [text.encode() for _, text, _, _ in VECTORS]
_EDGES = [
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x01",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x08\xc9",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"(",
    b")",
    b",",
    b"'",
    b"\x00",
    b"\xff",
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(_SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0:
                edge = draw(st.sampled_from(_EDGES))
                data[position : position + len(edge)] = edge
            case 1:
                data[position:position] = draw(st.sampled_from(_EDGES))
            case 2:
                del data[position : position + draw(st.integers(1, 8))]
            case 3:
                data[position:position] = draw(st.sampled_from(_SEEDS))
            case 4:
                data[position:position] = draw(st.binary(max_size=8))
            case _:
                data = data * draw(st.integers(1, 3))
    return bytes(data)


_BYTES = st.binary(max_size=200) | mutations()

_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.complex_numbers(),
        st.text(),
        st.binary(),
        st.decimals(),
        st.dates(),
        st.times(),
        st.datetimes(),
        st.timedeltas(),
        st.uuids(),
        st.ip_addresses(),
        st.sampled_from([value for _, _, _, value in VECTORS]),
        st.builds(object),
    ),
    lambda values: (
        st.lists(values) | st.lists(values).map(tuple) | st.dictionaries(st.text(max_size=3), values)
    ),
    max_leaves=8,
)


def formats(codec: Codec) -> list[int]:
    return [TEXT] if codec.encode_binary is None else [TEXT, BINARY]


def attempt(decode: Decode, data: bytes) -> None:
    with contextlib.suppress(DataError):
        decode(data)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@given(data=_BYTES)
def test_any_bytes_are_a_value_or_a_data_error(codec: Codec, data: bytes) -> None:
    for format in formats(codec):
        decode = codec.decoder(format)
        run = partial(attempt, decode, data)
        # Patterns are compiled when they are needed first, and kept.
        run()
        most = MOST_PER_BYTE * len(data) + SLACK
        assert peak_memory(run, most) <= most
        try:
            value = decode(data)
        except DataError:
            continue
        # What was taken for a value can be shown, and is the same value when it is sent back.
        assert isinstance(str(value), str)
        assert isinstance(repr(value), str)
        if value is not None:
            try:
                again = codec.encoder(format)(value)
            except DataError:
                continue
            assert repr(decode(again)) == repr(value)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@given(value=_VALUES)
def test_any_value_is_bytes_or_a_data_error(codec: Codec, value: object) -> None:
    for format in formats(codec):
        try:
            data = codec.encoder(format)(value)
        except DataError:
            continue
        assert type(data) is bytes


@pytest.mark.parametrize(
    "codec", [codec for codec in CODECS if codec.struct_format], ids=lambda codec: codec.name
)
@given(data=st.binary(min_size=1, max_size=16))
def test_fixed_widths_are_as_wide_as_they_say(codec: Codec, data: bytes) -> None:
    if len(data) != struct.calcsize("!" + codec.struct_format):
        with pytest.raises(DataError):
            codec.decode(data)
