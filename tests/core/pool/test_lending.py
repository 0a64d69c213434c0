"""Sessions are lent to one caller at a time, in the order of arrival."""

from __future__ import annotations

from math import inf

import pytest

from pgproto._pool import CLEAN, Check, PoolConfig, Report, SlotState
from pgproto.errors import LocalProtocolError, PoolClosed, PoolTimeout
from tests.core.pool.helpers import (
    CALM,
    checks,
    forget,
    grants,
    make,
    opening,
    pool_with,
    record_of,
    refused,
    served,
    slot_of,
    states,
    wakes,
)
from tests.core.pool.people import Turn
from tests.core.pool.world import World


def test_an_idle_session_is_lent_at_once() -> None:
    world = pool_with(1)
    turn = world.acquire()
    assert turn.session is record_of(world, turn)
    assert world.log == []  # nothing to wait for, nothing to do
    world.release(turn)
    assert states(world) == [SlotState.IDLE]


def test_the_session_used_last_is_lent_first() -> None:
    world = pool_with(3)
    first, second = world.acquire(), world.acquire()
    world.release(first)
    world.release(second)
    assert world.acquire().slot is not first.slot
    assert [turn.slot for turn in world.holding] != [None]


def test_callers_are_served_in_the_order_of_their_arrival() -> None:
    world = pool_with(2, PoolConfig(max_size=2))
    holders = [world.acquire(), world.acquire()]
    callers = [world.acquire() for _ in range(1000)]
    served: list[Turn] = []
    for caller in callers:
        world.release(holders.pop(0))
        holders.append(caller)
        served += grants(world)
        forget(world)
    assert served == callers


def test_who_comes_does_not_overtake_who_waits() -> None:
    world = pool_with(1, PoolConfig(max_size=1, check_after=0.0))
    patient = world.acquire()  # the session is checked for this one
    late = world.acquire()
    world.run()
    assert served(patient)
    assert not served(late)


def test_a_caller_who_gave_up_is_passed_over() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    holder, first, second = world.acquire(), world.acquire(), world.acquire()
    world.abandon(first)
    world.release(holder)
    assert served(second)
    assert world.machine.status(world.now).requests_abandoned == 1


def test_a_session_that_crossed_with_giving_up_goes_to_the_next_at_once() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    holder, first, second = world.acquire(), world.acquire(), world.acquire()
    world.release(holder)
    assert served(first)  # granted, but its caller was cancelled before it woke
    world.abandon(first)
    assert served(second)
    assert not served(first)


def test_giving_up_twice_or_after_a_refusal_is_harmless() -> None:
    world = make(PoolConfig(acquire_timeout=1.0))
    turn = world.acquire()
    world.pass_time(1.0)
    refused(world, turn, PoolTimeout, "1 s")
    world.abandon(turn)
    world.abandon(turn)
    world.check()
    assert world.machine.status(world.now).requests_abandoned == 0


def test_the_connection_of_a_caller_who_gave_up_completes_into_the_pool() -> None:
    world = make()
    turn = world.acquire()
    world.abandon(turn)
    assert opening(world) == 1
    world.run()
    assert states(world) == [SlotState.IDLE]


def test_a_timeout_says_what_the_pool_is_like() -> None:
    world = pool_with(2, PoolConfig(max_size=2, acquire_timeout=5.0, leak_after=None))
    world.acquire()
    world.pass_time(2.5)
    world.acquire()
    turn = world.acquire()
    world.acquire(timeout=60.0)
    world.pass_time(5.0)
    refused(
        world,
        turn,
        PoolTimeout,
        r"^no session became free within 5 s: size 2 of at most 2, 2 in use, 2 waiting, "
        r"the longest holder has had its session for 7\.5 s$",
    )


def test_a_timeout_tells_the_last_error() -> None:
    world = make(PoolConfig(acquire_timeout=1.0, first_delay=5.0, longest_delay=5.0))
    turn = world.acquire()
    world.finish(next(iter(world.steps)), ConnectionRefusedError(111, "Connection refused"))
    world.pass_time(1.0)
    refused(
        world, turn, PoolTimeout, r"failed with ConnectionRefusedError: \[Errno 111\] Connection refused$"
    )


