"""Rows of random shapes, whole, cut and mutilated: the compiled decoders and the obvious one agree."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._record import record_type
from pgproto._rows import Decoder, DictMaker, Make, compile_decoder, skip_rows
from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types import Codec, TypeRegistry
from tests.support.reference_rows import reference_decode, row_message

REGISTRY = TypeRegistry()
TYPES = {
    "bool": 16, "bytea": 17, "char": 18, "name": 19, "int8": 20, "int2": 21, "int4": 23, "text": 25,
    "oid": 26, "float4": 700, "float8": 701, "json": 114, "date": 1082, "time": 1083, "timestamp": 1114,
    "timestamptz": 1184, "numeric": 1700, "uuid": 2950, "unknown": 705, "int4[]": 1007, "void": 2278,
}  # fmt: skip
WIDTHS = {
    16: 1,
    18: 1,
    20: 8,
    21: 2,
    23: 4,
    26: 4,
    700: 4,
    701: 8,
    1082: 4,
    1083: 8,
    1114: 8,
    1184: 8,
    2950: 16,
}
SAMPLES = {
    16: [b"\0", b"\1"],
    114: [b"{}", b"[1, null]", b'"x"'],
    1007: [
        bytes(8) + b"\0\0\0\x17",
        bytes.fromhex("00000001000000000000001700000001000000010000000400000007"),
    ],
    1700: [bytes(8), bytes.fromhex("0001000000000000002a")],
    2278: [b""],
}
"""Values of the types whose random bytes would hardly ever be in order."""
TEXTS = {16: [b"t", b"f"], 1184: [b"2024-02-29 12:00:00+00", b"infinity"], 705: [b"", b"abc"]}
WILD = [b"", b"x", b"\xff", b"\xff" * 4, b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7), b"\x7f" * 8, b"\xff" * 16]
"""Not in order for most types, and infinite dates for some."""


def in_text(codec: Codec) -> Codec:
    return Codec(codec.oid, codec.name, 0, codec.encoder(0), codec.decoder(0))


CODECS = [
    *map(REGISTRY.codec, TYPES.values()),
    *(in_text(REGISTRY.codec(oid)) for oid in (16, 20, 25, 1184)),
]


def values_of(codec: Codec) -> st.SearchStrategy[bytes]:
    """Values that are in order, nearly always."""
    if codec.format == 0:
        return st.sampled_from(TEXTS.get(codec.oid, [b"1", b"-77"]))
    if codec.oid in SAMPLES:
        return st.sampled_from(SAMPLES[codec.oid])
    width = WIDTHS.get(codec.oid)
    if width is None:
        return st.text(max_size=5).map(str.encode)
    return st.integers(0, 2**15).map(lambda number: (number >> max(0, 16 - 8 * width)).to_bytes(width, "big"))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[Codec, ...]:
    """Short ones, where most of the branches are; sometimes with a long stretch of one kind."""
    codecs = draw(st.lists(st.sampled_from(CODECS), max_size=6))
    if draw(st.integers(0, 3)) == 0:
        position = draw(st.integers(0, len(codecs)))
        codecs[position:position] = [draw(st.sampled_from(CODECS))] * draw(st.integers(4, 9))
    return tuple(codecs)


Stream = tuple[tuple[Codec, ...], bytes, bytes]
"""A shape, the bytes of a row of it, and what is received."""


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Rows that are mostly of their shape: few different ones, often repeated, so that there are runs."""
    codecs = draw(shapes())
    plain = [values_of(codec) for codec in codecs]
    nulls = draw(st.sampled_from([0, 0, 1, 3]))
    value = [st.none() | values if draw(st.integers(0, 3)) < nulls else values for values in plain]
    contents = draw(st.lists(st.tuples(*value), min_size=1, max_size=4))
    wild = st.tuples(*[st.sampled_from(WILD) | values for values in plain])
    rows = [
        *map(row_message, contents),
        *draw(st.lists(wild.map(row_message), max_size=1)),
        *draw(st.lists(lying_rows(contents[0]), max_size=2)),
    ]
    order = draw(st.lists(st.tuples(st.integers(0, len(rows) - 1), st.integers(1, 40)), max_size=6))
    data = rows[0] * draw(st.integers(0, 12)) + b"".join(rows[row] * count for row, count in order)
    if draw(st.integers(0, 3)) == 0:
        data = mutilated(draw, data)
    tail = draw(
        st.sampled_from(
            [b"", b"D", b"C\0\0\0\x0dSELECT 1\0", b"C" + rows[0][1:], b"E" + rows[0][1:], rows[0][:-1]]
        )
    )
    return codecs, rows[0], data + tail


LIES = ("length", "two lengths", "more", "count", "total")


