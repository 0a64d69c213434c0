"""Long random walks through larger pools; hypothesis shortens the way to whatever goes wrong."""

from __future__ import annotations

import contextlib
import random
from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgproto._pool import CLEAN, LOST, Close, Hook, Open, PoolConfig, Report, SlotState, Step
from pgproto.errors import (
    AdminShutdown,
    AuthenticationError,
    LocalProtocolError,
    PoolClosed,
    PoolTimeout,
    QueryTimeout,
    ReadOnlySqlTransaction,
    UniqueViolation,
)
from tests.core.pool.explorer import all_goes_well
from tests.core.pool.interrupted import interrupt, start_over
from tests.core.pool.people import FATAL, Record, Turn
from tests.core.pool.world import World

REPORTS = (
    CLEAN,
    CLEAN,
    Report("T"),
    Report("E", changed=True),
    Report(changed=True),
    Report(busy=True),
    LOST,
    Report(error=QueryTimeout("late")),
    Report(error=UniqueViolation("duplicate")),
)
FAILURES = (OSError("refused"), AuthenticationError("no"), AdminShutdown("bye"), ZeroDivisionError("a bug"))
DURATIONS = st.sampled_from([None, 0.5, 2.0, 7.0]) | st.floats(0.1, 50.0)


@st.composite
def configs(draw: st.DrawFn) -> PoolConfig:
    max_size = draw(st.integers(1, 6))
    return PoolConfig(
        max_size=max_size,
        min_size=draw(st.integers(0, max_size)),
        acquire_timeout=draw(DURATIONS),
        max_waiting=draw(st.none() | st.integers(0, 5)),
        max_lifetime=draw(DURATIONS),
        max_idle=draw(DURATIONS),
        connect_timeout=draw(DURATIONS),
        multiplex=draw(st.sampled_from([1, 1, 2, 3])),
        recycle=draw(st.sampled_from(["fast", "verified", "clean"])),
        leak_after=draw(DURATIONS),
        hooks=frozenset(draw(st.sets(st.sampled_from(list(Hook))))),
        check_after=draw(DURATIONS),
        max_connecting=draw(st.integers(1, 6)),
        jitter=draw(st.sampled_from([0.0, 0.1, 0.9])),
        shed_target=draw(st.none() | st.just(0.3)),
    )