def test_the_timeout_covers_opening_checking_and_resetting() -> None:
    world = make(PoolConfig(acquire_timeout=3.0, max_size=1, check_after=1.0))
    slow = world.acquire()
    world.pass_time(3.0)  # still connecting
    refused(world, slow, PoolTimeout, "1 being opened")
    world.run()
    world.pass_time(2.0)
    unchecked = world.acquire(timeout=1.0)
    assert states(world) == [SlotState.PREPARING]
    world.pass_time(1.0)
    refused(world, unchecked, PoolTimeout, "within 1 s")
    world.run()
    holder = world.acquire()
    waiting = world.acquire()
    world.release(holder, Report("T"))
    assert states(world) == [SlotState.RESETTING]
    world.pass_time(3.0)
    refused(world, waiting, PoolTimeout, "within 3 s")


def test_a_caller_without_time_gets_what_there_is_or_an_error() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    turn = world.acquire(timeout=0.0)
    assert served(turn)
    with pytest.raises(PoolTimeout, match="within 0 s"):
        world.acquire(timeout=0.0)
    world.check()
    assert world.machine.status(world.now).requests_timeouts == 1


def test_the_timeout_of_a_call_goes_before_that_of_the_pool() -> None:
    world = make(PoolConfig(acquire_timeout=1.0))
    patient = world.acquire(timeout=inf)
    impatient = world.acquire()
    world.pass_time(1.0)
    assert patient in world.waiting
    refused(world, impatient, PoolTimeout, "within 1 s")


def test_a_pool_without_a_timeout_lets_callers_wait() -> None:
    world = pool_with(1, PoolConfig(max_size=1, acquire_timeout=None, max_lifetime=None, max_idle=None))
    world.acquire()
    turn = world.acquire()
    world.pass_time(1e9)
    assert turn in world.waiting


def test_deadlines_need_not_come_in_order() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    world.acquire()
    turns = [world.acquire(timeout=seconds) for seconds in (3.0, 1.0, 2.0)]
    for left in (2, 1, 0):
        world.pass_time(1.0)
        world.check()
        assert len(world.waiting) == left
    assert all(not served(turn) for turn in turns)


def test_no_more_wait_than_may() -> None:
    world = pool_with(1, PoolConfig(max_size=1, max_waiting=2))
    world.acquire()
    world.acquire()
    world.acquire()
    with pytest.raises(PoolTimeout, match="max_waiting, 2, callers wait for a session already"):
        world.acquire()
    status = world.machine.status(world.now)
    assert (status.waiting, status.requests_shed, status.requests_errors) == (2, 1, 1)
    world.abandon(world.waiting[0])
    world.acquire()


def test_who_a_session_is_opened_for_does_not_count_as_waiting() -> None:
    world = make(PoolConfig(max_size=2, max_waiting=0))
    world.acquire()
    world.acquire()
    with pytest.raises(PoolTimeout, match="max_waiting, 0"):
        world.acquire()
    world.run()
    assert len(world.holding) == 2


def test_a_lease_ends_once() -> None:
    world = pool_with(1)
    turn = world.acquire()
    world.release(turn)
    again = world.acquire()
    with pytest.raises(LocalProtocolError, match="returned to the pool"):
        world.machine.release(turn, world.now)
    with pytest.raises(LocalProtocolError, match="returned to the pool"):
        _ = turn.session
    with pytest.raises(LocalProtocolError, match="returned to the pool"):
        world.machine.put_back(turn, world.now)
    world.machine.abandon(turn, world.now)
    assert again.session is record_of(world, again)  # the next holder notices nothing
    world.check()


def test_a_session_cannot_be_used_before_it_is_granted() -> None:
    world = make()
    turn = world.acquire()
    with pytest.raises(LocalProtocolError, match="not been acquired"):
        _ = turn.session
    with pytest.raises(LocalProtocolError, match="not been acquired"):
        world.machine.release(turn, world.now)


def test_who_got_a_dead_session_goes_back_to_the_front() -> None:
    world = pool_with(2, PoolConfig(max_size=2))
    first, second = world.acquire(), world.acquire()
    later = world.acquire()
    world.pass_time(1.0)
    world.put_back(second)
    world.put_back(first)
    assert world.waiting == [first, second, later]
    world.run()
    assert served(first)
    assert served(second)
    world.check()
    assert world.machine.status(world.now).connections_lost == 2


