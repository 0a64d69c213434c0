"""Sessions are opened as they are needed, and not faster than the server can take."""

from __future__ import annotations

import pytest

from pgproto._pool import LOST, Open, PoolConfig, Report, SlotState
from pgproto.errors import (
    AuthenticationError,
    CannotConnectNow,
    InvalidCatalogName,
    InvalidPassword,
    PoolClosed,
    PoolTimeout,
    ReadOnlySqlTransaction,
    TooManyConnections,
)
from tests.core.pool.helpers import (
    closes,
    forget,
    grants,
    is_closed,
    make,
    opening,
    pool_with,
    refused,
    served,
    states,
    wait_for_retry,
)
from tests.core.pool.world import World

REFUSED = ConnectionRefusedError(111, "Connection refused")


def fail_all(world: World, error: BaseException) -> None:
    for slot in list(world.steps):
        if slot in world.steps and isinstance(world.steps[slot], Open):
            world.finish(slot, error)
            world.check()


def test_a_pool_opens_with_min_size_sessions() -> None:
    world = World.make(PoolConfig(min_size=3))
    warm = world.open()
    assert opening(world) == 3
    assert warm in world.warming
    world.run()
    assert not world.warming
    assert states(world) == [SlotState.IDLE] * 3


def test_a_pool_without_min_size_is_open_at_once() -> None:
    world = World.make(PoolConfig(), log=True)
    warm = world.open()
    assert grants(world) == [warm]
    assert not world.steps


def test_opening_reports_a_server_that_says_no() -> None:
    world = World.make(PoolConfig(min_size=2))
    warm = world.open()
    world.finish(next(iter(world.steps)), InvalidPassword("password authentication failed"))
    refused(world, warm, InvalidPassword, "authentication failed")
    assert world.machine.status(world.now).requests_errors == 0  # nobody asked for a session


def test_opening_outlasts_a_server_that_is_away_until_its_time_is_up() -> None:
    world = World.make(PoolConfig(min_size=1, longest_delay=0.1))
    warm = world.open(timeout=5.0)
    while world.now < 4.5:
        fail_all(world, REFUSED)
        assert not world.refusals
        wait_for_retry(world)
    world.pass_time(5.0 - world.now)
    refused(world, warm, PoolTimeout, "within 5 s.*Connection refused")
    world.abandon(warm)
    world.check()


def test_who_waits_for_min_size_may_stop() -> None:
    world = World.make(PoolConfig(min_size=1))
    world.abandon(world.open())
    world.run()
    world.check()
    assert states(world) == [SlotState.IDLE]


def test_a_closed_pool_cannot_be_opened() -> None:
    world = World.make(PoolConfig())
    world.machine.close(0.0)
    world.settle()
    assert is_closed(world)
    with pytest.raises(PoolClosed):
        world.open()


def test_one_session_for_each_who_waits_up_to_max_size() -> None:
    world = make(PoolConfig(max_size=4))
    for expected in (1, 2, 3, 4, 4, 4):
        world.acquire()
        assert opening(world) == expected
    world.run()
    assert len(world.holding) == 4
    assert len(world.waiting) == 2


def test_no_more_are_opened_at_once_than_may() -> None:
    world = make(PoolConfig(max_size=10, max_connecting=3))
    for _ in range(10):
        world.acquire()
        assert opening(world) <= 3
    while world.steps:
        world.finish(next(iter(world.steps)))
        assert opening(world) <= 3
    assert len(world.holding) == 10


def test_max_size_counts_what_is_still_being_closed() -> None:
    world = pool_with(2, PoolConfig(max_size=2))
    first, second = world.acquire(), world.acquire()
    for slot in world.records:
        world.lose(slot, LOST)
    world.release(first)
    world.release(second)
    third = world.acquire()
    assert states(world) == [SlotState.CLOSING, SlotState.CLOSING]
    assert opening(world) == 0
    world.finish(next(iter(world.steps)))
    assert opening(world) == 1
    world.run()
    assert served(third)


def test_failures_of_one_moment_count_once_and_close_the_door() -> None:
    world = make(PoolConfig(max_size=8, first_delay=1.0, longest_delay=60.0))
    for _ in range(8):
        world.acquire()
    fail_all(world, REFUSED)
    assert not world.steps
    assert world.machine._opener.failures == 1
    assert world.machine.status(world.now).retry_in == pytest.approx(0.75)  # half of it, and chance


