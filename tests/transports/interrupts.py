"""Where threads are interrupted: a server at the far end of a pair of sockets, and a hand on every line."""

from __future__ import annotations

import faulthandler
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pgproto
import pgproto_blocking
from pgproto.testing import FakeServer, FakeSession

__all__ = ["PATIENCE", "Line", "Loopback", "Outcome", "in_threads", "interrupted_at"]

PATIENCE = 60.0
"""Seconds after which whoever has not come back never will."""

_SOURCES = tuple(str(Path(package.__file__ or "").parent) for package in (pgproto, pgproto_blocking))

Trace: TypeAlias = Callable[[FrameType, str, Any], Any]


class Loopback:
    """A server in memory, with a thread for each connection that takes bytes there and back."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.ends: list[socket.socket] = []
        """The clients' ends."""
        self._threads: list[threading.Thread] = []

    def open_socket(self, host: str, port: int) -> socket.socket:
        """Connect."""
        near, far = socket.socketpair()
        self.ends.append(near)
        thread = threading.Thread(target=self._carry, args=(self.server(), far), daemon=True)
        self._threads.append(thread)
        thread.start()
        return near

    @staticmethod
    def _carry(peer: FakeSession, far: socket.socket) -> None:
        with far:
            while True:
                until = peer.next_time()
                timeout = None if until is None else max(0.0, until - time.monotonic())
                if select.select([far], [], [], timeout)[0]:
                    try:
                        data = far.recv(1 << 16)
                    except ConnectionResetError:
                        data = b""
                    peer.receive_data(data)
                    if not data:
                        return
                try:
                    far.sendall(peer.data_to_send(time.monotonic()))
                except BrokenPipeError:
                    peer.receive_data(b"")
                    return
                if peer.is_closed:
                    return

    def join(self) -> None:
        """Wait until every connection has come to its end."""
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), "a connection is left open"
        assert all(end.fileno() == -1 for end in self.ends), "a file descriptor is left open"


class Line:
    """Counts the lines of this project that a thread comes to, and interrupts it before a chosen one."""

    def __init__(self, number: int = -1) -> None:
        self.number = number
        self.count = 0
        self.where = ""
        """Where it was interrupted; empty if it was not."""

    @contextmanager
    def traced(self) -> Generator[None, None, None]:
        """The lines that this thread comes to in the block count."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Trace | None:
        return self._step if frame.f_code.co_filename.startswith(_SOURCES) else None

    def _step(self, frame: FrameType, event: str, argument: object) -> Trace:
        if event == "line" and not self.where:
            self.count += 1
            # What a finalizer raises does not come out of it, so the next line has to do.
            if 0 < self.number <= self.count and not _is_within(frame, "__del__"):
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_qualname}"
                raise KeyboardInterrupt
        return self._step


def _is_within(frame: FrameType | None, name: str) -> bool:
    while frame is not None:
        if frame.f_code.co_name == name:
            return True
        frame = frame.f_back
    return False


class Outcome:
    """What came of a function in a thread of its own."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self.thread.start()

    def _run(self, function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            self.error = error


def in_threads(*functions: Callable[[], object]) -> list[BaseException | None]:
    """Run all of them at once; returns what they raised. Fails if one does not come back."""
    outcomes = [Outcome(function) for function in functions]
    deadline = time.monotonic() + PATIENCE
    for outcome in outcomes:
        outcome.thread.join(max(0.0, deadline - time.monotonic()))
    if any(outcome.thread.is_alive() for outcome in outcomes):
        raise AssertionError(f"a thread does not come back:\n{_stacks()}")
    return [outcome.error for outcome in outcomes]


def _stacks() -> str:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read().decode()


def interrupted_at(line: Line, function: Callable[[], object]) -> Callable[[], None]:
    """The function, interrupted at that line; it fails if it does not raise what it was interrupted with."""

    def run() -> None:
        try:
            with line.traced():
                function()
        except KeyboardInterrupt:
            assert line.where, "nobody has interrupted it"
        else:
            assert not line.where, "the interrupt was swallowed"

    return run
