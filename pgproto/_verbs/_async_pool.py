"""A pool of sessions for any event loop: what its verbs do, and how its machine's steps are carried out.

Nothing here waits by itself: it waits for drivers, hooks, and what a transport makes to wait for. The
blocking twin of this module is `pgproto._verbs._blocking_pool`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar, cast

from pgproto._pool import CLEAN, RENEWED, Report, Slot, Ticket, TicketKind, TicketState
from pgproto._session import (
    Lease,
    Queries,
    Request,
    SessionCore,
    clear_up,
    has_to_settle,
    is_unharmed,
    is_unmarked,
    passes_on,
    reset_ahead,
)
from pgproto._verbs._async import AsyncDriver, AsyncQueries
from pgproto._verbs._async_lending import AsyncAcquisition, AsyncLoan, AsyncPoolDriver
from pgproto._verbs._async_scopes import AsyncTransaction
from pgproto._verbs._async_session import AsyncSession
from pgproto._verbs._async_upkeep import AsyncUpkeep
from pgproto._verbs._pooling import Member, PoolBase, report_on

__all__ = ["AsyncPool"]

T = TypeVar("T")
D = TypeVar("D", bound=AsyncPoolDriver)
W = TypeVar("W")
SessionT = TypeVar("SessionT", bound=AsyncSession)


class AsyncPool(AsyncUpkeep[D, W, SessionT], AsyncQueries, Generic[D, W, SessionT]):
    __doc__ = PoolBase.__doc__

    def _prepare(self) -> None:
        super()._prepare()
        self._one_shots = cast(
            "tuple[AsyncDriver, SessionCore, Lease | None]", (_OneShots(self._fulfil), Queries(), None)
        )

    # The verbs.

    def acquire(self, timeout: float | None = None) -> AsyncAcquisition[SessionT]:
        """A session for oneself, for the time of an ``async with`` block; it is returned on every way out.

        Callers are served in the order in which they came. ``timeout`` is in seconds, None for the pool's
        ``acquire_timeout``. Entering the block raises `pgproto.PoolTimeout` when none became free in time,
        and `pgproto.PoolClosed`.
        """
        return AsyncAcquisition(self._lend, self._return, timeout)

    @asynccontextmanager
    async def _transaction(
        self, isolation: str | None, readonly: bool, deferrable: bool
    ) -> AsyncGenerator[AsyncTransaction, None]:
        async with (
            self.acquire() as session,
            session.transaction(isolation, readonly, deferrable) as transaction,
        ):
            yield transaction

    def transaction(
        self, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> AbstractAsyncContextManager[AsyncTransaction]:
        """A transaction on a session of its own, to be entered with ``async with``; as a session's."""
        return self._transaction(isolation, readonly, deferrable)

    async def run_transaction(
        self,
        function: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        isolation: str | None = "serializable",
        readonly: bool = False,
        deferrable: bool = False,
        retries: int = 5,
    ) -> T:
        """As a session's `run_transaction`, on a session of its own."""
        async with self.acquire() as session:
            return await session.run_transaction(
                function, isolation=isolation, readonly=readonly, deferrable=deferrable, retries=retries
            )

    def _connection(self) -> tuple[AsyncDriver, SessionCore, Lease | None]:
        return self._one_shots

    async def executemany(
        self,
        sql: str,
        args: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        timeout: float | None = None,
    ) -> int:
        """As a session's `executemany`."""
        async with self.acquire() as session:
            return await session.executemany(sql, args, timeout=timeout)

    async def resize(self, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the limits; sessions above them are closed when nobody uses them."""
        self._machine.resize(self._now(), min_size, max_size)
        self._pump()

    async def drain(self) -> None:
        """Replace all sessions: at once those that nobody uses, the others as they come back."""
        self._machine.drain(self._now())
        self._pump()

    async def expire(self, within: float) -> None:
        """Replace all sessions within so many seconds, one after the other, each after its successor."""
        self._machine.expire(self._now(), within)
        self._pump()

    async def _open(self, timeout: float | None) -> None:
        was_open = self._machine.is_open
        ticket = self._machine.open(self._now(), timeout)
        if ticket.state is TicketState.WAITING:
            ticket.waiter = waiter = self._new_waiter()
            self._pump()
            try:
                await self._wait(waiter)
            except BaseException:
                self._machine.abandon(ticket, self._now())
                if was_open:  # others use it
                    self._pump()
                else:
                    self._shut(0.0)
                raise
        self._pump()

    def _shut(self, timeout: float) -> None:
        self._machine.close(self._now(), timeout)
        self._pump()

    async def _close(self, timeout: float) -> None:
        self._shut(timeout)
        try:
            await self._wait_until_closed()
        except BaseException:
            self._shut(0.0)
            raise

    # Lending.

    def _ask(self, timeout: float | None, *, shared: bool = False) -> Ticket[Member[D], W]:
        try:
            ticket = self._machine.acquire(self._now(), timeout, shared=shared)
            if ticket.slot is None:
                ticket.waiter = self._new_waiter()
            return ticket
        finally:
            self._pump()

    async def _lend(self, timeout: float | None) -> tuple[AsyncLoan, SessionT]:
        ticket = self._ask(timeout)
        ticket.note = self._note()
        slot = ticket.slot
        member = None if slot is None else slot.session
        if member is None or not _lives(member, shared=False):
            member = await self._wait_for_turn(ticket)
        loan = AsyncLoan(member.driver, ticket, self._was_forgotten)
        return loan, self._make_session(loan, member.core)

    async def _fulfil(self, request: Request[Any], lease: None = None) -> Any:
        """Perform a one-shot request on some session."""
        pool, now = self._machine, self._now
        since = now()
        slot = pool.join(since)
        if pool.due:
            self._pump()
        if slot is None or (member := slot.session) is None:
            return await self._fulfil_in_turn(request)
        machine = member.core.machine
        # Where others' requests are under way, answers come all the time, or the end.
        if not machine.flight and not await self._may_stay(slot, member, since):
            return await self._fulfil_in_turn(request)
        try:
            return await member.driver.perform(request)
        finally:
            # What has left a transaction open, or may have, has a lease.
            if (
                request.lease is not None
                or not is_unmarked(machine)
                or not pool.leave_others(slot, since, now())
            ):
                self._leave(slot, member, since)

    async def _may_stay(self, slot: Slot[Member[D]], member: Member[D], since: float) -> bool:
        """Whether a session that was joined is alive; else it is given back."""
        if _lives(member, shared=True):
            return True
        try:
            alive = await self._revives(member, shared=True)
        except BaseException:
            self._leave(slot, member, since)
            raise
        if not alive:
            self._machine.reject(slot, self._now(), report_on(member.core))
            self._pump()
        return alive

    async def _fulfil_in_turn(self, request: Request[Any]) -> Any:
        """The same, for those who have to wait for a session."""
        ticket = self._ask(None, shared=True)
        try:
            slot = ticket.slot
            member = None if slot is None else slot.session
            if member is None or not _lives(member, shared=True):
                member = await self._wait_for_turn(ticket)
            return await member.driver.perform(request)
        finally:
            self._release(ticket)

    async def _revives(self, member: Member[D], *, shared: bool) -> bool:
        """Whether a session lives after all, when what has come was read."""
        for _ in range(_TURNS):
            await self._let_read()
            if _lives(member, shared=shared):
                return True
        return member.core.machine.failure is None  # it was something else that came, such as a notification

    async def _wait_for_turn(self, ticket: Ticket[Member[D], W]) -> Member[D]:
        """Wait until the ticket has a session that lives."""
        try:
            while True:
                slot = ticket.slot
                member = None if slot is None else slot.session
                if member is not None:
                    shared = ticket.kind is TicketKind.SHARED
                    if _lives(member, shared=shared) or await self._revives(member, shared=shared):
                        return member
                    ticket.waiter = self._new_waiter()
                    self._machine.put_back(ticket, self._now(), report_on(member.core))
                    self._pump()
                if ticket.waiter is None:
                    raise ticket.misuse()  # the pool has closed, and taken the session away already
                await self._wait(ticket.waiter)
                ticket.waiter = None
        except BaseException:
            self._machine.abandon(ticket, self._now())
            self._pump()
            raise

    def _return(self, loan: AsyncLoan) -> None:
        if loan.end() and loan.ticket is not None:
            self._release(loan.ticket)

    def _leave(self, slot: Slot[Member[D]], member: Member[D], since: float) -> None:
        """A one-shot request is over, or was given up, that joined the session at that time."""
        alone = slot.holders == 1
        if is_unharmed(member.core.machine, alone=alone):
            self._machine.leave(slot, since, self._now(), self._reset(member) if alone else CLEAN)
            self._pump()
        else:
            self._clear_up(slot, member, partial(self._machine.leave, slot, since), shared=True)

    def _release(self, ticket: Ticket[Member[D], W]) -> None:
        slot = ticket.slot
        member = None if slot is None else slot.session
        if slot is None or member is None:
            return
        machine = member.core.machine
        shared = ticket.kind is TicketKind.SHARED
        if not shared:
            member.core.leave_codecs()
        if passes_on(machine, shared=shared, alone=slot.holders == 1):
            report = CLEAN if slot.holders > 1 else self._reset(member)
            self._machine.release(ticket, self._now(), report)
            self._pump()
        else:
            self._clear_up(slot, member, partial(self._machine.release, ticket), shared=shared)

    def _reset(self, member: Member[D]) -> Report:
        """Let a reset go ahead of the next holder's requests, if there has to be one and that can be."""
        sql = self._machine.reset_ahead
        if sql is None or not reset_ahead(member.core.machine, sql, self._reset_timeout):
            return CLEAN
        self._flush_soon(member.driver)
        return RENEWED

    def _clear_up(
        self,
        slot: Slot[Member[D]],
        member: Member[D],
        give_back: Callable[[float, Report], None],
        *,
        shared: bool,
    ) -> None:
        machine = member.core.machine
        member.driver.act(partial(clear_up, machine, shared=shared))
        settled = partial(self._settled, slot, member, give_back)
        if has_to_settle(machine, alone=slot.holders == 1):
            self._spawn(partial(self._settle, member), settled)
        else:
            settled()

    async def _settle(self, member: Member[D]) -> None:
        """Let what was cancelled, and what cleans up, come to its end."""
        with suppress(Exception):
            await member.driver.perform(member.core.ping(self._cancel_timeout))

    def _settled(
        self, slot: Slot[Member[D]], member: Member[D], give_back: Callable[[float, Report], None]
    ) -> None:
        give_back(self._now(), report_on(member.core, alone=slot.holders == 1))
        self._pump()

    def _was_forgotten(self, ticket: Ticket[Member[D], W]) -> None:
        self._call_from_anywhere(partial(self._release, ticket))


def _lives(member: Member[Any], *, shared: bool) -> bool:
    """Whether the session is alive, as far as its socket tells."""
    machine = member.core.machine
    if machine.failure is not None:
        return False
    # Where others' requests are under way, answers come all the time.
    return (shared and machine.in_flight > 0) or not member.look()


class _OneShots:
    """Stands for the driver of a session that is yet to come."""

    __slots__ = ("perform",)

    def __init__(self, perform: Callable[[Request[Any], None], Any]) -> None:
        self.perform = perform


_TURNS = 4
"""How often others get their turn until a driver has read what was there to be read."""
