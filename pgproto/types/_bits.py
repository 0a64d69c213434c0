"""bit, varbit and money.

Chapter "Data Types", sections "Bit String Types" and "Monetary Types". Bit strings are `BitString`; a
parameter may be a `str` of zeros and ones.

money is `Money`, a whole number of the currency's smallest unit, as that is all that PostgreSQL stores: what
the unit is, and how an amount is written, depends on the server's setting lc_monetary. So amounts are never
sent as text: "12.34" is another amount where the comma is the decimal point.
"""

from __future__ import annotations

import re
import struct
from decimal import Decimal
from functools import total_ordering
from typing import Final

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value
from pgproto.types._numbers import integer_codec
from pgproto.types._value import Value, integer_within, slot_setter

__all__ = ["BIT_CODECS", "MONEY_CODEC", "BitString", "Money"]

_LENGTH: Final = struct.Struct("!i")
_BITS = pattern("[01]*", re.ASCII)


def _are_bits(bits: object) -> bool:
    return isinstance(bits, str) and _BITS.fullmatch(bits) is not None


@total_ordering
class BitString(Value):
    """A string of bits; immutable. Ordered as text is: "0" < "01" < "1".

    Args:
        bits: zeros and ones, such as "0101".

    Raises:
        DataError: there are other characters in it.
    """

    __slots__ = ("bits",)

    bits: str

    def __init__(self, bits: str = "") -> None:
        if not _are_bits(bits):
            raise DataError(f"a bit string consists of zeros and ones, not {shortened(bits)}")
        _set_bits(self, bits)

    @classmethod
    def from_bytes(cls, data: bytes, length: int | None = None) -> BitString:
        """The first bits of these bytes, the most significant of each byte first.

        Raises:
            DataError: there are not that many.
        """
        bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        if length is None:
            return cls(bits)
        if not 0 <= length <= len(bits):
            raise DataError(f"{len(bits)} bits do not have a length of {length}")
        return cls(bits[:length])

    def to_bytes(self) -> bytes:
        """The bits, the first the most significant of the first byte, and zeros behind the last."""
        width = (len(self.bits) + 7) // 8
        return int(self.bits.ljust(8 * width, "0") or "0", 2).to_bytes(width, "big")

    def __len__(self) -> int:
        return len(self.bits)

    def __int__(self) -> int:
        return int(self.bits or "0", 2)

    def __lt__(self, other: object) -> bool:
        return self.bits < other.bits if isinstance(other, BitString) else NotImplemented

    def __str__(self) -> str:
        return self.bits


_set_bits = slot_setter(BitString, "bits")


def _bit_codec(oid: int, name: str) -> Codec:
    def bit_string(value: object) -> BitString:
        plain = unwrapped(value)
        if isinstance(plain, BitString):
            return plain
        try:
            return BitString(plain)  # type: ignore[arg-type]  # it checks
        except DataError:
            raise wrong_value(name, value, "it takes a BitString, or a str of zeros and ones") from None

    def encode(value: object) -> bytes:
        bits = bit_string(value)
        return _LENGTH.pack(len(bits)) + bits.to_bytes()

    def decode(data: bytes) -> object:
        if len(data) < _LENGTH.size:
            raise malformed(name, f"{len(data)} bytes, at least {_LENGTH.size} expected")
        (length,) = _LENGTH.unpack_from(data)
        if length < 0 or len(data) - _LENGTH.size != (length + 7) // 8:
            raise malformed(name, f"{length} bits in {len(data) - _LENGTH.size} bytes")
        if length % 8 and data[-1] & (0xFF >> length % 8):
            raise malformed(name, f"bits beyond the last of {length}")
        return BitString.from_bytes(data[_LENGTH.size :], length)

    def decode_text(data: bytes) -> object:
        try:
            return BitString(ascii_text(name, data))
        except DataError:
            raise malformed(name, f"not zeros and ones: {shortened(data)}") from None

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=lambda value: bit_string(value).bits.encode("ascii"),
        decode_text=decode_text,
    )


BIT_CODECS: Final = (_bit_codec(1560, "bit"), _bit_codec(1562, "varbit"))


@total_ordering
class Money(Value):
    """An amount of money, in the currency's smallest unit (cents, say); immutable.

    `str()` writes it as PostgreSQL does in the locale C: "-$1,234.56".
    """

    __slots__ = ("minor_units",)

    minor_units: int

    def __init__(self, minor_units: int) -> None:
        if not integer_within(minor_units, -(2**63), 2**63 - 1):
            raise DataError(f"an amount of money is an int of 64 bits, not {shortened(minor_units)}")
        _set_minor_units(self, minor_units)

    def as_decimal(self, fraction_digits: int = 2) -> Decimal:
        """The amount in the currency's main unit, which is so many decimal digits larger."""
        sign = 1 if self.minor_units < 0 else 0
        return Decimal((sign, tuple(map(int, str(abs(self.minor_units)))), -fraction_digits))

    def __lt__(self, other: object) -> bool:
        return self.minor_units < other.minor_units if isinstance(other, Money) else NotImplemented

    def __str__(self) -> str:
        sign = "-" if self.minor_units < 0 else ""
        return f"{sign}${self.as_decimal().copy_abs():,.2f}"


_set_minor_units = slot_setter(Money, "minor_units")


_NO_DIGITS: Final = bytes([byte for byte in range(256) if byte not in b"0123456789"])


def _money_codec() -> Codec:
    codec = integer_codec(790, "money", "q", Money)

    def encode(value: object) -> bytes:
        plain = unwrapped(value)
        if not isinstance(plain, Money):
            raise wrong_value("money", value, "it takes a Money; or cast a number: $1::numeric::money")
        return codec.encode(plain.minor_units)

    def encode_text(value: object) -> bytes:
        raise wrong_value("money", value, "how to write an amount depends on the server's lc_monetary")

    def decode_text(data: bytes) -> object:
        # Whatever the locale, all decimal digits are there; minus signs and currency symbols may be anywhere.
        digits = data.translate(None, _NO_DIGITS)
        if not 1 <= len(digits) <= 19:
            raise malformed("money", f"not an amount: {shortened(data)}")
        negative = b"-" in data or b"(" in data
        try:
            return Money(-int(digits) if negative else int(digits))
        except DataError as error:
            raise malformed("money", str(error)) from None

    return Codec(
        oid=790,
        name="money",
        format=BINARY,
        encode=encode,
        decode=codec.decode,
        struct_format=codec.struct_format,
        from_struct=codec.from_struct,
        encode_text=encode_text,
        decode_text=decode_text,
    )


MONEY_CODEC: Final = _money_codec()
