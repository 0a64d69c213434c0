"""The codecs of PostgreSQL's built-in types, made once and never changed.

A built-in type without a codec of its own (aclitem, pg_node_tree and other inner matters) travels as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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

__all__ = ["BUILTIN_ARRAYS", "BUILTIN_CODECS", "CONTAINERS", "RECORD", "SQL_NAMES", "container_codec"]

RECORD: Final = 2249

_ARRAYS: Final = {oid: (name, element, delimiter) for oid, name, element, delimiter in ARRAYS}
_RANGES: Final = {oid: (name, subtype) for oid, name, subtype in RANGES}
_MULTIRANGES: Final = {oid: (name, part) for oid, name, part in MULTIRANGES}

SQL_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bigint": "int8",
        "bit varying": "varbit",
        "boolean": "bool",
        "character": "bpchar",
        "character varying": "varchar",
        "decimal": "numeric",
        "double precision": "float8",
        "int": "int4",
        "integer": "int4",
        "real": "float4",
        "smallint": "int2",
        "time with time zone": "timetz",
        "time without time zone": "time",
        "timestamp with time zone": "timestamptz",
        "timestamp without time zone": "timestamp",
    }
)
"""What SQL calls types that have another name in `pg_type`."""

BUILTIN_ARRAYS: Final = frozenset(_ARRAYS)
"""The OIDs of all built-in arrays."""

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


class _Codecs(Mapping[int, Codec]):
    """All of them by OID. Containers, of which there are most, are made when they are asked for."""

    __slots__ = ("_codecs",)

    def __init__(self) -> None:
        codecs = {codec.oid: codec for codec in _scalars()}
        codecs[22] = vector_codec(22, "int2vector", codecs[21])
        codecs[30] = vector_codec(30, "oidvector", codecs[26])
        # Records of other than built-in types need a registry, which makes its own codec for them.
        codecs[RECORD] = record_codec(RECORD, self.get)
        for oid, name in TYPES:
            if oid not in codecs:
                codecs[oid] = text_codec(oid, name, TEXT)
        self._codecs = codecs

    def __getitem__(self, oid: int) -> Codec:
        codec = self._codecs.get(oid)
        if codec is None:
            # Of several threads that make one, all get the same.
            codec = self._codecs.setdefault(oid, container_codec(oid, self[CONTAINERS[oid]]))
        return codec

    def __contains__(self, oid: object) -> bool:
        return oid in self._codecs or oid in CONTAINERS

    def __iter__(self) -> Iterator[int]:
        return iter(dict.fromkeys((*self._codecs, *CONTAINERS)))

    def __len__(self) -> int:
        return len(self._codecs.keys() | CONTAINERS.keys())

    def names(self) -> dict[str, int]:
        """The OIDs by the names of the types."""
        containers = {
            name: oid for table in (_ARRAYS, _RANGES, _MULTIRANGES) for oid, (name, *_) in table.items()
        }
        return {codec.name: codec.oid for codec in self._codecs.values()} | containers


BUILTIN_CODECS: Final = _Codecs()
"""All of them by OID."""
