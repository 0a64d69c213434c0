from __future__ import annotations

import dataclasses

import pytest

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Codec, TypeRegistry
from pgproto.types._codec import (
    ascii_text,
    container,
    join_fields,
    malformed,
    nested_decoder,
    shortened,
    take_fields,
    unwrapped,
    wrong_value,
)
from tests.core.types.support import builtin, member


def identity(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


class TestCodec:
    def test_is_immutable(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            builtin("int4").oid = 5  # type: ignore[misc]  # that is the point

    def test_fills_in_the_functions_of_its_own_format(self) -> None:
        text = Codec(oid=1, name="t", format=TEXT, encode=identity, decode=bytes)
        assert text.encoder(TEXT) is identity
        assert text.decoder(TEXT) is bytes
        assert text.encode_binary is text.decode_binary is None
        binary = Codec(oid=1, name="t", format=BINARY, encode=identity, decode=bytes)
        assert binary.encoder(BINARY) is identity
        assert binary.decoder(BINARY) is bytes

    def test_keeps_functions_that_were_given(self) -> None:
        codec = Codec(
            oid=1,
            name="t",
            format=TEXT,
            encode=identity,
            decode=bytes,
            encode_text=repr_bytes,
            decode_text=len,
        )
        assert codec.encode_text is repr_bytes
        assert codec.decode_text is len

    def test_says_which_format_it_has_not(self) -> None:
        text = Codec(oid=1, name="odd", format=TEXT, encode=identity, decode=bytes)
        with pytest.raises(DataError, match="type odd cannot be sent in binary format"):
            text.encoder(BINARY)
        with pytest.raises(DataError, match="type odd cannot be decoded from binary format"):
            text.decoder(BINARY)
        binary = Codec(oid=1, name="odd", format=BINARY, encode=identity, decode=bytes)
        for function in (binary.encoder(TEXT), binary.decoder(TEXT)):
            with pytest.raises(DataError, match="type odd was given a codec for the binary format only"):
                function(b"")


def repr_bytes(value: object) -> bytes:
    return repr(value).encode()


class _NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class _Pair(tuple[int, int]):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (10**1000, "<an integer of 3322 bits>"),
        ("x" * 100, "'" + "x" * 59 + "..."),
        (b"x" * 10**6, "b'" + "x" * 58 + "..."),
        (bytearray(b"ab"), "bytearray(b'ab')"),
        ([1, "a", [2, [3]]], "[1, 'a', [2, <list of 1>]]"),
        (list(range(100)), "<list of 100>"),
        ((1, 2), "(1, 2)"),
        (_Pair((1, 2)), "(1, 2)"),
        ({"a": {"b": {"c": 1}}}, "{'a': {'b': <dict of 1>}}"),
        ({1, 2}, "{1, 2}"),
        (_NoRepr(), "<_NoRepr without repr>"),
        (1.5, "1.5"),
    ],
)
def test_shortened(value: object, text: str) -> None:
    assert shortened(value) == text


def test_shortened_is_quick_about_what_contains_itself() -> None:
    value: list[object] = []
    value.extend([value] * 8)
    assert len(shortened(value)) < 70


def test_messages_name_the_type_the_value_and_what_would_be_right() -> None:
    assert (
        str(wrong_value("int4", "x", "it takes an int")) == "cannot encode 'x' (str) as int4: it takes an int"
    )
    assert str(malformed("int4", "3 bytes")) == "the server sent a malformed int4: 3 bytes"


def test_unwrapped() -> None:
    assert unwrapped(member("a")) == "a"
    assert unwrapped("a") == "a"


def test_ascii_text() -> None:
    assert ascii_text("x", b"ab") == "ab"
    with pytest.raises(DataError, match="malformed x: not ASCII"):
        ascii_text("x", b"\x80")


class TestFields:
    def test_take_what_join_made(self) -> None:
        data = join_fields("x", identity, [b"ab", None, b""])
        assert data == b"\x00\x00\x00\x02ab\xff\xff\xff\xff\x00\x00\x00\x00"
        assert take_fields("x", b"head" + data, 4, 3) == [b"ab", None, b""]

    @pytest.mark.parametrize(
        ("data", "count", "why"),
        [
            (b"", 1, "1 parts in 0 bytes"),
            (b"\x00" * 8, 3, "3 parts in 8 bytes"),
            (b"\x00\x00\x00\x05ab", 1, "a part of 5 bytes where 2 are left"),
            (b"\xff\xff\xff\xfe", 1, "a part of -2 bytes"),
            (b"\x00\x00\x00\x01a\x00\x00\x00", 2, "cut off after 1 of 2"),
            (b"\x00\x00\x00\x00x", 1, "1 bytes too many"),
            (b"\x7f\xff\xff\xff" * 2, 1, "a part of 2147483647 bytes"),
        ],
    )
    def test_refuse_what_does_not_fit(self, data: bytes, count: int, why: str) -> None:
        with pytest.raises(DataError, match=f"malformed x: {why}"):
            take_fields("x", data, 0, count)

    def test_say_which_element_is_wrong(self) -> None:
        with pytest.raises(DataError, match=r"it takes an int \(element 1 of x\)"):
            join_fields("x", builtin("int4").encode, [1, "a"])

    def test_refuse_a_part_that_no_length_can_tell(self) -> None:
        class Huge(bytes):
            def __len__(self) -> int:
                return 2**31

        with pytest.raises(DataError, match="too long"):
            join_fields("x", lambda value: Huge(), [1])


class TestContainer:
    def codec(self, *parts: Codec) -> Codec:
        return container(
            1,
            "x",
            parts,
            encode_text=identity,
            decode_text=identity,
            encode_binary=lambda: identity,
            decode_binary=lambda: lambda data, depth: (data, depth),
        )

    def test_is_binary_if_all_its_parts_are(self) -> None:
        codec = self.codec(builtin("int4"), builtin("text"))
        assert codec.format == BINARY
        assert codec.decode(b"ab") == (b"ab", 1)
        assert nested_decoder(codec)(b"ab", 7) == (b"ab", 7)

    def test_is_text_if_one_part_prefers_that_and_can_still_do_both(self) -> None:
        codec = self.codec(builtin("int4"), builtin("regclass"))
        assert codec.format == TEXT
        assert codec.encode_binary is identity

    def test_is_text_alone_if_one_part_has_no_binary_form(self) -> None:
        codec = self.codec(builtin("int4"), builtin("aclitem"))
        assert codec.format == TEXT
        assert codec.encode_binary is None
        assert codec.decode_binary is None
        assert codec.decode_nested is None


def test_nested_decoder_of_what_does_not_nest() -> None:
    assert nested_decoder(builtin("int4"))(b"\x00\x00\x00\x07", 5) == 7


def test_a_value_that_is_only_called_so_is_named_in_full() -> None:
    class Range: ...

    Range.__module__ = "elsewhere"
    Range.__qualname__ = "Range"
    assert "(elsewhere.Range) as int4range" in str(wrong_value("int4range", Range(), "it takes a Range"))
    assert "(Range) as int4:" in str(wrong_value("int4", Range(), "it takes an int"))
    assert "(int) as int4range" in str(wrong_value("int4range", 5, "it takes no int"))


@pytest.mark.parametrize("name", ["int4", "bool", "float8"])
def test_an_enum_that_does_not_fit_is_named(name: str) -> None:
    codec = TypeRegistry().find(name)
    assert codec is not None
    with pytest.raises(DataError, match=rf"'sad' \(str\) as {name}: .* \(value of <.*sad.*>\)$"):
        codec.encode(member("sad"))
