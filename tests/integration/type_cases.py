"""Values of every type, for the tests against real servers, and what to do with each."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Any, NamedTuple, TypeVar
from xml.sax.saxutils import escape

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pgproto.types import (
    BINARY,
    TEXT,
    Array,
    BitString,
    Box,
    Circle,
    Codec,
    DateInfinity,
    EndOfDay,
    Interval,
    Line,
    LineSegment,
    LogSequenceNumber,
    MacAddress,
    Money,
    Multirange,
    OutOfRangeDate,
    OutOfRangeTimestamp,
    OutOfRangeTimestampTZ,
    Path,
    Point,
    Polygon,
    Position,
    Range,
    Snapshot,
    Tid,
    TimestampInfinity,
    TimestampTZInfinity,
    TsVector,
)
from tests.integration.raw_values import RawSession

__all__ = [
    "ARRAY_CASES",
    "CASES",
    "EXAMPLES",
    "FINITE",
    "FLOATS",
    "INT32",
    "NUMERICS",
    "Case",
    "arrays",
    "ranges",
    "same",
    "text",
    "there_and_back",
]

EXAMPLES = settings(
    max_examples=max(200, settings().max_examples),
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.function_scoped_fixture],
)
"""At least 200 values of each type."""


class Case(NamedTuple):
    values: st.SearchStrategy[Any]
    exact: bool = True
    """Whether the server gives back the very value, and does not bring it into another form."""
    same_text: bool = True
    """Whether our text form is the server's, letter by letter."""


def same(left: object, right: object) -> bool:
    return type(left) is type(right) and repr(left) == repr(right)


_C = TypeVar("_C", datetime, time)


def unfolded(value: _C) -> _C:
    """Without `fold`, which says something of a time zone's clock only."""
    return value.replace(fold=0)


def there_and_back(session: RawSession, codec: Codec, value: object, case: Case) -> None:
    """Sends the value in each format that there is, takes it back in each, and looks at the server's text."""
    formats = [TEXT] if codec.encode_binary is None else [TEXT, BINARY]
    if codec.name in ("money", "_money"):
        # What it looks like is a matter of the server's locale.
        formats = [BINARY]
    for sent in formats:
        texts: set[bytes] = set()
        for taken in formats:
            _, ((back, text),) = session.fetch("select $1, format('%s', $1)", [(codec, sent, value)], taken)
            assert back is not None
            assert text is not None
            texts.add(text)
            result = codec.decoder(taken)(back)
            if case.exact:
                assert same(result, value), (sent, taken, result)
            else:
                # Whatever it was made into stays that.
                _, ((again,),) = session.fetch("select $1", [(codec, sent, result)], taken)
                assert again is not None
                assert same(codec.decoder(taken)(again), result)
            if case.same_text:
                assert (
                    str(result).encode() if codec.name == "money" else codec.encoder(TEXT)(result)
                ) == text
        assert len(texts) == 1


def text(*, excluded: str = "\x00", **options: Any) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_characters=excluded, exclude_categories=["Cs"]), **options)


INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
UINT32, UINT64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
DAY = 86_400_000_000
FIRST_DAY, LAST_DAY, LAST_MICROSECOND = -2_451_545, 2_145_031_948, 9_223_371_331_199_999_999
BEFORE, BEYOND = -730_120, 2_921_940
"""The last day before 0001-01-01, and 10000-01-01."""
DATETIMES = st.datetimes().map(unfolded)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(unfolded)
OFFSETS = st.integers(-57_599, 57_599).map(
    lambda seconds: timezone(timedelta(seconds=seconds)) if seconds else UTC
)
FLOATS, FINITE = st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False)


def exactly(value: Decimal) -> Decimal:
    """A Decimal as PostgreSQL has it: no exponent above zero, no negative zero."""
    return Decimal(format(value or abs(value), "f"))


@st.composite
def scaled(draw: st.DrawFn) -> Decimal:
    return Decimal(f"{draw(st.integers(-(10**40), 10**40))}E-{draw(st.integers(0, 40))}")


