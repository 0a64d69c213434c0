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
    ranges, multiranges         Range, Multirange
    composites, records         Composite, tuple
    domains                     what their base type is
    void                        None

A type that nothing is known of travels as text, and is `str`. The modules below say what parameters may be.
"""

from __future__ import annotations

from pgproto.types._arrays import Array
from pgproto.types._calendar import (
    DateInfinity,
    OutOfRangeDate,
    OutOfRangeTimestamp,
    OutOfRangeTimestampTZ,
    TimestampInfinity,
    TimestampTZInfinity,
)
from pgproto.types._codec import BINARY, TEXT, Codec
from pgproto.types._composites import Composite
from pgproto.types._interval import Interval
from pgproto.types._json import JsonText
from pgproto.types._ranges import Multirange, Range
from pgproto.types._registry import TypeRegistry
from pgproto.types._temporal import EndOfDay, Overflow

__all__ = [
    "BINARY",
    "TEXT",
    "Array",
    "Codec",
    "Composite",
    "DateInfinity",
    "EndOfDay",
    "Interval",
    "JsonText",
    "Multirange",
    "OutOfRangeDate",
    "OutOfRangeTimestamp",
    "OutOfRangeTimestampTZ",
    "Overflow",
    "Range",
    "TimestampInfinity",
    "TimestampTZInfinity",
    "TypeRegistry",
]
