"""A pool of sessions for plain threads: its verbs, and how sessions are lent and taken back.

The asynchronous twin of this module is `pgproto._verbs._async_pool`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar, cast

from pgproto._pool import (
    CLEAN,
    RENEWED,
    PoolStatus,
    Report,
    SessionStatus,
    Slot,
    Ticket,
    TicketKind,
    TicketState,
)
from pgproto._session import Command, Lease, SessionCore, is_unharmed, is_untouched, reset_ahead, take_back
from pgproto._verbs._blocking import BlockingDriver, BlockingQueries
from pgproto._verbs._blocking_lending import BlockingAcquisition, BlockingLoan, BlockingPoolDriver
from pgproto._verbs._blocking_scopes import BlockingTransaction
from pgproto._verbs._blocking_session import BlockingSession
from pgproto._verbs._blocking_upkeep import BlockingUpkeep
from pgproto._verbs._pooling import Member, PoolBase, Wish, Wishes, report_on
from pgproto.errors import Error

__all__ = ["BlockingPool"]

T = TypeVar("T")
D = TypeVar("D", bound=BlockingPoolDriver)
W = TypeVar("W")
SessionT = TypeVar("SessionT", bound=BlockingSession)


class BlockingPool(BlockingUpkeep[D, W, SessionT], BlockingQueries, Generic[D, W, SessionT]):
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
        # A one-shot request is made when there is a session for it, so until then its wish stands for it.
        return cast("tuple[BlockingDriver, SessionCore, Lease | None]", (self._one_shots, _WISHES, None))

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
        with self._guard:
            self._machine.resize(self._now(), min_size, max_size)
            self._pump()

    def drain(self) -> None:
        """Replace all sessions: at once those that nobody uses, the others as they come back."""
        with self._guard:
            self._machine.drain(self._now())
            self._pump()

    def expire(self, within: float) -> None:
        """Replace all sessions within so many seconds, one after the other, each after its successor."""
        with self._guard:
            self._machine.expire(self._now(), within)
            self._pump()

    def status(self) -> PoolStatus:
        with self._guard:
            return super().status()

    def sessions(self) -> list[SessionStatus]:
        with self._guard:
            return super().sessions()

    def _open(self, timeout: float | None) -> None:
        waiter = self._new_waiter()
        with self._guard:
            ticket = self._machine.open(self._now(), timeout)
            ticket.waiter = waiter
            is_waiting = ticket.state is TicketState.WAITING
            self._pump()
        if not is_waiting:
            return
        try:
            self._wait(waiter)
        except BaseException:
            self._give_up(ticket)
            self._close(0.0)
            raise

    def _shut(self, timeout: float) -> None:
        with self._guard:
            self._machine.close(self._now(), timeout)
            self._pump()

    def _close(self, timeout: float) -> None:
        self._shut(timeout)
        try:
            self._wait_until_closed()
        except BaseException:
            self._shut(0.0)
            raise

    # Lending.

    def _ask(self, timeout: float | None, *, shared: bool = False) -> Ticket[Member[D], W]:
        self._expect_process()
        with self._guard:
            try:
                ticket = self._machine.acquire(self._now(), timeout, shared=shared)
                if ticket.slot is None:
                    ticket.waiter = self._new_waiter()
                return ticket
            finally:
                self._pump()

    def _lend(self, timeout: float | None) -> tuple[BlockingLoan, SessionT]:
        ticket = self._ask(timeout)
        try:
            ticket.note = self._note()
            member = self._wait_for_turn(ticket)
            loan = BlockingLoan(member.driver, ticket, self._was_forgotten)
            return loan, self._make_session(loan, member.core)
        except BaseException:
            self._was_forgotten(ticket)
            raise

    def _fulfil(self, wish: Wish, lease: None = None) -> Any:
        """Make a one-shot request, and wait for its outcome."""
        self._expect_process()
        with self._guard:
            since = self._now()
            slot = self._machine.join(since)
            self._pump()
        if slot is None:
            return self._fulfil_in_turn(wish)
        member = cast("Member[D]", slot.session)
        if not self._may_stay(slot, member, since):
            return self._fulfil_in_turn(wish)
        make, arguments = wish
        try:
            return member.driver.perform(make(member.core, *arguments))
        finally:
            self._leave(slot, member, since)

    def _may_stay(self, slot: Slot[Member[D]], member: Member[D], since: float) -> bool:
        """Whether a session that was joined is alive; else it is given back."""
        try:
            alive = _lives(member, shared=True)
        except BaseException:
            self._leave(slot, member, since)
            raise
        if not alive:
            report = report_on(member.core)
            with self._guard:
                self._machine.reject(slot, self._now(), report)
                self._pump()
        return alive

    def _fulfil_in_turn(self, wish: Wish) -> Any:
        """The same, for those who have to wait for a session."""
        ticket = self._ask(None, shared=True)
        try:
            member = self._wait_for_turn(ticket)
            make, arguments = wish
            return member.driver.perform(make(member.core, *arguments))
        finally:
            try:
                self._release(ticket)
            except BaseException:
                self._was_forgotten(ticket)
                raise

    def _wait_for_turn(self, ticket: Ticket[Member[D], W]) -> Member[D]:
        """Wait until the ticket has a session that lives."""
        try:
            while True:
                waiter = ticket.waiter
                if waiter is not None:
                    self._wait(waiter)
                slot = ticket.slot
                member = None if slot is None else slot.session
                if member is None:
                    raise ticket.misuse()  # the pool has closed, and taken the session away already
                if _lives(member, shared=ticket.kind is TicketKind.SHARED):
                    return member
                report = report_on(member.core)
                with self._guard:
                    if ticket.slot is slot:
                        ticket.waiter = self._new_waiter()
                        self._machine.put_back(ticket, self._now(), report)
                        self._pump()
        except BaseException:
            self._give_up(ticket)
            raise

    def _give_up(self, ticket: Ticket[Member[D], W]) -> None:
        with self._guard:
            self._machine.abandon(ticket, self._now())
            self._pump()

    def _return(self, loan: BlockingLoan) -> None:
        ticket = loan.ticket
        if ticket is not None:
            try:
                if loan.end():
                    self._release(ticket)
            except BaseException:
                # Interrupted; a thread of the pool does what is left to be done.
                self._was_forgotten(ticket)
                raise

    def _leave(self, slot: Slot[Member[D]], member: Member[D], since: float) -> None:
        """A one-shot request is over, or was given up, that joined the session at that time."""
        give_back = partial(self._machine.leave, slot, since)
        report = self._reset(member) if slot.holders == 1 else CLEAN
        with self._guard:
            if report is RENEWED or is_unharmed(member.core.machine, alone=slot.holders == 1):
                give_back(self._now(), report)
                self._pump()
                return
        self._clear_up(slot, member, give_back, shared=True)

    def _release(self, ticket: Ticket[Member[D], W]) -> None:
        shared = ticket.kind is TicketKind.SHARED
        slot = ticket.slot
        member = None if slot is None else slot.session
        if slot is None or member is None:
            return
        report = self._reset(member) if slot.holders == 1 else CLEAN
        with self._guard:
            if ticket.slot is None:
                return
            machine = member.core.machine
            if not shared:
                member.core.leave_codecs()
            untouched = is_unharmed(machine, alone=slot.holders == 1) if shared else is_untouched(machine)
            if report is RENEWED or untouched:
                if not shared:
                    machine.traces.holder += 1
                self._machine.release(ticket, self._now(), report)
                self._pump()
                return
        self._clear_up(slot, member, partial(self._machine.release, ticket), shared=shared)

    def _reset(self, member: Member[D]) -> Report:
        """Let a reset go ahead of the next holder's requests, if there has to be one and that can be."""
        sql, machine = self._machine.reset_ahead, member.core.machine
        if sql is None or not is_untouched(machine):
            return CLEAN
        with suppress(Error):
            if member.driver.act(partial(reset_ahead, machine, sql, self._reset_timeout)):
                return RENEWED
        return CLEAN

    def _clear_up(
        self,
        slot: Slot[Member[D]],
        member: Member[D],
        give_back: Callable[[float, Report], None],
        *,
        shared: bool,
    ) -> None:
        machine = member.core.machine
        if not shared:
            with suppress(Error):
                member.driver.act(partial(take_back, machine))
        elif member.core.lease() is not None:
            # The request has left a transaction open, or given up a BEGIN that may be on its way, and would
            # keep the others' waiting for ever.
            member.driver.start(Command("ROLLBACK", essential=True))
        settled = partial(self._settled, slot, member, give_back)
        with self._guard:
            if machine.failure is None and not machine.is_idle and slot.holders == 1:
                self._spawn(partial(self._settle, member), settled, lambda _: None)
            else:
                settled()

    def _settle(self, member: Member[D]) -> None:
        """Let what was cancelled, and what cleans up, come to its end."""
        with suppress(Exception):
            member.driver.perform(member.core.ping(self._cancel_timeout))

    def _settled(
        self, slot: Slot[Member[D]], member: Member[D], give_back: Callable[[float, Report], None]
    ) -> None:
        """To be called under the guard."""
        report = report_on(member.core)
        if slot.holders > 1 and report.busy:
            # It is the others' requests that are under way.
            report = replace(report, busy=False)
        give_back(self._now(), report)
        self._pump()

    def _was_forgotten(self, ticket: Ticket[Member[D], W]) -> None:
        self._call_later(partial(self._release, ticket))


def _lives(member: Member[Any], *, shared: bool) -> bool:
    """Whether the session is alive, as far as its socket tells."""
    machine = member.core.machine
    # Where others' requests are under way, they look after the socket.
    if machine.failure is None and not (shared and machine.in_flight > 0):
        member.look()
    return machine.failure is None


class _OneShots:
    """Stands for the driver of a session that is yet to come."""

    __slots__ = ("perform",)

    def __init__(self, perform: Callable[[Wish, None], Any]) -> None:
        self.perform = perform


_WISHES = Wishes()
