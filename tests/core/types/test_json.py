from __future__ import annotations

import math
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import TEXT, JsonText
from tests.core.types.support import builtin, same

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: (
        st.lists(values) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values)
    ),
)


@pytest.mark.parametrize("name", ["json", "jsonb"])
class TestJson:
    @given(value=_JSON)
    def test_python_objects_both_ways(self, name: str, value: object) -> None:
        codec = builtin(name)
        assert same(codec.decode(codec.encode(value)), value)
        assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value)), value)

    def test_a_string_is_a_json_string(self, name: str) -> None:
        assert builtin(name).encoder(TEXT)('{"a": 1}') == b'"{\\"a\\": 1}"'

    def test_json_that_is_text_already(self, name: str) -> None:
        assert builtin(name).encoder(TEXT)(JsonText('{"a": 1}')) == b'{"a": 1}'
        assert str(JsonText("null")) == "null"
        with pytest.raises(DataError, match="NUL"):
            builtin(name).encode(JsonText("\x00"))

    @pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], Decimal(1), {1, 2}, b"x", {(1,): 2}])
    def test_refuses_what_json_has_not(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}: "):
            builtin(name).encode(value)

    def test_refuses_lone_surrogates(self, name: str) -> None:
        with pytest.raises(DataError, match="no character of Unicode"):
            builtin(name).encode(["\ud800"])

    def test_refuses_what_is_nested_without_end(self, name: str) -> None:
        value: list[object] = []
        value.append(value)
        with pytest.raises(DataError, match=r"Circular|too deeply"):
            builtin(name).encode(value)
        deep: list[object] = []
        for _ in range(sys.getrecursionlimit() * 20):
            deep = [deep]
        with pytest.raises(DataError, match="too deeply"):
            builtin(name).encode(deep)

    def test_an_error_of_a_values_own_code_is_a_data_error(self, name: str) -> None:
        class Odd(dict[str, int]):
            def items(self) -> object:  # type: ignore[override]  # that is the point
                raise RuntimeError

            def __bool__(self) -> bool:
                return True

        with pytest.raises(DataError, match="RuntimeError"):
            builtin(name).encode([Odd(a=1)])

    @pytest.mark.parametrize("data", [b"", b"{", b"nul", b'"\xff"', b"1" * 5000, b"[" * 100_000, b'{"a":1}x'])
    def test_refuses_what_is_no_json(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}"):
            builtin(name).decoder(TEXT)(data)


@pytest.mark.parametrize("name", ["jsonb", "jsonpath"])
@pytest.mark.parametrize("data", [b"", b"\x02{}", b"{}"])
def test_refuses_other_versions(name: str, data: bytes) -> None:
    with pytest.raises(DataError, match=f"malformed {name}: unknown version"):
        builtin(name).decode(data)
