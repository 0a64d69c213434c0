"""`executemany`: one statement with many sets of arguments, as one atomic group.

Everything up to the one Sync is one transaction, so either all sets take effect or none. The sets are taken
from any iterable in portions, and the next is written only when the server has worked off most of what was
written before: memory stays bounded on both sides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pgproto import messages as m
from pgproto._rows import skip_rows
from pgproto._session._introduction import EXECUTE, IntroducingRequest, forget_types
from pgproto._session._machine import FLUSH, RequestMachine
from pgproto._session._packer import Packer
from pgproto._session._packing import Fill
from pgproto._session._sql import check_sql, first_keyword
from pgproto._session._statement import Statement
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import DataError, LocalProtocolError, PostgresError
from pgproto.types._guards import is_iterable

__all__ = ["Batch"]

_FIRST_PORTION: Final = 8 * 1024
"""How many bytes of messages make the first portion; it is small, so that the server can begin early."""
_PORTION: Final = 64 * 1024
"""How many make the largest."""
_UNANSWERED: Final = 2 * _PORTION
"""How many the server may have left to answer when more are added."""
_PAIR: Final = (Step.BIND, Step.EXECUTE)

_COMMITTED_AT_SYNC: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "VALUES", "WITH"})
"""Statements that cannot commit by themselves, as CALL, VACUUM and others can."""


class _Bound:
    """The statement of a batch, and what makes the messages of its sets."""

    __slots__ = ("_packer", "fill", "statement")

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._packer: Packer = statement.packer(EXECUTE)
        self.fill: Fill = self._packer.fill()

    def add(self, arguments: Sequence[object], out: list[bytes], count: int) -> int:
        """Append the messages of a set that is not as expected."""
        data = self.statement.bind_one_by_one(arguments)
        out += (data, EXECUTE)
        if self._packer.missed(arguments):
            self.fill = self._packer.fill()
        return len(data) + len(EXECUTE)


class Batch(IntroducingRequest[int]):
    """One statement, many sets of arguments; the result is how many rows they concerned together."""

    __slots__ = (
        "_answered",
        "_bound",
        "_limit",
        "_parse",
        "_portion",
        "_portions",
        "_sent",
        "_sets",
        "_size",
        "_taken",
        "_total",
        "_unanswered",
        "ended",
    )

    def __init__(self, sql: str, timeout: float | None) -> None:
        super().__init__(sql, timeout)
        self._bound: _Bound | None = None
        self._parse = b""
        # The portion that is being filled: its messages, their bytes, and how many sets they are.
        self._portion: list[bytes] = []
        self._limit = _FIRST_PORTION
        self._size = self._sets = 0
        # The portions on their way: how many sets were sent up to the end of each, and its bytes.
        self._portions: deque[tuple[int, int]] = deque()
        self._unanswered = 0
        self._taken = self._sent = self._answered = 0
        self._total = 0
        self.ended = False

    # What the owner calls.

    @property
    def wants_more(self) -> bool:
        """Whether the next set of arguments may be added; if not, wait until the request is stirred."""
        return self._bound is not None and self._unanswered <= _UNANSWERED

    def add(self, machine: RequestMachine, sets: Iterable[Sequence[object]]) -> None:
        """Add some sets of arguments; raises `DataError` if one does not fit, and `wants_more` must hold."""
        bound = self._bound
        if bound is None:
            raise LocalProtocolError("arguments were added before the statement was known")
        sets = iter(sets)
        try:
            while not self._fill_portion(bound, sets):
                self._write_portion(machine, FLUSH)
        except DataError as error:
            forget_types(machine, bound.statement)
            raise DataError(f"args[{self._taken}]: {error}") from error

    def _fill_portion(self, bound: _Bound, sets: Iterator[Sequence[object]]) -> bool:
        rest = self._limit - self._size
        return bound.fill(sets, self._portion, rest, bound.add, _check, self._note)

    def _note(self, count: int, size: int) -> None:
        self._sets += count
        self._taken += count
        self._size += size

    def end(self, machine: RequestMachine) -> None:
        """There are no more sets of arguments."""
        self.ended = True
        if machine.is_writing(self) and not self.introducing:
            self._write_portion(machine, b"")
            machine.end_group(self)
            self.execute_end = machine.written

    def take_back(self, machine: RequestMachine) -> None:
        """Undo what was sent, because the rest will not come."""
        self.ended = True
        if machine.is_writing(self) and not self.introducing:
            self._portion.clear()
            if self._bound is not None:
                machine.take_back(self)
            else:
                machine.end_group(self)

    # What the machine calls.

    def begin(self, machine: RequestMachine) -> None:
        check_sql(self.sql)
        keyword = first_keyword(self.sql)
        if keyword == "COPY":
            raise DataError("executemany() cannot repeat COPY; copy_in() and copy_records_to_table() copy")
        if keyword in ("BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT"):
            raise DataError(f"executemany() cannot repeat {keyword}")
        # Even a statement that is known is described again: it costs nothing beside the sets that follow,
        # and nobody has to try again in the midst of a group because it was stale.
        self.introduce(machine, self.sql, "")

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        if self.ended:
            # There are no arguments, or the first of them could not be had.
            machine.end_group(self)
            return
        self._bound = _Bound(statement)
        self._parse = statement.parse if self.asked_about_types else b""
        machine.stir(self)

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case _ if self.introducing:
                self.receive_introduction(machine, message)
            case m.BindComplete():
                machine.connection.row_sink = skip_rows
            case m.CommandComplete():
                self._count(machine, message.command_tag, 1)
                for tag, times in machine.connection.take_executions():
                    self._count(machine, tag, times)
            case m.EmptyQueryResponse():
                self._count(machine, "", 1)
            case _:
                # ParseComplete.
                ...

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        if self._answered < self._sent:
            error.add_note(f"it was args[{self._answered}] of executemany()")
        super().fail(machine, error)

    def _count(self, machine: RequestMachine, tag: str, times: int) -> None:
        """So many sets were answered, each with this tag."""
        self._total += (CommandTag(tag).rows or 0) * times
        self._answered += times
        portions = self._portions
        if portions and portions[0][0] <= self._answered:
            wanted_more = self.wants_more
            while portions and portions[0][0] <= self._answered:
                self._unanswered -= portions.popleft()[1]
            if self.wants_more and not wanted_more:
                machine.stir(self)

    def _write_portion(self, machine: RequestMachine, last: bytes) -> None:
        # If this is not the writer any more, the server has refused what was sent before.
        bound = self._bound
        if bound is not None and self._sets and machine.is_writing(self):
            steps = _PAIR * self._sets
            if self._parse:
                # The statement has no name, and asking about types has put another in its place.
                self._portion.insert(0, self._parse)
                steps = (Step.PARSE, *steps)
                self._parse = b""
            self._portion.append(last)
            machine.write(self, b"".join(self._portion), steps)
            if self.execute_end < 0 and bound.statement.keyword not in _COMMITTED_AT_SYNC:
                self.execute_end = machine.written
            self._sent += self._sets
            self._unanswered += self._size
            self._portions.append((self._sent, self._size))
            self._limit = min(2 * self._limit, _PORTION)
        self._portion.clear()
        self._size = self._sets = 0

    def leave(self, machine: RequestMachine) -> None:
        if machine.is_writing(self):
            self.take_back(machine)
        else:
            machine.cancel(self)

    def value(self) -> int:
        return self._total


def _check(arguments: object) -> tuple[object, ...]:
    """A set that is neither a tuple nor a list."""
    if is_iterable(arguments):
        try:
            return tuple(arguments)
        except Exception as error:
            # An iterable of the caller's own may fail in any way.
            raise DataError(f"a set of arguments cannot be read: {type(error).__name__}: {error}") from error
    raise DataError(f"a set of arguments is a sequence of them, not {type(arguments).__qualname__}")
