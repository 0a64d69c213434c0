"""Notifications, for plain threads; the twin of `_async_listening`."""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Self

from pgproto._seconds import seconds
from pgproto._session import Notification, SessionCore
from pgproto._verbs._blocking import BlockingDriver

__all__ = ["BlockingNotifications"]


class BlockingNotifications:
    """The notifications on one channel; `BlockingSession.listen` makes one.

    Any number may be open on a session, which serves other requests meanwhile. Iterating waits for the next
    `pgproto.Notification` and ends with an exception when the session does.
    """

    __slots__ = ("_core", "_driver", "_listener")

    def __init__(self, driver: BlockingDriver, core: SessionCore, channel: str) -> None:
        self._driver = driver
        self._core = core
        self._listener = core.listener(channel)

    def __enter__(self) -> Self:
        try:
            self._driver.perform(self._driver.act(self._listener.begin))
            return self
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._end()
        except Exception:
            raise
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        if self._listener.is_subscribed:
            self._driver.act(self._unsubscribe)

    def _unsubscribe(self) -> None:
        unlisten = self._listener.end()
        if unlisten is not None and not self._core.is_closed:
            self._core.machine.submit(unlisten)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Notification:
        return self.get()

    def get(self, *, timeout: float | None = None) -> Notification:
        """Wait for the next notification, for ``timeout`` seconds; None waits for as long as it takes.

        Raises `pgproto.QueryTimeout` if none has come by then; the listener goes on.
        """
        listener = self._listener
        patience = None if timeout is None else seconds(timeout)
        asked = False
        try:
            asked = self._driver.act(partial(listener.ask, patience))
            while (notification := listener.take()) is None:
                self._driver.wait(listener.subscription)
        except BaseException as error:
            # Who was refused must not end the waiting of another; who was interrupted may have asked.
            if asked or not isinstance(error, Exception):
                listener.rest()
            raise
        listener.rest()
        return notification
