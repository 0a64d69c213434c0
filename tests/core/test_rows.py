"""Compiled row decoders: what they take, where they stop, what they refuse, and what they learn."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest

from pgproto._record import Record, record_type
from pgproto._rows import Decoder, DictMaker, Make, compile_decoder, skip_rows
from pgproto._rows._compiled import MAX_COMPILED_COLUMNS
from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types import Codec, DateInfinity, TimestampTZInfinity, TypeRegistry
from tests.support.reference_rows import reference_decode, row_message

REGISTRY = TypeRegistry()
BOOL, BYTEA, CHAR, INT8, INT2, INT4, TEXT, JSON, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC = map(
    REGISTRY.codec, (16, 17, 18, 20, 21, 23, 25, 114, 1082, 1083, 1114, 1184, 1700)
)
COMMAND_COMPLETE = b"C\0\0\0\x0dSELECT 1\0"
ENOUGH = 40
"""So many rows, and the decoder knows what to expect."""


def int4(value: int) -> bytes:
    return struct.pack("!i", value)


def int8(value: int) -> bytes:
    return struct.pack("!q", value)


def decoded(codecs: Sequence[Codec], *rows: Sequence[bytes | None], make: Make | None = None) -> list[Any]:
    """The rows, decoded as the first of their shape and once more by a decoder that has seen many of them."""
    data = b"".join(map(row_message, rows))
    first: list[Any] = []
    decode = compile_decoder(codecs, make)
    assert decode(first, data, 0, len(data)) == len(data)
    for _ in range(ENOUGH):
        decode([], data, 0, len(data))
    again: list[Any] = []
    assert decode(again, data, 0, len(data)) == len(data)
    assert repr(again) == repr(first)
    return first


def trained(codecs: Sequence[Codec], *rows: Sequence[bytes | None], longest: int = 2**31 - 1) -> Decoder:
    decode = compile_decoder(codecs, None, longest)
    for _ in range(ENOUGH):
        for row in rows:
            data = row_message(row)
            decode([], data, 0, len(data))
    return decode


# What is decoded.


def test_fixed_width() -> None:
    row = (int4(-1), int8(2), b"\1", b"\0\7", struct.pack("!d", 1.5))
    codecs = [INT4, INT8, BOOL, INT2, REGISTRY.codec(701)]
    assert decoded(codecs, row) == [(-1, 2, True, 7, 1.5)]


def test_variable_width() -> None:
    row = ("é".encode(), b"", b'{"a": 1}', b"\0\xff", int4(3))
    assert decoded([TEXT, TEXT, JSON, BYTEA, INT4], row) == [("é", "", {"a": 1}, b"\0\xff", 3)]


def test_null_in_every_place() -> None:
    values = (int4(1), b"x", int8(2), int8(0), b"y")
    rows = list(product(*[(value, None) for value in values]))
    expected = list(product(*[(value, None) for value in (1, "x", 2, datetime(2000, 1, 1, tzinfo=UTC), "y")]))
    assert decoded([INT4, TEXT, INT8, TIMESTAMPTZ, TEXT], *rows) == expected


def test_no_columns() -> None:
    assert decoded([], (), ()) == [(), ()]
    assert decoded([], (), make=record_type(())) == [()]


@pytest.mark.parametrize("byte", range(256))
def test_char(byte: int) -> None:
    assert decoded([CHAR], [bytes([byte])]) == [(CHAR.decode(bytes([byte])),)]


def test_dates_and_times() -> None:
    codecs = [DATE, TIME, TIMESTAMP, TIMESTAMPTZ]
    row = (int4(-1), int8(1), int8(-1), int8(86_400_000_000))
    values = [codec.decode(data) for codec, data in zip(codecs, row, strict=True)]
    assert values[0] == date(1999, 12, 31)
    assert values[3] == datetime(2000, 1, 2, tzinfo=UTC)
    assert decoded(codecs, row) == [tuple(values)]


@pytest.mark.parametrize("day", [2**31 - 1, -(2**31), 3_000_000, -1_000_000])
def test_dates_that_datetime_has_not(day: int) -> None:
    expected = DATE.decode(int4(day))
    assert not isinstance(expected, date)
    assert decoded([DATE, TEXT], (int4(0), b""), (int4(day), b"")) == [(date(2000, 1, 1), ""), (expected, "")]
    assert decoded([DATE], (int4(0),), (int4(day),)) == [(date(2000, 1, 1),), (expected,)]


def test_infinities_may_be_common() -> None:
    forever = int8(2**63 - 1)
    rows = [(int4(0), forever), (int4(2**31 - 1), int8(0))] * ENOUGH
    result = decoded([DATE, TIMESTAMPTZ], *rows)
    assert result[0] == (date(2000, 1, 1), TimestampTZInfinity(1))
    assert result[-1] == (DateInfinity(1), datetime(2000, 1, 1, tzinfo=UTC))


def test_text_format() -> None:
    codec = Codec(23, "int4", 0, INT4.encoder(0), INT4.decoder(0))
    assert decoded([codec, INT4], (b"12", int4(3)), (b"-4", int4(5))) == [(12, 3), (-4, 5)]


def test_custom_codec() -> None:
    def negative(data: bytes) -> object:
        return -data[3]

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]  # what some callables are

        def __call__(self, data: bytes) -> object:
            return data.hex()

    custom = Codec(99_999, "mine", 1, INT4.encode, Unhashable())
    fixed = dataclasses.replace(INT4, decode=negative, from_struct=int.__neg__)
    assert decoded([custom, fixed], (b"\xab", int4(1))) == [("ab", -1)]


def test_records_and_dicts() -> None:
    make = record_type(("id", "name"))
    (record,) = decoded([INT4, TEXT], (int4(1), b"x"), make=make)
    assert type(record) is make
    assert isinstance(record, Record)
    assert record.asdict() == {"id": 1, "name": "x"}
    assert decoded([INT4, TEXT], (int4(1), None), make=DictMaker(("id", "name"))) == [{"id": 1, "name": None}]
    assert decoded([INT4, INT4], (int4(1), int4(2)), make=DictMaker(("a", "a"))) == [{"a": 2}]


@pytest.mark.parametrize("target", ["tuple", "make", "dict"])
def test_many_rows_of_one_length(target: str) -> None:
    names = ("a", "b")
    makes: dict[str, Make | None] = {"tuple": None, "make": record_type(names), "dict": DictMaker(names)}
    rows = [(int4(i), int8(-i)) for i in range(10_000)]
    expected = reference_decode([INT4, TIMESTAMP], makes[target], b"".join(map(row_message, rows)))
    assert repr(decoded([INT4, TIMESTAMP], *rows, make=makes[target])) == repr(expected[0])
    assert decoded([INT4, INT8], *rows, make=makes[target])[-1] == (
        {"a": 9999, "b": -9999} if target == "dict" else (9999, -9999)
    )


@pytest.mark.parametrize("position", [0, 1, 7, 8, 255, 256, 4351, 4352, 9999])
def test_null_among_rows_of_one_length(position: int) -> None:
    rows: list[Sequence[bytes | None]] = [(int4(i),) for i in range(10_000)]
    rows[position] = (None,)
    expected: list[Any] = [(i,) for i in range(10_000)]
    expected[position] = (None,)
    assert decoded([INT4], *rows) == expected


def test_wide_rows() -> None:
    count = MAX_COMPILED_COLUMNS + 1
    for columns in (count - 1, count):
        assert decoded([INT4] * columns, [int4(7)] * columns, [None] * columns) == [
            (7,) * columns,
            (None,) * columns,
        ]


# Where decoding stops.


@pytest.mark.parametrize("codecs", [[INT4], [INT4, TEXT], []])
def test_stops_before_what_is_not_a_whole_row(codecs: Sequence[Codec]) -> None:
    row = row_message([int4(1), b"x"][: len(codecs)])
    for decode in (compile_decoder(codecs), trained(codecs, [int4(1), b"x"][: len(codecs)])):
        for tail in (COMMAND_COMPLETE, b"", b"C" + row[1:], *(row[:size] for size in range(len(row)))):
            for count in (0, 1, 20):
                rows: list[object] = []
                data = b"before" + row * count + tail
                assert decode(rows, data, 6, len(data)) == 6 + len(row) * count
                assert len(rows) == count


@pytest.mark.parametrize("codecs", [[INT4], [INT4, TEXT], [INT4, TEXT, INT8], [TEXT, INT4, INT4]])
def test_stops_at_the_end_it_is_given(codecs: Sequence[Codec]) -> None:
    samples: dict[Codec, bytes] = {INT4: int4(1), TEXT: b"text", INT8: int8(2)}
    values = [samples[codec] for codec in codecs]
    row = row_message(values)
    decode = trained(codecs, values)
    for end in range(len(row) * 20):
        rows: list[object] = []
        assert decode(rows, row * 20, 0, end) == end - end % len(row)
        assert len(rows) == end // len(row)


def test_limit_of_length() -> None:
    row = row_message([b"x" * 10])
    long = row_message([b"x" * 11])
    for decode in (
        compile_decoder([TEXT], None, len(row) - 1),
        trained([TEXT], [b"x"], longest=len(row) - 1),
    ):
        rows: list[object] = []
        assert decode(rows, row * 20 + long, 0, len(row) * 20 + len(long)) == len(row) * 20
        assert rows == [("x" * 10,)] * 20
        with pytest.raises(RemoteProtocolError, match="DataRow claims a length of 21 bytes; 6 to 20"):
            decode(rows, long, 0, len(long))
        # Its length says it all, before the rest has come.
        with pytest.raises(RemoteProtocolError, match="length of 21"):
            decode(rows, long, 0, 5)


# What is refused.

SHAPES = [
    ([INT4], [int4(1)]),
    ([TEXT], [b"ab"]),
    ([INT2, INT2, INT4], [b"\0\1", b"\0\2", int4(3)]),
    ([INT4, TEXT, INT8], [int4(1), b"ab", int8(2)]),
    ([TEXT, INT2, TEXT, BYTEA], [b"", b"\0\1", b"abc", b"\0"]),
    ([TEXT, *[INT2] * 7, TEXT], [b"x", *[b"\0\1"] * 7, b"y"]),
    ([INT4, TEXT, INT8, INT2, TEXT], [None, b"ab", None, b"\0\1", None]),
    ([TEXT, INT4], [None, None]),
]
NUMBERS = (-(2**31), -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 8, 9, 2**31 - 1)


def spoiled(values: Sequence[bytes | None]) -> Iterator[bytes]:
    """Rows with wrong numbers: one length, two that may make up for each other, the count, the message's."""
    fields = [b"\xff\xff\xff\xff" if value is None else int4(len(value)) + value for value in values]

    def message(changed: Sequence[bytes], count: int = 0, length: int = 0) -> bytes:
        body = struct.pack("!H", len(values) + count) + b"".join(changed)
        return b"D" + struct.pack("!i", 4 + len(body) + length) + body

    for i in range(len(fields)):
        for number in NUMBERS:
            one = [*fields[:i], int4(number) + fields[i][4:], *fields[i + 1 :]]
            yield message(one)
            if -9 < number < 0:
                # As if the value began before its own length had ended.
                yield message([*fields[:i], int4(number), *fields[i + 1 :]], 0, number)
            for j in range(i + 1, min(i + 3, len(fields))):
                for other in NUMBERS:
                    yield message([*one[:j], int4(other) + fields[j][4:], *one[j + 1 :]])
    for count, length, more in product((-1, 0, 1, 256), range(-6, 7), (b"", b"\0", b"\xff" * 4, b"\0" * 4)):
        yield message([*fields, more], count % 65536 - len(values) if count < -len(values) else count, length)


