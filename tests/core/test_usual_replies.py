"""Replies that are as one before was: when that is learned, and what is read at one go then."""

from __future__ import annotations

import struct
from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from pgproto import messages
from pgproto._record import record_type
from pgproto._rows import DictMaker, Make, compile_reader
from pgproto._short_way import UsualReply
from pgproto.messages._ending import Ending
from pgproto.types import Codec, DateInfinity, TypeRegistry
from tests.support.reference_rows import row_message

REGISTRY = TypeRegistry()
INT4, TEXT, DATE = map(REGISTRY.codec, (23, 25, 1082))
BOUND = messages.BindComplete().encode()
ENOUGH = 40
"""So many rows, and the decoder knows what to expect."""


def int4(value: int) -> bytes:
    return struct.pack("!i", value)


def ending(status: str = "I", tag: str = "SELECT 1") -> bytes:
    return (
        messages.CommandComplete(tag).encode() + messages.ReadyForQuery("I").encode()[:-1] + status.encode()
    )


class Statement:
    """What is known of the replies to one."""

    def __init__(self, *codecs: Codec, make: Make | None = None) -> None:
        self.decode, self.usual = compile_reader(codecs, make)

    def meet(self, row: bytes, end: bytes, times: int = 1) -> None:
        """Replies with this row come, and are read as if none was known."""
        reply = b"before" + BOUND + row + end
        rows_end = 6 + len(BOUND + row)
        for _ in range(times):
            if row:
                self.decode([], reply, 6 + len(BOUND), rows_end)
            tag = end[5 : end.index(0, 5)].decode()
            self.usual.missed(reply, 6, rows_end, (tag, chr(reply[-1]), len(reply) - 6))

    def read(self, row: bytes, end: bytes, *, short: int = 0) -> tuple[list[Any], Ending | None]:
        """What is read of such a reply at one go, if the last bytes of it are not to be looked at."""
        rows: list[Any] = ["before"]
        reply = b"x" + BOUND + row + end
        stop = len(reply) - short
        known = self.usual.read(rows, reply + b"behind", 1, stop)
        assert rows[0] == "before"
        return rows[1:], known


def knows(statement: Statement, row: bytes, end: bytes) -> bool:
    return statement.read(row, end)[1] is not None


def test_nothing_is_known_at_first() -> None:
    statement = Statement(INT4)
    assert statement.read(row_message([int4(1)]), ending()) == ([], None)


@pytest.mark.parametrize("status", "ITE")
def test_one_row(status: str) -> None:
    statement = Statement(INT4, TEXT, TEXT)
    statement.meet(row_message([int4(1), b"abc", None]), ending(), ENOUGH)
    row = row_message([int4(-7), b"xyz", None])
    size = len(BOUND + row + ending())
    assert statement.read(row, ending(status)) == ([(-7, "xyz", None)], ("SELECT 1", status, size))


@pytest.mark.parametrize("status", "ITE")
def test_no_row(status: str) -> None:
    statement = Statement(INT4)
    statement.meet(b"", ending(tag="UPDATE 1"))
    size = len(BOUND + ending(tag="UPDATE 1"))
    assert statement.read(b"", ending(status, "UPDATE 1")) == ([], ("UPDATE 1", status, size))


@pytest.mark.parametrize(
    ("make", "made"),
    [
        (DictMaker(("a", "b")), {"a": 1, "b": "x"}),
        (record_type(("a", "b")), record_type(("a", "b"))((1, "x"))),
    ],
    ids=["dict", "record"],
)
def test_the_row_is_made_as_it_is_wanted(make: Make, made: object) -> None:
    statement = Statement(INT4, TEXT, make=make)
    row = row_message([int4(1), b"x"])
    statement.meet(row, ending(), ENOUGH)
    assert statement.read(row, ending())[0] == [made]


ROW = row_message([int4(1), b"abc"])


