"""`Lease`: the exclusive use of a session for a while.

Plain requests share a session. A transaction, a row stream, COPY and whatever changes the session's state
take a lease: until it ends, only requests that belong to it are sent, and everybody else's wait in their
order of arrival. Who belongs to it is decided by context, not by object: a `contextvars` variable names
the lease that is open around the caller, and tasks that are started inside inherit it.
"""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgproto._session._machine import RequestMachine
    from pgproto._session._request import Request

__all__ = ["Lease", "enter_lease", "lease_of_context"]


class Lease:
    """The right to a session; it is asked for, granted, and ended, once each."""

    __slots__ = ("committing", "ended", "granted", "machine", "purpose", "queue", "until_idle", "where")

    def __init__(self, machine: RequestMachine, purpose: str, *, until_idle: bool = False) -> None:
        self.machine = machine
        self.purpose = purpose
        """What it is for, as a log would say it: ``"transaction"``, ``"COPY"``."""
        self.until_idle = until_idle
        """Whether it ends by itself as soon as the server is in no transaction any more."""
        self.queue: deque[Request[object]] = deque()
        self.granted = False
        self.ended = False
        self.committing = False
        self.where: str | None = None

    @property
    def in_transaction(self) -> bool:
        """Whether the server is in a transaction block on behalf of this lease."""
        return self.granted and not self.ended and self.machine.status != "I"


_LEASES: ContextVar[tuple[Lease, ...]] = ContextVar("pgproto_leases", default=())


def lease_of_context(machine: RequestMachine) -> Lease | None:
    """The lease on this session that the caller's context is inside of, if there is one."""
    for lease in reversed(_LEASES.get()):
        if lease.machine is machine and not lease.ended:
            return lease
    return None


def enter_lease(lease: Lease) -> None:
    """Make the caller's context, and what is started from it, belong to this lease until it ends."""
    _LEASES.set((*(other for other in _LEASES.get() if not other.ended), lease))
