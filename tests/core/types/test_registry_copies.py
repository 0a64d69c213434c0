"""Copies of a registry."""

from __future__ import annotations

import pytest

from pgproto.errors import DataError
from pgproto.types import TypeRegistry
from pgproto.types._builtin import BUILTIN_CODECS
from tests.core.types.test_registry import HSTORE, MOODS, registry, row, shout

__all__ = ["registry"]


class TestCopies:
    def test_know_the_same_and_go_their_own_way(self, registry: TypeRegistry) -> None:
        registry.set_codec("mood", decoder=shout)
        twin = registry.copy()
        assert twin.codec(MOODS).decode(b"{sad}") == ["SAD"]
        twin.set_codec("int4", decoder=shout)
        twin.forget([HSTORE])
        assert registry.codec(23) is BUILTIN_CODECS[23]
        assert not registry.unknown([HSTORE])
        registry.learn([row(90000, "x", "enum")])
        assert twin.unknown([90000]) == {90000}

    def test_keep_the_policy_for_dates(self) -> None:
        codec = TypeRegistry(overflow="raise").copy().codec(1082)
        with pytest.raises(DataError, match="outside the range"):
            codec.decode(b"\x7f\xff\xff\xff")
