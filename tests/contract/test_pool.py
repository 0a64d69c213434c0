"""Pools: lending in order, and a clean session for each holder, whatever the last one did."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from pgproto import (
    ConnectionLost,
    DivisionByZero,
    LocalProtocolError,
    NoRows,
    PoolClosed,
    PoolStatus,
    PoolTimeout,
    PostgresError,
)
from tests.contract.faces import LOOPS, Face, Job
from tests.contract.observer import Observer
from tests.contract.pools import MakePool, Pool, backends, make_pool
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool_of(face: Face, postgres: Server) -> MakePool:
    """Makes pools of the transport under test."""

    def pool_of(**options: object) -> AbstractAsyncContextManager[Pool]:
        return make_pool(face, postgres.dsn, **options)

    return pool_of


# --- What a pool is for ------------------------------------------------------------------------------------


async def test_one_shot_verbs(pool_of: MakePool) -> None:
    # Other processes run this test on the same server.
    table = f"pool_many_{os.getpid()}"
    async with pool_of() as pool:
        assert await pool.fetchval("select $1::int + 1", 41) == 42
        assert await pool.fetch("select 1 as a", row=dict) == [{"a": 1}]
        assert await pool.fetchrow("select 1 where false") is None
        with pytest.raises(NoRows):
            await pool.fetch_one("select 1 where false")
        assert (await pool.execute("select 1")).rows == 1
        await pool.execute(f"create table {table} (a int)")
        try:
            assert await pool.executemany(f"insert into {table} values ($1)", [(1,), (2,), (3,)]) == 3
            async with pool.transaction(isolation="serializable") as tx:
                assert await tx.fetchval(f"select count(*) from {table}") == 3
        finally:
            await pool.execute(f"drop table {table}")
        # One after the other, they need one session only.
        assert pool.status().connections_num == 1


async def test_it_opens_no_more_than_needed_and_closes_all(
    pool_of: MakePool, face: Face, observer: Observer
) -> None:
    async with pool_of(min_size=3, max_size=5) as pool:
        # Those of the test before may still be on their way out.
        await face.until(lambda: backends(observer) == 3)
        status = pool.status()
        assert isinstance(status, PoolStatus)
        assert (status.size, status.idle, status.in_use, status.max_size) == (3, 3, 0, 5)
        async with pool.acquire() as one, pool.acquire() as two:
            assert one.backend_pid != two.backend_pid
            assert pool.status().in_use == 2
        assert "3 of 5" in repr(pool)
    assert "closed" in repr(pool)
    with pytest.raises(PoolClosed):
        await pool.fetchval("select 1")


async def test_a_pool_that_is_not_open(pool_of: MakePool) -> None:
    pool = pool_of()
    assert isinstance(pool, object)
    with pytest.raises(PoolClosed, match="not open"):
        await pool.fetchval("select 1")  # type: ignore[attr-defined]


async def test_a_server_that_says_no(face: Face, postgres: Server) -> None:
    with pytest.raises(PostgresError) as caught:
        async with make_pool(face, postgres.dsn, dbname="no_such_database", min_size=1):
            pytest.fail("it opened")
    assert caught.value.sqlstate == "3D000"


@pytest.mark.parametrize("face", ["swift-asyncio", "uvloop", "trio"], indirect=True)
@pytest.mark.parametrize("count", [1000])
async def test_waiters_are_served_in_the_order_in_which_they_came(
    pool_of: MakePool, face: Face, count: int
) -> None:
    # A thousand threads are among the storms.
    arrived: list[int] = []
    served: list[int] = []
    async with pool_of(max_size=1, acquire_timeout=100) as pool, face.tasks() as tasks:

        async def wait(number: int) -> None:
            arrived.append(number)
            async with pool.acquire():
                served.append(number)

        async with pool.acquire():
            jobs: list[Job[None]] = []
            for number in range(count):
                jobs.append(tasks.start(wait, number))
                if number % 100 == 99:
                    expected = number + 1
                    await face.until(lambda: pool.status().waiting == expected)  # noqa: B023 - called at once
            await face.until(lambda: pool.status().waiting == count)
        for job in jobs:
            await job.result()
    assert served == arrived
    assert len(served) == count


async def test_a_timeout_says_how_things_are(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool, pool.acquire():
        with pytest.raises(PoolTimeout) as caught:
            async with pool.acquire(timeout=0.05):
                pytest.fail("there is no second session")
        assert isinstance(caught.value, TimeoutError)
        text = str(caught.value)
        for part in ("within 0.05 s", "size 1 of at most 1", "1 in use", "1 waiting", "longest holder"):
            assert part in text
        assert pool.status().requests_timeouts == 1


async def test_too_many_waiters(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=1, max_waiting=1) as pool, face.tasks() as tasks:
        async with pool.acquire():
            job = tasks.start(pool.fetchval, "select 1")
            await face.until(lambda: pool.status().waiting == 1)
            with pytest.raises(PoolTimeout, match="max_waiting"):
                await pool.fetchval("select 2")
        assert await job.result() == 1


# --- Coming back clean -------------------------------------------------------------------------------------


async def _is_clean(pool: Pool, pid: int | None = None) -> None:
    """The next holder finds nothing of the last one's, and on the same session if there is a ``pid``."""
    async with pool.acquire() as session:
        assert session.transaction_status == "I"
        assert await session.fetchval("select count(*) from pg_cursors where name <> ''") == 0
        assert await session.fetchval("select pg_current_xact_id_if_assigned() is null")
        if pid is not None:
            assert session.backend_pid == pid


