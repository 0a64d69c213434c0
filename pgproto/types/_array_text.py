"""The text form of arrays: `{1,NULL,"a b"}`, with `[0:2]=` before it where lower bounds are not 1.

Chapter "Data Types", section "Arrays", "Array Input and Output Syntax". Only what PostgreSQL itself writes is
read: no white space around elements, and as many braces as there are dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import malformed, shortened

__all__ = ["array_text", "parse_array", "quoted", "unescaped"]

_MAX_DIMENSIONS: Final = 6
_INT32_MAX: Final = 2**31 - 1
_BARE = pattern(rb"[A-Za-z0-9_.+:-]+")
_BOUNDS = pattern(rb"((?:\[-?[0-9]{1,10}:-?[0-9]{1,10}\]){1,6})=")
_BOUND = pattern(rb"\[(-?[0-9]+):(-?[0-9]+)\]")
_QUOTED = pattern(rb'"((?:[^"\\]++|\\["\\])*+)"')
_SPECIAL = pattern(rb'(["\\])')


def quoted(text: bytes) -> bytes:
    """An element in double quotes, with backslashes before quotes and backslashes."""
    return b'"' + _SPECIAL.sub(rb"\\\1", text) + b'"'


def unescaped(text: bytes) -> bytes:
    """What is between double quotes, without the backslashes before quotes and backslashes."""
    # Every quote in it has a backslash of its own; without these, all backslashes are in pairs.
    return text.replace(b'\\"', b'"').replace(b"\\\\", b"\\") if b"\\" in text else text


def _element(text: bytes | None) -> bytes:
    if text is None:
        return b"NULL"
    if _BARE.fullmatch(text) and text.upper() != b"NULL":
        return text
    return quoted(text)


def array_text(
    texts: Sequence[bytes | None], lengths: Sequence[int], lower_bounds: Sequence[int], delimiter: bytes
) -> bytes:
    """The text form of an array of these elements, None for NULL."""
    if not texts:
        return b"{}"
    rows = [_element(text) for text in texts]
    for length in reversed(lengths):
        rows = [
            b"{" + delimiter.join(rows[start : start + length]) + b"}"
            for start in range(0, len(rows), length)
        ]
    if all(bound == 1 for bound in lower_bounds):
        return rows[0]
    bounds = b"".join(
        b"[%d:%d]" % (bound, bound + length - 1) for bound, length in zip(lower_bounds, lengths, strict=True)
    )
    return bounds + b"=" + rows[0]


class _Parser:
    """Walks through the text once, and learns the length of each dimension from its first row."""

    def __init__(self, name: str, data: bytes, delimiter: bytes) -> None:
        self.name = name
        self.data = data
        self.delimiter = delimiter
        self.bare = re.compile(rb'[^"\\{}' + re.escape(delimiter) + rb"]+")
        self.texts: list[bytes | None] = []
        self.position = 0

    def malformed(self) -> DataError:
        return malformed(self.name, f"no array at byte {self.position}: {shortened(self.data)}")

    def parse(self) -> tuple[list[bytes | None], tuple[int, ...], tuple[int, ...]]:
        bounds = self.bounds()
        lengths = self.body()
        if self.position != len(self.data):
            raise self.malformed()
        if not bounds:
            return self.texts, lengths, (1,) * len(lengths)
        if tuple(upper - lower + 1 for lower, upper in bounds) != lengths:
            raise malformed(self.name, f"its bounds are not those of its elements: {shortened(self.data)}")
        return self.texts, lengths, tuple(lower for lower, _ in bounds)

    def bounds(self) -> list[tuple[int, int]]:
        match = _BOUNDS.match(self.data)
        if match is None:
            return []
        self.position = match.end()
        pairs = [(int(lower), int(upper)) for lower, upper in _BOUND.findall(match[1])]
        if any(not -_INT32_MAX - 1 <= lower <= upper <= _INT32_MAX for lower, upper in pairs):
            raise malformed(self.name, f"subscripts out of range: {shortened(self.data)}")
        return pairs

    def body(self) -> tuple[int, ...]:
        data = self.data
        if data[self.position :] == b"{}":
            self.position += 2
            return ()
        dimensions = 0
        while data[self.position : self.position + 1] == b"{":
            dimensions += 1
            self.position += 1
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise self.malformed()
        lengths = [0] * dimensions
        counts = [0] * dimensions
        while True:
            self.texts.append(self.element())
            counts[-1] += 1
            depth = dimensions
            # Close as many rows as end here.
            while data[self.position : self.position + 1] == b"}":
                self.position += 1
                depth -= 1
                if lengths[depth] == 0:
                    lengths[depth] = counts[depth]
                elif lengths[depth] != counts[depth]:
                    raise self.malformed()
                counts[depth] = 0
                if depth == 0:
                    return tuple(lengths)
                counts[depth - 1] += 1
            opening = self.delimiter + b"{" * (dimensions - depth)
            if data[self.position : self.position + len(opening)] != opening:
                raise self.malformed()
            self.position += len(opening)

    def element(self) -> bytes | None:
        match = _QUOTED.match(self.data, self.position)
        if match is not None:
            self.position = match.end()
            return unescaped(match[1])
        match = self.bare.match(self.data, self.position)
        if match is None:
            raise self.malformed()
        self.position = match.end()
        return None if match[0] == b"NULL" else match[0]


def parse_array(
    name: str, data: bytes, delimiter: bytes
) -> tuple[list[bytes | None], tuple[int, ...], tuple[int, ...]]:
    """The texts of the elements (None for NULL), the lengths and the lower bounds."""
    return _Parser(name, data, delimiter).parse()
