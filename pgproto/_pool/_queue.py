"""The callers who wait: in the order of their arrival, and by their deadlines."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Generic, TypeVar

from pgproto._pool._slots import Ticket, TicketState

__all__ = ["Queue"]

S = TypeVar("S")
W = TypeVar("W")

_SLACK = 64


class Queue(Generic[S, W]):
    """First come, first served; anybody may leave. Every operation is O(log n) or better."""

    __slots__ = ("_deadlines", "_serial", "order")

    def __init__(self) -> None:
        # An OrderedDict, because a dict looks past the gaps of all that have left to find its first key.
        self.order: Final[OrderedDict[Ticket[S, W], None]] = OrderedDict()
        """Who waits, in the order of arrival; to be read only."""
        # Those who have left stay in the heap until their time comes, or until they are the most of it.
        self._deadlines: list[tuple[float, int, Ticket[S, W]]] = []
        self._serial = 0

    def join(self, ticket: Ticket[S, W]) -> None:
        """Take the last place."""
        self.order[ticket] = None
        self.watch(ticket)

    def rejoin(self, ticket: Ticket[S, W]) -> None:
        """Take the place that the time of arrival earns: for who had its turn, and got nothing."""
        behind = [other for other in self.order if other.asked_at >= ticket.asked_at]
        self.join(ticket)
        for other in behind:
            self.order.move_to_end(other)

    def watch(self, ticket: Ticket[S, W]) -> None:
        """See to the ticket's deadline only."""
        if ticket.deadline < inf:
            if len(self._deadlines) > 2 * len(self.order) + _SLACK:
                waiting = TicketState.WAITING
                self._deadlines = [entry for entry in self._deadlines if entry[2].state is waiting]
                heapify(self._deadlines)
            self._serial += 1
            heappush(self._deadlines, (ticket.deadline, self._serial, ticket))

    def first(self) -> Ticket[S, W]:
        """Whose turn it is."""
        return next(iter(self.order))

    def leave(self, ticket: Ticket[S, W]) -> None:
        """Give up the place, if the ticket has one."""
        self.order.pop(ticket, None)

    def next_deadline(self) -> float:
        """When somebody's time is up; infinity if nobody's ever is."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].state is not TicketState.WAITING:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else inf

    def overdue(self, now: float) -> list[Ticket[S, W]]:
        """Those whose time is up and who still wait; they are not asked for again."""
        late: list[Ticket[S, W]] = []
        while self.next_deadline() <= now:
            late.append(heappop(self._deadlines)[2])
        return late
