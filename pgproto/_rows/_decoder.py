"""The decoder of a result shape: a compiled function for the rows as expected, and a loop for all others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from pgproto._rows._alike import FEW, Run
from pgproto._rows._compiled import MAX_COMPILED_COLUMNS, Make, compile_runs
from pgproto._rows._loop import DATA_ROW, decode_row, row_end
from pgproto._rows._usual import LearnedReply
from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types._codec import Codec

__all__ = ["Decoder", "compile_decoder", "compile_reader"]

Decoder: TypeAlias = Callable[[list[object], bytes, int, int], int]
"""``decode(rows, data, start, end)`` appends a row for each whole DataRow message at the beginning of
``data[start:end]`` and returns where it stopped: before the first message of another type, or that is not
whole, or that is wrong. If the very first one is wrong, it raises and has appended nothing:
`RemoteProtocolError` if the row is malformed, `DataError` if a value in it cannot be decoded (then
`skip_rows` steps over it and the rest). So the outcome does not depend on how the bytes were cut."""

_LENGTH: Final = struct.Struct("!i")
_MAX_LENGTH: Final = 0x7FFF_FFFF
_FIRST_COMPILATION: Final = 12
"""After so many rows a shape is worth compiling: it takes as long as decoding some fifty in the loop."""
_NEXT_COMPILATION: Final = 16
_SHORT: Final = FEW * 11
"""In fewer bytes there are not many rows that have values."""
_LONG_RUN: Final = 32
"""Behind the length of so many rows that were as expected, one that is not does not matter."""


def compile_reader(
    codecs: Sequence[Codec], make: Make | None = None, longest: int = _MAX_LENGTH
) -> tuple[Decoder, LearnedReply]:
    """The decoder for rows as `compile_decoder` makes it, and what takes whole replies at one go."""
    usual = LearnedReply()
    return _compile_decoder(_Learner(tuple(codecs), make, longest, usual), longest), usual


def compile_decoder(codecs: Sequence[Codec], make: Make | None = None, longest: int = _MAX_LENGTH) -> Decoder:
    """The decoder for rows whose columns have these codecs.

    It learns from the rows that it sees, so keep it for as long as the statement.

    Args:
        codecs: one for each column; in the format that was asked for.
        make: makes the row from the tuple of its values; None leaves the tuple. It must not fail.
        longest: the greatest length that a message may have, in bytes.
    """
    return compile_reader(codecs, make, longest)[0]


def _compile_decoder(learner: _Learner, longest: int) -> Decoder:
    # A message that is too long does not fit into a chunk that is short enough.
    short, length_at = min(_SHORT, longest), _LENGTH.unpack_from

    def decode(rows: list[object], data: bytes, start: int, end: int) -> int:
        # Behind a single row comes something else, such as the answers to others' requests.
        if end - start <= short or (
            end > (following := start + 1 + length_at(data, start + 1)[0]) > start
            and data[following] != DATA_ROW
        ):
            position = learner.run(rows, data, start, end)
        else:
            position = learner.run_many(rows, data, start, end) if end - start <= longest else start
        if position < end and data[position] == DATA_ROW:
            return learner.go_on(rows, data, start, position, end)
        return position

    return decode


def _no_run(rows: list[object], data: bytes, start: int, end: int) -> int:
    """In place of a compiled function: expects nothing."""
    return start


class _Learner:
    """Decodes what the compiled function does not expect, and has a better one compiled if it is much."""

    __slots__ = (
        "_codecs",
        "_inline",
        "_longest",
        "_make",
        "_nullable",
        "_odd",
        "_seen",
        "_usual",
        "run",
        "run_many",
    )

    def __init__(
        self, codecs: tuple[Codec, ...], make: Make | None, longest: int, usual: LearnedReply
    ) -> None:
        self._usual = usual
        self._codecs = codecs
        self._make = make
        self._longest = longest
        self.run: Run = _no_run
        self.run_many: Run = _no_run
        # What the compiled function expects.
        self._nullable = [False] * len(codecs)
        self._inline = True
        # How many rows it did not expect, and in which columns they had NULLs.
        self._odd = _NEXT_COMPILATION - _FIRST_COMPILATION
        self._seen = list(self._nullable)

    def go_on(self, rows: list[object], data: bytes, start: int, position: int, end: int) -> int:
        """Decode what follows ``position``, where there is a row that was not expected."""
        expected = start
        while position < end and data[position] == DATA_ROW:
            try:
                following = row_end(data, position, end, self._longest)
                if following == position:
                    break
                values = decode_row(data, position, following, self._codecs)
            except (RemoteProtocolError, DataError):
                if position > start:
                    break
                raise
            rows.append(values if self._make is None else self._make(values))
            if position - expected < _LONG_RUN * (following - position):
                self._learn(values)
            expected = position = following
            if end - start <= self._longest:
                position = self.run_many(rows, data, position, end)
        return position

    def _learn(self, values: tuple[object, ...]) -> None:
        self._odd += 1
        news = False
        for i, value in enumerate(values):
            if value is None and not self._nullable[i]:
                self._seen[i] = news = True
        if not news and self.run is not _no_run:
            # Its lengths were as expected, so there was a value that the expression in its place cannot make.
            self._inline = False
        if self._odd >= _NEXT_COMPILATION and len(values) <= MAX_COMPILED_COLUMNS:
            self._odd = 0
            self._nullable = list(self._seen)
            runs = compile_runs(self._codecs, self._make, self._nullable, self._inline)
            self.run, self.run_many = runs.few, runs.many
            self._usual.codes, self._usual.many_of = runs.codes, runs.many_of
