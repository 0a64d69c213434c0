"""A world for the pool machine: callers, sessions and a clock, and what must be true of them at any time.

The world carries out the machine's actions as a transport would, but lets a test decide when a step is done
and how it went. It keeps its own record of each session, from nothing but what it did to it itself, so it
does not take the machine's word for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from pgproto._pool import (
    CLEAN,
    Action,
    Check,
    CheckedPoolMachine,
    Close,
    Closed,
    Grant,
    Hook,
    Open,
    PoolConfig,
    Refuse,
    Report,
    ReportLeak,
    Reset,
    RunHook,
    Slot,
    SlotState,
    Step,
    Ticket,
    TicketKind,
    TicketState,
    WakeAt,
)
from pgproto._pool._ledger import Phase
from pgproto.errors import AdminShutdown, PoolClosed, PoolTimeout, QueryTimeout
from tests.core.pool.people import JOINED, Machine, Person, Record, Turn, highest, is_forced, is_hook
from tests.core.pool.places import check_places

__all__ = ["World"]


@dataclass(slots=True, eq=False)
class World:
    """A pool, who uses it, and the clock."""

    machine: Machine
    now: float = 0.0
    wake: float = inf
    waiting: list[Turn] = field(default_factory=list[Turn])
    """Who waits, in the order of arrival."""
    holding: dict[Turn, Slot[Record]] = field(default_factory=dict[Turn, Slot[Record]])
    """Who has a session, and where."""
    warming: list[Turn] = field(default_factory=list[Turn])
    steps: dict[Slot[Record], Step[Record]] = field(default_factory=dict[Slot[Record], Step[Record]])
    """What is under way."""
    records: dict[Slot[Record], Record] = field(default_factory=dict[Slot[Record], Record])
    closed: bool = False
    refusals: list[BaseException] = field(default_factory=list[BaseException])
    leaks: list[Turn] = field(default_factory=list[Turn])
    log: list[Action[Record, Person]] | None = None
    """All actions so far, if somebody wants them."""

    @staticmethod
    def make(config: PoolConfig, random: Callable[[], float] = highest, *, log: bool = False) -> World:
        """A world with a new pool."""
        return World(CheckedPoolMachine(config, random), log=[] if log else None)

    # --- What a transport does ---------------------------------------------------------------------------

    def settle(self) -> None:
        """Carry out what the machine asks for; steps begin, and stay under way."""
        for action in self.machine.actions():
            if self.log is not None:
                self.log.append(action)
            self.carry_out(action)
        for ticket, slot in list(self.holding.items()):
            if ticket.note is JOINED and slot.state is not SlotState.LEASED:
                ticket.state = TicketState.REVOKED
            if ticket.state in (TicketState.REVOKED, TicketState.LOST):
                assert is_forced(self.steps.get(slot)), "taken away, and left open"
                del self.holding[ticket]
                self.records[slot].lent_to -= 1

    def carry_out(self, action: Action[Record, Person]) -> None:
        match action:
            case Open() | Check() | Reset() | RunHook() | Close():
                self._begin(action)
            case Grant(ticket):
                self._granted(ticket)
            case Refuse(ticket, error):
                self._refused(ticket, error)
            case ReportLeak(ticket):
                self.leaks.append(ticket)
            case WakeAt(time):
                self.wake = time
            case Closed():
                self.closed = True

    def _begin(self, step: Step[Record]) -> None:
        slot = step.slot
        if slot in self.steps:
            assert isinstance(step, Close), "two steps at a time on one slot"
            assert not step.graceful, "a polite goodbye in the middle of something"
        record = self.records.get(slot)
        if record is None:
            assert isinstance(step, Open) or is_hook(step, Hook.BEFORE_CONNECT)
            record = self.records[slot] = Record()
            assert len(self.records) <= self.machine._max_size, "more connections than max_size"
        if isinstance(step, Open):
            assert record.born is None, "connects twice"
        if not is_forced(step):
            assert record.lent_to == 0, "works on a session that somebody has"
        self.steps[slot] = step

    def _granted(self, ticket: Turn) -> None:
        if ticket.kind is TicketKind.WARM_UP:
            self.warming.remove(ticket)
            assert self.machine.status(self.now).size >= self.machine._min_size
            return
        assert ticket is self.waiting[0], "somebody was overtaken"
        del self.waiting[0]
        self._lent(ticket)

    def _lent(self, ticket: Turn) -> None:
        assert ticket.state is TicketState.LEASED
        slot = ticket.slot
        assert slot is not None
        record = self.records[slot]
        assert ticket.session is record, "not the slot's own session"
        self._fit_for_use(slot, record)
        exclusive = ticket.kind is TicketKind.EXCLUSIVE
        if record.lent_to:
            assert not exclusive, "lent while others have it"
            assert not record.exclusive, "joined somebody's own session"
        record.lent_to += 1
        record.exclusive = exclusive
        most = 1 if exclusive else self.machine._config.multiplex
        assert record.lent_to <= most, "too many on one session"
        self.holding[ticket] = slot

    def _refused(self, ticket: Turn, error: BaseException) -> None:
        assert ticket.state is TicketState.ENDED
        (self.warming if ticket.kind is TicketKind.WARM_UP else self.waiting).remove(ticket)
        if isinstance(error, PoolTimeout) and "overloaded" not in str(error):
            assert ticket.deadline <= self.now, "refused before its time"
        self.refusals.append(error)

    def _fit_for_use(self, slot: Slot[Record], record: Record) -> None:
        assert record.born is not None, "there is no session"
        assert slot not in self.steps, "busy with something"
        assert not record.unfit, f"not fit for use: {record.unfit}"
        assert not record.transaction, "a transaction is open"
        assert not record.changed, "settings were left behind"
        lifetime = self.machine._config.max_lifetime
        assert lifetime is None or self.now < record.born + lifetime, "too old"

    # --- What callers do ---------------------------------------------------------------------------------

    def open(self, timeout: float | None = None) -> Turn:
        ticket = self.machine.open(self.now, timeout)
        self.warming.append(ticket)
        self.settle()
        return ticket

    def acquire(self, *, shared: bool = False, timeout: float | None = None) -> Turn:
        """One more caller, who gets a session at once, or waits. May raise as the machine does."""
        if shared and (slot := self.machine.join(self.now)) is not None:
            return self._joined(slot)
        try:
            ticket = self.machine.acquire(self.now, timeout, shared=shared)
        except (PoolTimeout, PoolClosed):
            self.settle()
            raise
        if ticket.slot is not None:
            self.settle()  # an overloaded pool refuses others first
            assert not self.waiting, "somebody was overtaken"
            self._lent(ticket)
        else:
            ticket.waiter = Person()
            self.waiting.append(ticket)
        self.settle()
        return ticket

    def _joined(self, slot: Slot[Record]) -> Turn:
        assert not self.waiting, "somebody was overtaken"
        turn: Turn = Ticket(TicketKind.SHARED, self.now, inf)
        turn.state, turn.slot, turn.note = TicketState.LEASED, slot, JOINED
        self._lent(turn)
        self.settle()
        return turn

    def release(self, ticket: Turn, report: Report = CLEAN) -> None:
        slot, machine, since = self._comes_back(ticket, report), self.machine, ticket.leased_at
        if ticket.note is JOINED:
            if report is not CLEAN or not machine.leave_others(slot, since, self.now):
                machine.leave(slot, since, self.now, report)
            ticket.state, ticket.slot = TicketState.ENDED, None
        else:
            machine.release(ticket, self.now, report)
        self.settle()

    def release_late(self, ticket: Turn) -> None:
        """The caller whose session was taken away by force has noticed, and leaves."""
        assert ticket.note is JOINED
        assert ticket.slot is not None
        assert not self.machine.leave_others(ticket.slot, ticket.leased_at, self.now)
        self.machine.leave(ticket.slot, ticket.leased_at, self.now)
        self.settle()
        self.check()

    def abandon(self, ticket: Turn) -> None:
        if ticket.note is JOINED:
            if ticket in self.holding:
                self.release(ticket)
            return
        if ticket in self.holding:
            self._comes_back(ticket, CLEAN)
        elif ticket in self.waiting:
            self.waiting.remove(ticket)
        elif ticket in self.warming:
            self.warming.remove(ticket)
        self.machine.abandon(ticket, self.now)
        assert ticket.state is TicketState.ENDED
        self.settle()

    def put_back(self, ticket: Turn) -> Turn | None:
        """The session was dead when the caller got it; returns the turn for another, if it gets one."""
        slot = self._comes_back(ticket, Report(closed=True))
        if ticket.note is JOINED:
            self.machine.reject(slot, self.now)
            ticket.state, ticket.slot = TicketState.ENDED, None
            self.settle()
            with suppress(PoolTimeout, PoolClosed):
                return self.acquire(shared=True)
            return None
        earlier = [other for other in self.waiting if other.asked_at < ticket.asked_at]
        self.machine.put_back(ticket, self.now)
        self.waiting.insert(len(earlier), ticket)
        self.settle()
        return ticket

    def _comes_back(self, ticket: Turn, report: Report) -> Slot[Record]:
        slot = self.holding.pop(ticket)
        assert ticket.slot is slot
        record = self.records[slot]
        record.lent_to -= 1
        record.transaction |= report.status != "I"
        record.changed |= report.changed
        self._learn(slot, report)
        if report.busy and not record.lent_to:
            record.unfit = record.unfit or "requests outstanding"
        if record.transaction and record.lent_to:
            record.unfit = record.unfit or "a transaction around others' requests"
        return slot

    def _learn(self, slot: Slot[Record], report: Report) -> None:
        if report.closed:
            self.records[slot].unfit = "closed"
        elif isinstance(report.error, QueryTimeout):
            self.records[slot].unfit = "a request timed out"
        if isinstance(report.error, AdminShutdown) and slot.generation == self.machine._generation:
            self.retire_all()

    def retire_all(self) -> None:
        """No session that exists now, or is being opened, may be lent again."""
        for record in self.records.values():
            record.unfit = record.unfit or "of an older generation"

    # --- What befalls sessions ---------------------------------------------------------------------------

    def finish(self, slot: Slot[Record], error: BaseException | None = None, report: Report = CLEAN) -> None:
        """What is under way on a slot is done."""
        step = self.steps.pop(slot)
        record = self.records[slot]
        connecting = isinstance(step, Open) or is_hook(step, Hook.BEFORE_CONNECT)
        if isinstance(step, Close) or (error is not None and connecting):
            del self.records[slot]
        elif isinstance(step, Open):
            record.born = self.now
            slot.session = record
        elif error is None and is_hook(step, Hook.AFTER_CONNECT) and slot.state is SlotState.OPENING:
            record.born = self.now  # a session's life begins when it can be used
        elif isinstance(step, Reset) and error is None:
            record.transaction = False
            record.changed = record.changed and not step.forgets_settings
        elif error is not None and not is_hook(step, Hook.BEFORE_CLOSE):
            record.unfit = "something failed on it"
        self.machine.finished(step, self.now, error, report)
        self.settle()

    def lose(self, slot: Slot[Record], report: Report) -> None:
        """The session's socket ends, and its owner sees it."""
        if self.records[slot].born is not None:
            self._learn(slot, report)
        self.machine.session_lost(slot, self.now, report)
        self.settle()

    def pass_time(self, seconds: float, *, late: bool = False) -> None:
        """Let time go by; the timer rings when it has to, unless it is late."""
        self.now += seconds
        if not late:
            self.ring()

    def ring(self) -> None:
        if self.wake <= self.now:
            self.wake = inf
            self.machine.tick(self.now)
            self.settle()
            assert self.wake > self.now, "rings for ever"

    def run(self) -> None:
        """Let everything that is under way succeed, and what follows from it."""
        while self.steps:
            self.finish(next(iter(self.steps)))

    # --- What must be true ---------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything that has to hold between two events."""
        machine = self.machine
        self.check_accounts()
        self._check_status()
        self._check_queue()
        assert machine._next_time(self.now) >= self.wake or self.wake <= self.now, "a timer is missing"
        for slot in machine._idle:
            self._fit_for_use_later(slot)
        if machine._phase is Phase.CLOSING:
            assert not self.waiting
            assert not self.warming
            assert machine._slots, "closed, and nobody was told"
            if self.now >= machine._close_by and self.wake > self.now:
                assert all(is_forced(self.steps.get(slot)) for slot in machine._slots)
        assert self.closed == (machine._phase is Phase.CLOSED)
        if self.closed:
            assert not self.records
            assert not self.holding

    def check_accounts(self) -> None:
        """What machine and world each keep account of for themselves agrees."""
        machine, steps, records, counts = self.machine, self.steps, self.records, [0] * len(SlotState)
        assert machine._slots.keys() == records.keys(), "slots are not what there is"
        for slot in machine._slots:
            state, step = slot.state, slot.step
            counts[state] += 1
            assert step is steps.get(slot)
            assert slot.holders == records[slot].lent_to
            assert (state is SlotState.LEASED) == (slot.holders > 0)
            assert (state is SlotState.IDLE or state is SlotState.LEASED) == (step is None)
            assert slot.listed == (slot in machine._ring)
        assert machine._counts[: SlotState.GONE] == counts[: SlotState.GONE]
        assert machine._leases == {turn: s for turn, s in self.holding.items() if turn.note is not JOINED}
        assert machine._is_crowded() == (len(self.holding) > counts[SlotState.LEASED])
        assert len({*machine._idle}) == len(machine._idle) == counts[SlotState.IDLE]
        assert all(turn.slot is s and turn.state is TicketState.LEASED for turn, s in self.holding.items())
        assert all(turn.slot is None and turn.state is TicketState.WAITING for turn in self.waiting)
        assert [list(machine._waiting), machine._warm_ups] == [self.waiting, self.warming]
        check_places(machine)

    def _check_status(self) -> None:
        status, states = self.machine.status(self.now), [slot.state for slot in self.machine._slots]
        parts = (status.idle, status.in_use, status.opening, status.resetting, status.closing)
        assert (sum(parts), status.holders) == (status.size, len(self.holding))
        sorts = (SlotState.IDLE, SlotState.LEASED, SlotState.OPENING, SlotState.RESETTING, SlotState.CLOSING)
        ready = states.count(SlotState.PREPARING)
        assert parts == tuple(states.count(s) + ready * (s is SlotState.RESETTING) for s in sorts)

    def _check_queue(self) -> None:
        machine = self.machine
        for ticket in self.waiting:
            assert ticket.deadline > self.now or self.wake <= self.now, "waits for ever"
        if machine._phase is not Phase.OPEN:
            return
        counts = machine._counts
        on_their_way = counts[SlotState.OPENING] + counts[SlotState.PREPARING]
        missing = len(self.waiting) - on_their_way
        if missing > 0:
            assert not machine._idle, "somebody waits for a session that nobody uses"
            if self.waiting[0].kind is TicketKind.SHARED:
                assert machine._find_shared(self.now) is None, "somebody waits where there is room"
        if missing > 0 or machine._present() < machine._min_size:
            full = len(machine._slots) >= machine._max_size
            may = machine._opener.may_begin(self.now, counts[SlotState.OPENING])
            assert full or not may or self.wake <= self.now, "nobody opens what is missing"
        opener = machine._opener
        if self.waiting and not self.steps and not self.holding:
            assert opener.retry_at >= self.wake or self.wake <= self.now, "nobody will try again"
        if opener.failures:
            current = [s for s in machine._slots if s.state is SlotState.OPENING and s.attempt == opener.run]
            assert len(current) <= 1, "more than one prober"

    def _fit_for_use_later(self, slot: Slot[Record]) -> None:
        record = self.records[slot]
        assert record.lent_to == 0
        if self.wake > self.now:
            self._fit_for_use(slot, record)
