"""The lowest floor of the pool machine: its state, and how slots and tickets end.

The machine is one class in six floors, each of which only knows those below it:

    PoolMachine   the other inputs                                    _machine.py
    Lending       callers come, and give back what they got           _lending.py
    Gauges        what can be seen                                    _gauges.py
    Upkeep        what follows when a step is done, or a time comes   _upkeep.py
    Engine        opening sessions, and giving them to who waits      _engine.py
    Ledger        the accounts                                        _ledger.py
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeVar

from pgproto._pool._actions import Action, Close, Closed, Hook, Refuse, RunHook, Step, WakeAt
from pgproto._pool._config import PoolConfig
from pgproto._pool._faults import Fate, fate
from pgproto._pool._opener import Opener
from pgproto._pool._queue import Queue
from pgproto._pool._recycling import CLEAN, RENEWED, Report, reset_ahead_sql
from pgproto._pool._shedder import Shedder
from pgproto._pool._slots import Slot, SlotState, Ticket, TicketKind, TicketState
from pgproto._pool._status import Counters
from pgproto.errors import PoolTimeout

__all__ = ["Ledger", "Phase"]

S = TypeVar("S")
W = TypeVar("W")


class Phase(enum.Enum):
    """How far the pool itself has come."""

    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Ledger(Generic[S, W]):
    """All that a pool knows; and how sessions are given up, and callers refused."""

    __slots__ = (
        "_check_after",
        "_close_by",
        "_config",
        "_counters",
        "_counts",
        "_direct",
        "_generation",
        "_good",
        "_idle",
        "_last_error",
        "_leak_after",
        "_leaked",
        "_leases",
        "_max_size",
        "_min_size",
        "_multiplex",
        "_numbers",
        "_opener",
        "_phase",
        "_places",
        "_queue",
        "_random",
        "_recent",
        "_ring",
        "_runs_after_release",
        "_runs_before_acquire",
        "_shedder",
        "_slots",
        "_taken",
        "_waiting",
        "_wake",
        "_warm_ups",
        "due",
        "reset_ahead",
    )

    def __init__(self, config: PoolConfig, random: Callable[[], float]) -> None:
        self._config: Final = config
        self._random: Final = random
        self._check_after: Final = or_inf(config.check_after)
        self._leak_after: Final = or_inf(config.leak_after)
        self._runs_before_acquire: Final = Hook.BEFORE_ACQUIRE in config.hooks
        self._runs_after_release: Final = Hook.AFTER_RELEASE in config.hooks
        self._min_size = config.min_size
        self._max_size = config.max_size
        self._phase = Phase.NEW
        self._close_by = inf
        self._generation = 0
        self._slots: dict[Slot[S], None] = {}
        self._numbers = 0
        # A stack: the session that was used last is the likeliest to work, and the others can grow old.
        self._idle: list[Slot[S]] = []
        # Sessions with room for one-shot requests, and some that had it once: whoever looks clears them away.
        self._ring: deque[Slot[S]] = deque()
        # The session that one-shot requests have left last, if nothing but that has happened since, and how
        # many: whoever comes may take such a place without looking further, for all is as it was.
        self._recent: Slot[S] | None = None
        self._places = 0
        self._queue: Queue[S, W] = Queue()
        self._waiting = self._queue.order
        self._warm_ups: list[Ticket[S, W]] = []
        self._leases: dict[Ticket[S, W], Slot[S]] = {}  # in the order in which they began
        self._leaked: set[Ticket[S, W]] = set()
        self._counts = [0] * len(SlotState)  # of the slots in each state
        self._opener = Opener(config.max_connecting, config.first_delay, config.longest_delay, random)
        self._shedder = (
            None if config.shed_target is None else Shedder(config.shed_target, config.shed_interval)
        )
        self._last_error: str | None = None
        self.due: list[Action[S, W]] = []
        """What there is to do. Who is to be woken is noted here first, and leaves the queue then: if that is
        interrupted, nobody is in neither."""
        self._taken: list[Action[S, W]] = []  # what `actions` has returned last
        self._multiplex: Final = config.multiplex
        self.reset_ahead: Final = reset_ahead_sql(config)
        """SQL for each session that comes back clean, if there is any. If the session's own machine sees to
        it that nothing overtakes it, and nothing behind it is carried out if it fails, return the session as
        `RENEWED`."""
        plain = config.recycle == "fast" and config.reset is None
        # What a session is like that can be lent again as it is; None if none ever is.
        self._good: Final = CLEAN if plain else RENEWED if self.reset_ahead is not None else None
        self._wake = inf  # the time of the last WakeAt
        self._direct = False
        self._counters = Counters()

    # --- Small things ------------------------------------------------------------------------------------

    def _move(self, slot: Slot[S], state: SlotState) -> None:
        self._counts[slot.state] -= 1
        self._counts[state] += 1
        slot.state = state
        self._recent = None

    def _want(self, time: float) -> None:
        if time < self._wake:
            self._wake = time
            self.due.append(WakeAt(time))

    def _begin(self, slot: Slot[S], step: Step[S], timeout: float | None, now: float) -> None:
        slot.step = step
        slot.step_deadline = now + or_inf(timeout)
        self.due.append(step)
        self._want(slot.step_deadline)

    def _run_hook(self, slot: Slot[S], hook: Hook, now: float) -> None:
        self._begin(slot, RunHook(slot, hook), self._config.connect_timeout, now)

    def _present(self) -> int:
        """The slots that are not on their way out."""
        return len(self._slots) - self._counts[SlotState.CLOSING]

    def _established(self) -> int:
        """The slots that have a session that is not on its way out."""
        return self._present() - self._counts[SlotState.OPENING]

    def _fit(self, slot: Slot[S], now: float) -> bool:
        """Whether the session may be lent to somebody."""
        return now < slot.expires_at and self._phase is Phase.OPEN and self._present() <= self._max_size

    def _refresh(self) -> None:
        """Find out whether sessions may pass directly from hand to hand, once they are as they must be."""
        self._direct = (
            self._phase is Phase.OPEN
            and self._present() <= self._max_size
            and not self._runs_before_acquire
            and not self._runs_after_release
            and self._shedder is None
        )

    def _forget(self) -> None:
        """Begin the accounts anew: nobody has a session, or waits for one, and all are to be closed."""
        self._idle = []
        self._ring = deque()
        self._recent = None
        self._queue = Queue()
        self._waiting = self._queue.order
        self._warm_ups = []
        self._leases = {}
        self._leaked = set()
        self._counts = [0] * len(SlotState)
        for slot in self._slots:
            slot.state, slot.holders, slot.shared, slot.listed = SlotState.CLOSING, 0, False, False
            self._counts[SlotState.CLOSING] += 1
        self._opener.start_over()
        self.due = []
        self._wake = inf
        self._refresh()

    # --- How sessions end --------------------------------------------------------------------------------

    def _retire(self, slot: Slot[S], now: float) -> None:
        """Close a session that nobody has; it is neither in use nor in the stack of idle ones."""
        if slot.spoiled_by_age(now):
            self._counters.connections_expired += 1
        self._move(slot, SlotState.CLOSING)
        slot.renew_at = inf
        if Hook.BEFORE_CLOSE in self._config.hooks and slot.opened_at is not None:
            self._run_hook(slot, Hook.BEFORE_CLOSE, now)
        else:
            self._close(slot, now)

    def _close(self, slot: Slot[S], now: float) -> None:
        if slot.broken:
            self._force(slot)
        else:
            self._begin(slot, Close(slot, graceful=True), self._config.reset_timeout, now)

    def _force(self, slot: Slot[S]) -> None:
        """Close a session at once, whatever it is doing."""
        if slot.state is SlotState.OPENING:
            self._opener.gave_up(slot.attempt)
        self._move(slot, SlotState.CLOSING)
        slot.spoil(broken=True)
        step = Close(slot, graceful=False)
        slot.step = step
        slot.step_deadline = inf
        self.due.append(step)

    def _remove(self, slot: Slot[S]) -> None:
        """The socket is closed, and the slot free for another session."""
        self._move(slot, SlotState.GONE)
        del self._slots[slot]
        if slot.listed:
            self._ring.remove(slot)
        slot.session = None
        self._counters.requests_num += slot.joins
        self._refresh()
        self._finish_closing()

    def _finish_closing(self) -> None:
        if self._phase is Phase.CLOSING and not self._slots:
            self._phase = Phase.CLOSED
            self.due.append(Closed())

    def _retire_generation(self, now: float) -> None:
        """None of the present sessions is lent again; those that are being opened are given up."""
        self._generation += 1
        for slot in list(self._slots):
            if slot.state is SlotState.OPENING:
                self._force(slot)
            slot.spoil(broken=False)
        while self._idle:
            self._retire(self._idle.pop(), now)

    def _weigh(self, slot: Slot[S], error: BaseException | None, now: float, *, closed: bool = False) -> None:
        """Draw the consequences of what happened on a session, short of closing it."""
        verdict = fate(error)
        if closed or verdict is Fate.DESTROY:
            slot.spoil(broken=True)
        if verdict is Fate.RETIRE_GENERATION:
            slot.spoil(broken=False)
            if slot.generation == self._generation:
                self._retire_generation(now)
                # For the new generation, that the server went away is a failure like any other. So a server
                # that accepts sessions and then disowns them is not stormed either.
                self._opener.failed(self._opener.run, now)

    def _weigh_report(self, slot: Slot[S], report: Report, now: float) -> None:
        self._weigh(slot, report.error, now, closed=report.closed or report.status not in ("I", "T", "E"))

    # --- How tickets end ---------------------------------------------------------------------------------

    def _refuse(self, ticket: Ticket[S, W], error: BaseException) -> None:
        """End a ticket that waits."""
        self.due.append(Refuse(ticket, error))
        self._queue.leave(ticket)
        ticket.state = TicketState.ENDED
        if ticket.kind is not TicketKind.WARM_UP:
            self._counters.requests_errors += 1

    def _refuse_first(self, error: BaseException) -> None:
        if self._waiting:
            self._refuse(self._queue.first(), error)

    def _refuse_all(self, error: Callable[[], BaseException]) -> None:
        for ticket in list(self._waiting):
            self._refuse(ticket, error())
        self._refuse_warm_ups(error())

    def _refuse_warm_ups(self, error: BaseException) -> None:
        for ticket in self._warm_ups:
            self._refuse(ticket, error)
        self._warm_ups.clear()

    def _shed(self, now: float) -> None:
        """Turn away those whom an overloaded pool keeps waiting too long."""
        if self._shedder is None:
            return
        while self._waiting and self._shedder.is_too_late(now - self._queue.first().asked_at):
            self._counters.requests_shed += 1
            self._refuse_first(PoolTimeout(f"the pool is overloaded: {self._situation(now)}"))

    def _timeout(self, ticket: Ticket[S, W], now: float) -> PoolTimeout:
        return PoolTimeout(f"no session became free within {ticket.timeout:g} s: {self._situation(now)}")

    def _situation(self, now: float) -> str:
        """What a caller who got no session has to know about the pool."""
        parts = [
            f"size {len(self._slots)} of at most {self._max_size}",
            f"{self._counts[SlotState.LEASED]} in use",
            f"{len(self._waiting)} waiting",
        ]
        if opening := self._counts[SlotState.OPENING]:
            parts.append(f"{opening} being opened")
        if self._counts[SlotState.LEASED]:
            parts.append(f"the longest holder has had its session for {self._longest_held(now):.1f} s")
        if self._last_error is not None:
            parts.append(f"the last attempt to connect failed with {self._last_error}")
        return ", ".join(parts)

    def _longest_held(self, now: float) -> float:
        times = [now - slot.leased_at for slot in self._slots if slot.state is SlotState.LEASED]
        return max(0.0, *times) if times else 0.0


def or_inf(limit: float | None) -> float:
    """Infinity for no limit."""
    return inf if limit is None else limit