@pytest.mark.parametrize("end", [ending(), ending("T", "INSERT 0 1")])
def test_whatever_else_is_different_is_not_known(end: bytes) -> None:
    """Each bit of each byte that is no value, nor the status."""
    statement = Statement(INT4, TEXT)
    statement.meet(ROW, end, ENOUGH)
    assert knows(statement, ROW, end)
    reply = BOUND + ROW + end
    values = {*range(16, 20), *range(24, 27)}
    for place in range(len(reply)):
        for bit in range(8):
            other = bytearray(reply)
            other[place] ^= 1 << bit
            rows: list[Any] = []
            known = statement.usual.read(rows, bytes(other), 0, len(other))
            if place in values:
                continue
            assert known is None or (place == len(reply) - 1 and chr(other[-1]) == known[1] in "ITE")
            assert bool(rows) == (known is not None)


@pytest.mark.parametrize("row", [ROW, b""])
def test_what_has_not_all_come_is_left(row: bytes) -> None:
    statement = Statement(INT4, TEXT)
    statement.meet(row, ending(), ENOUGH)
    for short in range(1, len(BOUND + row + ending()) + 1):
        assert statement.read(row, ending(), short=short) == ([], None)
    assert knows(statement, row, ending())


@pytest.mark.parametrize(
    "row",
    [
        row_message([int4(1), None]),
        row_message([None, b"abc"]),
        row_message([int4(1), b"abcd"]),
        ROW * 2,
        b"",
    ],
    ids=["null", "null number", "longer", "two", "none"],
)
def test_other_rows_are_not_known(row: bytes) -> None:
    statement = Statement(INT4, TEXT)
    statement.meet(ROW, ending(), ENOUGH)
    assert statement.read(row, ending()) == ([], None)


def test_a_value_that_is_rare_is_left_to_the_loop() -> None:
    statement = Statement(DATE)
    statement.meet(row_message([int4(1)]), ending(), ENOUGH)
    assert statement.read(row_message([int4(2)]), ending())[0] == [(date(2000, 1, 3),)]
    row = row_message([int4(2**31 - 1)])
    assert statement.read(row, ending()) == ([], None)
    rows: list[Any] = []
    statement.decode(rows, row, 0, len(row))
    assert rows == [(DateInfinity(),)]


def test_what_is_learned_changes_and_ever_more_slowly() -> None:
    statement = Statement(INT4)
    learned: list[int] = []
    for times in range(1, 5000):
        end = ending(tag=f"UPDATE {times}")
        assert not knows(statement, b"", end)
        statement.meet(b"", end)
        if knows(statement, b"", end):
            learned.append(times)
    assert learned[:6] == [1, 3, 7, 15, 31, 63]
    assert max(b - a for a, b in pairwise(learned)) == 1024


def test_a_reply_that_is_long_is_not_learned() -> None:
    statement = Statement(TEXT)
    for size, known in ((4000, True), (5000, False)):
        row = row_message([b"x" * size])
        statement.meet(row, ending(), ENOUGH)
        assert knows(statement, row, ending()) == known


def test_wide_rows_are_not_learned() -> None:
    for columns in (64, 65):
        statement = Statement(*[INT4] * columns)
        row = row_message([int4(1)] * columns)
        statement.meet(row, ending(), ENOUGH)
        assert knows(statement, row, ending()) == (columns == 64)


def test_a_row_without_columns_is_not_learned() -> None:
    statement = Statement()
    statement.meet(row_message([]), ending(), ENOUGH)
    assert not knows(statement, row_message([]), ending())


def test_rows_of_widths_that_their_types_have_not_are_not_learned() -> None:
    statement = Statement(INT4)
    statement.meet(row_message([int4(1)]), ending(), ENOUGH)
    usual: UsualReply = statement.usual
    row = row_message([b"\0" * 8])
    reply = BOUND + row + ending()
    for _ in range(ENOUGH):
        usual.missed(reply, 0, len(BOUND + row), ("SELECT 1", "I", len(reply)))
    assert not knows(statement, row, ending())
    assert knows(statement, row_message([int4(1)]), ending())
