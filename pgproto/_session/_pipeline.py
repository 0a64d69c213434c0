"""The explicit pipeline: several statements as one atomic group with one Sync.

Statements that are known go out together. Before one that is not, the server is asked to describe it, which
it can do only when it has executed what comes before: that may have created what the statement is about.
Each error belongs to its own statement; those behind it are not executed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from pgproto import messages as m
from pgproto._session._introduction import (
    EXECUTE,
    IntroducingRequest,
    bound,
    is_outdated,
    known_statement,
    reshaped,
)
from pgproto._session._machine import SYNC, RequestMachine
from pgproto._session._results import Rows
from pgproto._session._sql import ENDING, OPENING, check_kept, check_sql, expect_sql, first_keyword
from pgproto._session._statement import Statement, check_arguments
from pgproto._state import Step
from pgproto.errors import DataError, Error, LocalProtocolError, PipelineAborted, PostgresError

__all__ = ["Pipeline", "PipelineResult"]

R_co = TypeVar("R_co", covariant=True)

_DESCRIBE_AND_EXECUTE: Final = m.Describe("P").encode() + EXECUTE
_KNOWN: Final = (Step.BIND, Step.DESCRIBE_PORTAL, Step.EXECUTE)


class PipelineResult(Generic[R_co]):
    """What one statement of a pipeline will give: `result`, once the pipeline's block is over."""

    __slots__ = ("_asked", "_error", "_finish", "arguments", "done", "executed", "rows", "sql", "statement")

    def __init__(
        self, sql: str, arguments: Sequence[object], rows: Rows, finish: Callable[[Rows], R_co]
    ) -> None:
        self._error: BaseException | None = None
        self.sql = expect_sql(sql)
        self.arguments = arguments
        self.rows = rows
        self.statement: Statement | None = None
        """What is known of it, when it has been written."""
        self.done = False
        self.executed = False
        """Whether the server has executed the statement; its transaction may still have failed."""
        self._finish = finish
        # Nobody can ask before the block has ended well.
        self._asked = True

    def result(self) -> R_co:
        """What the statement gave.

        Raises its own error; `pgproto.PipelineAborted` if an earlier statement failed, so that this one was
        not executed; and `pgproto.LocalProtocolError` before the end of the pipeline's block.
        """
        if not self.done:
            raise LocalProtocolError("the pipeline has not been sent: ask for results after its block")
        self._asked = True
        if self._error is not None:
            raise self._error
        return self._finish(self.rows)

    def settle(self, error: BaseException | None) -> None:
        """The outcome is known."""
        if not self.done:
            self.done = True
            self._error = self.rows.error or error or check_kept(self.sql, self.rows.tag)

    def hand_over(self) -> None:
        """The block ends well: only by asking will its owner hear of an error."""
        self._asked = False

    def __del__(self) -> None:
        error = getattr(self, "_error", None)  # its maker may have been interrupted
        if error is not None and not self._asked and not isinstance(error, PipelineAborted):
            warnings.warn(
                f"nobody asked for the result of {self.sql[:60]!r} in a pipeline; it had failed: {error}",
                ResourceWarning,
                stacklevel=2,
            )


