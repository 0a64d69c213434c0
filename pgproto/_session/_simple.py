"""The simple query, and the empty one, as requests.

PostgreSQL documentation: "Simple Query", "Multiple Statements in a Simple Query".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pgproto import messages as m
from pgproto._record import Record, record_type
from pgproto._rows import Decoder, compile_decoder, skip_rows
from pgproto._session._machine import SYNC, RequestMachine
from pgproto._session._request import Request
from pgproto._session._sql import check_sql
from pgproto._session._tag import CommandTag
from pgproto._state import Step
from pgproto.errors import DataError, PostgresError
from pgproto.types import TEXT, Codec

__all__ = ["Ping", "Result", "SimpleQuery"]


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement of a simple query gave."""

    tag: CommandTag
    rows: list[Record] = field(default_factory=list[Record])
    """Every value as the server's text, a `str`; NULL is None."""


def _encode(value: object) -> bytes:
    return str(value).encode()


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DataError("the server sent text that is not UTF-8") from None


_TEXT_CODEC: Final = Codec(25, "text", TEXT, _encode, _decode)


class SimpleQuery(Request[list[Result]]):
    """A string of any number of statements, executed as one; values come as text."""

    __slots__ = ("_decode", "_results", "_rows")

    # A transaction that one of the statements opens belongs to its caller.
    opens_lease = True

    def __init__(self, sql: str, timeout: float | None = None) -> None:
        super().__init__(sql, timeout)
        self._results: list[Result] = []
        self._rows: list[object] = []
        self._decode: Decoder | None = None

    def begin(self, machine: RequestMachine) -> None:
        check_sql(self.sql)
        machine.write(self, m.Query(self.sql).encode(), (Step.QUERY,))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case m.RowDescription():
                make = record_type(tuple([field.name for field in message.fields]))
                self._decode = compile_decoder([_TEXT_CODEC] * len(message.fields), make)
                self._rows = []
                machine.connection.row_sink = self._take_rows
            case m.CommandComplete():
                self._end_statement(message.command_tag)
            case m.EmptyQueryResponse():
                self._end_statement("")
            case m.CopyInResponse():
                machine.send(m.CopyFail("simple_query() cannot send copy data; copy_in() can"))
            case m.CopyOutResponse():
                self.error = DataError("simple_query() cannot receive copy data; copy_out() can")
            case _:
                # Copy data that nobody wants.
                ...

    def _end_statement(self, tag: str) -> None:
        rows = [row for row in self._rows if isinstance(row, Record)]
        self._results.append(Result(CommandTag(tag), rows))
        self._rows = []

    def _take_rows(self, data: bytes, start: int, end: int) -> int:
        decode = self._decode
        if decode is None or self.abandoned:
            return skip_rows(data, start, end)
        try:
            return decode(self._rows, data, start, end)
        except DataError as error:
            self.error = error
            self._decode = None
            return skip_rows(data, start, end)

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        if self._results:
            error.add_note(f"statement {len(self._results) + 1} of the query string failed")
        super().fail(machine, error)

    def value(self) -> list[Result]:
        return self._results


class Ping(Request[None]):
    """An empty group: it only asks whether the server still answers, and leaves nothing in its log."""

    __slots__ = ()

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__("", timeout)

    def begin(self, machine: RequestMachine) -> None:
        machine.write(self, SYNC, (Step.SYNC,))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Nothing comes but ReadyForQuery, which `ready` takes."""

    def value(self) -> None:
        return None
