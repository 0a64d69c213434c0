"""COMMIT: what is known when its answer does not come, and what is not."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from pgproto import CommitUnknown, ConnectionLost, DivisionByZero, TransactionRolledBack
from tests.contract.faces import Connect, Face
from tests.contract.observer import Observer
from tests.support.faulty_proxy import TO_CLIENT, TO_SERVER, Direction, FaultyProxy

__all__: list[str] = []

pytestmark = pytest.mark.anyio

COMMITTED = f"committed_{os.getpid()}"
"""A table; other processes that use the same server have another."""
TABLE = f"create table if not exists {COMMITTED} (token text)"
SLOW = """
create temp table slow (a int);
create function pg_temp.wait() returns trigger language plpgsql as
    $$ begin perform pg_sleep(60); return null; end $$;
create constraint trigger wait after insert on slow deferrable initially deferred
    for each row execute function pg_temp.wait()
"""
"""A table whose rows make COMMIT slow."""


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
async def test_the_line_breaks_in_the_midst_of_commit(
    connect_through: Connect, proxy: FaultyProxy, observer: Observer, face: Face, direction: Direction
) -> None:
    token = f"{face.name} {direction}"
    observer.execute(TABLE)
    observer.execute(f"delete from {COMMITTED} where token = '{token}'")
    async with connect_through() as session:
        with pytest.raises(CommitUnknown) as info:
            async with session.transaction() as tx:
                await tx.execute(f"insert into {COMMITTED} values ($1)", token)
                # A few bytes of COMMIT, or of its answer, still pass.
                passed = proxy.links[0].carried[direction]
                proxy.fail("reset", after=passed + 3, direction=direction)
        assert isinstance(info.value, ConnectionLost)
        assert info.value.outcome == "unknown"
        assert session.is_closed
    proxy.mend()
    count = observer.value(f"select count(*) from {COMMITTED} where token = %s", token)
    assert count == (1 if direction == TO_CLIENT else 0)


async def test_the_line_breaks_before_commit(
    connect_through: Connect, proxy: FaultyProxy, observer: Observer
) -> None:
    observer.execute(TABLE)
    async with connect_through() as session:
        with pytest.raises(ConnectionLost) as info:
            async with session.transaction() as tx:
                proxy.fail("reset")
                await tx.execute(f"insert into {COMMITTED} values ('never')")
        assert not isinstance(info.value, CommitUnknown)
        assert info.value.outcome == "not_committed"
    proxy.mend()
    assert observer.value(f"select count(*) from {COMMITTED} where token = 'never'") == 0


async def test_a_deadline_in_the_midst_of_commit(connect: Connect, observer: Observer) -> None:
    async with connect(command_timeout=1, cancel_timeout=20) as session:
        await session.simple_query(SLOW, timeout=30)
        with pytest.raises(CommitUnknown) as info:
            async with session.transaction() as tx:
                await tx.execute("insert into slow values (1)", timeout=30)
        assert info.value.outcome == "unknown"
        session.terminate()


async def test_cancelled_in_the_midst_of_commit(connect: Connect, face: Face, observer: Observer) -> None:
    if face.name == "blocking":
        pytest.skip("threads are not cancelled")
    causes: list[BaseException | None] = []
    async with connect() as session:
        await session.simple_query(SLOW)
        async with anyio.create_task_group() as group:

            async def transact() -> None:
                try:
                    async with session.transaction() as tx:
                        await tx.execute("insert into slow values (1)")
                except anyio.get_cancelled_exc_class() as error:
                    causes.append(error.__cause__)
                    raise

            group.start_soon(transact)
            await face.until(lambda: observer.sleeps(session.backend_pid))
            group.cancel_scope.cancel()
        assert [type(each) for each in causes] == [CommitUnknown]
        session.terminate()


async def test_a_loss_that_the_block_ignores_is_no_commit(
    connect_through: Connect, proxy: FaultyProxy, observer: Observer
) -> None:
    observer.execute(TABLE)
    async with connect_through() as session:
        with pytest.raises(ConnectionLost) as info:
            async with session.transaction() as tx:
                await tx.execute(f"insert into {COMMITTED} values ('ignored')")
                proxy.fail("reset")
                with pytest.raises(ConnectionLost):
                    await tx.execute("select 1")
        assert info.value.outcome == "not_committed"
    proxy.mend()
    assert observer.value(f"select count(*) from {COMMITTED} where token = 'ignored'") == 0


@pytest.mark.parametrize(
    "commit", ["commit", "/* at last */ END", "commit and chain", "prepare transaction 'it'"]
)
async def test_a_commit_of_the_callers_own_that_is_answered_with_rollback(
    connect: Connect, commit: str
) -> None:
    async with connect() as session:
        for way in (session.execute, session.fetch, session.simple_query, _as_pipeline(session)):
            await session.execute("begin")
            with pytest.raises(DivisionByZero):
                await session.execute("select 1/0")
            with pytest.raises(TransactionRolledBack, match=r"answered (COMMIT|END|PREPARE) with ROLLBACK"):
                await way(commit)
            await session.execute("rollback")
            assert session.transaction_status == "I"
        assert await session.fetchval("select 7") == 7


def _as_pipeline(session: Any) -> Callable[[str], Awaitable[object]]:
    async def execute(sql: str) -> object:
        async with session.pipeline() as pipeline:
            result = pipeline.execute(sql)
        return result.result()

    return execute
