"""Notifications, for any event loop.

The blocking twin of this module is `pgproto._verbs._blocking_listening`.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Self

from pgproto._seconds import seconds
from pgproto._session import Notification, SessionCore
from pgproto._verbs._async import AsyncDriver

__all__ = ["AsyncNotifications"]


class AsyncNotifications:
    """The notifications on one channel; `AsyncSession.listen` makes one.

    Any number may be open on a session, which serves other requests meanwhile. Iterating waits for the next
    `pgproto.Notification` and ends with an exception when the session does.
    """

    __slots__ = ("_core", "_driver", "_listener")

    def __init__(self, driver: AsyncDriver, core: SessionCore, channel: str) -> None:
        self._driver = driver
        self._core = core
        self._listener = core.listener(channel)

    async def __aenter__(self) -> Self:
        listen = self._listener.begin()
        try:
            await self._driver.perform(listen)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        unlisten = self._listener.end()
        if unlisten is not None and not self._core.is_closed:
            self._driver.start(unlisten)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        return await self.get()

    async def get(self, *, timeout: float | None = None) -> Notification:
        """Wait for the next notification, for ``timeout`` seconds; None waits for as long as it takes.

        Raises `pgproto.QueryTimeout` if none has come by then; the listener goes on.
        """
        listener = self._listener
        patience = None if timeout is None else seconds(timeout)
        self._driver.act(partial(listener.ask, patience))
        try:
            while (notification := listener.take()) is None:
                await self._driver.wait(listener.subscription)
        finally:
            listener.rest()
        return notification
