"""The types of pgvector, on a server that has it: there and back, and as a driver's user meets them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgproto_blocking
from pgproto.errors import DataError, PostgresError
from pgproto.types import BitString, SparseVector, TypeRegistry
from tests.integration.raw_values import RawSession
from tests.integration.type_cases import EXAMPLES, Case, there_and_back
from tests.support.servers import Server

__all__: list[str] = []

HALVES = st.floats(width=16, allow_nan=False, allow_infinity=False)
SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)
SPARSE = st.dictionaries(st.integers(0, 99), SINGLES.filter(bool)).map(lambda some: SparseVector(100, some))


def _vectors(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=1)


CASES: dict[str, Case] = {
    "vector": Case(_vectors(SINGLES)),
    "halfvec": Case(_vectors(HALVES)),
    "sparsevec": Case(SPARSE),
    "vector[]": Case(st.lists(st.none() | _vectors(HALVES)), same_text=False),
    "halfvec[]": Case(st.lists(st.none() | _vectors(HALVES)), same_text=False),
    "sparsevec[]": Case(st.lists(st.none() | SPARSE), same_text=False),
    "bit": Case(st.text("01", min_size=1).map(BitString)),
}
_REGISTRY = TypeRegistry()


@pytest.fixture(scope="module")
def dsn(pgvector: Server) -> Generator[str, None, None]:
    """A database with the extension: these tests run in several processes, and a database has it once."""
    database = f"pgproto_vectors_{os.getpid()}"
    with RawSession(pgvector.dsn) as owner:
        _, found = owner.fetch("select 1 from pg_available_extensions where name = 'vector'")
        if not found:
            pytest.skip("the server has no extension vector")
        owner.execute(f"create database {database}")
        try:
            dsn = f"{pgvector.dsn}&dbname={database}"
            with RawSession(dsn) as session:
                session.execute("create schema elsewhere; create extension vector schema elsewhere")
            yield dsn
        finally:
            owner.execute(f"drop database {database} with (force)")


@pytest.fixture(scope="module")
def raw(dsn: str) -> Generator[RawSession, None, None]:
    with RawSession(dsn) as session:
        session.execute("set search_path = elsewhere, public")
        yield session


@pytest.fixture
def session(dsn: str) -> Generator[pgproto_blocking.Session, None, None]:
    with pgproto_blocking.connect(dsn) as session:
        session.execute("set search_path = elsewhere, public")
        yield session


@pytest.mark.parametrize("name", CASES)
@EXAMPLES
@given(data=st.data())
def test_there_and_back(raw: RawSession, name: str, data: st.DataObject) -> None:
    (oid,) = raw.introduce(_REGISTRY, name)
    there_and_back(raw, _REGISTRY.codec(oid), data.draw(CASES[name].values), CASES[name])


def test_infinities_and_nan_are_the_servers_to_refuse(session: pgproto_blocking.Session) -> None:
    for number in ("inf", "nan"):
        with pytest.raises(PostgresError, match=r"(infinite value|NaN) not allowed in vector"):
            session.fetchval("select $1::vector", [1.0, float(number)])
    assert session.fetchval("select $1::vector", [1, 2.5]) == [1.0, 2.5]


def _array(numbers: list[float]) -> array[float]:
    return array("f", numbers)


def _numpy(numbers: list[float]) -> Any:
    return pytest.importorskip("numpy").array(numbers, dtype="float32")


@pytest.mark.parametrize("make", [tuple[float, ...], _array, _numpy], ids=["tuple", "array", "numpy"])
def test_whatever_holds_numbers_is_a_vector(session: pgproto_blocking.Session, make: Any) -> None:
    value = make([1.0, -2.5, 0.25])
    for kind in ("vector", "halfvec"):
        assert session.fetchval(f"select $1::{kind}", value) == [1.0, -2.5, 0.25]
    assert session.fetchval("select $1::vector <-> '[1,-2.5,1.25]'", value) == 1.0


def test_rows_with_embeddings_are_stored_and_searched(session: pgproto_blocking.Session) -> None:
    session.execute("create temp table item (id int4, embedding vector(3), code bit(4), few sparsevec(9))")
    rows = [
        (number, [number / 2, 0.0, 1.0], BitString(f"{number:04b}"), SparseVector(9, {number: 1.5}))
        for number in range(8)
    ]
    assert session.executemany("insert into item values ($1, $2, $3, $4)", rows) == 8
    assert session.fetch("select * from item order by id", row=tuple) == rows
    nearest = "select id from item order by embedding <-> $1 limit 2"
    assert [row.id for row in session.fetch(nearest, [3.4, 0, 1])] == [7, 6]
    apart = "select id from item where code <~> $1::bit(4) <= 1 order by id"
    assert [row.id for row in session.fetch(apart, BitString("0100"))] == [0, 4, 5, 6]
    session.execute("truncate item")
    assert session.copy_records_to_table("item", records=rows) == 8
    assert session.fetch("select * from item order by id", row=tuple) == rows


def test_a_dimension_too_many_is_the_servers_to_refuse(session: pgproto_blocking.Session) -> None:
    with pytest.raises(PostgresError, match="expected 3 dimensions, not 2"):
        session.fetchval("select $1::vector::vector(3)", [1, 2])


def test_what_is_no_vector_says_so(session: pgproto_blocking.Session) -> None:
    with pytest.raises(DataError, match=r"\$1: .*\(str\) as elsewhere.vector: it takes"):
        session.fetchval("select $1::vector", "[1,2,3]")
    with pytest.raises(DataError, match=r"\$1: .*\(dict\) as elsewhere.sparsevec: it takes"):
        session.fetchval("select $1::sparsevec", {1: 2.0})
