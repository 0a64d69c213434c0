"""Every built-in type there and back, in both formats both ways, and PostgreSQL's own text form beside it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Interval, Range, TypeRegistry
from tests.integration.raw_values import RawSession, ServerRefused
from tests.integration.type_cases import (
    ARRAY_CASES,
    CASES,
    EXAMPLES,
    FLOATS,
    INT32,
    NUMERICS,
    Case,
    same,
    text,
    there_and_back,
)
from tests.support.servers import Server

_REGISTRY = TypeRegistry()


@pytest.fixture(scope="module")
def session(postgres: Server) -> Generator[RawSession, None, None]:
    with RawSession(postgres.dsn) as session:
        yield session


_ALL = CASES | ARRAY_CASES


@pytest.mark.parametrize(
    "name", [*CASES, *[pytest.param(name, marks=pytest.mark.slow) for name in ARRAY_CASES]]
)
@EXAMPLES
@given(data=st.data())
def test_there_and_back(session: RawSession, name: str, data: st.DataObject) -> None:
    codec = _REGISTRY.find(name)
    assert codec is not None
    if name in ("xml", "_xml") and not session.has_xml:
        pytest.skip("the server was built without libxml")
    value = data.draw(_ALL[name].values)
    there_and_back(session, codec, value, _ALL[name])


def test_no_type_was_forgotten(session: RawSession) -> None:
    """All types of a new database, but those that no value can be of, and the row types of catalogs."""
    _, rows = session.fetch(
        "select typname::text from pg_type where typnamespace = 'pg_catalog'::regnamespace"
        " and typtype in ('b', 'r', 'm') and typcategory <> 'Z' and (typarray <> 0 or typelem <> 0)"
        " and not exists (select from pg_type e where e.oid = pg_type.typelem and e.typtype in ('c', 'p'))"
    )
    there = {'"char"' if name == b"char" else str(name, "utf-8") for (name,) in rows if name is not None}
    # No value of these can be sent: aclitem only as a row has it, gtsvector not at all.
    known = _ALL.keys() | _REGISTERED.keys() | _REGISTERED_ARRAYS
    assert there - known == {"aclitem", "_aclitem", "gtsvector", "_gtsvector"}


def test_ten_thousand_digits(session: RawSession) -> None:
    codec = _REGISTRY.codec(1700)
    for value in (
        Decimal("1234567890" * 500 + "." + "0987654321" * 500),
        Decimal("-" + "9" * 131_072),
        Decimal("0." + "0" * 16_382 + "1"),
        Decimal("1." + "0" * 10_000),
    ):
        there_and_back(session, codec, value, Case(st.nothing()))


def test_a_number_with_more_zeros_than_bytes(session: RawSession) -> None:
    codec = _REGISTRY.codec(1700)
    sql = "select 1e100000::numeric, (1e100000::numeric)::text"
    ((value, written),) = session.fetch_decoded(_REGISTRY, sql, (), BINARY)
    assert str(value) == "1E+100000"
    assert value == Decimal(str(written))
    _, ((back,),) = session.fetch("select $1::text", [(codec, BINARY, value)])
    assert back == str(written).encode()


def test_infinite_intervals(session: RawSession) -> None:
    if session.version < 17:
        with pytest.raises(ServerRefused, match="invalid input syntax for type interval"):
            session.fetch("select $1", [(_REGISTRY.codec(1186), TEXT, Interval.infinity)])
        return
    for value in (Interval.infinity, Interval.negative_infinity):
        there_and_back(session, _REGISTRY.codec(1186), value, Case(st.nothing()))
        ((decoded,),) = session.fetch_decoded(_REGISTRY, f"select interval '{value}'")
        assert decoded == value


def test_texts_of_other_settings_are_refused_and_binary_values_do_not_care(session: RawSession) -> None:
    session.execute(
        "set datestyle = 'German'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'"
    )
    try:
        sql = "select date '2024-02-29', interval '1 month', '\\x00ff5c61'::bytea"
        assert session.fetch_decoded(_REGISTRY, sql, (), BINARY) == [
            [date(2024, 2, 29), Interval(1), b"\x00\xff\\a"]
        ]
        _, ((day, interval, data),) = session.fetch(sql, (), TEXT)
        assert day is not None
        assert interval is not None
        assert data is not None
        assert _REGISTRY.codec(17).decoder(TEXT)(data) == b"\x00\xff\\a"
        with pytest.raises(DataError, match="style ISO of DateStyle"):
            _REGISTRY.codec(1082).decoder(TEXT)(day)
        with pytest.raises(DataError, match="style postgres of IntervalStyle"):
            _REGISTRY.codec(1186).decoder(TEXT)(interval)
    finally:
        session.execute("reset datestyle; reset intervalstyle; reset bytea_output")


def test_moments_are_in_utc_whatever_the_sessions_time_zone(session: RawSession) -> None:
    session.execute("set timezone = 'Asia/Kolkata'")
    try:
        moment = datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=UTC)
        for format in (TEXT, BINARY):
            sql = "select timestamptz '2024-02-29 12:34:56.789+00'"
            ((value,),) = session.fetch_decoded(_REGISTRY, sql, (), format)
            assert same(value, moment)
    finally:
        session.execute("set timezone = 'UTC'")


def test_registered_types_are_names(session: RawSession) -> None:
    ((table, kind, function),) = session.fetch_decoded(
        _REGISTRY, "select 'pg_class'::regclass, 'int4[]'::regtype, 'now'::regproc"
    )
    assert (table, kind, function) == ("pg_class", "integer[]", "now")
    regclass = _REGISTRY.codec(2205)
    for format, value in ((TEXT, "pg_class"), (TEXT, 1259), (BINARY, 1259)):
        assert session.fetch_decoded(_REGISTRY, "select $1", [(regclass, format, value)], BINARY) == [[1259]]


_REGISTERED = {
    "regproc": ["now", "pg_sleep"],
    "regprocedure": ["now()", "pg_catalog.abs(integer)"],
    "regoper": ["pg_catalog.||/"],
    "regoperator": ["+(integer,integer)", "-(NONE,integer)"],
    "regclass": ["pg_class", "information_schema.tables"],
    "regtype": ["integer[]", "timestamp with time zone", '"char"'],
    "regrole": ["postgres", "pg_monitor"],
    "regnamespace": ["pg_catalog", "information_schema"],
    "regconfig": ["english", "simple"],
    "regdictionary": ["english_stem", "simple"],
    "regcollation": ['"C"', '"POSIX"', '"default"'],
}
_REGISTERED_ARRAYS = {f"_{name}" for name in _REGISTERED}
_NOBODYS = st.integers(4_000_000_000, 2**32 - 1)
"""OIDs that nothing has."""


@pytest.mark.parametrize("name", _REGISTERED)
@EXAMPLES
@given(data=st.data())
def test_registered_types_there_and_back(session: RawSession, name: str, data: st.DataObject) -> None:
    """Names are sent as text, and OIDs in both formats; text comes back, or OIDs."""
    codec = _REGISTRY.find(name)
    assert codec is not None
    value = data.draw(st.sampled_from(_REGISTERED[name]) | _NOBODYS)
    sql = "select $1, $1::oid, format('%s', $1)"
    ((taken, oid, text),) = session.fetch_decoded(_REGISTRY, sql, [(codec, TEXT, value)], TEXT)
    assert taken == text
    for format in (TEXT, BINARY):
        ((number, same_oid, _),) = session.fetch_decoded(_REGISTRY, sql, [(codec, format, oid)], BINARY)
        assert number == same_oid == oid
    array = _REGISTRY.find(f"_{name}")
    assert array is not None
    sent = [(array, TEXT, [[value, None]])]
    assert session.fetch_decoded(_REGISTRY, "select $1", sent, TEXT) == [[[[text, None]]]]
    assert session.fetch_decoded(_REGISTRY, "select $1", sent, BINARY) == [[[[oid, None]]]]


_FIELDS: dict[str, st.SearchStrategy[object]] = {
    "int4": INT32,
    "text": text(),
    "float8": FLOATS,
    "numeric": NUMERICS,
    "timestamptz": CASES["timestamptz"].values,
    "_int4": CASES["_int4"].values,
    "int4range": st.just(Range(1, 5)),
}


@EXAMPLES
@given(data=st.data())
def test_records_of_any_fields(session: RawSession, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=5))
    values = [data.draw(st.none() | _FIELDS[name]) for name in names]
    codecs = [_REGISTRY.find(name) for name in names]
    fields = ", ".join([f"${number}" for number in range(1, len(names) + 1)])
    sql = f"select row({fields}), array[row({fields})]"
    parameters = [(codec, BINARY, value) for codec, value in zip(codecs, values, strict=True) if codec]
    ((record, records),) = session.fetch_decoded(_REGISTRY, sql, parameters, BINARY)
    assert same(record, tuple(values))
    assert same(records, [tuple(values)])


def test_void_and_records(session: RawSession) -> None:
    assert session.fetch_decoded(_REGISTRY, "select pg_sleep(0)", (), BINARY) == [[None]]
    assert session.fetch_decoded(_REGISTRY, "select pg_sleep(0)", (), TEXT) == [[None]]
    sql = "select row(1, 'a b', null, row(2.5, array[row(true)]), 5::int8)"
    assert session.fetch_decoded(_REGISTRY, sql) == [[(1, "a b", None, (Decimal("2.5"), [(True,)]), 5)]]


def test_catalogs_hold_nothing_that_cannot_be_read(session: RawSession) -> None:
    """Every column of every catalog, in the format that its codec chooses, and in text."""
    registry = TypeRegistry()
    _, tables = session.fetch(
        "select oid::regclass::text from pg_class where relnamespace = 'pg_catalog'::regnamespace"
        # The machine may have no NUMA, which is then an error.
        " and relkind in ('r', 'v') and has_table_privilege(oid, 'select') and relname not like '%numa%'"
    )
    assert len(tables) > 100
    for (table,) in tables:
        assert table is not None
        oids, _ = session.fetch(f"select * from {table.decode()} limit 0", (), TEXT)
        session.introduce(registry, *[str(oid) for oid in registry.unknown(oids)])
        for format in {TEXT, min(registry.codec(oid).format for oid in oids)}:
            session.fetch_decoded(registry, f"select * from {table.decode()} limit 50", (), format)
