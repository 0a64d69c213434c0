"""A machine that checks itself stops at the first contradiction."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from pgproto._pool import PoolConfig, SlotState, Ticket, TicketKind, TicketState
from pgproto._pool._ledger import Phase
from tests.core.pool.helpers import pool_with
from tests.core.pool.people import Machine, Turn


def miscount(machine: Machine) -> None:
    machine._counts[SlotState.IDLE] += 1


def lose_an_idle_session(machine: Machine) -> None:
    machine._idle.pop()


def serve_without_a_word(machine: Machine) -> None:
    next(iter(machine._waiting)).state = TicketState.LEASED


def end_without_a_word(machine: Machine) -> None:
    next(iter(machine._leases)).state = TicketState.ENDED


def add_a_holder(machine: Machine) -> None:
    next(iter(machine._leases.values())).holders += 1


def break_an_idle_session(machine: Machine) -> None:
    machine._idle[0].spoil(broken=True)


def close_without_a_word(machine: Machine) -> None:
    machine._phase = Phase.CLOSED


def let_somebody_wait_in_vain(machine: Machine) -> None:
    ticket: Turn = Ticket(TicketKind.EXCLUSIVE, 0.0, inf)
    machine._queue.join(ticket)


@pytest.mark.parametrize(
    ("sessions", "damage", "message"),
    [
        (2, miscount, "counted wrongly"),
        (2, lose_an_idle_session, "more idle sessions"),
        (1, serve_without_a_word, "who is served waits"),
        (2, end_without_a_word, "who waits is served"),
        (2, add_a_holder, "another number of holders"),
        (2, break_an_idle_session, "must not be lent is idle"),
        (2, let_somebody_wait_in_vain, "waits for a session that is idle"),
        (2, close_without_a_word, "a closed pool has sessions"),
    ],
)
def test_contradictions_are_noticed(sessions: int, damage: Callable[[Machine], None], message: str) -> None:
    world = pool_with(sessions, PoolConfig(max_size=sessions))
    world.acquire()
    if sessions == 1:
        world.acquire()
    assert world.machine.actions() == []
    damage(world.machine)
    with pytest.raises(RuntimeError, match=message):
        world.machine.actions()
