"""What is known of statements, and no longer true: tables that change, statements that the server forgot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import pytest

from pgproto import DataError, FeatureNotSupported, InvalidSqlStatementName, PostgresError
from pgproto_asyncio import Transaction
from tests.contract.faces import Connect, Session

__all__: list[str] = []

pytestmark = pytest.mark.anyio

Rows = list[tuple[Any, ...]]
Verb = Callable[[Session, str], Awaitable[Rows]]

FORGET = "do $$ begin execute 'deallocate all'; end $$"
"""Drops all prepared statements, and the command tag does not say so."""


async def fetch(session: Session, sql: str) -> Rows:
    return [tuple(row) for row in await session.fetch(sql)]


async def fetchrow(session: Session, sql: str) -> Rows:
    row = await session.fetchrow(sql)
    assert row is not None
    return [tuple(row)]


async def fetch_columns(session: Session, sql: str) -> Rows:
    columns = await session.fetch_columns(sql)
    return list(zip(*[columns[name] for name in columns], strict=True))


async def stream(session: Session, sql: str) -> Rows:
    async with session.stream(sql, batch=1) as rows:
        return [tuple(row) async for row in rows]


async def pipeline(session: Session, sql: str) -> Rows:
    async with session.pipeline() as pipeline:
        rows = pipeline.fetch(sql)
        one = pipeline.fetchval("select 1")
    found = [tuple(row) for row in rows.result()]
    assert one.result() == 1
    return found


async def pipeline_of_columns(session: Session, sql: str) -> Rows:
    async with session.pipeline() as pipeline:
        result = pipeline.fetch_columns(sql)
    columns = result.result()
    return list(zip(*[columns[name] for name in columns], strict=True))


VERBS: list[Verb] = [fetch, fetchrow, fetch_columns, stream, pipeline, pipeline_of_columns]

CHANGES = {
    "alter table {t} add b text default 'x'": [(1, "x")],
    # As wide as before.
    "alter table {t} alter a type real": [(1.0, "x")],
    "alter table {t} alter a type text using a || ' metres'": [("1 metres", "x")],
    "alter table {t} drop b": [("1 metres",)],
    "alter table {t} rename a to z": [("1 metres",)],
}

verbs = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
modes = pytest.mark.parametrize("mode", ["auto", "unnamed"])


@verbs
@modes
async def test_a_table_changes(connect: Connect, verb: Verb, mode: str) -> None:
    """Outside of a transaction nobody hears of it."""
    async with connect(prepare=mode) as session, connect() as other:
        table = f"changing_{session.backend_pid}"
        sql = f"select * from {table}"
        await other.simple_query(f"create table {table} (a int); insert into {table} values (1)")
        try:
            for _ in range(3):
                assert await verb(session, sql) == [(1,)]
            for change, expected in CHANGES.items():
                await other.execute(change.format(t=table))
                for _ in range(2):
                    assert await verb(session, sql) == expected, change
                assert session.transaction_status == "I"
        finally:
            await other.execute(f"drop table {table}")


@verbs
async def test_a_table_changes_in_a_transaction(connect: Connect, verb: Verb) -> None:
    """The server's error comes once at the most."""
    async with connect() as session:
        await session.simple_query("create temp table t (a int); insert into t values (1)")
        assert await verb(session, "select * from t") == [(1,)]
        async with session.transaction() as tx:
            await tx.simple_query("alter table t add b text default 'x'; savepoint here")
            assert await heard(tx, verb, [(1, "x")], FeatureNotSupported) <= 1
            await tx.rollback()
        assert await verb(session, "select * from t") == [(1,)]


async def heard(tx: Transaction, verb: Verb, expected: Rows, kind: type[PostgresError]) -> int:
    """How often of three times the server's error came; else it has to be what is expected."""
    count = 0
    for _ in range(3):
        try:
            assert await verb(cast("Session", tx), "select * from t") == expected
        except kind:
            count += 1
            await tx.simple_query("rollback to here")
    return count


@verbs
async def test_the_server_has_forgotten_the_statements(connect: Connect, verb: Verb) -> None:
    async with connect() as session:
        await session.simple_query("create temp table t (a int); insert into t values (1)")
        assert await verb(session, "select * from t") == [(1,)]
        await session.simple_query(FORGET)
        assert await verb(session, "select * from t") == [(1,)]
        async with session.transaction() as tx:
            await tx.simple_query("savepoint here; " + FORGET)
            assert await heard(tx, verb, [(1,)], InvalidSqlStatementName) <= 1
        assert await verb(session, "select * from t") == [(1,)]


async def test_only_what_was_not_executed_is_tried_again(connect: Connect) -> None:
    """A pipeline whose second statement is stale has executed the first; it fails, and only once."""
    async with connect() as session:
        await session.simple_query("create temp table t (a int); create temp sequence s")

        async def both() -> tuple[int, int]:
            async with session.pipeline() as pipeline:
                first = pipeline.fetchval("select nextval('s')")
                second = pipeline.fetch("select * from t")
            return first.result(), len(second.result())

        assert await both() == (1, 0)
        await session.simple_query("alter table t add b int")
        with pytest.raises(FeatureNotSupported):
            await both()
        assert await both() == (3, 0)


@modes
async def test_a_parameter_gets_another_type(connect: Connect, mode: str) -> None:
    """Whoever gives arguments of the new type hears of it once at the most."""
    sql = "insert into t values ($1)"

    async def in_pipeline(argument: object) -> None:
        async with session.pipeline() as pipeline:
            result = pipeline.execute(sql, argument)
        result.result()

    async with connect(prepare=mode) as session:
        for way in ("a statement", "a pipeline", "the session"):
            await session.simple_query("create temp table t (a int)")
            execute: Callable[[object], Awaitable[object]] = in_pipeline
            if way == "a statement":
                execute = (await session.prepare(sql)).execute
            elif way == "the session":
                execute = partial(session.execute, sql)
            for _ in range(2):
                await execute(1)
            await session.simple_query("alter table t alter a type text")
            errors = 0
            for _ in range(3):
                try:
                    await execute("one")
                except (DataError, PostgresError):
                    errors += 1
            assert errors <= 1
            with pytest.raises(DataError, match="as text"):
                await execute(1)
            assert await session.fetchval("select count(*) from t where a = 'one'") == 3 - errors
            await session.simple_query("drop table t")
