"""hstore, citext, ltree and its kind, cube, and pgvector's types."""

from __future__ import annotations

import array
import itertools
import math
import struct
from ipaddress import IPv6Network
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Codec, Cube, SparseVector
from pgproto.types._arrays import array_codec
from pgproto.types._extensions import EXTENSION_CODECS
from tests.core.types.support import member, same

_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_FLOATS = st.floats(allow_nan=False)
_FLOAT4S = st.floats(allow_nan=False, allow_infinity=False, width=32)

HSTORE = EXTENSION_CODECS["hstore", "hstore"](70001, "public.hstore")
CUBE = EXTENSION_CODECS["cube", "cube"](70002, "public.cube")
VECTOR = EXTENSION_CODECS["vector", "vector"](70003, "public.vector")
HALFVEC = EXTENSION_CODECS["vector", "halfvec"](70004, "public.halfvec")
SPARSEVEC = EXTENSION_CODECS["vector", "sparsevec"](70005, "public.sparsevec")


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        (HSTORE, {"a": "1", "b": None}, "00000002000000016100000001310000000162ffffffff"),
        (
            CUBE,
            Cube([1, 2], [3, 4]),
            "000000023ff0000000000000400000000000000040080000000000004010000000000000",
        ),
        (CUBE, Cube([1.5]), "800000013ff8000000000000"),
        (VECTOR, [1.0, 2.5, -3.0], "000300003f80000040200000c0400000"),
        (HALFVEC, [1.0, 2.5, -3.0], "000300003c004100c200"),
        (
            SPARSEVEC,
            SparseVector(5, {0: 1.0, 2: 2.5}),
            "00000005000000020000000000000000000000023f80000040200000",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Codec) else "",
)
def test_as_the_server_sends_them(codec: Codec, value: object, data: str) -> None:
    assert same(codec.decode(bytes.fromhex(data)), value)
    assert codec.encode(value).hex() == data


class TestHstore:
    @given(st.dictionaries(_TEXTS, st.none() | _TEXTS))
    def test_both_ways_in_both_formats(self, value: dict[str, str | None]) -> None:
        for format in (BINARY, TEXT):
            assert HSTORE.decoder(format)(HSTORE.encoder(format)(value)) == value

    def test_as_the_server_sends_it(self) -> None:
        data = bytes.fromhex("00000002000000016100000001310000000162ffffffff")
        assert HSTORE.decode(data) == {"a": "1", "b": None}
        assert HSTORE.encode(MappingProxyType({"a": "1", "b": None})) == data
        assert HSTORE.decoder(TEXT)(b'"a"=>"1", "b"=>NULL') == {"a": "1", "b": None}

    @pytest.mark.parametrize("value", [{1: "a"}, {"a": 1}, {None: "a"}, {"a\x00": None}])
    def test_refuses_what_is_no_text(self, value: object) -> None:
        for format in (BINARY, TEXT):
            with pytest.raises(DataError, match="as text"):
                HSTORE.encoder(format)(value)

    @pytest.mark.parametrize("value", [{"a": 1}, {1: "a"}])
    def test_says_whose_key_or_value_does_not_fit(self, value: object) -> None:
        with pytest.raises(DataError, match=r"it takes a str \(key or value of public\.hstore\)"):
            HSTORE.encode(value)

    @pytest.mark.parametrize("value", ["a=>1", [("a", "1")], None, 5])
    def test_refuses_other_values(self, value: object) -> None:
        with pytest.raises(DataError, match=r"as public\.hstore: it takes a mapping"):
            HSTORE.encode(value)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            ("", "0 bytes, at least 4"),
            ("ffffffff", "-1 pairs"),
            ("7fffffff", "parts in 0 bytes"),
            ("00000001ffffffff00000000", "a key is NULL"),
            ("000000020000000161ffffffff0000000161ffffffff", "the key 'a' is there twice"),
            ("0000000100000001ffffffffff", "not UTF-8"),
            ("0000000100000000ffffffff00", "1 bytes too many"),
        ],
    )
    def test_refuses_what_is_none(self, data: str, why: str) -> None:
        with pytest.raises(DataError, match=why):
            HSTORE.decode(bytes.fromhex(data))

    @pytest.mark.parametrize(
        "data", ["a=>1", '"a"=>1', '"a"=>"1",', '"a"=>"1" "b"=>"2"', '"a"', '"a"=>"1", ', "x"]
    )
    def test_refuses_other_text(self, data: str) -> None:
        with pytest.raises(DataError, match=r"malformed public\.hstore: no pair"):
            HSTORE.decoder(TEXT)(data.encode())

    def test_arrays_of_them(self) -> None:
        codec = array_codec(1, "_hstore", HSTORE)
        assert codec.decode(codec.encode([{"a": None}, None])) == [{"a": None}, None]


