from __future__ import annotations

import enum
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, overload
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Array, DateInfinity, Interval, Point, _arrays
from pgproto.types._array_text import array_text, parse_array
from pgproto.types._arrays import array_codec
from pgproto.types._codec import Encode
from tests.core.types.support import builtin, member, same

INT4 = builtin("_int4")
_INTS = st.none() | st.integers(-(2**31), 2**31 - 1)
_TEXTS = st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@st.composite
def arrays(draw: st.DrawFn, elements: st.SearchStrategy[Any]) -> Array:
    lengths = tuple(draw(st.lists(st.integers(1, 3), max_size=6)))
    count = 1
    for length in lengths:
        count *= length
    values = tuple(draw(st.lists(elements, min_size=count, max_size=count))) if lengths else ()
    bounds = tuple(draw(st.integers(-(2**31), 2**31 - 4)) if draw(st.booleans()) else 1 for _ in lengths)
    return Array(values, lengths, bounds)


def as_decoded(array: Array) -> object:
    return array.to_list() if set(array.lower_bounds) <= {1} else array


@given(arrays(_INTS))
def test_of_numbers(value: Array) -> None:
    for format in (BINARY, TEXT):
        assert INT4.decoder(format)(INT4.encoder(format)(value)) == as_decoded(value)
        if set(value.lower_bounds) <= {1}:
            assert INT4.encoder(format)(value.to_list()) == INT4.encoder(format)(value)


@given(arrays(_TEXTS))
def test_of_text(value: Array) -> None:
    codec = builtin("_text")
    for format in (BINARY, TEXT):
        assert codec.decoder(format)(codec.encoder(format)(value)) == as_decoded(value)
    assert str(value) == codec.encoder(TEXT)(value).decode()


@given(st.lists(st.datetimes(timezones=st.just(UTC)) | st.none()))
def test_of_converted_values(value: list[datetime | None]) -> None:
    codec = builtin("_timestamptz")
    assert codec.decode(codec.encode(value)) == value
    assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value


@given(arrays(st.lists(st.integers())))
def test_of_lists(value: Array) -> None:
    codec = builtin("_jsonb")
    decoded = value.to_list() if set(value.lower_bounds) <= {1} and len(value.lengths) < 2 else value
    for format in (BINARY, TEXT):
        assert codec.decoder(format)(codec.encoder(format)(value)) == decoded
        assert codec.encoder(format)(decoded) == codec.encoder(format)(value)


def test_an_element_that_is_a_list_is_no_dimension() -> None:
    codec = builtin("_jsonb")
    assert codec.decode(codec.encode([[1, 2], [3]])) == [[1, 2], [3]]
    assert codec.decode(codec.encode(Array(([1], [2]), (2, 1)))) == Array(([1], [2]), (2, 1))


class _OwnSequence(Sequence[int]):
    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "value", [[1, 2], (1, 2), range(1, 3), deque([1, 2]), {1, 2}, frozenset({1, 2}), {1: 0, 2: 0}.keys()]
)
def test_takes_sequences_and_sets(value: object) -> None:
    assert INT4.decode(INT4.encode(value)) == [1, 2]


_EMPTY: list[object] = [[], (), [[]], [[], []], set[int](), Array(())]


@pytest.mark.parametrize("value", _EMPTY)
def test_an_empty_array_has_no_dimensions(value: object) -> None:
    assert INT4.encode(value) == struct.pack("!iiI", 0, 0, 23)
    assert INT4.encoder(TEXT)(value) == b"{}"
    assert INT4.decode(INT4.encode(value)) == []


def test_tuples_inside_are_dimensions() -> None:
    assert INT4.decode(INT4.encode([(1, 2), (3, 4)])) == [[1, 2], [3, 4]]


def test_enum_elements() -> None:
    level = enum.IntEnum("level", {"LOW": 1})
    assert INT4.decode(INT4.encode([level["LOW"], member(2)])) == [1, 2]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("{1}", "it takes a list"),
        (b"ab", "it takes a list"),
        (5, "it takes a list"),
        ({1: 2}, "it takes a list"),
        (iter([1]), "it takes a list"),
        ([[1], [2, 3]], "its rows must be lists of the same length"),
        ([[1], 2], "its rows must be lists of the same length"),
        ([[1], None], "its rows must be lists of the same length"),
        ([[[[[[[1]]]]]]], "up to 6 dimensions"),
        (["x"], r"it takes an int \(element 0 of _int4\)"),
        ([1, 2**31], r"out of range.* \(element 1 of _int4\)"),
        ([None, [1]], r"it takes an int \(element 1 of _int4\)"),
        (_OwnSequence(), "RuntimeError: no"),
    ],
)
def test_refuses(value: object, why: str) -> None:
    with pytest.raises(DataError, match=why):
        INT4.encode(value)


def test_a_list_within_itself_has_too_many_dimensions() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(DataError, match="up to 6 dimensions"):
        INT4.encode(value)


