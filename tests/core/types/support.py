"""What the tests of types have in common."""

from __future__ import annotations

from pgproto.types import Codec, TypeRegistry

__all__ = ["builtin", "same"]

_REGISTRY = TypeRegistry()


def builtin(name: str) -> Codec:
    """The codec of a built-in type."""
    codec = _REGISTRY.find(name)
    assert codec is not None, name
    return codec


def same(left: object, right: object) -> bool:
    """Equal, of one type, and written alike: -0.0 is not 0.0 here, and NaN is NaN."""
    return type(left) is type(right) and repr(left) == repr(right)
