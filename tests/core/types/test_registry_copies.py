"""Copies of a registry."""

from __future__ import annotations

import pytest

from pgproto.errors import DataError
from pgproto.types import TEXT, Codec, TypeRegistry
from pgproto.types._builtin import BUILTIN_CODECS
from tests.core.types.database import HSTORE, MOOD, MOODS, registry, row, shout

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

    def test_are_of_a_later_generation(self, registry: TypeRegistry) -> None:
        assert registry.copy().generation > registry.generation

    def test_never_share_a_generation(self, registry: TypeRegistry) -> None:
        twin = registry.copy()
        seen = {registry.generation, twin.generation}
        for each in (registry, twin, registry):
            each.set_codec("int4", decoder=shout)
            assert each.generation not in seen
            seen.add(each.generation)


class TestResets:
    @pytest.mark.parametrize("type", ["int4", "pg_catalog.int4", 23])
    def test_of_builtin_types(self, type: str | int) -> None:
        registry = TypeRegistry()
        registry.set_codec(type, decoder=shout)
        before = registry.generation
        registry.reset_codec(type)
        assert registry.codec(23) is BUILTIN_CODECS[23]
        assert registry.generation > before

    def test_of_defined_types(self, registry: TypeRegistry) -> None:
        registry.set_codec("mood", decoder=shout)
        registry.reset_codec("mood")
        assert registry.codec(MOODS).decoder(0)(b"{sad}") == ["sad"]
        registry.forget()
        registry.learn([row(90000, "mood", "enum")])
        assert registry.codec(90000).decode(b"sad") == "sad"

    def test_of_what_is_not_known(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("mood", decoder=shout)
        registry.reset_codec("mood")
        registry.reset_codec("never heard of")
        registry.learn([row(90000, "mood", "enum")])
        assert registry.codec(90000).decode(b"sad") == "sad"

    def test_keep_the_policy_for_dates(self) -> None:
        registry = TypeRegistry(overflow="raise")
        registry.set_codec("date", decoder=shout)
        registry.reset_codec("date")
        with pytest.raises(DataError, match="outside the range"):
            registry.codec(1082).decode(b"\x7f\xff\xff\xff")


class TestWhole:
    def test_codecs(self) -> None:
        registry = TypeRegistry()
        registry.register(codec := Codec(MOOD, "mood", TEXT, encode=lambda value: b"x", decode=len))
        assert registry.codec(MOOD) is codec
        assert not registry.unknown([MOOD])
