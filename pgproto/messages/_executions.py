"""The replies to many executions of one statement, read at one go."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["read_executions"]

_BIND_AND_COMPLETE: Final = b"2\0\0\0\4C\0\0\0"
"""BindComplete, and a CommandComplete up to the last byte of its length."""
_LONGEST: Final = 64
"""The two are shorter; what is not is left to others."""
_MOST_AT_ONCE: Final = 256


def read_executions(data: bytes, start: int, end: int, most: int) -> tuple[list[tuple[str, int]], int]:
    """The pairs of BindComplete and CommandComplete at the beginning of ``data[start:end]``.

    There may be ``most`` of them. Returns their tags, with how often each comes in succession, and where the
    pairs end. What is not exactly such a pair is left where it is.
    """
    runs: list[tuple[str, int]] = []
    offset = len(_BIND_AND_COMPLETE)
    while most and start + offset < end and data.startswith(_BIND_AND_COMPLETE, start):
        size = 6 + data[start + offset]
        if size > _LONGEST or start + size > end:
            break
        pair = data[start : start + size]
        tag = _read_pair(pair)
        if tag is None:
            break
        times = _repeated(data, start, pair, min(most, (end - start) // size))
        runs.append((tag, times))
        start += times * size
        most -= times
    return runs, start


@lru_cache(maxsize=256)
def _read_pair(data: bytes) -> str | None:
    """The tag, if the CommandComplete is one string that the only zero byte ends."""
    if len(data) < 11 or data.find(0, 10) != len(data) - 1:
        return None
    return data[10:-1].decode("utf-8", "surrogateescape")


def _repeated(data: bytes, start: int, pattern: bytes, most: int) -> int:
    """How often the pattern, which comes once at least, comes in succession."""
    size = len(pattern)
    times = step = 1
    while times + step <= most and data.startswith(pattern * step, start + times * size):
        times += step
        step = min(2 * step, _MOST_AT_ONCE)
    # There are fewer than that left.
    while step > 1:
        step //= 2
        if times + step <= most and data.startswith(pattern * step, start + times * size):
            times += step
    return times
