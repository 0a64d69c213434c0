"""A pool of sessions for plain threads: its verbs. How sessions are lent is told in `_blocking_turns`.

The asynchronous twin of this module is `pgproto._verbs._async_pool`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, TypeVar, cast

from pgproto._pool import PoolStatus, SessionStatus, TicketState
from pgproto._seconds import seconds
from pgproto._session import Lease, Queries, Request, SessionCore
from pgproto._verbs._blocking import BlockingDriver, BlockingQueries
from pgproto._verbs._blocking_lending import BlockingAcquisition, BlockingPoolDriver
from pgproto._verbs._blocking_scopes import BlockingTransaction
from pgproto._verbs._blocking_session import BlockingSession
from pgproto._verbs._blocking_turns import BlockingTurns, Turn
from pgproto._verbs._pooling import PoolBase

__all__ = ["BlockingPool"]

T = TypeVar("T")
D = TypeVar("D", bound=BlockingPoolDriver)
W = TypeVar("W")
SessionT = TypeVar("SessionT", bound=BlockingSession)


class BlockingPool(BlockingTurns[D, W, SessionT], BlockingQueries, Generic[D, W, SessionT]):
    __doc__ = PoolBase.__doc__

    def _prepare(self) -> None:
        super()._prepare()
        self._one_shots = _OneShots(self._fulfil)

    # The verbs.

    def acquire(self, timeout: float | None = None) -> BlockingAcquisition[SessionT]:
        """A session for oneself, for the time of a ``with`` block; it is returned on every way out.

        Callers are served in the order in which they came. ``timeout`` is in seconds, None for the pool's
        ``acquire_timeout``. Entering the block raises `pgproto.PoolTimeout` when none became free in time,
        and `pgproto.PoolClosed`.
        """
        return BlockingAcquisition(self._lend, self._return, timeout)

    @contextmanager
    def _transaction(
        self, isolation: str | None, readonly: bool, deferrable: bool
    ) -> Generator[BlockingTransaction, None, None]:
        with (
            self.acquire() as session,
            session.transaction(isolation, readonly, deferrable) as transaction,
        ):
            yield transaction

    def transaction(
        self, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> AbstractContextManager[BlockingTransaction]:
        """A transaction on a session of its own, to be entered with ``with``; as a session's."""
        return self._transaction(isolation, readonly, deferrable)

    def run_transaction(
        self,
        function: Callable[[BlockingTransaction], T],
        *,
        isolation: str | None = "serializable",
        readonly: bool = False,
        deferrable: bool = False,
        retries: int = 5,
    ) -> T:
        """As a session's `run_transaction`, on a session of its own."""
        with self.acquire() as session:
            return session.run_transaction(
                function, isolation=isolation, readonly=readonly, deferrable=deferrable, retries=retries
            )

    def _connection(self) -> tuple[BlockingDriver, SessionCore, Lease | None]:
        return cast("tuple[BlockingDriver, SessionCore, Lease | None]", (self._one_shots, _QUERIES, None))

    def executemany(
        self,
        sql: str,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,
    ) -> int:
        """As a session's `executemany`."""
        with self.acquire() as session:
            return session.executemany(sql, args, timeout=timeout)

    def resize(self, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the limits; sessions above them are closed when nobody uses them."""
        self._tell(lambda: self._machine.resize(self._now(), min_size, max_size))

    def drain(self) -> None:
        """Replace all sessions: at once those that nobody uses, the others as they come back."""
        self._tell(lambda: self._machine.drain(self._now()))

    def expire(self, within: float) -> None:
        """Replace all sessions within so many seconds, one after the other, each after its successor."""
        seconds(within)
        self._tell(lambda: self._machine.expire(self._now(), within))

    def status(self) -> PoolStatus:
        with self._guard: return super().status()  # fmt: skip  # noqa: E701

    def sessions(self) -> list[SessionStatus]:
        with self._guard: return super().sessions()  # fmt: skip  # noqa: E701

    def _open(self, timeout: float | None) -> None:
        if timeout is not None:
            seconds(timeout)
        turn: Turn[D, W] = []
        was_open = self._machine.is_open

        def open_it() -> None:
            turn.append(self._machine.open(self._now(), timeout))
            if turn[0].state is TicketState.WAITING:
                turn[0].waiter = self._new_waiter()

        try:
            self._tell(open_it)
            if turn[0].waiter is not None:
                self._wait(turn[0].waiter)
        except BaseException:
            for ticket in turn:
                self._give_up(ticket)
            if not was_open and self._machine.is_open:
                self._close(0.0)
            raise

    def _shut(self, timeout: float) -> None:
        self._tell(lambda: self._machine.close(self._now(), timeout))

    def _close(self, timeout: float) -> None:
        seconds(timeout)  # what is none is refused before anything is done
        try:
            self._shut(timeout)
            self._wait_until_closed()
        except BaseException:
            self._shut(0.0)
            raise


class _OneShots:
    """Stands for the driver of a session that is yet to come."""

    __slots__ = ("perform",)

    def __init__(self, perform: Callable[[Request[Any], None], Any]) -> None:
        self.perform = perform


_QUERIES = Queries()
