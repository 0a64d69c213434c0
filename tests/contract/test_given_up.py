"""What becomes of a request that was given up, on a real server: docs/giving-up.md, line by line."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import anyio
import pytest

from pgproto import CommitUnknown, ConnectionLost, QueryTimeout
from tests.contract.faces import LOOPS, Connect, Face, Session, in_flight
from tests.contract.observer import Observer
from tests.support.faulty_proxy import FaultyProxy

__all__: list[str] = []

pytestmark = pytest.mark.anyio

TIMEOUT = 0.3
LOCK = os.getpid()
"""An advisory lock; other processes that use the same server have another."""
KEPT = f"kept_{os.getpid()}"
COUNT = f"select count(*) from {KEPT} where token = $1"
SLOW_COMMIT = f"""
create table if not exists {KEPT} (token text);
create function pg_temp.wait() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock({LOCK}); return null; end $$;
create temp table slow (a int);
create constraint trigger wait after insert on slow deferrable initially deferred
    for each row execute function pg_temp.wait()
"""
"""A table whose rows make COMMIT take as long as somebody else has the lock."""


@contextmanager
def held(observer: Observer) -> Generator[None, None, None]:
    """Whoever asks for the lock waits until the block ends."""
    observer.value("select pg_advisory_lock(%s)", LOCK)
    try:
        yield
    finally:
        observer.value("select pg_advisory_unlock(%s)", LOCK)


async def let_a_cancel_request_arrive(connect: Connect) -> None:
    """By the time that somebody else is served, a cancel request that was sent before has arrived."""
    async with connect() as other:
        assert await other.fetchval("select 1") == 1


# --- With others behind it ---------------------------------------------------------------------------------


async def test_with_others_behind_it_it_runs_to_its_end(
    connect: Connect, face: Face, observer: Observer
) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int)")
        await session.fetchval("select $1::int", 0)

        async def give_up() -> None:
            with pytest.raises(QueryTimeout):
                await session.execute(
                    f"insert into t select 1 from pg_advisory_xact_lock({LOCK})", timeout=1.5
                )

        async with face.tasks() as tasks:
            with held(observer):
                gone = tasks.start(give_up)
                await face.until(lambda: in_flight(session) == 1)
                followers = [tasks.start(session.fetchval, "select $1::int", number) for number in range(3)]
                await face.until(lambda: in_flight(session) == 4)
                # Whoever leaves does so at once; the statement goes on, and those behind it wait for its end.
                await gone.result()
                await let_a_cancel_request_arrive(connect)
                assert not any(each.done for each in followers)
            assert [await each.result() for each in followers] == [0, 1, 2]
        assert await session.fetchval("select count(*) from t") == 1


# --- Half written ------------------------------------------------------------------------------------------


async def batch(session: Session) -> None:
    sets = [(number,) for number in range(10_000)]
    await session.executemany(
        "insert into t select $1 from (select pg_sleep(0.01)) as pause", sets, timeout=TIMEOUT
    )


async def pipeline(session: Session) -> None:
    async with session.pipeline(timeout=TIMEOUT) as pipeline:
        pipeline.execute("insert into t values (1)")
        pipeline.execute("select pg_sleep(60)")
        pipeline.execute("insert into t values (2)")


async def copy(session: Session) -> None:
    async with session.copy_in("copy slow from stdin", timeout=TIMEOUT) as copy:
        await copy.write(b"1\n" * 100_000)


@pytest.mark.parametrize("do", [batch, pipeline, copy], ids=lambda do: do.__name__)
async def test_a_group_that_is_half_written_is_undone(
    connect: Connect, do: Callable[[Session], Awaitable[None]]
) -> None:
    async with connect(cancel_timeout=20) as session:
        await session.simple_query("""
            create temp table t (a int);
            create temp table slow (a int);
            create function pg_temp.pause() returns trigger language plpgsql as
                $$ begin perform pg_sleep(0.01); return new; end $$;
            create trigger pause before insert on slow for each row execute function pg_temp.pause()
        """)
        with pytest.raises(QueryTimeout):
            await do(session)
        assert await session.fetchval("select count(*) from t") == 0
        assert await session.fetchval("select count(*) from slow") == 0
        assert session.transaction_status == "I"


# --- Not cancelled at once ---------------------------------------------------------------------------------


STUBBORN = """
do $$ begin
    perform pg_sleep(600);
