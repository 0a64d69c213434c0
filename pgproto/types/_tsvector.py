"""tsvector: the lexemes of a document, with where they occur.

Chapter "Data Types", section "Text Search Types". The binary form (`tsvectorsend` in PostgreSQL's source) is
a count, and for each lexeme its text, a zero byte, and a count of positions of two bytes each, the two
highest bits of which are the weight.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import BINARY, Codec, malformed, shortened, unwrapped, wrong_value
from pgproto.types._text import decode_text, encode_text
from pgproto.types._value import Value, integer_within, slot_setter

__all__ = ["TSVECTOR_CODEC", "Lexeme", "Position", "TsVector"]

_COUNT: Final = struct.Struct("!i")
_MARK: Final = struct.Struct("!H")
_WEIGHTS: Final = "DCBA"
"""By their number."""
_MAX_POSITION: Final = 2**14 - 1
_SMALLEST: Final = 3
"""Bytes that a lexeme takes at least."""
_LEXEME_TEXT = pattern(r"'((?:[^'\\]++|''|\\\\)*+)'(?::([0-9]{1,5}[ABC]?(?:,[0-9]{1,5}[ABC]?)*+))?( ?)")


class Position(NamedTuple):
    """Where a lexeme occurs."""

    ordinal: int
    """Counted in words from 1, up to 16383."""
    weight: str = "D"
    """"A", "B", "C" or "D"."""


class Lexeme(NamedTuple):
    """A normalized word of a document."""

    word: str
    positions: tuple[Position, ...] = ()


class TsVector(Value):
    """The lexemes of a document; immutable. `str()` gives PostgreSQL's text form, `'cat':3A 'fat':2,11`.

    Raises:
        DataError: a word is no text, or a position or weight is not one that PostgreSQL has.
    """

    __slots__ = ("lexemes",)

    lexemes: tuple[Lexeme, ...]

    def __init__(self, lexemes: Iterable[tuple[str, Iterable[tuple[int, str]]]] = ()) -> None:
        checked = [Lexeme(word, tuple([Position(*mark) for mark in marks])) for word, marks in lexemes]
        for lexeme in checked:
            encode_text(lexeme.word)
            if not all(integer_within(index, 1, _MAX_POSITION) for index, _ in lexeme.positions):
                raise DataError(f"positions are 1 to {_MAX_POSITION}, not {shortened(lexeme.positions)}")
            if not all(weight in ("A", "B", "C", "D") for _, weight in lexeme.positions):
                raise DataError(f"weights of a lexeme are A, B, C or D: {shortened(lexeme.positions)}")
        object.__setattr__(self, "lexemes", tuple(checked))

    @classmethod
    def parse(cls, text: str) -> TsVector:
        """The tsvector that `str()`, or PostgreSQL, wrote.

        Raises:
            DataError: the text is not in that form; lexemes must be in single quotes.
        """
        lexemes: list[Lexeme] = []
        end = 0
        while end < len(text):
            match = _LEXEME_TEXT.match(text, end)
            if match is None or (match[3] == "") != (match.end() == len(text)):
                raise malformed("tsvector", f"no lexeme at character {end}: {shortened(text)}")
            word = match[1].replace("''", "'").replace("\\\\", "\\")
            positions = [
                Position(int(part.rstrip("ABC")), part[-1] if part[-1] in "ABC" else "D")
                for part in (match[2] or "").split(",")
                if part
            ]
            lexemes.append(Lexeme(word, tuple(positions)))
            end = match.end()
        return cls(lexemes)

    def __str__(self) -> str:
        return " ".join([_lexeme_text(lexeme) for lexeme in self.lexemes])


_new = object.__new__
_set_lexemes = slot_setter(TsVector, "lexemes")


def quoted(word: str) -> str:
    """A lexeme in single quotes, with quotes and backslashes doubled."""
    return "'" + word.replace("'", "''").replace("\\", "\\\\") + "'"


def _lexeme_text(lexeme: Lexeme) -> str:
    positions = [f"{index}{'' if weight == 'D' else weight}" for index, weight in lexeme.positions]
    return quoted(lexeme.word) + (f":{','.join(positions)}" if positions else "")


def _tsvector(value: object) -> TsVector:
    plain = unwrapped(value)
    if not isinstance(plain, TsVector):
        raise wrong_value("tsvector", value, "it takes a TsVector; or cast a str: to_tsvector($1::text)")
    return plain


def _encode(value: object) -> bytes:
    lexemes = _tsvector(value).lexemes
    parts = [_COUNT.pack(len(lexemes))]
    for lexeme in lexemes:
        if len(lexeme.positions) > 0xFFFF:
            raise wrong_value("tsvector", value, "a lexeme has too many positions")
        marks = [_WEIGHTS.index(weight) << 14 | index for index, weight in lexeme.positions]
        parts.append(encode_text(lexeme.word) + b"\x00" + struct.pack(f"!H{len(marks)}H", len(marks), *marks))
    return b"".join(parts)


def _decode(data: bytes) -> object:
    end = len(data)
    if end < _COUNT.size:
        raise malformed("tsvector", f"{end} bytes, at least {_COUNT.size} expected")
    (count,) = _COUNT.unpack_from(data)
    if not 0 <= count <= (end - _COUNT.size) // _SMALLEST:
        raise malformed("tsvector", f"{count} lexemes in {end - _COUNT.size} bytes")
    lexemes: list[Lexeme] = []
    start = _COUNT.size
    for _ in range(count):
        zero = data.find(b"\x00", start)
        if zero < 0 or zero + 1 + _MARK.size > end:
            raise malformed("tsvector", f"cut off after {len(lexemes)} of {count} lexemes")
        word = decode_text(data[start:zero])
        (count_of_positions,) = _MARK.unpack_from(data, zero + 1)
        start = zero + 1 + _MARK.size
        if count_of_positions > (end - start) // _MARK.size:
            raise malformed("tsvector", f"{count_of_positions} positions in {end - start} bytes")
        stop = start + count_of_positions * _MARK.size
        lexemes.append(Lexeme(str(word), _positions(data[start:stop])))
        start = stop
    if start != end:
        raise malformed("tsvector", f"{end - start} bytes too many")
    value = _new(TsVector)
    _set_lexemes(value, tuple(lexemes))
    return value


def _positions(data: bytes) -> tuple[Position, ...]:
    positions = tuple(
        Position(mark & _MAX_POSITION, _WEIGHTS[mark >> 14]) for (mark,) in _MARK.iter_unpack(data)
    )
    if any(position.ordinal == 0 for position in positions):
        raise malformed("tsvector", f"positions are 1 to {_MAX_POSITION}, not 0")
    return positions


def _decode_text(data: bytes) -> object:
    return TsVector.parse(str(decode_text(data)))


TSVECTOR_CODEC: Final = Codec(
    oid=3614,
    name="tsvector",
    format=BINARY,
    encode=_encode,
    decode=_decode,
    encode_text=lambda value: encode_text(str(_tsvector(value))),
    decode_text=_decode_text,
)
