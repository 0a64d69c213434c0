"""The third floor of the pool machine: what follows when a step is done, or when a time has come."""

from __future__ import annotations

from math import inf
from typing import TypeVar, assert_never

from pgproto._pool._actions import Check, Close, Hook, Open, ReportLeak, Reset, RunHook, Step
from pgproto._pool._engine import Engine
from pgproto._pool._ledger import Phase
from pgproto._pool._recycling import Report, forgets_settings, reset_sql
from pgproto._pool._slots import Slot, SlotState, TicketKind, TicketState
from pgproto.errors import ConnectionLost, Error, LocalProtocolError

__all__ = ["Upkeep"]

S = TypeVar("S")
W = TypeVar("W")


class Upkeep(Engine[S, W]):
    """Leads each session from step to step, and lets none outlive its time."""

    __slots__ = ()

    # --- A session comes back ----------------------------------------------------------------------------

    def _take_back(self, slot: Slot[S], report: Report, now: float) -> None:
        """Nobody has the session any more: make it ready for the next, or close it."""
        self._weigh_report(slot, report, now)
        if report.busy:
            slot.spoil(broken=True)
        if slot.broken:
            self._counters.returns_bad += 1
        if not self._fit(slot, now):
            self._retire(slot, now)
            return
        sql = reset_sql(self._config, report)
        if sql is None:
            self._finish_recycling(slot, now)
            return
        self._move(slot, SlotState.RESETTING)
        self._counters.resets_num += 1
        step = Reset(slot, sql, forgets_settings(self._config, report))
        self._begin(slot, step, self._config.reset_timeout, now)

    def _finish_recycling(self, slot: Slot[S], now: float) -> None:
        if self._runs_after_release and self._fit(slot, now):
            self._move(slot, SlotState.RESETTING)
            self._run_hook(slot, Hook.AFTER_RELEASE, now)
        else:
            self._offer(slot, now)

    # --- A step is done ----------------------------------------------------------------------------------

    def _succeeded(self, slot: Slot[S], step: Step[S], now: float) -> None:
        match step:
            case Open():
                if Hook.AFTER_CONNECT in self._config.hooks:
                    self._run_hook(slot, Hook.AFTER_CONNECT, now)
                else:
                    self._opened(slot, now)
            case Check():
                self._offer(slot, now)
            case Reset():
                if step.forgets_settings and Hook.AFTER_CONNECT in self._config.hooks:
                    self._run_hook(slot, Hook.AFTER_CONNECT, now)
                else:
                    self._finish_recycling(slot, now)
            case RunHook():
                self._hook_succeeded(slot, step.hook, now)
            case Close():
                self._remove(slot)
            case _:
                assert_never(step)

    def _hook_succeeded(self, slot: Slot[S], hook: Hook, now: float) -> None:
        match hook:
            case Hook.BEFORE_CONNECT:
                self._connect(slot, now)
            case Hook.AFTER_CONNECT:
                if slot.state is SlotState.OPENING:
                    self._opened(slot, now)
                else:
                    self._finish_recycling(slot, now)
            case Hook.BEFORE_ACQUIRE:
                slot.prepared = True
                self._offer(slot, now)
            case Hook.AFTER_RELEASE:
                self._offer(slot, now)
            case Hook.BEFORE_CLOSE:
                self._close(slot, now)
            case _:
                assert_never(hook)

    def _failed(self, slot: Slot[S], step: Step[S], error: BaseException, now: float) -> None:
        self._account_for(slot, step, error, now)
        match step:
            case Close():
                self._remove(slot)
            case Open() | RunHook(hook=Hook.BEFORE_CONNECT) if slot.session is None:
                self._remove(slot)
            case RunHook(hook=Hook.BEFORE_CLOSE):
                self._close(slot, now)
            case _:
                self._retire(slot, now)

    def _account_for(self, slot: Slot[S], step: Step[S], error: BaseException, now: float) -> None:
        """Count a failed step, and tell those who have to know of it."""
        counters = self._counters
        if isinstance(step, RunHook):
            counters.hooks_errors += 1
        if slot.state is SlotState.OPENING:
            self._open_failed(slot, error, now, in_hook=isinstance(step, RunHook))
            return
        lost = slot.broken  # by what its driver says; a hook's error may be about anything
        self._weigh(slot, error, now)
        match step:
            case Check():
                counters.checks_errors += 1
                counters.connections_lost += 1
            case Reset():
                counters.resets_errors += 1
            case RunHook(hook=Hook.BEFORE_ACQUIRE) if lost and slot.has_rested:
                counters.connections_lost += 1  # meanwhile; who waits gets another one
            case RunHook(hook=Hook.BEFORE_ACQUIRE):
                self._refuse_first(error)
            case _:
                pass

    def _overran(self, slot: Slot[S], now: float) -> None:
        """A step takes too long: it has failed, and whatever it is still doing is cut off."""
        step = slot.step
        if isinstance(step, Open | Check | Reset | RunHook):
            what = step.hook.value if isinstance(step, RunHook) else _NAMES[type(step)]
            self._account_for(slot, step, TimeoutError(f"{what} took too long"), now)
        self._force(slot)

    def _leftover(self, step: Step[S], report: Report) -> Error | None:
        """What is wrong with a session after a step that went well."""
        if isinstance(step, Close):
            return None
        if report.status == "I" and not report.busy and not report.closed:
            return None
        culprit = f"the {step.hook.value} hook" if isinstance(step, RunHook) else "the pool's own upkeep"
        if report.closed:
            # Maybe by the hook, maybe not; it will be seen whether it happens again.
            lost = ConnectionLost(f"the session was closed in {culprit}")
            lost.__cause__ = report.error
            return lost
        return LocalProtocolError(
            f"{culprit} left a session behind that is not idle: transaction status {report.status!r}"
            f"{', requests outstanding' if report.busy else ''}"
        )

    # --- A time has come ---------------------------------------------------------------------------------

    def _refuse_overdue(self, now: float) -> None:
        for ticket in self._queue.overdue(now):
            if ticket.state is not TicketState.WAITING:
                continue
            if ticket.kind is TicketKind.WARM_UP:
                self._refuse(ticket, self._timeout(ticket, now))
                self._warm_ups.remove(ticket)
                continue
            self._counters.requests_timeouts += 1
            self._refuse(ticket, self._timeout(ticket, now))

    def _visit(self, slot: Slot[S], now: float) -> None:
        """See what time asks for at one slot."""
        if now >= slot.step_deadline:
            self._overran(slot, now)
        elif slot.state is SlotState.IDLE and now >= slot.expires_at:
            self._idle.remove(slot)
            self._retire(slot, now)
        elif now >= slot.renew_at:
            # A successor is opened ahead of time, if there is room for it; so that a session that retires
            # does not leave somebody waiting.
            slot.renew_at = inf
            opening = self._counts[SlotState.OPENING]
            room = self._phase is Phase.OPEN and len(self._slots) < self._max_size
            if room and self._opener.may_begin(now, opening):
                self._open_one(now)

    def _report_leaks(self, now: float) -> float:
        """Report those who have had their session for too long; returns when the next one will be due."""
        for ticket in self._leases:
            if ticket.kind is TicketKind.SHARED or ticket in self._leaked:
                continue  # a one-shot request is the pool's own, and forgets nothing
            if now < ticket.leased_at + self._leak_after:
                return ticket.leased_at + self._leak_after
            self._leaked.add(ticket)
            self._counters.leaks_num += 1
            self.due.append(ReportLeak(ticket, now - ticket.leased_at))
        return inf

    def _next_time(self, now: float) -> float:
        """When time will ask for something next, leaks apart."""
        times = [self._queue.next_deadline()]
        if self._phase is Phase.CLOSING and self._close_by > now:
            times.append(self._close_by)
        for slot in self._slots:
            times += (slot.step_deadline, slot.renew_at)
            # A session that is out, and older than it may get, is dealt with when it comes back.
            if slot.expires_at > now:
                times.append(slot.expires_at)
            if slot.state is SlotState.IDLE and slot.idle_since + slot.idle_limit > now:
                times.append(slot.idle_since + slot.idle_limit)
        return min(times)

    def _force_all(self, now: float) -> None:
        """Nobody is waited for any longer: sessions are closed under the hands of those who have them."""
        for ticket in list(self._leases):
            if ticket.kind is not TicketKind.SHARED:
                if ticket not in self._leaked:
                    self._counters.leaks_num += 1
                self.due.append(ReportLeak(ticket, now - ticket.leased_at))
            self._unlease(ticket, TicketState.REVOKED)
        self._idle.clear()
        for slot in list(self._slots):
            while slot.holders:
                self._vacate(slot, now)
            if not (isinstance(slot.step, Close) and not slot.step.graceful):
                self._force(slot)


_NAMES = {Open: "connecting", Check: "the check of a session", Reset: "the reset of a session"}
