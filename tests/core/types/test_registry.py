from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Codec, CodecFormat, Composite, Multirange, Range, TypeRegistry
from pgproto.types._builtin import BUILTIN_CODECS
from pgproto.types._introspection import INTROSPECTION_SQL, description
from pgproto.types._oids import ARRAYS, MULTIRANGES, RANGES, TYPES
from tests.core.types.support import member

MOOD, MOODS, POSITIVE, ITEM, ITEMS, SPAN, SPANS, HSTORE, ODD = range(70000, 70009)


def row(
    oid: int,
    name: str,
    kind: str,
    part: int = 0,
    *,
    schema: str = "public",
    extension: str | None = None,
    attributes: dict[str, int] | None = None,
    delimiter: str = ",",
) -> list[object]:
    names = attributes or {}
    return [oid, schema, name, kind, part, delimiter, extension, list(names), list(names.values())]


ROWS = [
    row(MOOD, "mood", "enum"),
    row(MOODS, "_mood", "array", MOOD),
    row(POSITIVE, "positive", "domain", 23),
    row(ITEM, "item", "composite", attributes={"n": POSITIVE, "mood": MOOD}),
    row(ITEMS, "_item", "array", ITEM),
    row(SPAN, "span", "range", 701),
    row(SPANS, "spans", "multirange", SPAN),
    row(HSTORE, "hstore", "base", extension="hstore"),
    row(ODD, "odd", "base"),
    row(23, "int4", "base", schema="pg_catalog"),
    row(701, "float8", "base", schema="pg_catalog"),
]


@pytest.fixture
def registry() -> TypeRegistry:
    registry = TypeRegistry()
    registry.learn(ROWS)
    return registry


def find(registry: TypeRegistry, name: str) -> Codec:
    codec = registry.find(name)
    assert codec is not None, name
    return codec


class TestBuiltins:
    def test_every_type_that_has_a_fixed_oid(self) -> None:
        registry = TypeRegistry()
        for table in (TYPES, ARRAYS, RANGES, MULTIRANGES):
            for oid, name, *_ in table:
                codec = registry.codec(oid)
                assert codec.oid == oid
                assert codec.name.strip('"') == name
        assert not registry.unknown(BUILTIN_CODECS)
        assert len(BUILTIN_CODECS) > 180

    def test_are_shared(self) -> None:
        assert TypeRegistry().codec(23) is TypeRegistry().codec(23)
        assert TypeRegistry().codec(1007) is TypeRegistry().codec(1007)

    def test_inner_matters_travel_as_text(self) -> None:
        aclitem = find(TypeRegistry(), "aclitem")
        assert aclitem.format == TEXT
        assert aclitem.encode_binary is None
        array = find(TypeRegistry(), "_aclitem")
        assert array.format == TEXT
        assert array.decode(b"{postgres=arwdDxt/postgres,NULL}") == ["postgres=arwdDxt/postgres", None]

    def test_names(self) -> None:
        assert TypeRegistry().find("nope") is None
        assert find(TypeRegistry(), "timestamptz").oid == 1184


class TestUnknownTypes:
    def test_are_text(self) -> None:
        codec = TypeRegistry().codec(99999)
        assert (codec.oid, codec.format) == (99999, TEXT)
        assert codec.encode("é") == "é".encode()
        assert codec.decode("é".encode()) == "é"
        with pytest.raises(DataError, match="with OID 99999: it takes a str"):
            codec.encode(5)

    def test_are_what_the_server_has_to_be_asked_about(self) -> None:
        registry = TypeRegistry()
        assert registry.unknown([23, MOOD, 99999, 0, 1007]) == {MOOD, 99999}
        sql, arguments = registry.introspection_query([MOOD, 5, MOOD])
        assert sql is INTROSPECTION_SQL
        assert arguments == ([5, MOOD],)

    def test_are_asked_about_once_even_if_they_are_gone(self) -> None:
        registry = TypeRegistry()
        registry.learn([], [MOOD])
        assert not registry.unknown([MOOD])
        assert registry.codec(MOOD).format == TEXT


