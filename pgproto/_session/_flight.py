"""The requests of a session from when they are handed in, and what becomes of them when the connection ends.

What waits to be written is in the waiting room; what has been written is in flight, in the order in which it
went over the wire, until its ReadyForQuery has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from pgproto._session._fence import CancelFence
from pgproto._session._outbox import Outbox
from pgproto._session._reports import Reports
from pgproto._session._request import Request, Waitable
from pgproto._session._timers import Timers
from pgproto._session._waiting import WaitingRoom
from pgproto._short_way import ClientConnection
from pgproto.errors import CommitUnknown, ConnectionLost, PostgresError, RemoteProtocolError

__all__ = ["Flight"]


class Flight(Outbox):
    """The part of the request machine that knows who waits and who is in flight."""

    __slots__ = (
        "_fence",
        "_waiting",
        "failure",
        "flight",
        "has_more",
        "reading_paused",
        "reports",
        "status",
        "timers",
    )

    def __init__(self, connection: ClientConnection, parameters: Mapping[str, str]) -> None:
        super().__init__(connection)
        self.reports = Reports(parameters)
        self.timers = Timers()
        self.status = connection.transaction_status
        self.failure: BaseException | None = None
        """Why the session has ended; None while it lives."""
        self.has_more = False
        """Whether the transport may have more to do than to write and to wake: callbacks, remarks, a cancel
        request, a deadline, the end. `RequestMachine.next_deadline` finds out whether it still has."""
        self.reading_paused = False
        """Whether somebody must take what has come before the transport may read more."""
        self._waiting = WaitingRoom()
        self.flight: deque[Request[object]] = deque()
        """What has been written and is not over, in its order on the wire."""
        self._fence = CancelFence()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight, nothing waits, and nobody has a lease."""
        return not (self.flight or self._waiting or self._fence.is_up) and self._waiting.lease is None

    @property
    def in_flight(self) -> int:
        """How many requests have been written and are not over."""
        return len(self.flight)

    def call_at(self, when: float, owner: Waitable | None, action: Callable[[], None]) -> None:
        """Have `RequestMachine.tick` do this at that time, unless ``owner`` is done by then."""
        self.has_more = True
        self.timers.at(when, owner, action)

    def connection_lost(self, cause: BaseException | None) -> None:
        """The transport's connection has ended; without a cause, because this side closed it."""
        if cause is None:
            self.fail(ConnectionLost("the session is closed"))
        else:
            error = ConnectionLost(f"the connection to the server was lost: {cause}")
            error.__cause__ = cause
            self.fail(error)

    def fail(self, reason: BaseException) -> None:
        """The connection is of no more use: every request gets its outcome, in one pass."""
        self.has_more = True
        if self.failure is None:
            self.failure = reason
        cause = self.failure
        first = self.flight[0] if self.flight else None
        lease = self._waiting.lease
        in_transaction = lease is not None and lease.in_transaction
        pending = [*self.flight, *self._waiting.leave()]
        self.flight.clear()
        self.drop_out()
        self._fence.drop()
        self.reading_paused = False
        for request in pending:
            within = in_transaction and request.lease is lease
            # A server that says that it ends does so in the midst of the first, and has begun no other.
            begun = request is first or not isinstance(cause, PostgresError)
            request.lose(str(cause), cause, self._given, in_transaction=within, begun=begun)
            in_transaction = in_transaction and not request.ends_transaction
            breaks = request is first and isinstance(cause, RemoteProtocolError)
            if breaks and not isinstance(request.error, CommitUnknown):
                request.error = cause
            self._finish(request)
        for waiting in (*self.reports.end(cause), *self.timers.clear()):
            self.stir(waiting)

    def _finish(self, request: Request[object]) -> None:
        request.done = True
        if not request.abandoned:
            request.stirred = True
            self.news.append(request)