def test_bools_are_checked() -> None:
    with pytest.raises(DataError, match="it takes True or False"):
        builtin("_bool").encode([1])


def header(dimensions: int, flags: int, oid: int, *shape: int) -> bytes:
    return struct.pack(f"!iiI{len(shape)}i", dimensions, flags, oid, *shape)


ONE = b"\x00\x00\x00\x04\x00\x00\x00\x01"
NULL = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, at least 12"),
        (header(1, 0, 23), "12 bytes for 1 dimensions"),
        (header(-1, 0, 23), "-1 dimensions"),
        (header(7, 0, 23, *(1, 1) * 7) + ONE, "7 dimensions"),
        (header(1, 2, 23, 1, 1) + ONE, "flags 0x2"),
        (header(1, -1, 23, 1, 1) + ONE, "flags -0x1"),
        (header(1, 0, 20, 1, 1) + ONE, "elements of type OID 20 instead of 23"),
        (header(1, 0, 23, -1, 1), "a dimension of length -1"),
        (header(1, 0, 23, 1, 2**31 - 1) + ONE, "a dimension of length 1 from 2147483647"),
        (header(1, 0, 23, 0, 1), "a dimension of length 0"),
        (header(2, 0, 23, 1, 1, 0, 1), "a dimension of length 0"),
        (header(0, 0, 23) + ONE, "8 bytes too many"),
        (header(1, 0, 23, 1, 1) + ONE + b"x", "1 bytes too many"),
        (header(1, 0, 23, 2, 1) + ONE, "cut off after 1 of 2"),
        (header(1, 0, 23, 2**31 - 2, 1) + ONE, "2147483646 parts in 8 bytes"),
        (header(6, 0, 23, *(2**31 - 2, 1) * 6) + ONE, "parts in 8 bytes"),
        (header(1, 0, 23, 1, 1) + b"\x00\x00\x00\x03\x00\x00\x01", "3 bytes instead of 4"),
        (header(1, 0, 23, 1, 1) + b"\x00\x00\x00\x05\x00\x00\x01", "a part of 5 bytes where 3"),
        (header(2, 0, 23, 1, 1, 2, 1) + ONE + b"\x00\x00\x00\x02\x00\x01", "2 bytes instead of 4"),
    ],
)
def test_refuses_what_is_no_array(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        INT4.decode(data)


def test_many_rows_of_one_element_need_bytes_of_their_own() -> None:
    shape = (20_000, 1, 1, 1, 1, 1)
    data = header(6, 1, 23, *[part for length in shape for part in (length, 1)]) + NULL * 20_000
    with pytest.raises(DataError, match="100000 rows in"):
        INT4.decode(data)


def test_the_fast_way_is_only_taken_for_equal_lengths() -> None:
    # As long as two int4 would be, but one is not.
    data = header(1, 0, 23, 2, 1) + struct.pack("!i6si", 6, b"abcdef", 2)[:16]
    with pytest.raises(DataError):
        INT4.decode(data)
    # NULL and an int8 in an array of int4, together as long as two int4.
    nulls = header(1, 1, 23, 2, 1) + NULL + struct.pack("!iq", 8, 1)
    with pytest.raises(DataError, match="8 bytes instead of 4"):
        INT4.decode(nulls)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "}",
        "1",
        "{1",
        "{1}x",
        "{1,}",
        "{,1}",
        "{1 ,}",
        "{{1},2}",
        "{1,{2}}",
        "{{1},{2,3}}",
        "{{}}",
        "{{1}{2}}",
        '{"1}',
        '{"a"b}',
        "{a\\b}",
        "[0:1]=",
        "[0:1]={1}",
        "[1:0]={}",
        "[0:0]={1}x",
        "[0:99999999999]={1}",
        "[0:0][0:0]={1}",
        "{{{{{{{1}}}}}}}",
        "{1};{2}",
    ],
)
def test_refuses_other_text(data: str) -> None:
    with pytest.raises(DataError, match="malformed _int4"):
        INT4.decoder(TEXT)(data.encode())


def test_null_in_text() -> None:
    codec = builtin("_text")
    assert codec.decoder(TEXT)(b'{NULL,"NULL",null,x}') == [None, "NULL", "null", "x"]
    assert codec.encoder(TEXT)(["null", None]) == b'{"null",NULL}'


def test_other_delimiters() -> None:
    assert array_text([b"a;b", b"c,d"], (2,), (1,), b";") == b'{"a;b";"c,d"}'
    assert parse_array("x", b"{a,b;c}", b";") == ([b"a,b", b"c"], (2,), (1,))


