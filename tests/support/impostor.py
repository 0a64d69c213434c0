"""Somebody in a server's place: one who lies, and one who only wants to know how he is greeted."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Greeting", "Impostor", "greeter", "impostor"]

_PATIENCE = 60.0
_CLIENT_HELLO = b"\x16"


@dataclass
class Impostor:
    """What it has seen, one entry for each connection."""

    port: int
    asked: list[bytes] = field(default_factory=list[bytes])
    """The first eight bytes: an SSLRequest, if it was asked for TLS."""
    told: list[bytes] = field(default_factory=list[bytes])
    """What came after its answer."""


@contextmanager
def impostor(answer: bytes) -> Generator[Impostor, None, None]:
    """Answer whatever is asked first with these bytes, and listen; all is seen when the block has ended."""

    def serve(client: socket.socket) -> None:
        seen.asked.append(_question(client))
        seen.told.append(_converse(client, answer))

    with _listening(serve) as port:
        seen = Impostor(port)
        yield seen


@dataclass
class Greeting:
    """The last one."""

    port: int
    server_name: str | None = None
    """SNI."""


@contextmanager
def greeter(context: ssl.SSLContext) -> Generator[Greeting, None, None]:
    """Agree to TLS, shake hands, and hang up."""

    def serve(client: socket.socket) -> None:
        seen.server_name = None
        if client.recv(1, socket.MSG_PEEK) != _CLIENT_HELLO:
            _question(client)
            client.sendall(b"S")
        # Another handle, to read on after a handshake that failed: else the line would be reset.
        with client.dup() as raw:
            with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secured:
                secured.recv(1)
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65_536):
                    pass

    def note(_: object, server_name: str | None, __: object) -> None:
        seen.server_name = server_name

    context.sni_callback = note
    with _listening(serve) as port:
        seen = Greeting(port)
        yield seen


@contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Generator[int, None, None]:
    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(_PATIENCE)
                serve(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            # Ends the wait for the next connection.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_PATIENCE)


def _question(client: socket.socket) -> bytes:
    question = b""
    while len(question) < 8 and (more := client.recv(8 - len(question))):
        question += more
    return question


def _converse(client: socket.socket, answer: bytes) -> bytes:
    heard = b""
    # It may hang up at any time, with a reset.
    with contextlib.suppress(OSError):
        client.sendall(answer)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65_536):
            heard += more
    return heard
