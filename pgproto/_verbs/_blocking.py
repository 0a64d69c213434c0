"""The verbs of a blocking session, for plain threads.

The twin of `pgproto._verbs._async`; a test holds the two to the same names and parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from pgproto._record import Record
from pgproto._session import CommandTag, Request, Result, ServerVersion, SessionCore
from pgproto.errors import PostgresError

__all__ = ["BlockingQueries", "BlockingSession"]

T = TypeVar("T")
R = TypeVar("R")


class BlockingQueries(ABC):
    """What can be asked with SQL and arguments; ``$1``, ``$2`` … are the placeholders.

    Of all verbs: ``timeout`` is in seconds, None for the session's ``command_timeout``. ``row`` makes the
    row objects: None for `pgproto.Record`, ``dict``, ``tuple``, a class that is built by column name
    (dataclass, NamedTuple, attrs, pydantic), or any callable that takes a `pgproto.Record`. They raise:

    - `pgproto.PostgresError`, by the subclass of its condition, if the server says so;
    - `pgproto.DataError` for an argument that does not fit its parameter, or a value that cannot be
      decoded; the session goes on;
    - `pgproto.QueryTimeout` after ``timeout``;
    - `pgproto.ConnectionLost` if the connection has ended, with what that means in ``outcome``.

    PostgreSQL documentation: "Extended Query".
    """

    __slots__ = ()

    @abstractmethod
    def _requests(self) -> SessionCore:
        """Who makes the requests."""

    @abstractmethod
    def _perform(self, request: Request[R]) -> R:
        """Wait for the outcome of a request."""

    def execute(self, sql: str, *args: object, timeout: float | None = None) -> CommandTag:
        """Execute a statement and return its command tag, such as ``"INSERT 0 3"``; rows are dropped."""
        return self._perform(self._requests().execute(sql, args, timeout))

    @overload
    def fetch(
        self, sql: str, *args: object, row: None = None, timeout: float | None = None
    ) -> list[Record]: ...
    @overload
    def fetch(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> list[T]: ...
    def fetch(
        self, sql: str, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> list[Any]:
        """Execute a statement and return all its rows."""
        return self._perform(self._requests().fetch(sql, args, row, timeout))

    @overload
    def fetchrow(
        self, sql: str, *args: object, row: None = None, timeout: float | None = None
    ) -> Record | None: ...
    @overload
    def fetchrow(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> T | None: ...
    def fetchrow(
        self, sql: str, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> Any:
        """Execute a statement and return its first row, or None if there is none."""
        return self._perform(self._requests().fetchrow(sql, args, row, timeout))

    @overload
    def fetch_one(
        self, sql: str, *args: object, row: None = None, timeout: float | None = None
    ) -> Record: ...
    @overload
    def fetch_one(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> T: ...
    def fetch_one(
        self, sql: str, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> Any:
        """Execute a statement that returns exactly one row, and return it.

        Raises `pgproto.NoRows` or `pgproto.TooManyRows` if it does not; what it did has been done.
        """
        return self._perform(self._requests().fetch_one(sql, args, row, timeout))

    def fetchval(self, sql: str, *args: object, column: int = 0, timeout: float | None = None) -> Any:
        """Execute a statement and return one value of its first row, or None if there is no row."""
        return self._perform(self._requests().fetchval(sql, args, column, timeout))


class BlockingSession(BlockingQueries):
    """A session with PostgreSQL, which any number of threads may share.

    Requests are written in the order in which they were made and pipelined; each stands for itself, so the
    error of one touches no other. There is no background thread: whoever waits for an answer drives the
    socket for everybody who does.
    """

    __slots__ = ()

    def simple_query(self, sql: str, *, timeout: float | None = None) -> list[Result]:
        """Execute a string of any number of statements, in one implicit transaction.

        One `pgproto.Result` for each statement, with ``tag`` and ``rows``; values come as text. There are no
        parameters: never put a value into the string. PostgreSQL documentation: "Simple Query".
        """
        return self._perform(self._requests().simple_query(sql, timeout))

    def ping(self, *, timeout: float | None = None) -> None:
        """Make sure that the server answers; it leaves no trace in the server's log."""
        self._perform(self._requests().ping(timeout))

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended, for whatever reason."""
        return self._requests().is_closed

    @property
    def transaction_status(self) -> str:
        """``"I"`` idle, ``"T"`` in a transaction, ``"E"`` in one that has failed, as the server last said."""
        return self._requests().transaction_status

    @property
    def parameters(self) -> Mapping[str, str]:
        """Run-time parameters that the server reports, such as ``server_version`` and ``TimeZone``."""
        return self._requests().parameters

    @property
    def server_version(self) -> ServerVersion:
        """The server's version: it compares as ``(18, 6)`` and prints as ``"18.6"``."""
        return self._requests().server_version

    @property
    def backend_pid(self) -> int:
        """The process id of the server's side of the session."""
        return self._requests().backend_pid

    def add_notice_handler(self, handler: Callable[[PostgresError], object]) -> None:
        """Call ``handler`` with every notice and warning of the server; what it raises is logged."""
        self._requests().add_notice_handler(handler)
