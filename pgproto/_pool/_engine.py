"""The second floor of the pool machine: how sessions come, and how they get to who waits for them.

                      ┌───────────────────────────────────────────────┐
                      │                                               ▼
    (demand) ──► OPENING ──────► IDLE ──► PREPARING ──► LEASED ──► RESETTING
                      │           ▲ │         │          │  ▲         │
                      │           │ └─────────┼──────────┼──┘         │
                      │           └───────────┴──────────┴────────────┤
                      ▼                                               ▼
                    GONE ◄──────────────── CLOSING ◄──── (from each of the others)

A session belongs to nobody until it is ready: it is opened, checked and reset on behalf of all who wait, and
when it is ready it goes to the first in the queue (`_offer`), whoever that is by then. So a caller who gives
up costs nobody anything; and nobody overtakes.

Every input of the machine ends with `_settle`, which serves the queue and opens what is missing. After it,
nobody waits for a session that is idle, and somebody waits only if as many sessions are on their way as the
pool's size and the state of the server allow.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Final, TypeVar, assert_never

from pgproto._pool._actions import Check, Grant, Hook, Open
from pgproto._pool._faults import Blame, again, blame, describe
from pgproto._pool._ledger import Ledger, Phase, or_inf
from pgproto._pool._lifetimes import spread
from pgproto._pool._slots import Slot, SlotState, Ticket, TicketKind, TicketState
from pgproto._pool._status import bucket

__all__ = ["Engine"]

_LEASED: Final = SlotState.LEASED

S = TypeVar("S")
W = TypeVar("W")


class Engine(Ledger[S, W]):
    """Opens sessions as they are needed, and serves the queue."""

    __slots__ = ()

    # --- Opening -----------------------------------------------------------------------------------------

    def _grow(self, now: float) -> None:
        """Open what is missing: a session for each who waits, up to min_size, and one where many share."""
        counts = self._counts
        while self._phase is Phase.OPEN and len(self._slots) < self._max_size:
            opening = counts[SlotState.OPENING]
            on_their_way = opening + counts[SlotState.PREPARING]
            crowded = self._is_crowded() and not self._idle and not on_their_way
            if len(self._waiting) <= on_their_way and self._present() >= self._min_size and not crowded:
                return
            if not self._opener.may_begin(now, opening):
                if self._opener.retry_at > now:
                    self._want(self._opener.retry_at)
                return
            self._open_one(now)

    def _is_crowded(self) -> bool:
        """Whether some session has more than one holder."""
        return self._multiplex > 1 and any(slot.holders > 1 for slot in self._slots)

    def _open_one(self, now: float) -> None:
        self._numbers += 1
        slot: Slot[S] = Slot(self._numbers, self._generation, self._opener.begin(), now)
        self._slots[slot] = None
        self._counts[SlotState.OPENING] += 1
        self._counters.connections_num += 1
        if Hook.BEFORE_CONNECT in self._config.hooks:
            self._run_hook(slot, Hook.BEFORE_CONNECT, now)
        else:
            self._connect(slot, now)

    def _connect(self, slot: Slot[S], now: float) -> None:
        self._begin(slot, Open(slot), self._config.connect_timeout, now)

    def _opened(self, slot: Slot[S], now: float) -> None:
        config, counters = self._config, self._counters
        self._opener.succeeded(slot.attempt)
        self._last_error = None
        counters.connections_s += now - slot.started_at
        slot.opened_at = now
        if config.max_lifetime is not None and slot.expires_at == inf:
            longest = config.max_lifetime
            taken = [other.expires_at for other in self._slots]
            slot.expires_at = spread(now + longest * (1 - config.jitter), now + longest, taken, self._random)
            slot.renew_at = slot.expires_at - min(longest / 10, or_inf(config.connect_timeout))
            self._want(slot.renew_at)
        if config.max_idle is not None:
            slot.idle_limit = config.max_idle * (1 - config.jitter * self._random())
        self._offer(slot, now)
        self._end_warm_ups()
        self._shrink(now)

    def _open_failed(self, slot: Slot[S], error: BaseException, now: float, *, in_hook: bool) -> None:
        """Take note of it, and tell those who should know. The slot itself is the caller's affair."""
        self._counters.connections_errors += 1
        self._last_error = describe(error)
        self._opener.failed(slot.attempt, now)
        match blame(error, in_hook=in_hook):
            case Blame.CIRCUMSTANCES:
                pass
            case Blame.HOOK:
                self._refuse_first(error)
                self._refuse_warm_ups(error)
            case Blame.SETTINGS:
                if not self._established():  # else those that there are will serve everybody in time
                    self._refuse_all(partial(again, error))
            case _ as never:
                assert_never(never)

    def _end_warm_ups(self) -> None:
        if self._warm_ups and self._established() >= self._min_size:
            for ticket in self._warm_ups:
                self.due.append(Grant(ticket))
                ticket.state = TicketState.ENDED
            self._warm_ups.clear()

    def _shrink(self, now: float) -> None:
        """Close sessions that nobody has used for long, down to min_size."""
        surplus = self._established() - self._min_size
        for slot in list(self._idle):  # the one that was idle for longest comes first
            if surplus <= 0:
                return
            if now >= slot.idle_since + slot.idle_limit:
                surplus -= 1
                self._counters.connections_idled += 1
                self._idle.remove(slot)
                self._retire(slot, now)

    # --- Serving -----------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        self._recent = None
        self._shed(now)
        self._serve(now)
        self._grow(now)

    def _serve(self, now: float) -> None:
        """Give the first in the queue what there is, as long as there is something."""
        while self._waiting:
            slot = self._find(self._queue.first().kind, now)
            if slot is None:
                return
            self._hand_over(slot, now)

    def _find(self, kind: TicketKind, now: float) -> Slot[S] | None:
        """A session that can be lent at once, if there is one; else prepare as many as are waited for."""
        idle = self._idle
        shared = self._find_shared(now) if kind is TicketKind.SHARED else None
        while idle:
            slot = idle[-1]
            if not self._fit(slot, now):
                self._retire(idle.pop(), now)
            elif now < slot.ready_until and not self._runs_before_acquire:
                return idle.pop()
            elif shared is None and self._counts[SlotState.PREPARING] < len(self._waiting):
                self._prepare(idle.pop(), now)
            else:
                break
        return shared

    def _find_shared(self, now: float) -> Slot[S] | None:
        """A session with room for one more one-shot request, if there is one: each in its turn."""
        ring = self._ring
        while ring:
            slot = ring[0]
            if slot.shared and slot.holders < self._multiplex and now < slot.expires_at and not slot.changed:
                return slot
            ring.popleft().listed = False
            self._recent = None  # who leaves it makes it known again
        return None

    def _prepare(self, slot: Slot[S], now: float) -> None:
        """Make an idle session ready to be lent; it is not in the stack any more."""
        self._move(slot, SlotState.PREPARING)
        if now < slot.ready_until:
            self._run_hook(slot, Hook.BEFORE_ACQUIRE, now)
        else:
            self._counters.checks_num += 1
            self._begin(slot, Check(slot), self._config.check_timeout, now)

    def _offer(self, slot: Slot[S], now: float) -> None:
        """A session is ready: it goes to the first in the queue, or rests."""
        if not self._fit(slot, now):
            self._retire(slot, now)
            return
        self._shed(now)
        if not self._waiting:
            self._park(slot, now)
        elif self._runs_before_acquire and not slot.prepared:
            self._move(slot, SlotState.PREPARING)
            self._run_hook(slot, Hook.BEFORE_ACQUIRE, now)
        else:
            self._hand_over(slot, now)

    def _park(self, slot: Slot[S], now: float) -> None:
        self._move(slot, SlotState.IDLE)
        slot.prepared = False
        slot.idle_since = now
        ready_until = now + self._check_after
        slot.ready_until = ready_until if ready_until < slot.expires_at else slot.expires_at
        self._idle.append(slot)
        if now + slot.idle_limit < self._wake:
            self._want(now + slot.idle_limit)
        if self._shedder is not None:
            self._shedder.observe(0.0, now)

    def _hand_over(self, slot: Slot[S], now: float) -> None:
        """The session changes hands, in this one step; who waited learns of it by `Grant`."""
        ticket = self._queue.first()
        self.due.append(Grant(ticket))
        self._queue.leave(ticket)
        waited = now - ticket.asked_at
        counters = self._counters
        counters.requests_wait_s += waited
        counters.wait_histogram[bucket(waited)] += 1
        if self._shedder is not None:
            self._shedder.observe(waited, now)
        self._lease(ticket, slot, now)

    def _lease(self, ticket: Ticket[S, W], slot: Slot[S], now: float) -> None:
        self._leases[ticket] = slot  # first, so that a ticket with a slot is always among them
        ticket.state = TicketState.LEASED
        ticket.slot = slot
        ticket.leased_at = now
        slot.leases += 1
        shared = ticket.kind is TicketKind.SHARED
        if self._leak_after < inf and not shared:
            self._want(now + self._leak_after)
        self._occupy(slot, now, shared=shared)

    def _unlease(self, ticket: Ticket[S, W], state: TicketState) -> bool:
        """End the lease; returns whether nobody else has the session."""
        slot = self._leases[ticket]
        ticket.state = state
        ticket.slot = None
        del self._leases[ticket]
        self._leaked.discard(ticket)
        return self._vacate(slot, ticket.leased_at)

    def _occupy(self, slot: Slot[S], now: float, *, shared: bool) -> None:
        """One more has the session."""
        self._recent = None
        if slot.state is not _LEASED:
            self._counts[slot.state] -= 1
            self._counts[_LEASED] += 1
            slot.state = _LEASED
        if not slot.holders:
            slot.prepared = False
            slot.leased_at = now
        slot.holders += 1
        if shared and self._multiplex > 1:
            slot.shared = True
            if not slot.listed:
                slot.listed = True
                self._ring.append(slot)
            elif self._ring[0] is slot:
                self._ring.rotate(-1)

    def _vacate(self, slot: Slot[S], since: float) -> bool:
        """Who has had the session since then has it no more; returns whether nobody else has it."""
        slot.holders -= 1
        if not slot.holders:
            slot.shared = False
            return True
        if since > slot.leased_at:
            slot.leased_at = since  # answers come in order, so the others have it since then at the earliest
        if slot is self._recent:
            self._places += 1
        else:
            self._offer_place(slot)
        return False

    def _offer_place(self, slot: Slot[S]) -> None:
        """Let the next one-shot request come here, where one has just left, if that is as good as elsewhere.

        Sessions are filled evenly, after those that nobody has, and as many are opened as may be. But where
        one has just been left, the next is as well off, and travels with the requests of others who got their
        answers from there at the same time.
        """
        if not slot.listed:
            slot.listed = True
            self._ring.append(slot)
        attracts = (
            slot.holders <= self._ring[0].holders
            and len(self._slots) >= self._max_size
            and self._direct
            and not (self._idle or slot.changed)
        )
        self._recent, self._places = (slot, 1) if attracts else (None, 0)
