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
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar, cast

from pgproto import _effects as effects
from pgproto._connecting import cancel
from pgproto._host import PEER_CREDENTIALS_SIZE, peer_user, read_file
from pgproto._session import Goodbye, Lease, Request, RequestMachine, SessionCore, Waitable
from pgproto.errors import Error
from pgproto_blocking._wire import CHUNK, Wire

__all__ = ["Driver"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")


class Driver:
    """Owns one socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passengers: deque[Waitable] = deque()
        self._core: SessionCore | None = None
        self._machine: RequestMachine | None = None
        self._wire = Wire()
        self._driving: int | None = None
        self._process = os.getpid()

    clock: Callable[[], float] = staticmethod(time.monotonic)
    """The clock of all deadlines, in seconds."""

    # Effects of a flow.

    def run(self, flow: effects.Flow[R], latest: float | None = None) -> R:
        """Carry out a flow; if it fails, the socket is closed. It fails if it takes until ``latest``."""
        result: object = None
        error: BaseException | None = None
        try:
            if latest is not None:
                self._wire.latest = min(self._wire.latest, latest)
            while True:
                try:
                    effect = flow.send(result) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return cast("R", stop.value)
                result = error = None
                try:
                    result = self._perform(effect)
                except Exception as failure:
                    # Not a cancellation, which is no Exception: the flow decides what a failure means.
                    error = failure
        except BaseException:
            self._wire.close()
            raise
        finally:
            flow.close()

    def _perform(self, effect: effects.Effect[object]) -> object:
        match effect:
            case effects.SetDeadline():
                self._wire.deadline = effect.at
            case effects.Now():
                return time.monotonic()
            case effects.Entropy():
                return os.urandom(effect.size)
            case effects.ReadFile():
                return read_file(effect.path)
            case effects.Warn():
                logger.warning("%s", effect.message)
            case effects.RunInThread():
                return effect.work()
            case effects.AskPassword():
                answer = effect.ask()
                if inspect.isawaitable(answer):
                    raise TypeError("a blocking session cannot await the password; give a plain function")
                return answer
            case effects.Resolve():
                found = self._wire.resolve(effect.host, effect.port)
                return tuple([effects.TCPAddress(str(each[4][0]), effect.port) for each in found])
            case effects.OpenSocket():
                self._wire.open(effect)
            case effects.OpenStream():
                self._wire.open_stream(effect)
            case effects.PeerUser():
                opened = self._wire.expect()
                return peer_user(
                    opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS_SIZE)
                )
            case effects.Send():
                self._wire.send(effect.data)
            case effects.Receive():
                return self._wire.receive(effect.limit)
            case effects.StartTLS():
                return self._wire.start_tls(effect)
            case effects.CloseSocket():
                self._wire.close()
            case _:
                raise TypeError(f"{effect!r} is no effect that a transport knows")
        return None

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
        self._report(machine)

    def wait(self, waitable: Waitable, timeout: float | None = None) -> None:
        """Drive, or wait as a passenger, until there is news of it; or for ``timeout`` seconds."""
        machine = self._expect_machine()
        until = None if timeout is None else time.monotonic() + timeout
        while not _has_news(waitable):
            if until is not None and time.monotonic() >= until:
                return
            self._ride(machine, waitable, until)
        waitable.stirred = False

    def look(self) -> None:
        """Read what has come, without waiting for anything; unless another thread does so anyway."""
        machine = self._expect_machine()
        with self._lock:
            if self._driving is None:
                self._exchange(machine)
        self._report(machine)

    def leave(self, request: Request[object]) -> None:
        """The caller waits for the request no more."""
        machine = self._expect_machine()
        with self._lock:
            machine.abandon(request)
            self._exchange(machine, reading=False)
            self._hand_over()
        self._cancel_if_wanted(machine)
        self._report(machine)

    def act(self, action: Callable[[], R]) -> R:
        """Do something to the machine, and write what it then has to say."""
        machine = self._expect_machine()
        try:
            with self._lock:
                try:
                    return action()
                finally:
                    self._exchange(machine, reading=False)
        finally:
            self._cancel_if_wanted(machine)
            self._report(machine)

    def _cancel_if_wanted(self, machine: RequestMachine) -> None:
        with self._lock:
            wanted = machine.take_cancel()
        if wanted:
            self._carry_cancel(machine)

    def _carry_cancel(self, machine: RequestMachine) -> None:
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
            if _has_news(waitable):
                return
            waiting = None
            times = _times(machine, until)
            if self._driving is not None:
                waiting = threading.Lock()
                waiting.acquire()
                waitable.waiter = waiting
                self._passengers.append(waitable)
            else:
                self._driving = threading.get_ident()
                try:
                    self._drive(machine, waitable, until)
                finally:
                    self._driving = None
                    self._hand_over()
        if waiting is not None:
            self._wait_as_passenger(machine, waitable, waiting, times)
        self._cancel_if_wanted(machine)
        self._report(machine)

    def _wait_as_passenger(
        self, machine: RequestMachine, waitable: Waitable, waiting: threading.Lock, times: list[float]
    ) -> None:
        try:
            waiting.acquire(timeout=max(0.0, min(times) - time.monotonic()) if times else -1)
        finally:
            with self._lock:
                if waitable.waiter is waiting:
                    # Nobody came; the driver waits for the socket, and may know nothing of this deadline.
                    waitable.waiter = None
                    self._passengers.remove(waitable)
                    machine.tick()
                    self._exchange(machine, reading=False)
                elif not _has_news(waitable):
                    # It was this thread's turn to drive; should it not come to that, another must.
                    self._hand_over()

    def _hand_over(self) -> None:
        """Let the next passenger take the wheel."""
        while self._driving is None and self._passengers:
            passenger = self._passengers.popleft()
            if passenger.waiter is not None:
                _wake(passenger)
                return

    def _drive(self, machine: RequestMachine, waitable: Waitable, until: float | None) -> None:
        in_order = False
        try:
            while not (_has_news(waitable) or machine.reports.callbacks or machine.remarks):
                now = time.monotonic()
                if until is not None and now >= until:
                    return
                times = _times(machine, until)
                self._wire.watch()
                in_order = True
                self._lock.release()
                try:
                    self._wire.wait(max(0.0, min(times) - now) if times else None)
                finally:
                    self._lock.acquire()
                in_order = False
                # What has come counts before what is late: nobody may have looked for a while.
                self._exchange(machine)
                machine.tick()
                self._exchange(machine, reading=False)
                if machine.take_cancel():
                    in_order = True
                    self._lock.release()
                    try:
                        self._carry_cancel(machine)
                    finally:
                        self._lock.acquire()
                    in_order = False
        except BaseException:
            if not in_order:
                machine.connection_lost(None)
                self._wire.close()
            raise

    def _exchange(self, machine: RequestMachine, *, reading: bool = True) -> None:
        """Move bytes both ways as far as the socket goes, and wake those who got their outcome."""
        try:
            if (
                reading
                and not machine.reading_paused
                and self._wire.is_open
                and (data := self._wire.read_some(CHUNK)) is not None
            ):
                machine.receive_data(data)
            while self._wire.is_open and (self._wire.outgoing or self._take_outgoing(machine)):
                self._wire.write_some()
                if self._wire.outgoing:
                    break
        except OSError as error:
            self._hear_out(machine)
            machine.connection_lost(error)
        if machine.failure is not None and self._wire.is_open:
            logger.info("session %s: ended: %s", machine.process_id, machine.failure)
            self._end_wire()
        self._wire.reading_paused = machine.reading_paused
        self._wire.watch()
        for stirred in machine.take_stirred():
            if stirred.waiter is not None:
                _wake(stirred)

    def _report(self, machine: RequestMachine) -> None:
        """Call handlers, while this thread holds nothing that they may need: they may use the session."""
        while machine.reports.callbacks or machine.remarks:
            with self._lock:
                callbacks = machine.take_callbacks()
                remarks, machine.remarks = machine.remarks, []
            for handler, argument in callbacks:
                try:
                    handler(argument)
                except Exception:
                    logger.exception("session %s: a handler failed", machine.process_id)
            for remark in remarks:
                logger.warning("session %s: %s", machine.process_id, remark)

    def _hear_out(self, machine: RequestMachine) -> None:
        """Writing has failed; what the server said before it hung up tells why."""
        with contextlib.suppress(OSError):
            while self._wire.is_open and (data := self._wire.read_some(CHUNK)):
                machine.receive_data(data)

    def _end_wire(self) -> None:
        # A socket is not closed under a thread that waits for it, which might never wake up again.
        if self._driving in (None, threading.get_ident()):
            self._wire.close()
        else:
            self._wire.shut_down()

    def _take_outgoing(self, machine: RequestMachine) -> bool:
        self._wire.outgoing = memoryview(machine.data_to_send())
        return len(self._wire.outgoing) > 0

    # The end.

    def interrupt(self) -> None:
        """Let the thread that carries out a flow fail soon."""
        self._wire.latest = 0.0
        self._wire.shut_down()

    def abort(self) -> None:
        """Close the socket at once, without a word to the server."""
        if self._process != os.getpid():
            # The parent goes on using the connection; this process only lets go of its copy.
            self._wire.close()
            return
        with self._lock:
            if self._machine is not None:
                self._machine.connection_lost(None)
                self._exchange(self._machine, reading=False)
            self._end_wire()
        if self._machine is not None:
            self._report(self._machine)

    def close(self, timeout: float) -> None:
        """Let pending requests finish, say goodbye, and close, all within ``timeout`` seconds."""
        try:
            if self._process == os.getpid():
                with contextlib.suppress(Error):
                    self.perform(Goodbye(timeout))
        finally:
            self.abort()


def _has_news(waitable: Waitable) -> bool:
    return waitable.stirred or waitable.done


def _times(machine: RequestMachine, until: float | None) -> list[float]:
    """When to stop waiting for the socket, whatever comes."""
    return [each for each in (machine.next_deadline(), until) if each is not None]


def _wake(waitable: Waitable) -> None:
    """Let the thread go on that waits for this as a passenger."""
    waiting, waitable.waiter = cast("threading.Lock", waitable.waiter), None
    waiting.release()
