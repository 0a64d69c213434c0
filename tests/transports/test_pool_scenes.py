"""Callers of a pool are cancelled at each step of the event loop, wherever they are; and nothing is lost.

Each scene is played once to count its steps, then again for each step, in a fresh world, where the victim is
cancelled before that step. Afterwards the pool has to have all its sessions, all of them clean; and never may
there have been more of them than allowed.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

import anyio
import pytest

import pgproto_asyncio
from pgproto import ConnectionLost, PoolClosed, PoolTimeout, QueryTimeout
from tests.transports.stage import ADD, LATENCY, SLEEP, Stage
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

SceneFunction = Callable[[Stage], Awaitable[None]]


class Scene(NamedTuple):
    """What somebody does who may be cancelled, and the pool that it is done to."""

    play: SceneFunction
    options: dict[str, Any]


SCENES: dict[str, Scene] = {}


def scene(name: str | None = None, **options: Any) -> Callable[[SceneFunction], SceneFunction]:
    def add(function: SceneFunction) -> SceneFunction:
        SCENES[name or function.__name__] = Scene(function, options)
        return function

    return add


# --- Acquiring ---------------------------------------------------------------------------------------------


@scene()
async def from_an_empty_pool(stage: Stage) -> None:
    await stage.beside(stage.victim(stage.use), stage.use)


@scene()
async def a_session_that_is_idle(stage: Stage) -> None:
    await stage.use()
    await stage.cancel(stage.use)


@scene(max_size=1)
async def behind_a_holder(stage: Stage) -> None:
    await stage.use()
    await stage.beside(partial(stage.hold, 0.1), stage.victim(stage.use), stage.use, stage.use)


@scene(max_size=1)
async def handed_from_one_to_the_next(stage: Stage) -> None:
    async def thrice() -> None:
        for number in range(3):
            await stage.use(number)

    await stage.use()
    await stage.beside(thrice, stage.victim(thrice), thrice)


@scene(max_size=1)
async def checked_after_long_idleness(stage: Stage) -> None:
    await stage.use()
    await anyio.sleep(50)
    await stage.beside(stage.victim(stage.use), stage.use)


@scene(max_size=3)
async def sessions_that_have_died(stage: Stage) -> None:
    async with stage.pool.acquire() as survivor:
        await stage.beside(stage.use, stage.use)
        for session in stage.server.sessions[1:]:
            session.hang_up()
        # What happens on this line makes the others look at theirs.
        await stage.beside(partial(survivor.fetchval, ADD, 1), partial(_die, stage))


async def _die(stage: Stage) -> None:
    await anyio.sleep(2 * LATENCY)
    await stage.beside(stage.victim(stage.use), stage.use)


@scene(faults=3)
async def attempts_to_connect_that_fail(stage: Stage) -> None:
    await stage.beside(stage.victim(stage.use), stage.use)


@scene(faults=5, max_size=1)
async def a_server_that_stays_away(stage: Stage) -> None:
    async def in_vain() -> None:
        with suppress(PoolTimeout):
            async with stage.pool.acquire(timeout=0.3):
                ...

    await stage.beside(stage.victim(in_vain), in_vain)


# --- Returning ---------------------------------------------------------------------------------------------


async def leave(stage: Stage, what: str) -> None:
    async with stage.pool.acquire() as session:
        match what:
            case "a transaction":
                await session.execute("begin")
                await session.fetchval(ADD, 1)
            case "an unread stream":
                rows = await session.stream("select many", batch=5).__aenter__()
                await rows.__anext__()
            case "a copy in":
                copy = await session.copy_in("copy t from stdin").__aenter__()
                await copy.write(b"1\n")
            case "a copy out":
                await session.copy_out("copy t to stdout").__aenter__()
            case "settings":
                await session.execute("set work_mem to '1MB'")
            case "a query":
                with anyio.move_on_after(0.1):
                    await session.fetch(SLEEP)
            case "a closed session":
                await session.close()
            case "a savepoint":
                async with session.transaction() as outer, outer.transaction() as inner:
                    await inner.fetchval(ADD, 1)
            case _:
                raise ZeroDivisionError(what)


LEFT = ("a transaction", "an unread stream", "a copy in", "a copy out", "settings", "a query",
        "a closed session", "a savepoint", "an error")  # fmt: skip


def _leave_scene(what: str) -> SceneFunction:
    async def play(stage: Stage) -> None:
        async def do() -> None:
            with suppress(ZeroDivisionError):
                await leave(stage, what)

        await stage.use()
        await stage.beside(stage.victim(do), partial(_later, stage))

    return play


async def _later(stage: Stage) -> None:
    await anyio.sleep(0.001)
    await stage.use()


for _what in LEFT:
    scene(f"returned with {_what}", max_size=1)(_leave_scene(_what))
for _recycle in ("verified", "clean"):
    scene(f"returned to be {_recycle}", max_size=1, recycle=_recycle)(_leave_scene("a transaction"))
scene("returned for a reset", max_size=1, reset="set work_mem to '2MB'")(_leave_scene("a transaction"))


@scene()
async def in_a_long_query(stage: Stage) -> None:
    async def sleep() -> None:
        with anyio.move_on_after(0.2):
            await stage.pool.fetchval(SLEEP)

    await stage.beside(stage.victim(sleep), stage.use, sleep)


# --- Verbs -------------------------------------------------------------------------------------------------


@scene()
async def one_shot_requests(stage: Stage) -> None:
    async def all_verbs() -> None:
        await stage.ask()
        await stage.pool.execute("insert", 1)
        await stage.pool.executemany("insert", [(1,), (2,)])

    await stage.beside(stage.victim(all_verbs), all_verbs, all_verbs)


@scene(multiplex=4)
async def shared_sessions(stage: Stage) -> None:
    async def ask() -> None:
        for number in range(3):
            await stage.ask(number)

    await stage.beside(ask, ask, stage.victim(ask), ask, ask, stage.use, ask, ask, ask, ask, ask)


@scene(max_size=1, multiplex=4)
async def a_transaction_left_on_a_shared_session(stage: Stage) -> None:
    async def begin() -> None:
        await stage.pool.execute("begin")

    await stage.beside(stage.ask, stage.victim(begin), stage.ask, stage.ask, stage.ask)


@scene(max_size=1)
async def transactions(stage: Stage) -> None:
    async def transact() -> None:
        async with stage.pool.transaction() as tx:
            await tx.fetchval(ADD, 1)

    await stage.beside(stage.victim(transact), transact)


@scene(max_size=1, collisions=2)
async def transactions_that_are_tried_again(stage: Stage) -> None:
    async def work(tx: Any) -> None:
        await tx.execute("collide")

    async def transact() -> None:
        await stage.pool.run_transaction(work)

    await stage.beside(stage.victim(transact), stage.use)


# --- The pool itself ---------------------------------------------------------------------------------------


def _manage_scene(manage: Callable[[Any], Awaitable[None]]) -> SceneFunction:
    async def play(stage: Stage) -> None:
        async def use_on() -> None:
            for number in range(4):
                await stage.use(number)

        async def manage_and_use() -> None:
            await manage(stage.pool)
            await stage.use()

        await stage.beside(stage.use, stage.use)
        await stage.beside(use_on, stage.victim(manage_and_use), use_on, partial(stage.hold, 0.05))

    return play


scene("drain")(_manage_scene(lambda pool: pool.drain()))
scene("expire")(_manage_scene(lambda pool: pool.expire(0.5)))
scene("resize", max_size=3)(_manage_scene(lambda pool: pool.resize(max_size=3, min_size=2)))


@scene(max_size=1)
async def close_with_waiters(stage: Stage) -> None:
    async def in_vain() -> None:
        with suppress(PoolClosed, ConnectionLost):
            await stage.use()

    async def close() -> None:
        await stage.pool.close(timeout=0.1)

    await stage.use()
    await stage.beside(partial(_cut_short, stage), stage.victim(close), in_vain, in_vain)
    await stage.pool.close(timeout=1)


async def _cut_short(stage: Stage) -> None:
    with suppress(PoolClosed, ConnectionLost, QueryTimeout):
        async with stage.pool.acquire() as session:
            await session.simple_query(SLEEP, timeout=10)


@scene(is_open=False, min_size=2)
async def the_whole_life_of_a_pool(stage: Stage) -> None:
    async def live() -> None:
        async with stage.new_pool() as stage.pool:
            await stage.beside(stage.use, stage.use, stage.use)

    stage.pool = cast("pgproto_asyncio.Pool", stage.new_pool())
    await stage.cancel(live)
    # A pool that was cancelled while it opened may still be on its way out.
    await stage.until(lambda: stage.pool.status().size == 0)


# --- Hooks -------------------------------------------------------------------------------------------------

HOOKS = ("before_connect", "after_connect", "before_acquire", "after_release", "before_close")


def _hook(kind: str) -> Callable[..., Any]:
    def hook(*_: Any) -> None: ...

    async def later(*arguments: Any) -> None:
        await anyio.sleep(0.01)
        if arguments and hasattr(arguments[0], "fetchval") and not arguments[0].is_closed:
            with suppress(ConnectionLost):
                assert await arguments[0].fetchval(ADD, 7) == 8

    return hook if kind == "sync" else later


@scene()
async def _with_hooks(stage: Stage) -> None:
    async def twice() -> None:
        await stage.use()
        await stage.ask()

    await stage.beside(twice, stage.victim(twice), twice)
    await stage.pool.drain()


del SCENES["_with_hooks"]
for _name in HOOKS:
    for _kind in ("sync", "async"):
        scene(f"{_kind} {_name}", **{_name: _hook(_kind)})(_with_hooks)
scene("all hooks", **{name: _hook("async") for name in HOOKS})(_with_hooks)


# --- The sweep ---------------------------------------------------------------------------------------------

NEVER = sys.maxsize
SAMPLE = 9
"""How many steps of each scene the default run takes."""


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


def _play(kind: type[World], name: str, step: int) -> Stage:
    stage = Stage(kind, step, **SCENES[name].options)
    stage.play(SCENES[name].play)
    return stage


def _sweep(kind: type[World], name: str, most: int) -> tuple[int, int]:
    """Cancel at up to so many steps; how many that were, and how many of them came to a cancellation."""
    total = _play(kind, name, NEVER).world.steps
    steps = range(1, total + 1)
    chosen = sorted({steps[place * len(steps) // most] for place in range(most)}) if total > most else steps
    done = 0
    for step in chosen:
        try:
            done += _play(kind, name, step).cancelled
        except BaseException as error:
            error.add_note(f"cancelled at step {step} of {total}")
            raise
    return len(chosen), done


@pytest.mark.parametrize("name", SCENES)
def test_cancelled_at_some_steps(kind: type[World], name: str) -> None:
    points, cancelled = _sweep(kind, name, SAMPLE)
    assert points >= 3
    assert cancelled >= points // 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_cancelled_at_every_step(kind: type[World], name: str) -> None:
    points, cancelled = _sweep(kind, name, NEVER)
    assert cancelled >= points // 3


def test_there_are_many_steps(kind: type[World]) -> None:
    assert sum(_play(kind, name, NEVER).world.steps for name in SCENES) >= 1500
