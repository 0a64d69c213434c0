"""`Codec`: how the values of one PostgreSQL type travel, and the words for when they cannot.

Both directions of both formats are pure functions. `decode` gets the bytes of exactly one value and either
returns it or raises `DataError`; `encode` gets whatever a caller passed in. Neither raises anything else.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias

from pgproto._dataclasses import dataclass
from pgproto.errors import DataError
from pgproto.types._guards import is_dict, is_list, is_plain_collection, is_plain_tuple

__all__ = [
    "BINARY",
    "MAX_DEPTH",
    "TEXT",
    "ChangedType",
    "Codec",
    "Decode",
    "Encode",
    "ascii_text",
    "container",
    "encode_member",
    "fixed_width",
    "join_fields",
    "malformed",
    "nested_decoder",
    "shortened",
    "take_fields",
    "unwrapped",
    "wrong_value",
]

TEXT: Final = 0
"""The format code of the text format."""

BINARY: Final = 1
"""The format code of the binary format."""

MAX_DEPTH: Final = 64
"""How deep arrays, composites and records may be nested in each other."""

Encode: TypeAlias = Callable[[object], bytes]
Decode: TypeAlias = Callable[[bytes], object]

_INT32: Final = struct.Struct("!i")
_NULL: Final = b"\xff\xff\xff\xff"

_SHOWN_CHARACTERS = 60
_SHOWN_BITS = 256
_SHOWN_ITEMS = 8


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of one type are encoded and decoded; immutable.

    Raises: nothing here, but all functions that it holds raise `DataError`, and only that.
    """

    oid: int
    """The type's OID in `pg_type`."""
    name: str
    """The type's name, for messages: "int4", "_text", or "schema.name" for a type outside pg_catalog."""
    format: int
    """`BINARY` or `TEXT`: what travels, both ways."""
    encode: Encode
    """A value (never None: that is NULL, which has no bytes) to its bytes in `format`."""
    decode: Decode
    """The bytes of exactly one value, in `format`, to the value."""
    struct_format: str = ""
    """For binary types of a fixed width: the `struct` code, big-endian implied, such as "i" or "q"."""
    from_struct: Callable[[Any], object] | None = None
    """Makes the value from what `struct` unpacked; None where that is the value itself."""
    encode_text: Encode | None = None
    decode_text: Decode | None = None
    encode_binary: Encode | None = None
    """None where PostgreSQL has no binary form of the type, or we know none."""
    decode_binary: Decode | None = None
    decode_nested: Callable[[bytes, int], object] | None = None
    """For what is inside a container: `decode_binary` that knows how deep it is, and is stricter about
    sizes."""
    takes_sequences: bool = False
    """True where a Python list or tuple can be one value, so that an array of them cannot tell dimensions."""
    takes_tuples: bool = False
    """True where a tuple can be one value and a list cannot: in an array, only lists are dimensions."""

    def __post_init__(self) -> None:
        kind = "binary" if self.format == BINARY else "text"
        encode, decode = f"encode_{kind}", f"decode_{kind}"
        if getattr(self, encode) is None:
            object.__setattr__(self, encode, self.encode)
        if getattr(self, decode) is None:
            object.__setattr__(self, decode, self.decode)
        # Every type has a text form; where we have only the binary one, a container of it must still be made.
        if self.encode_text is None:
            object.__setattr__(self, "encode_text", self._no_text)
        if self.decode_text is None:
            object.__setattr__(self, "decode_text", self._no_text)

    def _no_text(self, value: object) -> NoReturn:
        raise DataError(f"type {self.name} was given a codec for the binary format only")

    def encoder(self, format: int) -> Encode:
        """The function that encodes in this format.

        Raises:
            DataError: the type has no such format.
        """
        encode = self.encode_binary if format == BINARY else self.encode_text
        if encode is None:
            raise DataError(f"values of type {self.name} cannot be sent in {_format_name(format)} format")
        return encode

    def decoder(self, format: int) -> Decode:
        """The function that decodes this format.

        Raises:
            DataError: the type has no such format.
        """
        decode = self.decode_binary if format == BINARY else self.decode_text
        if decode is None:
            raise DataError(
                f"values of type {self.name} cannot be decoded from {_format_name(format)} format"
            )
        return decode


def _format_name(format: int) -> str:
    return "binary" if format == BINARY else "text"


def shortened(value: object, depth: int = 2) -> str:
    """`repr(value)` for a message: bounded in time and length, and never an exception of its own."""
    try:
        text = _short_repr(value, depth)
    except Exception:
        # A value's own repr may fail in any way at all.
        return f"<{type(value).__qualname__} without repr>"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _short_repr(value: object, depth: int) -> str:
    match value:
        case int() if value.bit_length() > _SHOWN_BITS:
            # Python refuses to print very long integers.
            return f"<an integer of {value.bit_length()} bits>"
        case str() | bytes() | bytearray() if len(value) > _SHOWN_CHARACTERS:
            return repr(value[:_SHOWN_CHARACTERS])
        case _ if is_plain_collection(value):
            return _short_items(value, depth)
        case _:
            return repr(value)


def _short_items(value: Collection[object], depth: int) -> str:
    if depth == 0 or len(value) > _SHOWN_ITEMS:
        return f"<{type(value).__qualname__} of {len(value)}>"
    if is_list(value):
        return f"[{', '.join([shortened(item, depth - 1) for item in value])}]"
    if is_dict(value):
        items = [f"{shortened(key, 0)}: {shortened(item, depth - 1)}" for key, item in value.items()]
        return f"{{{', '.join(items)}}}"
    if is_plain_tuple(value):
        return f"({', '.join([shortened(item, depth - 1) for item in value])})"
    return repr(value)


