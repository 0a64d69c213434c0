"""The trio driver: a reader, a writer and a timekeeper in the scope of ``async with connect(...)``.

While a session is being established, its flow's effects are carried out by the task that connects. After
that the three tasks own the socket. They are shielded from the cancellation of what goes on inside the
scope, so that a session can still say goodbye; the scope's end ends them, within a deadline.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import os
import socket
from collections.abc import Callable
from typing import TypeVar, cast

import trio

from pgproto import _effects as effects
from pgproto._connecting import cancel
from pgproto._host import PEER_CREDENTIALS_SIZE, peer_user, read_file
from pgproto._session import Goodbye, Lease, Request, RequestMachine, SessionCore, Waitable
from pgproto.errors import Error
from pgproto_trio._wire import Wire

__all__ = ["Driver"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")

_CHUNK = 256 * 1024


class Driver:
    """Owns one socket."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._core: SessionCore | None = None
        self._machine: RequestMachine | None = None
        self._nursery: trio.Nursery | None = None
        self._readable = trio.Event()
        self._wire = Wire()
        self._scope = trio.CancelScope(shield=True)
        self._writable = trio.Event()
        self._writing = False
        self._outgoing = b""
        self._ended = trio.Event()
        self._timed = trio.Event()
        self._timed_until = math.inf

    clock: Callable[[], float] = staticmethod(trio.current_time)
    """The clock of all deadlines, in seconds."""

    # Effects of a flow.

    async def run(self, flow: effects.Flow[R]) -> R:
        """Carry out a flow; if it fails or is cancelled, the socket is closed."""
        result: object = None
        error: BaseException | None = None
        deadline = math.inf
        try:
            while True:
                try:
                    effect = flow.send(result) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return cast("R", stop.value)
                result = error = None
                if isinstance(effect, effects.SetDeadline):
                    deadline = math.inf if effect.at is None else effect.at
                    continue
                try:
                    with trio.fail_at(deadline):
                        result = await self._perform(effect)
                except trio.TooSlowError:
                    error = TimeoutError("the connection was not established in time")
                except (trio.BrokenResourceError, trio.ClosedResourceError) as failure:
                    error = (
                        failure.__cause__ if isinstance(failure.__cause__, OSError) else OSError(str(failure))
                    )
                except Exception as failure:
                    # Not a cancellation, which is no Exception: the flow decides what a failure means.
                    error = failure
        except BaseException:
            self._close_socket()
            raise
        finally:
            flow.close()

    async def _perform(self, effect: effects.Effect[object]) -> object:
        match effect:
            case effects.Now():
                return trio.current_time()
            case effects.Entropy():
                return os.urandom(effect.size)
            case effects.ReadFile():
                return await trio.to_thread.run_sync(read_file, effect.path)
            case effects.Warn():
                logger.warning("%s", effect.message)
            case effects.RunInThread():
                return await trio.to_thread.run_sync(effect.work, abandon_on_cancel=True)
            case effects.AskPassword():
                answer = effect.ask()
                return await answer if inspect.isawaitable(answer) else answer
            case effects.Resolve():
                found = await trio.socket.getaddrinfo(effect.host, effect.port, type=socket.SOCK_STREAM)
                return tuple([effects.TCPAddress(str(each[4][0]), effect.port) for each in found])
            case effects.OpenSocket():
                await self._wire.open_socket(effect)
            case effects.OpenStream():
                await self._wire.open_stream(effect)
            case effects.PeerUser():
                return peer_user(
                    self._wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS_SIZE)
                )
            case effects.Send():
                await self._wire.expect().send_all(effect.data)
            case effects.Receive():
                return bytes(await self._wire.expect().receive_some(effect.limit or _CHUNK))
            case effects.StartTLS():
                return await self._wire.start_tls(effect)
            case effects.CloseSocket():
                self._close_socket()
            case _:
                raise TypeError(f"{effect!r} is no effect that a transport knows")
        return None

    def _close_socket(self) -> None:
        self._wire.close()
        self._ended.set()

    # The session.

    def attach(self, core: SessionCore, nursery: trio.Nursery) -> None:
        """From now on the socket serves this session, by tasks in this nursery."""
        self._core = core
        self._machine = machine = core.machine
        nursery.start_soon(self._serve, machine)
        logger.debug("session %s: started", machine.process_id)

    async def _serve(self, machine: RequestMachine) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._read, machine)
                nursery.start_soon(self._write, machine)
                nursery.start_soon(self._keep_time, machine)

    async def _read(self, machine: RequestMachine) -> None:
        try:
            while self._wire.stream is not None and machine.failure is None:
                machine.receive_data(bytes(await self._wire.stream.receive_some(_CHUNK)))
                self._flush()
                if machine.reading_paused:
                    self._readable = trio.Event()
                    await self._readable.wait()
            if not machine.said_goodbye:
                # Whoever is still writing would write to nobody.
                self._end_if_failed(machine)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            machine.connection_lost(error)
            self._flush()

    async def _write(self, machine: RequestMachine) -> None:
        try:
            while True:
                await self._writable.wait()
                self._writing = True
                while self._wire.stream is not None and (data := self._outgoing or machine.data_to_send()):
                    self._outgoing = b""
                    # Who wrote this may write on; and who was refused in making it is to hear of it.
                    self._wake(machine)
                    await self._wire.stream.send_all(data)
                self._wake(machine)
                self._writing = False
                self._writable = trio.Event()
                self._end_if_failed(machine)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._writing = False
            self._hear_out(machine)
            machine.connection_lost(error)
            self._flush()
            self._end_if_failed(machine)

    async def _keep_time(self, machine: RequestMachine) -> None:
        while True:
            deadline = machine.next_deadline()
            self._timed_until = math.inf if deadline is None else deadline
            with trio.move_on_at(self._timed_until):
                await self._timed.wait()
            self._timed = trio.Event()
            machine.tick()
            self._flush()

    async def perform(self, request: Request[R], lease: Lease | None = None) -> R:
        """Hand a request to the machine and wait for its outcome.

        A caller that is cancelled leaves at once; the request is dropped if it was not sent, and its
        result is if it was.
        """
        if not request.essential:
            # What cleans up is handed in all the same, for those who wait behind it.
            await trio.lowlevel.checkpoint_if_cancelled()
        self.start(request, lease)
        try:
            while not request.done:
                await self.wait(request)
        except BaseException:
            self.leave(request)
            raise
        return request.result()

    def start(self, request: Request[object], lease: Lease | None = None) -> None:
        """Hand a request to the machine."""
        self._expect_machine().submit(request, lease)
        self._flush()

    async def wait(self, waitable: Waitable) -> None:
        """Wait until there is news of it."""
        if waitable.stirred or waitable.done:
            await trio.lowlevel.checkpoint()
        else:

            def leave(_: object) -> trio.lowlevel.Abort:
                waitable.waiter = None
                return trio.lowlevel.Abort.SUCCEEDED

            waitable.waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(leave)
        waitable.stirred = False

    def fileno(self) -> int:
        """The number of the socket; -1 if there is none."""
        return self._wire.fileno()

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
        if trio.lowlevel.current_trio_token() is not self._token:
            raise RuntimeError("the session belongs to another run of trio")
        return self._machine

    def _flush(self) -> None:
        """Write what the machine has to say, and wake those who have something to see."""
        machine = self._machine
        if machine is None:
            return
        self._write_now(machine)
        self._wake(machine)
        if not machine.reading_paused:
            self._readable.set()
        if machine.has_more:
            self._see_to(machine)

    def _see_to(self, machine: RequestMachine) -> None:
        """Do what is wanted less often."""
        self._report(machine)
        if machine.take_cancel() and self._nursery is not None:
            self._nursery.start_soon(self._cancel, machine)
        if not self._writing and not self._writable.is_set():
            self._end_if_failed(machine)
        deadline = machine.next_deadline()
        if deadline is not None and deadline < self._timed_until:
            self._timed.set()

    def _wake(self, machine: RequestMachine) -> None:
        for stirred in machine.take_stirred():
            if stirred.waiter is not None:
                trio.lowlevel.reschedule(cast("trio.lowlevel.Task", stirred.waiter))
                stirred.waiter = None

    def _report(self, machine: RequestMachine) -> None:
        for handler, argument in machine.take_callbacks():
            try:
                handler(argument)
            except Exception:
                logger.exception("session %s: a handler failed", machine.process_id)
        while machine.remarks:
            logger.warning("session %s: %s", machine.process_id, machine.remarks.pop(0))

    async def _cancel(self, machine: RequestMachine) -> None:
        try:
            deadline = trio.current_time() + machine.cancel_timeout
            await Driver().run(cancel(self._expect_core().established, deadline=deadline))
        except (OSError, Error) as error:
            logger.warning("session %s: a cancel request failed: %s", machine.process_id, error)
        finally:
            machine.cancel_delivered()
            self._flush()

    def _write_now(self, machine: RequestMachine) -> None:
        """Write without waiting if nobody else is writing; the writer does what is left."""
        if self._writing or self._writable.is_set() or self._wire.stream is None or not machine.wants_to_send:
            return
        plain = self._wire.plain_socket()
        if machine.in_flight or plain < 0:
            self._writable.set()
            return
        data = machine.data_to_send()
        try:
            self._outgoing = data[os.write(plain, data) :] if data else b""
        except BlockingIOError:
            self._outgoing = data
        except OSError as error:
            self._hear_out(machine)
            machine.connection_lost(error)
        if self._outgoing:
            self._writable.set()

    def _hear_out(self, machine: RequestMachine) -> None:
        """Writing has failed; what the server said before it hung up tells why."""
        plain = self._wire.plain_socket()
        if plain < 0:
            return
        with contextlib.suppress(OSError):
            while data := os.read(plain, _CHUNK):
                machine.receive_data(data)

    def _end_if_failed(self, machine: RequestMachine) -> None:
        if machine.failure is not None and self._wire.stream is not None:
            logger.info("session %s: ended: %s", machine.process_id, machine.failure)
            self._close_socket()

    # The end.

    def abort(self) -> None:
        """Close the socket at once, without a word to the server."""
        if self._machine is not None:
            self._machine.connection_lost(None)
            self._flush()
        self._close_socket()
        self._scope.cancel()

    async def close(self, timeout: float) -> None:
        """Let pending requests finish, say goodbye, and close, all within ``timeout`` seconds."""
        try:
            with trio.move_on_after(timeout, shield=True):
                await self._say_goodbye()
        finally:
            self.abort()

    async def _say_goodbye(self) -> None:
        try:
            await self.perform(Goodbye())
        except Error:
            return
        await self._ended.wait()
