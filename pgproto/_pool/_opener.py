"""How many connections may be opened at once, and when: the part that keeps a pool from storming a server.

While all is well, up to `most` attempts run at a time. The first that fails closes the door: nothing is
opened for a while, then by a single prober, whose failures make the pauses longer. With the first success the
door opens again, slowly: one attempt at a time, then two, then four, as each round of successes doubles the
limit.

Attempts that began before the door closed belong to an older run. They may still bring a session, but say
nothing about what the server is like now: ten that fail at once are one failure.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

__all__ = ["Opener"]

_LARGEST_EXPONENT = 30


class Opener:
    """Admits attempts to connect. Times are seconds on the monotonic clock."""

    __slots__ = ("_first_delay", "_longest_delay", "_most", "_random", "failures", "limit", "retry_at", "run",
                 "under_way")  # fmt: skip

    def __init__(
        self, most: int, first_delay: float, longest_delay: float, random: Callable[[], float]
    ) -> None:
        self._most = most
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._random = random
        self.limit = most
        """How many attempts of the present run may be under way at once."""
        self.under_way = 0
        """How many are."""
        self.failures: int = 0
        """Consecutive failures; 0 means that the server answers."""
        self.retry_at = -inf
        """No attempt before then."""
        self.run: int = 0
        """The number of the present run."""

    def may_begin(self, now: float, opening: int) -> bool:
        """Whether one more may be opened, next to all that are opening (those of older runs included)."""
        return now >= self.retry_at and self.under_way < self.limit and opening < self._most

    def begin(self) -> int:
        """Count an attempt; returns the run that it belongs to."""
        self.under_way += 1
        return self.run

    def succeeded(self, run: int) -> None:
        """A session of that run opened."""
        if run == self.run:
            self.under_way -= 1
            self.failures = 0
            self.limit = min(self.limit + 1, self._most)

    def failed(self, run: int, now: float) -> None:
        """A session of that run could not be opened, or turned out to be of no use."""
        if run != self.run:
            return
        self.failures += 1
        longest = min(
            self._longest_delay, self._first_delay * 2.0 ** min(self.failures - 1, _LARGEST_EXPONENT)
        )
        # Jitter over the whole range, so that a thousand clients spread; and above a floor, so that a
        # single one cannot try more than twenty times a second.
        shortest = self._first_delay / 2
        self.retry_at = now + shortest + max(0.0, longest - shortest) * self._random()
        # A new run, with one attempt at a time.
        self.run += 1
        self.under_way = 0
        self.limit = 1

    def start_over(self) -> None:
        """All attempts that are under way are called off."""
        self.run += 1
        self.under_way = 0

    def gave_up(self, run: int) -> None:
        """An attempt of that run was called off, which says nothing about the server."""
        if run == self.run:
            self.under_way -= 1
