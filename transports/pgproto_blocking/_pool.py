"""`Pool` for plain threads: one lock, a thread that keeps time, and one for each step while it takes."""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from pgproto._session import SessionCore
from pgproto._verbs._blocking_lending import BlockingSocket
from pgproto._verbs._blocking_pool import BlockingPool
from pgproto_blocking._driver import Driver
from pgproto_blocking._session import Session

__all__ = ["Pool"]

logger = logging.getLogger("pgproto")


class _Waiter:
    """What a thread waits for."""

    __slots__ = ("error", "lock")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.lock.acquire()


class Pool(BlockingPool[Driver, _Waiter, Session]):
    __doc__ = BlockingPool.__doc__

    def _prepare(self) -> None:
        super()._prepare()
        self._now: Callable[[], float] = time.monotonic
        self._guard = threading.Lock()
        self._process = os.getpid()
        self._timekeeper: threading.Thread | None = None
        """The thread that sets things going, from when it does."""
        # What the timekeeper is told: a time, something to call, or that it is over. Unlike other things of
        # threads, a SimpleQueue may be used in the midst of whatever garbage collection interrupts.
        self._told: queue.SimpleQueue[float | Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._drivers: weakref.WeakSet[Driver] = weakref.WeakSet()
        self._ended = threading.Event()

    def open(self, timeout: float | None = None) -> Self:
        """Open the pool, and wait for ``min_size`` sessions; ``timeout`` as for `acquire`.

        Raises what connecting raises if the server refuses, and `pgproto.PoolTimeout`.
        """
        self._expect_process()
        if self._timekeeper is None and not self._ended.is_set():
            # Whoever is interrupted here does not know whether there is one, and may start another.
            threading.Thread(target=self._keep_time, name="pgproto-pool", daemon=True).start()
        self._open(timeout)
        return self

    def close(self, timeout: float = 30) -> None:
        """Close the pool: sessions that are in use when they come back, or after ``timeout`` seconds."""
        if self._process == os.getpid():
            self._close(timeout)
            return
        # The parent goes on using the connections; this process only lets go of its copies.
        for driver in self._drivers:
            driver.abort()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whoever has been interrupted does not wait for those who have a session.
        patient = kind is None or issubclass(kind, Exception)
        self.close(30 if patient else self._cancel_timeout)

    # What the machine's steps are made of.

    def _expect_process(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError("the pool belongs to the process that was forked; make another one")

    def _random(self) -> float:
        return random.random()

    def _new_driver(self) -> Driver:
        return Driver()

    def _attach(self, driver: Driver, core: SessionCore) -> None:
        driver.attach(core)
        with self._guard:
            self._drivers.add(driver)

    def _make_session(self, socket: BlockingSocket, core: SessionCore) -> Session:
        return Session(socket, core)

    def _spawn(
        self,
        job: Callable[[], object],
        over: Callable[[], None],
        otherwise: Callable[[RuntimeError], object],
    ) -> None:
        def run(work: Callable[[], object]) -> None:
            try:
                work()
            finally:
                with self._guard:
                    over()
                    self._threads.discard(thread)

        # In a thread of the pool, so nobody is interrupted.
        thread = threading.Thread(target=run, args=(job,), name="pgproto-pool-step", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self._threads.discard(thread)
            self._call_later(partial(run, partial(otherwise, error)))

    def _new_waiter(self) -> _Waiter:
        return _Waiter()

    def _wait(self, waiter: _Waiter) -> None:
        waiter.lock.acquire()
        if waiter.error is not None:
            raise waiter.error

    def _wake(self, waiter: _Waiter, error: BaseException | None) -> None:
        waiter.error = error
        if waiter.lock.locked():  # else it was woken already
            waiter.lock.release()

    def _set_timer(self, time: float) -> None:
        self._told.put(time)

    def _keep_time(self) -> None:
        with self._guard:
            if self._timekeeper is not None:
                return
            self._timekeeper = threading.current_thread()
        until: float | None = None
        while True:
            try:
                told = self._told.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                until = None
                self._tick()
                continue
            if told is None:
                return
            if isinstance(told, int | float):
                until = told
            else:
                try:
                    told()
                except Exception:
                    logger.exception("the pool's upkeep failed")

    def _all_closed(self) -> None:
        self._told.put(None)
        self._ended.set()

    def _wait_until_closed(self) -> None:
        self._ended.wait()
        if self._timekeeper is not None:
            self._timekeeper.join()
        with self._guard: threads = list(self._threads)  # fmt: skip  # noqa: E701
        for thread in threads:
            # One that is in a hook that does not end is left behind.
            thread.join(self._cancel_timeout)

    def _call_later(self, function: Callable[[], None]) -> None:
        self._told.put(function)

    def _log(self, message: str) -> None:
        logger.warning("%s", message)