async def test_after_an_exception(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        pids: list[int] = []
        with pytest.raises(ZeroDivisionError):
            async with pool.acquire() as session:
                pids.append(session.backend_pid)
                raise ZeroDivisionError
        await _is_clean(pool, *pids)
        assert pool.status().returns_bad == 0


async def test_after_a_transaction_left_open(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        async with pool.acquire() as session:
            pid = session.backend_pid
            await session.execute("begin")
            await session.execute("create table pool_left_open (a int)")
        await _is_clean(pool, pid)
        async with pool.acquire() as session:
            await session.execute("begin")
            with pytest.raises(PostgresError):
                await session.execute("select 1 / 0")
            assert session.transaction_status == "E"
        await _is_clean(pool, pid)
        await pool.execute("begin")
        await _is_clean(pool, pid)
        assert await pool.fetchval("select to_regclass('pool_left_open') is null")


async def test_a_transaction_of_the_pool_rolls_back(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction() as tx:
                await tx.execute("create table pool_rolled_back (a int)")
                raise ZeroDivisionError
        assert await pool.fetchval("select to_regclass('pool_rolled_back') is null")
        await _is_clean(pool)


async def test_after_a_transaction_that_was_entered_and_not_left(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        async with pool.acquire() as session:
            pid = session.backend_pid
            transaction = session.transaction()
            await transaction.__aenter__()
            await transaction.execute("create table pool_not_left (a int)")
        await _is_clean(pool, pid)
        with pytest.raises(LocalProtocolError):
            await transaction.execute("select 1")
        with pytest.raises(LocalProtocolError):
            await transaction.commit()


async def test_after_an_unread_stream(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        async with pool.acquire() as session:
            stream = session.stream("select generate_series(1, 100000)", batch=10)
            rows = await stream.__aenter__()
            assert await rows.__anext__()
        await _is_clean(pool)
        with pytest.raises(LocalProtocolError):
            for _ in range(100):
                await rows.__anext__()


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_after_an_open_copy(pool_of: MakePool, direction: str) -> None:
    # Other processes run this test on the same server.
    table = f"pool_copied_{os.getpid()}"
    async with pool_of(max_size=1) as pool:
        await pool.execute(f"create table if not exists {table} (a int)")
        async with pool.acquire() as session:
            if direction == "in":
                copy = session.copy_in(f"copy {table} from stdin")
                await copy.__aenter__()
                await copy.write(b"1\n")
            else:
                await session.copy_out("copy (select generate_series(1, 1000000)) to stdout").__aenter__()
        await _is_clean(pool)
        assert await pool.fetchval(f"select count(*) from {table}") == 0
        await pool.execute(f"drop table {table}")


async def test_after_settings_locks_and_listening(pool_of: MakePool, face: Face, observer: Observer) -> None:
    async with pool_of(max_size=1) as pool:
        for leave in (
            "set work_mem to '123kB'",
            "select set_config('work_mem', '123kB', false)",
            "select pg_advisory_lock(4711)",
            "create temp table left_over (a int)",
            "listen left_over",
        ):
            for _ in range(2):  # the second time, the statement is known
                async with pool.acquire() as session:
                    await session.execute(leave)
                async with pool.acquire() as session:
                    assert await session.fetchval("show work_mem") != "123kB", leave
                    assert await session.fetchval("select to_regclass('left_over') is null"), leave
                    assert await session.fetchval("select count(*) from pg_listening_channels()") == 0
                    held = "select count(*) from pg_locks where locktype = 'advisory' and pid = %s"
                    assert observer.value(held, session.backend_pid) == 0, leave
        assert pool.status().connections_num == 1


async def test_a_plain_use_costs_no_reset(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        for _ in range(10):
            async with pool.acquire() as session, session.transaction() as tx:
                await tx.fetchval("select 1")
        assert pool.status().resets_num == 0


@pytest.mark.parametrize("recycle", ["verified", "clean"])
async def test_recycling(pool_of: MakePool, recycle: str) -> None:
    async with pool_of(max_size=1, recycle=recycle) as pool:
        async with pool.acquire() as session:
            await session.execute("set work_mem to '123kB'")
        async with pool.acquire() as session:
            assert await session.fetchval("show work_mem") != "123kB"
        assert pool.status().resets_num >= 1


async def test_a_reset_of_ones_own(pool_of: MakePool) -> None:
    async with pool_of(max_size=1, reset="set application_name to 'mine'") as pool:
        async with pool.acquire() as session:
            await session.execute("begin")
        async with pool.acquire() as session:
            assert session.transaction_status == "I"
            assert session.parameters["application_name"] == "mine"


async def test_a_clean_session_is_reset_ahead_of_the_next_request(pool_of: MakePool) -> None:
    async with pool_of(max_size=1, recycle="clean") as pool:
        pid = await pool.fetchval("select pg_backend_pid()")
        for _ in range(5):
            async with pool.acquire() as session:
                assert await session.fetchval("show exit_on_error") == "off"
            status = pool.status()
            assert (status.idle, status.resetting) == (1, 0)
            assert await pool.fetchval("select pg_backend_pid()") == pid
        assert pool.status().resets_num == 11
        with pytest.raises(DivisionByZero):
            await pool.fetchval("select 1 / 0")
        assert await pool.fetchval("select pg_backend_pid()") == pid


async def test_nothing_is_carried_out_behind_a_reset_that_failed(pool_of: MakePool) -> None:
    table = f"resettable_{os.getpid()}"
    add = f"update {table} set done = done + $1"
    async with pool_of() as other, pool_of(max_size=1, reset=f"select mod(1, n) from {table}") as pool:
        await other.execute(f"drop table if exists {table}")
        await other.execute(f"create table {table} as select 1 as n, 0 as done")
        try:
            for _ in range(3):
                await pool.execute(add, 1)
            await pool.execute(f"update {table} set n = 0")
            carried_out = True
            try:
                await pool.execute(add, 10)
            except ConnectionLost:
                carried_out = False  # else it came so late that it got another session
            assert await other.fetchval(f"select done from {table}") == (13 if carried_out else 3)
            assert pool.status().connections_num == 1 + carried_out
        finally:
            await other.execute(f"drop table {table}")


async def test_a_session_after_its_return(pool_of: MakePool) -> None:
    async with pool_of(max_size=1) as pool:
        async with pool.acquire() as session:
            statement = await session.prepare("select 1")
        async with pool.acquire() as other:
            for attempt in (
                session.fetchval("select 1"),
                session.execute("begin"),
                session.simple_query("begin"),
                session.ping(),
                session.close(),
                session.cancel(),
                statement.fetchval(),
            ):
                with pytest.raises(LocalProtocolError, match="returned to the pool"):
                    await attempt
            with pytest.raises(LocalProtocolError, match="returned to the pool"):
                session.terminate()
            with pytest.raises(LocalProtocolError, match="returned to the pool"):
                async with session.transaction():
                    pytest.fail("it began")
            assert other.transaction_status == "I"
            assert await other.fetchval("select 1") == 1


# --- Cancelled callers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", LOOPS, indirect=True)
async def test_after_a_cancellation(pool_of: MakePool, face: Face, observer: Observer) -> None:
    async with pool_of(max_size=1) as pool:
        pids: list[int] = []

        async def hold() -> None:
            async with pool.acquire() as session, session.transaction() as tx:
                pids.append(session.backend_pid)
                await tx.execute("select pg_sleep(60)")

        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await face.until(lambda: bool(pids) and observer.sleeps(pids[0]))
            group.cancel_scope.cancel()
        await _is_clean(pool, pids[0])


@pytest.mark.parametrize("face", LOOPS, indirect=True)
async def test_a_waiter_that_gives_up_keeps_nobody_waiting(pool_of: MakePool, face: Face) -> None:
    async with pool_of(max_size=1) as pool:
        for _ in range(20):
            async with face.tasks() as tasks, anyio.create_task_group() as group:
                async with pool.acquire():
                    group.start_soon(pool.fetchval, "select 1")
                    await face.until(lambda: pool.status().waiting == 1)
                    job = tasks.start(pool.fetchval, "select 2")
                    await face.until(lambda: pool.status().waiting == 2)
                # The session has gone to the first, who is cancelled before it can know.
                group.cancel_scope.cancel()
                assert await job.result() == 2
        assert pool.status().in_use == 0
