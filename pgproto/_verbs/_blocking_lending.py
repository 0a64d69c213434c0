"""What a pool lends to plain threads: a session for a while, and what cuts it off afterwards.

The asynchronous twin of this module is `pgproto._verbs._async_lending`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from pgproto import _effects as effects
from pgproto._pool import Ticket
from pgproto._session import Lease, Request, Waitable
from pgproto._verbs._blocking import BlockingDriver
from pgproto._verbs._blocking_session import BlockingSession
from pgproto._verbs._pooling import misuse

__all__ = ["BlockingAcquisition", "BlockingLoan", "BlockingPoolDriver", "BlockingSocket"]

R = TypeVar("R")
SessionT = TypeVar("SessionT", bound=BlockingSession)


class BlockingSocket(BlockingDriver, Protocol):
    """What a session needs of a transport."""

    def close(self, timeout: float) -> None:
        """Let pending requests finish, say goodbye, and close, all within ``timeout`` seconds."""
        ...

    def abort(self) -> None:
        """Close the socket at once."""
        ...


class BlockingPoolDriver(BlockingSocket, Protocol):
    """What a pool needs of a transport."""

    def look(self) -> None:
        """Read what has come, without waiting for anything."""
        ...

    def interrupt(self) -> None:
        """Let the thread that carries out a flow fail soon."""
        ...

    def run(self, flow: effects.Flow[R], latest: float | None = None) -> R:
        """Carry out a flow, which fails if it takes until ``latest``."""
        ...


class BlockingLoan:
    """What stands between a session that is lent and its driver: it is cut when the session is returned.

    So who keeps a session, a transaction or a statement for too long cannot reach the next holder's.
    """

    __slots__ = ("_driver", "_forgotten", "ticket")

    def __init__(
        self,
        driver: BlockingSocket,
        ticket: Ticket[Any, Any] | None,
        forgotten: Callable[[Ticket[Any, Any]], None] | None = None,
    ) -> None:
        self._driver: BlockingSocket | None = None
        self.ticket = ticket
        self._forgotten = forgotten
        self._driver = driver  # from now on the loan stands for the ticket

    def end(self) -> bool:
        """Cut it; False if that was done before."""
        was_open = self._driver is not None
        self._driver = None
        return was_open

    def _expect(self) -> BlockingSocket:
        driver, ticket = self._driver, self.ticket
        if driver is None or (ticket is not None and ticket.slot is None):
            raise misuse(ticket)
        return driver

    def perform(self, request: Request[R], lease: Lease | None = None) -> R:
        """As the driver's."""
        return self._expect().perform(request, lease)

    def start(self, request: Request[object], lease: Lease | None = None) -> None:
        """As the driver's."""
        self._expect().start(request, lease)

    def wait(self, waitable: Waitable) -> None:
        """As the driver's."""
        self._expect().wait(waitable)

    def leave(self, request: Request[object]) -> None:
        """As the driver's; a request that was not over when the session was returned was left then."""
        if self._driver is not None:
            self._driver.leave(request)

    def act(self, action: Callable[[], R]) -> R:
        """As the driver's."""
        return self._expect().act(action)

    def cut_off(self, reason: str) -> None:
        """As the driver's."""
        if self._driver is not None:
            self._driver.cut_off(reason)

    def close(self, timeout: float) -> None:
        """As the driver's."""
        self._expect().close(timeout)

    def abort(self) -> None:
        """As the driver's."""
        self._expect().abort()

    def __del__(self) -> None:
        if getattr(self, "_driver", None) is None:
            return
        ticket, forgotten = self.ticket, self._forgotten
        if ticket is None or ticket.slot is None or forgotten is None:
            return
        forgotten(ticket)
        warnings.warn(
            "a session was not returned to its pool, and forgotten: use `with pool.acquire()`",
            ResourceWarning,
            stacklevel=2,
        )


class BlockingAcquisition(Generic[SessionT]):
    """A session for the time of an ``with`` block; `BlockingPool.acquire` makes one."""

    __slots__ = ("_lend", "_loan", "_take_back", "_timeout")

    def __init__(
        self,
        lend: Callable[[float | None], tuple[BlockingLoan, SessionT]],
        take_back: Callable[[BlockingLoan], None],
        timeout: float | None,
    ) -> None:
        self._lend = lend
        self._take_back = take_back
        self._timeout = timeout
        self._loan: BlockingLoan | None = None

    def __enter__(self) -> SessionT:
        try:
            self._loan, session = self._lend(self._timeout)
            return session
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loan, self._loan = self._loan, None
        if loan is not None:
            self._take_back(loan)
