"""Listening on a channel: the queue of one listener, and LISTEN and UNLISTEN around it.

PostgreSQL documentation: "LISTEN", "UNLISTEN".
"""

from __future__ import annotations

from functools import partial
from typing import Final

from pgproto._session._lease import lease_of_context
from pgproto._session._machine import RequestMachine
from pgproto._session._reports import Notification, Subscription
from pgproto._session._request import Request, Waitable
from pgproto._session._simple import Command
from pgproto._session._sql import quote_ident
from pgproto._session._tag import CommandTag
from pgproto.errors import DataError, LocalProtocolError, QueryTimeout

__all__ = ["Listener"]

_LONGEST_NAME: Final = 63
"""PostgreSQL documentation: "Identifiers and Key Words"."""


class Listener:
    """One subscription to one channel; several of a session share the server's."""

    __slots__ = ("_channel", "_machine", "_patience", "_quoted", "subscription")

    def __init__(self, machine: RequestMachine, channel: str) -> None:
        self._machine = machine
        self._channel = channel
        self._quoted = quote_ident(channel)
        if len(channel.encode()) > _LONGEST_NAME:
            # The server would cut it off, and report its notifications under another name.
            raise DataError(f"the channel name {channel!r} has more than {_LONGEST_NAME} bytes in UTF-8")
        self._patience: Waitable | None = None
        self.subscription = Subscription(channel)

    def begin(self) -> Request[CommandTag]:
        """Subscribe; the command makes sure that the server knows.

        Raises `LocalProtocolError` inside a transaction: the server would begin to listen only at its end,
        and not at all if it rolls back.
        """
        if lease_of_context(self._machine) is not None:
            raise LocalProtocolError("listen outside of the transaction: inside, it would begin with COMMIT")
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
        return Command("UNLISTEN " + self._quoted, essential=True).unattended()

    @property
    def is_subscribed(self) -> bool:
        """Whether there is something for `end` to do."""
        return self.subscription in self._machine.reports.subscriptions.get(self._channel, ())

    def ask(self, timeout: float | None) -> bool:
        """Begin to wait for a notification, for ``timeout`` seconds at the most; True, as it was begun."""
        if self._patience is not None:
            raise LocalProtocolError("somebody waits for the next notification of this listener already")
        machine = self._machine
        due = None if timeout is None else machine.clock() + timeout
        self._patience = Waitable()
        if due is not None:
            machine.call_at(due, self._patience, partial(self._run_out, self._patience))
        return True

    def _run_out(self, patience: Waitable) -> None:
        patience.done = True
        self._machine.stir(self.subscription)

    def take(self) -> Notification | None:
        """The next notification, or None if it is to be waited for; raises what stands in its way."""
        if self.subscription.waiting:
            return self.subscription.waiting.popleft()
        if self.subscription.error is not None:
            raise self.subscription.error
        if self._patience is not None and self._patience.done:
            raise QueryTimeout(f"no notification came on channel {self._channel!r} within the timeout")
        return None

    def rest(self) -> None:
        """Wait no more."""
        if self._patience is not None:
            self._patience.done = True
            self._patience = None
