"""Who and what there is in a world for the pool machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pgproto._pool import Close, Hook, PoolMachine, Report, RunHook, Step, Ticket
from pgproto.errors import AdminShutdown

__all__ = ["FATAL", "JOINED", "Machine", "Person", "Record", "Turn", "highest", "is_forced", "is_hook"]


@dataclass(slots=True)
class Record:
    """What the world knows of one slot's session."""

    born: float | None = None
    """When it opened; None if there is no socket."""
    transaction: bool = False
    changed: bool = False
    unfit: str = ""
    """Why it must never be lent again."""
    lent_to: int = 0
    """How many callers have it."""
    exclusive: bool = False


JOINED = "joined"
"""The note of a turn that is the world's own: of a request that has a session without a ticket."""


@dataclass(slots=True, eq=False)
class Person:
    """Stands for what a caller waits for."""

    outcome: str = ""


Machine: TypeAlias = PoolMachine[Record, Person]
Turn: TypeAlias = Ticket[Record, Person]

FATAL = Report(status="I", closed=True, error=AdminShutdown("terminating connection"))
"""The server is shutting down."""


def highest() -> float:
    """The largest number that chance may come up with, so that times stay whole numbers."""
    return 1.0


def is_hook(step: Step[Record] | None, hook: Hook) -> bool:
    return isinstance(step, RunHook) and step.hook is hook


def is_forced(step: Step[Record] | None) -> bool:
    return isinstance(step, Close) and not step.graceful
