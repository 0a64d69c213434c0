"""Transactions and savepoints, and who belongs to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

import pytest

from pgproto import (
    DataError,
    DivisionByZero,
    InFailedSqlTransaction,
    LocalProtocolError,
    ReadOnlySqlTransaction,
    TransactionRolledBack,
    UniqueViolation,
)
from pgproto._verbs._async import AsyncStatement
from pgproto_asyncio import Transaction
from tests.contract.faces import Connect, Face, Job, Session, Tasks

__all__: list[str] = []

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class Sentinel(Exception):
    """What goes wrong in a block."""


async def make_table(session: Session) -> None:
    await session.execute("create temp table t (a int primary key)")


async def contents(session: Session) -> list[int]:
    return [row[0] for row in await session.fetch("select a from t order by a")]


async def test_a_clean_block_commits(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.transaction() as tx:
            assert session.transaction_status == "T"
            await tx.execute("insert into t values (1)")
            # A statement on the session, from the same context, belongs to it too.
            await session.execute("insert into t values ($1)", 2)
            assert await tx.fetchval("select count(*) from t") == 2
        assert session.transaction_status == "I"
        assert await contents(session) == [1, 2]


async def test_any_exception_rolls_back_and_comes_out(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        for error in (Sentinel(), KeyboardInterrupt(), GeneratorExit()):
            with pytest.raises(type(error)):
                async with session.transaction() as tx:
                    await tx.execute("insert into t values (1)")
                    raise error
        assert await contents(session) == []
        assert session.transaction_status == "I"


async def test_explicit_ends(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.transaction() as tx:
            await tx.execute("insert into t values (1)")
            await tx.commit()
            with pytest.raises(LocalProtocolError, match="ended"):
                await tx.execute("insert into t values (2)")
        async with session.transaction() as tx:
            await tx.execute("insert into t values (3)")
            await tx.rollback()
            assert session.transaction_status == "I"
        assert await contents(session) == [1]


async def test_a_transaction_that_was_ended_by_a_statement_takes_no_more(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.transaction() as tx:
            await tx.execute("insert into t values (1)")
            await tx.execute("commit")
            with pytest.raises(LocalProtocolError, match="ended"):
                await tx.execute("insert into t values (2)")
        assert await contents(session) == [1]


async def test_a_commit_that_rolls_back_is_no_success(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(TransactionRolledBack):
            async with session.transaction() as tx:
                with pytest.raises(DivisionByZero):
                    await tx.execute("select 1/0")
                with pytest.raises(InFailedSqlTransaction):
                    await tx.execute("select 1")
        assert session.transaction_status == "I"


async def test_a_commit_that_fails_says_why(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table d (a int unique deferrable initially deferred)")
        with pytest.raises(UniqueViolation):
            async with session.transaction() as tx:
                await tx.execute("insert into d values (1), (1)")
        assert session.transaction_status == "I"
        # Without a block it is the same: success is known only after the implicit commit.
        with pytest.raises(UniqueViolation):
            await session.execute("insert into d values (1), (1)")
        assert await session.fetchval("select count(*) from d") == 0


async def test_options(connect: Connect) -> None:
    async with connect() as session:
        async with session.transaction("serializable", readonly=True, deferrable=True) as tx:
            assert await tx.fetchval("show transaction_isolation") == "serializable"
            assert await tx.fetchval("show transaction_read_only") == "on"
            assert await tx.fetchval("show transaction_deferrable") == "on"
        with pytest.raises(ReadOnlySqlTransaction):
            async with session.transaction(isolation="repeatable_read", readonly=True) as tx:
                await tx.execute("create table nowhere (a int)")
        with pytest.raises(DataError, match="isolation 'none'"):
            session.transaction(isolation="none")


async def test_nested_ones_are_savepoints(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.transaction() as tx:
            await tx.execute("insert into t values (1)")
            with pytest.raises(UniqueViolation):
                async with session.transaction():
                    await session.execute("insert into t values (2)")
                    await session.execute("insert into t values (1)")
            async with tx.transaction() as inner:
                await inner.execute("insert into t values (3)")
                with pytest.raises(Sentinel):
                    async with session.transaction():
                        await session.execute("insert into t values (4)")
                        raise Sentinel
            with pytest.raises(LocalProtocolError, match="savepoint"):
                async with session.transaction("serializable"):
                    raise AssertionError("a savepoint with an isolation level")
        assert await contents(session) == [1, 3]


async def test_others_wait_their_turn(connect: Connect, face: Face) -> None:
    async with connect() as session:
        await session.execute("create temp table steps (n serial, what text)")

        async def other(name: str) -> None:
            await session.execute("insert into steps (what) values ($1)", name)

        async with face.tasks() as tasks, session.transaction() as tx:
            # A job is started in a copy of the context, so it belongs to the transaction; these do not.
            first = await tx.fetchval("insert into steps (what) values ('begin') returning n")
            waiting = [_outside(tasks, other, f"other {number}") for number in range(5)]
            await tx.execute("insert into steps (what) values ('inside')")
            assert await tx.fetchval("select count(*) from steps") == 2
            assert not any(job.done for job in waiting)
            await tx.execute("insert into steps (what) values ('end')")
        order = [row[0] for row in await session.fetch("select what from steps order by n")]
        assert first == 1
        assert order[:3] == ["begin", "inside", "end"]
        assert sorted(order[3:]) == [f"other {number}" for number in range(5)]


def _outside(tasks: Tasks, function: Callable[..., Coroutine[Any, Any, T]], *args: object) -> Job[T]:
    """Start a job that belongs to no transaction, whatever the context here is in."""
    return Context().run(partial(tasks.start, function, *args))


async def test_tasks_inside_belong_to_it(connect: Connect, face: Face) -> None:
    async with connect() as session:
        await make_table(session)

        async def insert(number: int) -> None:
            await session.execute("insert into t values ($1)", number)

        with pytest.raises(Sentinel):
            async with session.transaction():
                async with face.tasks() as tasks:
                    for number in range(5):
                        tasks.start(insert, number)
                assert await contents(session) == [0, 1, 2, 3, 4]
                raise Sentinel
        assert await contents(session) == []


async def test_a_raw_begin_takes_the_session_too(connect: Connect, face: Face) -> None:
    async with connect() as session:
        await make_table(session)

        async def other() -> int:
            count: int = await session.fetchval("select count(*) from t")
            return count

        async with face.tasks() as tasks:
            await session.execute("/* mine */ begin")
            await session.execute("insert into t values (1)")
            job = _outside(tasks, other)
            await session.execute("insert into t values (2)")
            assert session.transaction_status == "T"
            await session.execute("rollback")
        assert await job.result() == 0
        assert session.transaction_status == "I"


@pytest.mark.parametrize("begin", ["begin", "/* mine */ start transaction"])
async def test_a_raw_begin_in_a_pipeline_takes_the_session_too(
    connect: Connect, face: Face, begin: str
) -> None:
    async with connect(command_timeout=20) as session:
        await make_table(session)

        async def other() -> None:
            await session.execute("insert into t values (3)")

        async with face.tasks() as tasks:
            async with session.pipeline() as pipeline:
                opened = pipeline.execute(begin)
                inserted = pipeline.execute("insert into t values (1)")
            assert opened.result().startswith(("BEGIN", "START"))
            assert inserted.result().rows == 1
            job = _outside(tasks, other)
            await session.execute("insert into t values (2)")
            assert session.transaction_status == "T"
            assert not job.done
            await session.execute("rollback")
        assert await job.error() is None
        assert await contents(session) == [3]


async def test_who_waits_long_is_told_for_whom(
    connect: Connect, face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect() as session:

        async def other() -> None:
            await session.execute("select 1")

        with caplog.at_level(logging.WARNING, "pgproto"):
            async with face.tasks() as tasks, session.transaction():
                _outside(tasks, other)
                text = "behind a transaction that was begun at"
                await face.until(lambda: any(text in record.message for record in caplog.records))


async def use_every_verb(tx: Transaction) -> None:
    assert await tx.execute("insert into t values (1)") == "INSERT 0 1"
    assert await tx.executemany("insert into t values ($1)", [(2,), (3,)]) == 2
    assert [result.tag for result in await tx.simple_query("insert into t values (4); select 1")] == [
        "INSERT 0 1",
        "SELECT 1",
    ]
    statement = await tx.prepare("insert into t values ($1)")
    await statement.execute(5)
    await statement.close()
    async with tx.pipeline() as pipeline:
        pipeline.execute("insert into t values (6)")
        counted = pipeline.fetchval("select count(*) from t")
    assert counted.result() == 6
    assert await tx.copy_records_to_table("t", records=[(7,)]) == 1
    async with tx.stream("select n from t order by n", batch=2) as rows:
        assert [record.n async for record in rows] == [1, 2, 3, 4, 5, 6, 7]
    async with tx.transaction() as savepoint:
        await savepoint.execute("delete from t")
        await savepoint.rollback()
    assert await tx.fetchval("select count(*) from t") == 7


async def test_a_transaction_has_the_verbs_of_its_session(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table t (n int)")
        async with session.transaction() as tx:
            await use_every_verb(tx)
            await tx.rollback()
        assert await session.fetchval("select count(*) from t") == 0


async def test_a_transaction_that_was_handed_to_another(connect: Connect, face: Face) -> None:
    """Whoever has the transaction is in it, wherever it was opened."""
    async with connect() as session, face.tasks() as tasks:
        await session.execute("create temp table t (n int)")
        ready: list[Transaction] = []

        async def outsider() -> None:
            await face.until(lambda: bool(ready))
            tx = ready[0]
            assert len(await tx.simple_query("insert into t values (1); insert into t values (2)")) == 2
            async with tx.pipeline() as pipeline:
                pipeline.execute("insert into t values (3)")
            async with tx.stream("select n from t order by n", batch=1) as rows:
                assert [record.n async for record in rows] == [1, 2, 3]
            assert session.transaction_status == "T"

        job = tasks.start(outsider)
        async with session.transaction() as tx:
            ready.append(tx)
            await job.result()
            await tx.rollback()
        assert await session.fetchval("select count(*) from t") == 0


async def use_every_verb_of_a_statement(statement: AsyncStatement) -> None:
    assert await statement.execute(1) == "INSERT 0 1"
    assert await statement.fetch(2) == [(2,)]
    assert await statement.fetchrow(3) == (3,)
    assert await statement.fetch_one(4) == (4,)
    assert await statement.fetchval(5) == 5
    assert (await statement.fetch_columns(6))["n"][0] == 6
    await statement.close()


async def test_a_statement_that_was_prepared_on_it_belongs_to_it(connect: Connect, face: Face) -> None:
    """Whoever executes it is in the transaction, whose owner may well wait for them."""
    async with connect(command_timeout=20) as session, face.tasks() as tasks:
        await session.execute("create temp table t (n int)")
        async with session.transaction() as tx:
            statement = await tx.prepare("insert into t values ($1) returning n")
            job = _outside(tasks, use_every_verb_of_a_statement, statement)
            await job.result()
            assert session.transaction_status == "T"
            async with tx.transaction() as savepoint:
                inner = await savepoint.prepare("insert into t values ($1)")
                await _outside(tasks, inner.execute, 7).result()
                await savepoint.rollback()
                with pytest.raises(LocalProtocolError, match="prepared on a transaction that has ended"):
                    await inner.execute(8)
            assert await tx.fetchval("select count(*) from t") == 6
            await tx.rollback()
        assert await session.fetchval("select count(*) from t") == 0


async def test_a_statement_does_not_outlive_its_transaction(connect: Connect) -> None:
    """What was meant for the transaction is not executed without it."""
    async with connect() as session:
        await make_table(session)
        for ending in ("the block", "a verb", "a statement"):
            async with session.transaction() as tx:
                statement = await tx.prepare("insert into t values ($1)")
                lasting = await session.prepare("insert into t values ($1)")
                if ending == "a verb":
                    await tx.commit()
                elif ending == "a statement":
                    await tx.execute("commit")
            for use in (statement.execute, statement.fetch, statement.fetchrow, statement.fetchval):
                with pytest.raises(LocalProtocolError, match="prepared on a transaction that has ended"):
                    await use(1)
            await statement.close()
            with pytest.raises(LocalProtocolError):
                await statement.execute(1)
            await lasting.execute(2)
            await session.execute("delete from t where a = 2")
            await lasting.close()
        assert await contents(session) == []
        left = "select count(*) from pg_prepared_statements where statement = 'insert into t values ($1)'"
        assert await session.fetchval(left) == 0
