from __future__ import annotations

import array
import enum
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT
from tests.core.types.support import builtin, member

_TEXT_TYPES = ["text", "varchar", "bpchar", "name", "refcursor", "cstring", "unknown", "xml"]


class _Color(enum.Enum):
    RED = "red"
    RAW = b"raw"
    NUMBER = 1


class _StrColor(enum.StrEnum):
    RED = "red"


class _Markup(str):
    def encode(self, *args: object, **kwargs: object) -> bytes:
        return b"something else"


@pytest.mark.parametrize("name", _TEXT_TYPES)
class TestText:
    def test_is_utf_8_in_both_formats(self, name: str) -> None:
        codec = builtin(name)
        for format in (BINARY, TEXT):
            assert codec.encoder(format)("é\U0001f40d") == "é\U0001f40d".encode()
            assert codec.decoder(format)("é\U0001f40d".encode()) == "é\U0001f40d"

    @pytest.mark.parametrize("value", [_Color.RED, _StrColor.RED, _Markup("red")])
    def test_takes_what_is_a_string(self, name: str, value: object) -> None:
        assert builtin(name).encode(value) == b"red"

    @pytest.mark.parametrize("value", [1, None, b"red", ["r"], _Color.NUMBER, _Color.RAW])
    def test_makes_no_strings_of_other_values(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}: it takes a str"):
            builtin(name).encode(value)

    def test_refuses_nul(self, name: str) -> None:
        with pytest.raises(DataError, match="cannot hold the character NUL"):
            builtin(name).encode("a\x00b")

    def test_refuses_lone_surrogates(self, name: str) -> None:
        with pytest.raises(DataError, match="no character of Unicode at index 1"):
            builtin(name).encode("a\ud800b")

    def test_refuses_other_encodings(self, name: str) -> None:
        with pytest.raises(DataError, match=f"malformed {name}: not UTF-8 at byte 1"):
            builtin(name).decode(b"a\xff")


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_all_text_there_is(value: str) -> None:
    assert builtin("text").decode(builtin("text").encode(value)) == value


class TestChar:
    @given(st.integers(0, 255))
    def test_every_byte(self, byte: int) -> None:
        codec = builtin('"char"')
        value = codec.decode(bytes([byte]))
        assert codec.encode(value) == bytes([byte])
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value

    @pytest.mark.parametrize("value", ["ab", "é", "\x00", "\\400", "\\37", 1, None, b"a"])
    def test_refuses_more_than_a_byte(self, value: object) -> None:
        with pytest.raises(DataError, match='as "char": it takes'):
            builtin('"char"').encode(value)

    def test_takes_an_enum_member(self) -> None:
        assert builtin('"char"').encode(member("r")) == b"r"

    @pytest.mark.parametrize("data", [b"", b"ab"])
    def test_refuses_other_widths(self, data: bytes) -> None:
        with pytest.raises(DataError, match=f"{len(data)} bytes instead of 1"):
            builtin('"char"').decode(data)

    def test_text_of_older_servers_is_the_byte_itself(self) -> None:
        assert builtin('"char"').decoder(TEXT)(b"\xff") == "\\377"

    @pytest.mark.parametrize("data", [b"ab", b"\\999", b"\xff\xff"])
    def test_refuses_other_text(self, data: bytes) -> None:
        with pytest.raises(DataError, match="malformed"):
            builtin('"char"').decoder(TEXT)(data)


class TestBytea:
    @pytest.mark.parametrize(
        "value",
        [
            b"ab\x00",
            bytearray(b"ab\x00"),
            memoryview(b"ab\x00"),
            memoryview(b"a-b-\x00-")[::2],
            array.array("B", b"ab\x00"),
            member(b"ab\x00"),
        ],
    )
    def test_takes_whatever_is_bytes(self, value: object) -> None:
        assert builtin("bytea").encode(value) == b"ab\x00"
        assert builtin("bytea").encoder(TEXT)(value) == b"\\x616200"

    @pytest.mark.parametrize("value", ["ab", 3, None, [1, 2], _Color.NUMBER])
    def test_refuses_what_is_not(self, value: object) -> None:
        with pytest.raises(DataError, match="as bytea: it takes bytes"):
            builtin("bytea").encode(value)

    @given(st.binary())
    def test_text_form(self, value: bytes) -> None:
        codec = builtin("bytea")
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value
        escaped = "".join(
            "\\\\" if byte == 0x5C else chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
            for byte in value
        )
        assert codec.decoder(TEXT)(escaped.encode()) == value

    @pytest.mark.parametrize("data", [b"\\x0", b"\\x 00", b"\\xgg", b"\\x\xff", b"\\", b"a\\b", b"\\400"])
    def test_refuses_other_text(self, data: bytes) -> None:
        with pytest.raises(DataError, match="malformed bytea"):
            builtin("bytea").decoder(TEXT)(data)


class TestXml:
    def test_binary_format_takes_no_other_declared_encoding(self) -> None:
        encode = builtin("xml").encoder(BINARY)
        text = '<?xml version="1.0" encoding="latin1"?><a/>'
        with pytest.raises(DataError, match="declares the encoding latin1"):
            encode(text)
        assert builtin("xml").encode(text) == text.encode()
        for declaration in (
            "<a/>",
            '<?xml version="1.0"?><a/>',
            "<?xml version='1.0' encoding='UTF-8'?><a/>",
        ):
            assert encode(declaration) == declaration.encode()
            assert re.match("<", declaration)


class TestVoid:
    def test_is_none(self) -> None:
        for format in (BINARY, TEXT):
            assert builtin("void").decoder(format)(b"") is None
            with pytest.raises(DataError, match="malformed void: 1 bytes"):
                builtin("void").decoder(format)(b"x")
            with pytest.raises(DataError, match="there are no values of this type"):
                builtin("void").encoder(format)("x")