@pytest.mark.parametrize(
    ("extension", "name"), [("ltree", "ltree"), ("ltree", "lquery"), ("ltree", "ltxtquery")]
)
def test_ltree_has_a_version(extension: str, name: str) -> None:
    codec = EXTENSION_CODECS[extension, name](70006, name)
    assert codec.encode("a.b") == b"\x01a.b"
    assert codec.decode(b"\x01a.b") == "a.b"
    assert codec.encoder(TEXT)("a.b") == b"a.b"
    with pytest.raises(DataError, match="unknown version"):
        codec.decode(b"\x02a.b")


def test_citext_is_text() -> None:
    codec = EXTENSION_CODECS["citext", "citext"](70007, "citext")
    assert codec.decode(codec.encode("Ab")) == "Ab"


@st.composite
def cubes(draw: st.DrawFn) -> Cube:
    count = draw(st.integers(0, 6))
    corner = draw(st.lists(_FLOATS, min_size=count, max_size=count))
    # Postgres keeps no sign of zero where the corners are equal.
    return Cube(corner, draw(st.none() | st.lists(_FLOATS, min_size=count, max_size=count)))


class TestCube:
    @given(cubes())
    def test_both_ways_in_both_formats(self, value: Cube) -> None:
        for format in (BINARY, TEXT):
            assert CUBE.decoder(format)(CUBE.encoder(format)(value)) == value

    def test_points_have_one_corner(self) -> None:
        point = Cube([1, 2])
        assert point.is_point
        assert point == Cube([1, 2], [1, 2]) != Cube([1, 2], [1, 3])
        assert str(point) == "(1, 2)"
        assert CUBE.encode(point) == struct.pack("!Idd", 0x80000002, 1, 2)
        assert str(Cube([1], [2])) == "(1),(2)"
        assert str(Cube([])) == "()"

    @pytest.mark.parametrize("corner", ["ab", [None], ["x"], 5, [10**400]])
    def test_coordinates_are_numbers(self, corner: Any) -> None:
        with pytest.raises(DataError, match="not a sequence of numbers"):
            Cube(corner)

    def test_corners_have_as_many_dimensions(self) -> None:
        with pytest.raises(DataError, match="corners of 1 and 2 dimensions"):
            Cube([1], [1, 2])

    @pytest.mark.parametrize("value", [[1, 2], "(1,2)", None])
    def test_refuses_other_values(self, value: object) -> None:
        with pytest.raises(DataError, match="it takes a Cube"):
            CUBE.encode(value)

    def test_has_at_most_100_dimensions(self) -> None:
        assert CUBE.decode(CUBE.encode(Cube(range(100)))) == Cube(range(100))
        with pytest.raises(DataError, match="more than 100 dimensions"):
            CUBE.encode(Cube(range(101)))

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x80\x00\x00\x01", b"\x00\x00\x00\x01" + b"\x00" * 8, b"\xff" * 4, b"\x80\x00\x00\x00x"],
    )
    def test_refuses_what_is_none(self, data: bytes) -> None:
        with pytest.raises(DataError, match=r"malformed public\.cube"):
            CUBE.decode(data)

    @pytest.mark.parametrize(
        "data", ["", "1", "(1", "(1,2)", "(1),(2),(3)", "(1),(2, 3)", "(a)", "(1)(2)", "(1, )"]
    )
    def test_refuses_other_text(self, data: str) -> None:
        with pytest.raises(DataError, match=r"malformed public\.cube|dimensions"):
            CUBE.decoder(TEXT)(data.encode())


@pytest.mark.parametrize(("codec", "width"), [(VECTOR, 32), (HALFVEC, 16)], ids=["vector", "halfvec"])
class TestDenseVectors:
    @given(data=st.data())
    def test_both_ways_in_both_formats(self, codec: Any, width: Any, data: st.DataObject) -> None:
        floats = st.floats(allow_nan=False, allow_infinity=False, width=width)
        value = data.draw(st.lists(floats, min_size=1, max_size=50))
        for format in (BINARY, TEXT):
            assert same(codec.decoder(format)(codec.encoder(format)(value)), value)

    @pytest.mark.parametrize("value", [(1, 2), range(1, 3), {1: 0, 2: 0}.keys(), array.array("f", [1, 2])])
    def test_takes_any_numbers(self, codec: Any, width: int, value: object) -> None:
        assert codec.decode(codec.encode(value)) == [1.0, 2.0]

    def test_takes_enum_members(self, codec: Any, width: int) -> None:
        assert codec.decode(codec.encode(member([1.0]))) == [1.0]

    @pytest.mark.parametrize("value", ["[1,2]", b"ab", {1: 2}, 5, None])
    def test_refuses_other_values(self, codec: Any, width: int, value: object) -> None:
        with pytest.raises(DataError, match="it takes a list"):
            codec.encode(value)

    @pytest.mark.parametrize("value", [["x"], [None], [1e300], [[1]]])
    def test_refuses_other_elements(self, codec: Any, width: int, value: object) -> None:
        with pytest.raises(DataError, match=r"as public\."):
            codec.encode(value)

    @pytest.mark.parametrize("count", [0, 65536])
    def test_refuses_another_number_of_dimensions(self, codec: Any, width: int, count: int) -> None:
        with pytest.raises(DataError, match=f"{count} dimensions"):
            codec.encode([0.0] * count)

    @pytest.mark.parametrize("data", ["", "0001", "00010000", "00010001" + "00" * 4, "ffff0000" + "00" * 4])
    def test_refuses_what_is_none(self, codec: Any, width: int, data: str) -> None:
        with pytest.raises(DataError, match=r"malformed public\."):
            codec.decode(bytes.fromhex(data))

    @pytest.mark.parametrize("data", ["", "[]", "1", "[1,]", "[1 ,2]", "[x]", "[1e300]"])
    def test_refuses_other_text(self, codec: Any, width: int, data: str) -> None:
        with pytest.raises(DataError, match=r"malformed public\."):
            codec.decoder(TEXT)(data.encode())

    def test_takes_what_can_be_walked_through_once(self, codec: Any, width: int) -> None:
        assert codec.decode(codec.encode(iter([1.0, 2.0]))) == [1.0, 2.0]

    def test_a_list_of_vectors_is_an_array_of_one_dimension(self, codec: Any, width: int) -> None:
        vectors = array_codec(1, "_v", codec)
        assert vectors.decode(vectors.encode([[1.0], [2.0]])) == [[1.0], [2.0]]


