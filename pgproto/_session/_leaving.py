"""Requests whose owners have gone: what becomes of them, and of those who come after them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pgproto._session._flight import Flight
from pgproto._session._request import Request
from pgproto._short_way import ClientConnection
from pgproto.errors import ConnectionLost

__all__ = ["Leaving"]

_FIRST_PAUSE: Final = 0.25
"""Seconds from a cancel request to the next, if it has no effect; each further pause is twice as long."""
_LATE: Final = 0.2
"""When `tick` comes more than so many seconds after it was due, nobody was there to look at the session."""
_GRACE: Final = 0.1
"""Seconds in which to read, then, what the server has said meanwhile."""


class Leaving(Flight, ABC):
    """The part of the request machine that gives requests up.

    One that was not written is dropped. One in flight is cancelled at the server if that can hit no request
    that somebody waits for, and else left to end by itself. One that cleans up is never given up. When nobody
    waits any more, what is still under way has to be over soon: what the server does not answer in time ends
    the session.
    """

    __slots__ = (
        "_can_cancel",
        "_overlong",
        "cancel_timeout",
        "clock",
    )

    def __init__(
        self,
        connection: ClientConnection,
        parameters: Mapping[str, str],
        clock: Callable[[], float],
        *,
        can_cancel: bool,
        cancel_timeout: float,
    ) -> None:
        super().__init__(connection, parameters)
        self.clock = clock
        self.cancel_timeout = cancel_timeout
        self._can_cancel = can_cancel
        # What nobody waits for, and has to be over in time.
        self._overlong: Request[object] | None = None

    @abstractmethod
    def _let_go(self, request: Request[object]) -> None:
        """Tell a request in flight that its owner has gone."""

    # What a transport calls.

    def abandon(self, request: Request[object]) -> None:
        """The owner of the request waits no more; no result of it may reach anybody else."""
        if request.done or request.abandoned:
            return
        request.abandoned = True
        if not request.essential:
            if self._waiting.remove(request):
                request.done = True
                return
            self._let_go(request)
        self._see_to_head()

    @property
    def wants_cancel(self) -> bool:
        """Whether `take_cancel` will say yes."""
        return self._fence.wanted

    def take_cancel(self) -> bool:
        """Whether the transport must now ask the server to cancel; then it calls `cancel_delivered`."""
        return self._fence.take_wanted()

    def cancel_delivered(self) -> None:
        """The cancel request's own connection has ended, well or not."""
        self._fence.delivered()
        self._see_to_head()

    # What requests call.

    def cancel(self, request: Request[object]) -> None:
        """Ask the server to cancel the request, if the cancel can hit no other that somebody waits for.

        That is so if it is the first in flight, and the owners of all behind it have gone too. Nothing more
        is then written until the cancel request has been delivered and its target is over; one that has no
        effect is repeated meanwhile. A request with followers on the wire is left to end by itself.
        """
        if self._can_cancel and not self._fence.is_up and self._is_alone(request):
            self.has_more = True
            self._fence.raise_for(request)
            self._cancel_again_after(_FIRST_PAUSE, request)
            self._see_in_time(partial(self._cancel_overdue, request))

    def cancel_current(self) -> None:
        """Ask the server to cancel what it is doing for this session."""
        if self.flight:
            self.cancel(self.flight[0])

    # Inside.

    def _is_alone(self, request: Request[object]) -> bool:
        flight = iter(self.flight)
        return next(flight, None) is request and all(
            follower.abandoned and not follower.essential for follower in flight
        )

    def _see_to_head(self) -> None:
        """The request at the head has come there, or somebody has gone: see whether it can be cut short."""
        head = self.flight[0] if self.flight else None
        if head is None or not head.abandoned:
            return
        if not head.essential:
            self._let_go(head)
        if head is not self._overlong and self._must_end(head):
            self._overlong = head
            self._see_in_time(partial(self._overdue, head))

    def _must_end(self, head: Request[object]) -> bool:
        """Whether this one, which is not being cancelled, has to end soon all the same."""
        return head.essential or (not self._fence.is_up and all(each.abandoned for each in self.flight))

    def _cancel_again_after(self, pause: float, target: Request[object]) -> None:
        self.call_at(self.clock() + pause, None, partial(self._cancel_again, pause, target))

    def _cancel_again(self, pause: float, target: Request[object]) -> None:
        if self._fence.raise_again(target):
            self._cancel_again_after(2 * pause, target)

    def _see_in_time(self, check: Callable[[], None]) -> None:
        """After `cancel_timeout`, see whether something is over."""
        due = self.clock() + self.cancel_timeout
        self.call_at(due, None, partial(self._check_with_grace, due, check))

    def _check_with_grace(self, due: float, check: Callable[[], None]) -> None:
        now = self.clock()
        if now - due > _LATE:
            self.call_at(now + _GRACE, None, check)
        else:
            check()

    def _cancel_overdue(self, target: Request[object]) -> None:
        if self._fence.is_up_for(target):
            self.fail(ConnectionLost(f"a cancel request had no effect within {self.cancel_timeout} s"))

    def _overdue(self, request: Request[object]) -> None:
        self._overlong = None
        if self.flight and self.flight[0] is request and self._must_end(request):
            what = request.sql or "a request"
            self.fail(ConnectionLost(f"{what} was given up, and not over within {self.cancel_timeout} s"))
