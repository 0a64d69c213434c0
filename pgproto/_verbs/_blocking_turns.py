"""How the callers of a pool for plain threads get their turn, and end it.

Whoever asks for a session brings along the place where the machine's answer is put while the guard is held,
so that it has an owner from the first, wherever its thread is interrupted. And whoever owns it sees to it
that one of the pool's own threads gives it back, if that was interrupted too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from pgproto._pool import CLEAN, RENEWED, Report, Slot, Ticket, TicketKind, TicketState
from pgproto._seconds import seconds
from pgproto._session import Request, clear_up, has_to_settle, is_untouched, passes_on, reset_ahead
from pgproto._verbs._blocking_lending import BlockingLoan, BlockingPoolDriver
from pgproto._verbs._blocking_session import BlockingSession
from pgproto._verbs._blocking_upkeep import BlockingUpkeep
from pgproto._verbs._pooling import Member, report_on
from pgproto.errors import Error

__all__ = ["BlockingTurns", "Turn"]

D = TypeVar("D", bound=BlockingPoolDriver)
W = TypeVar("W")
SessionT = TypeVar("SessionT", bound=BlockingSession)

Turn: TypeAlias = list[Ticket[Member[D], W]]
"""Where a ticket is put as soon as there is one."""


class _Stay(Generic[D]):
    """A one-shot request's right to be on a session; whoever gives it back empties it."""

    __slots__ = ("since", "slot")

    def __init__(self) -> None:
        self.slot: Slot[Member[D]] | None = None
        self.since = 0.0


