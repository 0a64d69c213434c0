"""The pool machine: decides about sessions, and never touches one.

A transport tells it what has happened (`acquire`, `release`, `finished` ...), always with the time, and
carries out the `actions` that follow. In outline, for asyncio::

    def pump(self):
        for action in self.machine.actions():
            match action:
                case Grant(ticket) if ticket.waiter and not ticket.waiter.done():
                    ticket.waiter.set_result(None)
                case Refuse(ticket, error) if ticket.waiter and not ticket.waiter.done():
                    ticket.waiter.set_exception(error)
                case WakeAt(time):
                    self.set_timer(time)  # then: machine.tick(now), pump
                case Open() | Check() | Reset() | RunHook() | Close():
                    self.start(self.perform(action))


    async def perform(self, step):
        try:
            await ...
        except Exception as error:
            self.machine.finished(step, now, error)
        else:
            self.machine.finished(step, now, None, report_on(step.slot.session))
        self.pump()


    async def acquire(self):
        ticket = self.machine.acquire(now)
        if ticket.slot is None:
            ticket.waiter = loop.create_future()
            self.pump()
            try:
                await ticket.waiter
            except BaseException:
                self.machine.abandon(ticket, now)
                self.pump()
                raise
        return ticket

The machine is not safe for threads: with threads, one lock guards its methods, and is not held while an
action is carried out. It may be called from within whatever an action sets off.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeVar

from pgproto._pool._actions import Action, Closed, Grant, Refuse, Step
from pgproto._pool._config import PoolConfig, check_sizes
from pgproto._pool._ledger import Phase
from pgproto._pool._lending import Lending
from pgproto._pool._recycling import CLEAN, LOST, Report
from pgproto._pool._slots import Slot, SlotState, Ticket, TicketKind, TicketState, started_over
from pgproto._seconds import seconds
from pgproto.errors import PoolClosed

__all__ = ["PoolMachine"]

S = TypeVar("S")
W = TypeVar("W")


class PoolMachine(Lending[S, W]):
    """A pool of sessions of type `S`, for callers who wait for something of type `W`.

    `now` is always the monotonic clock, in seconds, and never goes back; `random` returns numbers from 0 up
    to 1. After each call, `actions` says what to do.
    """

    __slots__ = ()

    def __init__(self, config: PoolConfig, random: Callable[[], float]) -> None:
        super().__init__(config, random)

    def actions(self) -> list[Action[S, W]]:
        """What there is to do, in this order; each is returned once."""
        due = self.due
        if due:
            self._taken, self.due = due, []
        return due

    # --- The pool itself ---------------------------------------------------------------------------------

    def open(self, now: float, timeout: float | None = None) -> Ticket[S, W]:
        """Open the pool, and `min_size` sessions.

        Returns a ticket that is granted when these are open, and refused when the server rejects them or the
        time is up (`timeout` seconds; None is the pool's `acquire_timeout`). Who does not care to wait drops
        it with `abandon`.

        Raises:
            PoolClosed: the pool was closed; it cannot be opened again.
        """
        if self._phase in (Phase.CLOSING, Phase.CLOSED):
            raise self._not_open()
        ticket = self._ticket(TicketKind.WARM_UP, now, timeout)
        self._phase = Phase.OPEN
        self._refresh()
        self._warm_ups.append(ticket)
        self._end_warm_ups()
        if ticket.state is TicketState.WAITING:
            self._queue.watch(ticket)
            self._want(ticket.deadline)
        self._settle(now)
        return ticket

    def close(self, now: float, timeout: float = 0.0) -> None:
        """Close the pool: at once what nobody uses, the rest as it comes back, everything `timeout` later.

        Callers who wait are refused. `Closed` follows when no session is left. Closing again may only bring
        the end nearer.
        """
        close_by = now + seconds(timeout)
        if self._phase in (Phase.NEW, Phase.OPEN):
            self._phase = Phase.CLOSING
            self._refresh()
            self._refuse_all(_closed_meanwhile)
            idle, self._idle = self._idle, []
            for slot in idle:
                self._retire(slot, now)
            for slot in list(self._slots):
                if slot.state is SlotState.OPENING:
                    self._force(slot)
        if self._phase is Phase.CLOSED:
            self.due.append(Closed())
            return
        self._close_by = min(self._close_by, close_by)
        if self._slots and now < self._close_by:
            self._want(self._close_by)
        else:
            self._force_all(now)
        self._finish_closing()

    def resize(self, now: float, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the limits. Sessions above them are closed when nobody uses them.

        Raises:
            ConfigError: the sizes do not fit together.
        """
        smallest = self._min_size if min_size is None else min_size
        largest = self._max_size if max_size is None else max_size
        check_sizes(smallest, largest)
        self._min_size, self._max_size = smallest, largest
        while self._idle and self._present() > largest:
            self._retire(self._idle.pop(0), now)
        self._refresh()
        self._end_warm_ups()
        self._shrink(now)
        self._settle(now)

    def drain(self, now: float) -> None:
        """Replace all sessions: at once those that nobody uses, the others as they come back."""
        self._retire_generation(now)
        self._settle(now)

    def expire(self, now: float, within: float) -> None:
        """Replace all sessions within so many seconds, one after the other and each after its successor."""
        slots = [
            slot
            for slot in self._slots
            if slot.state not in (SlotState.OPENING, SlotState.CLOSING) and slot.expires_at > -inf
        ]
        pause = seconds(within) / max(1, len(slots))
        for place, slot in enumerate(slots):
            # Half a pause for the predecessor to leave, and half to open the successor.
            slot.renew_at = min(slot.renew_at, now + (place + 0.5) * pause)
            slot.expires_at = min(slot.expires_at, now + (place + 1) * pause)
            slot.ready_until = min(slot.ready_until, slot.expires_at)
        self.tick(now)

    def tick(self, now: float) -> None:
        """Do what is due by now. Harmless when nothing is."""
        self._wake = inf
        self._refuse_overdue(now)
        if self._phase is Phase.CLOSING and now >= self._close_by:
            self._force_all(now)
        for slot in list(self._slots):
            self._visit(slot, now)
        self._shrink(now)
        next_leak = self._report_leaks(now)
        self._settle(now)
        self._want(min(next_leak, self._next_time(now)))

    def start_over(self, now: float) -> None:
        """Make good what was left half done: for transports that may be interrupted at any point.

        To be called when somebody was interrupted within a method of the machine, or while carrying out its
        `actions`; nobody knows then what is missing, and those actions need not be carried out any more. All
        sessions are closed at once, whoever has them, and all who wait are refused with `ConnectionLost`. It
        may be that somebody is woken twice, or who does not wait: take the last word.
        """
        woken: dict[Ticket[S, W], BaseException] = {}
        for action in (*self._taken, *self.due):
            if isinstance(action, Grant | Refuse):
                woken[action.ticket] = action.error if isinstance(action, Refuse) else started_over()
        for ticket in (*self._waiting, *self._warm_ups):
            woken.setdefault(ticket, started_over())
        for ticket in self._leases:
            ticket.state, ticket.slot = TicketState.LOST, None
        self._forget()
        for ticket, error in woken.items():
            if ticket.state is TicketState.WAITING:
                self._counters.requests_errors += ticket.kind is not TicketKind.WARM_UP
                ticket.state = TicketState.ENDED
            self.due.append(Refuse(ticket, error))
        for slot in self._slots:
            self._force(slot)
        if self._phase is Phase.CLOSED:
            self.due.append(Closed())
        self._finish_closing()
        self._settle(now)
        self._want(self._next_time(now))

    # --- Sessions ----------------------------------------------------------------------------------------

    def finished(
        self, step: Step[S], now: float, error: BaseException | None = None, report: Report = CLEAN
    ) -> None:
        """A step is done, with an error or without one; `report` is what the session is like then.

        A step that a forced `Close` has overtaken need not be reported, and is ignored if it is.
        """
        slot = step.slot
        if slot.step is not step:
            return
        slot.step = None
        slot.step_deadline = inf
        if slot.state is not SlotState.OPENING:
            self._weigh_report(slot, report, now)
        if error is None:
            error = self._leftover(step, report)
        if error is None:
            self._succeeded(slot, step, now)
        else:
            self._failed(slot, step, error, now)
        self._settle(now)

    def session_lost(self, slot: Slot[S], now: float, report: Report = LOST) -> None:
        """Whoever watches the session's socket saw it end, or saw something that makes the session unfit.

        Harmless at any time, and more than once.
        """
        if slot.state in (SlotState.GONE, SlotState.CLOSING):
            return
        self._weigh_report(slot, report, now)
        slot.spoil(broken=report.closed)
        if slot.state is SlotState.IDLE:
            self._idle.remove(slot)
            self._counters.connections_lost += 1
            self._retire(slot, now)
        self._settle(now)


def _closed_meanwhile() -> PoolClosed:
    return PoolClosed("the pool was closed while this caller waited for a session")
