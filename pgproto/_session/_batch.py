"""`executemany`: one statement with many sets of arguments, as one atomic group.

Everything up to the one Sync is one transaction, so either all sets take effect or none. The sets are taken
from any iterable in portions, and the next is written only when the server has worked off the one before the
last: memory stays bounded on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pgproto import messages as m
from pgproto._rows import skip_rows
from pgproto._session._introduction import EXECUTE, IntroducingRequest, bound
from pgproto._session._machine import FLUSH, RequestMachine
from pgproto._session._sql import check_sql, first_keyword
from pgproto._session._statement import Statement
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import DataError, LocalProtocolError

__all__ = ["Batch"]

_PORTION: Final = 64 * 1024
"""How many bytes of messages make a portion."""
_PORTION_SETS: Final = 1000
_PAIR: Final = (Step.BIND, Step.EXECUTE)

_COMMITTED_AT_SYNC: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "VALUES", "WITH"})
"""Statements that cannot commit by themselves, as CALL, VACUUM and others can."""


class Batch(IntroducingRequest[int]):
    """One statement, many sets of arguments; the result is how many rows they concerned together."""

    __slots__ = ("_outstanding", "_parse", "_portion", "_sets", "_size", "_statement", "_total", "ended")

    def __init__(self, sql: str, timeout: float | None) -> None:
        super().__init__(sql, timeout)
        self._statement: Statement | None = None
        self._portion: list[bytes] = []
        self._size = 0
        self._sets = 0
        self._parse = b""
        self._outstanding = 0
        self._total = 0
        self.ended = False

    # What the owner calls.

    @property
    def wants_more(self) -> bool:
        """Whether the next set of arguments may be added; if not, wait until the request is stirred."""
        return self._statement is not None and self._outstanding <= _PORTION_SETS

    def add(self, machine: RequestMachine, sets: Iterable[Sequence[object]]) -> None:
        """Add some sets of arguments; raises `DataError` if one does not fit, and `wants_more` must hold."""
        for arguments in sets:
            self._add(machine, arguments)

    def _add(self, machine: RequestMachine, arguments: Sequence[object]) -> None:
        if self._statement is None:
            raise LocalProtocolError("arguments were added before the statement was known")
        if isinstance(arguments, str | bytes):
            raise DataError(f"a set of arguments is a sequence of them, not {type(arguments).__name__}")
        data = bound(machine, self._statement, tuple(arguments))
        self._portion.append(data)
        self._portion.append(EXECUTE)
        self._size += len(data) + len(EXECUTE)
        self._sets += 1
        if self._size >= _PORTION or self._sets >= _PORTION_SETS:
            self._write_portion(machine)

    def end(self, machine: RequestMachine) -> None:
        """There are no more sets of arguments."""
        self.ended = True
        if machine.is_writing(self):
            self._write_portion(machine)
            machine.end_group(self)
            self.execute_end = machine.written

    def take_back(self, machine: RequestMachine) -> None:
        """Undo what was sent, because the rest will not come."""
        self.ended = True
        if machine.is_writing(self) and not self.introducing:
            self._portion.clear()
            if self._statement is not None:
                machine.take_back(self)
            else:
                machine.end_group(self)

    # What the machine calls.

    def begin(self, machine: RequestMachine) -> None:
        check_sql(self.sql)
        if first_keyword(self.sql) in ("COPY", "BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT"):
            raise DataError(f"executemany() cannot repeat {first_keyword(self.sql)}")
        # Even a statement that is known is described again: it costs nothing beside the sets that follow,
        # and nobody has to try again in the midst of a group because it was stale.
        self.introduce(machine, self.sql, "")

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        self._statement = statement
        self._parse = statement.parse if self.asked_about_types else b""
        machine.stir(self)

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case _ if self.introducing:
                self.receive_introduction(machine, message)
            case m.BindComplete():
                machine.connection.row_sink = skip_rows
            case m.CommandComplete():
                self._total += CommandTag(message.command_tag).rows or 0
                self._count(machine)
            case m.EmptyQueryResponse():
                self._count(machine)
            case _:
                # ParseComplete.
                ...

    def _count(self, machine: RequestMachine) -> None:
        self._outstanding -= 1
        if self._outstanding == _PORTION_SETS:
            machine.stir(self)

    def _write_portion(self, machine: RequestMachine) -> None:
        if not self._sets or not machine.is_writing(self):
            # The second means that the server has refused what was sent before.
            return
        steps = _PAIR * self._sets
        if self._parse:
            # The statement has no name, and asking about types has put another in its place.
            self._portion.insert(0, self._parse)
            steps = (Step.PARSE, *steps)
            self._parse = b""
        machine.write(self, b"".join(self._portion) + FLUSH, steps)
        if self.execute_end < 0 and first_keyword(self.sql) not in _COMMITTED_AT_SYNC:
            self.execute_end = machine.written
        self._outstanding += self._sets
        self._portion.clear()
        self._size = self._sets = 0

    def leave(self, machine: RequestMachine) -> None:
        if machine.is_writing(self):
            self.take_back(machine)
        else:
            machine.cancel(self)

    def value(self) -> int:
        return self._total
