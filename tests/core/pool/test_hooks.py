"""The application's own functions run in their place, and none of their errors wedges the pool."""

from __future__ import annotations

import pytest

from pgproto._pool import LOST, Hook, Open, PoolConfig, Report, RunHook, SlotState
from pgproto.errors import AdminShutdown, ConnectionLost, PostgresError, SyntaxErrorOrAccessRuleViolation
from tests.core.pool.helpers import (
    closes,
    hooks,
    is_closed,
    make,
    opening,
    pool_with,
    refused,
    served,
    slot_of,
    states,
)
from tests.core.pool.world import World

ALL = frozenset(Hook)
BUG = ZeroDivisionError("a bug in a hook")


def with_hooks(*which: Hook, **settings: float) -> World:
    return make(PoolConfig(hooks=frozenset(which), max_size=int(settings.pop("max_size", 2)), jitter=0.0))


def finish_hook(world: World, error: BaseException | None = None, report: Report | None = None) -> None:
    """The hook that is running ends."""
    slot = next(slot for slot, step in world.steps.items() if isinstance(step, RunHook))
    if report is None:
        world.finish(slot, error)
    else:
        world.finish(slot, error, report)
    world.check()


def test_a_life_with_all_hooks() -> None:
    world = make(PoolConfig(hooks=ALL))
    turn = world.acquire()
    world.run()
    world.release(turn, Report("T", changed=True))
    world.run()
    world.machine.close(world.now, 10.0)
    world.settle()
    world.run()
    assert is_closed(world)
    assert hooks(world) == [
        Hook.BEFORE_CONNECT,
        Hook.AFTER_CONNECT,
        Hook.BEFORE_ACQUIRE,
        Hook.AFTER_CONNECT,  # the reset took back what it had set
        Hook.AFTER_RELEASE,
        Hook.BEFORE_CLOSE,
    ]


def test_after_a_mere_rollback_the_settings_are_still_there() -> None:
    world = with_hooks(Hook.AFTER_CONNECT)
    turn = world.acquire()
    world.run()
    world.release(turn, Report("E"))
    world.run()
    assert hooks(world) == [Hook.AFTER_CONNECT]
    assert states(world) == [SlotState.IDLE]


def test_what_before_connect_returns_is_there_when_the_session_is_opened() -> None:
    world = with_hooks(Hook.BEFORE_CONNECT)
    world.acquire()
    (slot,) = world.steps
    slot.settings = {"password": "a token"}
    finish_hook(world)
    assert isinstance(world.steps[slot], Open)
    assert slot.settings == {"password": "a token"}


@pytest.mark.parametrize("hook", [Hook.BEFORE_CONNECT, Hook.AFTER_CONNECT])
@pytest.mark.parametrize("error", [BUG, SyntaxErrorOrAccessRuleViolation("in its SQL")])
def test_who_waits_is_told_that_a_hook_has_a_bug(hook: Hook, error: BaseException) -> None:
    world = with_hooks(hook)
    turn = world.acquire()
    if hook is Hook.AFTER_CONNECT:
        world.finish(next(iter(world.steps)))
    finish_hook(world, error)
    refused(world, turn, type(error), str(error))
    assert opening(world) == 0
    assert all(close.graceful for close in closes(world))
    status = world.machine.status(world.now)
    assert (status.hooks_errors, status.connections_errors) == (1, 1)
    assert status.last_error is not None
    assert isinstance(error, PostgresError) or status.last_error == "ZeroDivisionError"


def test_only_one_of_those_who_wait_is_told_by_each_failure() -> None:
    world = with_hooks(Hook.BEFORE_CONNECT, max_size=1)
    first, second = world.acquire(), world.acquire()
    finish_hook(world, BUG)
    refused(world, first, ZeroDivisionError, "bug")
    assert second in world.waiting
    world.pass_time(world.wake - world.now)
    finish_hook(world, BUG)
    refused(world, second, ZeroDivisionError, "bug")


@pytest.mark.parametrize("error", [OSError("no token"), ConnectionLost()])
def test_a_hook_that_cannot_reach_something_is_tried_again(error: BaseException) -> None:
    world = with_hooks(Hook.BEFORE_CONNECT)
    turn = world.acquire()
    finish_hook(world, error)
    assert turn in world.waiting
    world.pass_time(world.wake - world.now)
    world.run()
    assert served(turn)


def test_opening_reports_a_bug_in_a_hook() -> None:
    world = World.make(PoolConfig(min_size=1, hooks=frozenset({Hook.BEFORE_CONNECT})))
    warm = world.open()
    finish_hook(world, BUG)
    refused(world, warm, ZeroDivisionError, "bug")


def test_after_connect_must_not_leave_a_transaction_open() -> None:
    world = with_hooks(Hook.AFTER_CONNECT)
    turn = world.acquire()
    world.finish(next(iter(world.steps)))
    finish_hook(world, None, Report("T"))
    refused(world, turn, Exception, "the after_connect hook left a session behind that is not idle: .*'T'")


def test_before_acquire_runs_once_for_each_lease() -> None:
    world = with_hooks(Hook.BEFORE_ACQUIRE)
    for _ in range(2):
        turn = world.acquire()
        world.run()
        assert served(turn)
        world.release(turn)
    assert hooks(world) == [Hook.BEFORE_ACQUIRE] * 2


