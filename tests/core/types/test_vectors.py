"""Every built-in type against what a live server sent."""

from __future__ import annotations

import json
import struct

import pytest

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT
from tests.core.types.support import builtin, same
from tests.core.types.vectors import VECTORS

_IDS = [f"{name}:{text}"[:60] for name, text, _, _ in VECTORS]
_JSON = {"json", "jsonb", "_jsonb"}
_ANOTHER_SCALE = {("numeric", "Infinity"), ("numeric", "-Infinity")}
"""PostgreSQL sends the infinities with a scale that says nothing."""
_NO_TEXT = {"money"}
_QUOTES_MORE = {"_box"}
"""We quote elements that need no quotes where a comma is no delimiter; the server reads both."""


@pytest.mark.parametrize(("name", "text", "binary", "value"), VECTORS, ids=_IDS)
class TestVectors:
    def test_decodes_binary(self, name: str, text: str, binary: str, value: object) -> None:
        assert same(builtin(name).decoder(BINARY)(bytes.fromhex(binary)), value)

    def test_decodes_text(self, name: str, text: str, binary: str, value: object) -> None:
        assert same(builtin(name).decoder(TEXT)(text.encode()), value)

    def test_encodes_binary(self, name: str, text: str, binary: str, value: object) -> None:
        data = builtin(name).encoder(BINARY)(value)
        if name in _JSON or (name, text) in _ANOTHER_SCALE:
            assert same(builtin(name).decoder(BINARY)(data), value)
        else:
            assert data.hex() == binary

    def test_encodes_text(self, name: str, text: str, binary: str, value: object) -> None:
        if name in _NO_TEXT:
            with pytest.raises(DataError, match="lc_monetary"):
                builtin(name).encoder(TEXT)(value)
            return
        data = builtin(name).encoder(TEXT)(value)
        if name in _JSON | _QUOTES_MORE:
            assert same(builtin(name).decoder(TEXT)(data), value)
        else:
            assert data.decode() == text

    def test_struct_gives_what_decode_gives(self, name: str, text: str, binary: str, value: object) -> None:
        codec = builtin(name)
        if not codec.struct_format:
            assert codec.from_struct is None
            return
        (number,) = struct.unpack("!" + codec.struct_format, bytes.fromhex(binary))
        assert same(number if codec.from_struct is None else codec.from_struct(number), value)


def test_json_is_compact_and_not_escaped() -> None:
    assert builtin("json").encode({"a": ["é", 1]}) == '{"a":["é",1]}'.encode()
    assert json.loads(builtin("jsonb").encode({"a": None})[1:]) == {"a": None}


def test_every_type_of_the_overview_has_vectors() -> None:
    kinds = {name for name, _, _, _ in VECTORS}
    assert len(kinds) > 60
    assert kinds >= {"bool", "numeric", "timestamptz", "tsvector", "_int4", "int4multirange", "pg_snapshot"}
