"""What the next holder finds depends on nothing that the last one did."""

from __future__ import annotations

import pytest

from pgproto._pool import CLEAN, LOST, Close, PoolConfig, Recycle, Report, SlotState
from pgproto._pool._recycling import forgets_settings, reset_sql
from pgproto.errors import (
    AdminShutdown,
    ConnectionLost,
    LocalProtocolError,
    QueryTimeout,
    ReadOnlySqlTransaction,
    RemoteProtocolError,
    TLSError,
    UniqueViolation,
)
from tests.core.pool.helpers import (
    closes,
    forget,
    make,
    pool_with,
    resets,
    served,
    slot_of,
    states,
    wait_for_retry,
)

IN_TRANSACTION = Report("T")
FAILED = Report("E")
CHANGED = Report(changed=True)
FORGET = (
    "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; "
    "SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
)


@pytest.mark.parametrize(
    ("recycle", "report", "sql"),
    [
        ("fast", CLEAN, None),
        ("fast", IN_TRANSACTION, "ROLLBACK"),
        ("fast", FAILED, "ROLLBACK"),
        ("fast", CHANGED, FORGET),
        ("fast", Report("E", changed=True), "ROLLBACK; " + FORGET),
        ("verified", CLEAN, ""),
        ("verified", IN_TRANSACTION, "ROLLBACK"),
        ("verified", CHANGED, FORGET),
        ("clean", CLEAN, FORGET),
        ("clean", IN_TRANSACTION, "ROLLBACK; " + FORGET),
    ],
)
def test_what_each_method_does(recycle: Recycle, report: Report, sql: str | None) -> None:
    config = PoolConfig(recycle=recycle)
    assert reset_sql(config, report) == sql
    assert forgets_settings(config, report) == (sql is not None and FORGET in sql)


@pytest.mark.parametrize("recycle", ["fast", "verified", "clean"])
@pytest.mark.parametrize(
    ("report", "sql"), [(CLEAN, "reset role"), (FAILED, "ROLLBACK; reset role"), (CHANGED, "reset role")]
)
def test_ones_own_sql_takes_the_place_of_the_method(recycle: Recycle, report: Report, sql: str) -> None:
    config = PoolConfig(recycle=recycle, reset="reset role")
    assert reset_sql(config, report) == sql
    assert not forgets_settings(config, report)


@pytest.mark.parametrize("report", [IN_TRANSACTION, FAILED, CHANGED])
def test_the_reset_comes_before_the_next_holder(report: Report) -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    holder, waiter = world.acquire(), world.acquire()
    world.release(holder, report)
    assert states(world) == [SlotState.RESETTING]
    assert not served(waiter)
    world.run()
    assert served(waiter)
    assert len(resets(world)) == 1


def test_a_clean_session_needs_no_reset() -> None:
    world = pool_with(1)
    world.release(world.acquire())
    assert not resets(world)
    assert states(world) == [SlotState.IDLE]


@pytest.mark.parametrize("recycle", ["verified", "clean"])
def test_other_methods_take_a_round_trip_each_time(recycle: Recycle) -> None:
    world = make(PoolConfig(recycle=recycle))
    turn = world.acquire()
    world.run()
    world.release(turn)
    assert states(world) == [SlotState.RESETTING]
    world.run()
    assert states(world) == [SlotState.IDLE]


def test_a_reset_that_fails_costs_the_session() -> None:
    world = pool_with(1)
    turn = world.acquire()
    slot = slot_of(turn)
    world.release(turn, IN_TRANSACTION)
    world.finish(slot, UniqueViolation("deferred"))
    assert [close.graceful for close in closes(world)] == [True]
    assert world.machine.status(world.now).resets_errors == 1


def test_a_reset_that_leaves_a_transaction_open_costs_the_session() -> None:
    world = pool_with(1)
    turn = world.acquire()
    slot = slot_of(turn)
    world.release(turn, IN_TRANSACTION)
    world.finish(slot, None, FAILED)
    assert states(world) == [SlotState.CLOSING]