def test_a_single_prober_finds_out_whether_the_server_is_back() -> None:
    world = make(PoolConfig(max_size=8, acquire_timeout=None, connect_timeout=None))
    for _ in range(8):
        world.acquire()
    fail_all(world, REFUSED)
    delays: list[float] = []
    for _ in range(8):
        assert not world.steps
        delays.append(world.wake - world.now)
        world.pass_time(delays[-1])
        assert opening(world) == 1
        fail_all(world, REFUSED)
    assert delays == pytest.approx([0.075, 0.125, 0.225, 0.425, 0.775, 0.775, 0.775, 0.775])


def test_the_door_opens_slowly() -> None:
    world = make(PoolConfig(max_size=16, acquire_timeout=None))
    for _ in range(16):
        world.acquire()
    fail_all(world, REFUSED)
    wait_for_retry(world)
    rounds: list[int] = []
    while world.waiting:
        under_way = list(world.steps)
        rounds.append(len(under_way))
        for slot in under_way:
            world.finish(slot)
            world.check()
    assert rounds == [1, 2, 4, 8, 1]


def test_an_attempt_from_before_the_failure_says_nothing_new() -> None:
    world = make(PoolConfig(max_size=3, acquire_timeout=None))
    for _ in range(3):
        world.acquire()
    slots = list(world.steps)
    world.finish(slots[0], REFUSED)
    world.finish(slots[1])  # had its answer before the server went away
    assert world.machine._opener.failures == 1
    assert len(world.holding) == 1
    wait_for_retry(world)
    assert opening(world) == 2  # the third of old, and the prober


@pytest.mark.parametrize(
    "error", [REFUSED, TimeoutError(), CannotConnectNow("starting up"), TooManyConnections("full")]
)
def test_a_server_that_may_come_back_is_waited_for(error: BaseException) -> None:
    world = make()
    turn = world.acquire()
    world.finish(next(iter(world.steps)), error)
    assert turn in world.waiting
    wait_for_retry(world)
    world.run()
    assert served(turn)
    assert world.machine.status(world.now).last_error is None


@pytest.mark.parametrize(
    "error", [InvalidPassword("no"), InvalidCatalogName("no"), AuthenticationError("no")]
)
def test_all_are_told_when_the_server_says_no(error: BaseException) -> None:
    world = make(PoolConfig(max_size=1))
    for _ in range(3):
        world.acquire()
    world.finish(next(iter(world.steps)), error)
    assert [str(refusal) for refusal in world.refusals] == [str(error)] * 3
    assert {type(refusal) for refusal in world.refusals} == {type(error)}
    assert len({id(refusal) for refusal in world.refusals}) == 3  # each raises its own
    assert not world.waiting


def test_a_server_that_says_no_to_new_sessions_only_does_not_bother_who_waits_for_old_ones() -> None:
    world = pool_with(1, PoolConfig(max_size=2))
    holder, waiter = world.acquire(), world.acquire()
    world.finish(next(iter(world.steps)), InvalidPassword("no"))
    assert not world.refusals
    world.release(holder)
    assert served(waiter)


def test_connecting_has_its_time() -> None:
    world = make(PoolConfig(connect_timeout=5.0))
    turn = world.acquire()
    forget(world)
    world.pass_time(5.0)
    (close,) = closes(world)
    assert not close.graceful
    assert turn in world.waiting
    world.check()
    assert world.machine.status(world.now).last_error == "TimeoutError: connecting took too long"
    world.run()  # its socket is closed
    assert not world.records


def test_a_session_that_opens_and_is_not_sound_is_closed() -> None:
    world = make()
    turn = world.acquire()
    world.finish(next(iter(world.steps)), None, LOST)
    assert states(world) == [SlotState.CLOSING]
    assert turn in world.waiting
    world.run()
    wait_for_retry(world)
    world.run()
    assert served(turn)


def test_a_server_that_accepts_sessions_and_disowns_them_is_not_stormed() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    attempts = 0
    while world.now < 10.0:
        turn = world.acquire()
        while not served(turn):
            world.run()
            if not served(turn):
                wait_for_retry(world)
                attempts += 1
        world.release(turn, Report(error=ReadOnlySqlTransaction("cannot execute INSERT")))
    assert attempts < 10.0 / 0.05


def test_a_late_answer_of_what_was_cut_off_is_ignored() -> None:
    world = make(PoolConfig(connect_timeout=5.0))
    world.acquire()
    (step,) = world.steps.values()
    world.pass_time(5.0)
    world.machine.finished(step, world.now)
    world.settle()
    world.check()
    assert states(world) == [SlotState.CLOSING]
