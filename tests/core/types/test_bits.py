from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import TEXT, BitString, Money
from tests.core.types.support import builtin, member

_BITS = st.text("01", max_size=200)


@pytest.mark.parametrize("name", ["bit", "varbit"])
class TestBitCodecs:
    @given(bits=_BITS)
    def test_both_ways_in_both_formats(self, name: str, bits: str) -> None:
        codec = builtin(name)
        value = BitString(bits)
        assert codec.decode(codec.encode(value)) == value
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value
        assert codec.encode(bits) == codec.encode(value)

    def test_takes_enum_members(self, name: str) -> None:
        assert builtin(name).encode(member("01")) == builtin(name).encode("01")

    @pytest.mark.parametrize("value", ["2", 5, b"01", None, "\u0661"])
    def test_refuses_other_values(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}: it takes a BitString"):
            builtin(name).encode(value)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            ("", "0 bytes, at least 4"),
            ("00000001", "1 bits in 0 bytes"),
            ("0000000980", "9 bits in 1 bytes"),
            ("ffffffff", "-1 bits"),
            ("7fffffff00", "2147483647 bits"),
            ("0000000181", "bits beyond the last of 1"),
        ],
    )
    def test_refuses_what_is_none(self, name: str, data: str, why: str) -> None:
        with pytest.raises(DataError, match=f"malformed {name}: {why}"):
            builtin(name).decode(bytes.fromhex(data))

    @pytest.mark.parametrize("data", [b"2", b" 1", b"\xff"])
    def test_refuses_other_text(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}"):
            builtin(name).decoder(TEXT)(data)


class TestBitString:
    @given(st.binary(), st.data())
    def test_is_the_first_bits_of_bytes(self, data: bytes, draw: st.DataObject) -> None:
        assert BitString.from_bytes(data).to_bytes() == data
        length = draw.draw(st.integers(0, 8 * len(data)))
        bits = BitString.from_bytes(data, length)
        assert len(bits) == length
        assert BitString.from_bytes(bits.to_bytes(), length) == bits

    def test_is_a_number(self) -> None:
        assert int(BitString("0101")) == 5
        assert int(BitString()) == 0
        assert str(BitString("0101")) == "0101"

    def test_is_ordered_as_text(self) -> None:
        assert BitString("0") < BitString("01") < BitString("1")
        assert BitString("0").__lt__("1") is NotImplemented

    @pytest.mark.parametrize("length", [-1, 9])
    def test_has_no_more_bits_than_there_are(self, length: int) -> None:
        with pytest.raises(DataError, match="8 bits do not have a length of"):
            BitString.from_bytes(b"a", length)

    @pytest.mark.parametrize("bits", ["012", 5, None])
    def test_refuses_other_characters(self, bits: str) -> None:
        with pytest.raises(DataError, match="zeros and ones"):
            BitString(bits)


class TestMoney:
    @given(st.integers(-(2**63), 2**63 - 1))
    def test_is_its_minor_units(self, units: int) -> None:
        codec = builtin("money")
        assert codec.decode(codec.encode(Money(units))) == Money(units)
        assert codec.decoder(TEXT)(str(Money(units)).encode()) == Money(units)
        assert Money(units).as_decimal() * 100 == Money(units).as_decimal(0) == units

    @pytest.mark.parametrize(
        ("units", "text"),
        [(0, "$0.00"), (5, "$0.05"), (-123456, "-$1,234.56"), (10**11, "$1,000,000,000.00")],
    )
    def test_text(self, units: int, text: str) -> None:
        assert str(Money(units)) == text

    def test_as_decimal_keeps_the_digits(self) -> None:
        assert str(Money(-1200).as_decimal()) == "-12.00"
        assert str(Money(1200).as_decimal(3)) == "1.200"
        assert isinstance(Money(1).as_decimal(0), Decimal)

    @pytest.mark.parametrize("text", ["1.234,56 €", "€1.234,56", "1 234,56", "kr1234,56"])
    def test_reads_any_locale(self, text: str) -> None:
        assert builtin("money").decoder(TEXT)(text.encode()) == Money(123456)

    @pytest.mark.parametrize("text", ["-1.234,56 €", "(€1.234,56)", "1 234,56-"])
    def test_reads_minus_in_any_locale(self, text: str) -> None:
        assert builtin("money").decoder(TEXT)(text.encode()) == Money(-123456)

    @pytest.mark.parametrize("data", [b"", b"$", b"1" * 20, b"9" * 19])
    def test_refuses_other_text(self, data: bytes) -> None:
        with pytest.raises(DataError, match="malformed money"):
            builtin("money").decoder(TEXT)(data)

    def test_is_never_sent_as_text(self) -> None:
        with pytest.raises(DataError, match="depends on the server's lc_monetary"):
            builtin("money").encoder(TEXT)(Money(1))

    @pytest.mark.parametrize("value", [1, Decimal("1.00"), "1", None])
    def test_refuses_other_values(self, value: object) -> None:
        with pytest.raises(DataError, match="as money: it takes a Money"):
            builtin("money").encode(value)

    @pytest.mark.parametrize("units", [2**63, -(2**63) - 1, 1.5, "1"])
    def test_refuses_what_is_out_of_range(self, units: int) -> None:
        with pytest.raises(DataError, match="an int of 64 bits"):
            Money(units)

    def test_is_ordered(self) -> None:
        assert Money(-1) < Money(0) <= Money(0)
        assert Money(0).__lt__(1) is NotImplemented
