"""When sessions retire: never many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

__all__ = ["spread"]


def spread(earliest: float, latest: float, taken: Iterable[float], random: Callable[[], float]) -> float:
    """A moment between the two, as far as can be from those that are taken already.

    Chance alone would not do: among 50 moments drawn from six minutes, two fall into the same second almost
    always.
    """
    neighbours = sorted(moment for moment in taken if earliest <= moment <= latest)
    if not neighbours:
        return earliest + (latest - earliest) * random()
    gap, start = max((end - start, start) for start, end in pairwise((earliest, *neighbours, latest)))
    return start + gap * (0.4 + 0.2 * random())