exception when query_canceled then
    perform pg_sleep(600);
end $$
"""
"""It swallows the first cancel request, as a server does that is between two messages just then."""


async def test_a_request_that_outlives_a_cancel_request_is_cancelled_again(connect: Connect) -> None:
    async with connect(cancel_timeout=60) as session:
        with pytest.raises(QueryTimeout):
            await session.execute(STUBBORN, timeout=TIMEOUT)
        assert await session.fetchval("select 1") == 1


async def test_it_is_cancelled_again_by_those_who_wait_behind_it(connect: Connect, face: Face) -> None:
    async with connect(cancel_timeout=60, max_pipeline=1) as session:

        async def give_up() -> None:
            with pytest.raises(QueryTimeout):
                await session.execute(STUBBORN, timeout=1.5)

        async with face.tasks() as tasks:
            gone = tasks.start(give_up)
            await face.until(lambda: in_flight(session) == 1)
            followers = [tasks.start(session.fetchval, "select $1::int", number) for number in range(3)]
            await gone.result()
            assert [await each.result() for each in followers] == [0, 1, 2]


# --- COMMIT ------------------------------------------------------------------------------------------------


async def commit_slowly(session: Session, token: str) -> None:
    async with session.transaction() as tx:
        await tx.execute(f"insert into {KEPT} values ($1)", token, timeout=30)
        await tx.execute("insert into slow values (1)", timeout=30)


async def test_a_commit_past_its_deadline_is_carried_out(
    connect: Connect, face: Face, observer: Observer
) -> None:
    token = secrets.token_hex(8)
    async with connect(cancel_timeout=60, command_timeout=1) as session:
        await session.simple_query(SLOW_COMMIT, timeout=30)

        async def count() -> object:
            return await session.fetchval(COUNT, token, timeout=60)

        async with face.tasks() as tasks:
            with held(observer):
                with pytest.raises(CommitUnknown) as info:
                    await commit_slowly(session, token)
                assert isinstance(info.value.__cause__, QueryTimeout)
                # It is not cancelled, and whoever comes next waits for it.
                counting = tasks.start(count)
                await let_a_cancel_request_arrive(connect)
                assert not counting.done
            assert await counting.result() == 1


@pytest.mark.parametrize("face", LOOPS, indirect=True)
async def test_a_commit_whose_caller_left_is_carried_out(
    connect: Connect, face: Face, observer: Observer
) -> None:
    token = secrets.token_hex(8)
    async with connect(cancel_timeout=60) as session:
        await session.simple_query(SLOW_COMMIT)
        with held(observer):
            async with anyio.create_task_group() as group:
                group.start_soon(commit_slowly, session, token)
                await face.until(lambda: observer.waits(session.backend_pid))
                group.cancel_scope.cancel()
            # The caller is back, and the server has not answered.
            await let_a_cancel_request_arrive(connect)
            assert observer.waits(session.backend_pid)
        assert await session.fetchval(COUNT, token) == 1


async def test_a_commit_that_takes_too_long_ends_the_session_and_not_the_commit(
    connect: Connect, face: Face, observer: Observer
) -> None:
    token = secrets.token_hex(8)
    async with connect(cancel_timeout=TIMEOUT, command_timeout=1) as session:
        await session.simple_query(SLOW_COMMIT, timeout=30)
        with held(observer):
            with pytest.raises(CommitUnknown):
                await commit_slowly(session, token)
            with pytest.raises(ConnectionLost) as info:
                await session.fetchval("select 1", timeout=30)
            assert info.value.outcome in ("not_sent", "unknown")
            assert session.is_closed
    await face.until(lambda: observer.value(f"select count(*) from {KEPT} where token = %s", token) == 1)


# --- A server that says nothing ----------------------------------------------------------------------------


async def test_a_cancel_request_without_effect_ends_the_session(
    connect_through: Connect, proxy: FaultyProxy, face: Face
) -> None:
    async with connect_through(cancel_timeout=1.0) as session:
        assert await session.fetchval("select 1") == 1
        proxy.fail("swallow")
        with pytest.raises(QueryTimeout):
            await session.fetchval("select 2", timeout=TIMEOUT)
        # Nothing is written meanwhile, so this has not been sent when the session ends.
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match="cancel request") as info:
            await session.execute("create table never (a int)")
        assert info.value.outcome == "not_sent"
        assert time.monotonic() - started < 20
        assert session.is_closed
