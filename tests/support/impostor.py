"""Somebody in a server's place, who answers whatever is asked first with bytes of our choice, and listens."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Impostor", "impostor"]

_PATIENCE = 10.0


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
    """Listen on the loopback interface; everything is seen when the block has ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Impostor(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, answer, seen))
        thread.start()
        try:
            yield seen
        finally:
            # Ends the wait for the next connection.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_PATIENCE)


def _serve(listener: socket.socket, answer: bytes, seen: Impostor) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            client.settimeout(_PATIENCE)
            question = b""
            while len(question) < 8 and (more := client.recv(8 - len(question))):
                question += more
            seen.asked.append(question)
            seen.told.append(_converse(client, answer))


def _converse(client: socket.socket, answer: bytes) -> bytes:
    heard = b""
    # It may hang up at any time, with a reset.
    with contextlib.suppress(OSError):
        client.sendall(answer)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65_536):
            heard += more
    return heard
