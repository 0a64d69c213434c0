"""What a server says unasked: parameters, notices and notifications, in bounded room.

PostgreSQL documentation: "Asynchronous Operations".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from pgproto import messages as m
from pgproto._session._request import Waitable
from pgproto.errors import LocalProtocolError, PostgresError, RemoteProtocolError, ResultTooLarge

__all__ = ["Callback", "Notification", "Reports", "Subscription"]

_MAX_PARAMETERS: Final = 256
_MAX_PARAMETER_BYTES: Final = 64 * 1024
MAX_WAITING_NOTIFICATIONS: Final = 10_000
"""How many notifications a subscriber may leave unread."""

Callback = tuple[Callable[[Any], object], object]
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

    __slots__ = (
        "_handlers",
        "_lasting",
        "callbacks",
        "end_handlers",
        "parameters",
        "subscriptions",
        "unfit_handlers",
        "watcher",
    )

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters: dict[str, str] = dict(parameters)
        """Run-time parameters as last reported."""
        self._handlers: list[tuple[type[m.Message], Callable[..., object]]] = []
        self._lasting = 0
        self.end_handlers: list[Callable[[BaseException], object]] = []
        """Who wants to know when the session ends, and why."""
        self.callbacks: list[Callback] = []
        """Calls that are due."""
        self.unfit_handlers: list[Callable[[BaseException], object]] = []
        """Who wants to know when the session goes on, but is not any more what it was opened for."""
        self.watcher: Callable[[str], BaseException | None] | None = None
        """Hears at once of each parameter that has changed; says why the session is unfit, if it is."""
        self.subscriptions: dict[str, list[Subscription]] = {}
        """Listeners by channel."""

    # Handlers of notices and of changed parameters.

    def add_handler(self, kind: type[m.Message], handler: Callable[..., object]) -> None:
        """Call ``handler`` with every notice, or with the name and the value of every parameter reported."""
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {type(handler).__name__}")
        self._handlers.append((kind, handler))

    def remove_handler(self, kind: type[m.Message], handler: Callable[..., object]) -> None:
        """Call it no more; raises `LocalProtocolError` if it is not called now."""
        try:
            position = self._handlers.index((kind, handler))
        except ValueError:
            raise LocalProtocolError(f"{handler!r} is not among the handlers of this session") from None
        del self._handlers[position]
        self._lasting -= position < self._lasting

    def keep_handlers(self) -> None:
        """Those that are there now belong to the session itself, and not to whoever has it for a while."""
        self._lasting = len(self._handlers)

    @property
    def has_guests(self) -> bool:
        """Whether there are handlers of whoever has the session for a while."""
        return len(self._handlers) > self._lasting

    def _call(self, kind: type[m.Message]) -> list[Callable[..., object]]:
        return [handler for each, handler in self._handlers if each is kind]

    # What comes.

    def receive(self, message: m.Message) -> list[Subscription]:
        """Take a message; returns the listeners who have got something."""
        match message:
            case m.NoticeResponse() if self._handlers:
                notice = PostgresError.from_fields(message.fields)
                self.callbacks += [(handler, notice) for handler in self._call(m.NoticeResponse)]
            case m.ParameterStatus():
                self._set_parameter(message.name, message.value)
                self.callbacks += [
                    (partial(handler, message.name), message.value)
                    for handler in self._call(m.ParameterStatus)
                ]
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
        before, self.parameters[name] = self.parameters.get(name), value
        if sum(len(key) + len(text) for key, text in self.parameters.items()) > _MAX_PARAMETER_BYTES:
            raise RemoteProtocolError(f"the server's parameters take more than {_MAX_PARAMETER_BYTES} bytes")
        if value != before and self.watcher is not None and (error := self.watcher(name)) is not None:
            self.callbacks += [(handler, error) for handler in self.unfit_handlers]

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
        del self._handlers[self._lasting :]
        handlers, self.end_handlers = self.end_handlers, []
        listeners = self.end(error)
        self.end_handlers = handlers
        return listeners
