"""Listening on a channel: the queue of one listener, and LISTEN and UNLISTEN around it.

PostgreSQL documentation: "LISTEN", "UNLISTEN".
"""

from __future__ import annotations

from pgproto._session._machine import RequestMachine
from pgproto._session._reports import Subscription
from pgproto._session._request import Request
from pgproto._session._simple import Command
from pgproto._session._sql import quote_ident
from pgproto._session._tag import CommandTag

__all__ = ["Listener"]


class Listener:
    """One subscription to one channel; several of a session share the server's."""

    __slots__ = ("_channel", "_machine", "_quoted", "subscription")

    def __init__(self, machine: RequestMachine, channel: str) -> None:
        self._machine = machine
        self._channel = channel
        self._quoted = quote_ident(channel)
        self.subscription = Subscription(channel)

    def begin(self) -> Request[CommandTag]:
        """Subscribe; the command makes sure that the server knows."""
        self._machine.reports.subscriptions.setdefault(self._channel, []).append(self.subscription)
        return Command("LISTEN " + self._quoted)

    def end(self) -> Request[CommandTag] | None:
        """Unsubscribe; the command, if there is one, is for the last listener on the channel."""
        subscriptions = self._machine.reports.subscriptions
        listeners = subscriptions.get(self._channel, [])
        if self.subscription not in listeners:
            return None
        listeners.remove(self.subscription)
        if listeners:
            return None
        del subscriptions[self._channel]
        return Command("UNLISTEN " + self._quoted, essential=True)
