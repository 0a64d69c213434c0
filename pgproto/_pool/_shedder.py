"""Whom to turn away when more callers come than can be served: controlled delay, as in network queues.

A queue that is long for a moment is fine; one that never empties only makes everybody late. So what counts is
the shortest wait of an interval. If even that was longer than the target, the pool is overloaded, and whoever
has waited for more than twice the target is refused, which lets those behind be served in time.
"""

from __future__ import annotations

from math import inf

__all__ = ["Shedder"]


class Shedder:
    """Watches how long callers wait. Times are seconds."""

    __slots__ = ("_interval", "_interval_ends", "_shortest", "_target", "overloaded")

    def __init__(self, target: float, interval: float) -> None:
        self._target = target
        self._interval = interval
        self._interval_ends = -inf
        self._shortest = 0.0
        self.overloaded = False

    def observe(self, waited: float, now: float) -> None:
        """Somebody got a session after that long; or nobody waited for one that was free (0.0)."""
        if now < self._interval_ends:
            self._shortest = min(self._shortest, waited)
            return
        # Nothing at all happened in a whole interval: then it says nothing of overload either.
        stale = now >= self._interval_ends + self._interval
        self.overloaded = not stale and self._shortest > self._target
        self._shortest = waited
        self._interval_ends = now + self._interval

    def is_too_late(self, waited: float) -> bool:
        """Whether a caller who has waited so long is to be refused."""
        return self.overloaded and waited > 2 * self._target
