"""Closing is final and takes no longer than it may; and whoever keeps a session for too long is named."""

from __future__ import annotations

from math import inf

import pytest

from pgproto._pool import Close, Closed, Hook, Open, PoolConfig, Report, SlotState
from pgproto.errors import LocalProtocolError, PoolClosed
from tests.core.pool.helpers import closes, done, is_closed, leaks, make, pool_with, slot_of, states
from tests.core.pool.world import World


def close(world: World, timeout: float = 30.0) -> None:
    world.machine.close(world.now, timeout)
    world.settle()
    world.check()


def test_an_unused_pool_closes_politely() -> None:
    world = pool_with(3)
    close(world)
    assert [step.graceful for step in closes(world)] == [True] * 3
    assert not is_closed(world)
    world.run()
    assert is_closed(world)
    assert world.machine.status(world.now).closed


@pytest.mark.parametrize("opened", [True, False])
def test_an_empty_pool_closes_at_once(opened: bool) -> None:
    world = make() if opened else World.make(PoolConfig(), log=True)
    close(world, inf)
    assert is_closed(world)


def test_closing_again_says_so_again() -> None:
    world = make()
    close(world)
    close(world)
    assert sum(isinstance(action, Closed) for action in done(world)) == 2


def test_who_waits_is_refused() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    world.acquire()
    world.acquire()
    close(world)
    (error,) = world.refusals
    assert isinstance(error, PoolClosed)


def test_who_waits_for_min_size_is_refused() -> None:
    world = World.make(PoolConfig(min_size=1))
    world.open()
    close(world)
    assert isinstance(world.refusals[0], PoolClosed)


def test_attempts_to_connect_are_given_up() -> None:
    world = make()
    world.acquire()
    assert isinstance(next(iter(world.steps.values())), Open)
    close(world)
    (step,) = world.steps.values()
    assert isinstance(step, Close)
    assert not step.graceful


def test_who_has_a_session_may_finish() -> None:
    world = pool_with(2, PoolConfig(max_size=2))
    turn = world.acquire()
    close(world)
    world.run()
    assert not is_closed(world)
    world.release(turn, Report("T"))
    assert [step.graceful for step in closes(world)] == [True, True]  # no need for a rollback
    world.run()
    assert is_closed(world)


def test_at_the_end_sessions_are_taken_away_and_their_holders_named() -> None:
    world = pool_with(2, PoolConfig(max_size=2))
    turn = world.acquire()
    turn.note = "where it was acquired"
    close(world, 30.0)
    world.run()
    world.pass_time(30.0)
    assert [(leak.ticket.note, leak.held) for leak in leaks(world)] == [("where it was acquired", 30.0)]
    assert [step.graceful for step in closes(world)] == [True, False]
    world.run()
    assert is_closed(world)
    with pytest.raises(PoolClosed, match="the pool has closed"):
        _ = turn.session
    world.machine.release(turn, world.now)  # the end of its block; it is not to blame
    world.machine.abandon(turn, world.now)
    world.check()


def test_one_shot_requests_are_cut_off_and_are_no_leaks() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=2))
    turns = [world.acquire(shared=True), world.acquire(shared=True)]
    world.acquire(shared=True)
    world.release(turns[0])  # so that one has a ticket
    close(world, 0.0)
    assert not leaks(world)
    assert not world.holding
    world.release_late(turns[1])
    world.run()
    assert is_closed(world)


def test_whatever_is_under_way_is_cut_off_at_the_end() -> None:
    config = PoolConfig(max_size=3, hooks=frozenset({Hook.BEFORE_CLOSE, Hook.AFTER_RELEASE}))
    world = make(config)
    turns = [world.acquire() for _ in range(3)]
    world.run()
    world.release(turns[0])
    world.release(turns[1], Report("T"))
    close(world, 5.0)
    assert len(world.steps) == 2
    world.pass_time(5.0)
    assert [step.graceful for step in closes(world)] == [False] * 3
    world.run()
    assert is_closed(world)


def test_what_is_cut_off_already_is_not_cut_off_twice() -> None:
    world = pool_with(1)
    world.release(world.acquire(), Report(closed=True))
    close(world, 0.0)
    assert len(closes(world)) == 1


def test_a_polite_goodbye_that_takes_too_long_is_cut_off() -> None:
    world = pool_with(1, PoolConfig(reset_timeout=5.0))
    close(world, 60.0)
    world.pass_time(5.0)
    assert [step.graceful for step in closes(world)] == [True, False]
    world.run()
    assert is_closed(world)


def test_after_the_end_the_timer_rings_no_more() -> None:
    world = pool_with(1)
    world.acquire()
    close(world, 5.0)
    world.pass_time(5.0)
    assert world.wake == inf
    world.pass_time(5.0)
    world.run()
    assert is_closed(world)


def test_closing_again_can_only_bring_the_end_nearer() -> None:
    world = pool_with(1)
    turn = world.acquire()
    close(world, 10.0)
    close(world, 100.0)
    close(world, 5.0)
    world.pass_time(5.0)
    assert turn not in world.holding


def test_a_reset_that_ends_while_closing_brings_no_session_back() -> None:
    world = pool_with(1)
    world.release(world.acquire(), Report("T"))
    close(world)
    assert states(world) == [SlotState.RESETTING]
    world.run()
    assert is_closed(world)


def test_a_closed_pool_keeps_still() -> None:
    world = make()
    close(world)
    before = len(done(world))
    world.machine.drain(0.0)
    world.machine.expire(0.0, 0.0)
    world.machine.resize(0.0, min_size=2)
    world.machine.tick(1e9)
    world.settle()
    assert len(done(world)) == before


def test_a_session_that_is_out_for_too_long_is_reported_once() -> None:
    world = pool_with(2, PoolConfig(leak_after=60.0, check_after=None))
    first = world.acquire()
    world.pass_time(30.0)
    second = world.acquire()
    world.pass_time(30.0)
    assert [leak.ticket for leak in leaks(world)] == [first]
    world.pass_time(30.0)
    assert [(leak.ticket, leak.held) for leak in leaks(world)] == [(first, 60.0), (second, 60.0)]
    world.pass_time(1000.0)
    assert len(leaks(world)) == 2
    assert world.machine.status(world.now).leaks_num == 2
    world.release(first)
    world.release(second)
    assert not world.machine._leaked


def test_without_leak_after_nothing_is_reported() -> None:
    world = pool_with(1)
    world.acquire()
    world.pass_time(1e6)
    assert not leaks(world)


def test_a_leak_that_was_reported_counts_once() -> None:
    world = pool_with(1, PoolConfig(leak_after=1.0))
    world.acquire()
    world.pass_time(1.0)
    close(world, 0.0)
    assert len(leaks(world)) == 2  # said again, because now it has consequences
    assert world.machine.status(world.now).leaks_num == 1


def test_a_slot_that_is_gone_has_no_session() -> None:
    world = pool_with(1)
    turn = world.acquire()
    slot = slot_of(turn)
    world.release(turn, Report(closed=True))
    world.run()
    assert slot.session is None
    assert repr(slot) == "<Slot 1 gone>"
    assert repr(turn) == "<Ticket exclusive ended>"
    with pytest.raises(LocalProtocolError):
        _ = turn.session


def test_a_goodbye_that_fails_is_a_goodbye() -> None:
    world = pool_with(1)
    close(world)
    world.finish(next(iter(world.steps)), OSError("broken pipe"))
    assert is_closed(world)
    assert not world.records
