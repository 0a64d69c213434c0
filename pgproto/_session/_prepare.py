"""Explicit prepared statements, as requests. PostgreSQL documentation: "Extended Query"."""

from __future__ import annotations

from pgproto import messages as m
from pgproto._session._introduction import IntroducingRequest
from pgproto._session._machine import SYNC, RequestMachine
from pgproto._session._request import Request
from pgproto._session._statement import PreparedStatement, Statement
from pgproto._session._transaction import TransactionScope
from pgproto._state import Step

__all__ = ["CloseStatement", "Prepare"]


class Prepare(IntroducingRequest[PreparedStatement]):
    """Prepare a statement for a caller to hold."""

    __slots__ = ("_prepared",)

    def __init__(self, sql: str, timeout: float | None, scope: TransactionScope | None) -> None:
        super().__init__(sql, timeout)
        self._prepared = PreparedStatement(sql, scope)

    def begin(self, machine: RequestMachine) -> None:
        self.introduce(machine, self.sql, machine.statements.name_to_give())

    def introduced(self, machine: RequestMachine, statement: Statement) -> None:
        self._prepared.statement = statement
        machine.end_group(self)

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        if self.introducing:
            self.receive_introduction(machine, message)

    def value(self) -> PreparedStatement:
        return self._prepared


class CloseStatement(Request[None]):
    """Drop a prepared statement; unlike DEALLOCATE this works in a failed transaction too."""

    __slots__ = ("_prepared",)

    essential = True

    def __init__(self, prepared: PreparedStatement) -> None:
        super().__init__("", None)
        self._prepared = prepared

    def begin(self, machine: RequestMachine) -> None:
        prepared = self._prepared
        name = "" if prepared.statement is None else prepared.statement.name
        prepared.closed = True
        prepared.statement = None
        if name:
            machine.write(self, m.Close("S", name).encode() + SYNC, (Step.CLOSE, Step.SYNC))
        else:
            machine.write(self, SYNC, (Step.SYNC,))

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Nothing: CloseComplete says that it is done."""

    def value(self) -> None:
        return None
