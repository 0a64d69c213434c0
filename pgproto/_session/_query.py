"""The extended query, as a request: the way of everything that has parameters or returns typed rows.

A statement that is known goes out in one flight: Bind, Execute, Sync. One that is not is introduced first.
PostgreSQL documentation: "Extended Query".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

from pgproto import messages as m
from pgproto._session._copy_sql import expect_no_copy, no_copy
from pgproto._session._introduction import (
    EXECUTE,
    IntroducingRequest,
    defined_types,
    forget_types,
    is_outdated,
    known_statement,
    renewed,
    reshaped,
)
from pgproto._session._machine import FLUSH, SYNC, TELLING, RequestMachine
from pgproto._session._request import COPYING, Request
from pgproto._session._results import Rows
from pgproto._session._sql import ENDING, check_kept, check_sql, first_keyword, what_begins, what_begins_again
from pgproto._session._statement import PreparedStatement, Statement, check_arguments
from pgproto._short_way import Sink
from pgproto._state import Step
from pgproto.errors import DataError, PostgresError

__all__ = ["Query"]

R_co = TypeVar("R_co", covariant=True)
RowsT = TypeVar("RowsT", bound=Rows)

_EXECUTE_AND_SYNC: Final = EXECUTE + SYNC
_DESCRIBE_EXECUTE_AND_SYNC: Final = m.Describe("P").encode() + EXECUTE + SYNC
_KNOWN: Final[tuple[Step, ...]] = (Step.BIND, Step.EXECUTE, Step.SYNC)
_KNOWN_UNNAMED: Final[tuple[Step, ...]] = (
    Step.PARSE,
    Step.BIND,
    Step.DESCRIBE_PORTAL,
    Step.EXECUTE,
    Step.SYNC,
)
_SHORT_SQL: Final = 1024
"""In characters. Longer statements are mostly made for one time, and may be very long."""
_COPY: Final = (Step.PARSE, Step.BIND, Step.EXECUTE)
_VERBS: Final = "execute() and fetch()"
# Each query is one: looking for it by super() takes longer than what it does.
_init_request: Final[Callable[[Request[Any], str, float | None], None]] = cast("Any", Request).__init__

# What it says when a type is not what it was when it was looked up: it was dropped, perhaps made anew under
# another OID (undefined_object, or internal_error when nothing is found of it), or an attribute was added or
# dropped (datatype_mismatch).
_CHANGED_TYPE: Final = frozenset({"0A000", "42704", "42804", "XX000"})


class Query(IntroducingRequest[R_co]):
    """One statement with arguments; ``finish`` makes the result of what came.

    ``prepared`` is a statement that the caller holds; else it is looked up by its SQL.
    """

    __slots__ = (
        "_arguments",
        "_bound",
        "_finish",
        "_prepared",
        "_retried",
        "_stale",
        "_statement",
        "copies",
        "opens_lease",
        "rows",
    )

    def __init__(
        self,
        sql: str,
        arguments: Sequence[object],
        rows: RowsT,
        finish: Callable[[RowsT], R_co],
        timeout: float | None = None,
        prepared: PreparedStatement | None = None,
    ) -> None:
        # As the class in between does, with one call less.
        _init_request(self, sql, timeout)
        self._introducing = None
        if len(self.sql) <= _SHORT_SQL:
            self.opens_lease, self.copies = what_begins_again(self.sql)
        else:
            self.opens_lease, self.copies = what_begins(self.sql)
        self.rows: Rows = rows
        self._arguments = arguments
        self._finish: Callable[[Any], R_co] = finish
        self._prepared = prepared
        self._statement: Statement | None = None
        self._bound = False
        self._stale = False
        self._retried = False

    @property
    def expects(self) -> frozenset[type[m.Message]]:
        return COPYING if self.copies else super().expects

    @property
    def ends_transaction(self) -> bool:
        return first_keyword(self.sql) in ENDING

    # Writing.

    def begin(self, machine: RequestMachine) -> None:
        statements, prepared = machine.statements, self._prepared
        find = statements.find
        statement = find(self.sql) if prepared is None else prepared.current()
        if (
            statement is not None
            and (pack := statement.pack) is not None
            and statement.name
            and statement.generation == machine.types.generation
            and not statements.evicted
            and machine.max_result_bytes is None
        ):
            # The short way, of what was executed before: as `_execute` does, without calling anybody.
            try:
                data = pack(self._arguments)
            except Exception:
                # Whatever it was, the arguments are looked at one by one now.
                self._begin(machine)
                return
            if prepared is None:
                touch = statements.touch
                touch(self.sql)
            self._statement = statement
            self.sink = rows = self.rows
            rows.use(statement)
            machine.write_whole(self, data + _EXECUTE_AND_SYNC, _KNOWN)
        else:
            self._begin(machine)

    def _begin(self, machine: RequestMachine) -> None:
        if self._prepared is None:
            statement = known_statement(machine, self.sql)
        else:
            statement = self._known(machine, self._prepared)
        if self.copies:
            self._copy(machine)
        elif statement is None:
            check_arguments(self._arguments)
            self.introduce(machine, self.sql, machine.statements.name_to_give())
        else:
            self._execute(machine, statement)

    def _known(self, machine: RequestMachine, prepared: PreparedStatement) -> Statement | None:
        """What is known of the statement; None if it has to be introduced."""
        statement = prepared.current()
        if statement is not None and statement.generation != machine.types.generation:
            prepared.statement = renewed(machine, statement)
            if prepared.statement is None:
                machine.statements.close(statement)
        return prepared.statement

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        if self._prepared is not None:
            self._prepared.statement = statement
        else:
            machine.statements.add(statement)
        self._execute(machine, statement, is_new=True)

    def _execute(self, machine: RequestMachine, statement: Statement, *, is_new: bool = False) -> None:
        try:
            data = statement.bind(self._arguments)
        except DataError:
            forget_types(machine, statement)
            again = not self._retried and bool(defined_types(statement.parameter_types))
            if again or not is_new:
                # Its parameters may have got other types since it was described.
                self._drop(machine, statement)
            if not again:
                raise
            self._retried = True
            self.introduce(machine, self.sql, machine.statements.name_to_give())
            return
        self._statement = statement
        rows = self.rows
        rows.use(statement)
        if statement.name:
            unlimited = machine.max_result_bytes is None
            self.sink = rows if unlimited else Sink(rows.sink(machine, self))
            data += _EXECUTE_AND_SYNC
            steps = _KNOWN
        else:
            data = statement.parse + data + _DESCRIBE_EXECUTE_AND_SYNC
            steps = _KNOWN_UNNAMED
        if machine.statements.evicted:
            closes, close_steps = machine.statements.take_closes()
            data, steps = closes + data, close_steps + steps
        machine.write(self, data, steps)

    def _copy(self, machine: RequestMachine) -> None:
        # While the server reads copy data it ignores Sync, and takes any further request for a broken
        # protocol. So this one holds back all others until the copy is over, and its Sync comes last.
        check_sql(self.sql)
        if self._arguments:
            raise DataError(f"COPY takes no parameters; {len(self._arguments)} arguments were given")
        expect_no_copy(self.sql, _VERBS)
        data = m.Parse("", self.sql).encode() + m.Bind().encode() + EXECUTE
        machine.write(self, data + FLUSH, _COPY)
        self.execute_end = self.first_byte + len(data)

    # Reading.

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        kind = type(message)
        if self._introducing is not None:
            self.receive_introduction(machine, message)
        elif kind is m.BindComplete:
            self._bound = True
            machine.connection.row_sink = self.rows.sink(machine, self)
        elif isinstance(message, m.CommandComplete):
            self.completed(machine, message.command_tag)
            if self.copies:
                machine.end_group(self)
        else:
            self._receive_other(machine, message)

    def completed(self, machine: RequestMachine, tag: str) -> None:
        rows = self.rows
        rows.tag = tag
        if tag in TELLING:
            machine.command_completed(tag)
            if tag == "ROLLBACK" and self.error is None:
                self.error = check_kept(self.sql, tag)
        if rows.error is not None:
            self.error = rows.failure(machine)

    def _receive_other(self, machine: RequestMachine, message: m.Message) -> None:
        match message:
            case m.RowDescription():
                self._check_shape(machine, message.fields)
                machine.connection.row_sink = self.rows.sink(machine, self)
            case m.NoData():
                self._check_shape(machine, ())
            case m.CopyInResponse():
                machine.send(m.CopyFail(no_copy(_VERBS, sending=True)))
                machine.end_group(self)
            case m.CopyOutResponse():
                self.error = DataError(no_copy(_VERBS, sending=False))
            case _:
                # ParseComplete, CloseComplete, EmptyQueryResponse and unwanted copy data say nothing more.
                ...

    def _check_shape(self, machine: RequestMachine, columns: tuple[m.FieldDescription, ...]) -> None:
        known = self._statement
        if known is not None and (both := reshaped(machine, known, columns)) is not None:
            machine.statements.add(both[0])
            self.rows.use(both[1])

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        super().fail(machine, error)
        if error.sqlstate in _CHANGED_TYPE:
            machine.types.forget()
        statement = self._statement
        if statement is None or self._bound or self.rows.began:
            return
        stale = is_outdated(machine, error)
        if error.sqlstate in _CHANGED_TYPE and defined_types(statement.parameter_types):
            stale = True
        if stale or not statement.name:
            self._drop(machine, statement)
        self._stale = stale and not self._retried

    def _drop(self, machine: RequestMachine, statement: Statement) -> None:
        """Know nothing of the statement any more, so that it is introduced again."""
        if self._prepared is None:
            machine.statements.discard(statement)
        else:
            self._prepared.statement = None
            machine.statements.close(statement)

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if self._stale and status == "I" and not self.abandoned:
            # The server refused before it executed anything, so nobody can tell that there were two tries.
            self._retried, self._stale = True, False
            self.error = self._statement = self.sink = None
            return False
        # If there is something about the rows, it came first; the server may only have been told to stop.
        if self.rows.error is not None:
            self.error = self.rows.failure(machine)
        return True

    def leave(self, machine: RequestMachine) -> None:
        self.rows.drop()
        super().leave(machine)

    def result(self) -> R_co:
        # As `Request.result` does, for most with one call less.
        finish = self._finish
        return finish(self.rows) if self.error is None else super().result()

    def value(self) -> R_co:
        return self._finish(self.rows)
