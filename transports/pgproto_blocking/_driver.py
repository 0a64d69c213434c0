"""The blocking driver: whoever waits for an answer drives the socket for everybody who does.

There is no background thread. One lock guards the machine and the socket; it is never held while a thread
waits. The first thread that needs an answer takes the wheel: it waits for the socket, in both directions at
once, and feeds the machine. When its own answer has come it hands the wheel to the next that waits.

A signal handler may raise at any point, as that of Ctrl-C does. There are two kinds of points. Under the lock
a thread is in the midst of changing things, and nobody could say what it has left: the session ends, and
everybody who waits hears of it. Anywhere else all is in order, and the thread only has to get up from where
it sits: at the wheel, or among the passengers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TypeAlias, TypeVar

from pgproto import _effects as effects
from pgproto._connecting import cancel
from pgproto._session import (
    SEND_AT_ONCE,
    Callback,
    Goodbye,
    Lease,
    Request,
    RequestMachine,
    SessionCore,
    Waitable,
    break_off,
    give_outcome,
)
from pgproto.errors import ConnectionLost, Error
from pgproto_blocking._flow import run_flow
from pgproto_blocking._passengers import Passengers
from pgproto_blocking._wire import Wire

__all__ = ["Driver"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")

Seat: TypeAlias = "tuple[threading.Lock | None, float | None]"
"""Where a thread waits: a passenger for this lock, or at the wheel; and until when."""


class Driver:
    """Owns one socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passengers = Passengers()
        self._core: SessionCore | None = None
        self._machine: RequestMachine | None = None
        self._wire = Wire()
        self._at_wheel: int | None = None
        """The thread that waits for the socket, or is about to."""
        self._cut_off: str | None = None
        self._process = os.getpid()

    clock: Callable[[], float] = staticmethod(time.monotonic)
    """The clock of all deadlines, in seconds."""

    def run(self, flow: effects.Flow[R], latest: float | None = None) -> R:
        """Carry out a flow; if it fails, the socket is closed. It fails if it takes until ``latest``."""
        return run_flow(self._wire, flow, latest)

    def attach(self, core: SessionCore) -> None:
        """From now on the socket serves this session."""
        self._core = core
        self._machine = machine = core.machine
        logger.debug("session %s: started", machine.process_id)

    # What is done with a session.

    def perform(self, request: Request[R], lease: Lease | None = None) -> R:
        """Hand a request to the machine and see to it that its outcome comes."""
        machine = self._expect_machine()
        try:
            self._ride(machine, request, None, request, lease)
            while not request.done:
                request.stirred = False
                self._ride(machine, request, None)
        except BaseException:
            self.leave(request)
            raise
        return request.result()

    def start(self, request: Request[object], lease: Lease | None = None) -> None:
        """Hand a request to the machine."""
        self.act(partial(self._expect_machine().submit, request, lease))

    def wait(self, waitable: Waitable, timeout: float | None = None) -> None:
        """Drive, or wait as a passenger, until there is news of it; or for ``timeout`` seconds."""
        machine = self._expect_machine()
        if not (waitable.stirred or waitable.done):
            self._ride(machine, waitable, None if timeout is None else time.monotonic() + timeout)
        waitable.stirred = False

    def look(self) -> None:
        """Read what has come, without waiting for anything; unless another thread does so anyway."""
        machine = self._expect_machine()
        self._do(machine, lambda: self._exchange(machine, reading=self._at_wheel is None))

    def leave(self, request: Request[object]) -> None:
        """The caller waits for the request no more."""
        self.act(partial(self._expect_machine().abandon, request))

    def act(self, action: Callable[[], R]) -> R:
        """Do something to the machine, and write what it then has to say."""
        machine = self._expect_machine()
        return self._do(machine, partial(self._act, machine, action))

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

    # Waiting.

    def _ride(
        self,
        machine: RequestMachine,
        waitable: Waitable,
        until: float | None,
        submit: Request[object] | None = None,
        lease: Lease | None = None,
    ) -> None:
        """Hand in what is to be submitted, and wait, at the wheel or as a passenger, until there is news."""
        seat: Seat | None = None
        try:
            while True:
                with self._lock: seat = self._turn(machine, waitable, until, seat, submit, lease)  # fmt: skip  # noqa: E701
                submit = None
                if seat is None:
                    if machine.has_more:
                        self._run_errands(machine)
                    if waitable.stirred or waitable.done or (until is not None and until <= time.monotonic()):
                        return
                elif seat[0] is None:
                    self._wire.wait(None if seat[1] is None else max(0.0, seat[1] - time.monotonic()))
                else:
                    seat[0].acquire(timeout=-1 if seat[1] is None else max(0.0, seat[1] - time.monotonic()))
        except BaseException:
            self._do(machine, partial(self._get_up, machine, waitable, seat))
            raise

    def _turn(
        self,
        machine: RequestMachine,
        waitable: Waitable,
        until: float | None,
        seat: Seat | None,
        submit: Request[object] | None,
        lease: Lease | None,
    ) -> Seat | None:
        """Do what can be done without waiting; returns where to wait, or None if there is no need to."""
        try:
            me = get_ident()
            at_wheel = self._at_wheel == me
            if self._cut_off is not None:
                machine.fail(ConnectionLost(self._cut_off))
            if seat is not None and seat[0] is not None:
                self._passengers.remove(waitable, seat[0])
            if submit is not None:
                machine.submit(submit, lease)
            self._exchange(machine, reading=at_wheel)
            errands = False
            if until is not None or machine.has_more:
                until = self._see_to(machine, waitable, until)
                errands = self._has_errands(machine) or (until is not None and until <= time.monotonic())
            if waitable.stirred or waitable.done or errands:
                if at_wheel:
                    self._at_wheel = None
                if self._passengers.waiting:
                    self._hand_over()
                return None
            if self._at_wheel is None:
                self._at_wheel = me
            elif not at_wheel:
                return self._passengers.add(waitable), until
            return None, until
        except BaseException:
            self._break_off(machine)
            raise

    def _see_to(self, machine: RequestMachine, waitable: Waitable, until: float | None) -> float | None:
        """Do what is wanted less often; returns until when to wait then."""
        due = machine.next_deadline()
        if due is not None and due <= time.monotonic():
            # What has come counts before what is late: nobody may have looked for a while.
            self._exchange(machine, reading=self._at_wheel in (None, get_ident()))
            machine.tick()
            self._exchange(machine)
            due = machine.next_deadline()
        if machine.failure is not None and not waitable.stirred:
            give_outcome(machine, waitable)
        return due if until is None or (due is not None and due < until) else until

    def _get_up(self, machine: RequestMachine, waitable: Waitable, seat: Seat | None) -> None:
        """This thread waits no more, and did not come to its turn."""
        if seat is not None and seat[0] is not None:
            self._passengers.remove(waitable, seat[0])
        if self._at_wheel == get_ident():
            self._at_wheel = None
        self._exchange(machine)
        self._hand_over()

    def _hand_over(self) -> None:
        """Let the next passenger take the wheel."""
        if self._passengers.waiting and self._at_wheel is None:
            self._passengers.wake_one()

    # Under the lock. It is taken on one line with what is done then: those who trace lines, and may raise at
    # each of them, would else find one at the end of the block, at which the lock is still held.

    def _do(self, machine: RequestMachine, action: Callable[[], R]) -> R:
        """Do something under the lock, and then what must not be done there."""
        try:
            with self._lock: return self._safely(machine, action)  # fmt: skip  # noqa: E701
        finally:
            self._run_errands(machine)

    def _safely(self, machine: RequestMachine, action: Callable[[], R]) -> R:
        """Do something; if that is interrupted, nobody knows what it has left, and the session ends."""
        try:
            if self._cut_off is not None:
                machine.fail(ConnectionLost(self._cut_off))
            return action()
        except Error:
            raise
        except BaseException:
            self._break_off(machine)
            raise

    def _break_off(self, machine: RequestMachine) -> None:
        if self._at_wheel == get_ident():
            self._at_wheel = None
        break_off(machine, self._passengers.waiting)
        self._passengers.wake_all()
        self._end_wire()

    def _act(self, machine: RequestMachine, action: Callable[[], R]) -> R:
        try:
            result = action()
        except Error:
            self._exchange(machine)
            raise
        self._exchange(machine)
        return result

    def _exchange(self, machine: RequestMachine, *, reading: bool = False) -> None:
        """Move bytes both ways as far as the socket goes, and wake those who got their outcome."""
        wire = self._wire
        try:
            if (
                reading
                and machine.failure is None
                and not machine.reading_paused
                and (data := wire.read_some()) is not None
            ):
                machine.receive_data(data)
            if wire.outgoing:
                wire.write_some()
            if not wire.outgoing and (data := machine.data_to_send()):
                self._write(machine, data)
        except OSError as error:
            self._hear_out(machine)
            machine.connection_lost(error)
        if machine.failure is not None and wire.is_open:
            logger.info("session %s: ended: %s", machine.process_id, machine.failure)
            self._end_wire()
        if wire.outgoing or machine.reading_paused or not wire.is_calm:
            wire.watch(reading_paused=machine.reading_paused)
        if machine.news:
            for stirred in machine.take_stirred():
                self._passengers.wake(stirred)

    def _write(self, machine: RequestMachine, data: bytes) -> None:
        wire = self._wire
        while data and wire.is_open:
            wire.outgoing = data
            wire.write_some()
            if wire.outgoing or len(data) < SEND_AT_ONCE:
                return
            data = machine.data_to_send()

    def _hear_out(self, machine: RequestMachine) -> None:
        """Writing has failed; what the server said before it hung up tells why."""
        with contextlib.suppress(OSError):
            while data := self._wire.read_some():
                machine.receive_data(data)

    def _end_wire(self) -> None:
        # A socket is not closed under a thread that waits for it, which might never wake up again.
        if self._at_wheel in (None, get_ident()):
            self._wire.close()
        else:
            self._wire.shut_down()

    # What must not be done under the lock.

    def _has_errands(self, machine: RequestMachine) -> bool:
        return bool(machine.wants_cancel or machine.reports.callbacks or machine.remarks)

    def _run_errands(self, machine: RequestMachine) -> None:
        while self._has_errands(machine):
            take = partial(self._take_errands, machine)
            with self._lock: cancel_wanted, callbacks, remarks = self._safely(machine, take)  # fmt: skip  # noqa: E701
            if cancel_wanted:
                self._carry_cancel(machine)
            # This thread holds nothing now that handlers may need: they may use the session.
            for handler, argument in callbacks:
                try:
                    handler(argument)
                except Exception:
                    logger.exception("session %s: a handler failed", machine.process_id)
            for remark in remarks:
                logger.warning("session %s: %s", machine.process_id, remark)

    def _take_errands(self, machine: RequestMachine) -> tuple[bool, list[Callback], list[str]]:
        remarks, machine.remarks = machine.remarks, []
        return machine.take_cancel(), machine.take_callbacks(), remarks

    def _carry_cancel(self, machine: RequestMachine) -> None:
        try:
            deadline = time.monotonic() + machine.cancel_timeout
            run_flow(Wire(), cancel(self._expect_core().established, deadline=deadline))
        except (OSError, Error) as error:
            logger.warning("session %s: a cancel request failed: %s", machine.process_id, error)
        finally:
            self.act(machine.cancel_delivered)

    # The end.

    def interrupt(self) -> None:
        """Let the thread that carries out a flow fail soon."""
        self._wire.latest = 0.0
        self._wire.shut_down()

    def cut_off(self, reason: str) -> None:
        """End the session soon; this may be said by a finalizer, in the midst of anything."""
        if self._process == os.getpid():
            self._cut_off = reason
            self._wire.shut_down()

    def abort(self) -> None:
        """Close the socket at once, without a word to the server."""
        machine = self._machine
        if machine is None or self._process != os.getpid():
            # In a process that was forked: the parent goes on using the connection, and its copy is let go.
            self._wire.close()
        else:
            self.act(partial(machine.connection_lost, None))

    def close(self, timeout: float) -> None:
        """Let pending requests finish, say goodbye, and close, all within ``timeout`` seconds."""
        try:
            if self._process == os.getpid():
                with contextlib.suppress(Error):
                    self.perform(Goodbye(timeout))
        finally:
            self.abort()
