"""`ScriptedServer`: a server that hears exactly this and says exactly that.

server = ScriptedServer(
    *greeting(),
    Expect(Query("select 1")),
    Say(RowDescription((FieldDescription("one"),)), DataRow((b"1",)), CommandComplete("SELECT 1")),
    Wait(2.0),
    Say(ReadyForQuery("I")),
    Expect(Terminate),
)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pgproto import messages as m
from pgproto._connection import Connection
from pgproto.errors import RemoteProtocolError
from pgproto.messages import Message, Role

__all__ = ["Expect", "HangUp", "Lie", "Say", "ScriptMismatch", "ScriptedServer", "Wait", "greeting"]


class ScriptMismatch(AssertionError):
    """The client said something else than the script expects, or the script's own side broke the protocol."""


@dataclass(frozen=True)
class Expect:
    """The client says this: a message equal to this one, of this class, or that this function accepts."""

    what: Message | type[Message] | Callable[[Message], bool]

    def accepts(self, message: Message) -> bool:
        """Whether the message is what was expected."""
        if isinstance(self.what, type):
            return isinstance(message, self.what)
        if isinstance(self.what, Message):
            return message == self.what
        return self.what(message)


@dataclass(frozen=True, init=False)
class Say:
    """The server says these messages, and may."""

    messages: tuple[Message, ...]

    def __init__(self, *messages: Message) -> None:
        object.__setattr__(self, "messages", messages)


@dataclass(frozen=True, init=False)
class Lie:
    """The server says this, whether or not the protocol allows it."""

    words: tuple[Message | bytes, ...]

    def __init__(self, *words: Message | bytes) -> None:
        object.__setattr__(self, "words", words)

    def encode(self) -> bytes:
        """The bytes."""
        return b"".join([word if isinstance(word, bytes) else word.encode() for word in self.words])


@dataclass(frozen=True)
class Wait:
    """The server says nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class HangUp:
    """The server closes the connection."""


Step: TypeAlias = Expect | Say | Lie | Wait | HangUp

_PARAMETERS = {
    "server_version": "18.0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
}


def greeting(*, process_id: int = 4711, secret_key: bytes = b"\x01\x02\x03\x04") -> tuple[Step, ...]:
    """The steps of a session's beginning with a server that asks for no encryption and no password."""
    return (
        Expect(m.StartupMessage),
        Say(
            m.AuthenticationOk(),
            *[m.ParameterStatus(name, value) for name, value in _PARAMETERS.items()],
            m.BackendKeyData(process_id, secret_key),
            m.ReadyForQuery("I"),
        ),
    )


class ScriptedServer:
    """One connection of a server that follows a script; it is a `Peer`.

    A client's question whether to encrypt is answered with no, unless the script expects the question.
    """

    def __init__(self, *steps: Step) -> None:
        self.connection: Connection = Connection(Role.BACKEND)
        self.heard: list[Message] = []
        """Everything that the client said."""
        self._steps = deque(steps)
        self._out: list[bytes] = []
        self._until: float | None = None
        self._hung_up = False
        self._ended = False

    @property
    def is_finished(self) -> bool:
        """Whether the script has come to its end."""
        return not self._steps

    @property
    def is_closed(self) -> bool:
        """Whether it hangs up."""
        return self._hung_up

    def receive_data(self, data: bytes) -> None:
        """Hear bytes; raises `ScriptMismatch` for what the script does not expect."""
        if not data:
            self._ended = True
        try:
            self.connection.receive_data(data)
            while isinstance(event := self.connection.next_event(), Message):
                self._hear(event)
        except RemoteProtocolError as error:
            if data:
                raise ScriptMismatch(f"the client broke the protocol: {error}") from error

    def _hear(self, message: Message) -> None:
        self._proceed()
        self.heard.append(message)
        step = self._steps[0] if self._steps else None
        if isinstance(step, Expect) and step.accepts(message):
            self._steps.popleft()
            self._proceed()
        elif isinstance(message, m.SSLRequest | m.GSSENCRequest):
            self._out.append(self.connection.send(m.EncryptionResponse(b"N")))
        elif isinstance(step, HangUp) or self._hung_up:
            # It was on its way when the server left.
            return
        else:
            raise ScriptMismatch(f"the client said {message}, where the script has {step or 'ended'}")

    def _proceed(self) -> None:
        """Do what needs neither the client nor time."""
        while self._steps and isinstance(step := self._steps[0], Say | Lie):
            self._steps.popleft()
            if isinstance(step, Lie):
                self._out.append(step.encode())
            else:
                self._out += [self.connection.send(message) for message in step.messages]

    def data_to_send(self, now: float) -> bytes:
        """What the script has to say by this time."""
        self._proceed()
        while self._steps and isinstance(step := self._steps[0], Wait | HangUp):
            if isinstance(step, Wait):
                if self._until is None:
                    self._until = now + step.seconds
                if now < self._until:
                    break
                self._until = None
            else:
                self._hung_up = True
            self._steps.popleft()
            self._proceed()
        data = b"".join(self._out)
        self._out.clear()
        return data

    def next_time(self) -> float | None:
        """When a `Wait` is over."""
        return self._until
