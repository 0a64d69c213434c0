"""The blocking driver: whoever waits for an answer drives the socket for everybody who does.

There is no background thread. One lock guards the machine and the socket; it is never held while a thread
waits. The first thread that needs an answer takes the wheel: it waits for the socket, in both directions at
once, and feeds the machine. When its own answer has come it hands the wheel to the next that waits.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from pgproto import _effects as effects
from pgproto._connecting import cancel
from pgproto._host import read_file
from pgproto._session import Goodbye, Lease, Request, RequestMachine, SessionCore, Waitable
from pgproto.errors import Error

__all__ = ["Driver"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
_CHUNK = 256 * 1024


class Driver:
    """Owns one socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passengers: deque[Waitable] = deque()
        self._core: SessionCore | None = None
        self._machine: RequestMachine | None = None
        self._socket: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None
        self._watched = _READ
        self._outgoing = memoryview(b"")
        self._driving = False
        self._deadline: float | None = None
        self._process = os.getpid()
        # What TLS wants before it can go on: to write in the midst of reading, or the other way round.
        self._read_wants_write = False
        self._write_wants_read = False

    clock: Callable[[], float] = staticmethod(time.monotonic)
    """The clock of all deadlines, in seconds."""

    # Effects of a flow.

    def run(self, flow: effects.Flow[R]) -> R:
        """Carry out a flow; if it fails, the socket is closed."""
        result: object = None
        error: BaseException | None = None
        try:
            while True:
                try:
                    effect = flow.send(result) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return cast("R", stop.value)
                result = error = None
                try:
                    result = self._perform(effect)
                except (OSError, Error) as failure:
                    error = failure
        except BaseException:
            self._close_socket()
            raise
        finally:
            flow.close()

    def _perform(self, effect: effects.Effect[object]) -> object:
        match effect:
            case effects.SetDeadline():
                self._deadline = effect.at
            case effects.Now():
                return time.monotonic()
            case effects.Entropy():
                return os.urandom(effect.size)
            case effects.ReadFile():
                return read_file(effect.path)
            case effects.RunInThread():
                return effect.work()
            case effects.AskPassword():
                answer = effect.ask()
                if inspect.isawaitable(answer):
                    raise TypeError("a blocking session cannot await the password; give a plain function")
                return answer
            case effects.Resolve():
                found = self._resolve(effect.host, effect.port)
                return tuple([effects.TCPAddress(str(each[4][0]), effect.port) for each in found])
            case effects.OpenSocket():
                self._open(effect)
            case effects.Send():
                self._send(effect.data)
            case effects.Receive():
                return self._receive(effect.limit)
            case effects.StartTLS():
                return self._start_tls(effect)
            case effects.CloseSocket():
                self._close_socket()
            case _:
                raise TypeError(f"{effect!r} is no effect that a transport knows")
        return None

    def _resolve(self, host: str, port: int) -> list[Any]:
        # The system's resolver knows no deadline, so a thread waits for it and is left behind if it must be.
        answers: list[list[Any] | OSError] = []

        def ask() -> None:
            try:
                answers.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except OSError as error:
                answers.append(error)

        thread = threading.Thread(target=ask, name="pgproto-resolve", daemon=True)
        thread.start()
        thread.join(self._remaining())
        if not answers:
            raise TimeoutError(f"the address of {host} was not found in time")
        if isinstance(answers[0], OSError):
            raise answers[0]
        return answers[0]

    def _open(self, effect: effects.OpenSocket) -> None:
        address = effect.address
        if isinstance(address, effects.UnixAddress):
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: Any = "\0" + address.path[1:] if address.path.startswith("@") else address.path
        else:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, target = found[0]
            opened = socket.socket(family, kind, protocol)
        self._socket = opened
        opened.settimeout(self._remaining())
        opened.connect(target)
        opened.setblocking(False)
        for level, name, value in effect.socket_options():
            if hasattr(socket, name):
                opened.setsockopt(getattr(socket, level), getattr(socket, name), value)
        self._selector = selectors.DefaultSelector()
        self._selector.register(opened, _READ)
        self._watched = _READ

    def _remaining(self) -> float | None:
        if self._deadline is None:
            return None
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the connection was not established in time")
        return remaining

    def _send(self, data: bytes) -> None:
        self._outgoing = memoryview(data)
        while True:
            self._write_some()
            if not self._outgoing:
                return
            self._wait(self._remaining())

    def _receive(self, limit: int | None) -> bytes:
        while True:
            data = self._read_some(limit or _CHUNK)
            if data is not None:
                return data
            self._wait(self._remaining())

    def _start_tls(self, effect: effects.StartTLS) -> effects.TLSInfo:
        from pgproto._tls import describe

        plain = self._expect_socket()
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
                self._wait(self._remaining())
            except ssl.SSLWantWriteError:
                self._read_wants_write = True
                self._wait(self._remaining())
            else:
                return describe(secured)
            finally:
                self._read_wants_write = False

    def _selector_for(self, watched: socket.socket | None) -> None:
        if self._selector is not None:
            self._selector.close()
        self._selector = None
        if watched is not None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(watched, _READ)
            self._watched = _READ

    def _expect_socket(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        return self._socket

    # The socket: no method here ever blocks but `_wait`.

    def _write_some(self) -> None:
        """Write what the socket takes of what is to be written."""
        opened = self._expect_socket()
        self._write_wants_read = False
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[opened.send(self._outgoing) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            return
        except ssl.SSLWantReadError:
            self._write_wants_read = True

    def _read_some(self, limit: int) -> bytes | None:
        """What has arrived, at most ``limit`` bytes; ``b""`` at the end, None if there is nothing yet."""
        self._read_wants_write = False
        try:
            return self._expect_socket().recv(limit)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self._read_wants_write = True
            return None
        except ssl.SSLError as error:
            # An end without close_notify is an end like any other; the protocol has its own goodbye.
            if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                return b""
            raise

    def _watch(self) -> None:
        """Tell the selector what is wanted of the socket; it takes effect on a thread that waits already."""
        wants_write = self._read_wants_write or (len(self._outgoing) > 0 and not self._write_wants_read)
        wanted = _READ | _WRITE if wants_write else _READ
        if wanted != self._watched and self._selector is not None and self._socket is not None:
            self._selector.modify(self._socket, wanted)
            self._watched = wanted

    def _wait(self, timeout: float | None) -> None:
        """Wait until the socket can do what is wanted of it, for at most ``timeout`` seconds."""
        self._watch()
        if self._selector is not None:
            self._selector.select(timeout)

    def _close_socket(self) -> None:
        opened, self._socket = self._socket, None
        selector, self._selector = self._selector, None
        self._outgoing = memoryview(b"")
        if selector is not None:
            selector.close()
        if opened is not None:
            opened.close()

    # The session.

    def attach(self, core: SessionCore) -> None:
        """From now on the socket serves this session."""
        self._core = core
        self._machine = machine = core.machine
        logger.debug("session %s: started", machine.process_id)

    def perform(self, request: Request[R], lease: Lease | None = None) -> R:
        """Hand a request to the machine and see to it that its outcome comes."""
        self.start(request, lease)
        try:
            while not request.done:
                self.wait(request)
        except BaseException:
            # Only an interrupt gets here. If it came while this thread was waiting, all is in order and the
            # answer will be dropped when it comes; if not, `_drive` has closed the session.
            self.leave(request)
            raise
        return request.result()

    def start(self, request: Request[object], lease: Lease | None = None) -> None:
        """Hand a request to the machine."""
        machine = self._expect_machine()
        with self._lock:
            machine.submit(request, lease)
            self._exchange(machine, reading=False)

    def wait(self, waitable: Waitable, timeout: float | None = None) -> None:
        """Drive, or wait as a passenger, until there is news of it; or for ``timeout`` seconds."""
        machine = self._expect_machine()
        until = None if timeout is None else time.monotonic() + timeout
        while not (waitable.stirred or waitable.done):
            if until is not None and time.monotonic() >= until:
                return
            self._ride(machine, waitable, until)
        waitable.stirred = False

    def leave(self, request: Request[object]) -> None:
        """The caller waits for the request no more."""
        machine = self._expect_machine()
        with self._lock:
            machine.abandon(request)
            self._exchange(machine, reading=False)
            self._hand_over()
        self._cancel_if_wanted(machine)

    def act(self, action: Callable[[], R]) -> R:
        """Do something to the machine, and write what it then has to say."""
        machine = self._expect_machine()
        with self._lock:
            try:
                return action()
            finally:
                self._exchange(machine, reading=False)

    def _cancel_if_wanted(self, machine: RequestMachine) -> None:
        with self._lock:
            wanted = machine.take_cancel()
        if not wanted:
            return
        try:
            deadline = time.monotonic() + machine.cancel_timeout
            Driver().run(cancel(self._expect_core().established, deadline=deadline))
        except (OSError, Error) as error:
            logger.warning("session %s: a cancel request failed: %s", machine.process_id, error)
        finally:
            with self._lock:
                machine.cancel_delivered()
                self._exchange(machine, reading=False)

    def _expect_core(self) -> SessionCore:
        if self._core is None:
            raise RuntimeError("the session was not established")
        return self._core

    def _expect_machine(self) -> RequestMachine:
        if self._machine is None:
            raise RuntimeError("the session was not established")
        if self._process != os.getpid():
            raise RuntimeError("the session belongs to the process that was forked; open another one")
        return self._machine

    def _ride(self, machine: RequestMachine, waitable: Waitable, until: float | None) -> None:
        with self._lock:
            if waitable.stirred or waitable.done:
                return
            waiting = None
            if self._driving:
                waiting = threading.Lock()
                waiting.acquire()
                waitable.waiter = waiting
                self._passengers.append(waitable)
            else:
                self._driving = True
                try:
                    self._drive(machine, waitable, until)
                finally:
                    self._driving = False
                    self._hand_over()
        if waiting is None:
            self._cancel_if_wanted(machine)
            return
        try:
            waiting.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic()))
        finally:
            with self._lock:
                if waitable.waiter is waiting:
                    waitable.waiter = None
                elif not (waitable.stirred or waitable.done):
                    # It was this thread's turn to drive; should it not come to that, another must.
                    self._hand_over()

    def _hand_over(self) -> None:
        """Let the next passenger take the wheel."""
        while not self._driving and self._passengers:
            passenger = self._passengers.popleft()
            if passenger.waiter is not None:
                _wake(passenger)
                return

    def _drive(self, machine: RequestMachine, waitable: Waitable, until: float | None) -> None:
        in_order = False
        try:
            while not (waitable.stirred or waitable.done):
                now = time.monotonic()
                if until is not None and now >= until:
                    return
                times = [each for each in (machine.next_deadline(), until) if each is not None]
                self._watch()
                in_order = True
                self._lock.release()
                try:
                    self._wait(max(0.0, min(times) - now) if times else None)
                finally:
                    self._lock.acquire()
                in_order = False
                machine.tick()
                self._exchange(machine)
        except BaseException:
            if not in_order:
                machine.connection_lost(None)
                self._close_socket()
            raise

    def _exchange(self, machine: RequestMachine, *, reading: bool = True) -> None:
        """Move bytes both ways as far as the socket goes, and wake those who got their outcome."""
        try:
            if (
                reading
                and not machine.reading_paused
                and self._socket is not None
                and (data := self._read_some(_CHUNK)) is not None
            ):
                machine.receive_data(data)
            while self._socket is not None and (self._outgoing or self._take_outgoing(machine)):
                self._write_some()
                if self._outgoing:
                    break
        except OSError as error:
            machine.connection_lost(error)
        if machine.failure is not None and self._socket is not None:
            logger.info("session %s: ended: %s", machine.process_id, machine.failure)
            self._close_socket()
        self._watch()
        for stirred in machine.take_stirred():
            if stirred.waiter is not None:
                _wake(stirred)
        for handler, argument in machine.take_callbacks():
            try:
                handler(argument)
            except Exception:
                logger.exception("session %s: a handler failed", machine.process_id)
        while machine.remarks:
            logger.warning("session %s: %s", machine.process_id, machine.remarks.pop(0))

    def _take_outgoing(self, machine: RequestMachine) -> bool:
        self._outgoing = memoryview(machine.data_to_send())
        return len(self._outgoing) > 0

    # The end.

    def abort(self) -> None:
        """Close the socket at once, without a word to the server."""
        if self._process != os.getpid():
            # The parent goes on using the connection; this process only lets go of its copy.
            self._close_socket()
            return
        with self._lock:
            if self._machine is not None:
                self._machine.connection_lost(None)
                self._exchange(self._machine, reading=False)
            self._close_socket()

    def close(self, timeout: float) -> None:
        """Let pending requests finish, say goodbye, and close, all within ``timeout`` seconds."""
        try:
            with contextlib.suppress(Error):
                self.perform(Goodbye(timeout))
        finally:
            self.abort()


def _wake(waitable: Waitable) -> None:
    """Let the thread go on that waits for this as a passenger."""
    waiting, waitable.waiter = cast("threading.Lock", waitable.waiter), None
    waiting.release()
