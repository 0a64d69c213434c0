"""The elements of an array packed at one go, each behind its length.

Numbers go through the standard library's `array`, which takes and refuses the very values that `struct` does,
at a few nanoseconds each; the lengths between them are put in with slices. All functions here fail, with
whatever exception, if there is a NULL or anything is wrong; then the elements have to be looked at one by
one.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from pgproto.types._codec import BINARY, Codec, Encode
from pgproto.types._text import encode_text

__all__ = ["PackElements", "element_packer"]

PackElements: TypeAlias = Callable[[Sequence[Any]], bytes]

_TEXT_CODE: Final = getattr(encode_text, "__code__", None)
_FEW: Final = 16
"""So many numbers are packed sooner one by one."""
_WORDS: Final = {2: "H", 4: "I", 8: "I"}
"""By the width of a number, of what its bytes are made up in the array: as large as fits its length too."""
_LENGTH: Final = struct.Struct("!i").pack
_SHORT: Final = tuple([_LENGTH(length) for length in range(256)])


def element_packer(element: Codec) -> PackElements:
    """What packs elements of this type in binary format."""
    code, encode = element.struct_format, element.encoder(BINARY)
    if code and element.from_struct is None:
        if code in "hiqIQd":
            return _number_packer(code)
        if code == "f":
            pack = struct.Struct("!if").pack
            return lambda values: b"".join([pack(4, value) for value in values])
    if getattr(encode, "__code__", None) is _TEXT_CODE:
        return _pack_texts
    return partial(_pack_others, encode)


def _number_packer(code: str) -> PackElements:
    item = struct.Struct("!i" + code)
    pack, width = item.pack, item.size - 4
    word = _WORDS[width]
    size = array(word).itemsize
    # The length's words, and then the value's, as they lie in memory.
    length = array(word, width.to_bytes(4, "big"))
    count = item.size // size

    def pack_numbers(values: Sequence[Any]) -> bytes:
        if len(values) <= _FEW:
            return b"".join([pack(width, value) for value in values])
        numbers = array(code, values)
        if sys.byteorder == "little":
            numbers.byteswap()
        words = array(word, numbers.tobytes())
        packed = (length + array(word, bytes(width))) * len(numbers)
        first, behind = len(length), count - len(length)
        for offset in range(behind):
            packed[first + offset :: count] = words[offset::behind]
        return packed.tobytes()

    return pack_numbers


def _pack_texts(values: Sequence[Any]) -> bytes:
    if "\0" in "".join(values):
        raise ValueError
    return _with_lengths([*map(str.encode, values)])


def _pack_others(encode: Encode, values: Sequence[object]) -> bytes:
    data = [encode(value) for value in values if value is not None]
    if len(data) != len(values):
        raise ValueError
    return _with_lengths(data)


def _with_lengths(data: Sequence[bytes]) -> bytes:
    try:
        return b"".join([_SHORT[len(each)] + each for each in data])
    except IndexError:
        return b"".join([_LENGTH(len(each)) + each for each in data])
