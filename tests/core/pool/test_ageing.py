"""Sessions retire: one at a time, when nobody uses them, and with a successor."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._pool import Close, Open, PoolConfig, SlotState
from pgproto._pool._lifetimes import spread
from tests.core.pool.helpers import closes, forget, make, opening, pool_with, served, slot_of, states
from tests.core.pool.world import World


def advance(world: World, until: float) -> None:
    """Let time go by, from one ring of the timer to the next; what comes up succeeds."""
    while world.wake <= until:
        world.pass_time(world.wake - world.now)
        world.check()
        world.run()
    world.pass_time(until - world.now)


def test_no_two_of_fifty_expire_in_the_same_second() -> None:
    for seed in range(20):
        world = World.make(
            PoolConfig(min_size=50, max_size=50, max_connecting=50), random.Random(seed).random
        )
        world.open()
        for slot in list(world.steps):
            world.pass_time(random.Random(slot.number).random() / 10)
            world.finish(slot)
        ends = sorted(slot.expires_at for slot in world.records)
        assert min(later - earlier for earlier, later in pairwise(ends)) > 1.0
        assert all(0.9 * 3600 <= slot.expires_at - (slot.opened_at or 0.0) <= 3600 for slot in world.records)


@given(st.lists(st.floats(0, 100), max_size=30), st.floats(0, 1, exclude_max=True))
def test_a_new_end_keeps_its_distance(taken: list[float], chance: float) -> None:
    end = spread(0.0, 100.0, taken, lambda: chance)
    assert 0.0 <= end <= 100.0
    if taken:
        assert min(abs(end - other) for other in taken) >= 0.4 * 100 / (len(taken) + 1) - 1e-9


def test_where_there_is_no_choice_the_end_is_the_end() -> None:
    assert spread(5.0, 5.0, [5.0, 5.0], lambda: 0.7) == 5.0


def test_an_old_session_is_succeeded_before_it_goes() -> None:
    world = pool_with(1, PoolConfig(min_size=1, max_size=2, max_lifetime=100.0, max_idle=None, jitter=0.0))
    world.pass_time(90.0)
    assert states(world) == [SlotState.IDLE, SlotState.OPENING]
    world.run()
    assert states(world) == [SlotState.IDLE, SlotState.IDLE]
    world.pass_time(10.0)
    assert states(world) == [SlotState.CLOSING, SlotState.IDLE]
    assert [close.graceful for close in closes(world)] == [True]
    assert world.machine.status(world.now).connections_expired == 1


def test_without_room_an_old_session_goes_first() -> None:
    world = pool_with(1, PoolConfig(min_size=1, max_size=1, max_lifetime=100.0, max_idle=None, jitter=0.0))
    world.pass_time(90.0)
    assert not world.steps
    world.pass_time(10.0)
    assert states(world) == [SlotState.CLOSING]
    world.run()
    assert states(world) == [SlotState.IDLE]


def test_while_the_server_is_away_no_successor_is_opened() -> None:
    config = PoolConfig(
        max_size=3, max_lifetime=100.0, max_idle=None, jitter=0.0, first_delay=60.0, longest_delay=60.0
    )
    world = pool_with(1, config)
    world.pass_time(80.0)
    world.acquire()
    impatient = world.acquire()
    world.finish(next(iter(world.steps)), OSError("refused"))
    world.abandon(impatient)
    world.pass_time(10.0)
    assert opening(world) == 0


def test_a_session_in_use_may_outlive_its_time_and_is_not_lent_again() -> None:
    world = pool_with(1, PoolConfig(max_size=1, max_lifetime=100.0, jitter=0.0))
    turn = world.acquire()
    world.pass_time(500.0)
    assert turn in world.holding
    waiter = world.acquire()
    world.release(turn)
    assert states(world) == [SlotState.CLOSING]
    world.run()
    assert served(waiter)
    assert slot_of(waiter).number == 2


def test_a_session_that_expired_unnoticed_is_not_lent() -> None:
    world = pool_with(2, PoolConfig(max_size=2, max_lifetime=100.0, max_idle=None, jitter=0.0))
    world.pass_time(100.0, late=True)  # the timer did not ring yet
    turn = world.acquire()
    assert states(world) == [SlotState.CLOSING, SlotState.CLOSING]
    world.run()
    assert served(turn)


def test_what_nobody_uses_is_closed_down_to_min_size() -> None:
    world = pool_with(5, PoolConfig(min_size=2, max_idle=100.0, jitter=0.0, check_after=None))
    world.pass_time(60.0)
    world.release(world.acquire())
    world.pass_time(40.0)
    assert states(world) == [SlotState.CLOSING] * 3 + [SlotState.IDLE] * 2
    assert world.machine.status(world.now).connections_idled == 3
    world.run()
    world.pass_time(1000.0)
    assert states(world) == [SlotState.IDLE] * 2


def test_an_empty_pool_is_possible() -> None:
    world = pool_with(3, PoolConfig(max_idle=100.0))
    world.pass_time(100.0)
    world.run()
    assert not world.records


def test_the_idle_do_not_all_go_at_once() -> None:
    world = World.make(PoolConfig(max_idle=100.0), random.Random(7).random)
    world.open()
    turns = [world.acquire() for _ in range(10)]
    world.run()
    for turn in turns:
        world.release(turn)
    left = 10
    while world.records:
        world.pass_time(world.wake - world.now)
        world.run()
        assert left - len(world.records) in (0, 1)
        left = len(world.records)
        assert left == 10 or 90 <= world.now <= 100


def test_a_pool_larger_than_min_size_sheds_those_that_were_idle_for_too_long_all_the_time() -> None:
    # They had to stay as long as they made up min_size; with one more they need not.
    world = pool_with(2, PoolConfig(min_size=2, max_idle=100.0, jitter=0.0, check_after=None))
    world.pass_time(500.0)
    assert states(world) == [SlotState.IDLE] * 2
    turns = [world.acquire() for _ in range(2)]
    turns.append(world.acquire())
    world.abandon(turns.pop())
    world.release(turns[0])
    world.pass_time(150.0)
    world.release(turns[1])
    world.run()
    assert states(world) == [SlotState.IDLE] * 2


def test_drain_replaces_what_is_idle_now_and_the_rest_later() -> None:
    world = pool_with(3, PoolConfig(min_size=3, max_size=4))
    turn = world.acquire()
    world.retire_all()
    world.machine.drain(world.now)
    world.settle()
    world.check()
    assert states(world).count(SlotState.CLOSING) == 2
    assert turn.session is not None  # its holder is not disturbed
    world.run()
    world.release(turn)
    world.run()
    assert states(world) == [SlotState.IDLE] * 3
    assert {slot.generation for slot in world.records} == {1}


def test_expire_replaces_one_after_the_other() -> None:
    world = pool_with(4, PoolConfig(min_size=4, max_size=5, max_lifetime=None))
    old = set(world.records)
    world.machine.expire(world.now, 40.0)
    world.settle()
    sizes: list[int] = []
    for _ in range(4):
        world.pass_time(5.0)
        assert opening(world) == 1
        world.run()
        sizes.append(len(world.records))
        world.pass_time(5.0)
        assert sum(isinstance(step, Close) for step in world.steps.values()) == 1
        world.finish(next(slot for slot, step in world.steps.items() if isinstance(step, Close)))
        world.check()
    assert sizes == [5] * 4
    world.run()
    assert not old & set(world.records)


def test_expire_at_once() -> None:
    world = pool_with(2)
    turn = world.acquire()
    world.machine.expire(world.now, 0.0)
    world.settle()
    assert states(world).count(SlotState.CLOSING) == 1
    assert opening(world) == 1  # the successor of the one that is out
    world.release(turn)
    world.run()
    assert states(world) == [SlotState.IDLE]


def test_resize_makes_room() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    world.acquire()
    waiter = world.acquire()
    world.machine.resize(world.now, max_size=2)
    world.settle()
    world.run()
    assert served(waiter)


def test_resize_opens_up_to_min_size() -> None:
    world = make(PoolConfig())
    warm = world.open()
    assert warm not in world.warming
    world.machine.resize(world.now, min_size=2)
    world.settle()
    assert opening(world) == 2


def test_resize_closes_what_is_too_much_as_it_becomes_idle() -> None:
    world = pool_with(4, PoolConfig(max_size=4))
    turns = [world.acquire() for _ in range(3)]
    waiter = None
    world.machine.resize(world.now, max_size=1)
    world.settle()
    assert states(world).count(SlotState.CLOSING) == 1
    waiter = world.acquire()
    world.release(turns[0])
    world.release(turns[1])
    assert not served(waiter)
    assert states(world).count(SlotState.CLOSING) == 3
    world.release(turns[2])
    assert served(waiter)
    world.run()
    world.check()
    assert world.machine.status(world.now).size == 1


def test_after_a_resize_sessions_pass_directly_from_hand_to_hand_again() -> None:
    world = pool_with(2, PoolConfig(max_size=2))
    turns = [world.acquire(), world.acquire()]
    world.machine.resize(world.now, max_size=1)
    assert not world.machine._direct
    world.release(turns[0])
    world.run()
    assert world.machine._direct


def test_lowering_min_size_lets_the_idle_go() -> None:
    world = pool_with(2, PoolConfig(min_size=2, max_idle=10.0, jitter=0.0))
    world.pass_time(100.0)
    assert states(world) == [SlotState.IDLE] * 2
    world.machine.resize(world.now, min_size=0)
    world.settle()
    assert states(world) == [SlotState.CLOSING] * 2


def test_what_is_opened_while_the_pool_shrinks_is_closed_again() -> None:
    world = make(PoolConfig(max_size=2))
    turns = [world.acquire(), world.acquire()]
    world.machine.resize(world.now, max_size=1)
    world.settle()
    forget(world)
    world.run()
    assert len(world.holding) == 1
    assert len(world.records) == 1
    assert served(turns[0])
    assert not any(isinstance(step, Open) for step in world.steps.values())


@pytest.mark.parametrize("lifetime", [10.0, 3600.0, 1e6])
def test_a_pool_in_steady_use_never_makes_anybody_wait(lifetime: float) -> None:
    world = pool_with(1, PoolConfig(max_size=2, max_lifetime=lifetime, max_idle=None, check_after=None))
    for _ in range(200):
        turn = world.acquire()
        assert served(turn)
        advance(world, world.now + lifetime / 70)
        world.release(turn)
        world.run()
    assert world.machine.status(world.now).connections_num > 2
