"""The codecs of PostgreSQL's built-in types, made once and never changed.

A built-in type without a codec of its own (aclitem, pg_node_tree and other inner matters) travels as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pgproto.types._arrays import array_codec
from pgproto.types._bits import BIT_CODECS, MONEY_CODEC
from pgproto.types._codec import TEXT, Codec
from pgproto.types._composites import record_codec
from pgproto.types._geometry import GEOMETRY_CODECS
from pgproto.types._identifiers import IDENTIFIER_CODECS
from pgproto.types._interval import INTERVAL_CODEC
from pgproto.types._json import JSON_CODECS
from pgproto.types._network import NETWORK_CODECS
from pgproto.types._numbers import NUMBER_CODECS
from pgproto.types._numeric import NUMERIC_CODEC
from pgproto.types._oids import ARRAYS, MULTIRANGES, RANGES, TYPES
from pgproto.types._ranges import multirange_codec, range_codec
from pgproto.types._temporal import TEMPORAL_CODECS
from pgproto.types._text import TEXT_CODECS, text_codec
from pgproto.types._tsquery import TSQUERY_CODEC
from pgproto.types._tsvector import TSVECTOR_CODEC
from pgproto.types._vectors import vector_codec

__all__ = ["BUILTIN_CODECS", "CONTAINERS", "RECORD", "RECORD_ARRAY", "container_codec"]

RECORD: Final = 2249
RECORD_ARRAY: Final = 2287

_ARRAYS: Final = {oid: (name, element, delimiter) for oid, name, element, delimiter in ARRAYS}
_RANGES: Final = {oid: (name, subtype) for oid, name, subtype in RANGES}
_MULTIRANGES: Final = {oid: (name, part) for oid, name, part in MULTIRANGES}

CONTAINERS: Final[Mapping[int, int]] = MappingProxyType(
    {
        **{oid: element for oid, (_, element, _) in _ARRAYS.items()},
        **{oid: subtype for oid, (_, subtype) in _RANGES.items()},
        **{oid: part for oid, (_, part) in _MULTIRANGES.items()},
    }
)
"""For each built-in array, range and multirange, the OID of what it is made of."""


def container_codec(oid: int, part: Codec) -> Codec:
    """The codec of a built-in array, range or multirange of this part."""
    if oid in _ARRAYS:
        name, _, delimiter = _ARRAYS[oid]
        return array_codec(oid, name, part, delimiter)
    if oid in _RANGES:
        return range_codec(oid, _RANGES[oid][0], part)
    return multirange_codec(oid, _MULTIRANGES[oid][0], part)


def _scalars() -> Iterable[Codec]:
    yield from NUMBER_CODECS
    yield NUMERIC_CODEC
    yield from TEXT_CODECS
    yield from JSON_CODECS
    yield from TEMPORAL_CODECS
    yield INTERVAL_CODEC
    yield from IDENTIFIER_CODECS
    yield from NETWORK_CODECS
    yield from BIT_CODECS
    yield MONEY_CODEC
    yield from GEOMETRY_CODECS
    yield TSVECTOR_CODEC
    yield TSQUERY_CODEC


def _all() -> dict[int, Codec]:
    codecs = {codec.oid: codec for codec in _scalars()}
    codecs[22] = vector_codec(22, "int2vector", codecs[21])
    codecs[30] = vector_codec(30, "oidvector", codecs[26])
    # Records of other than built-in types need a registry, which makes its own codec for them.
    codecs[RECORD] = record_codec(RECORD, codecs.get)
    for oid, name in TYPES:
        if oid not in codecs:
            codecs[oid] = text_codec(oid, name, TEXT)
    # Ranges first, as there are multiranges of them, and arrays of both.
    for oids in (_RANGES, _MULTIRANGES, _ARRAYS):
        for oid in oids:
            codecs[oid] = container_codec(oid, codecs[CONTAINERS[oid]])
    return codecs


BUILTIN_CODECS: Final[Mapping[int, Codec]] = MappingProxyType(_all())
"""All of them by OID."""
