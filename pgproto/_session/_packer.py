"""Packing sets of values in compiled code, and learning what to expect of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from pgproto._session._packing import (
    Fill,
    Frame,
    Pack,
    Slow,
    compile_fill,
    compile_pack,
    is_always_nullable,
    kind_of,
)
from pgproto.types._codec import Encode

__all__ = ["Packer", "fill_one_by_one"]

_MAX_COMPILED: Final = 128
"""Wider sets are not compiled: it takes time for each value, and a statement may have 65,535."""
_PATIENCE: Final = 16
"""After so many sets with a NULL that was not expected, it is worth while to expect it."""


class Packer:
    """Makes the functions that pack sets of values.

    Args:
        encoders: one for each value.
        frame: what stands around the values.
    """

    __slots__ = ("_encoders", "_frame", "_kinds", "_missing", "_nullable", "_patience")

    def __init__(self, encoders: Sequence[Encode], frame: Frame) -> None:
        self._encoders = encoders
        self._frame = frame
        self._kinds = tuple([kind_of(encode) for encode in encoders])
        self._nullable = tuple([is_always_nullable(kind) for kind in self._kinds])
        self._missing: set[int] = set()
        self._patience = _PATIENCE

    def pack(self) -> Pack | None:
        """A function for single sets; None if they are too wide."""
        if len(self._kinds) > _MAX_COMPILED:
            return None
        return compile_pack(self._kinds, self._nullable, self._frame, self._encoders)

    def fill(self) -> Fill:
        """A function for many sets."""
        if len(self._kinds) > _MAX_COMPILED:
            return fill_one_by_one
        return compile_fill(self._kinds, self._nullable, self._frame, self._encoders)

    def missed(self, values: Sequence[object]) -> bool:
        """This set was not as expected; True if there is a better function by now."""
        pairs = enumerate(zip(values, self._nullable, strict=False))
        missing = [i for i, (value, nullable) in pairs if value is None and not nullable]
        if not missing:
            return False
        self._missing.update(missing)
        self._patience -= 1
        if self._patience:
            return False
        self._patience = _PATIENCE
        self._nullable = tuple([each or i in self._missing for i, each in enumerate(self._nullable)])
        return True


def fill_one_by_one(
    sets: Iterable[Any],
    out: list[bytes],
    limit: int,
    slow: Slow,
    check: Callable[[Any], Sequence[Any]],
    note: Callable[[int, int], None],
) -> bool:
    """As a `Fill`, without expecting anything."""
    count = size = 0
    try:
        for values in sets:
            if values.__class__ is not tuple and values.__class__ is not list:
                values = check(values)
            size += slow(values, out, count)
            count += 1
            if size >= limit:
                return False
    finally:
        note(count, size)
    return True
