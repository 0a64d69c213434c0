"""The types of a database, as the server would describe them."""

from __future__ import annotations

import pytest

from pgproto.types import Codec, TypeRegistry

__all__ = [
    "HSTORE",
    "ITEM",
    "ITEMS",
    "MOOD",
    "MOODS",
    "ODD",
    "POSITIVE",
    "ROWS",
    "SPAN",
    "SPANS",
    "find",
    "registry",
    "row",
    "shout",
]

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
    """A registry that knows them."""
    registry = TypeRegistry()
    registry.learn(ROWS)
    return registry


def find(registry: TypeRegistry, name: str) -> Codec:
    codec = registry.find(name)
    assert codec is not None, name
    return codec


def shout(value: str) -> str:
    return value.upper()