def test_a_reset_that_takes_too_long_costs_the_session() -> None:
    world = pool_with(1, PoolConfig(reset_timeout=5.0))
    turn = world.acquire()
    world.release(turn, IN_TRANSACTION)
    world.pass_time(5.0)
    assert [close.graceful for close in closes(world)] == [False]
    world.check()


@pytest.mark.parametrize(
    "report",
    [
        LOST,
        Report(busy=True),
        Report(status=""),
        Report(error=QueryTimeout("5 s")),
        Report(error=RemoteProtocolError("what?")),
        Report(error=TLSError("bad record")),
        Report(error=ConnectionLost()),
        Report(error=OSError("reset")),
    ],
)
def test_a_session_that_is_not_sound_is_closed_at_once(report: Report) -> None:
    world = pool_with(1)
    world.release(world.acquire(), report)
    assert [close.graceful for close in closes(world)] == [False]
    status = world.machine.status(world.now)
    assert (status.returns_num - 1, status.returns_bad) == (1, 1)


@pytest.mark.parametrize(
    "error", [UniqueViolation("duplicate"), ValueError("the caller's own"), LocalProtocolError("no"), None]
)
def test_other_errors_leave_a_session_as_it_was(error: BaseException | None) -> None:
    world = pool_with(1)
    world.release(world.acquire(), Report(error=error))
    assert states(world) == [SlotState.IDLE]
    assert world.machine.status(world.now).returns_bad == 0


@pytest.mark.parametrize(
    "report", [Report(closed=True, error=AdminShutdown("bye")), Report(error=ReadOnlySqlTransaction("no"))]
)
def test_a_server_that_goes_takes_all_its_sessions_along(report: Report) -> None:
    world = pool_with(3)
    turn, other = world.acquire(), world.acquire()
    world.release(turn, report)
    assert states(world).count(SlotState.CLOSING) == 2
    world.release(other)
    assert states(world).count(SlotState.CLOSING) == 3
    assert world.machine.status(world.now).generation == 1


def test_contemporaries_that_report_the_same_do_not_harm_the_next_generation() -> None:
    world = pool_with(2)
    old, older = world.acquire(), world.acquire()
    world.release(old, Report(closed=True, error=AdminShutdown("bye")))
    new = world.acquire()
    wait_for_retry(world)
    world.run()
    world.release(new)
    world.release(older, Report(closed=True, error=AdminShutdown("bye")))
    assert SlotState.IDLE in states(world)
    assert world.machine.status(world.now).generation == 1


def test_attempts_to_connect_to_a_server_that_went_are_given_up() -> None:
    world = pool_with(1, PoolConfig(max_size=3))
    turn, waiter = world.acquire(), world.acquire()
    forget(world)
    world.release(turn, Report(error=ReadOnlySqlTransaction("no")))
    assert sorted(close.graceful for close in closes(world)) == [False, True]
    world.check()
    world.run()
    wait_for_retry(world)
    world.run()
    assert served(waiter)
    assert slot_of(waiter).generation == 1


def test_a_lost_idle_session_is_noticed_by_its_watcher() -> None:
    world = pool_with(2, PoolConfig(min_size=2))
    slot = next(iter(world.records))
    world.lose(slot, LOST)
    assert isinstance(world.steps[slot], Close)
    assert world.machine.status(world.now).connections_lost == 1
    world.lose(slot, LOST)  # twice does no harm
    world.run()
    world.machine.session_lost(slot, world.now)  # nor does it late
    world.check()
    assert states(world) == [SlotState.IDLE] * 2


def test_a_session_that_is_lost_while_it_is_out_is_closed_when_it_comes_back() -> None:
    world = pool_with(1)
    turn = world.acquire()
    assert served(turn)
    world.lose(slot_of(turn), LOST)
    assert turn in world.holding
    world.release(turn)
    assert [close.graceful for close in closes(world)] == [False]


def test_a_session_that_is_lost_during_its_reset_is_not_lent() -> None:
    world = pool_with(1)
    turn = world.acquire()
    slot = slot_of(turn)
    world.release(turn, IN_TRANSACTION)
    world.lose(slot, LOST)
    world.finish(slot)
    assert states(world) == [SlotState.CLOSING]
