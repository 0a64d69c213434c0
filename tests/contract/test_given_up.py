"""What becomes of a request that was given up, on a real server: docs/giving-up.md, line by line."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from pgproto import CommitUnknown, ConnectionLost, QueryTimeout
from tests.contract.faces import LOOPS, Connect, Face, Session
from tests.contract.observer import Observer
from tests.support.faulty_proxy import FaultyProxy

__all__: list[str] = []

pytestmark = pytest.mark.anyio

TIMEOUT = 0.3
SLOW_COMMIT = """
create table if not exists kept (token text);
create or replace function wait_a_while() returns trigger language plpgsql as
    $$ begin perform pg_sleep(tg_argv[0]::float8); return null; end $$;
create temp table {name} (a int);
create constraint trigger wait after insert on {name} deferrable initially deferred
    for each row execute function wait_a_while({seconds})
"""


async def slow_down(session: Session, observer: Observer, name: str, seconds: float) -> None:
    """A temporary table whose rows make COMMIT take so long."""
    # One of these at a time: two that make the same table trip over each other.
    observer.execute("select pg_advisory_lock(7)")
    try:
        await session.simple_query(SLOW_COMMIT.format(name=name, seconds=seconds), timeout=30)
    finally:
        observer.execute("select pg_advisory_unlock(7)")


# --- With others behind it ---------------------------------------------------------------------------------


async def test_with_others_behind_it_it_runs_to_its_end(connect: Connect, face: Face) -> None:
    async with connect() as session:
        await session.execute("create temp table t (a int)")
        await session.fetchval("select $1::int", 0)

        async def give_up() -> float:
            with pytest.raises(QueryTimeout):
                await session.execute(
                    "insert into t select 1 from (select pg_sleep(0.8)) as pause", timeout=TIMEOUT
                )
            return time.monotonic()

        async def follow(number: int) -> tuple[int, float]:
            found: int = await session.fetchval("select $1::int", number)
            return found, time.monotonic()

        async with face.tasks() as tasks:
            gone = tasks.start(give_up)
            await face.until(lambda: in_flight(session) == 1)
            followers = [tasks.start(follow, number) for number in range(3)]
        left_at = await gone.result()
        answers = [await each.result() for each in followers]
        assert [answer for answer, _ in answers] == [0, 1, 2]
        # Whoever left did so at once; the statement went on, and those behind it waited for its end.
        assert all(when - left_at > 0.2 for _, when in answers)
        assert await session.fetchval("select count(*) from t") == 1


def in_flight(session: Session) -> int:
    """How many requests are on the wire."""
    shown: Any = session
    inner: Any = getattr(shown, "_wrapped", shown)
    return int(inner._core.machine.in_flight)


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


# --- COMMIT ------------------------------------------------------------------------------------------------


async def commit_slowly(session: Session, name: str, token: str) -> None:
    async with session.transaction() as tx:
        await tx.execute("insert into kept values ($1)", token)
        await tx.execute(f"insert into {name} values (1)")


async def test_a_commit_past_its_deadline_is_carried_out(
    connect: Connect, face: Face, observer: Observer
) -> None:
    name = f"in_time_{face.name}"
    async with connect(cancel_timeout=20, command_timeout=TIMEOUT) as session:
        await slow_down(session, observer, name, 0.8)
        await session.execute("delete from kept where token = $1", name, timeout=30)
        with pytest.raises(CommitUnknown) as info:
            await commit_slowly(session, name, name)
        assert isinstance(info.value.__cause__, QueryTimeout)
        # It is not cancelled, and whoever comes next waits for it.
        assert await session.fetchval("select count(*) from kept where token = $1", name, timeout=30) == 1


@pytest.mark.parametrize("face", LOOPS, indirect=True)
async def test_a_commit_whose_caller_left_is_carried_out(
    connect: Connect, face: Face, observer: Observer
) -> None:
    name = f"left_{face.name}"
    async with connect(cancel_timeout=20) as session:
        await slow_down(session, observer, name, 0.8)
        await session.execute("delete from kept where token = $1", name)
        started = 0.0
        async with anyio.create_task_group() as group:
            group.start_soon(commit_slowly, session, name, name)
            await face.until(lambda: observer.sleeps(session.backend_pid))
            started = time.monotonic()
            group.cancel_scope.cancel()
        assert time.monotonic() - started < 0.5
        assert await session.fetchval("select count(*) from kept where token = $1", name) == 1


async def test_a_commit_that_takes_too_long_ends_the_session_and_not_the_commit(
    connect: Connect, face: Face, observer: Observer
) -> None:
    name = f"long_{face.name}"
    async with connect(cancel_timeout=TIMEOUT, command_timeout=1) as session:
        await slow_down(session, observer, name, 3)
        await session.execute("delete from kept where token = $1", name, timeout=30)
        with pytest.raises(CommitUnknown):
            await commit_slowly(session, name, name)
        with pytest.raises(ConnectionLost) as info:
            await session.fetchval("select 1", timeout=30)
        assert info.value.outcome in ("not_sent", "unknown")
        assert session.is_closed
    await face.until(lambda: observer.value("select count(*) from kept where token = %s", name) == 1)


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
        assert time.monotonic() - started < 3
        assert session.is_closed
