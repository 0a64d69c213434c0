"""The upkeep of a pool for plain threads: how its machine's steps are carried out.

One lock guards the machine, and who is woken is woken under the same lock, in the order in which it was
decided. Each step has a thread of its own, which takes the lock only to tell how it went. Nobody calls a
driver under the lock. The asynchronous twin of this module is `pgproto._verbs._async_upkeep`.

A caller's thread may be interrupted at any point, as by Ctrl-C; the pool's own threads are not. So it is one
of these that sets steps going: of each, it is known whether it is under way. Under the lock, a caller's
thread is in the midst of changing things, and nobody could say what it has left: the machine starts over.
Anywhere else, whoever has a ticket or a session sees to it that one of the pool's threads returns it.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Generic, TypeVar, assert_never

from pgproto._connecting import cancel
from pgproto._pool import CLEAN, Check, Close, Hook, Open, Reset, RunHook, Slot, Step
from pgproto._session import Command, Guard, SessionCore
from pgproto._verbs._blocking_lending import BlockingLoan, BlockingPoolDriver, BlockingSocket
from pgproto._verbs._blocking_session import BlockingSession
from pgproto._verbs._pooling import Member, PoolBase, interruption, merged, report_on
from pgproto.errors import Error

__all__ = ["BlockingUpkeep"]

T = TypeVar("T")
D = TypeVar("D", bound=BlockingPoolDriver)
W = TypeVar("W")
SessionT = TypeVar("SessionT", bound=BlockingSession)

_GOODBYE = 5.0


class BlockingUpkeep(PoolBase[D, W], Generic[D, W, SessionT]):
    """Opens, checks, resets and closes sessions, and runs hooks."""

    # What a transport brings along.

    @abstractmethod
    def _new_driver(self) -> D:
        """A driver that has no socket yet."""

    @abstractmethod
    def _attach(self, driver: D, core: SessionCore) -> None:
        """From now on the driver serves this session."""

    @abstractmethod
    def _make_session(self, socket: BlockingSocket, core: SessionCore) -> SessionT:
        """The public session."""

    @abstractmethod
    def _expect_process(self) -> None:
        """Raise `RuntimeError` in a process that was forked from the pool's."""

    _guard: AbstractContextManager[object]
    """Guards the machine."""

    @abstractmethod
    def _spawn(
        self,
        job: Callable[[], object],
        over: Callable[[], None],
        otherwise: Callable[[RuntimeError], object],
    ) -> None:
        """Run the job in a thread of its own, and then call ``over``, under the guard.

        To be called in a thread of the pool, under the guard. If there can be no more threads, ``otherwise``
        is called instead, soon: it must not take long.
        """

    @abstractmethod
    def _new_waiter(self) -> W:
        """Something to wait for."""

    @abstractmethod
    def _wait(self, waiter: W) -> None:
        """Wait for it; raises the error that it is woken with."""

    @abstractmethod
    def _wait_until_closed(self) -> None:
        """Wait for `_all_closed`, and for all threads of the pool."""

    @abstractmethod
    def _call_later(self, function: Callable[[], None]) -> None:
        """Call the function in a thread of the pool, soon; this may be said at any point of any thread."""

    def _prepare(self) -> None:
        self._jobs: dict[Slot[Member[D]], _Job[D]] = {}

    # Carrying out what the machine has decided.

    def _pump(self) -> None:
        """To be called under the guard, after each call of the machine."""
        if actions := self._machine.actions():
            self._carry_out(actions)

    # The lock is taken on one line with what is done then: those who trace lines, and may raise at each of
    # them, would else find one at the end of the block, at which the lock is still held.

    def _tell(self, call: Callable[[], T]) -> T:
        """Call the machine, and carry out what it decides; an outcome that has to be returned is not lost.

        That is, the call itself has to put it where it is found by whoever returns it.
        """
        with self._guard: return self._safely(call)  # fmt: skip  # noqa: E701

    def _safely(self, call: Callable[[], T]) -> T:
        """To be called under the guard: call the machine, and carry out what it decides."""
        try:
            try:
                outcome = call()
            except Error:
                self._pump()
                raise
            self._pump()
            return outcome
        except Error:
            raise
        except BaseException:
            self._start_over()
            raise

    def _start_over(self) -> None:
        """To be called under the guard, after an interrupt under the guard."""
        self._due.clear()
        self._carries_out = False
        self._machine.start_over(self._now())
        self._pump()
        self._log("interrupted in the midst of its own work, the pool closes all its sessions")

    def _tick(self) -> None:
        self._tell(lambda: self._machine.tick(self._now()))

    def _begin(self, step: Step[Member[D]]) -> None:
        self._call_later(partial(self._set_going, step))

    def _set_going(self, step: Step[Member[D]]) -> None:
        with self._guard:
            self._set_going_now(step)

    def _set_going_now(self, step: Step[Member[D]]) -> None:
        slot = step.slot
        if isinstance(step, Close) and not step.graceful:
            overtaken = self._jobs.get(slot)
            if overtaken is not None:
                overtaken.cancel()
            if overtaken is None or slot.session is not None or not isinstance(overtaken.step, Open):
                self._cut_off(step)
            else:
                # Only when it is over is the socket known to be closed.
                overtaken.afterwards = step
            return
        job = self._jobs[slot] = _Job(step)
        over = partial(self._job_over, slot, job)
        self._spawn(partial(self._take, step, job), over, partial(self._without_thread, step))

    def _job_over(self, slot: Slot[Member[D]], job: _Job[D]) -> None:
        if self._jobs.get(slot) is job:
            del self._jobs[slot]
        if job.afterwards is not None:
            self._cut_off(job.afterwards)

    def _cut_off(self, step: Close[Member[D]]) -> None:
        """Close a session at once; but a server that is at work for it is told to stop."""
        member = step.slot.session
        over = partial(self._was_cut_off, step)
        self._spawn(partial(self._abort, member), over, partial(_abort_at_once, member))

    def _abort(self, member: Member[D] | None) -> None:
        if member is None:
            return
        if member.core.machine.in_flight and not member.core.is_closed:
            # It might get more to do after it was told to stop.
            member.driver.act(member.core.machine.seal)
            with suppress(Exception):
                deadline = self._now() + self._cancel_timeout
                self._new_driver().run(cancel(member.core.established, deadline=deadline), deadline)
        member.driver.abort()

    def _was_cut_off(self, step: Close[Member[D]]) -> None:
        self._safely(lambda: self._machine.finished(step, self._now()))

    def _take(self, step: Step[Member[D]], job: _Job[D]) -> None:
        """Take a step, and tell the machine how it went."""
        failure: Exception | None = None
        try:
            self._do(step, job)
        except Exception as error:
            failure = error
        except BaseException as error:
            self._finish(step, interruption(step, error))
            raise
        self._finish(step, failure)

    def _without_thread(self, step: Step[Member[D]], error: RuntimeError) -> None:
        """There is no thread for the step."""
        member = step.slot.session
        if isinstance(step, Close):
            _abort_at_once(member)
        self._finish(step, error)

    def _finish(self, step: Step[Member[D]], failure: Exception | None) -> None:
        member = step.slot.session
        report = CLEAN if member is None else report_on(member.core)
        self._tell(lambda: self._machine.finished(step, self._now(), failure, report))

    def _do(self, step: Step[Member[D]], job: _Job[D]) -> None:
        slot = step.slot
        member = slot.session
        match step:
            case Open():
                self._connect(slot, job)
            case RunHook(hook=Hook.BEFORE_CONNECT):
                settings, answer = self._settings(self._hooks[Hook.BEFORE_CONNECT])
                slot.settings = merged(settings, _checked(answer))
            case _ if member is None:
                ...
            case RunHook():
                self._run_hook(member, step.hook)
            case Check():
                member.driver.perform(member.core.ping(None))
            case Reset():
                member.driver.perform(Command(step.sql))
                member.core.machine.traces.changed = False
            case Close():
                member.driver.close(_GOODBYE)
            case _:
                assert_never(step)

    def _connect(self, slot: Slot[Member[D]], job: _Job[D]) -> None:
        driver = self._new_driver()
        job.cancel = driver.interrupt
        latest = None if self._connect_timeout is None else self._now() + self._connect_timeout
        core = driver.run(self._establish(slot), latest)
        self._attach(driver, core)
        if self._machine.reset_ahead is not None:
            try:
                driver.perform(Guard())
            except BaseException:
                driver.abort()
                raise
        slot.session = Member(driver, core, driver.look)

    def _run_hook(self, member: Member[D], hook: Hook) -> None:
        machine = member.core.machine
        loan = BlockingLoan(member.driver, None)
        try:
            _checked(self._hooks[hook](self._make_session(loan, member.core)))
        finally:
            loan.end()
        if hook is Hook.AFTER_CONNECT:
            machine.reports.keep_handlers()
            member.core.keep_codecs()
            machine.traces.changed = False


def _abort_at_once(member: Member[D] | None, reason: BaseException | None = None) -> None:
    del reason
    if member is not None:
        member.driver.abort()


def _checked(answer: object) -> object:
    if inspect.isawaitable(answer):
        raise TypeError("a pool for plain threads cannot await a hook; give a plain function")
    return answer


class _Job(Generic[D]):
    """A step under way."""

    __slots__ = ("afterwards", "cancel", "step")

    def __init__(self, step: Step[Member[D]]) -> None:
        self.step = step
        self.cancel: Callable[[], object] = bool
        """Cancels it."""
        self.afterwards: Close[Member[D]] | None = None
        """What is to be done when it is over."""
