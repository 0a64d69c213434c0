"""What can be asked of PostgreSQL with SQL and arguments, for any event loop.

Nothing here waits by itself: each verb makes a request of the core and hands it to the driver of an event
loop. The blocking twin of this module is `pgproto._verbs._blocking`; a test holds the two to the same names
and parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar, overload

from pgproto._columns import Columns
from pgproto._record import Record
from pgproto._session import (
    Batch,
    CommandTag,
    Lease,
    PreparedStatement,
    Request,
    SessionCore,
    Waitable,
)
from pgproto.messages import FieldDescription

__all__ = ["AsyncDriver", "AsyncQueries", "AsyncStatement"]

T = TypeVar("T")
R = TypeVar("R")

_SETS_AT_ONCE = 100


class AsyncDriver(Protocol):
    """What the verbs need of a transport."""

    async def perform(self, request: Request[R], lease: Lease | None = None) -> R:
        """Hand in a request and wait for its outcome."""
        ...

    def start(self, request: Request[object], lease: Lease | None = None) -> None:
        """Hand in a request."""
        ...

    async def wait(self, waitable: Waitable) -> None:
        """Wait until there is news of it."""
        ...

    def leave(self, request: Request[object]) -> None:
        """Wait for the request no more."""
        ...

    def act(self, action: Callable[[], R]) -> R:
        """Do something to the machine, and write what it then has to say."""
        ...


class AsyncQueries(ABC):
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
    def _connection(self) -> tuple[AsyncDriver, SessionCore, Lease | None]:
        """Through whom and what to ask, and under which lease; None for that of the caller's context."""

    async def execute(self, sql: str, *args: object, timeout: float | None = None) -> CommandTag:
        """Execute a statement and return its command tag, such as ``"INSERT 0 3"``; rows are dropped."""
        driver, core, lease = self._connection()
        return await driver.perform(core.execute(sql, args, timeout), lease)

    @overload
    async def fetch(
        self, sql: str, *args: object, row: None = None, timeout: float | None = None
    ) -> list[Record]: ...
    @overload
    async def fetch(
        self, sql: str, *args: object, row: type[dict[str, Any]], timeout: float | None = None
    ) -> list[dict[str, Any]]: ...
    @overload
    async def fetch(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> list[T]: ...
    async def fetch(
        self, sql: str, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> list[Any]:
        """Execute a statement and return all its rows."""
        driver, core, lease = self._connection()
        return await driver.perform(core.fetch(sql, args, row, timeout), lease)

    @overload
    async def fetchrow(
        self, sql: str, *args: object, row: None = None, timeout: float | None = None
    ) -> Record | None: ...
    @overload
    async def fetchrow(
        self, sql: str, *args: object, row: type[dict[str, Any]], timeout: float | None = None
    ) -> dict[str, Any] | None: ...
    @overload
    async def fetchrow(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> T | None: ...
    async def fetchrow(
        self, sql: str, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> Any:
        """Execute a statement and return its first row, or None if there is none."""
        driver, core, lease = self._connection()
        return await driver.perform(core.fetchrow(sql, args, row, timeout), lease)

    @overload
    async def fetch_one(
        self, sql: str, *args: object, row: None = None, timeout: float | None = None
    ) -> Record: ...
    @overload
    async def fetch_one(
        self, sql: str, *args: object, row: type[dict[str, Any]], timeout: float | None = None
    ) -> dict[str, Any]: ...
    @overload
    async def fetch_one(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> T: ...
    async def fetch_one(
        self, sql: str, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> Any:
        """Execute a statement that returns exactly one row, and return it.

        Raises `pgproto.NoRows` or `pgproto.TooManyRows` if it does not; what it did has been done.
        """
        driver, core, lease = self._connection()
        return await driver.perform(core.fetch_one(sql, args, row, timeout), lease)

    async def fetchval(self, sql: str, *args: object, column: int = 0, timeout: float | None = None) -> Any:
        """Execute a statement and return one value of its first row, or None if there is no row."""
        driver, core, lease = self._connection()
        return await driver.perform(core.fetchval(sql, args, column, timeout), lease)

    async def fetch_columns(self, sql: str, *args: object, timeout: float | None = None) -> Columns:
        """Execute a statement and return all its rows by column, without an object for each number.

        The columns go into numpy and Arrow as they are; see `pgproto.Columns`.
        """
        driver, core, lease = self._connection()
        return await driver.perform(core.fetch_columns(sql, args, timeout), lease)

    async def executemany(
        self,
        sql: str,
        args: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        timeout: float | None = None,
    ) -> int:
        """Execute a statement once for each set of arguments, as one atomic batch.

        Either all take effect or none does. ``args`` may be any iterable, also an asynchronous one; it is
        read as the server takes it, so its length does not matter. Returns how many rows were
        affected in all.
        """
        driver, core, lease = self._connection()
        batch = core.executemany(sql, timeout)
        driver.start(batch, lease)
        try:
            if isinstance(args, AsyncIterable):
                async for each in args:
                    if not await _add(driver, core, batch, [each]):
                        break
            else:
                sets = iter(args)
                while (some := list(islice(sets, _SETS_AT_ONCE))) and await _add(driver, core, batch, some):
                    continue
            driver.act(partial(batch.end, core.machine))
            while not batch.done:
                await driver.wait(batch)
        except Exception:
            # The arguments were at fault, or what they were taken from: take back what was sent of them.
            driver.act(partial(batch.take_back, core.machine))
            while not batch.done:
                await driver.wait(batch)
            raise
        except BaseException:
            driver.leave(batch)
            raise
        return batch.result()


async def _add(driver: AsyncDriver, core: SessionCore, batch: Batch, sets: list[Sequence[object]]) -> bool:
    """Add arguments as soon as there is room for them; False if the request is over already."""
    while not (batch.wants_more or batch.done):
        await driver.wait(batch)
    if batch.done:
        return False
    driver.act(partial(batch.add, core.machine, sets))
    return True


class AsyncStatement:
    """A prepared statement that its maker holds; `AsyncSession.prepare` makes one.

    Its verbs are those of a session, without the SQL. When the server has forgotten or changed what it
    prepared, the statement is prepared again by itself.

    A statement that was prepared on a transaction belongs to it, whoever executes it, and takes nothing but
    `close` after its end.
    """

    __slots__ = ("_core", "_driver", "_prepared")

    def __init__(self, driver: AsyncDriver, core: SessionCore, prepared: PreparedStatement) -> None:
        self._driver = driver
        self._core = core
        self._prepared = prepared

    @property
    def sql(self) -> str:
        """The statement."""
        return self._prepared.sql

    @property
    def parameter_types(self) -> tuple[int, ...]:
        """The OIDs of the parameters' types; empty while the statement is to be prepared again."""
        statement = self._prepared.statement
        return () if statement is None else statement.parameter_types

    @property
    def columns(self) -> tuple[FieldDescription, ...]:
        """The columns of the result, as the server described them."""
        statement = self._prepared.statement
        return () if statement is None else statement.columns

    async def execute(self, *args: object, timeout: float | None = None) -> CommandTag:
        """As the session's `execute`."""
        lease = self._prepared.open_lease()
        return await self._driver.perform(self._core.execute(self.sql, args, timeout, self._prepared), lease)

    @overload
    async def fetch(self, *args: object, row: None = None, timeout: float | None = None) -> list[Record]: ...
    @overload
    async def fetch(
        self, *args: object, row: type[dict[str, Any]], timeout: float | None = None
    ) -> list[dict[str, Any]]: ...
    @overload
    async def fetch(
        self, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> list[T]: ...
    async def fetch(
        self, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> list[Any]:
        """As the session's `fetch`."""
        lease = self._prepared.open_lease()
        return await self._driver.perform(
            self._core.fetch(self.sql, args, row, timeout, self._prepared), lease
        )

    @overload
    async def fetchrow(
        self, *args: object, row: None = None, timeout: float | None = None
    ) -> Record | None: ...
    @overload
    async def fetchrow(
        self, *args: object, row: type[dict[str, Any]], timeout: float | None = None
    ) -> dict[str, Any] | None: ...
    @overload
    async def fetchrow(
        self, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> T | None: ...
    async def fetchrow(
        self, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> Any:
        """As the session's `fetchrow`."""
        lease = self._prepared.open_lease()
        return await self._driver.perform(
            self._core.fetchrow(self.sql, args, row, timeout, self._prepared), lease
        )

    @overload
    async def fetch_one(self, *args: object, row: None = None, timeout: float | None = None) -> Record: ...
    @overload
    async def fetch_one(
        self, *args: object, row: type[dict[str, Any]], timeout: float | None = None
    ) -> dict[str, Any]: ...
    @overload
    async def fetch_one(
        self, *args: object, row: type[T] | Callable[[Record], T], timeout: float | None = None
    ) -> T: ...
    async def fetch_one(
        self, *args: object, row: Callable[..., object] | None = None, timeout: float | None = None
    ) -> Any:
        """As the session's `fetch_one`."""
        lease = self._prepared.open_lease()
        return await self._driver.perform(
            self._core.fetch_one(self.sql, args, row, timeout, self._prepared), lease
        )

    async def fetchval(self, *args: object, column: int = 0, timeout: float | None = None) -> Any:
        """As the session's `fetchval`."""
        lease = self._prepared.open_lease()
        return await self._driver.perform(
            self._core.fetchval(self.sql, args, column, timeout, self._prepared), lease
        )

    async def fetch_columns(self, *args: object, timeout: float | None = None) -> Columns:
        """As the session's `fetch_columns`."""
        lease = self._prepared.open_lease()
        return await self._driver.perform(
            self._core.fetch_columns(self.sql, args, timeout, self._prepared), lease
        )

    async def close(self) -> None:
        """Drop the statement on the server; this works in a failed transaction too."""
        if not self._prepared.closed:
            lease = self._prepared.last_lease()
            await self._driver.perform(self._core.close_statement(self._prepared), lease)
