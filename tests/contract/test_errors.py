"""What the server says is raised as it was said, and harms nobody else."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from pgproto import (
    CheckViolation,
    DataError,
    DivisionByZero,
    Error,
    InFailedSqlTransaction,
    IntegrityConstraintViolation,
    LocalProtocolError,
    PipelineAborted,
    PostgresError,
    QueryCanceled,
    UndefinedColumn,
    UndefinedTable,
    UniqueViolation,
    errors,
)
from tests.contract.faces import Connect

pytestmark = pytest.mark.anyio


async def test_the_class_is_the_condition(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(DivisionByZero) as caught:
            await session.fetchval("select 1/$1::int", 0)
        error = caught.value
        assert (error.sqlstate, error.severity, error.message) == ("22012", "ERROR", "division by zero")
        assert error.query == "select 1/$1::int"
        assert isinstance(error, errors.DataException)
        assert session.transaction_status == "I"


async def test_the_fields_of_an_error(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table t (id int primary key, size int check (size > 0))")
        insert = "insert into t values ($1, $2)"
        await session.execute(insert, 1, 1)
        with pytest.raises(UniqueViolation) as caught:
            await session.execute(insert, 1, 2)
        error: PostgresError = caught.value
        assert isinstance(error, IntegrityConstraintViolation)
        assert error.table_name == "t"
        assert error.constraint_name == "t_pkey"
        assert error.detail == "Key (id)=(1) already exists."
        assert error.schema_name is not None
        assert error.schema_name.startswith("pg_temp")
        with pytest.raises(CheckViolation) as caught_check:
            await session.execute(insert, 2, -1)
        assert caught_check.value.constraint_name == "t_size_check"
        assert await session.fetchval("select count(*) from t") == 1


async def test_where_in_the_query_the_error_is(connect: Connect) -> None:
    sql = "select 'ä',\n  nothing from pg_class"
    async with connect() as session:
        for attempt in (session.execute, session.fetch, session.simple_query, session.prepare):
            with pytest.raises(UndefinedColumn) as caught:
                await attempt(sql)
            assert caught.value.position == sql.index("nothing") + 1
            assert caught.value.query == sql
            assert "\nLINE 2:   nothing from pg_class\n          ^" in str(caught.value)


async def test_hints_and_context(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(UndefinedColumn) as caught:
            await session.execute("select relnam from pg_class")
        assert caught.value.hint is not None
        assert "relname" in caught.value.hint
        with pytest.raises(errors.RaiseException) as raised:
            await session.execute(
                "do $$ begin raise exception 'oh no' using hint = 'breathe', detail = 'all of it'; end $$"
            )
        assert raised.value.message == "oh no"
        assert raised.value.hint == "breathe"
        assert raised.value.detail == "all of it"
        assert raised.value.where is not None
        assert "PL/pgSQL" in raised.value.where


async def test_a_condition_of_ones_own(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(PostgresError) as caught:
            await session.execute("do $$ begin raise exception 'mine' using errcode = 'ZZ123'; end $$")
        assert caught.value.sqlstate == "ZZ123"


async def test_errors_can_be_copied_and_pickled(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(UndefinedTable) as caught:
            await session.execute("select * from nowhere")
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert type(twin) is UndefinedTable
        assert str(twin) == str(caught.value)
        assert (twin.sqlstate, twin.position, twin.query) == ("42P01", 15, "select * from nowhere")


async def test_an_error_in_the_midst_of_rows(connect: Connect) -> None:
    sql = "select 100 / (50 - n) from generate_series(1, 100) as n"
    async with connect() as session:
        for attempt in (session.fetch, session.fetchrow, session.fetchval, session.execute):
            with pytest.raises(DivisionByZero):
                await attempt(sql)
            assert await session.fetchval("select 1") == 1


async def test_an_error_at_the_very_end(connect: Connect) -> None:
    # The command is complete, and then the implicit commit fails.
    async with connect() as session:
        await session.execute("create temp table t (id int unique deferrable initially deferred)")
        await session.execute("insert into t values (1)")
        for insert in ("insert into t values (1)", "insert into t values (1) returning id"):
            for attempt in (session.execute, session.fetch, session.simple_query):
                with pytest.raises(UniqueViolation):
                    await attempt(insert)
        assert await session.fetch("select * from t") == [(1,)]


async def test_errors_of_a_failed_transaction(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("begin")
        with pytest.raises(DivisionByZero):
            await session.execute("select 1/0")
        assert session.transaction_status == "E"
        with pytest.raises(InFailedSqlTransaction):
            await session.execute("select 1")
        assert await session.execute("rollback") == "ROLLBACK"
        assert session.transaction_status == "I"
        assert await session.fetchval("select 1") == 1


async def test_every_error_is_one_of_ours(connect: Connect) -> None:
    async with connect() as session:
        for bad in ("selec", "select 1/0", "select $1::int", "select * from nowhere", "copy x from stdin"):
            with pytest.raises(Error):
                await session.execute(bad)
        assert await session.fetchval("select 1") == 1


COPIES = ("copy t from stdin", "/* c */ copy t (a) from stdin (format csv)", "copy (select 1) to stdout")


@pytest.mark.parametrize("sql", COPIES)
async def test_copy_needs_its_own_verbs(connect: Connect, sql: str) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int)")

        async def stream() -> None:
            async with session.stream(sql) as rows:
                async for _ in rows:
                    pytest.fail("there is a row")

        async def pipeline() -> None:
            async with session.pipeline() as pipeline:
                pipeline.execute(sql)

        async def prepared() -> None:
            await (await session.prepare(sql)).fetch()

        verbs = ("execute", "fetch", "fetchval", "fetchrow", "fetch_one", "fetch_columns", "simple_query")
        attempts: list[Callable[[], Awaitable[object]]] = [
            *[partial(getattr(session, verb), sql) for verb in verbs],
            *(stream, pipeline, prepared, partial(session.executemany, sql, [()])),
        ]
        for attempt in attempts:
            async with session.transaction() as tx:
                with pytest.raises(DataError, match=r"copy_(in|out)\(\).* (can|copy)$"):
                    await attempt()
                # The server has heard nothing that could fail.
                assert session.transaction_status == "T"
                assert await tx.fetchval("select count(*) from t") == 0


async def test_copy_of_which_only_the_server_knows(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int)")
        for sql in ('copy U&"t" from stdin', 'copy U&"t" to stdout'):
            for attempt in (session.execute, session.fetch, session.simple_query):
                with pytest.raises(Error, match=r"copy_(in|out)\(\) can"):
                    await attempt(sql)
                assert await session.fetchval("select 1") == 1
        with pytest.raises(QueryCanceled, match=r"copy_in\(\) can"):
            await session.simple_query("select 1; copy t from stdin")
        assert await session.fetchval("select count(*) from t") == 0


async def test_a_failed_statement_can_be_tried_again(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(UndefinedTable):
            await session.fetch("select * from t")
        await session.execute("create temp table t (a int)")
        assert await session.fetch("select * from t") == []


async def test_nested_use_of_what_is_over(connect: Connect) -> None:
    async with connect() as session:
        transaction = session.transaction()
        with pytest.raises(LocalProtocolError):
            await transaction.execute("select 1")
        async with transaction:
            await transaction.execute("select 1")
        for attempt in (transaction.commit, transaction.rollback):
            with pytest.raises(LocalProtocolError):
                await attempt()
        with pytest.raises(LocalProtocolError):
            await transaction.execute("select 1")
        with pytest.raises(LocalProtocolError):
            async with transaction:
                pytest.fail("it began again")
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("sql", ["select 1/$1::int4", "select 1 / $1::int4 + nothing"])
async def test_an_error_of_a_pipeline_shows_its_own_statement(
    connect: Connect, sql: str, known: bool
) -> None:
    async with connect() as session:
        if known:
            for each in ("select 42 as answer", "select 1/$1::int4"):
                await session.prepare(each)
        async with session.pipeline() as pipeline:
            first = pipeline.fetchval("select 42 as answer")
            wrong = pipeline.fetchval(sql, 0)
            last = pipeline.fetchval("select 5")
        assert first.result() == 42
        with pytest.raises(PostgresError) as info:
            wrong.result()
        assert info.value.query == sql
        assert "answer" not in str(info.value)
        with pytest.raises(PipelineAborted) as aborted:
            last.result()
        assert aborted.value.cause is info.value