@pytest.mark.parametrize(("codecs", "values"), SHAPES)
def test_wrong_numbers(codecs: Sequence[Codec], values: Sequence[bytes | None]) -> None:
    decode = trained(codecs, values, [None if value == b"ab" else value for value in values])
    good = row_message(values)
    wrong = 0
    for row in spoiled(values):
        for follow in (b"", b"\xff" * 40, good * 12):
            data = good * 9 + row + follow
            expected, position, error = reference_decode(codecs, None, data)
            rows: list[object] = []
            assert decode(rows, data, 0, len(data)) == position
            assert rows == expected
            if error is not None:
                with pytest.raises(error):
                    decode(rows, data, position, len(data))
                wrong += 1
            assert rows == expected
    assert wrong > 100


@pytest.mark.parametrize(("codecs", "values"), SHAPES)
def test_every_byte_matters(codecs: Sequence[Codec], values: Sequence[bytes | None]) -> None:
    decode = trained(codecs, values)
    good = row_message(values)
    for i, change in product(range(len(good)), (1, 2, 4, 0x7F, 0x80, 0xFF)):
        row = good[:i] + bytes([good[i] ^ change]) + good[i + 1 :]
        data = good * 20 + row + good * 20
        expected, position, _ = reference_decode(codecs, None, data)
        rows: list[object] = []
        assert decode(rows, data, 0, len(data)) == position
        assert repr(rows) == repr(expected)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"D\0\0\0\x05\0", "DataRow claims a length of 5 bytes; 6 to 2147483647 are possible"),
        (b"D\xff\xff\xff\xff\0\1", "DataRow claims a length of -1 bytes"),
        (row_message([]), "a row of 0 columns in a result of 2"),
        (row_message([b"", b"", b""]), "a row of 3 columns in a result of 2"),
        (b"D\0\0\0\x0a\0\2\0\0\0\0", "it ends before its column 2"),
        (b"D\0\0\0\x0e\0\2\0\0\0\0\xff\xff\xff\xfe", "column 2 claims -2 bytes where 0 are left"),
        (b"D\0\0\0\x0e\0\2\0\0\0\5\0\0\0\0", "column 1 claims 5 bytes where 4 are left"),
        (
            row_message([b"", b""])[:4] + b"\x0f" + row_message([b"", b""])[5:] + b"x",
            "1 bytes follow its last",
        ),
    ],
)
def test_words_for_malformed_rows(row: bytes, words: str) -> None:
    for decode in (compile_decoder([TEXT, TEXT]), trained([TEXT, TEXT], [b"", b""])):
        with pytest.raises(RemoteProtocolError, match=words):
            decode([], row, 0, len(row))


