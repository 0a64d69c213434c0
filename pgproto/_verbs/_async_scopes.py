"""What is entered with ``async with``: transactions, row streams, pipelines.

The blocking twin of this module is `pgproto._verbs._blocking_scopes`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, overload

from pgproto._columns import Columns
from pgproto._record import Record
from pgproto._session import CommandTag, Lease, PipelineResult, Request, Result, SessionCore
from pgproto._verbs._async import AsyncDriver, AsyncStatement
from pgproto._verbs._async_copy import AsyncCopies
from pgproto.errors import Error, LocalProtocolError

__all__ = ["AsyncPipeline", "AsyncRowStream", "AsyncTransaction", "AsyncVerbs"]

T = TypeVar("T")


class AsyncVerbs(AsyncCopies):
    """The rest of what a session and a transaction both can do."""

    __slots__ = ()

    async def prepare(self, sql: str, *, timeout: float | None = None) -> AsyncStatement:
        """Prepare a statement, to be executed many times."""
        driver, core, lease = self._connection()
        prepared = await driver.perform(core.prepare(sql, timeout), lease)
        return AsyncStatement(driver, core, prepared)

    async def simple_query(self, sql: str, *, timeout: float | None = None) -> list[Result]:
        """Execute a string of any number of statements, in one implicit transaction.

        One `pgproto.Result` for each statement, with ``tag`` and ``rows``; values come as text. There are no
        parameters: never put a value into the string. PostgreSQL documentation: "Simple Query".
        """
        driver, core, lease = self._connection()
        return await driver.perform(core.simple_query(sql, timeout), lease)

    @overload
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: None = None
    ) -> AsyncRowStream[Record]: ...
    @overload
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: type[dict[str, Any]]
    ) -> AsyncRowStream[dict[str, Any]]: ...
    @overload
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: type[T] | Callable[[Record], T]
    ) -> AsyncRowStream[T]: ...
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: Callable[..., object] | None = None
    ) -> AsyncRowStream[Any]:
        """The rows of a statement, ``batch`` of them in memory at a time; enter it, then iterate.

        It runs in the caller's transaction, or opens one of its own for the time of the block.
        """
        driver, core, lease = self._connection()
        return AsyncRowStream(driver, core, lease, sql, args, batch, row)

    def pipeline(self, *, timeout: float | None = None) -> AsyncPipeline:
        """Several statements as one atomic group, sent together at the end of an ``async with`` block."""
        driver, core, lease = self._connection()
        return AsyncPipeline(driver, core, lease, timeout)


class AsyncTransaction(AsyncVerbs):
    """A transaction, or a savepoint; `AsyncSession.transaction` makes one."""

    __slots__ = ("_core", "_driver", "_scope")

    def __init__(
        self, driver: AsyncDriver, core: SessionCore, isolation: str | None, readonly: bool, deferrable: bool
    ) -> None:
        self._driver = driver
        self._core = core
        self._scope = core.transaction(isolation, readonly, deferrable)

    def _connection(self) -> tuple[AsyncDriver, SessionCore, Lease | None]:
        return self._driver, self._core, self._scope.open_lease()

    async def __aenter__(self) -> Self:
        begin = self._scope.begin()
        try:
            await self._driver.perform(begin, self._scope.lease)
        except BaseException:
            if (undo := self._scope.give_up()) is not None:
                self._driver.start(undo, self._scope.lease)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._scope.is_over:
            if error is None:
                self._scope.check_kept()
            return
        if error is None:
            await self.commit()
        elif isinstance(error, Exception):
            # What went wrong in the block matters more than what goes wrong now.
            with suppress(Error):
                await self.rollback()
        else:
            # Whoever is being cancelled does not wait; the command goes out all the same.
            self._driver.start(self._scope.rollback().unattended(), self._scope.lease)

    async def prepare(self, sql: str, *, timeout: float | None = None) -> AsyncStatement:
        """Prepare a statement for this transaction: it belongs to it in whatever context it is executed."""
        driver, core, lease = self._connection()
        prepared = await driver.perform(core.prepare(sql, timeout, self._scope), lease)
        return AsyncStatement(driver, core, prepared)

    def transaction(self) -> AsyncTransaction:
        """A savepoint in this transaction."""
        return AsyncTransaction(self._driver, self._core, None, False, False)

    async def commit(self) -> None:
        """Keep what was done, and end the transaction.

        Raises `pgproto.TransactionRolledBack` if the server rolled it back instead, because a statement had
        failed; `pgproto.CommitUnknown` if the connection was lost before the server's answer came. A caller
        that is cancelled meanwhile gets its cancellation, with `pgproto.CommitUnknown` as the cause.
        """
        lease = self._scope.open_lease()
        commit = self._scope.commit()
        try:
            await self._driver.perform(commit, lease)
        except BaseException as error:
            self._scope.left(commit, error)
            if not self._scope.ended:
                self._driver.start(self._scope.rollback().unattended(), lease)
            raise
        self._scope.released()

    async def rollback(self) -> None:
        """Undo what was done, and end the transaction."""
        lease = self._scope.open_lease()
        await self._driver.perform(self._scope.rollback(), lease)


class AsyncRowStream(Generic[T]):
    """Rows that come in batches; `AsyncSession.stream` makes one."""

    __slots__ = ("_core", "_cursor", "_driver", "_fetching", "_lease", "_rows", "_transaction", "_within")

    def __init__(
        self,
        driver: AsyncDriver,
        core: SessionCore,
        lease: Lease | None,
        sql: str,
        arguments: tuple[object, ...],
        batch: int,
        row: Callable[..., object] | None,
    ) -> None:
        self._driver = driver
        self._core = core
        self._cursor = core.cursor(sql, arguments, batch, row)
        self._transaction: AsyncTransaction | None = None
        self._fetching: Request[list[object]] | None = None
        self._lease: Lease | None = None
        self._within = lease
        self._rows: list[object] = []

    async def __aenter__(self) -> Self:
        within = self._within or self._core.lease()
        if within is None:
            self._transaction = AsyncTransaction(self._driver, self._core, None, False, False)
            await self._transaction.__aenter__()
        self._lease = within or self._core.lease()
        try:
            self._start(self._cursor.open())
            await self._take()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        fetching, self._fetching = self._fetching, None
        self._rows.clear()
        if fetching is not None:
            self._driver.leave(fetching)
        if lease is not None and not self._core.is_closed:
            self._driver.start(self._cursor.close(), lease)
        if self._transaction is not None:
            await self._transaction.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._rows:
            if self._lease is None:
                raise LocalProtocolError("the stream is not open: iterate inside of its block")
            if self._fetching is None:
                raise StopAsyncIteration
            await self._take()
        return cast("T", self._rows.pop())

    def _start(self, request: Request[list[object]]) -> None:
        self._fetching = request
        self._driver.start(request, self._lease)

    async def _take(self) -> None:
        """Take the batch that is under way, and have the next one sent while this one is read."""
        fetching = self._fetching
        if fetching is None:
            return
        while not fetching.done:
            await self._driver.wait(fetching)
        self._fetching = None
        rows = fetching.result()
        rows.reverse()
        self._rows = rows
        if not self._cursor.exhausted:
            self._start(self._cursor.fetch())


class AsyncPipeline:
    """Statements that are sent together when the block ends; `AsyncSession.pipeline` makes one.

    They are one atomic group: outside a transaction, an error in one undoes all. Each verb returns an object
    whose ``result()`` gives the statement's outcome after the block: one that failed raises its error, those
    behind it `pgproto.PipelineAborted`. Those before it have been executed and give what they gave, but
    nothing that they changed was kept; so ask the last one whether all went well. An error that nobody asks
    for is a `ResourceWarning`. If the block ends with an exception, nothing is sent.
    """

    __slots__ = ("_core", "_driver", "_lease", "_results", "_timeout")

    def __init__(
        self, driver: AsyncDriver, core: SessionCore, lease: Lease | None, timeout: float | None
    ) -> None:
        self._driver = driver
        self._core = core
        self._lease = lease
        self._timeout = timeout
        self._results: list[PipelineResult[Any]] | None = None

    async def __aenter__(self) -> Self:
        self._results = []
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        results, self._results = self._results, None
        if error is None and results:
            await self._driver.perform(self._core.pipeline(results, self._timeout), self._lease)

    def _add(self, result: PipelineResult[T]) -> PipelineResult[T]:
        if self._results is None:
            raise LocalProtocolError("the pipeline is not open: add statements inside of its block")
        self._results.append(result)
        return result

    def execute(self, sql: str, *args: object) -> PipelineResult[CommandTag]:
        """As the session's `execute`."""
        return self._add(self._core.later_execute(sql, args))

    @overload
    def fetch(self, sql: str, *args: object, row: None = None) -> PipelineResult[list[Record]]: ...
    @overload
    def fetch(
        self, sql: str, *args: object, row: type[dict[str, Any]]
    ) -> PipelineResult[list[dict[str, Any]]]: ...
    @overload
    def fetch(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T]
    ) -> PipelineResult[list[T]]: ...
    def fetch(
        self, sql: str, *args: object, row: Callable[..., object] | None = None
    ) -> PipelineResult[list[Any]]:
        """As the session's `fetch`."""
        return self._add(self._core.later_fetch(sql, args, row))

    @overload
    def fetchrow(self, sql: str, *args: object, row: None = None) -> PipelineResult[Record | None]: ...
    @overload
    def fetchrow(
        self, sql: str, *args: object, row: type[dict[str, Any]]
    ) -> PipelineResult[dict[str, Any] | None]: ...
    @overload
    def fetchrow(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T]
    ) -> PipelineResult[T | None]: ...
    def fetchrow(
        self, sql: str, *args: object, row: Callable[..., object] | None = None
    ) -> PipelineResult[Any]:
        """As the session's `fetchrow`."""
        return self._add(self._core.later_fetchrow(sql, args, row))

    @overload
    def fetch_one(self, sql: str, *args: object, row: None = None) -> PipelineResult[Record]: ...
    @overload
    def fetch_one(
        self, sql: str, *args: object, row: type[dict[str, Any]]
    ) -> PipelineResult[dict[str, Any]]: ...
    @overload
    def fetch_one(
        self, sql: str, *args: object, row: type[T] | Callable[[Record], T]
    ) -> PipelineResult[T]: ...
    def fetch_one(
        self, sql: str, *args: object, row: Callable[..., object] | None = None
    ) -> PipelineResult[Any]:
        """As the session's `fetch_one`."""
        return self._add(self._core.later_fetch_one(sql, args, row))

    def fetchval(self, sql: str, *args: object, column: int = 0) -> PipelineResult[Any]:
        """As the session's `fetchval`."""
        return self._add(self._core.later_fetchval(sql, args, column))

    def fetch_columns(self, sql: str, *args: object) -> PipelineResult[Columns]:
        """As the session's `fetch_columns`."""
        return self._add(self._core.later_fetch_columns(sql, args))
