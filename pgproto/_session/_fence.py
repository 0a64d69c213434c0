"""The cancel fence: while a cancel request is under way, nothing else is.

A cancel request names a session, not a request, and it arrives when it arrives: it hits whatever the session
is doing then. So one is sent only for a request that is alone in flight, and until the server has heard it
and its target is over, nothing is written. PostgreSQL documentation: "Canceling Requests in Progress".

The server ignores one that finds it between two messages, even if those of the target that follow are there
already. So a target that goes on is cancelled again, after longer and longer pauses.
"""

from __future__ import annotations

from pgproto._session._request import Request

__all__ = ["CancelFence"]


class CancelFence:
    """One cancel request at a time."""

    __slots__ = ("_raised_for", "_running", "_target", "is_shut", "is_up", "wanted")

    def __init__(self) -> None:
        self._target: Request[object] | None = None
        self._raised_for: Request[object] | None = None
        self.wanted = False
        """Whether a cancel request is to be sent."""
        self._running = False
        self.is_up = False
        """Whether nothing may be written."""
        self.is_shut = False
        """Whether nothing may be written any more."""

    def raise_for(self, target: Request[object]) -> None:
        """A cancel request for this one is wanted."""
        self._target = self._raised_for = target
        self.wanted = self._running = self.is_up = True

    def raise_again(self, target: Request[object]) -> bool:
        """Another one is wanted, unless the last is still on its way; False if there is no need any more."""
        if self._target is not target:
            return False
        if not self._running:
            self.wanted = self._running = True
        return True

    def take_wanted(self) -> bool:
        """Whether the transport must send a cancel request now."""
        wanted, self.wanted = self.wanted, False
        return wanted

    def delivered(self) -> None:
        """The cancel request's connection has ended."""
        self._running = False
        self.is_up = self._target is not None or self.is_shut

    def over(self, request: Request[object]) -> None:
        """This request is over."""
        if request is self._target:
            self._target = None
            self.is_up = self._running or self.is_shut

    def is_up_for(self, target: Request[object]) -> bool:
        """Whether it is still up, and was raised for this one: not for another that came later."""
        return self._raised_for is target and self.is_up

    def shut(self) -> None:
        """Nothing is written any more: the session ends when what is under way is over."""
        self.is_shut = self.is_up = True

    def drop(self) -> None:
        """The session has ended."""
        self._target = None
        self.wanted = False
        self.is_up = self._running
