"""All that pgproto raises on purpose: the whole tree.

    Error
    ├── LocalProtocolError      the caller asked for what the protocol's state forbids; nothing was sent
    ├── RemoteProtocolError     the server broke the protocol; the connection is unusable from now on
    ├── PostgresError           the server answered with an error: sqlstate, message, detail, hint ...
    │   ├── IntegrityConstraintViolation            one base for each class of SQLSTATEs ...
    │   │   ├── UniqueViolation                     ... and one class for each condition
    │   │   └── ...
    │   └── ...
    ├── ConfigError             the connection parameters cannot be used
    ├── AuthenticationError     the server's proof, or what it asks for, is not acceptable
    ├── TLSError                no TLS connection that satisfies sslmode came about
    ├── DataError               a value cannot be encoded or decoded; only its own request fails
    ├── ConnectionLost          the connection ended; `outcome` says what became of the request
    │   └── CommitUnknown       ... while a COMMIT was under way: it may or may not have happened
    ├── TransactionRolledBack   COMMIT was answered with ROLLBACK: nothing of the transaction was kept
    ├── QueryTimeout            a request took longer than its `timeout`            (also a TimeoutError)
    ├── PoolTimeout             no session became free within `acquire_timeout`     (also a TimeoutError)
    ├── PoolClosed              the pool is closed, or closing
    ├── PipelineAborted         an earlier request of the same pipeline failed: `cause`
    ├── NoRows                  there had to be exactly one row, and there was none
    ├── TooManyRows             there had to be exactly one row, and there were more
    └── ResultTooLarge          a result grew past the limit that was set for it

`CommitUnknown` is a `ConnectionLost`, always with the outcome "unknown", so that one `except ConnectionLost`
sees every request that the end of a connection cut short. A server that refuses a password answers with
`InvalidPassword`, a `PostgresError`; `AuthenticationError` is this side's verdict about the server. Where a
condition of PostgreSQL has the name of a built-in exception (`SyntaxError`, `SystemError`, `Warning`), spell
it `errors.SyntaxError`. PL/pgSQL's condition too_many_rows is `PlpgsqlErrorTooManyRows`. Conditions that two
classes of SQLSTATEs have in common carry the name of the class in the second: `NullValueNotAllowed` is 22004,
`ExternalRoutineInvocationExceptionNullValueNotAllowed` is 39004.

Every error can be copied and pickled, with its attributes; as always in Python, `__cause__` and the traceback
stay behind. No message holds a password or a key.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pgproto import _sqlstates
from pgproto._postgres_error import CLASS_OF_SQLSTATE, Error, PostgresError, postgres_error_class
from pgproto._sqlstates import *  # noqa: F403  # the generated classes; their names are in its __all__

__all__: list[str] = [
    "AuthenticationError",
    "CommitUnknown",
    "ConfigError",
    "ConnectionLost",
    "DataError",
    "Error",
    "LocalProtocolError",
    "NoRows",
    "Outcome",
    "PipelineAborted",
    "PoolClosed",
    "PoolTimeout",
    "PostgresError",
    "QueryTimeout",
    "RemoteProtocolError",
    "ResultTooLarge",
    "TLSError",
    "TooManyRows",
    "TransactionRolledBack",
    "postgres_error_class",
]
__all__ += _sqlstates.__all__

Outcome: TypeAlias = Literal["not_sent", "not_committed", "unknown"]
"""What became of a request that the end of its connection cut short.

"not_sent": no byte of it left, so it may be sent again. "not_committed": nothing that could commit was sent
completely, so the server has rolled it back. "unknown": the server may have carried it out.
"""


class LocalProtocolError(Error):
    """The caller asked for what the protocol's state forbids.

    Nothing was sent, and the state is as before. A message that cannot be encoded (too long, a number out of
    range) is one of these too.
    """


class RemoteProtocolError(Error):
    """The other side broke the protocol.

    The connection is unusable from now on: what its further bytes mean cannot be known.
    """


class ConfigError(Error):
    """The connection parameters cannot be used.

    The message names the parameter, and never quotes the connection string or a password.
    """


class AuthenticationError(Error):
    """The server failed to prove that it knows the password, or asks for a kind of authentication that is not
    allowed.

    A server that refuses the password says so itself: `InvalidPassword`, or another `PostgresError`.
    """


class TLSError(Error):
    """No TLS connection came about that satisfies `sslmode`, or an established one was damaged."""


class DataError(Error):
    """A value cannot be encoded for its type, or what the server sent cannot be decoded.

    Only the request that it belongs to fails; the session goes on.
    """


class ConnectionLost(Error):
    """The connection to the server ended, or could not be established."""

    outcome: Outcome

    def __init__(self, message: str = "the connection was lost", *, outcome: Outcome = "unknown") -> None:
        super().__init__(message)
        self.outcome = outcome


class CommitUnknown(ConnectionLost):
    """The connection ended while a COMMIT was under way: whether the transaction was committed cannot be
    known from here.

    Do not just run it again. Look first whether its effects are there.
    """

    def __init__(
        self, message: str = "the connection was lost during COMMIT; whether it took place is not known"
    ) -> None:
        super().__init__(message, outcome="unknown")


class TransactionRolledBack(Error):
    """The server answered COMMIT with ROLLBACK, as it does when an earlier statement had failed."""


class QueryTimeout(Error, TimeoutError):
    """A request took longer than its `timeout` (seconds) allows."""


class PoolTimeout(Error, TimeoutError):
    """No session became free within `acquire_timeout` (seconds)."""


class PoolClosed(Error):
    """The pool is closed, or closing, and gives out no more sessions."""


class PipelineAborted(Error):
    """An earlier request of the same pipeline failed, so the server did not run this one."""

    cause: BaseException | None
    """What the earlier request failed with."""

    def __init__(
        self,
        message: str = "not executed: an earlier request of the same pipeline failed",
        *,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.__cause__ = cause


class NoRows(Error):
    """There had to be exactly one row, and there was none."""


class TooManyRows(Error):
    """There had to be exactly one row, and there were more."""


class ResultTooLarge(Error):
    """A result grew past the limit that was set for it, and was given up."""


# In tracebacks and pickles, all of them are at home here.
for _cls in (Error, PostgresError, *CLASS_OF_SQLSTATE.values()):
    _cls.__module__ = __name__
