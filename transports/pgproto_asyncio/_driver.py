"""The asyncio driver: one protocol object that owns the socket for the whole life of a session.

While a session is being established it carries out the effects of a flow; see `Flows`. Then it stands
between the socket and the request machine: it feeds what arrives, writes what the machine has to say, and
wakes those whose requests are done. It decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio import InvalidStateError, get_running_loop
from collections.abc import Callable
from typing import TypeVar, cast

from pgproto._connecting import cancel
from pgproto._session import SEND_AT_ONCE, Goodbye, Lease, Request, RequestMachine, SessionCore, Waitable
from pgproto.errors import Error
from pgproto_asyncio._flows import Flows

__all__ = ["Driver"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")

_PENDING_WRITES = 1024 * 1024
"""How many bytes the event loop may hold for the socket before the machine is asked for no more."""


class Driver(Flows):
    """Owns one socket."""

    def __init__(self) -> None:
        super().__init__()
        self._core: SessionCore | None = None
        self._machine: RequestMachine | None = None
        self._paused = False
        self._reading_paused = False
        self._canceling: asyncio.Task[None] | None = None
        self._flush_planned = False
        self._end_told = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._start_receiving()
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_PENDING_WRITES)

    def data_received(self, data: bytes) -> None:
        machine = self._machine
        if machine is None:
            self._received += data
            self._wake_reader()
            return
        machine.receive_data(data)
        self._flush()

    def eof_received(self) -> bool:
        self._ended = True
        if self._machine is None:
            self._wake_reader()
        else:
            self._machine.receive_data(b"")
            self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None and not self._transport.is_closing():
            return  # it is the one before that has ended: loops may tell that late
        self._transport = None
        self._ended = True
        self._lost = exc
        self._paused = False
        if not self._closed.done():
            self._closed.set_result(None)
        if self._machine is None:
            self._wake_reader()
            return
        self._machine.connection_lost(exc)
        self._tell_end(self._machine)
        self._flush()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    # The session.

    def attach(self, core: SessionCore) -> None:
        """From now on the socket serves this session."""
        self._core = core
        self._machine = machine = core.machine
        logger.debug("session %s: started", machine.process_id)

    async def perform(self, request: Request[R], lease: Lease | None = None) -> R:
        """Hand a request to the machine and wait for its outcome.

        A caller that is cancelled leaves at once; the request is dropped if it was not sent, and its
        result is if it was.
        """
        self.start(request, lease)
        try:
            if not (request.done or request.stirred):
                # As `wait` does, for most requests without calling it.
                request.waiter = waiter = self._loop.create_future()
                await waiter
            while not request.done:
                await self.wait(request)
        except BaseException:
            self.leave(request)
            raise
        return request.result()

    def start(self, request: Request[object], lease: Lease | None = None) -> None:
        """Hand a request to the machine."""
        machine = self._machine
        if machine is None or get_running_loop() is not self._loop:
            machine = self._expect_machine()
        machine.submit(request, lease)
        if not (machine.flight or machine.woke_several):
            self._flush()
        elif not self._flush_planned:
            # Whatever else is submitted in this turn of the loop leaves with it in one write.
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    async def wait(self, waitable: Waitable) -> None:
        """Wait until there is news of it."""
        if waitable.stirred or waitable.done:
            # Others get their turn all the same, and the loop can see to the socket.
            await asyncio.sleep(0)
        else:
            waitable.waiter = waiter = self._loop.create_future()
            await waiter
        waitable.stirred = False

    def fileno(self) -> int:
        """The number of the socket; -1 if there is none."""
        return -1 if self._transport is None else self._transport.get_extra_info("socket").fileno()

    def leave(self, request: Request[object]) -> None:
        """The caller waits for the request no more."""
        if self._machine is not None:
            self._machine.abandon(request)
            self._flush()

    def act(self, action: Callable[[], R]) -> R:
        """Do something to the machine, and write what it then has to say."""
        self._expect_machine()
        try:
            return action()
        finally:
            self._flush()

    def _expect_core(self) -> SessionCore:
        if self._core is None:
            raise RuntimeError("the session was not established")
        return self._core

    def _expect_machine(self) -> RequestMachine:
        if self._machine is None:
            raise RuntimeError("the session was not established")
        if get_running_loop() is not self._loop:
            raise RuntimeError("the session belongs to another event loop")
        return self._machine

    def _flush(self) -> None:
        """Write what the machine has to say, and wake those who have something to see."""
        self._flush_planned = False
        machine = self._machine
        if machine is None:
            return
        transport = self._transport
        while transport is not None and not self._paused and (data := machine.data_to_send()):
            transport.write(data)
            if len(data) < SEND_AT_ONCE:
                break
        if machine.news:
            for stirred in machine.take_stirred():
                waiter: asyncio.Future[None] | None = stirred.waiter
                if waiter is not None:
                    try:
                        waiter.set_result(None)
                    except InvalidStateError:
                        continue  # it was woken before, or has been cancelled
        if machine.has_more or self._timer is not None or machine.reading_paused is not self._reading_paused:
            self._see_to(machine)

    def _see_to(self, machine: RequestMachine) -> None:
        """Do what is wanted less often."""
        self._report(machine)
        if machine.take_cancel():
            self._canceling = self._loop.create_task(self._cancel(machine))
        if machine.reading_paused is not self._reading_paused:
            self._pause_reading(machine.reading_paused)
        if machine.failure is not None and self._transport is not None:
            self._tell_end(machine)
            transport, self._transport = self._transport, None
            # What is left to write is at most a goodbye.
            transport.close() if machine.said_goodbye else transport.abort()
        self._arm_timer(machine)

    def _tell_end(self, machine: RequestMachine) -> None:
        if not self._end_told:
            self._end_told = True
            logger.info("session %s: ended: %s", machine.process_id, machine.failure)

    def _report(self, machine: RequestMachine) -> None:
        for handler, argument in machine.take_callbacks():
            try:
                handler(argument)
            except Exception:
                logger.exception("session %s: a handler failed", machine.process_id)
        while machine.remarks:
            logger.warning("session %s: %s", machine.process_id, machine.remarks.pop(0))

    def _pause_reading(self, pause: bool) -> None:
        self._reading_paused = pause
        if self._transport is not None:
            self._transport.pause_reading() if pause else self._transport.resume_reading()

    async def _cancel(self, machine: RequestMachine) -> None:
        try:
            deadline = self._loop.time() + machine.cancel_timeout
            await Driver().run(cancel(self._expect_core().established, deadline=deadline))
        except (OSError, Error) as error:
            logger.warning("session %s: a cancel request failed: %s", machine.process_id, error)
        finally:
            machine.cancel_delivered()
            self._flush()

    def _arm_timer(self, machine: RequestMachine) -> None:
        deadline = machine.next_deadline()
        timer = self._timer
        if timer is not None and (deadline is None or self._timer_due > deadline):
            timer.cancel()
            timer = self._timer = None
        if timer is None and deadline is not None:
            # Not `TimerHandle.when`: for a time that is past, uvloop returns a handle that has none.
            self._timer, self._timer_due = self._loop.call_at(deadline, self._tick), deadline

    def _tick(self) -> None:
        self._timer = None
        if self._machine is not None:
            self._machine.tick()
            self._flush()

    # The end.

    def abort(self) -> None:
        """Close the socket at once, without a word to the server."""
        if self._machine is not None:
            self._machine.connection_lost(None)
            self._flush()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def abort_soon(self) -> None:
        """As `abort`, but from any thread, and at any time."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)

    async def close(self, timeout: float) -> None:
        """Let pending requests finish, say goodbye, and close, all within ``timeout`` seconds."""
        transport = self._transport
        deadline = self._loop.time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                with contextlib.suppress(Error):
                    await self.perform(Goodbye())
                # Not `await self._closed`: a caller that is cancelled must not cancel it for others.
                await asyncio.wait([each for each in (self._closed, self._canceling) if each is not None])
        except TimeoutError:
            logger.info("session: not closed in an orderly way within %s s", timeout)
        finally:
            self.abort()
            if transport is not None:
                transport.abort()
