"""Types of extensions: hstore, citext, ltree and its queries, cube, and pgvector's three.

Appendix "Additional Supplied Modules and Extensions". OIDs of these differ between databases, so they are
known by the name of the extension and of the type, once the server has been asked.

hstore is a `dict` of `str` to `str` or None. citext, ltree, lquery and ltxtquery are `str`. cube is `Cube`.
pgvector's vector and halfvec are lists of floats (parameters may be any iterable of numbers), sparsevec is
`SparseVector`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._array_text import quoted, unescaped
from pgproto.types._codec import (
    BINARY,
    Codec,
    join_fields,
    malformed,
    shortened,
    take_fields,
    unwrapped,
    wrong_value,
)
from pgproto.types._cube import cube_codec
from pgproto.types._guards import is_mapping
from pgproto.types._json import versioned_codec
from pgproto.types._pgvector import halfvec_codec, sparsevec_codec, vector_codec
from pgproto.types._text import decode_text, encode_text, text_codec, text_decoder, text_encoder

__all__ = ["EXTENSION_CODECS"]

_Factory: TypeAlias = Callable[[int, str], Codec]

_COUNT: Final = struct.Struct("!i")


# hstore

_PAIR = pattern(
    rb'"(?P<key>(?:[^"\\]++|\\["\\])*+)"=>(?:"(?P<value>(?:[^"\\]++|\\["\\])*+)"|NULL)(?P<more>, )?',
    re.DOTALL,
)


def _hstore_codec(oid: int, name: str) -> Codec:
    def pairs(value: object) -> list[tuple[bytes, bytes | None]]:
        plain = unwrapped(value)
        if not is_mapping(plain):
            raise wrong_value(name, value, "it takes a mapping of str to str or None")
        try:
            return [
                (encode_text(key), None if item is None else encode_text(item)) for key, item in plain.items()
            ]
        except DataError as error:
            raise DataError(f"{error} (key or value of {name})") from error.__cause__

    def made(fields: Iterable[tuple[bytes | None, bytes | None]]) -> dict[str, str | None]:
        result: dict[str, str | None] = {}
        for key, item in fields:
            if key is None:
                raise malformed(name, "a key is NULL")
            text = str(decode_text(key))
            if text in result:
                raise malformed(name, f"the key {shortened(text)} is there twice")
            result[text] = None if item is None else str(decode_text(item))
        return result

    def encode(value: object) -> bytes:
        flat = [part for pair in pairs(value) for part in pair]
        return _COUNT.pack(len(flat) // 2) + join_fields(name, _as_is, flat)

    def decode(data: bytes) -> object:
        if len(data) < _COUNT.size:
            raise malformed(name, f"{len(data)} bytes, at least {_COUNT.size} expected")
        (count,) = _COUNT.unpack_from(data)
        if count < 0:
            raise malformed(name, f"{count} pairs")
        fields = take_fields(name, data, _COUNT.size, 2 * count)
        return made(zip(fields[::2], fields[1::2], strict=True))

    def encode_to_text(value: object) -> bytes:
        return b", ".join(
            [quoted(key) + b"=>" + (b"NULL" if item is None else quoted(item)) for key, item in pairs(value)]
        )

    def decode_from_text(data: bytes) -> object:
        fields: list[tuple[bytes | None, bytes | None]] = []
        end = 0
        while end < len(data):
            match = _PAIR.match(data, end)
            if match is None or (match["more"] is None) != (match.end() == len(data)):
                raise malformed(name, f"no pair at byte {end}: {shortened(data)}")
            item = match["value"]
            fields.append((unescaped(match["key"]), None if item is None else unescaped(item)))
            end = match.end()
        return made(fields)

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=encode_to_text,
        decode_text=decode_from_text,
    )


def _as_is(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


# Text with another name


def _citext_codec(oid: int, name: str) -> Codec:
    return text_codec(oid, name, BINARY)


def _ltree_codec(oid: int, name: str) -> Codec:
    return versioned_codec(oid, name, text_encoder(name), text_decoder(name))


EXTENSION_CODECS: Final[Mapping[tuple[str, str], _Factory]] = MappingProxyType(
    {
        ("hstore", "hstore"): _hstore_codec,
        ("citext", "citext"): _citext_codec,
        ("ltree", "ltree"): _ltree_codec,
        ("ltree", "lquery"): _ltree_codec,
        ("ltree", "ltxtquery"): _ltree_codec,
        ("cube", "cube"): cube_codec,
        ("vector", "vector"): vector_codec,
        ("vector", "halfvec"): halfvec_codec,
        ("vector", "sparsevec"): sparsevec_codec,
    }
)
"""By the name of the extension and of the type: what makes the codec, given its OID and its name for
messages."""
