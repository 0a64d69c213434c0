"""What a caller's value is, said so that type checkers know what is inside: anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeGuard

__all__ = [
    "is_collection",
    "is_dict",
    "is_iterable",
    "is_list",
    "is_list_or_tuple",
    "is_mapping",
    "is_plain_collection",
    "is_plain_tuple",
    "is_tuple",
]

_TEXT_LIKE = (str, bytes, bytearray, memoryview)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether it is a list."""
    return isinstance(value, list)


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Whether it is a tuple, with names or without."""
    return isinstance(value, tuple)


def is_plain_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Whether it is a tuple, and none with names."""
    return type(value) is tuple


def is_plain_collection(value: object) -> TypeGuard[Collection[object]]:
    """Whether it is one of Python's own collections."""
    return isinstance(value, (list, tuple, dict, set, frozenset))


def is_list_or_tuple(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether it is a list or a tuple."""
    return isinstance(value, (list, tuple))


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    """Whether it is a dict."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    """Whether it is a mapping."""
    return isinstance(value, Mapping)


def is_collection(value: object) -> TypeGuard[Collection[object]]:
    """Whether it is a sequence or a set, and no text or bytes."""
    return isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, _TEXT_LIKE)


def is_iterable(value: object) -> TypeGuard[Iterable[object]]:
    """Whether one can walk through it, and it is no text, bytes or mapping."""
    return isinstance(value, Iterable) and not isinstance(value, (*_TEXT_LIKE, Mapping))
