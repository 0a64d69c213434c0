"""What is due when, without a clock: the machine asks, the transport waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from pgproto._session._request import Waitable

__all__ = ["Timers"]


class Timers:
    """Actions by the time at which they are due, soonest first; those of what is done are forgotten."""

    __slots__ = ("_count", "heap")

    def __init__(self) -> None:
        # The number settles ties, for the rest cannot be compared.
        self.heap: list[tuple[float, int, Waitable | None, Callable[[], None]]] = []
        """Empty if there is nothing to wait for; else what is in it may be done already."""
        self._count = 0

    def at(self, when: float, owner: Waitable | None, action: Callable[[], None]) -> None:
        """Do this at that time, unless ``owner`` is done by then."""
        self._count += 1
        heapq.heappush(self.heap, (when, self._count, owner, action))

    def next(self) -> float | None:
        """When something is due next; None if there is nothing to wait for."""
        heap = self.heap
        while heap and (owner := heap[0][2]) is not None and owner.done:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Do what is due."""
        while (when := self.next()) is not None and when <= now:
            heapq.heappop(self.heap)[3]()

    def clear(self) -> list[Waitable]:
        """Forget everything; returns the owners that are not done."""
        owners = [owner for _, _, owner, _ in self.heap if owner is not None and not owner.done]
        self.heap.clear()
        return owners