def test_values_that_cannot_be_decoded() -> None:
    good, bad = row_message([int4(1), b"x"]), row_message([int4(2), b"\xff"])
    data = good * 3 + bad + good
    for decode in (compile_decoder([INT4, TEXT]), trained([INT4, TEXT], [int4(1), b"x"])):
        rows: list[object] = []
        position = decode(rows, data, 0, len(data))
        assert position == 3 * len(good)
        assert rows == [(1, "x")] * 3
        with pytest.raises(DataError, match=r"^column 2: the server sent a malformed text: not UTF-8"):
            decode(rows, data, position, len(data))
        assert len(rows) == 3
        assert skip_rows(data + COMMAND_COMPLETE, position, len(data) + 14) == len(data)


def test_wrong_width_of_a_value_is_a_data_error() -> None:
    row = row_message([b"\0\0\1"])
    for decode in (compile_decoder([INT4]), trained([INT4], [int4(1)])):
        with pytest.raises(
            DataError, match="column 1: the server sent a malformed int4: 3 bytes instead of 4"
        ):
            decode([], row, 0, len(row))


def test_malformed_row_wins_over_its_values() -> None:
    row = row_message([b"\xff", b""])[:-1] + b"\1"
    with pytest.raises(RemoteProtocolError):
        compile_decoder([TEXT, TEXT])([], row, 0, len(row))


