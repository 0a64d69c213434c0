"""A client for the servers of `pgproto.testing`, message by message."""

from __future__ import annotations

from collections.abc import Iterable

from pgproto import Connection, Role
from pgproto import messages as m
from pgproto.messages import Message
from pgproto.testing import Peer
from tests.support.pair import drain

__all__ = ["Client", "names"]


class Client:
    """Says messages and hears what comes back."""

    def __init__(self, peer: Peer, *, start: bool = True) -> None:
        self.peer = peer
        self.now = 0.0
        self.connection = Connection(Role.FRONTEND)
        self.greeting: list[Message] = []
        if start:
            self.greeting = self.say(m.StartupMessage({"user": "alice"}))

    def say(self, *messages: Message) -> list[Message]:
        self.peer.receive_data(b"".join([self.connection.send(message) for message in messages]))
        return self.listen()

    def listen(self) -> list[Message]:
        data = self.peer.data_to_send(self.now)
        if data:
            self.connection.receive_data(data)
        return drain(self.connection)


def names(messages: Iterable[Message]) -> list[str]:
    return [type(message).__name__ for message in messages]
