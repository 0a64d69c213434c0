"""The upkeep of a pool for any event loop: how its machine's steps are carried out.

The blocking twin of this module is `pgproto._verbs._blocking_upkeep`.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar, assert_never

from pgproto._connecting import cancel
from pgproto._pool import Check, Close, Hook, Open, Reset, RunHook, Slot, Step
from pgproto._session import Command, Guard, SessionCore
from pgproto._verbs._async_lending import AsyncLoan, AsyncPoolDriver, AsyncSocket
from pgproto._verbs._async_session import AsyncSession
from pgproto._verbs._pooling import Member, PoolBase, interruption, merged, report_on

__all__ = ["AsyncUpkeep"]

D = TypeVar("D", bound=AsyncPoolDriver)
W = TypeVar("W")
SessionT = TypeVar("SessionT", bound=AsyncSession)

_GOODBYE = 5.0


class AsyncUpkeep(PoolBase[D, W], Generic[D, W, SessionT]):
    """Opens, checks, resets and closes sessions, and runs hooks."""

    # What a transport brings along.

    @abstractmethod
    def _new_driver(self) -> D:
        """A driver that has no socket yet."""

    @abstractmethod
    def _attach(self, driver: D, core: SessionCore) -> None:
        """From now on the driver serves this session."""

    @abstractmethod
    def _make_session(self, socket: AsyncSocket, core: SessionCore) -> SessionT:
        """The public session."""

    @abstractmethod
    def _spawn(self, job: Callable[[], Any], over: Callable[[], None]) -> Callable[[], object]:
        """Run the job beside everybody, and then call ``over``; returns what cancels it."""

    @abstractmethod
    def _new_waiter(self) -> W:
        """Something to wait for."""

    @abstractmethod
    async def _wait(self, waiter: W) -> None:
        """Wait for it; raises the error that it is woken with."""

    @abstractmethod
    def _watch(self, driver: D) -> Callable[[], object]:
        """What tells whether something has come that the driver did not read yet: maybe the end."""

    @abstractmethod
    def _flush_soon(self, driver: D) -> None:
        """Let the driver write what there is to write, if it has not come to that by the next turn."""

    @abstractmethod
    async def _let_read(self) -> None:
        """Let the drivers read what has come."""

    @abstractmethod
    async def _wait_until_closed(self) -> None:
        """Wait for `_all_closed`."""

    @abstractmethod
    def _call_from_anywhere(self, function: Callable[[], None]) -> None:
        """Call the function in the event loop, from whatever thread; not at all if the loop has gone."""

    def _prepare(self) -> None:
        self._jobs: dict[Slot[Member[D]], _Job[D]] = {}

    # Carrying out what the machine has decided.

    def _pump(self) -> None:
        if actions := self._machine.actions():
            self._carry_out(actions)

    def _tick(self) -> None:
        self._machine.tick(self._now())
        self._pump()

    def _begin(self, step: Step[Member[D]]) -> None:
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
        job.cancel = self._spawn(partial(self._take, step), partial(self._job_over, slot, job))

    def _job_over(self, slot: Slot[Member[D]], job: _Job[D]) -> None:
        if self._jobs.get(slot) is job:
            del self._jobs[slot]
        if job.afterwards is not None:
            self._cut_off(job.afterwards)
        elif slot.step is job.step:
            # Somebody cancels all tasks there are, and this one had not even begun.
            if isinstance(job.step, Close):
                self._abort(job.step)
            else:
                self._finish(job.step, interruption(job.step))

    def _cut_off(self, step: Close[Member[D]]) -> None:
        """Close a session at once; but a server that is at work for it is told to stop."""
        member = step.slot.session
        if member is not None and member.core.machine.in_flight and not member.core.is_closed:
            # It might get more to do after it was told to stop.
            member.core.machine.seal()
            self._spawn(partial(self._stop_server, member), partial(self._abort, step))
        else:
            self._abort(step)

    async def _stop_server(self, member: Member[D]) -> None:
        with suppress(Exception):
            deadline = self._now() + self._cancel_timeout
            await self._new_driver().run(cancel(member.core.established, deadline=deadline))

    def _abort(self, step: Close[Member[D]]) -> None:
        if step.slot.session is not None:
            step.slot.session.driver.abort()
        self._machine.finished(step, self._now())
        self._pump()

    def _was_lost(self, slot: Slot[Member[D]], error: BaseException) -> None:
        """A session has ended by itself, or is of no use any more."""
        if slot.session is not None:
            self._machine.session_lost(slot, self._now(), report_on(slot.session.core))
            self._pump()

    async def _take(self, step: Step[Member[D]]) -> None:
        """Take a step, and tell the machine how it went."""
        failure: Exception | None = None
        try:
            await self._do(step)
        except Exception as error:
            failure = error
        except BaseException as error:
            if step.slot.step is step:
                # It was not overtaken: a hook has raised this, or somebody cancels all tasks there are.
                self._finish(step, interruption(step, error))
            raise
        self._finish(step, failure)

    def _finish(self, step: Step[Member[D]], failure: Exception | None) -> None:
        member = step.slot.session
        if member is None:
            self._machine.finished(step, self._now(), failure)
        else:
            self._machine.finished(step, self._now(), failure, report_on(member.core))
        self._pump()

    async def _do(self, step: Step[Member[D]]) -> None:
        slot = step.slot
        member = slot.session
        match step:
            case Open():
                await self._connect(slot)
            case RunHook(hook=Hook.BEFORE_CONNECT):
                settings, answer = self._settings(self._hooks[Hook.BEFORE_CONNECT])
                slot.settings = merged(settings, await _outcome(answer))
            case _ if member is None:
                ...
            case RunHook():
                await self._run_hook(member, step.hook)
            case Check():
                await member.driver.perform(member.core.ping(None))
            case Reset():
                await member.driver.perform(Command(step.sql))
                member.core.machine.traces.changed = False
            case Close():
                await member.driver.close(_GOODBYE)
            case _:
                assert_never(step)

    async def _connect(self, slot: Slot[Member[D]]) -> None:
        driver = self._new_driver()
        core = await driver.run(self._establish(slot))
        self._attach(driver, core)
        if self._machine.reset_ahead is not None:
            try:
                await driver.perform(Guard())
            except BaseException:
                driver.abort()
                raise
        was_lost = partial(self._was_lost, slot)
        core.machine.reports.end_handlers.append(was_lost)
        core.machine.reports.unfit_handlers.append(was_lost)
        slot.session = Member(driver, core, self._watch(driver))

    async def _run_hook(self, member: Member[D], hook: Hook) -> None:
        machine = member.core.machine
        loan = AsyncLoan(member.driver, None)
        try:
            await _outcome(self._hooks[hook](self._make_session(loan, member.core)))
        finally:
            loan.end()
        if hook is Hook.AFTER_CONNECT:
            machine.reports.keep_handlers()
            member.core.keep_codecs()
            machine.traces.changed = False


async def _outcome(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


class _Job(Generic[D]):
    """A step under way."""

    __slots__ = ("afterwards", "cancel", "step")

    def __init__(self, step: Step[Member[D]]) -> None:
        self.step = step
        self.cancel: Callable[[], object] = bool
        """Cancels it."""
        self.afterwards: Close[Member[D]] | None = None
        """What is to be done when it is over."""