class BlockingTurns(BlockingUpkeep[D, W, SessionT], Generic[D, W, SessionT]):
    """Lends sessions, and takes them back."""

    def _prepare(self) -> None:
        super()._prepare()
        self._settling: set[object] = set()

    def _ask(self, turn: Turn[D, W], timeout: float | None, *, shared: bool = False) -> None:
        self._expect_process()
        if timeout is not None:
            seconds(timeout)  # what is none is refused before anything is done

        def ask() -> None:
            ticket = self._machine.acquire(self._now(), timeout, shared=shared)
            turn.append(ticket)
            if ticket.slot is None:
                ticket.waiter = self._new_waiter()

        self._tell(ask)

    def _lend(self, timeout: float | None) -> tuple[BlockingLoan, SessionT]:
        turn: Turn[D, W] = []
        try:
            self._ask(turn, timeout)
            ticket = turn[0]
            ticket.note = self._note()
            member = self._wait_for_turn(ticket)
            loan = BlockingLoan(member.driver, ticket, self._was_forgotten)
            return loan, self._make_session(loan, member.core)
        except BaseException:
            for ticket in turn:
                self._was_forgotten(ticket)
            raise

    def _fulfil(self, request: Request[Any], lease: None = None) -> Any:
        """Perform a one-shot request on some session."""
        self._expect_process()
        stay: _Stay[D] = _Stay()
        try:
            try:
                with self._guard: member = self._join(stay)  # fmt: skip  # noqa: E701
                if member is not None and self._may_stay(stay, member):
                    return member.driver.perform(request)
            finally:
                self._leave(stay)
        except BaseException:
            # Perhaps it was interrupted just as it left.
            if stay.slot is not None:
                self._call_later(partial(self._see_to, stay))
            raise
        return self._fulfil_in_turn(request)

    def _join(self, stay: _Stay[D]) -> Member[D] | None:
        """To be called under the guard: go where there is a session at once, if there is one."""
        try:
            stay.since = self._now()
            slot = stay.slot = self._machine.join(stay.since)
            self._pump()
            return None if slot is None else slot.session
        except BaseException:
            self._start_over()
            raise

    def _may_stay(self, stay: _Stay[D], member: Member[D]) -> bool:
        """Whether a session that was joined is alive; else it is given back."""
        alive = _lives(member, shared=True)
        if not alive:
            report = report_on(member.core)

            def reject() -> None:
                slot, stay.slot = stay.slot, None
                if slot is not None:
                    self._machine.reject(slot, self._now(), report)

            self._tell(reject)
        return alive

    def _fulfil_in_turn(self, request: Request[Any]) -> Any:
        """The same, for those who have to wait for a session."""
        turn: Turn[D, W] = []
        try:
            try:
                self._ask(turn, None, shared=True)
                member = self._wait_for_turn(turn[0])
                return member.driver.perform(request)
            finally:
                for ticket in turn:
                    self._release(ticket)
        except BaseException:
            for ticket in turn:
                self._was_forgotten(ticket)
            raise

    def _wait_for_turn(self, ticket: Ticket[Member[D], W]) -> Member[D]:
        """Wait until the ticket has a session that lives."""
        try:
            while True:
                if ticket.waiter is not None:
                    self._wait(ticket.waiter)
                    ticket.waiter = None
                slot = ticket.slot
                member = None if slot is None else slot.session
                if slot is None or member is None:
                    raise ticket.misuse()  # the pool has taken the session away already
                if _lives(member, shared=ticket.kind is TicketKind.SHARED):
                    return member
                self._put_back(ticket, slot, report_on(member.core))
        except BaseException:
            self._give_up(ticket)
            raise

    def _put_back(self, ticket: Ticket[Member[D], W], slot: Slot[Member[D]], report: Report) -> None:
        def put_back() -> None:
            if ticket.slot is slot:
                ticket.waiter = self._new_waiter()
                self._machine.put_back(ticket, self._now(), report)

        self._tell(put_back)

    def _give_up(self, ticket: Ticket[Member[D], W]) -> None:
        self._tell(lambda: self._machine.abandon(ticket, self._now()))

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

    def _leave(self, stay: _Stay[D]) -> None:
        """A one-shot request is over, or was given up, that joined a session."""
        slot = stay.slot
        member = None if slot is None else slot.session
        if slot is not None and member is not None:
            self._give_back(stay, slot, member)

    def _release(self, ticket: Ticket[Member[D], W]) -> None:
        """The ticket's turn is over, however far it has come."""
        slot = ticket.slot
        member = None if slot is None else slot.session
        if slot is not None and member is not None:
            self._give_back(ticket, slot, member)
        elif ticket.state is TicketState.WAITING:
            self._give_up(ticket)

    def _give_back(
        self, what: Ticket[Member[D], W] | _Stay[D], slot: Slot[Member[D]], member: Member[D]
    ) -> None:
        report = self._reset(member) if slot.holders == 1 else CLEAN
        with self._guard: done = self._give_back_at_once(what, slot, member, report)  # fmt: skip  # noqa: E701
        if not done:
            self._clear_up(what, slot, member)

    def _give_back_at_once(
        self,
        what: Ticket[Member[D], W] | _Stay[D],
        slot: Slot[Member[D]],
        member: Member[D],
        report: Report,
    ) -> bool:
        """To be called under the guard; False if there is something to clear up first."""
        try:
            if what.slot is None:
                return True
            shared, renewed = _is_shared(what), report is RENEWED
            if not shared:
                member.core.leave_codecs()
            if not passes_on(member.core.machine, shared=shared, alone=slot.holders == 1, renewed=renewed):
                return False
            self._end(what, self._now(), report)
            self._pump()
            return True
        except BaseException:
            self._start_over()
            raise

    def _end(self, what: Ticket[Member[D], W] | _Stay[D], now: float, report: Report) -> None:
        """To be called under the guard: the pool machine has the session again, if it has not yet."""
        slot = what.slot
        if slot is None:
            return
        if isinstance(what, _Stay):
            what.slot = None
            self._machine.leave(slot, what.since, now, report)
        else:
            self._machine.release(what, now, report)

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
        self, what: Ticket[Member[D], W] | _Stay[D], slot: Slot[Member[D]], member: Member[D]
    ) -> None:
        machine = member.core.machine
        with suppress(Error):
            member.driver.act(partial(clear_up, machine, shared=_is_shared(what)))
        settled = partial(self._settled, what, slot, member)
        if has_to_settle(machine, alone=slot.holders == 1):
            self._call_later(partial(self._let_settle, what, member, settled))
        else:
            with self._guard: settled()  # fmt: skip  # noqa: E701

    def _let_settle(
        self, what: Ticket[Member[D], W] | _Stay[D], member: Member[D], settled: Callable[[], None]
    ) -> None:
        def over() -> None:
            self._settling.discard(what)
            settled()

        with self._guard:
            if what not in self._settling:
                self._settling.add(what)
                self._spawn(partial(self._settle, member), over, lambda _: None)

    def _settle(self, member: Member[D]) -> None:
        """Let what was cancelled, and what cleans up, come to its end."""
        with suppress(Exception):
            member.driver.perform(member.core.ping(self._cancel_timeout))

    def _settled(
        self, what: Ticket[Member[D], W] | _Stay[D], slot: Slot[Member[D]], member: Member[D]
    ) -> None:
        """To be called under the guard."""
        report = report_on(member.core, alone=slot.holders == 1)
        self._safely(lambda: self._end(what, self._now(), report))

    def _was_forgotten(self, ticket: Ticket[Member[D], W]) -> None:
        self._call_later(partial(self._see_to, ticket))

    def _see_to(self, what: Ticket[Member[D], W] | _Stay[D]) -> None:
        """In a thread of the pool: give back what its owner may have been kept from giving back."""
        with self._guard:
            settles = what in self._settling  # it was given back, and takes its time
        if settles:
            return
        if isinstance(what, _Stay):
            self._leave(what)
        else:
            self._release(what)


def _is_shared(what: Ticket[Any, Any] | _Stay[Any]) -> bool:
    """Whether it is about one request, or else about a session for oneself."""
    return isinstance(what, _Stay) or what.kind is TicketKind.SHARED


def _lives(member: Member[Any], *, shared: bool) -> bool:
    """Whether the session is alive, as far as its socket tells."""
    machine = member.core.machine
    # Where others' requests are under way, they look after the socket.
    if machine.failure is None and not (shared and machine.in_flight > 0):
        member.look()
    return machine.failure is None and machine.traces.refusal is None
