"""A session passes from one holder to the next: what the first may have left, and how it is cleared away."""

from __future__ import annotations

from pgproto._session._lease import lease_of_context
from pgproto._session._machine import RequestMachine
from pgproto._session._simple import Command
from pgproto.errors import LocalProtocolError

__all__ = ["clear_up", "has_to_settle", "is_unharmed", "is_unmarked", "is_untouched", "passes_on"]


def is_untouched(machine: RequestMachine) -> bool:
    """Whether the session is just as it was lent, as far as anybody can tell without asking the server."""
    reports = machine.reports
    return is_unmarked(machine) and machine.is_idle and not (reports.has_guests or reports.subscriptions)


def is_unharmed(machine: RequestMachine, *, alone: bool) -> bool:
    """Whether a request that had the session for itself, or shared it, has left nothing that concerns others.

    ``alone`` is whether nobody else has a request there; else what was given up may still be under way.
    """
    return is_unmarked(machine) and (machine.is_idle if alone else lease_of_context(machine) is None)


def is_unmarked(machine: RequestMachine) -> bool:
    """Whether nothing has happened to the session that whoever comes next would notice."""
    traces = machine.traces
    return machine.status == "I" and not traces.changed and traces.refusal is None and machine.failure is None


def passes_on(machine: RequestMachine, *, shared: bool, alone: bool, renewed: bool = False) -> bool:
    """Whether the next may have the session just as this holder leaves it; else `clear_up` comes first.

    ``shared`` is whether the session was there for a single request, ``renewed`` whether its reset is under
    way already.
    """
    if shared:
        return renewed or is_unharmed(machine, alone=alone)
    if not (renewed or is_untouched(machine)):
        return False
    machine.traces.holder += 1
    return True


def clear_up(machine: RequestMachine, *, shared: bool) -> None:
    """Begin to clear away what a holder has left; what comes of it shows when `has_to_settle` is over."""
    if not shared:
        _take_back(machine)
    elif lease_of_context(machine) is not None:
        # The request has left a transaction open, or given up a BEGIN that may be on its way, and would keep
        # the others' waiting for ever.
        machine.submit(Command("ROLLBACK", essential=True), None)


def has_to_settle(machine: RequestMachine, *, alone: bool) -> bool:
    """Whether what was cancelled, and what cleans up, has to come to its end before the next holder comes.

    Where others have requests under way, these are what is not over.
    """
    return alone and machine.failure is None and not machine.is_idle


def _take_back(machine: RequestMachine) -> None:
    """The holder has the session no more: what was asked for and is not over comes to nothing.

    What is in flight is cancelled if that can be, and dropped when it comes; what cleans up is still done.
    The transaction status stays what it is.
    """
    machine.traces.holder += 1
    error = LocalProtocolError("the session was returned to the pool before this request was over")
    machine.give_up_all(error)
    for listener in machine.reports.leave(error):
        machine.traces.changed = True
        machine.stir(listener)
