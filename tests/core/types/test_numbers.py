from __future__ import annotations

import enum
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT
from pgproto.types._float_text import float_text
from tests.core.types.support import builtin

_RANGES = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    "oid": (0, 2**32 - 1),
    "xid": (0, 2**32 - 1),
    "cid": (0, 2**32 - 1),
    "xid8": (0, 2**64 - 1),
}


class _Level(enum.IntEnum):
    HIGH = 3


class _Plain(enum.Enum):
    THREE = 3
    HALF = 0.5
    YES = True
    WORD = "word"


class _Index:
    def __index__(self) -> int:
        return 3


class _Broken:
    def __index__(self) -> int:
        raise RuntimeError("no")

    def __float__(self) -> float:
        raise RuntimeError("no")


@pytest.mark.parametrize("name", _RANGES)
class TestIntegers:
    def test_takes_the_whole_range_and_no_more(self, name: str) -> None:
        low, high = _RANGES[name]
        codec = builtin(name)
        for value in (low, high):
            assert codec.decode(codec.encode(value)) == value
            assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value
        for value in (low - 1, high + 1, 10**5000):
            with pytest.raises(DataError, match=f"as {name}: out of range, {low} to {high}"):
                codec.encode(value)
        for text in (str(low - 1), str(high + 1)):
            with pytest.raises(DataError, match="out of range"):
                codec.decoder(TEXT)(text.encode())

    @pytest.mark.parametrize("value", [3, _Level.HIGH, _Plain.THREE, _Index()])
    def test_takes_whatever_is_an_integer(self, name: str, value: object) -> None:
        assert builtin(name).decode(builtin(name).encode(value)) == 3
        assert builtin(name).encoder(TEXT)(value) == b"3"

    def test_takes_true_for_one(self, name: str) -> None:
        assert builtin(name).decode(builtin(name).encode(True)) == 1

    @pytest.mark.parametrize("value", [3.0, "3", None, _Plain.WORD, b"3"])
    def test_refuses_what_is_no_integer(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}: it takes an int"):
            builtin(name).encode(value)

    def test_an_index_that_fails_is_a_data_error(self, name: str) -> None:
        with pytest.raises(DataError, match="__index__ failed: RuntimeError"):
            builtin(name).encode(_Broken())

    @pytest.mark.parametrize("data", [b"", b"\x00", b"\x00" * 3, b"\x00" * 9])
    def test_refuses_other_widths(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}: {len(data)} bytes instead of"):
            builtin(name).decode(data)

    @pytest.mark.parametrize("data", [b"", b" 1", b"1_0", b"+1", "\u0661".encode(), b"1.0", b"9" * 5000])
    def test_refuses_other_text(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match="not an integer"):
            builtin(name).decoder(TEXT)(data)


class TestBool:
    @pytest.mark.parametrize("value", [1, 0, "t", None, 1.0, _Plain.THREE])
    def test_takes_only_true_and_false(self, value: object) -> None:
        with pytest.raises(DataError, match="as bool: it takes True or False"):
            builtin("bool").encode(value)

    def test_takes_those_of_numpy(self) -> None:
        numpy: Any = pytest.importorskip("numpy")
        for format, no, yes in ((BINARY, b"\0", b"\1"), (TEXT, b"f", b"t")):
            encode = builtin("bool").encoder(format)
            assert [encode(numpy.bool_(value)) for value in (False, True)] == [no, yes]
        for value in (numpy.int64(1), numpy.array(True)):
            with pytest.raises(DataError, match="as bool: it takes True or False"):
                builtin("bool").encode(value)

    def test_takes_an_enum_member(self) -> None:
        assert builtin("bool").encode(_Plain.YES) == b"\x01"

    def test_whatever_is_not_zero_is_true_as_in_postgresql(self) -> None:
        assert builtin("bool").decode(b"\x02") is True

    @pytest.mark.parametrize("data", [b"", b"true", b"1", b"\xff"])
    def test_refuses_other_text(self, data: bytes) -> None:
        with pytest.raises(DataError, match="neither t nor f"):
            builtin("bool").decoder(TEXT)(data)

    def test_refuses_other_widths(self) -> None:
        with pytest.raises(DataError, match="2 bytes instead of 1"):
            builtin("bool").decode(b"\x00\x00")


@pytest.mark.parametrize("name", ["float4", "float8"])
class TestFloats:
    @pytest.mark.parametrize("value", [0.5, _Plain.HALF])
    def test_takes_floats(self, name: str, value: object) -> None:
        assert builtin(name).decode(builtin(name).encode(value)) == 0.5

    def test_takes_integers(self, name: str) -> None:
        assert builtin(name).decode(builtin(name).encode(3)) == 3.0

    def test_nan(self, name: str) -> None:
        codec = builtin(name)
        assert math.isnan(codec.decode(codec.encode(math.nan)))  # type: ignore[arg-type]  # it is a float
        assert codec.encoder(TEXT)(math.nan) == b"NaN"
        assert math.isnan(codec.decoder(TEXT)(b"NaN"))  # type: ignore[arg-type]  # it is a float

    @pytest.mark.parametrize("value", ["1", None, b"1", _Plain.WORD])
    def test_refuses_what_is_no_number(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}: it takes a float or an int"):
            builtin(name).encode(value)

    def test_a_float_method_that_fails_is_a_data_error(self, name: str) -> None:
        with pytest.raises(DataError, match="_Broken"):
            builtin(name).encode(_Broken())

    def test_refuses_what_is_out_of_range(self, name: str) -> None:
        with pytest.raises(DataError, match="out of range"):
            builtin(name).encode(10**400)

    @pytest.mark.parametrize("data", [b"", b"inf", b"nan", b"1e", b"1_0", b"0x1", b" 1", b"1" * 500, b"\xff"])
    def test_refuses_other_text(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}"):
            builtin(name).decoder(TEXT)(data)


def test_float4_is_rounded_alike_in_both_formats() -> None:
    codec = builtin("float4")
    assert codec.decoder(TEXT)(b"0.1") == codec.decode(codec.encode(0.1)) != 0.1


def test_float4_out_of_range() -> None:
    with pytest.raises(DataError, match="out of range"):
        builtin("float4").encode(1e300)
    with pytest.raises(DataError, match="out of range"):
        builtin("float4").decoder(TEXT)(b"1e300")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (100.0, "100"),
        (1e14, "100000000000000"),
        (1e15, "1e+15"),
        (1234567890123456.0, "1.234567890123456e+15"),
        (123456789012345.6, "123456789012345.6"),
        (0.0001, "0.0001"),
        (0.00012345, "0.00012345"),
        (0.00001, "1e-05"),
        (1.5e-7, "1.5e-07"),
        (-2.5e100, "-2.5e+100"),
        (5e-324, "5e-324"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        (10.25, "10.25"),
    ],
)
def test_float_text(value: float, text: str) -> None:
    assert float_text(value) == text


@given(st.floats(allow_nan=False))
def test_float_text_gives_the_same_number_again(value: float) -> None:
    assert struct.pack("!d", float(float_text(value))) == struct.pack("!d", value)
    assert builtin("float8").decoder(TEXT)(float_text(value).encode()) == value
