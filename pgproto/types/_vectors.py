"""int2vector and oidvector: lists of numbers in the system catalogs.

They travel as arrays of one dimension that begins at 0; as that is always so, they are plain lists here.
"""

from __future__ import annotations

import struct
from typing import Final

from pgproto._patterns import pattern
from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, wrong_value
from pgproto.types._guards import is_list_or_tuple

__all__ = ["vector_codec"]

_HEADER: Final = struct.Struct("!iiIii")
_ITEM = pattern("[^ ]+")
_TEXT = pattern(r"(?:[0-9-]{1,11}(?: [0-9-]{1,11})*+)?")


def vector_codec(oid: int, name: str, element: Codec) -> Codec:
    """The codec for such a list of a fixed-width integer type."""
    item = struct.Struct("!i" + element.struct_format)
    width = item.size - 4

    def items(value: object) -> list[bytes]:
        if not is_list_or_tuple(value):
            raise wrong_value(name, value, "it takes a list or a tuple of integers")
        return [element.encode(number) for number in value]

    def encode(value: object) -> bytes:
        numbers = items(value)
        if not numbers:
            # It sends them, but does not take them.
            raise wrong_value(name, value, "PostgreSQL reads no empty one in binary format")
        prefix = struct.pack("!i", width)
        return _HEADER.pack(1, 0, element.oid, len(numbers), 0) + b"".join(
            [prefix + data for data in numbers]
        )

    def decode(data: bytes) -> object:
        if len(data) < _HEADER.size:
            raise malformed(name, f"{len(data)} bytes, at least {_HEADER.size} expected")
        dimensions, flags, element_oid, count, lower = _HEADER.unpack_from(data)
        if (dimensions, flags, element_oid, lower) != (1, 0, element.oid, 0):
            raise malformed(name, f"{dimensions} dimensions of type OID {element_oid} from {lower}")
        if count * item.size != len(data) - _HEADER.size:
            raise malformed(name, f"{count} elements in {len(data) - _HEADER.size} bytes")
        pairs = list(item.iter_unpack(data[_HEADER.size :]))
        if any(length != width for length, _ in pairs):
            raise malformed(name, "an element is NULL or has another width")
        return [number for _, number in pairs]

    def encode_text(value: object) -> bytes:
        if not is_list_or_tuple(value):
            raise wrong_value(name, value, "it takes a list or a tuple of integers")
        encode_number = element.encoder(0)
        return b" ".join([encode_number(number) for number in value])

    def decode_text(data: bytes) -> object:
        text = ascii_text(name, data)
        if _TEXT.fullmatch(text) is None:
            raise malformed(name, f"no numbers with one space between them: {shortened(text)}")
        decode_number = element.decoder(0)
        # One at a time: the texts together would take much more than the numbers.
        return [decode_number(match[0].encode()) for match in _ITEM.finditer(text)]

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=encode_text,
        decode_text=decode_text,
        takes_sequences=True,
    )
