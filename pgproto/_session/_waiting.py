"""The requests that wait to be written: everybody's queue, and the one of whoever has a lease.

Requests are served in their order of arrival. While somebody has a lease, only its own requests are; the
others keep their places.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pgproto._session._lease import Lease, enter_lease
from pgproto._session._markers import Goodbye, LeaseTurn
from pgproto._session._request import Request

if TYPE_CHECKING:
    from pgproto._session._machine import RequestMachine

__all__ = ["WaitingRoom"]


class WaitingRoom:
    """Two queues, of which one is served."""

    __slots__ = ("everybody", "lease", "served")

    def __init__(self) -> None:
        self.everybody: deque[Request[object]] = deque()
        """Those that belong to no lease, and requests for leases."""
        self.lease: Lease | None = None
        """Who alone is served; None if everybody is."""
        self.served = self.everybody
        """The queue from which the next request comes."""

    def __bool__(self) -> bool:
        return bool(self.everybody or (self.lease is not None and self.lease.queue))

    def put_back(self, request: Request[object]) -> None:
        """The request is to be written again, before all others."""
        self._queue_of(request).appendleft(request)

    def remove(self, request: Request[object]) -> bool:
        """Take the request out; False if it does not wait any more."""
        queue = self._queue_of(request)
        if request not in queue:
            return False
        queue.remove(request)
        return True

    def has_to_wait(self, request: Request[object]) -> bool:
        """Whether the request waits for somebody else's lease to end."""
        return self.lease is not None and request.lease is not self.lease and request in self.everybody

    def _queue_of(self, request: Request[object]) -> deque[Request[object]]:
        return self.everybody if request.lease is None else request.lease.queue

    def open_lease(self, machine: RequestMachine, purpose: str, *, until_idle: bool) -> Lease:
        """Ask for a lease for the caller's context; it is granted when everything before it is written."""
        lease = Lease(machine, purpose, until_idle=until_idle)
        enter_lease(lease)
        self.everybody.append(LeaseTurn(lease))
        return lease

    def next(self, status: str, in_flight: int) -> Request[object] | None:
        """The request to be written now, if there is one; ``status`` is the transaction status."""
        while True:
            if self.lease is not None:
                self.end_idle_lease(status, in_flight)
            queue = self.served
            if not queue:
                return None
            request = queue[0]
            # An instance of an abstract class is recognised by its type several times as fast.
            if in_flight and type(request) is Goodbye:
                return None
            queue.popleft()
            if type(request) is not LeaseTurn:
                return request
            self._grant(request.turn)

    def _grant(self, lease: Lease | None) -> None:
        self.lease = lease
        self.served = self.everybody
        if lease is not None:
            lease.granted = True
            self.served = lease.queue

    def follow_status(self, status: str) -> list[Request[object]]:
        """The server has said what became of the transaction; returns requests that must not run any more.

        A transaction's block may hold a statement that ends the transaction. What was meant to run in it must
        then not run without.
        """
        lease = self.lease
        if lease is None or lease.until_idle:
            return []
        if status != "I":
            lease.began = True
            return []
        if not lease.began:
            return []
        lease.closing = lease.until_idle = True
        outcasts = list(lease.queue)
        lease.queue.clear()
        return outcasts

    def end_idle_lease(self, status: str, in_flight: int) -> None:
        """End a lease that has nothing more to do, and has left no transaction open."""
        lease = self.lease
        if lease is not None and lease.until_idle and status == "I" and not lease.queue and not in_flight:
            lease.ended = True
            self._grant(None)

    def clear_out(self) -> list[Request[object]]:
        """Everybody goes, but for what must be done in any case; returns those who have gone."""
        waiting = [request for request in self.leave() if not isinstance(request, LeaseTurn)]
        for request in waiting:
            if request.essential:
                request.lease = None
                self.everybody.append(request)
        return [request for request in waiting if not request.essential]

    def leave(self) -> list[Request[object]]:
        """Everybody goes, because the session has ended."""
        leases = [request.turn for request in self.everybody if isinstance(request, LeaseTurn)]
        if self.lease is not None:
            leases.insert(0, self.lease)
        leaving: list[Request[object]] = []
        for lease in leases:
            leaving += lease.queue
            lease.queue.clear()
            lease.ended = True
        leaving += self.everybody
        self.everybody.clear()
        self._grant(None)
        return leaving
