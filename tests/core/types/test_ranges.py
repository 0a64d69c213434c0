from __future__ import annotations

import struct
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, DateInfinity, Multirange, Range
from tests.core.types.support import builtin, member

INT4 = builtin("int4range")
_BOUNDS = st.sampled_from(["[)", "[]", "(]", "()"])


def ranges(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Range]:
    return st.builds(Range, st.none() | values, st.none() | values, _BOUNDS) | st.just(Range(empty=True))


_INTS = ranges(st.integers(-(2**31), 2**31 - 1))


@given(_INTS)
def test_of_numbers(value: Range) -> None:
    for format in (BINARY, TEXT):
        assert INT4.decoder(format)(INT4.encoder(format)(value)) == value
    assert INT4.encoder(TEXT)(value) == str(value).encode()


@given(ranges(st.datetimes()))
def test_of_timestamps(value: Range) -> None:
    codec = builtin("tsrange")
    for format in (BINARY, TEXT):
        assert codec.decoder(format)(codec.encoder(format)(value)) == value
    assert str(value) == codec.encoder(TEXT)(value).decode()


@given(st.lists(_INTS))
def test_multiranges(value: list[Range]) -> None:
    codec = builtin("int4multirange")
    for format in (BINARY, TEXT):
        assert codec.decoder(format)(codec.encoder(format)(value)) == Multirange(value)
        assert codec.encoder(format)(Multirange(value)) == codec.encoder(format)(tuple(value))
    assert str(Multirange(value)) == codec.encoder(TEXT)(value).decode()


def test_arrays_of_multiranges_of_two_dimensions() -> None:
    codec = builtin("_int4multirange")
    value = [[Multirange([Range(1, 2)]), None]]
    assert codec.decode(codec.encode(value)) == value


@given(st.lists(st.none() | st.lists(_INTS).map(Multirange)))
def test_arrays_of_multiranges(value: list[Multirange | None]) -> None:
    codec = builtin("_int4multirange")
    for format in (BINARY, TEXT):
        assert codec.decoder(format)(codec.encoder(format)(value)) == value


class TestRange:
    def test_a_bound_that_is_not_there_is_not_included(self) -> None:
        assert Range(None, None, "[]") == Range()
        assert Range().bounds == "()"
        assert Range(None, 5, "[]").bounds == "(]"

    def test_parts(self) -> None:
        value = Range(1, 5, "(]")
        assert (value.lower, value.upper, value.lower_included, value.upper_included) == (1, 5, False, True)

    @pytest.mark.parametrize("bounds", ["", "[", "{}", "))", None, 5])
    def test_refuses_other_bounds(self, bounds: Any) -> None:
        with pytest.raises(DataError, match="the bounds of a range are"):
            Range(1, 2, bounds)

    def test_an_empty_range_has_no_bounds(self) -> None:
        with pytest.raises(DataError, match="an empty range has no bounds"):
            Range(1, empty=True)
        assert Range(empty=True) == Range(empty=True) != Range()
        assert Range(None, None, "[]", empty=True) == Range(empty=True)

    def test_contains(self) -> None:
        assert 1 in Range(1, 5)
        assert 5 not in Range(1, 5)
        assert 5 in Range(1, 5, "(]")
        assert 1 not in Range(1, 5, "(]")
        assert 3 in Range(1, 5, "()")
        assert 0 not in Range(1, 5)
        assert -(10**9) in Range(None, 5)
        assert 10**9 in Range(1)
        assert 3 not in Range(empty=True)
        assert date(2024, 1, 1) in Range(DateInfinity(-1), DateInfinity())

    def test_truth_is_not_being_empty(self) -> None:
        assert Range()
        assert not Range(empty=True)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Range(1, 5), "[1,5)"),
            (Range(), "(,)"),
            (Range(empty=True), "empty"),
            (Range("a b", 'c"\\', "[]"), '["a b","c""\\\\"]'),
            (Range("", None), '["",)'),
            (Range(datetime(2024, 1, 1, 5), None), '["2024-01-01 05:00:00",)'),
            (Range(Decimal("1.50"), 2.0), "[1.50,2)"),
        ],
    )
    def test_text(self, value: Range, text: str) -> None:
        assert str(value) == text


class TestMultirange:
    def test_is_a_sequence(self) -> None:
        value = Multirange([Range(1, 5), Range(7, 9)])
        assert len(value) == 2
        assert value[0] == Range(1, 5)
        assert value[1:] == (Range(7, 9),)
        assert list(value) == [Range(1, 5), Range(7, 9)]
        assert str(value) == "{[1,5),[7,9)}"

    def test_contains_values_and_ranges(self) -> None:
        value = Multirange([Range(1, 5), Range(7, 9)])
        assert 3 in value
        assert 6 not in value
        assert Range(7, 9) in value
        assert Range(7, 8) not in value


