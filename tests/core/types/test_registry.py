from __future__ import annotations

import pytest

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Composite, Multirange, Range, TypeRegistry
from pgproto.types._builtin import BUILTIN_CODECS
from pgproto.types._introspection import INTROSPECTION_SQL, description
from pgproto.types._oids import ARRAYS, MULTIRANGES, RANGES, TYPES
from tests.core.types.database import (
    HSTORE,
    ITEM,
    ITEMS,
    MOOD,
    MOODS,
    ODD,
    POSITIVE,
    ROWS,
    SPAN,
    SPANS,
    find,
    registry,
    row,
)
from tests.core.types.support import member

__all__ = ["registry"]


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
