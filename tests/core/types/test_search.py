"""tsvector and tsquery."""

from __future__ import annotations

import struct
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Lexeme, Position, TsVector
from pgproto.types._tsvector import quoted
from tests.core.types.support import builtin

TSVECTOR, TSQUERY = builtin("tsvector"), builtin("tsquery")
_WORDS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=8)
_POSITIONS = st.lists(st.builds(Position, st.integers(1, 16383), st.sampled_from("ABCD")), max_size=4)
_VECTORS = st.lists(st.tuples(_WORDS, _POSITIONS)).map(TsVector)


class TestTsVector:
    @given(_VECTORS)
    def test_both_ways_in_both_formats(self, value: TsVector) -> None:
        for format in (BINARY, TEXT):
            assert TSVECTOR.decoder(format)(TSVECTOR.encoder(format)(value)) == value
        assert TsVector.parse(str(value)) == value

    def test_parts(self) -> None:
        value = TsVector([("cat", [Position(3, "A"), Position(5)])])
        assert value.lexemes == (Lexeme("cat", (Position(3, "A"), Position(5, "D"))),)
        assert str(value) == "'cat':3A,5"

    WRONG: ClassVar[list[tuple[object, str]]] = [
        ([("cat", [(0, "A")])], "positions are 1 to 16383"),
        ([("cat", [(16384, "A")])], "positions are 1 to 16383"),
        ([("cat", [("1", "A")])], "positions are 1 to 16383"),
        ([("cat", [(1, "E")])], "weights of a lexeme are A, B, C or D"),
        ([("cat", [(1, "AB")])], "weights of a lexeme are A, B, C or D"),
        ([(5, [])], "it takes a str"),
        ([("a\x00", [])], "NUL"),
    ]

    @pytest.mark.parametrize(("lexemes", "why"), WRONG)
    def test_refuses_what_postgresql_has_not(self, lexemes: Any, why: str) -> None:
        with pytest.raises(DataError, match=why):
            TsVector(lexemes)

    @pytest.mark.parametrize("value", ["cat", ["cat"], None, {"cat": [1]}])
    def test_refuses_other_values(self, value: object) -> None:
        with pytest.raises(DataError, match="as tsvector: it takes a TsVector"):
            TSVECTOR.encode(value)

    def test_refuses_more_positions_than_can_be_counted(self) -> None:
        with pytest.raises(DataError, match="too many positions"):
            TSVECTOR.encode(TsVector([("cat", [Position(1)] * 65536)]))

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "0 bytes, at least 4"),
            (struct.pack("!i", -1), "-1 lexemes"),
            (struct.pack("!i", 2**31 - 1) + b"a\x00\x00\x00", "2147483647 lexemes in 4 bytes"),
            (struct.pack("!i", 1) + b"cat", "cut off after 0 of 1"),
            (struct.pack("!i", 1) + b"ca\x00\x00", "cut off after 0 of 1"),
            (struct.pack("!i", 1) + b"c\x00\x00\x01", "1 positions in 0 bytes"),
            (struct.pack("!i", 1) + b"c\x00\x00\x00x", "1 bytes too many"),
            (struct.pack("!i", 1) + b"\xff\x00\x00\x00", "not UTF-8"),
            (struct.pack("!i", 1) + b"c\x00\x00\x01\x00\x00", "positions are 1 to 16383, not 0"),
        ],
    )
    def test_refuses_what_is_none(self, data: bytes, why: str) -> None:
        with pytest.raises(DataError, match=why):
            TSVECTOR.decode(data)

    @pytest.mark.parametrize(
        "data",
        [
            "cat",
            "'cat",
            "'cat' ",
            "'cat'  'dog'",
            "'cat':",
            "'cat':1,",
            "'cat':1E",
            "'c\\a'",
            "'a''",
            "'cat':99999",
            " ",
        ],
    )
    def test_refuses_other_text(self, data: str) -> None:
        with pytest.raises(DataError):
            TSVECTOR.decoder(TEXT)(data.encode())


def _word(text: str, marks: str) -> str:
    return quoted(text) + (f":{marks}" if marks else "")


def _negated(text: str) -> str:
    return f"!{text}" if text.startswith(("'", "!")) else f"!( {text} )"


def _joined(left: str, right: str, sign: str) -> str:
    return f"( {left} ){sign}( {right} )"


