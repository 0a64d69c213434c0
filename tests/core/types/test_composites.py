from __future__ import annotations

import copy
import dataclasses
import pickle
import struct
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Array, Composite
from pgproto.types._codec import MAX_DEPTH
from pgproto.types._composites import composite_codec, record_codec
from pgproto.types._row_text import parse_row, row_text
from tests.core.types.support import builtin, member

NAMES = ("id", "name", "tags")
CODEC = composite_codec(70000, "public.item", NAMES, (builtin("int4"), builtin("text"), builtin("_text")))
_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_VALUES = st.tuples(
    st.none() | st.integers(-(2**31), 2**31 - 1), st.none() | _TEXTS, st.none() | st.lists(st.none() | _TEXTS)
)


@given(_VALUES)
def test_both_ways_in_both_formats(value: tuple[object, ...]) -> None:
    for format in (BINARY, TEXT):
        decoded = CODEC.decoder(format)(CODEC.encoder(format)(value))
        assert isinstance(decoded, Composite)
        assert tuple(decoded) == value
        assert decoded.attribute_names == NAMES
    assert str(Composite(NAMES, value)) == CODEC.encoder(TEXT)(value).decode()


@pytest.mark.parametrize(
    "value",
    [
        (1, "a", None),
        [1, "a", None],
        {"name": "a", "tags": None, "id": 1},
        MappingProxyType({"name": "a", "tags": None, "id": 1}),
        Composite(NAMES, (1, "a", None)),
        member((1, "a", None)),
    ],
)
def test_takes(value: object) -> None:
    assert CODEC.decode(CODEC.encode(value)) == (1, "a", None)
    assert CODEC.encoder(TEXT)(value) == b"(1,a,)"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ((1, "a"), "2 values for 3 attributes: id, name, tags"),
        ({"id": 1, "name": "a"}, "its keys must be the attributes: id, name, tags"),
        ({"id": 1, "name": "a", "tags": None, "x": 1}, "its keys must be the attributes"),
        (Composite(("a", "b", "c"), (1, "a", None)), "its attributes must be id, name, tags"),
        ("(1,a,)", "it takes a tuple"),
        (5, "it takes a tuple"),
        ({1, 2, 3}, "it takes a tuple"),
        (("x", "a", None), r"it takes an int \(attribute id of public.item\)"),
    ],
)
def test_refuses(value: object, why: str) -> None:
    for format in (BINARY, TEXT):
        with pytest.raises(DataError, match=why):
            CODEC.encoder(format)(value)


def test_an_attribute_that_no_length_can_tell() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 2**31

    def encode(value: object) -> bytes:
        return Huge()

    part = dataclasses.replace(builtin("bytea"), encode=encode, encode_binary=encode)
    codec = composite_codec(1, "x", ("a",), (part,))
    with pytest.raises(DataError, match="too long"):
        codec.encode((b"",))


def attributes(*parts: tuple[int, bytes | None]) -> bytes:
    data = struct.pack("!i", len(parts))
    for oid, part in parts:
        data += struct.pack("!Ii", oid, -1 if part is None else len(part)) + (part or b"")
    return data


