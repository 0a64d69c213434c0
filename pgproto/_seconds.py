"""Durations as callers give them."""

from __future__ import annotations

from typing import Final

from pgproto.errors import DataError

__all__ = ["LONGEST", "seconds"]

LONGEST: Final = 1e9
"""About thirty years: no duration is longer, so that every clock, event loop and system call can count it."""


def seconds(duration: object) -> float:
    """A duration that a caller gave, in seconds: below zero it is zero, and infinity is `LONGEST`.

    Raises:
        TypeError: it is not a number.
        DataError: it is NaN, which is no time at all.
    """
    if not isinstance(duration, int | float):
        raise TypeError(f"a timeout is a number of seconds, not {type(duration).__name__}")
    if duration > LONGEST:
        return LONGEST
    if duration > 0:
        return float(duration)
    if duration <= 0:
        return 0.0
    raise DataError("a timeout is a number of seconds, not NaN")
