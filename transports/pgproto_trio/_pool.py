"""`Pool` for trio: what its machine decides, carried out by tasks in the scope of the pool's block."""

from __future__ import annotations

import logging
import math
import random
import select
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import trio

from pgproto._session import SessionCore
from pgproto._verbs._async_lending import AsyncSocket
from pgproto._verbs._async_pool import AsyncPool
from pgproto_trio._driver import Driver
from pgproto_trio._session import Session

__all__ = ["Pool"]

logger = logging.getLogger("pgproto")


class _Waiter:
    """What a caller waits for."""

    __slots__ = ("error", "event")

    def __init__(self) -> None:
        self.event = trio.Event()
        self.error: BaseException | None = None


class Pool(AsyncPool[Driver, _Waiter, Session]):
    __doc__ = AsyncPool.__doc__

    def _prepare(self) -> None:
        super()._prepare()
        self._now: Callable[[], float] = float  # there is no time before the pool is entered
        self._token: trio.lowlevel.TrioToken | None = None
        self._manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None
        self._timekeeper = trio.CancelScope()
        self._timer = math.inf
        self._timed = trio.Event()
        self._ended = trio.Event()

    async def __aenter__(self) -> Self:
        self._token = trio.lowlevel.current_trio_token()
        self._now = trio.current_time
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._nursery.start_soon(self._keep_time)
        try:
            await self._open(None)
        except BaseException:
            await self._exit(0.0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whoever is being cancelled does not wait for those who have a session, but the sockets are closed.
        patient = kind is None or issubclass(kind, Exception)
        await self._exit(30.0 if patient else self._cancel_timeout)

    async def _exit(self, timeout: float) -> None:
        try:
            with trio.CancelScope(shield=True):
                await self._close(timeout)
        finally:
            self._timekeeper.cancel()
            # What went wrong in the block must not come out wrapped into a group.
            if self._manager is not None:
                await self._manager.__aexit__(None, None, None)

    async def close(self, timeout: float = 30) -> None:
        """Close the pool: sessions that are in use when they come back, or after ``timeout`` seconds."""
        await self._close(timeout)

    # What the machine's steps are made of.

    def _random(self) -> float:
        return random.random()

    def _new_driver(self) -> Driver:
        return Driver()

    def _attach(self, driver: Driver, core: SessionCore) -> None:
        driver.attach(core, self._expect_nursery())

    def _make_session(self, socket: AsyncSocket, core: SessionCore) -> Session:
        return Session(socket, core)

    def _expect_nursery(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("the pool was not opened: enter it with `async with`")
        if trio.lowlevel.current_trio_token() is not self._token:
            raise RuntimeError("the pool belongs to another run of trio")
        return self._nursery

    def _spawn(self, job: Callable[[], Any], over: Callable[[], None]) -> Callable[[], object]:
        # The pool's own work goes on when what is around the pool is cancelled: it has to clean up.
        scope, shield = trio.CancelScope(), trio.CancelScope(shield=True)

        async def run() -> None:
            try:
                with shield, scope:
                    await job()
            finally:
                over()

        self._expect_nursery().start_soon(run)
        return scope.cancel

    def _new_waiter(self) -> _Waiter:
        return _Waiter()

    async def _wait(self, waiter: _Waiter) -> None:
        await waiter.event.wait()
        if waiter.error is not None:
            raise waiter.error

    def _watch(self, driver: Driver) -> Callable[[], object]:
        number = driver.fileno()
        if number < 0:
            return partial(bool, "perhaps")  # it is no socket that could be asked
        poller = select.poll()
        poller.register(number, select.POLLIN)
        return partial(poller.poll, 0)

    def _flush_soon(self, driver: Driver) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(driver.act, bool)

    async def _let_read(self) -> None:
        await trio.lowlevel.checkpoint()

    def _wake(self, waiter: _Waiter, error: BaseException | None) -> None:
        waiter.error = error
        waiter.event.set()

    def _set_timer(self, time: float) -> None:
        self._timer = time
        self._timed.set()

    async def _keep_time(self) -> None:
        with trio.CancelScope(shield=True), self._timekeeper:
            while True:
                with trio.move_on_at(self._timer):
                    await self._timed.wait()
                self._timed = trio.Event()
                if trio.current_time() >= self._timer:
                    self._timer = math.inf
                    self._tick()

    def _all_closed(self) -> None:
        self._ended.set()

    async def _wait_until_closed(self) -> None:
        await self._ended.wait()

    def _call_from_anywhere(self, function: Callable[[], None]) -> None:
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(function)

    def _log(self, message: str) -> None:
        logger.warning("%s", message)
