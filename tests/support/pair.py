"""A client and a server joined in memory, and how to look at a connection from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pgproto import NEED_DATA, Connection, messages
from pgproto._conversation import Conversation
from pgproto._wire import ReceiveBuffer
from pgproto.messages import DataRows, Message, Role

__all__ = ["ConnectionPair", "clone", "drain", "ready", "snapshot", "start"]

ConnectionT = TypeVar("ConnectionT", bound=Connection)


def drain(connection: Connection) -> list[Message]:
    """All events that there are; rows one by one, however they were grouped."""
    events: list[Message] = []
    while (event := connection.next_event()) is not NEED_DATA:
        if isinstance(event, DataRows):
            assert len(event) > 1
            events.extend(event)
        else:
            events.append(event)
    return events


_NO_STATE = {"_role", "_kinds", "_max_message_size"}


def snapshot(connection: Connection, *, shared: bool = False) -> dict[str, object]:
    """Everything that a connection knows; with ``shared``, only what its two ends must agree on."""
    found: dict[str, object] = {}
    names = Conversation.__slots__ if shared else Conversation.__slots__ + Connection.__slots__
    for name in names:
        value: object = getattr(connection, name)
        if name == "_queue":
            found[name] = tuple(connection._queue)
        elif isinstance(value, ReceiveBuffer):
            found[name] = value.data[value.position : value.end], len(value)
        elif name not in _NO_STATE:
            found[name] = value
    return found


def clone(connection: Connection) -> Connection:
    """An independent connection in the same state; all bytes must have been read."""
    assert not len(connection._incoming)
    twin = Connection(connection.role)
    for name in Conversation.__slots__ + Connection.__slots__:
        if name not in ("_incoming", "_queue"):
            setattr(twin, name, getattr(connection, name))
    twin._queue = connection._queue.copy()
    return twin


def ready(role: Role, **options: int) -> Connection:
    """A connection whose session has been started."""
    return start(Connection(role, **options))


def start(connection: ConnectionT) -> ConnectionT:
    """Start the session of a new connection."""
    role = connection.role
    started = messages.StartupMessage({"user": "u"})
    answers = (messages.AuthenticationOk(), messages.ReadyForQuery("I"))
    if role is Role.FRONTEND:
        connection.send(started)
        connection.receive_data(b"".join([answer.encode() for answer in answers]))
    else:
        connection.receive_data(started.encode())
    drain(connection)
    if role is Role.BACKEND:
        for answer in answers:
            connection.send(answer)
    return connection


class ConnectionPair:
    """A client and a server; what one sends, the other receives at once.

    After each exchange, both must see the same state of the conversation.
    """

    def __init__(self) -> None:
        self.client = Connection(Role.FRONTEND)
        self.server = Connection(Role.BACKEND)

    def start(self) -> None:
        """Get to the point where queries can be sent, by the shortest way."""
        self.client_sends(messages.StartupMessage({"user": "u"}))
        self.server_sends(messages.AuthenticationOk(), messages.ReadyForQuery("I"))

    def client_sends(self, *sent: Message, expect: Sequence[Message] | None = None) -> list[Message]:
        """Send from the client; the server must see the same, or what is expected instead."""
        return self._carry(self.client, self.server, sent, expect)

    def server_sends(self, *sent: Message, expect: Sequence[Message] | None = None) -> list[Message]:
        """Send from the server; the client must see the same, or what is expected instead."""
        return self._carry(self.server, self.client, sent, expect)

    def _carry(
        self,
        sender: Connection,
        receiver: Connection,
        sent: Sequence[Message],
        expect: Sequence[Message] | None,
    ) -> list[Message]:
        if data := b"".join([sender.send(message) for message in sent]):
            receiver.receive_data(data)
        events = drain(receiver)
        assert events == list(sent if expect is None else expect)
        self.check_agreement()
        return events

    def check_agreement(self) -> None:
        """Both ends have said and heard the same, so they must stand at the same point."""
        assert snapshot(self.client, shared=True) == snapshot(self.server, shared=True)
