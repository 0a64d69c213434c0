"""`Pool` for asyncio: what its machine decides, carried out with tasks, futures and one timer."""

from __future__ import annotations

import asyncio
import logging
import random
import select
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from pgproto._session import SessionCore
from pgproto._verbs._async_lending import AsyncSocket
from pgproto._verbs._async_pool import AsyncPool
from pgproto_asyncio._driver import Driver
from pgproto_asyncio._session import Session

__all__ = ["Pool"]

logger = logging.getLogger("pgproto")


class Pool(AsyncPool[Driver, "asyncio.Future[None]", Session]):
    __doc__ = AsyncPool.__doc__

    def _prepare(self) -> None:
        super()._prepare()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now: Callable[[], float] = time.monotonic
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()

    async def open(self, timeout: float | None = None) -> Self:
        """Open the pool, and wait for ``min_size`` sessions; ``timeout`` as for `acquire`.

        Raises what connecting raises if the server refuses, and `pgproto.PoolTimeout`.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._now = self._loop.time
        await self._open(timeout)
        return self

    async def close(self, timeout: float = 30) -> None:
        """Close the pool: sessions that are in use when they come back, or after ``timeout`` seconds."""
        await self._close(timeout)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whoever is being cancelled does not wait for those who have a session, but the sockets are closed.
        patient = kind is None or issubclass(kind, Exception)
        await self.close(30 if patient else self._cancel_timeout)

    # What the machine's steps are made of.

    def _random(self) -> float:
        return random.random()

    def _new_driver(self) -> Driver:
        return Driver()

    def _attach(self, driver: Driver, core: SessionCore) -> None:
        driver.attach(core)

    def _make_session(self, socket: AsyncSocket, core: SessionCore) -> Session:
        return Session(socket, core)

    def _expect_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the pool was not opened")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the pool belongs to another event loop")
        return self._loop

    def _spawn(self, job: Callable[[], Any], over: Callable[[], None]) -> Callable[[], object]:
        task = self._expect_loop().create_task(job())

        def done(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            over()

        self._tasks.add(task)
        task.add_done_callback(done)
        return task.cancel

    def _new_waiter(self) -> asyncio.Future[None]:
        return self._expect_loop().create_future()

    async def _wait(self, waiter: asyncio.Future[None]) -> None:
        await waiter

    def _watch(self, driver: Driver) -> Callable[[], object]:
        number = driver.fileno()
        if number < 0:
            return partial(bool, "perhaps")  # it is no socket that could be asked
        poller = select.poll()
        poller.register(number, select.POLLIN)
        return partial(poller.poll, 0)

    def _flush_soon(self, driver: Driver) -> None:
        self._expect_loop().call_soon(driver.act, bool)

    async def _let_read(self) -> None:
        await asyncio.sleep(0)

    def _wake(self, waiter: asyncio.Future[None], error: BaseException | None) -> None:
        if waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    def _set_timer(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._expect_loop().call_at(time, self._tick)

    def _all_closed(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()

    async def _wait_until_closed(self) -> None:
        await self._ended.wait()

    def _call_from_anywhere(self, function: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def _log(self, message: str) -> None:
        logger.warning("%s", message)
