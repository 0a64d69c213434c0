"""A server in memory behind real sockets, for programs with threads: `open_socket` leads to it.

    with WiredServer(FakeServer({...})) as wired:
        pgproto_blocking.connect(dsn, open_socket=wired.open_socket)

It has a thread of its own, and the time of the real world.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pgproto.testing import FakeServer, FakeSession

__all__ = ["WiredServer"]

_CHUNK = 64 * 1024


@dataclass(eq=False)
class _Line:
    socket: socket.socket
    session: FakeSession


class WiredServer:
    """Serves whoever calls `open_socket`, until the block ends."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.most = 0
        """How many sessions it had at one time at most; cancel requests are none."""
        self.opened = 0
        """How many connections were made."""
        self._lines: dict[socket.socket, _Line] = {}
        self._todo: deque[Callable[[], object]] = deque()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="wired-server", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        self._bell.send(b"!")
        self._thread.join()
        for line in list(self._lines.values()):
            self._close(line)
        for each in (self._selector, self._bell, self._ear):
            each.close()

    @property
    def live(self) -> int:
        """How many sessions it has now."""
        return sum(1 for line in list(self._lines.values()) if line.session.startup)

    def call(self, function: Callable[[], object]) -> None:
        """Do something to the server, in its own thread, soon."""
        self._todo.append(function)
        self._bell.send(b"!")

    def open_socket(self, host: str, port: int) -> socket.socket:
        """Connect; all hosts are this one."""
        del host, port
        near, far = socket.socketpair()
        far.setblocking(False)
        self.opened += 1
        self.call(lambda: self._accept(far))
        return near

    def _accept(self, far: socket.socket) -> None:
        self._lines[far] = _Line(far, self.server())
        self._selector.register(far, selectors.EVENT_READ)

    def _run(self) -> None:
        while not self._ended:
            times = [line.session.next_time() for line in self._lines.values()]
            until = min([each for each in times if each is not None], default=None)
            for key, _ in self._selector.select(None if until is None else max(0, until - time.monotonic())):
                if key.fileobj is self._ear:
                    self._ear.recv(_CHUNK)
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._lines:
                    self._hear(self._lines[key.fileobj])
            while self._todo:
                self._todo.popleft()()
            # A cancel request on one line lets another speak.
            for line in list(self._lines.values()):
                self._speak(line)
            self.most = max(self.most, self.live)

    def _hear(self, line: _Line) -> None:
        try:
            data = line.socket.recv(_CHUNK)
        except OSError:
            data = b""
        line.session.receive_data(data)
        if not data:
            line.session.data_to_send(time.monotonic())
            self._close(line)

    def _speak(self, line: _Line) -> None:
        data = line.session.data_to_send(time.monotonic())
        try:
            # What the fake says fits into the buffer of a socket.
            if data and line.socket.send(data) < len(data):
                raise AssertionError("too much was said at a time")
        except OSError:
            self._close(line)
            return
        if line.session.is_closed:
            self._close(line)

    def _close(self, line: _Line) -> None:
        if self._lines.pop(line.socket, None) is not None:
            self._selector.unregister(line.socket)
            line.socket.close()