@st.composite
def timetzs(draw: st.DrawFn) -> time:
    return draw(CLOCKS).replace(tzinfo=draw(OFFSETS))


NUMERICS = (
    st.decimals(allow_nan=False, allow_infinity=False)
    .filter(lambda value: -9000 < value.adjusted() < 9000)
    .map(exactly)
    | scaled()
    | st.just(Decimal("NaN"))
)
DATES = (
    st.dates()
    | st.sampled_from([DateInfinity(), DateInfinity(-1), date.min, date.max])
    | (st.integers(FIRST_DAY, BEFORE) | st.integers(BEYOND, LAST_DAY)).map(OutOfRangeDate)
)
_FAR = st.integers(FIRST_DAY * DAY, BEFORE * DAY) | st.integers(BEYOND * DAY, LAST_MICROSECOND)
TIMESTAMPS = (
    DATETIMES | st.sampled_from([TimestampInfinity(), TimestampInfinity(-1)]) | _FAR.map(OutOfRangeTimestamp)
)
TIMESTAMPTZS = (
    MOMENTS
    | st.sampled_from([TimestampTZInfinity(), TimestampTZInfinity(-1)])
    | _FAR.map(OutOfRangeTimestampTZ)
)
CLOCKS = st.times().map(unfolded)
TIMES = CLOCKS | st.just(EndOfDay())
TIMETZS = timetzs() | st.builds(EndOfDay, OFFSETS.map(lambda zone: zone.utcoffset(None)))
INTERVALS = st.builds(Interval, INT32, INT32, st.integers(-(2**63) + 1, 2**63 - 1))
"""PostgreSQL writes the least number of microseconds, but cannot read it."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | FINITE | text(),
    lambda values: st.lists(values) | st.dictionaries(text(), values),
    max_leaves=10,
)
XML = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"])).map(
    lambda value: f"<a>{escape(value)}</a>"
)
ADDRESSES = st.ip_addresses()


@st.composite
def interfaces(draw: st.DrawFn) -> IPv4Interface | IPv6Interface:
    address = draw(ADDRESSES)
    prefix = draw(st.integers(0, address.max_prefixlen - 1))
    return (
        IPv4Interface((address, prefix))
        if isinstance(address, IPv4Address)
        else IPv6Interface((address, prefix))
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    # PostgreSQL has no transaction whose number ends in 32 zero bits.
    low = draw(st.integers(1, 2**31))
    high = draw(st.integers(low, low + 1000))
    active = draw(st.sets(st.integers(low, high - 1), max_size=5)) if low < high else set[int]()
    return Snapshot(low, high, sorted(active))


@st.composite
def tsvectors(draw: st.DrawFn) -> TsVector:
    words = sorted(draw(st.sets(text(min_size=1, max_size=8), max_size=5)), key=lambda word: word.encode())
    lexemes: list[tuple[str, list[Position]]] = []
    for word in words:
        ordinals = sorted(draw(st.sets(st.integers(1, 16383), max_size=4)))
        lexemes.append((word, [Position(ordinal, draw(st.sampled_from("ABCD"))) for ordinal in ordinals]))
    return TsVector(lexemes)


@st.composite
def tsqueries(draw: st.DrawFn, depth: int = 3) -> str:
    kind = draw(st.integers(0, 4)) if depth else 0
    if kind == 0:
        word = draw(text(min_size=1, max_size=6))
        marks = draw(st.sampled_from(["", ":*", ":A", ":*BD"]))
        return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'" + marks
    left = draw(tsqueries(depth - 1))
    if kind == 1:
        return f"!({left})"
    return f"({left}) {draw(st.sampled_from(['&', '|', '<->', '<7>']))} ({draw(tsqueries(depth - 1))})"


@st.composite
def jsonpaths(draw: st.DrawFn) -> str:
    """In the form that PostgreSQL gives them."""
    key = st.text("abcXYZ019_ \u00e9\u4e2d", min_size=1, max_size=5).map(lambda key: f'."{key}"')
    step = key | st.sampled_from(["[*]", "[0]", "[last]", "[1 to 3]", ".*", ".size()", ".**{2 to last}"])
    path = "$" + "".join(draw(st.lists(step, max_size=4)))
    comparison = draw(st.none() | st.tuples(st.sampled_from(["==", ">", "<=", "!="]), st.integers(0, 999)))
    condition = f"?(@ {comparison[0]} {comparison[1]})" if comparison else ""
    return draw(st.sampled_from(["", "strict "])) + path + condition


def ranges(
    values: st.SearchStrategy[Any], key: Callable[[Any], Any] = lambda value: value
) -> st.SearchStrategy[Range]:
    def ordered(bounds: tuple[Any, Any], marks: Any) -> Range:
        lower, upper = bounds
        if lower is not None and upper is not None and key(upper) < key(lower):
            lower, upper = upper, lower
        return Range(lower, upper, marks)

    bounds = st.tuples(st.none() | values, st.none() | values)
    return st.builds(ordered, bounds, st.sampled_from(["[)", "[]", "(]", "()"])) | st.just(Range(empty=True))


@st.composite
def arrays(draw: st.DrawFn, elements: st.SearchStrategy[Any], *, ambiguous: bool = False) -> object:
    lengths = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    count = math.prod(lengths) if lengths else 0
    values = tuple(draw(st.lists(st.none() | elements, min_size=count, max_size=count)))
    bounds = tuple([draw(st.just(1) | st.integers(-5, 5)) for _ in lengths])
    array = Array(values, lengths, bounds)
    plain = set(array.lower_bounds) <= {1} and not (ambiguous and len(lengths) > 1)
    return array.to_list() if plain else array


POINTS = st.builds(Point, FLOATS, FLOATS)
MANY_POINTS = st.lists(POINTS, min_size=1, max_size=5)
INSIDE_INT4 = st.integers(-(2**31), 2**31 - 2)
"""A canonical range needs a number behind its last."""
INSIDE_INT8 = st.integers(-(2**63), 2**63 - 2)
NEAR_DATES = st.dates(max_value=date(9999, 12, 30))
NEAR_NUMERICS = st.decimals(
    allow_nan=False, allow_infinity=False, places=3, min_value=-(10**6), max_value=10**6
)

CASES: dict[str, Case] = {
    "bool": Case(st.booleans()),
    "int2": Case(st.integers(-(2**15), 2**15 - 1)),
    "int4": Case(INT32),
    "int8": Case(INT64),
    "oid": Case(UINT32),
    "xid": Case(UINT32),
    "cid": Case(UINT32),
    "xid8": Case(UINT64),
    "float4": Case(st.floats(width=32)),
    "float8": Case(st.floats()),
    "numeric": Case(NUMERICS | st.sampled_from([Decimal("Infinity"), Decimal("-Infinity")])),
    "text": Case(text()),
    "varchar": Case(text()),
    "bpchar": Case(text()),
    "name": Case(text().filter(lambda value: len(value.encode()) < 64)),
    "refcursor": Case(text()),
    '"char"': Case(st.sampled_from(["", *map(chr, range(1, 128))])),
    "bytea": Case(st.binary()),
    "date": Case(DATES),
    "time": Case(TIMES),
    "timetz": Case(TIMETZS),
    "timestamp": Case(TIMESTAMPS),
    "timestamptz": Case(TIMESTAMPTZS),
    "interval": Case(INTERVALS),
    "uuid": Case(st.uuids()),
    "json": Case(JSON.filter(lambda value: value is not None), same_text=False),
    "jsonb": Case(JSON.filter(lambda value: value is not None), exact=False, same_text=False),
    "jsonpath": Case(jsonpaths()),
    "xml": Case(XML),
    "inet": Case(ADDRESSES | interfaces(), same_text=False),
    "cidr": Case(interfaces().map(lambda value: value.network), same_text=False),
    "macaddr": Case(st.binary(min_size=6, max_size=6).map(MacAddress)),
    "macaddr8": Case(st.binary(min_size=8, max_size=8).map(MacAddress)),
    "bit": Case(st.text("01", min_size=1).map(BitString)),
    "varbit": Case(st.text("01").map(BitString)),
    "money": Case(INT64.map(Money)),
    "tid": Case(st.builds(Tid, UINT32, st.integers(0, 2**16 - 1))),
    "pg_lsn": Case(UINT64.map(LogSequenceNumber)),
    "pg_snapshot": Case(snapshots()),
    "txid_snapshot": Case(snapshots()),
    "point": Case(st.builds(Point, st.floats(), st.floats())),
    "line": Case(
        st.builds(Line, FLOATS, FLOATS, FLOATS).filter(lambda line: abs(line.a) + abs(line.b) > 1e-3)
    ),
    "lseg": Case(st.builds(LineSegment, POINTS, POINTS)),
    "box": Case(st.builds(Box, POINTS, POINTS)),
    "path": Case(st.builds(Path, MANY_POINTS, st.booleans())),
    "polygon": Case(st.builds(Polygon, st.lists(st.builds(Point, FINITE, FINITE), min_size=1, max_size=5))),
    "circle": Case(st.builds(Circle, POINTS, st.floats(min_value=0))),
    "tsvector": Case(tsvectors()),
    "tsquery": Case(tsqueries(), exact=False),
    "int2vector": Case(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1)),
    "oidvector": Case(st.lists(UINT32, min_size=1)),
    "int4range": Case(ranges(INSIDE_INT4), exact=False),
    "int8range": Case(ranges(INSIDE_INT8), exact=False),
    "numrange": Case(ranges(NEAR_NUMERICS), exact=False),
    "daterange": Case(ranges(NEAR_DATES), exact=False),
    "tsrange": Case(ranges(DATETIMES), exact=False),
    "tstzrange": Case(ranges(MOMENTS), exact=False),
    "int4multirange": Case(st.lists(ranges(INSIDE_INT4), max_size=4).map(Multirange), exact=False),
    "int8multirange": Case(st.lists(ranges(INSIDE_INT8), max_size=4).map(Multirange), exact=False),
    "nummultirange": Case(st.lists(ranges(NEAR_NUMERICS), max_size=4).map(Multirange), exact=False),
    "datemultirange": Case(st.lists(ranges(NEAR_DATES), max_size=4).map(Multirange), exact=False),
    "tsmultirange": Case(st.lists(ranges(DATETIMES), max_size=4).map(Multirange), exact=False),
    "tstzmultirange": Case(st.lists(ranges(MOMENTS), max_size=4).map(Multirange), exact=False),
    "_bool": Case(arrays(st.booleans())),
    "_int4": Case(arrays(INT32)),
    "_float8": Case(arrays(FLOATS)),
    "_numeric": Case(arrays(NUMERICS)),
    "_text": Case(arrays(text()), same_text=False),
    "_bytea": Case(arrays(st.binary())),
    "_date": Case(arrays(DATES), same_text=False),
    "_timestamptz": Case(arrays(TIMESTAMPTZS)),
    "_json": Case(
        arrays(JSON.filter(lambda value: value is not None), ambiguous=True),
        same_text=False,
    ),
    "_inet": Case(arrays(ADDRESSES | interfaces()), same_text=False),
    "_varbit": Case(arrays(st.text("01").map(BitString)), same_text=False),
    "_point": Case(arrays(POINTS)),
    "_box": Case(arrays(st.builds(Box, POINTS, POINTS)), same_text=False),
    "_tsvector": Case(arrays(tsvectors()), same_text=False),
    "_int4range": Case(arrays(ranges(INSIDE_INT4)), exact=False),
    "_int4multirange": Case(arrays(st.lists(ranges(INSIDE_INT4), max_size=3).map(Multirange)), exact=False),
}


def _every_array() -> dict[str, Case]:
    """Arrays of all those types of which there are none above; how they quote is shown there."""
    made: dict[str, Case] = {}
    for name, case in CASES.items():
        array = "_" + name.strip('"')
        if not name.startswith("_") and array not in CASES:
            ambiguous = name in ("jsonb", "int2vector", "oidvector")
            values = arrays(case.values, ambiguous=ambiguous)
            made[array] = Case(values, exact=case.exact, same_text=False)
    return made


ARRAY_CASES = _every_array()