class TestLearning:
    def test_enum(self, registry: TypeRegistry) -> None:
        codec = registry.codec(MOOD)
        assert (codec.name, codec.format) == ("public.mood", BINARY)
        assert codec.decode(codec.encode("sad")) == "sad"
        assert codec.encode(member("sad")) == b"sad"

    def test_array(self, registry: TypeRegistry) -> None:
        codec = registry.codec(MOODS)
        assert codec.decode(codec.encode(["sad", None])) == ["sad", None]

    def test_domain(self, registry: TypeRegistry) -> None:
        codec = registry.codec(POSITIVE)
        assert (codec.oid, codec.struct_format) == (POSITIVE, "i")
        assert codec.decode(codec.encode(5)) == 5

    @pytest.mark.parametrize("base", [1007, MOODS])
    def test_arrays_of_a_domain_over_an_array_have_one_dimension(
        self, registry: TypeRegistry, base: int
    ) -> None:
        registry.learn(
            [
                row(99990, "rows", "domain", part=base),
                row(99991, "_rows", "array", part=99990),
                row(99992, "own_rows", "domain", part=99990),
                row(99993, "_own_rows", "array", part=99992),
            ]
        )
        cells: list[object] = [1, None] if base == 1007 else ["sad", None]
        for array in (99991, 99993):
            codec = registry.codec(array)
            values: list[list[object]] = [[cells, cells[:1]], [[], None], [None, cells]]
            for value in values:
                assert codec.decode(codec.encode(value)) == value
                assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value

    def test_composite(self, registry: TypeRegistry) -> None:
        codec = registry.codec(ITEM)
        assert codec.decode(codec.encode((1, "sad"))) == Composite(("n", "mood"), (1, "sad"))
        array = registry.codec(ITEMS)
        assert array.decode(array.encode([(1, "sad"), None])) == [(1, "sad"), None]

    def test_ranges(self, registry: TypeRegistry) -> None:
        codec = registry.codec(SPAN)
        assert codec.decode(codec.encode(Range(1.0, None))) == Range(1.0, None)
        codec = registry.codec(SPANS)
        assert codec.decode(codec.encode([Range(1.0, 2.0)])) == Multirange([Range(1.0, 2.0)])

    def test_extension(self, registry: TypeRegistry) -> None:
        codec = registry.codec(HSTORE)
        assert codec.decode(codec.encode({"a": None})) == {"a": None}

    def test_a_type_that_is_only_called_so_is_not_the_extensions(self) -> None:
        registry = TypeRegistry()
        registry.learn([row(HSTORE, "hstore", "base")])
        assert registry.codec(HSTORE).format == TEXT

    def test_other_base_types_are_text(self, registry: TypeRegistry) -> None:
        assert registry.codec(ODD).format == TEXT

    def test_by_name(self, registry: TypeRegistry) -> None:
        assert find(registry, "mood") is find(registry, "public.mood") is registry.codec(MOOD)

    def test_built_in_types_are_never_learned_anew(self) -> None:
        registry = TypeRegistry()
        registry.learn([row(23, "int4", "composite", attributes={"a": 25})])
        assert registry.codec(23) is BUILTIN_CODECS[23]

    def test_is_known_from_then_on(self, registry: TypeRegistry) -> None:
        assert not registry.unknown([MOOD, MOODS, POSITIVE, ITEM, SPAN, HSTORE, ODD])

    def test_forgetting(self, registry: TypeRegistry) -> None:
        assert registry.codec(ITEM).format == BINARY
        registry.forget([MOOD])
        assert registry.unknown([MOOD, ITEM]) == {MOOD}
        assert registry.codec(ITEM).format == TEXT
        registry.learn([row(MOOD, "mood", "domain", 23)])
        assert registry.codec(ITEM).decode(registry.codec(ITEM).encode((1, 2))) == (1, 2)
        registry.forget()
        assert registry.unknown([MOOD, ITEM, 23]) == {MOOD, ITEM}

    def test_each_change_shows(self, registry: TypeRegistry) -> None:
        seen = [registry.generation]
        registry.forget([1])
        seen.append(registry.generation)
        registry.learn([])
        seen.append(registry.generation)
        registry.register(registry.codec(23))
        seen.append(registry.generation)
        assert seen == sorted(set(seen))

    def test_types_that_contain_themselves_are_cut_short(self) -> None:
        registry = TypeRegistry()
        registry.learn(
            [row(ITEM, "item", "composite", attributes={"a": ITEMS}), row(ITEMS, "_item", "array", ITEM)]
        )
        for oid in (ITEM, ITEMS):
            assert registry.codec(oid).format == TEXT
        assert registry.codec(ITEM).decode(b'("{x}")') == (["x"],)

    def test_types_that_are_nested_too_deep_are_cut_short(self) -> None:
        registry = TypeRegistry()
        chain = [
            row(80000 + level, "t", "composite", attributes={"a": 80001 + level}) for level in range(3000)
        ]
        registry.learn([*chain, row(83000, "t", "domain", 23)])
        assert registry.codec(80000).format == TEXT

    def test_many_types_made_of_many(self) -> None:
        # Each of these is made of twice the one before: 2 ** 60 ways, but only 60 types.
        registry = TypeRegistry()
        registry.learn(
            [row(80000, "t", "domain", 23)]
            + [
                row(80000 + n, "t", "composite", attributes={"a": 79999 + n, "b": 79999 + n})
                for n in range(1, 60)
            ]
        )
        assert registry.codec(80059).format == BINARY

    def test_records_of_learned_types(self, registry: TypeRegistry) -> None:
        record = registry.codec(2249)
        data = bytes.fromhex("00000001") + MOOD.to_bytes(4, "big") + bytes.fromhex("00000003") + b"sad"
        assert record.decode(data) == ("sad",)
        registry.forget()
        with pytest.raises(DataError, match=f"OID {MOOD}"):
            registry.codec(2249).decode(data)
        with pytest.raises(DataError, match=f"OID {MOOD}"):
            BUILTIN_CODECS[2249].decode(data)


class TestDescriptions:
    @pytest.mark.parametrize(
        "wrong",
        [
            [],
            ROWS[0][:-1],
            [*ROWS[0], None],
            ["1", *ROWS[0][1:]],
            row(1, "x", "sphere"),
            row(1, "x", "enum", delimiter=""),
            row(1, "x", "enum", delimiter=",,"),
            row(1, "x", "enum", delimiter="\u00e9"),
            [*ROWS[0][:-2], ["a"], []],
            [*ROWS[0][:-2], ["a"], ["b"]],
            [*ROWS[0][:-2], [None], [1]],
            [*ROWS[0][:-2], "a", [1]],
            [*ROWS[0][:6], 5, [], []],
            [1, None, *ROWS[0][2:]],
        ],
    )
    def test_of_another_shape_teach_nothing(self, wrong: list[object]) -> None:
        registry = TypeRegistry()
        with pytest.raises(DataError, match="has not the shape"):
            registry.learn([ROWS[0], wrong])
        assert registry.unknown([MOOD]) == {MOOD}

    def test_parts(self) -> None:
        item = description(ROWS[3])
        assert item.parts == (POSITIVE, MOOD)
        assert item.qualified_name == "public.item"
        assert description(ROWS[-1]).qualified_name == "float8"
        assert description(ROWS[1]).parts == (MOOD,)


def shout(value: str) -> str:
    return value.upper()


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
