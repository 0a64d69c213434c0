"""What the tests of types have in common."""

from __future__ import annotations

import enum
from typing import Any

from pgproto.types import Codec, TypeRegistry

__all__ = ["builtin", "member", "same"]

_REGISTRY = TypeRegistry()


def builtin(name: str) -> Codec:
    """The codec of a built-in type."""
    codec = _REGISTRY.find(name)
    assert codec is not None, name
    return codec


def member(value: object) -> object:
    """A member of an Enum, with this value."""
    Some: Any = enum.Enum("Some", [("MEMBER", value)])  # the name has to be the same
    return Some.MEMBER


def same(left: object, right: object) -> bool:
    """Equal, of one type, and written alike: -0.0 is not 0.0 here, and NaN is NaN."""
    return type(left) is type(right) and repr(left) == repr(right)
