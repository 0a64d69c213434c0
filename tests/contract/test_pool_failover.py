"""Servers that restart, and a replica that takes over: pools find their way back by themselves."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pgproto import ConnectionLost, PoolTimeout, PostgresError, QueryTimeout
from tests.contract.faces import Face, Job
from tests.contract.observer import Observer
from tests.contract.pools import Pool, kill_all, make_pool
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio

LOSSES = (ConnectionLost, PoolTimeout, PostgresError, QueryTimeout)
newest = pytest.mark.parametrize("own_postgres", [18], indirect=True, ids=["pg18"])


@dataclass
class Load:
    """Callers that ask again and again, and are not deterred."""

    pool: Pool
    sql: str
    successes: list[float] = field(default_factory=list[float])
    failures: list[BaseException] = field(default_factory=list[BaseException])
    over: bool = False

    async def run(self, sleep: Callable[[float], Any]) -> None:
        while not self.over:
            try:
                await self.pool.execute(self.sql)
                self.successes.append(time.monotonic())
            except LOSSES as error:
                self.failures.append(error)
            await sleep(0.002)

    def succeeded_after(self, moment: float, count: int = 1) -> bool:
        """Whether so many have succeeded since then."""
        return sum(each > moment for each in self.successes[-count:]) == count


@asynccontextmanager
async def load(face: Face, pool: Pool, sql: str, callers: int = 8) -> AsyncGenerator[Load, None]:
    async with face.tasks() as tasks:
        load = Load(pool, sql)
        jobs: list[Job[None]] = [tasks.start(load.run, face.sleep) for _ in range(callers)]
        try:
            yield load
        finally:
            load.over = True
        for job in jobs:
            await job.result()


# --- A replica takes over ----------------------------------------------------------------------------------


@newest
@pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"])
async def test_a_replica_is_promoted(face: Face, own_postgres: Server) -> None:
    own_postgres.psql("create table written (at timestamptz default now())")
    own_postgres.psql("grant insert on written to alice")
    with own_postgres.replica() as replica:
        hosts = {
            "host": "127.0.0.1,127.0.0.1",
            "port": f"{own_postgres.port},{replica.port}",
            "target_session_attrs": "read-write",
            "sslmode": "disable",
        }
        dsn = own_postgres.dsn_for("alice")
        async with (
            make_pool(face, dsn, max_size=4, acquire_timeout=30.0, **hosts) as pool,
            load(face, pool, "insert into written default values") as writers,
        ):
            await face.until(lambda: len(writers.successes) > 20)
            own_postgres.stop("immediate")
            # The replica takes no writes yet, and nobody else answers.
            await face.until(lambda: pool.status().connections_errors >= 2)
            stopped = len(writers.successes)
            replica.promote()
            promoted = time.monotonic()
            await face.until(lambda: writers.succeeded_after(promoted, 50))
            first = writers.successes[stopped]
            # It is tried again every second or so.
            assert first - promoted < 15
            assert pool.status().size <= 4
            assert await pool.fetchval("select inet_server_port()") == replica.port


@newest
@pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"])
async def test_a_standby_is_promoted_that_was_to_be_read_from(face: Face, own_postgres: Server) -> None:
    with own_postgres.replica() as replica:
        hosts = {
            "host": "127.0.0.1,127.0.0.1",
            "port": f"{own_postgres.port},{replica.port}",
            "target_session_attrs": "prefer-standby",
            "sslmode": "disable",
        }
        where = "select inet_server_port()"
        async with make_pool(face, own_postgres.dsn_for("alice"), max_size=2, **hosts) as pool:
            async with pool.acquire() as kept, pool.acquire() as other:
                assert await kept.fetchval(where) == await other.fetchval(where) == replica.port
                replica.promote()
                # With one of its next answers the server says what it is now.
                while kept.parameters["in_hot_standby"] == "on":
                    assert await kept.fetchval(where) == replica.port
            await face.until(lambda: pool.status().generation == 1)
            assert await pool.fetchval(where) == own_postgres.port
            assert pool.status().requests_errors == 0


# --- A server that restarts --------------------------------------------------------------------------------


@newest
@pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"])
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_restarts_under_load(face: Face, own_postgres: Server, mode: str) -> None:
    async with (
        make_pool(face, own_postgres.dsn, max_size=4, acquire_timeout=30.0) as pool,
        load(face, pool, "select 1") as callers,
    ):
        await face.until(lambda: len(callers.successes) > 20)
        before = pool.status().connections_num
        down = time.monotonic()
        own_postgres.stop(mode)
        await face.until(lambda: pool.status().connections_num >= before + 5)
        tried = pool.status().connections_num - before
        away = time.monotonic() - down
        own_postgres.start()
        up = time.monotonic()
        await face.until(lambda: callers.succeeded_after(up, 50))
        assert next(each for each in callers.successes if each > up) - up < 15
        # Those of the first moment, and then never more than one for each of the shortest pauses.
        assert tried <= 4 + away / 0.05
        assert pool.status().size <= 4


async def test_one_attempt_at_a_time_while_the_server_is_silent(
    face: Face, postgres: Server, proxy: FaultyProxy
) -> None:
    options: dict[str, Any] = {
        "max_size": 8,
        "connect_timeout": 0.5,
        "command_timeout": 1.0,
        "cancel_timeout": 0.5,
    }
    dsn = postgres.dsn_for("alice")
    async with (
        make_pool(face, dsn, port=proxy.port, sslmode="disable", **options) as pool,
        load(face, pool, "select 1", callers=16) as callers,
    ):
        await face.until(lambda: len(callers.successes) > 20)
        before, failed = len(proxy.links), pool.status().connections_errors
        silent = time.monotonic()
        proxy.fail("reset")
        proxy.mend()
        proxy.fail("swallow")

        def settled() -> bool:
            # Those of the first moment have failed, and those in use as well.
            status = pool.status()
            return status.connections_errors > failed and status.opening == status.in_use == 0

        def tried_twice() -> bool:
            opening.add(pool.status().opening)
            return len(proxy.links) >= later + 2

        await face.until(settled)
        later, opening = len(proxy.links), set[int]()
        await face.until(tried_twice)
        assert max(opening) <= 1
        attempts = len(proxy.links) - before
        assert attempts <= 2 * 8 + (time.monotonic() - silent) / 0.5
        proxy.mend()
        mended = time.monotonic()
        await face.until(lambda: callers.succeeded_after(mended, 50))
        assert next(each for each in callers.successes if each > mended) - mended < 15


# --- Sessions that are killed ------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["none", "before_acquire", "after_release"])
async def test_fifty_checkouts_after_all_sessions_were_killed(
    face: Face, postgres: Server, observer: Observer, hook: str
) -> None:
    async def look(session: Any) -> None:
        assert await session.fetchval("select 1") == 1

    def look_at_once(session: Any) -> None:
        assert session.fetchval("select 1") == 1

    hooks = {} if hook == "none" else {hook: look_at_once if face.name == "blocking" else look}
    async with make_pool(face, postgres.dsn, min_size=4, max_size=4, **hooks) as pool:
        for _ in range(2):
            await face.until(lambda: pool.status().idle == 4)
            assert kill_all(observer) >= 4
            for number in range(50):
                begun = time.monotonic()
                async with pool.acquire() as session:
                    assert await session.fetchval("select $1::int", number) == number
                # Nobody waits until those that are dead have been said goodbye to, for five seconds.
                assert time.monotonic() - begun < 4.5
        # The last dead one may have been found a moment ago, and a successor be due after a short pause.
        await face.until(lambda: pool.status().idle == 4)
        assert pool.status().requests_errors == 0
