"""Types: how PostgreSQL's values become Python's, and back.

`TypeRegistry` finds the `Codec` of a type by its OID. The value types here stand for what Python's own types
cannot hold; all are immutable, can be compared, hashed and pickled, and `str()` gives PostgreSQL's text form.

    bool                        bool
    int2 int4 int8 oid xid xid8 cid     int
    float4 float8               float
    numeric                     decimal.Decimal
    text and its kind, enums    str
    bytea                       bytes
    date, timestamp(tz)         datetime.date, datetime.datetime, or a type for what these cannot hold
    time, timetz                datetime.time, or EndOfDay
    interval                    Interval, always
    uuid                        uuid.UUID
    json, jsonb                 whatever the JSON is in Python
    arrays                      list, or Array where lower bounds are not 1
    inet, cidr                  addresses, interfaces and networks of ipaddress
    macaddr, macaddr8           MacAddress
    bit, varbit                 BitString
    money                       Money
    point lseg box ...          Point, LineSegment, Box, Line, Path, Polygon, Circle
    tsvector, tsquery           TsVector, str
    tid, pg_lsn, pg_snapshot    Tid, LogSequenceNumber, Snapshot
    regclass and its kind       str
    int2vector, oidvector       list
    ranges, multiranges         Range, Multirange
    composites, records         Composite, tuple
    domains                     what their base type is
    void                        None
    hstore                      dict
    citext, ltree, lquery       str
    cube                        Cube
    vector, halfvec, sparsevec  list, list, SparseVector

A type that nothing is known of travels as text, and is `str`. The modules below say what parameters may be.
"""

from __future__ import annotations

from pgproto.types._arrays import Array
from pgproto.types._bits import BitString, Money
from pgproto.types._calendar import (
    DateInfinity,
    OutOfRangeDate,
    OutOfRangeTimestamp,
    OutOfRangeTimestampTZ,
    TimestampInfinity,
    TimestampTZInfinity,
)
from pgproto.types._clock import EndOfDay
from pgproto.types._codec import BINARY, TEXT, Codec
from pgproto.types._composites import Composite
from pgproto.types._cube import Cube
from pgproto.types._geometry import Box, Circle, Line, LineSegment, Path, Point, Polygon
from pgproto.types._identifiers import LogSequenceNumber, Snapshot, Tid
from pgproto.types._interval import Interval
from pgproto.types._json import JsonText
from pgproto.types._network import MacAddress
from pgproto.types._pgvector import SparseVector
from pgproto.types._ranges import Multirange, Range
from pgproto.types._registry import CodecFormat, TypeRegistry
from pgproto.types._temporal import Overflow
from pgproto.types._tsvector import Lexeme, Position, TsVector

__all__ = [
    "BINARY",
    "TEXT",
    "Array",
    "BitString",
    "Box",
    "Circle",
    "Codec",
    "CodecFormat",
    "Composite",
    "Cube",
    "DateInfinity",
    "EndOfDay",
    "Interval",
    "JsonText",
    "Lexeme",
    "Line",
    "LineSegment",
    "LogSequenceNumber",
    "MacAddress",
    "Money",
    "Multirange",
    "OutOfRangeDate",
    "OutOfRangeTimestamp",
    "OutOfRangeTimestampTZ",
    "Overflow",
    "Path",
    "Point",
    "Polygon",
    "Position",
    "Range",
    "Snapshot",
    "SparseVector",
    "Tid",
    "TimestampInfinity",
    "TimestampTZInfinity",
    "TsVector",
    "TypeRegistry",
]
