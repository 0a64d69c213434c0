"""What the pool machine keeps accounts of: slots and tickets.

A *slot* is one place for a session among at most `max_size`. It exists from the decision to connect until the
socket is closed, so that the slots always cover all connections that the server may know of.

A *ticket* is one caller's turn: first a place in the queue, then the right to use a session, in the end
nothing. It is the only key to a session, so whoever keeps a session past its return holds a ticket that has
ended, and cannot touch the next holder's.
"""

from __future__ import annotations

import enum
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pgproto.errors import ConnectionLost, LocalProtocolError, PoolClosed

if TYPE_CHECKING:
    from pgproto._pool._actions import Step

__all__ = ["Slot", "SlotState", "Ticket", "TicketKind", "TicketState", "started_over"]

S = TypeVar("S")
"""The type of a session; the machine never looks into one."""
W = TypeVar("W")
"""The type of what a waiting caller waits for: a future, an event."""


class SlotState(enum.IntEnum):
    """What a slot is doing. Every slot is in exactly one of these."""

    OPENING = 0
    """Connecting, with the hooks before and after it."""
    IDLE = 1
    LEASED = 2
    """In the hands of one caller, or of several one-shot requests."""
    PREPARING = 3
    """Checked, or in the before_acquire hook, because somebody waits for a session."""
    RESETTING = 4
    """Reset after a lease, or in the after_release hook."""
    CLOSING = 5
    """On its way out; it counts until its socket is closed."""
    GONE = 6


class Slot(Generic[S]):
    """One place for a session. The transport sets `session` and `settings`; all else is the machine's."""

    __slots__ = (
        "attempt",
        "broken",
        "changed",
        "expires_at",
        "generation",
        "holders",
        "idle_limit",
        "idle_since",
        "joins",
        "last_used_at",
        "leased_at",
        "leases",
        "listed",
        "number",
        "opened_at",
        "prepared",
        "ready_until",
        "renew_at",
        "session",
        "settings",
        "shared",
        "started_at",
        "state",
        "step",
        "step_deadline",
    )

    def __init__(self, number: int, generation: int, attempt: int, now: float) -> None:
        self.number: Final = number
        """Counts the slots of one pool, from 1: a name for logs."""
        self.session: S | None = None
        """The transport's session, from when it is open."""
        self.settings: object = None
        """For the transport: what the before_connect hook returned."""

        self.state = SlotState.OPENING
        self.generation: Final = generation
        """The pool's generation when the slot was made; sessions of older ones are not lent again."""
        self.attempt: Final = attempt
        """Which run of connection attempts this one belongs to."""
        self.step: Step[S] | None = None
        """The action that the transport has not finished yet."""
        self.step_deadline = inf
        self.broken = False
        """True if the session is known to be unusable: there is no point in saying goodbye to the server."""
        self.changed = False
        """True if one of several one-shot requests has left something behind: no more may join."""
        self.prepared = False
        """True from the before_acquire hook to the lease that it was run for."""

        self.started_at: Final = now
        self.opened_at: float | None = None
        self.expires_at = inf
        """From then on the session is not lent again; minus infinity once it must not be, for any reason."""
        self.renew_at = inf
        """When to open a successor."""
        self.idle_since = now
        self.idle_limit = inf
        """Seconds that this one may be idle while the pool is larger than it has to be."""
        self.ready_until = -inf
        """While idle: until then the session can be lent as it is."""

        self.shared = False
        """True while leased to one-shot requests, which others may join."""
        self.holders = 0
        """How many callers have the session."""
        self.leased_at = now
        """Since when it is out; where requests share it and come and go, since when the oldest of them has
        it, or a little earlier."""
        self.listed = False
        """True if the slot is in the ring of those that may have room for one-shot requests."""
        self.leases = 0
        """How often the session was lent for a ticket."""
        self.joins = 0
        """How often one-shot requests joined it without one."""
        self.last_used_at: float | None = None

    @property
    def has_rested(self) -> bool:
        """Whether nobody had the session for a while: then it may have died unnoticed."""
        return self.ready_until > -inf

    def spoil(self, *, broken: bool) -> None:
        """See to it that the session is not lent again; `broken` if it cannot even be closed politely."""
        self.expires_at = -inf
        self.renew_at = inf
        self.broken = self.broken or broken

    def spoiled_by_age(self, now: float) -> bool:
        """Whether age is the only reason that the session is not lent again."""
        return now >= self.expires_at > -inf

    def __repr__(self) -> str:
        return f"<Slot {self.number} {self.state.name.lower()}>"


class TicketKind(enum.Enum):
    """What a caller asks for."""

    EXCLUSIVE = "exclusive"
    """A session for oneself."""
    SHARED = "shared"
    """A session for a single request, next to other such requests."""
    WARM_UP = "warm-up"
    """No session, just word that `min_size` of them are open."""


class TicketState(enum.Enum):
    """How far a ticket has come."""

    WAITING = "waiting"
    LEASED = "leased"
    ENDED = "ended"
    """The session was returned, or the request was refused or given up."""
    REVOKED = "revoked"
    """The pool took the session away, because it closed."""
    LOST = "lost"
    """The pool took the session away, because it had to start over."""


class Ticket(Generic[S, W]):
    """One caller's turn. The transport sets `waiter` and `note`; all else is the machine's."""

    __slots__ = ("asked_at", "kind", "leased_at", "note", "slot", "state", "timeout", "waiter")

    def __init__(self, kind: TicketKind, now: float, timeout: float) -> None:
        self.kind = kind
        self.state = TicketState.WAITING
        self.slot: Slot[S] | None = None
        """The slot whose session the caller has; None before and after."""
        self.asked_at = now
        self.leased_at = now
        self.timeout = timeout
        """Seconds from `asked_at`; infinity for no limit."""
        self.waiter: W | None = None
        """For the transport: what it wakes when `Grant` or `Refuse` comes for this ticket."""
        self.note: object = None
        """For the transport: where the session was acquired, for the report of a leak."""

    @property
    def deadline(self) -> float:
        """When the request is refused, if it still waits then."""
        return self.asked_at + self.timeout

    @property
    def session(self) -> S:
        """The session that the ticket stands for.

        Raises:
            LocalProtocolError: the lease is over, or has not begun.
            PoolClosed: the pool has closed, and taken the session away.
            ConnectionLost: so it has, because it had to start over.
        """
        slot = self.slot
        if slot is None or slot.session is None:
            raise self.misuse()
        return slot.session

    def misuse(self) -> ConnectionLost | LocalProtocolError | PoolClosed:
        """What to raise when somebody uses a session without having it."""
        match self.state:
            case TicketState.REVOKED:
                return PoolClosed("the pool has closed, and with it the session that was acquired from it")
            case TicketState.LOST:
                return started_over()
            case TicketState.WAITING:
                return LocalProtocolError("this session has not been acquired from the pool yet")
            case _:
                return LocalProtocolError(
                    "this session was returned to the pool, and may be in other hands: acquire another one"
                )

    def __repr__(self) -> str:
        return f"<Ticket {self.kind.value} {self.state.value}>"


def started_over() -> ConnectionLost:
    """What those hear who waited for a session, or had one, when the pool had to start over."""
    return ConnectionLost(
        "the pool was interrupted in the midst of its own work, and has closed all its sessions",
        outcome="not_sent",
    )
