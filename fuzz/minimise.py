"""Making a case that fails smaller, as long as it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from fuzz.targets import Case
from tests.support.replay import Hear, Say

__all__ = ["minimise"]

T = TypeVar("T")


def _shorter(items: list[T], still: Callable[[list[T]], bool]) -> list[T]:
    """Leave out halves, then quarters and so on, whatever is not needed."""
    size = (len(items) + 1) // 2
    while size:
        start = 0
        while start < len(items):
            candidate = items[:start] + items[start + size :]
            if still(candidate):
                items = candidate
            else:
                start += size
        size //= 2
    return items


def minimise(case: Case, fails: Callable[[Case], bool], *, tries: int = 3_000) -> Case:
    """The smallest case that still fails, within so many tries."""
    left = tries
    script = list(case.script)

    def still(steps: list[Say | Hear]) -> bool:
        nonlocal left
        left -= 1
        return left > 0 and fails(Case(case.role, steps))

    def still_with(number: int, data: list[int]) -> bool:
        return still([*script[:number], Hear(bytes(data)), *script[number + 1 :]])

    script = _shorter(script, still)
    for number, step in enumerate(script):
        if isinstance(step, Hear):
            script[number] = Hear(bytes(_shorter(list(step.data), partial(still_with, number))))
    return Case(case.role, script)