def test_a_dead_session_cannot_be_put_back_past_the_deadline() -> None:
    world = pool_with(1, PoolConfig(acquire_timeout=1.0))
    turn = world.acquire()
    world.pass_time(1.0)
    world.put_back(turn)
    refused(world, turn, PoolTimeout, "within 1 s")


def test_a_dead_session_cannot_be_put_back_into_a_closed_pool() -> None:
    world = pool_with(1)
    turn = world.acquire()
    world.machine.close(world.now, 10.0)
    world.settle()
    world.put_back(turn)
    refused(world, turn, PoolClosed, "closed")


def test_a_pool_has_to_be_open() -> None:
    world = World.make(CALM)
    with pytest.raises(PoolClosed, match="not open yet"):
        world.acquire()
    world.open()
    world.acquire()
    world.machine.close(world.now)
    world.settle()
    with pytest.raises(PoolClosed, match="the pool is closed"):
        world.acquire()
    assert world.machine.status(world.now).requests_num == 1


def test_an_idle_session_is_checked_after_a_while() -> None:
    world = pool_with(1, PoolConfig(check_after=30.0, max_size=1))
    world.pass_time(29.0)
    world.release(world.acquire())
    assert not checks(world)
    world.pass_time(30.0)
    turn = world.acquire()
    assert len(checks(world)) == 1
    world.run()
    assert served(turn)
    assert world.machine.status(world.now).checks_num == 1


def test_a_session_that_fails_its_check_is_replaced_for_the_caller() -> None:
    world = pool_with(3, PoolConfig(check_after=30.0, max_size=3))
    world.pass_time(60.0)
    turn = world.acquire()
    for _ in range(3):
        world.finish(next(slot for slot, step in world.steps.items() if isinstance(step, Check)), OSError())
        world.check()
    world.run()
    assert served(turn)
    assert slot_of(turn).number == 4
    status = world.machine.status(world.now)
    assert (status.size, status.checks_errors, status.connections_lost) == (1, 3, 3)


def test_as_many_are_checked_as_wait() -> None:
    world = pool_with(3, PoolConfig(check_after=30.0, max_size=3))
    world.pass_time(60.0)
    world.acquire()
    assert len(world.steps) == 1
    world.acquire()
    assert len(world.steps) == 2


def test_after_the_death_of_all_sessions_the_next_callers_notice_nothing() -> None:
    world = pool_with(10)
    for slot in list(world.records):
        world.lose(slot, Report(closed=True))
    world.run()
    for _ in range(50):
        turn = world.acquire()
        world.run()
        world.release(turn, CLEAN)
    assert not world.refusals


def test_a_wake_up_is_asked_for_once() -> None:
    world = make(PoolConfig(acquire_timeout=10.0, connect_timeout=None))
    world.acquire()
    world.acquire(timeout=20.0)
    assert wakes(world) == [10.0]


def test_old_sessions_under_a_fit_one_are_passed_over() -> None:
    config = PoolConfig(max_size=2, check_after=5.0, max_lifetime=100.0, max_idle=None, jitter=0.0)
    world = pool_with(1, config)
    world.pass_time(20.0)
    world.acquire(timeout=1.0)
    second = world.acquire()
    world.run()
    for turn in (second, *world.holding):
        if turn in world.holding:
            world.release(turn)
    old, new = world.machine._idle
    if old.number > new.number:
        world.machine._idle.reverse()
    world.pass_time(80.0, late=True)
    turns = [world.acquire(), world.acquire()]
    assert sorted(states(world)) == [SlotState.PREPARING, SlotState.CLOSING]
    world.run()
    assert all(served(turn) for turn in turns)


def test_who_was_put_back_is_refused_once() -> None:
    world = pool_with(1, PoolConfig(max_size=1, acquire_timeout=5.0, first_delay=60.0, longest_delay=60.0))
    holder, turn = world.acquire(), world.acquire()
    world.release(holder)
    assert served(turn)
    world.put_back(turn)
    world.finish(next(iter(world.steps)))
    world.finish(next(iter(world.steps)), OSError("refused"))
    world.pass_time(5.0)
    refused(world, turn, PoolTimeout, "within 5 s")
    assert world.machine.status(world.now).requests_timeouts == 1
