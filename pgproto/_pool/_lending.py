"""The fifth floor of the pool machine: callers come, get a session, and give it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from pgproto._pool._gauges import Gauges
from pgproto._pool._ledger import Phase, or_inf
from pgproto._pool._recycling import CLEAN, LOST, Report
from pgproto._pool._slots import Slot, SlotState, Ticket, TicketKind, TicketState
from pgproto._pool._status import bucket
from pgproto._seconds import seconds
from pgproto.errors import PoolClosed, PoolTimeout

__all__ = ["Lending"]

_MOST_UNCOUNTED: Final = 256
"""How many durations are kept until they are counted, all at once."""

S = TypeVar("S")
W = TypeVar("W")


class Lending(Gauges[S, W]):
    """Hands sessions out, and takes them back."""

    __slots__ = ()

    def acquire(self, now: float, timeout: float | None = None, *, shared: bool = False) -> Ticket[S, W]:
        """Ask for a session.

        If one is free, the ticket comes with it (`ticket.slot` is not None). Else set `ticket.waiter`; there
        will be a `Grant` or a `Refuse` for it, unless `abandon` comes first.

        Args:
            timeout: how many seconds the caller waits at most; None stands for the pool's `acquire_timeout`.
            shared: the caller has a single request, which may travel with others' on one session, as far as
                `multiplex` allows.

        Raises:
            PoolClosed: the pool is not open.
            PoolTimeout: `max_waiting` others wait already, or the timeout leaves no time to wait.
        """
        self._counters.requests_num += 1
        ticket = self._ticket(TicketKind.SHARED if shared else TicketKind.EXCLUSIVE, now, timeout)
        if self._direct and self._idle and not self._waiting:
            slot = self._idle[-1]
            if now < slot.ready_until:
                self._idle.pop()
                self._lease(ticket, slot, now)
                return ticket
        self._acquire_slowly(ticket, now)
        return ticket

    def _acquire_slowly(self, ticket: Ticket[S, W], now: float) -> None:
        if self._phase is not Phase.OPEN:
            self._counters.requests_num -= 1
            raise self._not_open()
        if self._shedder is not None:
            self._settle(now)
        if not self._waiting and (slot := self._find(ticket.kind, now)) is not None:
            self._lease(ticket, slot, now)
            self._grow(now)
            return
        self._counters.requests_queued += 1
        self._recent = None
        self._queue.join(ticket)
        if self._idle or len(self._slots) < self._max_size:
            self._serve(now)  # there is nothing for anybody yet, but one more session may be prepared
            self._grow(now)
        if (refusal := self._immediate_refusal(ticket, now)) is not None:
            self._queue.leave(ticket)
            ticket.state = TicketState.ENDED
            self._counters.requests_errors += 1
            raise refusal
        self._want(ticket.deadline)

    def join(self, now: float) -> Slot[S] | None:
        """A session for a single request of the pool's own, if there is one at once: the short way.

        Give it back with `leave_others` or `leave`. None means nothing: `acquire` with ``shared`` may find
        one all the same.
        """
        slot = self._recent
        if slot is not None and (places := self._places) and now < slot.expires_at:
            self._places = places - 1
            slot.holders += 1
            slot.joins += 1
            return slot
        if self._waiting or not self._direct:
            return None
        idle = self._idle
        if not idle:
            slot = self._find_shared(now)
            if slot is None:
                return None
        elif now < idle[-1].ready_until:
            slot = idle.pop()
        else:
            return None
        self._occupy(slot, now, shared=True)
        slot.joins += 1
        if len(self._slots) < self._max_size and slot.holders > 1:
            self._grow(now)
        return slot

    def leave_others(self, slot: Slot[S], since: float, now: float) -> bool:
        """As `leave`, where others have the session too, and it is clean: the short way.

        False, and nothing is done, if that is not so, or somebody waits. There is nothing to do after it.
        """
        holders, is_recent = slot.holders, slot is self._recent
        if holders < 2 or (not is_recent and self._waiting):
            return False
        uncounted = self._counters.usage_uncounted
        uncounted.append(now - since)
        if len(uncounted) >= _MOST_UNCOUNTED:
            self._counters.count_usage()
        # As `_vacate` does, for most requests without calling it.
        slot.holders = holders - 1
        if since > slot.leased_at:
            slot.leased_at = since
        if is_recent:
            self._places += 1
        else:
            self._offer_place(slot)
        return True

    def leave(self, slot: Slot[S], since: float, now: float, report: Report = CLEAN) -> None:
        """The request is over that `join`ed the session at that time."""
        if not slot.holders:
            return  # the pool has closed, and taken the session away
        self._count_return(slot, now - since, now)
        alone = self._vacate(slot, since)
        if alone or report is not CLEAN or self._waiting:
            self._come_back(slot, now, report, alone=alone)

    def reject(self, slot: Slot[S], now: float, report: Report = LOST) -> None:
        """The session was dead that the request got by `join`: it has to `acquire` another."""
        self._counters.requests_num -= 1  # it will be counted again
        if not slot.holders:
            return
        self._bury(slot, now, report, alone=self._vacate(slot, now))
        self._settle(now)

    def _bury(self, slot: Slot[S], now: float, report: Report, *, alone: bool) -> None:
        self._weigh_report(slot, report, now)
        slot.spoil(broken=True)
        if alone:
            self._counters.connections_lost += 1
            self._retire(slot, now)

    def _count_return(self, slot: Slot[S], held: float, now: float) -> None:
        counters = self._counters
        counters.usage_s += held
        counters.usage_histogram[bucket(held)] += 1
        slot.last_used_at = now

    def _immediate_refusal(self, ticket: Ticket[S, W], now: float) -> PoolTimeout | None:
        most = self._config.max_waiting
        if now >= ticket.deadline:
            self._counters.requests_timeouts += 1
            return self._timeout(ticket, now)
        on_their_way = self._counts[SlotState.OPENING] + self._counts[SlotState.PREPARING]
        if most is not None and len(self._waiting) - on_their_way > most:
            self._counters.requests_shed += 1
            return PoolTimeout(
                f"max_waiting, {most}, callers wait for a session already: {self._situation(now)}"
            )
        return None

    def release(self, ticket: Ticket[S, W], now: float, report: Report = CLEAN) -> None:
        """The caller has done with its session; `report` is what the session's driver says of it.

        Raises:
            LocalProtocolError: the ticket has no session, because it was released before. If the pool has
                taken the session away, nothing happens.
        """
        slot = ticket.slot
        if slot is None or ticket.state is not TicketState.LEASED:
            if ticket.state in (TicketState.REVOKED, TicketState.LOST):
                return
            raise ticket.misuse()
        self._count_return(slot, now - ticket.leased_at, now)
        self._come_back(slot, now, report, alone=self._unlease(ticket, TicketState.ENDED))

    def abandon(self, ticket: Ticket[S, W], now: float, report: Report = CLEAN) -> None:
        """The caller has given up. If it was given a session meanwhile, somebody else gets it at once."""
        slot = ticket.slot
        if slot is not None:
            self._counters.requests_abandoned += 1
            self._come_back(slot, now, report, alone=self._unlease(ticket, TicketState.ENDED))
        elif ticket.state is TicketState.WAITING:
            ticket.state = TicketState.ENDED
            if ticket.kind is TicketKind.WARM_UP:
                self._warm_ups.remove(ticket)
            else:
                self._counters.requests_abandoned += 1
                self._queue.leave(ticket)
                self._settle(now)  # who comes next may be content with less

    def put_back(self, ticket: Ticket[S, W], now: float, report: Report = LOST) -> None:
        """The session was dead when the caller got it: the caller goes back to the front of the queue.

        Set a new `ticket.waiter` first; `Grant` or `Refuse` follows.

        Raises:
            LocalProtocolError: the ticket has no session.
        """
        slot = ticket.slot
        if slot is None:
            raise ticket.misuse()
        self._bury(slot, now, report, alone=self._unlease(ticket, TicketState.WAITING))
        self._queue.rejoin(ticket)
        if self._phase is not Phase.OPEN:
            self._refuse(ticket, self._not_open())
        elif now >= ticket.deadline:
            self._counters.requests_timeouts += 1
            self._refuse(ticket, self._timeout(ticket, now))
        else:
            self._want(ticket.deadline)
        self._settle(now)

    def _come_back(self, slot: Slot[S], now: float, report: Report, *, alone: bool) -> None:
        """Somebody has the session no more; if that one was alone, nobody has it."""
        if not alone:
            # Others still have requests on the session: their outcomes are their own, but none may join if
            # it is not what it should be. A transaction that one of them opened would take in the others.
            if report is not CLEAN:
                self._weigh_report(slot, report, now)
                if report.status != "I":
                    slot.spoil(broken=True)
                slot.changed = slot.changed or report.changed
            if self._waiting or report is not CLEAN:
                self._settle(now)
            return
        if slot.changed:
            slot.changed = False
            report = replace(report, changed=True)
        if report.renewed:
            self._counters.resets_num += 1
        if report is self._good and self._direct and now < slot.expires_at:
            if not self._waiting:
                self._park(slot, now)
                return
            self._hand_over(slot, now)
            if self._multiplex > 1:
                self._serve(now)
            return
        self._take_back(slot, report, now)
        self._settle(now)

    # --- Small things ------------------------------------------------------------------------------------

    def _ticket(self, kind: TicketKind, now: float, timeout: float | None) -> Ticket[S, W]:
        return Ticket(
            kind, now, or_inf(self._config.acquire_timeout) if timeout is None else seconds(timeout)
        )

    def _not_open(self) -> PoolClosed:
        if self._phase is Phase.NEW:
            return PoolClosed("the pool is not open yet: enter it with a `with` block, or call open()")
        return PoolClosed("the pool is closed")