def test_a_bug_in_before_acquire_is_its_callers() -> None:
    world = with_hooks(Hook.BEFORE_ACQUIRE, max_size=1)
    first, second = world.acquire(), world.acquire()
    world.finish(next(iter(world.steps)))
    finish_hook(world, BUG)
    refused(world, first, ZeroDivisionError, "bug")
    world.run()
    assert served(second)


def test_a_session_that_before_acquire_finds_dead_is_replaced() -> None:
    # It may have died at any time since it was used, which is nothing to bother its next holder with.
    for error in (None, ConnectionLost(), BUG):
        world = pool_with(1, PoolConfig(hooks=frozenset({Hook.BEFORE_ACQUIRE}), max_size=1))
        turn = world.acquire()
        finish_hook(world, error, LOST)
        assert turn in world.waiting
        world.run()
        assert served(turn)
        status = world.machine.status(world.now)
        assert (status.requests_errors, status.connections_lost) == (0, 1)


def test_a_fresh_session_that_before_acquire_finds_dead_is_its_callers() -> None:
    # It may be the hook that closes them all, so this is not tried for ever.
    world = with_hooks(Hook.BEFORE_ACQUIRE)
    turn = world.acquire()
    world.finish(next(iter(world.steps)))
    finish_hook(world, None, LOST)
    refused(world, turn, ConnectionLost, "closed in the before_acquire hook")


def test_what_before_acquire_cannot_reach_is_its_callers_affair() -> None:
    world = pool_with(1, PoolConfig(hooks=frozenset({Hook.BEFORE_ACQUIRE}), max_size=1))
    turn = world.acquire()
    error = OSError("no token")
    finish_hook(world, error)
    refused(world, turn, OSError, "no token")


def test_a_session_that_is_lost_in_after_connect_is_tried_again_later() -> None:
    for error in (None, ConnectionLost()):
        world = with_hooks(Hook.AFTER_CONNECT)
        turn = world.acquire()
        world.finish(next(iter(world.steps)))
        finish_hook(world, error, LOST)
        assert turn in world.waiting
        assert opening(world) == 0
        world.pass_time(world.wake - world.now)
        world.run()
        assert served(turn)


def test_what_the_driver_saw_in_a_hook_counts_whatever_the_hook_raises() -> None:
    world = pool_with(2, PoolConfig(hooks=frozenset({Hook.AFTER_RELEASE})))
    world.release(world.acquire())
    world.retire_all()
    finish_hook(world, BUG, Report(closed=True, error=AdminShutdown("bye")))
    assert world.machine.status(world.now).generation == 1
    assert states(world) == [SlotState.CLOSING] * 2


def test_when_nobody_waits_any_more_the_prepared_session_rests() -> None:
    world = with_hooks(Hook.BEFORE_ACQUIRE)
    turn = world.acquire()
    world.finish(next(iter(world.steps)))
    world.abandon(turn)
    finish_hook(world)
    assert states(world) == [SlotState.IDLE]
    again = world.acquire()
    world.run()
    assert served(again)
    assert hooks(world) == [Hook.BEFORE_ACQUIRE] * 2


def test_a_bug_in_after_release_costs_the_session() -> None:
    world = with_hooks(Hook.AFTER_RELEASE, max_size=1)
    turn, waiter = world.acquire(), world.acquire()
    world.run()
    world.release(turn)
    finish_hook(world, BUG)
    assert states(world) == [SlotState.CLOSING]
    world.run()
    assert served(waiter)
    assert slot_of(waiter).number == 2


def test_a_bug_in_before_close_changes_nothing() -> None:
    world = with_hooks(Hook.BEFORE_CLOSE)
    turn = world.acquire()
    world.run()
    world.release(turn, Report(closed=True))
    finish_hook(world, BUG)
    assert [close.graceful for close in closes(world)] == [False]
    world.run()
    assert not world.records


def test_a_session_that_never_was_needs_no_farewell() -> None:
    world = make(PoolConfig(hooks=frozenset({Hook.AFTER_CONNECT, Hook.BEFORE_CLOSE})))
    world.acquire()
    world.finish(next(iter(world.steps)))
    finish_hook(world, BUG)
    assert hooks(world) == [Hook.AFTER_CONNECT]


@pytest.mark.parametrize("hook", list(Hook))
def test_a_hook_that_never_returns_is_cut_off(hook: Hook) -> None:
    world = make(PoolConfig(hooks=frozenset({hook}), connect_timeout=5.0, max_size=1, acquire_timeout=6.0))
    turn = world.acquire()
    if hook not in (Hook.BEFORE_CONNECT,):
        world.finish(next(iter(world.steps)))
    if hook in (Hook.AFTER_RELEASE, Hook.BEFORE_CLOSE):
        world.release(turn, Report(closed=hook is Hook.BEFORE_CLOSE))
    assert isinstance(next(iter(world.steps.values())), RunHook)
    world.pass_time(5.0)
    assert states(world) == [SlotState.CLOSING]
    assert [close.graceful for close in closes(world)] == [False]
    assert world.machine.status(world.now).hooks_errors == 1
    world.check()
    world.run()
    assert not any(slot.number == 1 for slot in world.records)


def test_a_stale_session_is_checked_before_the_hook() -> None:
    world = pool_with(1, PoolConfig(hooks=frozenset({Hook.BEFORE_ACQUIRE}), check_after=10.0))
    world.pass_time(20.0)
    turn = world.acquire()
    (slot,) = world.steps
    world.finish(slot)
    assert isinstance(world.steps[slot], RunHook)
    world.run()
    assert turn.slot is slot