ONE = b"\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, at least 4"),
        (struct.pack("!i", -1), "-1 attributes"),
        (struct.pack("!i", 2**31 - 1) + b"\x00" * 100, "2147483647 attributes in 100 bytes"),
        (attributes((23, ONE)), "other types than those that were looked up"),
        (attributes((20, ONE), (25, None), (1009, None)), "other types than those that were looked up"),
        (attributes((23, ONE), (25, None), (1009, None)) + b"x", "1 bytes too many"),
        (attributes((23, ONE), (25, None), (1009, None))[:-1], "cut off after 2 of 3"),
        (attributes((23, b"x" * 20), (25, b""))[:30], "cut off|an attribute of 20 bytes"),
        (struct.pack("!iIi", 1, 23, 5) + b"abc", "an attribute of 5 bytes where 3 are left"),
        (struct.pack("!iIi", 1, 23, -2), "an attribute of -2 bytes"),
        (attributes((23, b"x"), (25, None), (1009, None)), "malformed int4: 1 bytes"),
    ],
)
def test_refuses_what_is_no_row(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        CODEC.decode(data)


@pytest.mark.parametrize(
    "data", ["", "(", "1,2,3", "(1,2,{}", "(1,2,3)x", "(1,2)", "(1,2,{},4)", '(1,"a,)', '(1,"a"b,)']
)
def test_refuses_other_text(data: str) -> None:
    with pytest.raises(DataError, match=r"malformed public\.item"):
        CODEC.decoder(TEXT)(data.encode())


def test_square_brackets_need_no_quotes() -> None:
    assert CODEC.decoder(TEXT)(b"(1,[x],[0:0]={y})") == (1, "[x]", Array(("y",), (1,), (0,)))


def test_no_attributes_at_all() -> None:
    codec = composite_codec(1, "nothing", (), ())
    assert codec.encode(()) == b"\x00" * 4
    assert codec.decode(b"\x00" * 4) == ()
    assert codec.encoder(TEXT)(()) == b"()"
    assert codec.decoder(TEXT)(b"()") == ()


def test_one_attribute_that_is_null() -> None:
    codec = composite_codec(1, "one", ("a",), (builtin("int4"),))
    assert codec.encoder(TEXT)((None,)) == b"()"
    assert codec.decoder(TEXT)(b"()") == (None,)


def test_a_part_without_binary_form_makes_it_text() -> None:
    codec = composite_codec(1, "grants", ("who", "what"), (builtin("text"), builtin("aclitem")))
    assert codec.format == TEXT
    assert codec.decode(codec.encode(("a b", None))) == ("a b", None)


@given(st.lists(st.none() | st.binary()))
def test_quoting(fields: list[bytes | None]) -> None:
    assert parse_row("x", row_text(fields)) == (fields or [None])


class TestComposite:
    VALUE = Composite(("id", "name", "count", "_x", "weird name", "__class__"), (1, "a", 2, 3, 4, 5))

    def test_by_position_and_name(self) -> None:
        value = self.VALUE
        assert (value[0], value[-1], value[:2]) == (1, 5, (1, "a"))
        assert (value["id"], value["weird name"], value["__class__"]) == (1, 4, 5)
        assert (value.id, value.name, value._x) == (1, "a", 3)
        assert list(value) == [1, "a", 2, 3, 4, 5]
        assert len(value) == 6
        assert value.asdict()["__class__"] == 5

    def test_names_never_hide_what_python_has(self) -> None:
        assert self.VALUE.__class__ is Composite
        assert callable(self.VALUE.count)
        assert self.VALUE["count"] == 2

    def test_what_is_not_there(self) -> None:
        with pytest.raises(KeyError):
            self.VALUE["nope"]
        with pytest.raises(IndexError):
            self.VALUE[6]
        with pytest.raises(AttributeError, match="nope"):
            _ = self.VALUE.nope
        assert not hasattr(self.VALUE, "__array__")

    def test_is_immutable(self) -> None:
        with pytest.raises(AttributeError, match="immutable"):
            self.VALUE.id = 5
        with pytest.raises(AttributeError, match="immutable"):
            del self.VALUE._values

    def test_equality(self) -> None:
        assert Composite(("a",), (1,)) == Composite(("a",), (1,)) == (1,)
        assert Composite(("a",), (1,)) != Composite(("b",), (1,))
        assert Composite(("a",), (1,)) != [1]
        assert hash(Composite(("a",), (1,))) == hash((1,))

    def test_copies_and_pickles(self) -> None:
        for twin in (
            pickle.loads(pickle.dumps(self.VALUE)),
            copy.copy(self.VALUE),
            copy.deepcopy(self.VALUE),
        ):
            assert twin == self.VALUE
            assert twin.attribute_names == self.VALUE.attribute_names

    def test_text(self) -> None:
        value = Composite(("a", "b", "c", "d"), (1, None, 'x "y"', [1, None]))
        assert str(value) == '(1,,"x ""y""","{1,NULL}")'
        assert repr(value) == "Composite(a=1, b=None, c='x \"y\"', d=[1, None])"

    def test_one_name_for_each_value(self) -> None:
        with pytest.raises(DataError, match="1 names for 2 values"):
            Composite(("a",), (1, 2))


class TestRecord:
    RECORD = builtin("record")

    def test_decodes_to_a_tuple(self) -> None:
        assert self.RECORD.decode(attributes((23, ONE), (25, b"a"), (20, None))) == (1, "a", None)

    def test_records_within_records(self) -> None:
        data = attributes((23, ONE))
        for _ in range(MAX_DEPTH - 1):
            data = attributes((2249, data))
        value: Any = self.RECORD.decode(data)
        for _ in range(MAX_DEPTH):
            (value,) = value
        assert value == 1

    @pytest.mark.parametrize("levels", [MAX_DEPTH, 5000])
    def test_too_deep(self, levels: int) -> None:
        data = attributes((23, ONE))
        for _ in range(levels):
            data = attributes((2249, data))
        with pytest.raises(DataError, match="nested more than 64 deep"):
            self.RECORD.decode(data)

    def test_arrays_of_records(self) -> None:
        row = attributes((23, ONE))
        data = struct.pack("!iiIiii", 1, 0, 2249, 1, 1, len(row)) + row
        assert builtin("_record").decode(data) == [(1,)]
        for _ in range(40):
            row = attributes((2287, data))
            data = struct.pack("!iiIiii", 1, 0, 2249, 1, 1, len(row)) + row
        with pytest.raises(DataError, match="nested more than 64 deep"):
            builtin("_record").decode(data)

    def test_types_that_were_not_looked_up(self) -> None:
        with pytest.raises(DataError, match="type that was not looked up, OID 99999"):
            self.RECORD.decode(attributes((99999, b"x")))
        with pytest.raises(DataError, match="OID 1033"):
            self.RECORD.decode(attributes((1033, b"x")))
        assert self.RECORD.decode(attributes((99999, None))) == (None,)

    def test_text_tells_no_types(self) -> None:
        assert self.RECORD.decoder(TEXT)(b'(1,"a b",,"")') == ("1", "a b", None, "")
        with pytest.raises(DataError, match="not UTF-8"):
            self.RECORD.decoder(TEXT)(b"(\xff)")
        with pytest.raises(DataError, match="malformed record"):
            self.RECORD.decoder(TEXT)(b"1")

    def test_cannot_be_sent(self) -> None:
        for format in (BINARY, TEXT):
            with pytest.raises(DataError, match="PostgreSQL takes no anonymous records"):
                self.RECORD.encoder(format)((1,))

    def test_finds_codecs_where_it_is_told(self) -> None:
        codec = record_codec(2249, {7: builtin("text")}.get)
        assert codec.decode(attributes((7, b"a"))) == ("a",)
