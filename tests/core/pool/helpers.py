"""Shorthand for the examples."""

from __future__ import annotations

import pytest

from pgproto._pool import (
    Action,
    Check,
    Close,
    Grant,
    Hook,
    Open,
    PoolConfig,
    ReportLeak,
    Reset,
    RunHook,
    Slot,
    SlotState,
    WakeAt,
)
from tests.core.pool.people import Person, Record, Turn
from tests.core.pool.world import World

__all__ = [
    "CALM",
    "checks",
    "closes",
    "done",
    "forget",
    "grants",
    "hooks",
    "is_closed",
    "leaks",
    "make",
    "opening",
    "pool_with",
    "record_of",
    "refused",
    "resets",
    "served",
    "slot_of",
    "states",
    "wait_for_retry",
    "wakes",
]

CALM = PoolConfig(jitter=0.0)


def make(config: PoolConfig = CALM) -> World:
    """An open pool, with nothing in it yet but what `min_size` asks for."""
    world = World.make(config, lambda: 0.5, log=True)
    world.open()
    forget(world)
    return world


def pool_with(sessions: int, config: PoolConfig = CALM) -> World:
    """An open pool with so many idle sessions."""
    world = make(config)
    turns = [world.acquire() for _ in range(sessions)]
    world.run()
    for turn in turns:
        world.release(turn)
    world.run()
    assert world.machine.status(world.now).idle == sessions
    world.check()
    forget(world)
    return world


def forget(world: World) -> None:
    """Forget the actions so far."""
    done(world).clear()


def done(world: World) -> list[Action[Record, Person]]:
    """The actions so far, or since `forget`."""
    assert world.log is not None
    return world.log


def grants(world: World) -> list[Turn]:
    """Who was granted a session."""
    return [action.ticket for action in done(world) if isinstance(action, Grant)]


def closes(world: World) -> list[Close[Record]]:
    return [action for action in done(world) if isinstance(action, Close)]


def resets(world: World) -> list[Reset[Record]]:
    return [action for action in done(world) if isinstance(action, Reset)]


def checks(world: World) -> list[Check[Record]]:
    return [action for action in done(world) if isinstance(action, Check)]


def hooks(world: World) -> list[Hook]:
    """Which hooks were run, in this order."""
    return [action.hook for action in done(world) if isinstance(action, RunHook)]


def leaks(world: World) -> list[ReportLeak[Record, Person]]:
    return [action for action in done(world) if isinstance(action, ReportLeak)]


def wakes(world: World) -> list[float]:
    """The times at which the machine asked to be woken."""
    return [action.time for action in done(world) if isinstance(action, WakeAt)]


def opening(world: World) -> int:
    """How many sessions are being opened."""
    return sum(isinstance(step, Open) for step in world.steps.values())


def states(world: World) -> list[SlotState]:
    """What each slot is doing, the oldest first."""
    return [slot.state for slot in world.records]


def refused(world: World, turn: Turn, kind: type[BaseException], match: str) -> None:
    """This caller, and no other, was refused for this reason."""
    assert turn not in world.waiting
    assert turn.slot is None
    (error,) = world.refusals
    world.refusals.clear()
    with pytest.raises(kind, match=match):
        raise error


def served(turn: Turn) -> bool:
    """Whether a caller has a session now."""
    return turn.slot is not None


def slot_of(turn: Turn) -> Slot[Record]:
    """Whose session a caller has."""
    assert turn.slot is not None
    return turn.slot


def wait_for_retry(world: World) -> None:
    """Let time go by until the timer rings."""
    world.pass_time(world.wake - world.now)


def is_closed(world: World) -> bool:
    """Whether the machine has said so."""
    return world.closed


def record_of(world: World, turn: Turn) -> Record:
    """The session that a caller has."""
    return world.records[slot_of(turn)]
