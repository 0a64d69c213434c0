"""`Value`: the base of the value types that decoders make in large numbers.

A frozen dataclass would say the same, but takes about a microsecond to build; these are filled through their
slots' own setters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

__all__ = ["Value", "integer_within", "slot_setter"]


def slot_setter(cls: type, name: str) -> Callable[[Any, Any], None]:
    """What sets this slot, past a `__setattr__` that forbids it."""
    descriptor: Any = cls.__dict__[name]
    setter: Callable[[Any, Any], None] = descriptor.__set__
    return setter


def integer_within(value: object, minimum: int, maximum: int) -> bool:
    """Whether it is an `int` from the one to the other: what a caller passes may be anything."""
    return isinstance(value, int) and minimum <= value <= maximum


class Value:
    """An immutable value with slots; equal to another of its type if all slots are equal.

    A subclass names its slots in the order of its constructor's arguments.
    """

    __slots__ = ()

    _names: ClassVar[tuple[str, ...]] = ()
    """The slots, which are also the constructor's arguments."""

    def __init_subclass__(cls) -> None:
        cls._names = tuple(cls.__slots__) or cls._names

    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._names)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((type(self), *self._parts()))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({arguments})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._parts()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable")