class Walk(RuleBasedStateMachine):
    """The rules are what callers and the world can do; `World` is the model, and knows what must hold."""

    world: World
    ended: list[Turn]
    overtaken: list[Step[Record]]

    @initialize(config=configs(), seed=st.integers(0, 2**32))
    def start(self, config: PoolConfig, seed: int) -> None:
        self.world = World.make(config, random.Random(seed).random)
        self.ended = []
        self.overtaken = []
        self.world.open()

    @invariant()
    def everything_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    # --- Callers

    @rule(shared=st.booleans(), timeout=st.sampled_from([None, None, 0.0, 0.2, 3.0, inf]))
    def acquire(self, shared: bool, timeout: float | None) -> None:
        expected = PoolClosed if self.world.machine.status(self.world.now).closed else PoolTimeout
        with contextlib.suppress(expected):
            self.world.acquire(shared=shared, timeout=timeout)

    @precondition(lambda self: self.world.waiting)
    @rule(data=st.data())
    def give_up_waiting(self, data: st.DataObject) -> None:
        self.give_up(data.draw(st.sampled_from(self.world.waiting)))

    @precondition(lambda self: self.world.holding)
    @rule(data=st.data(), report=st.sampled_from(REPORTS[:5]))
    def release_in_a_fair_state(self, data: st.DataObject, report: Report) -> None:
        self.give_back(data.draw(st.sampled_from(list(self.world.holding))), report)

    @precondition(lambda self: self.world.holding)
    @rule(data=st.data())
    def give_up_too_late(self, data: st.DataObject) -> None:
        self.give_up(data.draw(st.sampled_from(list(self.world.holding))))

    def give_up(self, turn: Turn) -> None:
        self.world.abandon(turn)
        self.ended.append(turn)

    @precondition(lambda self: self.world.holding)
    @rule(data=st.data(), report=st.sampled_from((*REPORTS, FATAL, Report(error=ReadOnlySqlTransaction("")))))
    def release(self, data: st.DataObject, report: Report) -> None:
        self.give_back(data.draw(st.sampled_from(list(self.world.holding))), report)

    def give_back(self, turn: Turn, report: Report) -> None:
        if isinstance(report.error, ReadOnlySqlTransaction):
            assert turn.slot is not None
            if turn.slot.generation == self.world.machine._generation:
                self.world.retire_all()
        self.world.release(turn, report)
        self.ended.append(turn)

    @precondition(lambda self: self.world.holding)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        self.world.put_back(data.draw(st.sampled_from(list(self.world.holding))))

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def use_what_was_returned(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(self.ended))
        with pytest.raises(LocalProtocolError):
            self.world.machine.release(turn, self.world.now)
        self.world.machine.abandon(turn, self.world.now)

    # --- The world

    @precondition(lambda self: self.world.steps)
    @rule(data=st.data(), late=st.booleans())
    def step_succeeds(self, data: st.DataObject, late: bool) -> None:
        slot = data.draw(st.sampled_from(list(self.world.steps)))
        if late:
            self.overtaken.append(self.world.steps[slot])
        self.world.finish(slot)

    @precondition(lambda self: self.world.steps)
    @rule()
    def all_steps_succeed(self) -> None:
        self.world.run()

    @precondition(lambda self: self.world.steps)
    @rule(data=st.data(), error=st.sampled_from(FAILURES))
    def step_fails(self, data: st.DataObject, error: BaseException) -> None:
        slot = data.draw(st.sampled_from(list(self.world.steps)))
        step = self.world.steps[slot]
        # What comes up while connecting says nothing about sessions that are open already.
        if isinstance(error, AdminShutdown) and slot.state in (SlotState.PREPARING, SlotState.RESETTING):
            if slot.generation == self.world.machine._generation:
                self.world.retire_all()
        elif isinstance(error, AdminShutdown) and not isinstance(step, Open | Close):
            error = FAILURES[0]
        self.world.finish(slot, error)

    @precondition(lambda self: self.overtaken)
    @rule(data=st.data())
    def step_answers_again(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(self.overtaken))
        self.world.machine.finished(step, self.world.now, OSError("too late"))
        self.world.settle()

    @rule(line=st.integers(1, 80), seldom=st.integers(0, 9))
    def interrupted(self, line: int, seldom: int) -> None:
        if seldom:
            return
        with contextlib.suppress(PoolTimeout, PoolClosed):
            interrupt(self.world.acquire, line)
        start_over(self.world)

    @precondition(lambda self: self.world.records)
    @rule(data=st.data(), report=st.sampled_from([LOST, FATAL]))
    def lose(self, data: st.DataObject, report: Report) -> None:
        slots = [slot for slot in self.world.records if slot.state is not SlotState.CLOSING]
        if slots:
            self.world.lose(data.draw(st.sampled_from(slots)), report)

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 2.0]) | st.floats(0.0, 60.0))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(seconds=st.floats(0.0, 1.0))
    def the_timer_is_late(self, seconds: float) -> None:
        self.world.pass_time(seconds, late=True)

    @precondition(lambda self: self.world.wake < inf)
    @rule()
    def the_timer_rings(self) -> None:
        self.world.pass_time(max(0.0, self.world.wake - self.world.now))

    # --- The pool

    @rule(
        what=st.sampled_from(["resize", "drain", "expire", "expire", "warm up", "close"]),
        least=st.integers(0, 6),
        more=st.integers(0, 6),
    )
    def upheaval(self, what: str, least: int, more: int) -> None:
        world, machine = self.world, self.world.machine
        match what:
            case "resize":
                machine.resize(world.now, least, max(1, least + more))
            case "drain":
                world.retire_all()
                machine.drain(world.now)
            case "expire":
                machine.expire(world.now, 2.0 * least)
            case "warm up":
                with contextlib.suppress(PoolClosed):
                    world.open()
            case _ if world.now > 50:
                machine.close(world.now, 5.0 * least)
            case _:
                pass
        world.settle()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            all_goes_well(self.world)


TestWalk = Walk.TestCase