@pytest.mark.parametrize("codec", [VECTOR, HALFVEC], ids=["vector", "halfvec"])
def test_an_iterable_without_an_end_is_no_vector(codec: Codec) -> None:
    with pytest.raises(DataError, match="65536 dimensions were read; it takes 1 to 65535"):
        codec.encoder(BINARY)(itertools.repeat(1.0))
    with pytest.raises(DataError, match="required argument is not a float"):
        codec.encoder(BINARY)(IPv6Network("::/0"))


class TestSparseVector:
    @given(st.integers(100, 2**31 - 1), st.dictionaries(st.integers(0, 99), _FLOAT4S.filter(bool)))
    def test_both_ways_in_both_formats(self, dimensions: int, elements: dict[int, float]) -> None:
        value = SparseVector(dimensions, elements)
        for format in (BINARY, TEXT):
            assert SPARSEVEC.decoder(format)(SPARSEVEC.encoder(format)(value)) == value

    def test_parts(self) -> None:
        value = SparseVector(5, [(4, 2.5), (0, 1), (2, 0)])
        assert value.elements == ((0, 1.0), (4, 2.5))
        assert str(value) == "{1:1,5:2.5}/5"

    @pytest.mark.parametrize(
        ("dimensions", "elements", "why"),
        [
            (0, {}, "at least one dimension"),
            (2**31, {}, "at least one dimension"),
            ("5", {}, "at least one dimension"),
            (5, {5: 1}, "not within 5 dimensions"),
            (5, {-1: 1}, "not within 5 dimensions"),
            (5, {1.5: 1}, "not within 5 dimensions"),
            (5, {1: "x"}, "not numbers by index"),
            (5, [1], "not numbers by index"),
            (5, 7, "not numbers by index"),
        ],
    )
    def test_refuses(self, dimensions: Any, elements: Any, why: str) -> None:
        with pytest.raises(DataError, match=why):
            SparseVector(dimensions, elements)

    @pytest.mark.parametrize("value", [[1.0], {0: 1.0}, "{1:1}/5"])
    def test_refuses_other_values(self, value: object) -> None:
        with pytest.raises(DataError, match="it takes a SparseVector"):
            SPARSEVEC.encode(value)

    def test_elements_are_float4(self) -> None:
        with pytest.raises(DataError, match="out of the range of float4"):
            SPARSEVEC.encode(SparseVector(5, {0: 1e300}))
        assert str(SparseVector(5, {0: 1e300, 1: math.inf})) == "{1:1e+300,2:Infinity}/5"

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "0 bytes, at least 12"),
            (struct.pack("!iii", 5, 1, 0), "1 elements in 0 bytes"),
            (struct.pack("!iii", 5, -1, 0), "-1 elements"),
            (struct.pack("!iii", 5, 0, 1), "0 elements"),
            (struct.pack("!iii", 0, 0, 0), "at least one dimension"),
            (struct.pack("!iiiif", 5, 1, 0, 5, 1.0), "not within 5 dimensions"),
            (struct.pack("!iiiiiff", 5, 2, 0, 1, 1, 1.0, 1.0), "an index is there twice"),
        ],
    )
    def test_refuses_what_is_none(self, data: bytes, why: str) -> None:
        with pytest.raises(DataError, match=why):
            SPARSEVEC.decode(data)

    @pytest.mark.parametrize(
        "data", ["", "{}", "{1:1}", "{1:x}/5", "{0:1}/5", "{6:1}/5", "{1:1,1:2}/5", "{1:1e300}/5", "{1:1}/0"]
    )
    def test_refuses_other_text(self, data: str) -> None:
        with pytest.raises(DataError, match="malformed"):
            SPARSEVEC.decoder(TEXT)(data.encode())
