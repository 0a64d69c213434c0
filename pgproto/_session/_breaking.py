"""What is left of a session whose driver was interrupted in the midst of its work.

An exception of a signal handler, such as KeyboardInterrupt, can hit between any two steps of the machine, and
leave a request that was taken from one queue and not yet put into the other. Then nothing that the machine
knows of its queues can be trusted any more, and the only sound thing is to end the session.
"""

from __future__ import annotations

from collections.abc import Iterable

from pgproto._session._machine import RequestMachine
from pgproto._session._reports import Subscription
from pgproto._session._request import Request, Waitable
from pgproto.errors import ConnectionLost

__all__ = ["break_off", "give_outcome"]


def break_off(machine: RequestMachine, waiting: Iterable[Waitable]) -> None:
    """End the session; whoever is waiting gets an outcome, even if the machine has lost sight of them."""
    machine.fail(
        ConnectionLost("the session was closed: its driver was interrupted in the midst of its work")
    )
    for waitable in waiting:
        give_outcome(machine, waitable)


def give_outcome(machine: RequestMachine, waitable: Waitable) -> None:
    """See to it that nobody waits for what a session that has ended will never bring."""
    cause = machine.failure
    if waitable.done or cause is None:
        return
    if isinstance(waitable, Request):
        waitable.lose(str(cause), cause, machine.written - machine.unsent)
        waitable.done = True
    elif isinstance(waitable, Subscription) and waitable.error is None:
        waitable.error = cause
    waitable.stirred = True