def wrong_value(type_name: str, value: object, why: str) -> DataError:
    """The error for a value that cannot be encoded."""
    kind = type(value)
    kind_name = kind.__qualname__
    # A Range of somebody else's, or numpy's bool, would be refused for not being one.
    if kind.__module__ != "builtins" and re.search(rf"\b{re.escape(kind_name)}\b", f"{type_name} {why}"):
        kind_name = f"{kind.__module__}.{kind_name}"
    return DataError(f"cannot encode {shortened(value)} ({kind_name}) as {type_name}: {why}")


class ChangedType(DataError):
    """The value is not one of the type as it was looked up; the type may have been altered since."""


def malformed(type_name: str, why: str) -> DataError:
    """The error for bytes from the server that are no value of the type."""
    return DataError(f"the server sent a malformed {type_name}: {why}")


def unwrapped(value: object) -> object:
    """The value of an `Enum` member; anything else as it is."""
    return value.value if isinstance(value, enum.Enum) else value


def encode_member(encode: Encode, member: object, value: object) -> bytes:
    """Encode the value of an `Enum` member; the error says whose value it is."""
    try:
        return encode(value)
    except DataError as error:
        raise DataError(f"{error} (value of {shortened(member)})") from error.__cause__


def ascii_text(type_name: str, data: bytes) -> str:
    """Text of a type whose text form is plain ASCII."""
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise malformed(type_name, f"not ASCII: {shortened(data)}") from None


def container(
    oid: int,
    name: str,
    parts: Iterable[Codec],
    *,
    encode_text: Encode,
    decode_text: Decode,
    encode_binary: Callable[[], Encode],
    decode_binary: Callable[[], Callable[[bytes, int], object]],
    takes_sequences: bool = False,
    takes_tuples: bool = False,
) -> Codec:
    """A codec for a type made of others: it travels in binary format if all its parts do.

    The binary functions are only made if all parts have them.
    """
    parts = tuple(parts)
    encode: Encode | None = None
    decode: Decode | None = None
    nested: Callable[[bytes, int], object] | None = None
    if all(part.encode_binary is not None and part.decode_binary is not None for part in parts):
        encode, nested = encode_binary(), decode_binary()
        decode = partial(_outermost, nested)
    if encode is not None and decode is not None and all(part.format == BINARY for part in parts):
        format, default_encode, default_decode = BINARY, encode, decode
    else:
        format, default_encode, default_decode = TEXT, encode_text, decode_text
    return Codec(
        oid=oid,
        name=name,
        format=format,
        encode=default_encode,
        decode=default_decode,
        encode_text=encode_text,
        decode_text=decode_text,
        encode_binary=encode,
        decode_binary=decode,
        decode_nested=nested,
        takes_sequences=takes_sequences,
        takes_tuples=takes_tuples,
    )


def _outermost(decode: Callable[[bytes, int], object], data: bytes) -> object:
    return decode(data, 1)


def nested_decoder(codec: Codec) -> Callable[[bytes, int], object]:
    """What decodes the codec's binary form inside a container that is so many levels deep."""
    if codec.decode_nested is not None:
        return codec.decode_nested
    decode = codec.decoder(BINARY)
    return lambda data, depth: decode(data)


def fixed_width(
    oid: int,
    name: str,
    code: str,
    *,
    encode: Encode,
    encode_text: Encode,
    decode_text: Decode,
    from_struct: Callable[[Any], object] | None = None,
) -> Codec:
    """A codec for a type whose binary form is one number of a fixed width."""
    layout = struct.Struct("!" + code)
    unpack, size = layout.unpack, layout.size

    def decode(data: bytes) -> object:
        try:
            value: object = unpack(data)[0]
        except struct.error:
            raise malformed(name, f"{len(data)} bytes instead of {size}") from None
        return value if from_struct is None else from_struct(value)

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        struct_format=code,
        from_struct=from_struct,
        encode_text=encode_text,
        decode_text=decode_text,
    )


def take_fields(name: str, data: bytes, start: int, count: int) -> list[bytes | None]:
    """The parts of a container from `start` on: each behind its length, or -1 for NULL; nothing may be
    left."""
    end = len(data)
    if count > (end - start) // 4:
        raise malformed(name, f"{count} parts in {end - start} bytes")
    fields: list[bytes | None] = []
    add, length_at = fields.append, _INT32.unpack_from
    position = start
    for _ in range(count):
        if position > end - 4:
            raise malformed(name, f"cut off after {len(fields)} of {count} parts")
        (length,) = length_at(data, position)
        position += 4
        if length == -1:
            add(None)
            continue
        if length < 0 or length > end - position:
            raise malformed(name, f"a part of {length} bytes where {end - position} are left")
        add(data[position : position + length])
        position += length
    if position != end:
        raise malformed(name, f"{end - position} bytes too many")
    return fields


def join_fields(name: str, encode: Encode, values: Iterable[object]) -> bytes:
    """The parts of a container, each behind its length, or -1 for None."""
    parts: list[bytes] = []
    add, pack = parts.append, _INT32.pack
    for index, value in enumerate(values):
        if value is None:
            add(_NULL)
            continue
        try:
            data = encode(value)
        except DataError as error:
            raise DataError(f"{error} (element {index} of {name})") from error.__cause__
        try:
            add(pack(len(data)))
        except struct.error:
            raise wrong_value(name, value, "too long") from None
        add(data)
    return b"".join(parts)
