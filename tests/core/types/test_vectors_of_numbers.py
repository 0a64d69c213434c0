"""int2vector and oidvector."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import TEXT
from tests.core.types.support import builtin


@pytest.mark.parametrize(
    ("name", "low", "high"), [("int2vector", -(2**15), 2**15 - 1), ("oidvector", 0, 2**32 - 1)]
)
class TestVectorsOfNumbers:
    @given(data=st.data())
    def test_both_ways_in_both_formats(self, name: str, low: int, high: int, data: st.DataObject) -> None:
        value = data.draw(st.lists(st.integers(low, high), min_size=1))
        codec = builtin(name)
        assert codec.decode(codec.encode(value)) == value
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(tuple(value))) == value

    def test_an_empty_one_cannot_be_sent_in_binary_format(self, name: str, low: int, high: int) -> None:
        codec = builtin(name)
        with pytest.raises(DataError, match="no empty one in binary format"):
            codec.encode([])
        assert codec.encoder(TEXT)([]) == b""
        assert codec.decoder(TEXT)(b"") == []
        oid = 21 if name == "int2vector" else 26
        assert codec.decode(struct.pack("!iiIii", 1, 0, oid, 0, 0)) == []

    @pytest.mark.parametrize("value", ["1 2", 5, None, {1}, range(2)])
    def test_refuses_other_values(self, name: str, low: int, high: int, value: object) -> None:
        for format in (0, 1):
            with pytest.raises(DataError, match=f"as {name}: it takes a list or a tuple"):
                builtin(name).encoder(format)(value)

    @pytest.mark.parametrize("value", [["x"], [None], [1.5], [2**40]])
    def test_refuses_other_elements(self, name: str, low: int, high: int, value: object) -> None:
        for format in (0, 1):
            with pytest.raises(DataError, match="cannot encode"):
                builtin(name).encoder(format)(value)

    @pytest.mark.parametrize("data", ["1,2", " 1", "1 ", "1  2", "a", "-", "99999999999", "1 \u0661"])
    def test_refuses_other_text(self, name: str, low: int, high: int, data: str) -> None:
        with pytest.raises(DataError, match="malformed"):
            builtin(name).decoder(TEXT)(data.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, at least 20"),
        (struct.pack("!iiIii", 2, 0, 21, 0, 0), "2 dimensions"),
        (struct.pack("!iiIii", 1, 1, 21, 0, 0), "1 dimensions"),
        (struct.pack("!iiIii", 1, 0, 23, 0, 0), "of type OID 23"),
        (struct.pack("!iiIii", 1, 0, 21, 0, 1), "from 1"),
        (struct.pack("!iiIii", 1, 0, 21, 1, 0), "1 elements in 0 bytes"),
        (struct.pack("!iiIii", 1, 0, 21, -1, 0), "-1 elements in 0 bytes"),
        (struct.pack("!iiIiiih", 1, 0, 21, 1, 0, 3, 1), "an element is NULL or has another width"),
    ],
)
def test_refuses_what_is_none(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=f"malformed int2vector: .*{why}"):
        builtin("int2vector").decode(data)