class Pipeline(IntroducingRequest[None]):
    """The statements of one pipeline, as one request."""

    __slots__ = (
        "_bound",
        "_next_read",
        "_next_written",
        "_refused",
        "_retried",
        "_stale",
        "_statement",
        "opens_lease",
        "results",
    )

    def __init__(self, results: Sequence[PipelineResult[object]], timeout: float | None) -> None:
        super().__init__(results[0].sql if results else "", timeout)
        self.results = tuple(results)
        self.opens_lease = any(first_keyword(result.sql) in OPENING for result in results)
        self._next_written = 0
        self._next_read = 0
        self._bound = -1
        """The position of the last statement that the server has found good to execute."""
        self._stale = self._retried = False
        self._statement: Statement | None = None
        self._refused: DataError | None = None
        """What is wrong with the arguments of the statement that is next to be written."""

    @property
    def ends_transaction(self) -> bool:
        return any(first_keyword(result.sql) in ENDING for result in self.results)

    def begin(self, machine: RequestMachine) -> None:
        for result in self.results:
            check_sql(result.sql)
            check_arguments(result.arguments)
            if first_keyword(result.sql) == "COPY":
                raise DataError(
                    "COPY cannot be part of a pipeline: it would take what follows for its data; "
                    "copy_in() and copy_out() copy"
                )
        if self.results:
            self._write(machine)
        else:
            machine.write(self, SYNC, (Step.SYNC,))

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        machine.statements.add(statement)
        self._statement = statement
        try:
            self._write(machine)
        except DataError:
            self.end_early(machine)

    def end_early(self, machine: RequestMachine) -> None:
        # What came before has been sent, and must not take effect without the rest.
        if self._next_written:
            machine.take_back(self)
        else:
            machine.end_group(self)

    def _write(self, machine: RequestMachine) -> None:
        """Write as many statements as are known, then either Sync or the introduction of the next."""
        parts: list[bytes] = []
        steps: list[Step] = []
        while self._next_written < len(self.results):
            result = self.results[self._next_written]
            statement = self._statement or known_statement(machine, result.sql)
            self._statement = None
            if statement is None:
                break
            try:
                data = bound(machine, statement, result.arguments)
            except DataError as error:
                self._refused = error
                raise
            result.statement = statement
            result.rows.use(statement)
            if not statement.name:
                parts.append(statement.parse)
                steps.append(Step.PARSE)
            parts += [data, _DESCRIBE_AND_EXECUTE]
            steps += _KNOWN
            self._next_written += 1
        if parts:
            machine.write(self, b"".join(parts), tuple(steps))
        if self._next_written < len(self.results):
            self.introduce(machine, self.results[self._next_written].sql, machine.statements.name_to_give())
        else:
            machine.end_group(self)
            self.execute_end = machine.written

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        if self._next_read == self._next_written and self.introducing:
            self.receive_introduction(machine, message)
            return
        result = self.results[self._next_read]
        match message:
            case m.BindComplete():
                self._bound = self._next_read
            case m.RowDescription():
                self._see_shape(machine, result, message.fields)
                machine.connection.row_sink = result.rows.sink(machine, self)
            case m.NoData():
                self._see_shape(machine, result, ())
            case m.CommandComplete():
                result.rows.tag = message.command_tag
                result.executed = True
                machine.command_completed(message.command_tag)
                self._next_read += 1
            case m.EmptyQueryResponse():
                result.executed = True
                self._next_read += 1
            case _:
                # ParseComplete.
                ...

    def _see_shape(
        self,
        machine: RequestMachine,
        result: PipelineResult[object],
        columns: tuple[m.FieldDescription, ...],
    ) -> None:
        known = result.statement
        if known is not None and (both := reshaped(machine, known, columns)) is not None:
            machine.statements.add(both[0])
            result.rows.use(both[1])

    def _see_to_statement(self, machine: RequestMachine, error: PostgresError) -> None:
        """The server refuses one; it may be that what is known of it is not so any more."""
        position = self._next_read
        if position >= self._next_written or position == self._bound or not is_outdated(machine, error):
            return
        machine.types.forget()
        if (statement := self.results[position].statement) is not None:
            machine.statements.discard(statement)
            # Before the first, nothing was executed: nobody can tell that there were two tries.
            self._stale = position == 0 and not self._retried

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        # Behind the last of them, it is their transaction that could not be committed.
        failed = self.results[self._next_read : self._next_read + 1]
        error.query = failed[0].sql if failed else None
        super().fail(machine, error)
        self._see_to_statement(machine, error)

    def leave(self, machine: RequestMachine) -> None:
        for result in self.results:
            result.rows.drop()
        super().leave(machine)

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if self._stale and status == "I" and not self.abandoned and self._refused is None:
            self._retried, self._stale = True, False
            self._next_written = self._next_read = 0
            self._bound = -1
            self.error = self._statement = self._introducing = None
            return False
        for result in self.results:
            result.rows.failure(machine)
        error = self._refused or self.error
        if not self.abandoned:
            # It is told by the statement that it belongs to. One that is overdue has nobody else to tell it.
            self.error = None
        failed = self._next_written if self._refused is not None else self._next_read
        self._settle(error, failed)
        return True

    def _settle(self, error: BaseException | None, failed: int) -> None:
        """Give each statement its outcome; ``failed`` is the position of the one with the error."""
        if error is not None and failed >= len(self.results):
            # All were executed, and then their transaction could not be committed.
            failed = 0
            for result in self.results:
                result.settle(error)
        for result in self.results[:failed] if error is not None else self.results:
            result.settle(None)
        for result in self.results[failed : failed + 1]:
            result.settle(error)
        for result in self.results[failed + 1 :]:
            result.settle(PipelineAborted(cause=error))

    def result(self) -> None:
        try:
            super().result()
        except Error as error:
            if error is self._refused:
                self._settle(error, self._next_written)
                self.value()
                return
            # It did not come to executing anything, or nobody knows how far it came.
            for result in self.results:
                result.settle(error)
            raise

    def value(self) -> None:
        for result in self.results:
            result.hand_over()
