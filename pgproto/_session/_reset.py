"""A reset that goes ahead of everything that the next holder of a session asks, and is not waited for.

It is a request like others, with a ReadyForQuery of its own, and what is asked next may be on the wire behind
it before the server has begun. So it has to be certain that nothing behind it is carried out if it fails. The
two cannot share an implicit transaction, in which an error of the second would undo the first. But with
exit_on_error an error ends the server process. That is set for the transaction of the reset only, commit
included: it never reaches the next statement nor, behind a transaction pooler, another client.

Where that cannot be relied upon, the reset is waited for before the session is lent again: if the last holder
may have changed settings, such as a statement_timeout that hits before exit_on_error is set; if the
application's own SQL could end the transaction, or set exit_on_error back unseen; if the server does not know
exit_on_error. PostgreSQL documentation: "Error Handling", "Multiple Statements in a Simple Query".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pgproto._patterns import pattern
from pgproto._session._machine import RequestMachine
from pgproto._session._simple import Command
from pgproto.errors import ConnectionLost, Error, PostgresError, QueryTimeout, RemoteProtocolError

__all__ = ["Guard", "guarded", "reset_ahead"]

_GUARD: Final = "SET LOCAL exit_on_error = on"
# Without strings, comments and the like, so that a semicolon is the end of a statement.
_PLAIN: Final = pattern(
    r"(?:RESET|SELECT|SET|UNLISTEN|CLOSE|DISCARD\s+(?:TEMP|TEMPORARY|SEQUENCES|PLANS))\b[^\"'$/\\-]*",
    re.ASCII | re.I,
)
_UNGUARDING: Final = pattern(r"RESET\s+ALL", re.ASCII | re.I)


@lru_cache(16)
def guarded(sql: str) -> str | None:
    """The same statements, in such a way that an error in any of them ends the session; None if that is not
    certain."""
    parts = [_GUARD]
    for statement in filter(None, map(str.strip, sql.split(";"))):
        if _PLAIN.fullmatch(statement) is None or "exit_on_error" in statement.lower():
            return None
        parts.append(statement)
        if _UNGUARDING.fullmatch(statement) is not None:
            parts.append(_GUARD)
    return "; ".join(parts)


class Guard(Command):
    """Finds out whether resets can go ahead in this session."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("SHOW exit_on_error")

    def ready(self, machine: RequestMachine, status: str) -> bool:
        machine.traces.can_reset_ahead = self.error is None and self.tag == "SHOW"
        self.error = None
        return True


class _Reset(Command):
    """The reset; where it fails, the session ends."""

    __slots__ = ("_machine",)

    def __init__(self, machine: RequestMachine, sql: str, timeout: float) -> None:
        super().__init__(sql, essential=True, timeout=timeout)
        self._machine = machine

    def fail(self, machine: RequestMachine, error: PostgresError) -> None:
        raise RemoteProtocolError("a reset failed, and exit_on_error did not end the session") from error

    def ready(self, machine: RequestMachine, status: str) -> bool:
        if status != "I":
            raise RemoteProtocolError(f"the reset of a session left it with transaction status {status!r}")
        return True

    def overdue(self, timeout: QueryTimeout) -> Error:
        self._machine.fail(ConnectionLost("the reset of a session took too long"))
        return timeout


def reset_ahead(machine: RequestMachine, sql: str, timeout: float) -> bool:
    """Put the reset in front of everything that will be asked; False if it has to be waited for instead.

    Only for a session in which nothing is under way and no settings were changed.
    """
    statements = guarded(sql)
    if (
        statements is None
        or not machine.traces.can_reset_ahead
        or not machine.is_idle
        or machine.status != "I"
    ):
        return False
    machine.traces.holder += 1
    machine.submit(_Reset(machine, statements, timeout))
    return True
