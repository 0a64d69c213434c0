"""Results by column, and rows that are too long."""

from __future__ import annotations

from array import array
from datetime import date
from typing import Any

import pytest

from pgproto import Columns, DataError, RemoteProtocolError, ResultTooLarge, UndefinedTable
from tests.contract.faces import Connect, Face
from tests.contract.pools import make_pool
from tests.support.servers import Server

pytestmark = pytest.mark.anyio

SQL = """
select n::int8 as id, n / 2.0::float8 as half, 'x' || n as name, case when n <> 3 then n::int4 end as maybe
from generate_series(1, $1) as n
"""


def check(columns: Columns, count: int) -> None:
    assert (columns.row_count, columns.names) == (count, ("id", "half", "name", "maybe"))
    assert isinstance(columns["id"], memoryview)
    assert list(columns["id"]) == list(range(1, count + 1))
    assert array("d", columns["half"]) == array("d", [n / 2 for n in range(1, count + 1)])
    assert columns["name"] == [f"x{n}" for n in range(1, count + 1)]
    assert list(columns["maybe"]) == [None if n == 3 else n for n in range(1, count + 1)]


async def test_columns_by_all_ways(connect: Connect) -> None:
    async with connect() as session:
        for count in (0, 1, 5000):
            check(await session.fetch_columns(SQL, count), count)
        statement = await session.prepare(SQL)
        check(await statement.fetch_columns(7), 7)
        async with session.transaction() as tx:
            check(await tx.fetch_columns(SQL, 8), 8)
        async with session.pipeline() as pipeline:
            first, second = pipeline.fetch_columns(SQL, 9), pipeline.fetch_columns(SQL, 10)
        check(first.result(), 9)
        check(second.result(), 10)


async def test_columns_of_a_pool(face: Face, postgres: Server) -> None:
    async with make_pool(face, postgres.dsn) as pool:
        check(await pool.fetch_columns(SQL, 100), 100)


async def test_statements_without_rows(connect: Connect) -> None:
    async with connect() as session:
        columns = await session.fetch_columns("create temp table t (a int4)")
        assert (columns.row_count, columns.names) == (0, ())
        assert (await session.fetch_columns("select from generate_series(1, 3)")).row_count == 3


async def test_statements_that_are_never_named(connect: Connect) -> None:
    async with connect(prepare="unnamed") as session:
        await session.execute("create temp table t (a int4)")
        await session.execute("insert into t values (1)")
        assert list((await session.fetch_columns("select * from t"))["a"]) == [1]
        await session.execute("alter table t alter a type text")
        assert (await session.fetch_columns("select * from t"))["a"] == ["1"]


async def test_errors_touch_nothing_else(connect: Connect) -> None:
    async with connect(max_result_bytes=50_000) as session:
        with pytest.raises(UndefinedTable):
            await session.fetch_columns("select * from nothing_of_the_kind")
        with pytest.raises(DataError, match="parameter"):
            await session.fetch_columns(SQL, "many")
        with pytest.raises(ResultTooLarge):
            await session.fetch_columns(SQL, 100_000)
        await session.set_type_codec("date", decoder=lambda text: 1 / 0)
        with pytest.raises(DataError, match="ZeroDivisionError"):
            await session.fetch_columns("select n, current_date from generate_series(1, 1000) as n")
        check(await session.fetch_columns(SQL, 3), 3)


async def test_into_numpy_and_arrow(connect: Connect) -> None:
    numpy: Any = pytest.importorskip("numpy")
    nanoarrow: Any = pytest.importorskip("nanoarrow")
    async with connect() as session:
        columns = await session.fetch_columns(SQL, 1000)
        days = await session.fetch_columns("select date '2000-01-01' + n as day from generate_series(0, 9) n")
    ids = numpy.asarray(columns["id"])
    assert (ids.dtype, ids.sum()) == (numpy.dtype("int64"), 500_500)
    assert numpy.shares_memory(ids, numpy.asarray(columns["id"]))
    assert days.to_numpy("day")[9] == numpy.datetime64("2000-01-10")
    rows = nanoarrow.Array(columns).to_pylist()
    assert rows[2] == {"id": 3, "half": 1.5, "name": "x3", "maybe": None}
    assert len(rows) == 1000
    assert nanoarrow.Array(days).to_pylist()[9] == {"day": date(2000, 1, 10)}


@pytest.mark.parametrize(
    "verb", ["fetch", "execute", "fetch_columns", "simple_query", "stream", "executemany"]
)
async def test_a_row_that_is_too_long(connect: Connect, verb: str) -> None:
    """Wherever it stands, among short ones that come with it: it is never let through."""
    sql = "select repeat('x', case when n = 50 then 3000 else 3 end) from generate_series(1, 100) n"
    async with connect(max_message_size=2048) as session:
        with pytest.raises(RemoteProtocolError, match="DataRow claims a length of"):
            if verb == "stream":
                async with session.stream(sql) as rows:
                    async for _ in rows:
                        continue
            elif verb == "executemany":
                await session.executemany(sql, [()])
            else:
                await getattr(session, verb)(sql)
        assert session.is_closed
    async with connect(max_message_size=4096) as session:
        assert len(await session.fetch(sql)) == 100
