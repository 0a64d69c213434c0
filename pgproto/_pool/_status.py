"""What a pool tells about itself."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from pgproto._dataclasses import dataclass

__all__ = ["Counters", "PoolStatus", "SessionStatus", "bucket", "folded"]

_BUCKETS: Final = 64
_SHOWN: Final = 21


def bucket(seconds: float) -> int:
    """A duration's place in a histogram: 0 below a millisecond, n below 2**n of them."""
    return int(seconds * 1000.0).bit_length()


def folded(histogram: list[int]) -> tuple[int, ...]:
    """A histogram as it is shown: the last of its 21 entries counts all longer durations as well."""
    return (*histogram[: _SHOWN - 1], sum(histogram[_SHOWN - 1 :]))


class Counters:
    """What has happened since the pool was made. The names are psycopg_pool's, where it has them."""

    __slots__ = (
        "checks_errors",
        "checks_num",
        "connections_errors",
        "connections_expired",
        "connections_idled",
        "connections_lost",
        "connections_num",
        "connections_s",
        "hooks_errors",
        "leaks_num",
        "requests_abandoned",
        "requests_errors",
        "requests_num",
        "requests_queued",
        "requests_shed",
        "requests_timeouts",
        "requests_wait_s",
        "resets_errors",
        "resets_num",
        "returns_bad",
        "usage_histogram",
        "usage_s",
        "usage_uncounted",
        "wait_histogram",
    )

    def __init__(self) -> None:
        self.requests_num = 0
        """Without those that joined the sessions that there are; each `Slot` counts its own."""
        self.requests_queued = 0
        self.requests_wait_s = 0.0
        self.requests_errors = 0
        self.requests_timeouts = 0
        self.requests_abandoned = 0
        self.requests_shed = 0
        self.returns_bad = 0
        self.usage_s = 0.0
        self.connections_num = 0
        self.connections_s = 0.0
        self.connections_errors = 0
        self.connections_lost = 0
        self.connections_expired = 0
        self.connections_idled = 0
        self.checks_num = 0
        self.checks_errors = 0
        self.resets_num = 0
        self.resets_errors = 0
        self.hooks_errors = 0
        self.leaks_num = 0
        self.wait_histogram = [0] * _BUCKETS
        self.usage_histogram = [0] * _BUCKETS
        self.usage_uncounted: list[float] = []
        """Durations that `count_usage` is still to add to `usage_s` and to the histogram."""

    def count_usage(self) -> None:
        """Add what was only noted."""
        held, self.usage_uncounted = sorted(self.usage_uncounted), []
        self.usage_s += sum(held)
        start = place = 0
        while start < len(held):
            end = bisect_right(held, place, start, key=bucket)
            self.usage_histogram[place] += end - start
            start, place = end, place + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """One session of a pool, as it is now. Times are seconds."""

    number: int
    """Counts the sessions of the pool, from 1."""
    state: str
    """"opening", "idle", "leased", "preparing", "resetting" or "closing"."""
    generation: int
    age: float | None
    """Since it opened; None if it has not."""
    uses: int
    """How often it was lent."""
    unused: float | None
    """Since it came back the last time; None if it never did."""
    holders: int
    """Who has it now: 1, or the number of one-shot requests that share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """A pool at one instant. `size == idle + in_use + opening + resetting + closing`.

    The counters count from the making of the pool, and are never reset; `_ms` are milliseconds.
    """

    size: int
    """Sessions that exist, in whatever state; never more than `max_size` (after a `resize` to less: for as
    long as those that are in use stay out)."""
    idle: int
    in_use: int
    opening: int
    resetting: int
    """Being made ready: reset, checked, or in a hook."""
    closing: int
    waiting: int
    """Callers in the queue."""
    min_size: int
    max_size: int
    holders: int
    """Callers that have a session; more than `in_use` where one-shot requests share."""
    longest_held: float
    """Seconds since the session that is out longest was lent; 0.0 if none is out."""
    generation: int
    """How often all sessions were retired at once: by `drain`, or by a server that went away."""
    closed: bool
    """Whether the pool has been closed, or is closing."""
    last_error: str | None
    """Why the last attempt to connect failed; None if it succeeded."""
    retry_in: float
    """Seconds to the next attempt, while the server cannot be reached; else 0.0."""

    requests_num: int
    """Sessions that were asked for, one-shot requests included."""
    requests_queued: int
    """... that were not to be had at once."""
    requests_wait_ms: int
    """The time that those waited who then got one."""
    requests_errors: int
    """... that were refused, for whatever reason."""
    requests_timeouts: int
    """... that were refused because their time was up."""
    requests_shed: int
    """... that were refused because too many waited."""
    requests_abandoned: int
    """... that were given up by their callers."""
    returns_num: int
    returns_bad: int
    """Sessions that came back unfit for use."""
    usage_ms: int
    """The time that sessions were out."""
    connections_num: int
    """Attempts to connect."""
    connections_ms: int
    """The time that the successful ones took."""
    connections_errors: int
    connections_lost: int
    """Sessions that broke while they were idle, or did not pass a check."""
    connections_expired: int
    """Sessions that were retired because of their age."""
    connections_idled: int
    """Sessions that were closed because nobody used them."""
    checks_num: int
    checks_errors: int
    resets_num: int
    resets_errors: int
    hooks_errors: int
    leaks_num: int
    """Sessions that were out for longer than `leak_after`."""
    wait_histogram: tuple[int, ...]
    """How many requests waited less than 1, 2, 4, 8 ... milliseconds; the last entry counts all others."""
    usage_histogram: tuple[int, ...]
    """The same for the time that sessions were out."""
