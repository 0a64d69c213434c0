"""Types that a database defines, and types of extensions: looked up, and sent there and back."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Codec, Composite, Cube, Multirange, Range, TypeRegistry
from tests.integration.raw_values import RawSession
from tests.integration.type_cases import (
    EXAMPLES,
    FINITE,
    FLOATS,
    INT32,
    NUMERICS,
    Case,
    arrays,
    ranges,
    text,
    there_and_back,
)
from tests.support.servers import Server


@pytest.fixture(scope="module")
def session(postgres: Server) -> Generator[RawSession, None, None]:
    # In a database of its own: these tests run in several processes, and a database has an extension once.
    database = f"pgproto_types_{os.getpid()}"
    with RawSession(postgres.dsn) as owner:
        owner.execute(f"create database {database}")
        try:
            with RawSession(f"{postgres.dsn}&dbname={database}") as session:
                yield session
        finally:
            owner.execute(f"drop database {database} with (force)")


@pytest.fixture(scope="module")
def schema(session: RawSession) -> Generator[str, None, None]:
    session.execute("create schema pgproto_types; set search_path = pgproto_types, public")
    session.execute(
        """
        create type mood as enum ('sad', 'so so', 'hap"py');
        create domain positive as int check (value > 0);
        create domain moods as mood[];
        create type item as (
            id int, "weird "" name" text, mood mood, count positive, tags text[], "select" float8
        );
        create domain nice_item as item;
        create type span as range (subtype = float8);
        create type itemrange as range (subtype = item);
        create type moodrange as range (subtype = mood);
        create domain fine as mood check (value <> 'sad');
        create domain finest as fine;
        create domain narrow as span check (upper(value) - lower(value) < 10 or value is null);
        create domain narrows as span_multirange;
        create type positiverange as range (subtype = positive);
        create type nested as (
            items item[], span span, spans span_multirange[], one nice_item, who regclass
        );
        create table ledger (id int, dropped text, amount numeric, grants aclitem);
        alter table ledger drop column dropped;
    """
    )
    yield "pgproto_types"
    session.execute("reset search_path; drop schema pgproto_types cascade")


@pytest.fixture(scope="module")
def registry(session: RawSession, schema: str) -> TypeRegistry:
    return TypeRegistry()


def introduced(session: RawSession, registry: TypeRegistry, name: str) -> Codec:
    (oid,) = session.introduce(registry, name)
    assert not registry.unknown([oid])
    return registry.codec(oid)


ITEM_NAMES = ("id", 'weird " name', "mood", "count", "tags", "select")
MOODS = st.sampled_from(["sad", "so so", 'hap"py'])
ITEMS = st.tuples(
    st.none() | INT32,
    st.none() | text(),
    st.none() | MOODS,
    st.none() | st.integers(1, 2**31 - 1),
    st.none() | arrays(text()),
    st.none() | FLOATS,
).map(lambda values: Composite(ITEM_NAMES, values))
SPANS = ranges(FLOATS)
NARROW = ranges(st.floats(0, 9))
NESTED = st.tuples(
    st.none() | st.lists(st.none() | ITEMS, max_size=3),
    st.none() | SPANS,
    st.none() | st.lists(st.lists(SPANS, max_size=3).map(Multirange), max_size=3),
    st.none() | ITEMS,
    st.none() | st.just("pg_class"),
).map(lambda values: Composite(("items", "span", "spans", "one", "who"), values))

DEFINED: dict[str, Case] = {
    "mood": Case(MOODS),
    "mood[]": Case(arrays(MOODS), same_text=False),
    "positive": Case(st.integers(1, 2**31 - 1)),
    "positive[]": Case(arrays(st.integers(1, 2**31 - 1))),
    "moods": Case(arrays(MOODS), same_text=False),
    "item": Case(ITEMS, same_text=False),
    "nice_item": Case(ITEMS, same_text=False),
    "item[]": Case(arrays(ITEMS, ambiguous=True), same_text=False),
    "span": Case(SPANS, exact=False),
    "span[]": Case(arrays(SPANS), exact=False),
    "span_multirange": Case(st.lists(SPANS, max_size=4).map(Multirange), exact=False),
    "span_multirange[]": Case(arrays(st.lists(SPANS, max_size=3).map(Multirange)), exact=False),
    "narrow": Case(NARROW, exact=False),
    "narrow[]": Case(arrays(NARROW), exact=False),
    "narrows": Case(st.lists(SPANS, max_size=4).map(Multirange), exact=False),
    "finest": Case(st.sampled_from(["so so", 'hap"py'])),
    "finest[]": Case(arrays(st.sampled_from(["so so", 'hap"py'])), same_text=False),
    "moods[]": Case(
        st.lists(st.none() | st.lists(st.none() | MOODS, max_size=3), max_size=3), same_text=False
    ),
    "nice_item[]": Case(arrays(ITEMS, ambiguous=True), same_text=False),
    "moodrange": Case(ranges(MOODS, ["sad", "so so", 'hap"py'].index), same_text=False, exact=False),
    "moodrange[]": Case(
        arrays(ranges(MOODS, ["sad", "so so", 'hap"py'].index)), same_text=False, exact=False
    ),
    "moodmultirange": Case(
        st.lists(ranges(MOODS, ["sad", "so so", 'hap"py'].index), max_size=3).map(Multirange),
        same_text=False,
        exact=False,
    ),
    "positiverange": Case(ranges(st.integers(1, 2**31 - 1)), exact=False),
    "positivemultirange": Case(
        st.lists(ranges(st.integers(1, 2**31 - 1)), max_size=3).map(Multirange), exact=False
    ),
    "itemrange[]": Case(
        st.lists(st.none() | ITEMS.map(lambda item: Range(item, None)), max_size=3), same_text=False
    ),
    "itemmultirange": Case(ITEMS.map(lambda item: Multirange([Range(item, None)])), same_text=False),
    "itemrange": Case(ITEMS.map(lambda item: Range(item, None)), same_text=False),
    "nested": Case(NESTED, exact=False, same_text=False),
    "ledger": Case(
        st.tuples(st.none() | INT32, st.none() | NUMERICS, st.none()).map(
            lambda values: Composite(("id", "amount", "grants"), values)
        ),
        same_text=False,
    ),
}


@pytest.mark.parametrize("name", DEFINED)
@EXAMPLES
@given(data=st.data())
def test_types_that_a_database_defines(
    session: RawSession, registry: TypeRegistry, name: str, data: st.DataObject
) -> None:
    codec = introduced(session, registry, name)
    value = data.draw(DEFINED[name].values)
    if name == "nested":
        # A name is no OID, which is what its binary form would have to be.
        codec = codec_of_text_alone(codec)
    there_and_back(session, codec, value, DEFINED[name])


def codec_of_text_alone(codec: Codec) -> Codec:
    return Codec(
        oid=codec.oid, name=codec.name, format=TEXT, encode=codec.encoder(TEXT), decode=codec.decoder(TEXT)
    )


def test_records_of_defined_types(session: RawSession, registry: TypeRegistry) -> None:
    with pytest.raises(DataError, match="was not looked up"):
        session.fetch_decoded(TypeRegistry(), "select row(1, 'sad'::mood)", (), BINARY)
    introduced(session, registry, "mood")
    assert session.fetch_decoded(registry, "select row(1, 'sad'::mood)", (), BINARY) == [[(1, "sad")]]


def test_a_type_that_is_altered_has_to_be_looked_up_again(
    session: RawSession, registry: TypeRegistry
) -> None:
    session.execute("create type changing as (a int)")
    try:
        codec = introduced(session, registry, "changing")
        assert session.fetch_decoded(registry, "select row(1)::changing") == [[Composite(("a",), (1,))]]
        session.execute("alter type changing add attribute b text")
        with pytest.raises(DataError, match="has the type changed"):
            session.fetch_decoded(registry, "select row(1, 'x')::changing")
        registry.forget([codec.oid])
        introduced(session, registry, "changing")
        assert session.fetch_decoded(registry, "select row(1, 'x')::changing") == [
            [Composite(("a", "b"), (1, "x"))]
        ]
    finally:
        session.execute("drop type changing")


def test_custom_codecs(session: RawSession, registry: TypeRegistry) -> None:
    own = registry.copy()
    own.set_codec("mood", encoder=str.lower, decoder=str.upper)
    codec = introduced(session, own, "mood")
    assert session.fetch_decoded(own, "select $1", [(codec, codec.format, "SAD")]) == [["SAD"]]
    array = introduced(session, own, "mood[]")
    assert session.fetch_decoded(own, "select $1", [(array, array.format, ["SAD", None])]) == [
        [["SAD", None]]
    ]


# Types of extensions

LABELS = st.text("abcXYZ019_", min_size=1, max_size=6)


@st.composite
def lqueries(draw: st.DrawFn) -> str:
    marks = st.sampled_from(["", "*", "@", "%", "@*"])
    word = st.tuples(LABELS, marks).map("".join)
    either = st.lists(word, min_size=1, max_size=3).map("|".join)
    level = either | either.map("!".__add__) | st.sampled_from(["*", "*{2}", "*{1,2}", "*{,3}"])
    return ".".join(draw(st.lists(level, min_size=1, max_size=4)))


@st.composite
def ltxtqueries(draw: st.DrawFn) -> str:
    words = draw(st.lists(LABELS, min_size=1, max_size=4))
    text = words[0]
    for word in words[1:]:
        text += f" {draw(st.sampled_from('&|'))} {draw(st.sampled_from(['', '!']))}{word}"
    return text


LTREES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
CUBES = st.integers(0, 5).flatmap(
    lambda count: st.builds(Cube, *[st.lists(FINITE, min_size=count, max_size=count)] * 2)
)
EXTENSIONS: dict[str, tuple[str, Case]] = {
    "hstore": (
        "hstore",
        Case(st.dictionaries(text(), st.none() | text(), max_size=5), exact=False, same_text=False),
    ),
    "hstore[]": (
        "hstore",
        Case(st.lists(st.dictionaries(text(), st.none() | text(), max_size=1)), same_text=False),
    ),
    "citext": ("citext", Case(text())),
    "ltree": (
        "ltree",
        Case(LTREES),
    ),
    "ltree[]": ("ltree", Case(arrays(LTREES), same_text=False)),
    "lquery": ("ltree", Case(lqueries())),
    "lquery[]": ("ltree", Case(arrays(lqueries()), same_text=False)),
    "ltxtquery": ("ltree", Case(ltxtqueries(), exact=False)),
    "citext[]": ("citext", Case(arrays(text()), same_text=False)),
    "cube": ("cube", Case(CUBES, exact=False)),
    "cube[]": ("cube", Case(arrays(CUBES), exact=False, same_text=False)),
}


@pytest.fixture(scope="module")
def extensions(session: RawSession) -> Generator[set[str], None, None]:
    _, rows = session.fetch("select name::text from pg_available_extensions where installed_version is null")
    available = {str(name, "utf-8") for (name,) in rows if name is not None} & {
        e for e, _ in EXTENSIONS.values()
    }
    session.execute("create schema pgproto_extensions")
    for extension in sorted(available):
        session.execute(f"create extension {extension} schema pgproto_extensions")
    yield available
    session.execute("drop schema pgproto_extensions cascade")


@pytest.mark.parametrize("name", EXTENSIONS)
@EXAMPLES
@given(data=st.data())
def test_types_of_extensions(
    session: RawSession, extensions: set[str], name: str, data: st.DataObject
) -> None:
    extension, case = EXTENSIONS[name]
    if extension not in extensions:
        pytest.skip(f"the server has no extension {extension}")
    codec = introduced(session, _EXTENDED, f"pgproto_extensions.{name}")
    there_and_back(session, codec, data.draw(case.values), case)


_EXTENDED = TypeRegistry()
