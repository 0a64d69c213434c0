"""`Request`: one unit of the conversation, from the moment somebody asks to its one outcome.

A request is written as one group of messages and ends with one ReadyForQuery. In between, the request
machine hands it every message that belongs to it. It never waits and never does I/O; it says what to
write next, and keeps what came until its owner asks for the result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from pgproto import messages as m
from pgproto._seconds import seconds
from pgproto._session._sql import expect_sql
from pgproto._short_way import ReplySink
from pgproto.errors import ConnectionLost, DataError, Error, PostgresError, QueryTimeout, RemoteProtocolError

if TYPE_CHECKING:
    from pgproto._session._lease import Lease
    from pgproto._session._machine import RequestMachine
    from pgproto.errors import Outcome

__all__ = ["COPYING", "SUSPENDING", "Request", "Waitable"]

R_co = TypeVar("R_co", covariant=True)

_NOT_WRITTEN = -1

COPYING: Final = frozenset({m.CopyInResponse, m.CopyOutResponse})
SUSPENDING: Final = frozenset({m.PortalSuspended})
# Answers that the protocol allows to any request, and that only some requests can mean.
_UNUSUAL: Final = COPYING | SUSPENDING | {m.CopyBothResponse}
_NONE: Final[frozenset[type[m.Message]]] = frozenset()


class Waitable:
    """Something whose owner can wait for news of it; `RequestMachine.stir` brings them."""

    __slots__ = ("done", "stirred", "waiter")

    def __init__(self) -> None:
        self.waiter: Any = None
        """The transport's own: whom to wake."""
        self.stirred = False
        """Whether there is news that its owner has not seen."""
        self.done = False
        """Whether there will be no more news."""


class Request(Waitable, ABC, Generic[R_co]):
    """One request; `R_co` is the type of its result."""

    __slots__ = (
        "abandoned",
        "error",
        "execute_end",
        "first_byte",
        "lease",
        "sink",
        "sql",
        "timeout",
    )

    opens_lease: bool = False
    """Whether it may leave a transaction open behind it, so that nobody else may follow before that is
    known."""
    essential: bool = False
    """Whether it must be carried out even if its owner has gone, because it cleans up."""

    def __init__(self, sql: str, timeout: float | None) -> None:
        # As in `Waitable`, one call less for each request.
        self.waiter = None
        self.stirred = self.done = False
        self.sql = sql if type(sql) is str else expect_sql(sql)
        """What it asks, for messages; empty if it is no SQL."""
        self.timeout = None if timeout is None else seconds(timeout)
        """In seconds, from `RequestMachine.submit` on; None for the session's default."""
        self.lease: Lease | None = None
        self.abandoned = False
        """Whether its owner has given up waiting."""
        self.error: BaseException | None = None
        self.sink: ReplySink | None = None
        """Where its rows go if Bind, Execute and Sync are all that was sent: its reply may then be read at
        one go, of which `completed` is told."""
        self.first_byte = _NOT_WRITTEN
        self.execute_end = _NOT_WRITTEN

    @property
    def expects(self) -> frozenset[type[m.Message]]:
        """Which unusual answers it may get: to copy data, or to fetch the rest of the rows later."""
        return _NONE

    def hear(self, machine: RequestMachine, message: m.Message) -> None:
        """Take a message of the reply if it can be meant; raises `RemoteProtocolError` if it cannot."""
        kind = type(message)
        if kind in _UNUSUAL and kind not in self.expects:
            raise RemoteProtocolError(f"{kind.__name__} came, for which nobody has asked")
        self.receive(machine, message)

    @abstractmethod
    def begin(self, machine: RequestMachine) -> None:
        """Write the group, or as much of it as can be known; an exception means nothing was written."""

    @abstractmethod
    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Take a message of the reply, other than ErrorResponse and ReadyForQuery."""

    def completed(self, machine: RequestMachine, tag: str) -> None:
        """Take the command tag of a reply that was read at one go: the request is over."""

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        """Take the server's error."""
        if self.error is None:
            self.error = error

    def ready(self, machine: RequestMachine, status: str) -> bool:
        """Take the ReadyForQuery; False if the request begins anew and is not over."""
        return True

    def unattended(self) -> Self:
        """Nobody is going to wait for it."""
        self.abandoned = True
        return self

    def leave(self, machine: RequestMachine) -> None:
        """Its owner has gone while it was in flight. It hears so again when those before it are over."""
        machine.cancel(self)

    @abstractmethod
    def value(self) -> R_co:
        """The result of a request that did not fail; runs in its owner's context, once."""

    def result(self) -> R_co:
        """The outcome: what was asked for, or the exception. Call it once, when `done`."""
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                # The traceback refers to this frame; do not let it hold the request in turn.
                del error
        return self.value()

    @property
    def ends_transaction(self) -> bool:
        """Whether it may end the transaction that it runs in, so that what follows runs without."""
        return False

    def lose(
        self,
        reason: str,
        cause: BaseException | None,
        given: int,
        *,
        in_transaction: bool = False,
        begun: bool = True,
    ) -> None:
        """End it because the connection has ended; ``given`` bytes were handed to the transport.

        ``in_transaction`` is whether nothing but its own doing could have committed what it did; ``begun`` is
        False if the server said that it ended in the midst of an earlier one.
        """
        outcome: Outcome
        if self.first_byte == _NOT_WRITTEN or given <= self.first_byte:
            outcome = "not_sent"
        elif not begun or self.execute_end == _NOT_WRITTEN or given < self.execute_end:
            outcome = "not_committed"
        else:
            outcome = "not_committed" if in_transaction and not self.ends_transaction else "unknown"
        if self.error is None or isinstance(self.error, DataError):
            self.error = self.loss(reason, outcome)
            self.error.__cause__ = cause

    def loss(self, reason: str, outcome: Outcome) -> Error:
        """The error of a request that the end of the connection cut short."""
        return ConnectionLost(reason, outcome=outcome)

    def overdue(self, timeout: QueryTimeout) -> Error:
        """The error of a request that took too long."""
        return timeout
