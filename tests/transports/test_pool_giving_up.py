"""Callers that are cancelled, and pools that are: nobody else waits for what never comes."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import anyio
import pytest

from pgproto import PoolClosed
from tests.transports.stage import ADD, Stage
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


def test_a_begin_on_a_shared_session(kind: type[World]) -> None:
    # It may be on its way when its caller is cancelled, and would shut the others out when it succeeds.
    async def play(stage: Stage) -> None:
        async def begin() -> None:
            await stage.pool.execute("begin")

        await stage.use()
        await stage.beside(stage.ask, stage.victim(begin), stage.ask, partial(stage.ask, 3))

    def at(step: int) -> Stage:
        stage = Stage(kind, step, max_size=1, multiplex=4)
        stage.play(play)
        return stage

    steps = at(sys.maxsize).world.steps
    assert sum(at(step).cancelled for step in range(1, steps + 1)) >= 5


def test_a_pool_that_is_cancelled_does_not_wait_for_holders(kind: type[World]) -> None:
    async def play(stage: Stage) -> None:
        begun = took = 0.0
        lent = anyio.Event()

        async def hold() -> None:
            await lent.wait()
            async with stage.pool.acquire() as session:
                await anyio.sleep(20)
                with pytest.raises(PoolClosed):
                    await session.fetchval(ADD, 1)

        async def live() -> None:
            nonlocal begun, took
            with anyio.CancelScope() as scope:
                async with stage.new_pool() as stage.pool:
                    lent.set()
                    await anyio.sleep(1)
                    begun = stage.world.now()
                    scope.cancel()
                    await anyio.sleep(1)
            took = stage.world.now() - begun

        await stage.beside(live, hold)
        assert took < 2

    Stage(kind, 0, is_open=False).play(play)


def test_somebody_cancels_all_tasks_there_are() -> None:
    # As programs do that shut down; the pool's own are among them.
    cancelled = 0

    async def play(stage: Stage) -> None:
        async def begin() -> None:
            async with stage.pool.acquire() as session:
                await session.execute("begin")

        def cancel_all() -> None:
            nonlocal cancelled
            tasks: set[asyncio.Task[None]] = stage.pool._tasks
            cancelled += sum(task.cancel() for task in tasks)

        stop = partial(stage.world.cancel_at, stage.step, partial(anyio.sleep, 1), also=cancel_all)
        await stage.beside(stop, begin, stage.use, stage.ask)
        await stage.pool.drain()

    for step in range(1, 120):
        Stage(WORLDS[0], step, max_size=1, recycle="verified", connect_timeout=None).play(play)
    assert cancelled >= 20
