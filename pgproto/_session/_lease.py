"""`Lease`: the exclusive use of a session for a while.

Plain requests share a session. A transaction takes a lease: until it ends, only requests that belong to it
are sent, and everybody else's wait in their order of arrival. Who belongs to it is decided by context, not
by object: a `contextvars` variable names the lease that is open around the caller, and tasks that are
started inside inherit it. So nobody's statement slips into somebody else's transaction, and nobody waits
for themselves.
"""

from __future__ import annotations

import inspect
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pgproto._session._machine import RequestMachine
    from pgproto._session._request import Request

__all__ = ["Lease", "enter_lease", "lease_of_context", "leases_of_context"]

_OWN_PACKAGES: Final = ("pgproto", "contextlib")


class Lease:
    """The right to a session; it is asked for, granted, and ended, once each."""

    __slots__ = ("began", "closing", "ended", "granted", "machine", "purpose", "queue", "until_idle", "where")

    def __init__(self, machine: RequestMachine, purpose: str, *, until_idle: bool = False) -> None:
        self.machine = machine
        self.purpose = purpose
        """What it is for, as a log would say it."""
        self.until_idle = until_idle
        """Whether it ends by itself as soon as its requests are done and no transaction is open."""
        self.queue: deque[Request[object]] = deque()
        """Requests that belong to it and wait to be written."""
        self.granted = False
        self.began = False
        """Whether the server has been in a transaction block under it."""
        self.closing = False
        """Whether its last request has been made: nothing new belongs to it."""
        self.ended = False
        self.where = _calling_line()
        """The line of code that asked for it."""

    def __str__(self) -> str:
        return f"a {self.purpose} that was begun at {self.where}"

    @property
    def in_transaction(self) -> bool:
        """Whether the server is in a transaction block on behalf of this lease."""
        return self.granted and not self.ended and self.machine.status != "I"


def _calling_line() -> str:
    """Where the code is that called into these packages, for whoever wonders what they wait for."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN_PACKAGES):
        frame = frame.f_back
    return "an unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


_LEASES: ContextVar[tuple[Lease, ...]] = ContextVar("pgproto_leases", default=())

leases_of_context: Final = _LEASES.get
"""The leases around the caller, on whatever session; there is none around most."""


def lease_of_context(machine: RequestMachine) -> Lease | None:
    """The lease on this session that the caller's context is inside of, if there is one."""
    for lease in reversed(_LEASES.get()):
        if lease.machine is machine and not (lease.ended or lease.closing):
            return lease
    return None


def enter_lease(lease: Lease) -> None:
    """Make the caller's context, and what is started from it, belong to this lease until it ends."""
    _LEASES.set((*(other for other in _LEASES.get() if not other.ended), lease))