def test_codec_that_breaks_its_promise() -> None:
    def fail(_: object) -> object:
        raise ZeroDivisionError("oops")

    for codec in (
        Codec(1, "mine", 1, INT4.encode, fail),
        dataclasses.replace(INT4, decode=fail, from_struct=fail),
    ):
        row = row_message([int4(1)])
        for _ in range(ENOUGH):
            with pytest.raises(
                DataError, match=r"column 1: the decoder of type (mine|int4) failed: ZeroDivisionE"
            ):
                compile_decoder([codec])([], row, 0, len(row))


def test_running_out_of_memory_is_nobodys_data_error() -> None:
    def fail(_: object) -> object:
        raise MemoryError

    row = row_message([b""])
    with pytest.raises(MemoryError):
        compile_decoder([Codec(1, "mine", 1, INT4.encode, fail)])([], row, 0, len(row))


# Skipping.


def test_skipping_looks_at_frames_only() -> None:
    rows = row_message([b"x"]) + row_message([None, None]) + b"D\0\0\0\x06\xff\xff"
    assert skip_rows(b"12" + rows + COMMAND_COMPLETE, 2, 2 + len(rows) + 14) == 2 + len(rows)
    for end in range(len(rows), len(rows) + 12):
        assert skip_rows(rows + rows, 0, end) == len(rows)
    assert skip_rows(COMMAND_COMPLETE, 0, 14) == 0


def test_skipping_refuses_impossible_lengths() -> None:
    row = row_message([b"x"])
    for bad in (b"D\0\0\0\5\0", b"D\xff\xff\xff\xff\0"):
        assert skip_rows(row + bad, 0, len(row) + 6) == len(row)
        with pytest.raises(RemoteProtocolError, match="DataRow claims a length of"):
            skip_rows(bad, 0, 6)
    with pytest.raises(RemoteProtocolError, match="6 to 10"):
        skip_rows(row, 0, len(row), 10)
