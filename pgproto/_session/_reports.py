"""What a server says unasked: parameters, notices and notifications, in bounded room.

PostgreSQL documentation: "Asynchronous Operations".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pgproto import messages as m
from pgproto._session._request import Waitable
from pgproto.errors import PostgresError, RemoteProtocolError, ResultTooLarge

__all__ = ["Callback", "Notification", "Reports", "Subscription"]

_MAX_PARAMETERS: Final = 256
_MAX_PARAMETER_BYTES: Final = 64 * 1024
MAX_WAITING_NOTIFICATIONS: Final = 10_000
"""How many notifications a subscriber may leave unread."""

Callback = tuple[Callable[[Any], object], BaseException]
"""A handler to call, and with what."""


class Notification(NamedTuple):
    """What somebody said with NOTIFY."""

    channel: str
    payload: str
    pid: int
    """The process id of the notifying session's server process."""


class Subscription(Waitable):
    """One listener's queue."""

    __slots__ = ("channel", "error", "waiting")

    def __init__(self, channel: str) -> None:
        super().__init__()
        self.channel = channel
        self.waiting: deque[Notification] = deque()
        self.error: BaseException | None = None
        """Why there will be no more notifications."""


class Reports:
    """The server's side remarks in one session."""

    __slots__ = ("callbacks", "end_handlers", "lasting", "notice_handlers", "parameters", "subscriptions")

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters: dict[str, str] = dict(parameters)
        """Run-time parameters as last reported."""
        self.notice_handlers: list[Callable[[PostgresError], object]] = []
        self.lasting = 0
        """How many of them belong to the session itself, and not to whoever has it for a while."""
        self.end_handlers: list[Callable[[BaseException], object]] = []
        """Who wants to know when the session ends, and why."""
        self.callbacks: list[Callback] = []
        """Calls that are due."""
        self.subscriptions: dict[str, list[Subscription]] = {}
        """Listeners by channel."""

    def receive(self, message: m.Message) -> list[Subscription]:
        """Take a message; returns the listeners who have got something."""
        match message:
            case m.NoticeResponse() if self.notice_handlers:
                notice = PostgresError.from_fields(message.fields)
                self.callbacks += [(handler, notice) for handler in self.notice_handlers]
            case m.ParameterStatus():
                self._set_parameter(message.name, message.value)
            case m.NotificationResponse():
                return self._notify(message)
            case _:
                # A notice that nobody wants to hear.
                ...
        return []

    def _notify(self, message: m.NotificationResponse) -> list[Subscription]:
        listeners = self.subscriptions.get(message.channel, [])
        for listener in listeners:
            if len(listener.waiting) < MAX_WAITING_NOTIFICATIONS:
                listener.waiting.append(Notification(message.channel, message.payload, message.process_id))
            elif listener.error is None:
                listener.error = ResultTooLarge(
                    f"{MAX_WAITING_NOTIFICATIONS} notifications on channel {message.channel!r} were waiting "
                    "to be read when another came; those after them are lost"
                )
        return listeners

    def _set_parameter(self, name: str, value: str) -> None:
        # Without these two, text would mean something else than both sides believe.
        if (name == "client_encoding" and value.upper() not in ("UTF8", "UNICODE")) or (
            name == "standard_conforming_strings" and value != "on"
        ):
            raise RemoteProtocolError(f"the server changed {name} to {value!r}; the session relies on it")
        if name not in self.parameters and len(self.parameters) >= _MAX_PARAMETERS:
            raise RemoteProtocolError(f"the server reports more than {_MAX_PARAMETERS} parameters")
        self.parameters[name] = value
        if sum(len(key) + len(text) for key, text in self.parameters.items()) > _MAX_PARAMETER_BYTES:
            raise RemoteProtocolError(f"the server's parameters take more than {_MAX_PARAMETER_BYTES} bytes")

    def end(self, error: BaseException) -> list[Subscription]:
        """The session is over; returns all listeners."""
        listeners = [listener for each in self.subscriptions.values() for listener in each]
        for listener in listeners:
            listener.error = listener.error or error
        self.subscriptions.clear()
        self.callbacks += [(handler, error) for handler in self.end_handlers]
        self.end_handlers.clear()
        return listeners

    def leave(self, error: BaseException) -> list[Subscription]:
        """Whoever listens stops, though the session goes on; returns all listeners."""
        del self.notice_handlers[self.lasting :]
        handlers, self.end_handlers = self.end_handlers, []
        listeners = self.end(error)
        self.end_handlers = handlers
        return listeners