def query_texts() -> st.SearchStrategy[str]:
    return st.recursive(
        st.builds(_word, _WORDS, st.sampled_from(["", "*", "A", "AB", "*D", "ABCD"])),
        lambda part: (
            part.map(_negated)
            | st.builds(_joined, part, part, st.sampled_from([" & ", " | ", " <-> ", " <5> "]))
        ),
    )


class TestTsQuery:
    @given(query_texts())
    def test_binary_form_is_the_same_query(self, text: str) -> None:
        encode, decode = TSQUERY.encoder(BINARY), TSQUERY.decoder(BINARY)
        plain = decode(encode(text))
        assert decode(encode(plain)) == plain

    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("fat & (rat | !cat)", "'fat' & ( 'rat' | !'cat' )"),
            ("a|b&c", "'a' | 'b' & 'c'"),
            ("(a|b)&c", "( 'a' | 'b' ) & 'c'"),
            ("a <-> b <2> c", "'a' <-> 'b' <2> 'c'"),
            ("a <-> (b <-> c)", "'a' <-> ( 'b' <-> 'c' )"),
            ("!(a & b)", "!( 'a' & 'b' )"),
            ("!!a", "!!'a'"),
            ("a:*b", "'a':*B"),
            ("'it''s \\\\'", "'it''s \\\\'"),
            ("a\\&b", "'a&b'"),
            ("a & b & c", "'a' & 'b' & 'c'"),
        ],
    )
    def test_precedence_and_parentheses(self, text: str, canonical: str) -> None:
        assert TSQUERY.decoder(BINARY)(TSQUERY.encoder(BINARY)(text)) == canonical

    def test_text_goes_as_it_is(self) -> None:
        assert TSQUERY.format == TEXT
        assert TSQUERY.encode("fat & rat") == b"fat & rat"
        assert TSQUERY.decode(b"'fat' & 'rat'") == "'fat' & 'rat'"

    def test_very_long_queries(self) -> None:
        text = " & ".join(["'word'"] * 20_000)
        assert TSQUERY.decoder(BINARY)(TSQUERY.encoder(BINARY)(text)) == text
        text = "!" * 20_000 + "'word'"
        assert TSQUERY.decoder(BINARY)(TSQUERY.encoder(BINARY)(text)) == text

    def test_an_empty_query(self) -> None:
        assert TSQUERY.decoder(BINARY)(struct.pack("!i", 0)) == ""
        with pytest.raises(DataError, match="no empty one in binary format"):
            TSQUERY.encoder(BINARY)(" ")

    @pytest.mark.parametrize(
        "text",
        [
            "a b",
            "&",
            "a &",
            "& a",
            "(a",
            "a)",
            "()",
            "a !b",
            "a (b)",
            "a:x",
            "'a",
            "''",
            "a <99999> b",
            "a <-1> b",
            "a <",
            "a:",
        ],
    )
    def test_refuses_what_is_no_query(self, text: str) -> None:
        with pytest.raises(DataError, match="as tsquery: no query at character"):
            TSQUERY.encoder(BINARY)(text)

    def test_refuses_other_values(self) -> None:
        for format in (BINARY, TEXT):
            with pytest.raises(DataError, match="as tsquery: it takes a str"):
                TSQUERY.encoder(format)(5)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "0 bytes, at least 4"),
            (struct.pack("!i", -1), "-1 items"),
            (struct.pack("!i", 2**31 - 1) + b"\x01\x00\x00a\x00", "2147483647 items in 5 bytes"),
            (struct.pack("!i", 1) + b"\x01\x00\x00a", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x01\x10\x00a\x00", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x01\x00\x02a\x00", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x03\x00", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x02\x05", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x02\x04\x00", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x02\x04\xff\xff", "no item at byte 4"),
            (struct.pack("!i", 1) + b"\x01\x00\x00\xff\x00", "not UTF-8"),
            (struct.pack("!i", 1) + b"\x01\x00\x00a\x00x", "1 bytes too many"),
            (struct.pack("!i", 1) + b"\x02\x01", "an operator lacks an operand"),
            (struct.pack("!i", 2) + b"\x02\x02\x01\x00\x00a\x00", "an operator lacks an operand"),
            (struct.pack("!i", 2) + b"\x01\x00\x00a\x00" * 2, "words without an operator"),
        ],
    )
    def test_refuses_what_is_none(self, data: bytes, why: str) -> None:
        with pytest.raises(DataError, match=why):
            TSQUERY.decoder(BINARY)(data)
