"""One connection while it is being made: messages in and out, by way of the transport's bytes.

Everything that goes wrong with the socket comes out of here as `ConnectionLost`, with what was being done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from pgproto import messages
from pgproto._connection import NEED_DATA
from pgproto._effects import Effect, Flow, Receive, ReceiveMessage, Send, SendMessage
from pgproto._short_way import ClientConnection
from pgproto.errors import ConnectionLost, PostgresError
from pgproto.messages import Message, Role

__all__ = ["Link", "on_socket", "within_time"]

R = TypeVar("R")

_MAX_NOTICES: Final = 100


def on_socket(effect: Effect[R], doing: str) -> Flow[R]:
    """Carry out an effect on the network. Raises `ConnectionLost` with what was being done, and why not."""
    try:
        return (yield from effect)
    except TimeoutError as error:
        raise ConnectionLost(f"timed out while {doing}", outcome="not_sent") from error
    except OSError as error:
        raise ConnectionLost(f"failed while {doing}: {error}", outcome="not_sent") from error


def within_time(effect: Effect[R], doing: str) -> Flow[R]:
    """Carry out an effect that has nothing to do with the network, but may take too long."""
    try:
        return (yield from effect)
    except TimeoutError as error:
        raise ConnectionLost(f"timed out while {doing}", outcome="not_sent") from error


class Link:
    """A protocol connection on the open socket."""

    __slots__ = ("_doing", "connection", "notices", "trusted")

    def __init__(self, max_message_size: int, trace: Callable[..., object] | None = None) -> None:
        self.connection = ClientConnection(Role.FRONTEND, max_message_size=max_message_size)
        if trace is not None:
            from pgproto.trace import Tracer

            self.connection.trace = Tracer(trace).feed
        self.notices: deque[messages.NoticeResponse] = deque(maxlen=_MAX_NOTICES)
        self.trusted = False
        """Whether it is known who is at the other end; if not, errors carry the mark of it."""
        self._doing = "waiting for the server"

    def now(self, doing: str) -> None:
        """Note what is going on, for the message of an error."""
        self._doing = doing

    def send(self, message: Message, *, hear_out: bool = False) -> Flow[None]:
        """Send a message.

        With `hear_out`, a server that has hung up is listened to first: it may have said why, in a message
        that is the next to `receive`, or in a TLS alert.
        """
        data = self.connection.send(message)
        try:
            yield from on_socket(Send(data), self._doing)
        except ConnectionLost as lost:
            if not hear_out or isinstance(lost.__cause__, TimeoutError):
                raise
            last_words = yield from self._last_words()
            if not last_words:
                raise
            self.connection.receive_data(last_words)

    def _last_words(self) -> Flow[bytes]:
        try:
            return (yield from Receive())
        except OSError as error:
            # Only errors of TLS have a reason. In TLS 1.3 the client has done before the server has looked at
            # its certificate, so this may be the verdict on that.
            if getattr(error, "reason", None) is None:
                return b""
            raise ConnectionLost(f"failed while {self._doing}: {error}", outcome="not_sent") from error

    def receive(self, limit: int | None = None) -> Flow[Message]:
        """Receive the next message, whatever it is, in reads of at most `limit` bytes."""
        while True:
            event = self.connection.next_event()
            if isinstance(event, messages.NoticeResponse):
                self.notices.append(event)
            elif event is not NEED_DATA:
                return event
            else:
                yield from self._fill(limit)

    def _fill(self, limit: int | None) -> Flow[None]:
        data = yield from on_socket(Receive(limit), self._doing)
        if not data:
            raise ConnectionLost(f"the server closed the connection while {self._doing}", outcome="not_sent")
        self.connection.receive_data(data)

    def receive_or_raise(self) -> Flow[Message]:
        """Receive the next message; an ErrorResponse is raised as `PostgresError`."""
        message = yield from self.receive()
        if isinstance(message, messages.ErrorResponse):
            raise PostgresError.from_fields(message.fields, untrusted=not self.trusted)
        return message

    def converse(self, flow: Flow[R]) -> Flow[R]:
        """Run a flow that speaks in messages; its other effects go on to the transport."""
        result: object = None
        error: Exception | None = None
        while True:
            try:
                effect = flow.send(result) if error is None else flow.throw(error)
            except StopIteration as stop:
                value: R = stop.value
                return value
            result, error = None, None
            try:
                result = yield from self._perform(effect)
            except Exception as failure:
                error = failure

    def _perform(self, effect: Effect[object]) -> Flow[object]:
        match effect:
            case SendMessage(message):
                yield from self.send(message, hear_out=True)
                return None
            case ReceiveMessage():
                return (yield from self.receive())
            case _:
                return (yield from within_time(effect, self._doing))