class TestArray:
    def test_shape_by_default(self) -> None:
        array = Array((1, 2))
        assert (array.lengths, array.lower_bounds) == ((2,), (1,))
        assert Array([1, 2]) == array  # type: ignore[arg-type]  # any sequence will do
        assert hash(Array((1, 2))) == hash(array)
        assert (Array(()).lengths, Array(()).to_list()) == ((), [])

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (((1, 2), (3,)), "has no 2 elements"),
            (((1,), (1, 1, 1, 1, 1, 1, 1)), "up to 6 dimensions"),
            (((1,), (1,), (1, 1)), "each with one lower bound"),
            (((1,), (-1,)), "integers of 32 bits"),
            (((1,), ("1",)), "integers of 32 bits"),
            (((1,), (1,), (2**31 - 1,)), "out of range"),
            (((1,), (1,), (-(2**31) - 1,)), "out of range"),
            (((1,), (1,), ("0",)), "out of range"),
        ],
    )
    def test_refuses_another_shape(self, arguments: tuple[Any, ...], why: str) -> None:
        with pytest.raises(DataError, match=why):
            Array(*arguments)

    @pytest.mark.parametrize(
        ("array", "text"),
        [
            (Array((1, None, 3), (3,), (0,)), "[0:2]={1,NULL,3}"),
            (Array((True, 1.0, b"a", "x y"), (2, 2), (5, 1)), '[5:6][1:2]={{t,1},{"\\\\x61","x y"}}'),
            (Array((date(2024, 1, 1), DateInfinity()), (2,), (2,)), "[2:3]={2024-01-01,infinity}"),
            (Array((Interval(1), Point(1, 2)), (2,), (2,)), '[2:3]={"1 mon","(1,2)"}'),
            (Array(()), "{}"),
        ],
    )
    def test_text(self, array: Array, text: str) -> None:
        assert str(array) == text


def test_iteration_of_a_generator_is_no_array() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(DataError, match="it takes a list"):
        INT4.encode(numbers())


def test_struct_of_every_width() -> None:
    for name, value in (("_bool", True), ("_int2", 2), ("_int4", 3), ("_int8", 4), ("_float8", 0.5)):
        codec = builtin(name)
        for count in (1, 2, 300):
            assert same(codec.decode(codec.encode([value] * count)), [value] * count)


ODD: list[object] = [
    *[
        edge + near
        for edge in (0, 2**15, 2**31, 2**32, 2**63, 2**64, -(2**15), -(2**63))
        for near in (-1, 0, 1)
    ],
    *[
        True,
        0.5,
        float("nan"),
        1e300,
        10**400,
        Decimal("1.5"),
        "",
        "text",
        "a\0b",
        "\ud800",
        "x" * 255,
        "x" * 256,
    ],
    *[
        b"x",
        bytearray(b"x" * 300),
        UUID(int=1),
        date.max,
        datetime.max,
        datetime.now(UTC),
        member("x"),
        member(1),
    ],
    *[object(), {"a": None}, {}],
]
ELEMENTS = ["bool", "bytea", "int2", "int4", "int8", "oid", "xid8", "float4", "float8", "text",
            "varchar", "json", "jsonb", "numeric", "uuid", "date", "timestamp",
            "timestamptz", '"char"', "pg_lsn"]  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
def test_packed_at_one_go_or_one_by_one_it_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    element = builtin(name)
    fast = array_codec(1, "array", element)
    monkeypatch.setattr(_arrays, "element_packer", id)
    plain = array_codec(1, "array", element)
    fitting = [value for value in ODD if outcome(element.encode, value)[0] == "bytes"]
    for times in (1, 20):
        usual = fitting * times
        assert outcome(fast.encode, usual) == outcome(plain.encode, usual)
        for odd in (*ODD, None):
            some = [*fitting[:3] * times, odd]
            assert outcome(fast.encode, some) == outcome(plain.encode, some)


def outcome(encode: Encode, value: object) -> tuple[str, object]:
    try:
        return "bytes", encode(value)
    except DataError as error:
        return "error", f"{error}, {error.__context__ is error.__cause__ or error.__suppress_context__}"


@pytest.mark.parametrize("size", [1, 16, 17, 1000])
@pytest.mark.parametrize("name", ["int2", "int4", "int8", "oid", "xid8", "float4", "float8", "text", "uuid"])
def test_usual_elements_are_packed_at_one_go(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"text": "x" * size, "uuid": UUID(int=size)}.get(name, size)
    codec = array_codec(1, "array", builtin(name))
    expected = [value] * size
    assert codec.decode(codec.encode(expected)) == expected
    monkeypatch.setattr(_arrays, "join_fields", None)
    assert codec.encode(expected)
    with pytest.raises(TypeError, match="not callable"):
        codec.encode([*expected, None])


def test_arrays_of_numpy() -> None:
    numpy: Any = pytest.importorskip("numpy")
    numbers, texts = builtin("_int4"), builtin("_text")
    for value in ([1, 2, 3], [[1, 2], [3, 4]], []):
        assert numbers.decode(numbers.encode(numpy.array(value, dtype="int64"))) == value
    assert texts.decode(texts.encode(numpy.array(["a", None], dtype=object))) == ["a", None]
    for value in (numpy.int64(1), numpy.array(1)):
        with pytest.raises(DataError, match="it takes a list"):
            numbers.encode(value)
    with pytest.raises(DataError, match="it takes an int"):
        numbers.encode(numpy.array([1.5]))
