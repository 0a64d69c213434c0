"""A machine is interrupted in the midst of something, and its world lets it start over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pgproto._pool
from pgproto._pool import Refuse, TicketState
from tests.core.pool.people import JOINED, Record, is_forced
from tests.core.pool.world import World

__all__ = ["interrupt", "start_over"]

_SOURCES = str(Path(pgproto._pool.__file__).parent)


def start_over(world: World) -> None:
    """Nobody knows what was left half done, and only the machine and its slots are what they were."""
    machine, asleep = world.machine, {*world.waiting, *world.warming}
    holders = [turn for turn in world.holding if turn.note is not JOINED]
    slots = list(machine._slots)
    world.waiting.clear()
    world.warming.clear()
    world.holding.clear()
    world.steps.clear()
    world.records = {slot: Record(unfit="started over") for slot in slots}
    machine.start_over(world.now)
    for action in machine.actions():
        if isinstance(action, Refuse):
            assert action.ticket.slot is None
            assert action.ticket.state in (TicketState.ENDED, TicketState.LOST)
            asleep.discard(action.ticket)
        else:
            world.carry_out(action)
    assert not asleep, "they sleep for ever"
    assert all(turn.slot is None for turn in holders), "somebody has a session that is closed"
    assert all(is_forced(world.steps[slot]) for slot in slots), "a session is left"


def interrupt(function: Callable[[], object], number: int) -> str:
    """Call the function, with an interrupt before that line of the machine; returns which one it is.

    Empty if there are not so many.
    """
    left, where = number, ""

    def enter(frame: FrameType, event: str, argument: object) -> Any:
        return step if frame.f_code.co_filename.startswith(_SOURCES) else None

    def step(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left, where
        if event == "line" and not where:
            left -= 1
            if left == 0:
                where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        function()
    except KeyboardInterrupt:
        assert where
    finally:
        sys.settrace(before)
    return where
