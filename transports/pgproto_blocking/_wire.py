"""One socket that never blocks, plain or under TLS, and waiting for it in both directions at once."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

from pgproto import _effects as effects
from pgproto.errors import ConfigError, RemoteProtocolError
from pgproto_blocking._selector import READ, WRITE, Selector, new_selector

__all__ = ["Wire"]

T = TypeVar("T")

_LITTLE: Final = 16 * 1024
_MUCH: Final = 256 * 1024
_LONGEST_WAIT: Final = 24 * 3600.0
"""System calls count milliseconds, and not far; whoever has more time waits again."""


class Wire:
    """A socket; no method that a session uses blocks, but `wait`."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._selector: Selector | None = None
        self._watched = READ
        self._room = _LITTLE
        """How many bytes are read at a time: few, unless so many came the last time."""
        self.outgoing: bytes | memoryview = b""
        """What is still to be written."""
        self.deadline: float | None = None
        """When opening, sending and receiving give up, by the monotonic clock."""
        self.latest = math.inf
        """When they give up in any case."""
        # What TLS wants before it can go on: to write in the midst of reading, or the other way round.
        self._read_wants_write = False
        self._write_wants_read = False
        self.is_calm = True
        """Whether all that the selector has to look for is bytes to read, and it does."""

    @property
    def is_open(self) -> bool:
        """Whether there is a socket."""
        return self._socket is not None

    def open(self, effect: effects.OpenSocket) -> None:
        address = effect.address
        # Whoever is interrupted finds the socket where `close` looks for it, as soon as there is one.
        if isinstance(address, effects.UnixAddress):
            self._socket = opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: Any = "\0" + address.path[1:] if address.path.startswith("@") else address.path
        else:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, target = found[0]
            self._socket = opened = socket.socket(family, kind, protocol)
        opened.settimeout(self._remaining())
        opened.connect(target)
        self._begin(opened)
        for level, name, value in effect.socket_options():
            if hasattr(socket, name):
                opened.setsockopt(getattr(socket, level), getattr(socket, name), value)

    def open_stream(self, effect: effects.OpenStream) -> None:
        """Use the socket that the application has connected."""

        def make() -> Any:
            return effect.open(effect.host, effect.port)

        self._socket = self.in_time(make, "open_socket took too long", _close_if_possible)
        opened: object = self._socket
        if not isinstance(opened, socket.socket):
            self._socket = None
            raise ConfigError(
                f"open_socket returned an object of type {type(opened).__name__}; "
                f"in a blocking session it must be a connected socket.socket"
            )
        self._begin(opened)

    def _begin(self, opened: socket.socket) -> None:
        opened.setblocking(False)
        self._selector_for(opened)

    def start_tls(self, effect: effects.StartTLS) -> effects.TLSInfo:
        from pgproto._tls import describe

        plain = self.expect()
        # In TLS the client speaks first: what has come already is not from the other end of it.
        with contextlib.suppress(BlockingIOError):
            if plain.recv(1, socket.MSG_PEEK):
                raise RemoteProtocolError("unencrypted bytes arrived before the TLS handshake")
        self._selector_for(None)
        context = cast("ssl.SSLContext", effect.context)
        secured = context.wrap_socket(
            plain, server_hostname=effect.server_hostname, do_handshake_on_connect=False
        )
        self._socket = secured
        self._selector_for(secured)
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                self._wait_in_time()
            except ssl.SSLWantWriteError:
                self._read_wants_write = True
                self._wait_in_time()
            else:
                return describe(secured)
            finally:
                self._read_wants_write = False

    def _selector_for(self, watched: socket.socket | None) -> None:
        if self._selector is not None:
            self._selector.close()
        self._selector = None
        if watched is not None:
            self._selector = new_selector()
            self._selector.register(watched, READ)
            self._watched = READ

    def expect(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        return self._socket

    def send(self, data: bytes) -> None:
        self.outgoing = data
        while True:
            self.write_some()
            if not self.outgoing:
                return
            self._wait_in_time()

    def receive(self, limit: int | None) -> bytes:
        while True:
            data = self.read_some(limit)
            if data is not None:
                return data
            self._wait_in_time()

    def _wait_in_time(self) -> None:
        self.watch()
        self.wait(self._remaining())

    def write_some(self) -> None:
        """Write what the socket takes of what is to be written."""
        opened, data = self._socket or self.expect(), self.outgoing
        self._write_wants_read = False
        try:
            while (sent := opened.send(data)) < len(data):
                self.outgoing = data = memoryview(data)[sent:]
            self.outgoing = b""
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.is_calm = False
        except ssl.SSLWantReadError:
            self._write_wants_read = True
            self.is_calm = False

    def read_some(self, limit: int | None = None) -> bytes | None:
        """What has arrived, at most ``limit`` bytes; ``b""`` at the end, None if there is nothing yet."""
        self._read_wants_write = False
        room = self._room if limit is None else limit
        try:
            data = (self._socket or self.expect()).recv(room)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self._read_wants_write = True
            self.is_calm = False
            return None
        except ssl.SSLError as error:
            # An end without close_notify is an end like any other; the protocol has its own goodbye.
            if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                return b""
            raise
        self._room = _MUCH if len(data) == room else _LITTLE
        return data

    def watch(self, *, reading_paused: bool = False) -> None:
        """Tell the selector what is wanted of the socket; it takes effect on a thread that waits already.

        When reading is paused, nobody wants what comes, so that there is no use in waiting for it.
        """
        wanted = 0 if reading_paused and not self._write_wants_read else READ
        if self._read_wants_write or (self.outgoing and not self._write_wants_read):
            wanted |= WRITE
        self.is_calm = wanted == READ and not self._write_wants_read
        if wanted == self._watched:
            return
        watched, selector, opened = self._watched, self._selector, self._socket
        if selector is None or opened is None:
            return
        if not wanted:
            selector.unregister(opened)
        elif not watched:
            selector.register(opened, wanted)
        else:
            selector.modify(opened, wanted)
        self._watched = wanted

    def wait(self, timeout: float | None) -> None:
        """Wait until the socket can do what is wanted of it, for at most ``timeout`` seconds."""
        if timeout is not None and timeout > _LONGEST_WAIT:
            timeout = _LONGEST_WAIT
        selector = self._selector
        if selector is not None:
            selector.select(timeout)

    def shut_down(self) -> None:
        """End the connection, so that a thread that waits for it wakes up and closes it."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; whoever is interrupted in here has to come again."""
        self.outgoing = b""
        if self._selector is not None:
            self._selector.close()
        if self._socket is not None:
            self._socket.close()
        self._selector = self._socket = None

    def resolve(self, host: str, port: int) -> list[Any]:
        """The addresses of a host name, as `socket.getaddrinfo` has them."""
        late = f"the address of {host} was not found in time"
        return self.in_time(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), late)

    def in_time(self, work: Callable[[], T], late: str, discard: Callable[[T], object] | None = None) -> T:
        """What ``work()`` returns or raises. What comes too late is given to ``discard``.

        It may know of no deadline, so a thread does it, and is left behind if it must be.
        """
        remaining = self._remaining()
        outcome: Future[T] = Future()

        def attempt() -> None:
            try:
                result = work()
            except BaseException as error:
                if outcome.set_running_or_notify_cancel():
                    outcome.set_exception(error)
                return
            if outcome.set_running_or_notify_cancel():
                outcome.set_result(result)
            elif discard is not None:
                discard(result)

        try:
            thread = threading.Thread(
                target=copy_context().run, args=(attempt,), name="pgproto-open", daemon=True
            )
            thread.start()
            thread.join(remaining)
            if outcome.cancel():
                raise TimeoutError(late)
            return outcome.result()
        except BaseException:
            if not outcome.cancel() and discard is not None and outcome.exception() is None:
                discard(outcome.result())
            raise

    def _remaining(self) -> float | None:
        deadline = self.latest if self.deadline is None else min(self.deadline, self.latest)
        if deadline == math.inf:
            return None
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the connection was not established in time")
        return min(remaining, _LONGEST_WAIT)


def _close_if_possible(opened: object) -> None:
    if isinstance(opened, socket.socket):
        opened.close()
