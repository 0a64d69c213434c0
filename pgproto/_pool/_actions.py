"""What the pool machine asks of a transport.

`Open`, `Check`, `Reset`, `RunHook` and `Close` are *steps*: they take time, and concern one slot. A
transport begins each at once, lets none wait for another, and tells the machine with `PoolMachine.finished`
how it went. A slot never has two steps at a time, with one exception: `Close(graceful=False)` overtakes
whatever the slot is doing; what is under way there is to be cancelled, and need not be reported any more.

`Grant`, `Refuse`, `ReportLeak`, `WakeAt` and `Closed` are carried out on the spot.
"""

from __future__ import annotations

import enum
from typing import Generic, TypeAlias, TypeVar

from pgproto._dataclasses import dataclass
from pgproto._pool._slots import Slot, Ticket

__all__ = [
    "Action",
    "Check",
    "Close",
    "Closed",
    "Grant",
    "Hook",
    "Open",
    "Refuse",
    "ReportLeak",
    "Reset",
    "RunHook",
    "Step",
    "WakeAt",
]

S = TypeVar("S")
W = TypeVar("W")


class Hook(enum.Enum):
    """The application's own functions that the pool calls; their names are those of `Pool`'s arguments."""

    BEFORE_CONNECT = "before_connect"
    """Called without a session. What it returns goes to `slot.settings`, and from there into `Open`."""
    AFTER_CONNECT = "after_connect"
    """Called on a fresh session, and again when a reset has taken its settings back."""
    BEFORE_ACQUIRE = "before_acquire"
    """Called on a session that is about to be lent. If it fails, so does the request it was called for."""
    AFTER_RELEASE = "after_release"
    """Called on a session that came back, and is clean again. If it fails, the session is closed."""
    BEFORE_CLOSE = "before_close"
    """Called on a session, perhaps a broken one, before it is closed. Its errors change nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Open(Generic[S]):
    """Connect, and set `slot.session`.

    Reported with an error, it leaves nothing behind: the transport has closed the socket, if there was one.
    """

    slot: Slot[S]


@dataclass(frozen=True, slots=True, eq=False)
class Check(Generic[S]):
    """Find out with one round trip whether the session still answers."""

    slot: Slot[S]


@dataclass(frozen=True, slots=True, eq=False)
class Reset(Generic[S]):
    """Run `sql` as a simple query (an empty one makes just the round trip), and drop its results."""

    slot: Slot[S]
    sql: str
    forgets_settings: bool
    """Whether that takes back all settings, so that the after_connect hook will be run once more."""


@dataclass(frozen=True, slots=True, eq=False)
class RunHook(Generic[S]):
    """Call one of the application's functions, and wait for it if it is asynchronous."""

    slot: Slot[S]
    hook: Hook


@dataclass(frozen=True, slots=True, eq=False)
class Close(Generic[S]):
    """Close the session: politely if `graceful`, else at once, whatever it is doing and without any wait.

    It counts as finished when the socket is closed. How it went does not matter.
    """

    slot: Slot[S]
    graceful: bool


@dataclass(
    slots=True, eq=False
)  # frozen, it would take three times as long to make, for each caller that waits
class Grant(Generic[S, W]):
    """Wake the caller: `ticket.session` is its own now (a warm-up's caller just learns that all is ready)."""

    ticket: Ticket[S, W]


@dataclass(frozen=True, slots=True, eq=False)
class Refuse(Generic[S, W]):
    """Wake the caller, and raise `error` there."""

    ticket: Ticket[S, W]
    error: BaseException


@dataclass(frozen=True, slots=True, eq=False)
class ReportLeak(Generic[S, W]):
    """Say on the log that a session was not returned for `held` seconds (`ticket.note` says who has it)."""

    ticket: Ticket[S, W]
    held: float


@dataclass(frozen=True, slots=True, eq=False)
class WakeAt:
    """Call `PoolMachine.tick` at this time on the monotonic clock. It replaces the time asked for before."""

    time: float


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """The pool has closed: no slot is left."""


Step: TypeAlias = Open[S] | Check[S] | Reset[S] | RunHook[S] | Close[S]
"""What takes time, and is answered with `finished`."""

Action: TypeAlias = (
    Open[S]
    | Check[S]
    | Reset[S]
    | RunHook[S]
    | Close[S]
    | Grant[S, W]
    | Refuse[S, W]
    | ReportLeak[S, W]
    | WakeAt
    | Closed
)
"""All that `PoolMachine.actions` returns."""
