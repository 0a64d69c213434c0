"""Rows: composite types, which have names, and anonymous records, which have none.

Chapter "Data Types", section "Composite Types". A value of a composite type decodes to a `Composite`, a
record to a tuple. A parameter of a composite type may be a `Composite` (of the same attributes), a tuple, a
list, or a mapping or a dataclass by name. PostgreSQL takes no parameter of type record.

The binary form (`record_send` in PostgreSQL's source) is the number of attributes, and for each the OID of
its type and its value behind its length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, NoReturn, overload

from pgproto.errors import DataError
from pgproto.types._codec import (
    BINARY,
    MAX_DEPTH,
    TEXT,
    ChangedType,
    Codec,
    Encode,
    container,
    malformed,
    nested_decoder,
    shortened,
    unwrapped,
    wrong_value,
)
from pgproto.types._guards import is_list_or_tuple, is_mapping
from pgproto.types._row_text import parse_row, row_text
from pgproto.types._text_form import text_form
from pgproto.types._value import slot_setter

__all__ = ["Composite", "composite_codec", "record_codec"]

_COUNT: Final = struct.Struct("!i")
_ATTRIBUTE: Final = struct.Struct("!Ii")
_NULL_ATTRIBUTE: Final = -1


class Composite(Sequence[Any]):
    """A value of a composite type: a sequence whose items have names; immutable.

    `value[0]`, `value["name"]` and, where no method is called so, `value.name`. The names come from the
    server and are data: none of them ever becomes a Python attribute. It equals a tuple of the same values,
    as well as a `Composite` of the same values and names.
    """

    __slots__ = ("_names", "_values")

    _names: tuple[str, ...]
    _values: tuple[Any, ...]

    def __init__(self, names: Sequence[str], values: Sequence[Any]) -> None:
        if len(names) != len(values):
            raise DataError(f"{len(names)} names for {len(values)} values")
        _set_names(self, tuple(names))
        _set_values(self, tuple(values))

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """The names, in the order of the type's definition."""
        return self._names

    def asdict(self) -> dict[str, Any]:
        """The values by name."""
        return dict(zip(self._names, self._values, strict=True))

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    @overload
    def __getitem__(self, key: int | str) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Any:
        if isinstance(key, str):
            try:
                return self._values[self._names.index(key)]
            except ValueError:
                raise KeyError(key) from None
        return self._values[key]

    def __getattr__(self, name: str) -> Any:
        # Only called for what is no attribute of the class. Names with two underscores belong to Python.
        if not name.startswith("__"):
            try:
                return self._values[self._names.index(name)]
            except ValueError:
                pass
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("Composite is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("Composite is immutable")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Composite):
            return self._values == other._values and self._names == other._names
        if isinstance(other, tuple):
            return self._values == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._values)

    def __reduce__(self) -> tuple[object, ...]:
        return Composite, (self._names, self._values)

    def __repr__(self) -> str:
        items = ", ".join(f"{name}={value!r}" for name, value in zip(self._names, self._values, strict=True))
        return f"Composite({items})"

    def __str__(self) -> str:
        texts = [None if value is None else text_form(value).encode() for value in self._values]
        return row_text(texts).decode()


_new = object.__new__
_set_names = slot_setter(Composite, "_names")
_set_values = slot_setter(Composite, "_values")


def _make(names: tuple[str, ...], values: Sequence[Any]) -> Composite:
    value = _new(Composite)
    _set_names(value, names)
    _set_values(value, tuple(values))
    return value


def _attributes(name: str, data: bytes, depth: int) -> list[tuple[int, bytes | None]]:
    """The OID and the bytes of each attribute."""
    if depth > MAX_DEPTH:
        raise malformed(name, f"nested more than {MAX_DEPTH} deep")
    end = len(data)
    if end < _COUNT.size:
        raise malformed(name, f"{end} bytes, at least {_COUNT.size} expected")
    (count,) = _COUNT.unpack_from(data)
    position = _COUNT.size
    if not 0 <= count <= (end - position) // _ATTRIBUTE.size:
        raise malformed(name, f"{count} attributes in {end - position} bytes")
    attributes: list[tuple[int, bytes | None]] = []
    for _ in range(count):
        if position > end - _ATTRIBUTE.size:
            raise malformed(name, f"cut off after {len(attributes)} of {count} attributes")
        oid, length = _ATTRIBUTE.unpack_from(data, position)
        position += _ATTRIBUTE.size
        if length == _NULL_ATTRIBUTE:
            attributes.append((oid, None))
            continue
        if not 0 <= length <= end - position:
            raise malformed(name, f"an attribute of {length} bytes where {end - position} are left")
        attributes.append((oid, data[position : position + length]))
        position += length
    if position != end:
        raise malformed(name, f"{end - position} bytes too many")
    return attributes


