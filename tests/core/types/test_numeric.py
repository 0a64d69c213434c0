from __future__ import annotations

import enum
import struct
from decimal import ROUND_UP, Context, Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import TEXT, _numeric
from pgproto.types._numeric import _encode_any
from tests.core.types.support import builtin, same

NUMERIC = builtin("numeric")


def message(*digits: int, weight: int = 0, sign: int = 0, scale: int = 0, count: int | None = None) -> bytes:
    number = len(digits) if count is None else count
    return struct.pack(f"!HhHH{len(digits)}H", number, weight, sign, scale, *digits)


class _Price(enum.Enum):
    ONE = Decimal("1.00")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_exact_both_ways_in_both_formats(value: Decimal) -> None:
    # An exponent above zero is the same number written with zeros; there is no negative zero.
    plain = Decimal(format(value or abs(value), "f"))
    assert same(NUMERIC.decode(NUMERIC.encode(value)), plain)
    assert same(NUMERIC.decoder(TEXT)(NUMERIC.encoder(TEXT)(value)), plain)


@given(st.integers(min_value=-(10**200), max_value=10**200), st.integers(min_value=0, max_value=300))
def test_long_numbers(coefficient: int, scale: int) -> None:
    value = Decimal(f"{coefficient}E-{scale}")
    assert same(NUMERIC.decode(NUMERIC.encode(value)), value)


def test_ten_thousand_digits() -> None:
    value = Decimal("-" + "1234567890" * 500 + "." + "9876543210" * 500)
    assert same(NUMERIC.decode(NUMERIC.encode(value)), value)
    assert same(NUMERIC.decoder(TEXT)(NUMERIC.encoder(TEXT)(value)), value)


def test_the_callers_decimal_context_does_not_matter() -> None:
    value = Decimal("12345.678")
    with localcontext(Context(prec=2, rounding=ROUND_UP, Emax=3, Emin=-3)):
        assert same(NUMERIC.decode(NUMERIC.encode(value)), value)
        assert same(NUMERIC.decode(NUMERIC.encode(10**30)), Decimal(10**30))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, "7"),
        (True, "1"),
        (-(10**40), "-1" + "0" * 40),
        (0.5, "0.5"),
        (0.1, "0.1000000000000000055511151231257827021181583404541015625"),
        (_Price.ONE, "1.00"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0"), "0"),
        (Decimal("-0.00"), "0.00"),
        (Decimal("0E+1000000"), "0"),
        (Decimal("-NaN"), "NaN"),
    ],
)
def test_takes_numbers_as_exactly_what_they_are(value: object, expected: str) -> None:
    assert str(NUMERIC.decode(NUMERIC.encode(value))) == expected
    assert NUMERIC.encoder(TEXT)(value).decode() == expected


@pytest.mark.parametrize("value", ["1", None, b"1", 1j, [1]])
def test_refuses_what_is_no_number(value: object) -> None:
    with pytest.raises(DataError, match="as numeric: it takes a Decimal, an int or a float"):
        NUMERIC.encode(value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Decimal("sNaN"), "no signaling NaN"),
        (Decimal("1E+131072"), "more than 131072 digits before"),
        (Decimal("1E+999999999"), "more than 131072 digits before"),
        (Decimal("1E-16384"), "more than 16383 digits after"),
        (Decimal("0E-999999999"), "more than 16383 digits after"),
    ],
)
def test_refuses_what_postgresql_cannot_hold(value: Decimal, why: str) -> None:
    with pytest.raises(DataError, match=why):
        NUMERIC.encode(value)
    with pytest.raises(DataError, match=why):
        NUMERIC.encoder(TEXT)(value)


def test_the_largest_and_smallest() -> None:
    for value in (Decimal("9" * 131072), Decimal("1E-16383")):
        assert same(NUMERIC.decode(NUMERIC.encode(value)), value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, at least 8"),
        (message(1)[:7], "7 bytes, at least 8"),
        (message(1, count=2), "10 bytes for 2 digits"),
        (message(1) + b"\x00", "11 bytes for 1 digits"),
        (message(1, sign=0x1234), "sign 0x1234"),
        (message(1, sign=0xC000), "sign 0xc000 with 1 digits"),
        (message(1, scale=16384), "scale 16384"),
        (message(10000), "10000 is no base-10000 digit"),
        (message(1, 2345, scale=3), "more digits than its scale of 3"),
        (message(*range(1, 12), scale=3), "more digits than its scale of 3"),
    ],
)
def test_refuses_what_is_no_numeric(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=f"malformed numeric: .*{why}"):
        NUMERIC.decode(data)


@pytest.mark.parametrize(
    "data", [b"", b"1.", b".5", b"1e5", b"nan", b"+1", b" 1", b"1_0", b"\xff", "\u0661".encode()]
)
def test_refuses_other_text(data: bytes) -> None:
    with pytest.raises(DataError, match="malformed numeric"):
        NUMERIC.decoder(TEXT)(data)


def test_zeros_that_the_server_never_sent_stay_an_exponent() -> None:
    value = NUMERIC.decode(message(1, weight=32767))
    assert same(value, Decimal("1E+131068"))
    assert NUMERIC.encode(value) == message(1, weight=32767)
    assert NUMERIC.decode(message(1, weight=32767, sign=0x4000)) == Decimal("-1E+131068")


def test_a_few_zeros_are_written_out() -> None:
    assert same(NUMERIC.decode(message(1, weight=200)), Decimal(10**800))


def test_a_long_scale_of_zeros_is_kept_but_not_inside_a_container() -> None:
    data = message(1, scale=16383, sign=0x4000)
    assert same(NUMERIC.decode(data), Decimal("-1." + "0" * 16383))
    nested = NUMERIC.decode_nested
    assert nested is not None
    with pytest.raises(DataError, match="16383 zeros to fill in, inside an array or a row: cast it to text"):
        nested(data, 1)
    assert same(nested(message(1, scale=1000), 1), Decimal("1." + "0" * 1000))


def test_zero_is_never_negative() -> None:
    for digits in ((), (0,), (0,) * 20):
        assert str(NUMERIC.decode(message(*digits, weight=len(digits) - 1, sign=0x4000))) == "0"


@given(st.decimals() | st.decimals(-(10**9), 10**9, places=4) | st.integers(-(10**30), 10**30))
@example(Decimal("-0.00"))
@example(Decimal("0.0000"))
@example(Decimal("1" * 28))
@example(Decimal("9" * 29))
@example(Decimal("9" * 27 + ".9"))
@example(Decimal("-9" + "9" * 26))
@example(Decimal("0." + "0" * 25 + "1"))
@example(Decimal("10000.0001"))
@example(Decimal("1E+27"))
@example(Decimal("1E-7"))
@example(Decimal("NaN"))
@example(Decimal("-Infinity"))
@example(10**28)
@example(10**28 - 1)
@example(-(10**28) + 1)
@example(0)
def test_the_short_way_gives_what_the_long_way_does(value: Decimal | int) -> None:
    if isinstance(value, Decimal) and value.is_snan():
        value = Decimal("NaN")
    assert NUMERIC.encode(value) == _encode_any(value)


def test_usual_numbers_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_numeric, "_encode_any", None)
    for value in (Decimal("12345.67"), Decimal("-0.5"), Decimal(0), Decimal("9" * 28), 5, -(10**27)):
        assert NUMERIC.decode(NUMERIC.encode(value)) == value
    for odd in (True, 1.5, Decimal("1E+3"), Decimal("NaN"), Decimal("9" * 29), 10**28):
        with pytest.raises(TypeError, match="not callable"):
            NUMERIC.encode(odd)