@st.composite
def lying_rows(draw: st.DrawFn, values: tuple[bytes | None, ...]) -> bytes:
    """A row one of whose numbers is not what it should be, or two of them that may make up for each other."""
    lies = draw(st.sets(st.sampled_from(LIES), min_size=1, max_size=2))
    lengths = [-1 if value is None else len(value) for value in values]
    difference = draw(st.integers(-5, 9))
    if values and lies & {"length", "two lengths"}:
        i, j = (draw(st.integers(0, len(values) - 1)) for _ in "ij")
        if "two lengths" in lies:
            lengths[i] += difference
            lengths[j] -= difference
        else:
            lengths[i] = draw(st.sampled_from([-1, -2, -7, 2**31 - 1, lengths[i] + difference]))
    fields = [
        length.to_bytes(4, "big", signed=True) + (value or b"")
        for length, value in zip(lengths, values, strict=True)
    ]
    if "more" in lies:
        fields.append(draw(st.binary(min_size=1, max_size=9)))
    count = len(values) + (draw(st.sampled_from([1, -1, 256])) if "count" in lies else 0)
    body = (count % 65536).to_bytes(2, "big") + b"".join(fields)
    length = 4 + len(body) + (difference if "total" in lies else 0)
    return b"D" + length.to_bytes(4, "big") + body


def mutilated(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes somewhere are changed, taken away or inserted."""
    start = draw(st.integers(0, len(data)))
    new = draw(st.binary(max_size=4))
    return data[:start] + new + data[start + draw(st.integers(0, 4) | st.just(len(new))) :]


def train(decode: Decoder, row: bytes) -> None:
    """Have the decoder expect rows like this one, if it is in order."""
    with suppress(RemoteProtocolError, DataError):
        for _ in range(20):
            decode([], row, 0, len(row))


def decode_in_pieces(
    stream: Stream, make: Make | None, cuts: Sequence[int], longest: int = 2**31 - 1
) -> tuple[list[object], int, type[Exception] | None]:
    """As a connection does it: what has not been taken is there again with the next piece, at the front."""
    codecs, first, data = stream
    decode = compile_decoder(codecs, make, longest)
    train(decode, first)
    rows: list[object] = []
    held, taken = b"", 0
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        held += data[start:end]
        position = 0
        while held[position : position + 1] == b"D":
            try:
                following = decode(rows, b"padding" + held + b"D" * 9, 7 + position, 7 + len(held)) - 7
            except (RemoteProtocolError, DataError) as error:
                return rows, taken + position, type(error)
            if following == position:
                break
            position = following
        held, taken = held[position:], taken + position
        if held and held[0] != ord("D"):
            break
    return rows, taken, None


def exactly(outcome: tuple[list[object], int, type[Exception] | None]) -> tuple[list[str], int, object]:
    """To be compared with types, signs of zero and all: True is not 1 here."""
    return [repr(row) for row in outcome[0]], outcome[1], outcome[2]


@given(streams(), st.sampled_from(["tuple", "record", "dict"]), st.data())
def test_same_as_reference(stream: Stream, target: str, data: st.DataObject) -> None:
    codecs, _, received = stream
    names = tuple(f"c{i}" for i in range(len(codecs)))
    makers: dict[str, Make | None] = {"tuple": None, "record": record_type(names), "dict": DictMaker(names)}
    cuts = sorted(data.draw(st.lists(st.integers(0, len(received)), max_size=4)))
    expected = exactly(reference_decode(codecs, makers[target], received))
    assert exactly(decode_in_pieces(stream, makers[target], [])) == expected
    assert exactly(decode_in_pieces(stream, makers[target], cuts)) == expected


@given(streams(), st.integers(6, 60), st.data())
def test_limit_holds_however_cut(stream: Stream, longest: int, data: st.DataObject) -> None:
    codecs, _, received = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(received)), max_size=4)))
    expected = exactly(reference_decode(codecs, None, received, longest))
    assert exactly(decode_in_pieces(stream, None, cuts, longest)) == expected


@given(streams())
def test_learned_from_other_rows(stream: Stream) -> None:
    """A decoder that has seen the rows before, and expects them, gives the same for each of them."""
    codecs, _, received = stream
    expected, end, error = reference_decode(codecs, None, received)
    decode = compile_decoder(codecs)
    for _ in range(3):
        rows: list[object] = []
        if end > 0 or error is None:
            assert decode(rows, received, 0, len(received)) == end
        if error is not None:
            with pytest.raises(error):
                decode(rows, received, end, len(received))
        assert repr(rows) == repr(expected)


@given(streams() | st.tuples(st.just(()), st.just(b""), st.binary(max_size=40)))
def test_skipping_takes_frames(stream: Stream) -> None:
    data = stream[2]
    expected = 0
    error = False
    while data[expected : expected + 1] == b"D" and len(data) - expected >= 5:
        length = int.from_bytes(data[expected + 1 : expected + 5], "big", signed=True)
        error = length < 6
        if error or expected + 1 + length > len(data):
            break
        expected += 1 + length
    try:
        assert skip_rows(data, 0, len(data)) == expected
        assert not error or expected > 0
    except RemoteProtocolError:
        assert error
        assert expected == 0