def _checked(name: str, names: tuple[str, ...], value: object) -> Sequence[Any]:
    """The values of a parameter, in the order of the attributes."""
    plain = unwrapped(value)
    if is_dataclass(plain) and not isinstance(plain, type):
        plain = {field.name: getattr(plain, field.name) for field in fields(plain)}
    if is_mapping(plain):
        if set(plain) != set(names):
            raise wrong_value(name, value, f"its keys must be the attributes: {', '.join(names)}")
        return [plain[attribute] for attribute in names]
    if isinstance(plain, Composite):
        if plain.attribute_names != names:
            raise wrong_value(name, value, f"its attributes must be {', '.join(names)}")
        return plain
    if not is_list_or_tuple(plain):
        raise wrong_value(name, value, "it takes a tuple, a list, a mapping, a dataclass or a Composite")
    if len(plain) != len(names):
        raise wrong_value(name, value, f"{len(plain)} values for {len(names)} attributes: {', '.join(names)}")
    return plain


def _encode_attribute(name: str, attribute: str, encode: Encode, value: object) -> bytes:
    try:
        return encode(value)
    except DataError as error:
        raise DataError(f"{error} (attribute {attribute} of {name})") from error.__cause__


def _changed(name: str, why: str) -> ChangedType:
    return ChangedType(f"{malformed(name, why)}; has the type changed?")


def composite_codec(oid: int, name: str, names: tuple[str, ...], codecs: tuple[Codec, ...]) -> Codec:
    """The codec for a composite type of these attributes."""
    text_encoders = [codec.encoder(TEXT) for codec in codecs]
    text_decoders = [codec.decoder(TEXT) for codec in codecs]

    def encode_text(value: object) -> bytes:
        values = zip(names, text_encoders, _checked(name, names, value), strict=True)
        return row_text(
            None if item is None else _encode_attribute(name, attribute, encode, item)
            for attribute, encode, item in values
        )

    def decode_text(data: bytes) -> object:
        texts = [] if data == b"()" and not names else parse_row(name, data)
        if len(texts) != len(names):
            raise _changed(name, f"{len(texts)} values for {len(names)} attributes")
        values = zip(text_decoders, texts, strict=True)
        return _make(names, [None if text is None else decode(text) for decode, text in values])

    def encode_binary() -> Encode:
        encoders = [
            (attribute, codec.oid, codec.encoder(BINARY))
            for attribute, codec in zip(names, codecs, strict=True)
        ]

        def encode_values(value: object) -> bytes:
            parts = [_COUNT.pack(len(names))]
            for (attribute, part_oid, encode), item in zip(
                encoders, _checked(name, names, value), strict=True
            ):
                if item is None:
                    parts.append(_ATTRIBUTE.pack(part_oid, _NULL_ATTRIBUTE))
                    continue
                data = _encode_attribute(name, attribute, encode, item)
                try:
                    parts.append(_ATTRIBUTE.pack(part_oid, len(data)))
                except struct.error:
                    raise wrong_value(name, item, "too long") from None
                parts.append(data)
            return b"".join(parts)

        return encode_values

    def decode_binary() -> Callable[[bytes, int], object]:
        oids = [codec.oid for codec in codecs]
        decoders = [nested_decoder(codec) for codec in codecs]

        def decode_values(data: bytes, depth: int) -> object:
            attributes = _attributes(name, data, depth)
            if [part_oid for part_oid, _ in attributes] != oids:
                raise _changed(name, "its attributes have other types than those that were looked up")
            values = zip(decoders, attributes, strict=True)
            return _make(
                names, [None if part is None else decode(part, depth + 1) for decode, (_, part) in values]
            )

        return decode_values

    return container(
        oid,
        name,
        codecs,
        encode_text=encode_text,
        decode_text=decode_text,
        encode_binary=encode_binary,
        decode_binary=decode_binary,
        takes_sequences=True,
    )


def record_codec(oid: int, find: Callable[[int], Codec | None]) -> Codec:
    """The codec for anonymous records.

    Args:
        oid: of the type record.
        find: gives the codec of an attribute by the OID in the data, None for a type that is not known.
    """

    def decode_nested(data: bytes, depth: int) -> object:
        values: list[object] = []
        for part_oid, part in _attributes("record", data, depth):
            if part is None:
                values.append(None)
                continue
            codec = find(part_oid)
            if codec is None or codec.decode_binary is None:
                raise DataError(
                    f"a record holds a value of a type that was not looked up, OID {part_oid}: cast it"
                )
            values.append(nested_decoder(codec)(part, depth + 1))
        return tuple(values)

    def decode_text(data: bytes) -> object:
        texts = parse_row("record", data)
        try:
            return tuple([None if text is None else text.decode() for text in texts])
        except UnicodeDecodeError:
            raise malformed("record", f"not UTF-8: {shortened(data)}") from None

    def encode(value: object) -> bytes:
        raise wrong_value("record", value, "PostgreSQL takes no anonymous records; cast to a composite type")

    return Codec(
        oid=oid,
        name="record",
        format=BINARY,
        encode=encode,
        decode=lambda data: decode_nested(data, 1),
        encode_text=encode,
        decode_text=decode_text,
        decode_nested=decode_nested,
        takes_sequences=True,
    )
