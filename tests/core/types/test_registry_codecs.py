from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, CodecFormat, Range, TypeRegistry
from pgproto.types._builtin import BUILTIN_CODECS
from tests.core.types.database import (
    ITEM,
    MOOD,
    MOODS,
    ODD,
    POSITIVE,
    ROWS,
    find,
    registry,
    row,
    shout,
)

__all__ = ["registry"]


class TestCustomCodecs:
    def test_text_functions_deal_in_str(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("numeric", encoder=str, decoder=float)
        codec = find(registry, "numeric")
        assert (codec.format, codec.encode(1.5), codec.decode(b"2.50")) == (TEXT, b"1.5", 2.5)

    def test_binary_functions_deal_in_bytes(self) -> None:
        registry = TypeRegistry()
        registry.set_codec(17, encoder=bytes.fromhex, decoder=bytes.hex, format="binary")
        codec = registry.codec(17)
        assert codec.format == BINARY
        assert (codec.encode("00ff"), codec.decode(b"\x00\xff")) == (b"\x00\xff", "00ff")

    def test_the_direction_that_is_not_given_stays(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("jsonb", decoder=lambda text: json.loads(text, parse_float=Decimal))
        codec = find(registry, "jsonb")
        assert codec.encode({"a": 1.5}) == b'{"a":1.5}'
        assert codec.decode(b'{"a":1.50}') == {"a": Decimal("1.50")}
        registry.set_codec("int4", encoder=lambda value: (value + 1).to_bytes(4, "big"), format="binary")
        codec = find(registry, "int4")
        assert codec.decode(codec.encode(1)) == 2

    def test_containers_follow(self) -> None:
        registry = TypeRegistry()
        before = registry.codec(1007)
        registry.set_codec("int4", encoder=lambda value: str(value * 2), decoder=lambda text: int(text) // 2)
        for name, value in (("_int4", [1, None]), ("int4range", Range(1, 2)), ("_int4range", [Range(1, 2)])):
            codec = find(registry, name)
            assert codec.format == TEXT
            assert codec.decode(codec.encode(value)) == value
        assert find(registry, "_int4").encode([1]) == b"{2}"
        assert registry.codec(1009) is BUILTIN_CODECS[1009]
        assert TypeRegistry().codec(1007) is before

    def test_learned_containers_follow(self, registry: TypeRegistry) -> None:
        registry.set_codec("mood", decoder=shout)
        assert registry.codec(MOOD).decode(b"sad") == "SAD"
        assert registry.codec(MOODS).decode(b"{sad}") == ["SAD"]
        assert registry.codec(ITEM).decode(b"(1,sad)") == (1, "SAD")

    def test_names_may_be_known_later(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("mood", decoder=shout)
        registry.set_codec("other.positive", decoder=shout)
        assert registry.unknown([MOOD]) == {MOOD}
        registry.learn(ROWS)
        assert registry.codec(MOODS).decode(b"{sad}") == ["SAD"]
        assert registry.codec(POSITIVE).format == BINARY

    def test_numbers_may_be_known_later(self) -> None:
        """The direction that is given no function is then what the type's own is."""
        registry = TypeRegistry()
        registry.set_codec(ITEM, decoder=shout)
        registry.set_codec(MOOD, decoder=shout)
        registry.set_codec(MOOD, encoder=str.lower)
        assert registry.codec(MOOD).decode(b"sad") == "SAD"
        for each in (registry, registry.copy()):
            assert each.unknown([MOOD, ITEM]) == {MOOD, ITEM}
            each.learn(ROWS)
            assert not each.unknown([MOOD, ITEM])
            assert each.codec(MOODS).encode(["SAD"]) == b"{sad}"
            assert each.codec(MOODS).decode(b"{sad}") == ["SAD"]
            assert each.codec(ITEM).encode((1, "SAD")) == b"(1,sad)"
            assert each.codec(ITEM).decode(b"(1,sad)") == "(1,SAD)"
            each.reset_codec(MOOD)
            assert each.codec(MOOD).decode(b"sad") == "sad"

    def test_numbers_may_be_taken_back_before(self) -> None:
        registry = TypeRegistry()
        registry.set_codec(MOOD, decoder=shout)
        registry.reset_codec(MOOD)
        registry.learn(ROWS)
        assert registry.codec(MOOD).decode(b"sad") == "sad"

    @pytest.mark.parametrize(
        ("name", "oid"), [("integer", 23), ("double precision", 701), ("timestamp with time zone", 1184)]
    )
    def test_names_that_sql_has(self, name: str, oid: int) -> None:
        registry = TypeRegistry()
        registry.set_codec(name, decoder=shout)
        assert registry.codec(oid).decode(b"x") == "X"
        registry.reset_codec(name)
        assert registry.codec(oid) is BUILTIN_CODECS[oid]

    def test_a_qualified_name_is_that_type_alone(self, registry: TypeRegistry) -> None:
        registry.set_codec("public.mood", decoder=shout)
        registry.learn([row(90000, "mood", "enum", schema="other")])
        assert registry.codec(MOOD).decode(b"sad") == "SAD"
        assert registry.codec(90000).decode(b"sad") == "sad"

    def test_survive_that_a_type_is_made_anew(self, registry: TypeRegistry) -> None:
        registry.set_codec("mood", decoder=shout)
        registry.forget([MOOD])
        assert registry.unknown([MOOD]) == {MOOD}
        registry.learn([row(90000, "mood", "enum")])
        assert registry.codec(90000).decode(b"sad") == "SAD"
        registry.learn([row(90000, "mood", "enum")])
        assert registry.codec(90000).decode(b"sad") == "SAD"

    def test_types_that_we_know_no_binary_form_of(self, registry: TypeRegistry) -> None:
        registry.set_codec("odd", decoder=len, format="binary")
        codec = registry.codec(ODD)
        assert codec.decode(b"abc") == 3
        with pytest.raises(DataError, match=r"public\.odd was given no function to encode"):
            codec.encode("abc")
        registry.set_codec(ODD, encoder=str.encode, format="binary")
        assert registry.codec(ODD).encode("abc") == b"abc"
        assert registry.codec(ODD).decode(b"abc") == 3
        other = TypeRegistry()
        other.learn(ROWS)
        other.set_codec("odd", encoder=str.encode, format="binary")
        with pytest.raises(DataError, match="no function to decode"):
            other.codec(ODD).decode(b"x")

    @pytest.mark.parametrize("format", [1, "tuple", None])
    def test_formats(self, format: Any) -> None:
        with pytest.raises(DataError, match=r'the format is "text" or "binary", not'):
            TypeRegistry().set_codec("int4", format=format)

    def test_errors_in_them_are_data_errors(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("int4", encoder=lambda value: 1 / 0, decoder=lambda text: 1 / 0)
        codec = find(registry, "int4")
        with pytest.raises(DataError, match="as int4: its codec failed: ZeroDivisionError") as caught:
            codec.encode(5)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(DataError, match="malformed int4: its codec failed: ZeroDivisionError"):
            codec.decode(b"5")
        with pytest.raises(DataError, match="malformed int4: its codec failed: UnicodeDecodeError"):
            codec.decode(b"\xff")

    def test_their_own_data_errors_pass(self) -> None:
        def refuse(value: object) -> str:
            raise DataError("mine")

        registry = TypeRegistry()
        registry.set_codec("int4", encoder=refuse, decoder=refuse)
        for function in (find(registry, "int4").encode, find(registry, "int4").decode):
            with pytest.raises(DataError, match="mine"):
                function(b"")

    @pytest.mark.parametrize(
        ("format", "result"), [("text", 5), ("text", None), ("binary", "5"), ("binary", None)]
    )
    def test_what_they_return_is_checked(self, format: CodecFormat, result: object) -> None:
        registry = TypeRegistry()
        registry.set_codec("int4", encoder=lambda value: result, format=format)
        with pytest.raises(DataError, match="its codec returned"):
            find(registry, "int4").encode(1)

    def test_text_that_postgresql_cannot_hold_is_refused(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("int4", encoder=lambda value: "\x00")
        with pytest.raises(DataError, match="NUL"):
            find(registry, "int4").encode(1)

    def test_text_may_be_bytes_already(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("int4", encoder=lambda value: b"7")
        assert find(registry, "int4").encode(1) == b"7"

    def test_values_that_are_sequences(self) -> None:
        registry = TypeRegistry()
        registry.set_codec("point", encoder=lambda xy: f"({xy[0]},{xy[1]})", takes_sequences=True)
        assert find(registry, "_point").encode([(1, 2), (3, 4)]) == b'{"(1,2)","(3,4)"}'