class _Pair(NamedTuple):
    first: int
    second: int


@pytest.mark.parametrize(
    "value", [[1, 5], (), (1,), (1, 5, "[)"), _Pair(1, 5), range(1, 5), "[1,5)", 5, slice(1, 5)]
)
def test_refuses_other_values(value: object) -> None:
    with pytest.raises(DataError, match="as int4range: it takes a Range"):
        INT4.encode(value)


@pytest.mark.parametrize("format", [BINARY, TEXT])
def test_takes_tuples(format: Any) -> None:
    for bounds in ((1, 5), (None, 5), (1, None), (None, None)):
        assert INT4.encoder(format)(bounds) == INT4.encoder(format)(Range(*bounds))
    several, many = builtin("_int4range"), builtin("int4multirange")
    for encode in (several.encoder(format), many.encoder(format)):
        assert encode([(1, 5), Range(7, 9)]) == encode([Range(1, 5), Range(7, 9)])
    matrix = [[(1, 5), None], [(2, 3), (4, 4)]]
    assert several.decoder(format)(several.encoder(format)(matrix)) == [
        [Range(1, 5), None], [Range(2, 3), Range(4, 4)]
    ]  # fmt: skip


def test_takes_enum_members() -> None:
    assert INT4.encode(member(Range(1, 5))) == INT4.encode(Range(1, 5))


def test_says_which_bound_is_wrong() -> None:
    with pytest.raises(DataError, match=r"it takes an int \(element 1 of int4range\)"):
        INT4.encode(Range(1, "x"))


def test_too_deep() -> None:
    for codec in (INT4, builtin("int4multirange")):
        assert codec.decode_nested is not None
        with pytest.raises(DataError, match="nested more than 64 deep"):
            codec.decode_nested(b"\x01", 65)


@pytest.mark.parametrize("value", [Range(1, 2), "{}", 5, {Range(1, 2)}])
def test_multirange_refuses_other_values(value: object) -> None:
    with pytest.raises(DataError, match="as int4multirange: it takes a Multirange, or a list of Range"):
        builtin("int4multirange").encode(value)


def test_no_range_of_a_multirange_is_null() -> None:
    for format in (BINARY, TEXT):
        with pytest.raises(DataError, match="no range in it can be NULL"):
            builtin("int4multirange").encoder(format)([None])


ONE = b"\x00\x00\x00\x04\x00\x00\x00\x01"
NULL = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"\x03", "empty, with flags 0x3"),
        (b"\x01x", "empty, with flags 0x1 and 2 bytes"),
        (b"\x20" + ONE * 2, "flags 0x20"),
        (b"\x0a" + ONE, "flags 0xa"),
        (b"\x14" + ONE, "flags 0x14"),
        (b"\x02", "2 parts in 0 bytes"),
        (b"\x02" + ONE, "cut off after 1 of 2"),
        (b"\x02" + ONE + NULL, "a bound is NULL"),
        (b"\x02" + ONE * 3, "8 bytes too many"),
        (b"\x18" + ONE, "8 bytes too many"),
        (b"\x10\x00\x00\x00\x01x", "1 bytes instead of 4"),
    ],
)
def test_refuses_what_is_no_range(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        INT4.decode(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, at least 4"),
        (b"\xff\xff\xff\xff", "-1 ranges"),
        (b"\x7f\xff\xff\xff", "2147483647 parts in 0 bytes"),
        (struct.pack("!i", 1) + NULL, "a range in it is NULL"),
        (struct.pack("!ii", 1, 1) + b"\x20", "malformed int4range: flags 0x20"),
        (struct.pack("!ii", 1, 1) + b"\x01x", "1 bytes too many"),
    ],
)
def test_refuses_what_is_no_multirange(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        builtin("int4multirange").decode(data)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[",
        "[1,2",
        "1,2",
        "[1;2)",
        "[1,2)x",
        "[,2)",
        "(1,]",
        "empty ",
        "[1,2,3)",
        '["1,2)',
        "{1,2)",
        "[a,b)",
    ],
)
def test_refuses_other_text(data: str) -> None:
    with pytest.raises(DataError, match="malformed"):
        INT4.decoder(TEXT)(data.encode())


@pytest.mark.parametrize(
    "data", ["", "{", "}", "{}x", "{[1,2)", "{[1,2),}", "{[1,2);[3,4)}", "{1}", "[1,2)", "{,[1,2)}"]
)
def test_refuses_other_text_of_multiranges(data: str) -> None:
    with pytest.raises(DataError, match="malformed int4multirange"):
        builtin("int4multirange").decoder(TEXT)(data.encode())
