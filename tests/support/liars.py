"""Servers on real sockets that lie, stall and stutter, and remember every byte that they were told."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias, cast

from pgproto import Connection, Role
from pgproto import messages as m
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message

__all__ = ["HANG_UP", "WELCOME", "Banner", "Drip", "LiarServer", "Reply", "StartTLS"]

_PACE = 0.02
"""Seconds between the bytes of a `Drip`."""


@dataclass(frozen=True)
class Drip:
    """Bytes that are said one by one, over and over, for as long as somebody listens."""

    data: bytes


@dataclass(frozen=True)
class StartTLS:
    """Yes to SSLRequest, with something in clear text behind it, and then the handshake."""

    surplus: bytes = b""


@dataclass(frozen=True)
class Banner:
    """What is said before the client has said anything."""

    data: bytes


class _HangUp:
    """The end of the connection."""


HANG_UP = _HangUp()

Word: TypeAlias = Message | bytes | Drip | StartTLS | _HangUp | Callable[[Message], Message]
Reply: TypeAlias = Word | tuple[Word, ...]
"""What is said to one message of the client. A Message goes through the protocol's state, bytes do not."""

WELCOME: tuple[Message, ...] = (
    m.AuthenticationOk(),
    m.ParameterStatus("client_encoding", "UTF8"),
    m.ParameterStatus("standard_conforming_strings", "on"),
    m.ParameterStatus("server_version", "18.0"),
    m.BackendKeyData(4711, b"\x01\x02\x03\x04"),
    m.ReadyForQuery("I"),
)


class _Line:
    """One connection."""

    def __init__(
        self, opened: socket.socket, replies: tuple[Reply | Banner, ...], tls: ssl.SSLContext | None
    ):
        self.socket = opened
        self.received = bytearray()
        """Every byte that the client has sent, those under TLS in clear text."""
        self.after = bytearray()
        """What it sent after the last reply."""
        self.ended = False
        """Whether the client has hung up."""
        self.failure: BaseException | None = None
        self._connection = Connection(Role.BACKEND)
        self._replies = deque(replies)
        self._tls = tls

    def serve(self) -> None:
        try:
            if self._replies and isinstance(banner := self._replies[0], Banner):
                self._replies.popleft()
                self.socket.sendall(banner.data)
            while data := self.socket.recv(65536):
                self._hear(data)
        except OSError:
            pass  # a reset is an end, too
        except BaseException as error:
            self.failure = error
        finally:
            self.ended = True

    def _hear(self, data: bytes) -> None:
        self.received += data
        if not self._replies:
            self.after += data
            return
        self._connection.receive_data(data)
        while self._replies and isinstance(message := self._next(), Message):
            reply = self._replies.popleft()
            if reply is not None:
                assert not isinstance(reply, Banner)
                self._say(reply, message)

    def _next(self) -> object:
        try:
            return self._connection.next_event()
        except RemoteProtocolError:
            # After a lie, the state of the conversation is anybody's guess.
            return None

    def _say(self, reply: Reply, message: Message) -> None:
        told = b""
        for word in _words(reply):
            if isinstance(word, StartTLS):
                assert self._tls is not None
                self.socket.sendall(self._connection.send(m.EncryptionResponse(b"S")) + word.surplus)
                self.socket = self._tls.wrap_socket(self.socket, server_side=True)
            elif isinstance(word, Drip):
                self.socket.sendall(told)
                self._drip(word.data)
            elif isinstance(word, _HangUp):
                self.socket.sendall(told)
                self.socket.shutdown(socket.SHUT_RDWR)
            elif isinstance(word, bytes):
                told += word
            else:
                told += self._honest(word if isinstance(word, Message) else word(message))
        if told:
            self.socket.sendall(told)

    def _honest(self, message: Message) -> bytes:
        try:
            return self._connection.send(message)
        except LocalProtocolError:
            return message.encode()

    def _drip(self, data: bytes) -> None:
        while True:
            for byte in data:
                self.socket.sendall(bytes((byte,)))
                if select.select([self.socket], [], [], _PACE)[0]:
                    more = self.socket.recv(65536)
                    if not more:
                        return
                    self.received += more
                    self.after += more


def _words(reply: object) -> tuple[Word, ...]:
    return cast("tuple[Word, ...]", reply if isinstance(reply, tuple) else (reply,))


class LiarServer:
    """Listens on 127.0.0.1; says these replies on every connection, and then nothing."""

    def __init__(self, *replies: Reply | Banner, tls: ssl.SSLContext | None = None) -> None:
        self._replies = replies
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lines: list[_Line] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for line in self.lines:
            try:
                line.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself
        for thread in self._threads[1:]:
            thread.join()
        for line in self.lines:
            line.socket.close()
            if line.failure is not None and error is None:
                raise line.failure

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listener.accept()
            except OSError:
                return
            line = _Line(opened, self._replies, self._tls)
            self.lines.append(line)
            thread = threading.Thread(target=line.serve)
            self._threads.append(thread)
            thread.start()

    @property
    def heard(self) -> bytes:
        """Every byte that it was told."""
        return b"".join([bytes(line.received) for line in self.lines])

    @property
    def left(self) -> bool:
        """Whether every client has hung up."""
        return all(line.ended for line in self.lines)
