"""A session passes from one holder to the next: what the first may have left, and how it is cleared away."""

from __future__ import annotations

from pgproto._session._lease import lease_of_context, leases_of_context
from pgproto._session._machine import RequestMachine
from pgproto.errors import LocalProtocolError

__all__ = ["is_unharmed", "is_untouched", "take_back"]


def is_untouched(machine: RequestMachine) -> bool:
    """Whether the session is just as it was lent, as far as anybody can tell without asking the server."""
    traces, reports = machine.traces, machine.reports
    return not (
        machine.status != "I"
        or machine.failure is not None
        or traces.changed
        or traces.refusal is not None
        or reports.has_guests
        or reports.subscriptions
        or not machine.is_idle
    )


def is_unharmed(machine: RequestMachine, *, alone: bool) -> bool:
    """Whether a request that had the session for itself, or shared it, has left nothing that concerns others.

    ``alone`` is whether nobody else has a request there; else what was given up may still be under way.
    """
    traces = machine.traces
    return (
        machine.status == "I"
        and not traces.changed
        and traces.refusal is None
        and machine.failure is None
        and (machine.is_idle if alone else not leases_of_context() or lease_of_context(machine) is None)
    )


def take_back(machine: RequestMachine) -> None:
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
