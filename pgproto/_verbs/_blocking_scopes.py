"""What is entered with ``with``: transactions, row streams, pipelines; the twin of `_async_scopes`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, overload

from pgproto._columns import Columns
from pgproto._record import Record
from pgproto._session import CommandTag, Lease, PipelineResult, Request, Result, SessionCore
from pgproto._verbs._blocking import BlockingDriver, BlockingStatement
from pgproto._verbs._blocking_copy import BlockingCopies
from pgproto._verbs._blocking_outcome import outcome_of
from pgproto.errors import Error, LocalProtocolError

__all__ = ["BlockingPipeline", "BlockingRowStream", "BlockingTransaction", "BlockingVerbs"]

T = TypeVar("T")


class BlockingVerbs(BlockingCopies):
    """The rest of what a session and a transaction both can do."""

    __slots__ = ()

    def prepare(self, sql: str, *, timeout: float | None = None) -> BlockingStatement:
        """Prepare a statement, to be executed many times."""
        driver, core, lease = self._connection()
        prepared = driver.perform(core.prepare(sql, timeout), lease)
        return BlockingStatement(driver, core, prepared)

    def simple_query(self, sql: str, *, timeout: float | None = None) -> list[Result]:
        """Execute a string of any number of statements, in one implicit transaction.

        One `pgproto.Result` for each statement, with ``tag`` and ``rows``; values come as text. There are no
        parameters: never put a value into the string. PostgreSQL documentation: "Simple Query".
        """
        driver, core, lease = self._connection()
        return driver.perform(core.simple_query(sql, timeout), lease)

    @overload
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: None = None
    ) -> BlockingRowStream[Record]: ...
    @overload
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: type[dict[str, Any]]
    ) -> BlockingRowStream[dict[str, Any]]: ...
    @overload
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: type[T] | Callable[[Record], T]
    ) -> BlockingRowStream[T]: ...
    def stream(
        self, sql: str, *args: object, batch: int = 500, row: Callable[..., object] | None = None
    ) -> BlockingRowStream[Any]:
        """The rows of a statement, ``batch`` of them in memory at a time; enter it, then iterate.

        It runs in the caller's transaction, or opens one of its own for the time of the block.
        """
        driver, core, lease = self._connection()
        return BlockingRowStream(driver, core, lease, sql, args, batch, row)

    def pipeline(self, *, timeout: float | None = None) -> BlockingPipeline:
        """Several statements as one atomic group, sent together at the end of a ``with`` block."""
        driver, core, lease = self._connection()
        return BlockingPipeline(driver, core, lease, timeout)


class BlockingTransaction(BlockingVerbs):
    """A transaction, or a savepoint; `BlockingSession.transaction` makes one."""

    __slots__ = ("_core", "_driver", "_scope")

    def __init__(
        self,
        driver: BlockingDriver,
        core: SessionCore,
        isolation: str | None,
        readonly: bool,
        deferrable: bool,
    ) -> None:
        self._driver = driver
        self._core = core
        self._scope = core.transaction(isolation, readonly, deferrable)

    def _connection(self) -> tuple[BlockingDriver, SessionCore, Lease | None]:
        return self._driver, self._core, self._scope.open_lease()

    def __enter__(self) -> Self:
        begin: Request[CommandTag] | None = None
        try:
            begin = self._driver.act(self._scope.begin)
            self._driver.perform(begin, self._scope.lease)
            return self
        except BaseException as error:
            # If it was not even begun because it must not be, there is nothing to undo.
            if begin is not None or not isinstance(error, Exception):
                self._driver.act(self._give_up)
            raise

    def _give_up(self) -> None:
        if (undo := self._scope.give_up()) is not None:
            self._core.machine.submit(undo, self._scope.lease)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._scope.is_over:
                if error is None:
                    self._scope.check_kept()
            elif error is None:
                self.commit()
            elif isinstance(error, Exception):
                # What went wrong in the block matters more than what goes wrong now.
                with suppress(Error):
                    self.rollback()
            else:
                # Whoever is being cancelled does not wait; the command goes out all the same.
                self._driver.act(self._give_up)
        except Exception:
            raise
        except BaseException:
            self._driver.act(self._give_up)
            raise

    def __del__(self) -> None:
        # Nothing that is written in Python is sure to be called at the end of a block: the interrupt can come
        # before its first line.
        scope = getattr(self, "_scope", None)
        if scope is not None and scope.is_left_open:
            self._driver.cut_off("a transaction was forgotten before it had ended")

    def _submit(self, make: Callable[[], Request[CommandTag]]) -> Request[CommandTag]:
        """Make a command and hand it in, in one step: a transaction that has ended has been told to."""
        lease = self._scope.open_lease()

        def submit() -> Request[CommandTag]:
            request = make()
            self._core.machine.submit(request, lease)
            return request

        return self._driver.act(submit)

    def prepare(self, sql: str, *, timeout: float | None = None) -> BlockingStatement:
        """Prepare a statement for this transaction: it belongs to it in whatever context it is executed."""
        driver, core, lease = self._connection()
        prepared = driver.perform(core.prepare(sql, timeout, self._scope), lease)
        return BlockingStatement(driver, core, prepared)

    def transaction(self) -> BlockingTransaction:
        """A savepoint in this transaction."""
        return BlockingTransaction(self._driver, self._core, None, False, False)

    def commit(self) -> None:
        """Keep what was done, and end the transaction.

        Raises `pgproto.TransactionRolledBack` if the server rolled it back instead, because a statement had
        failed; `pgproto.CommitUnknown` if the connection was lost before the server's answer came. A caller
        that is cancelled meanwhile gets its cancellation, with `pgproto.CommitUnknown` as the cause.
        """
        commit: Request[CommandTag] | None = None
        try:
            commit = self._submit(self._scope.commit)
            outcome_of(self._driver, commit)
            self._scope.released()
        except BaseException as error:
            if commit is not None:
                self._scope.left(commit, error)
                if not self._scope.ended:
                    self._submit(lambda: self._scope.rollback().unattended())
            raise

    def rollback(self) -> None:
        """Undo what was done, and end the transaction."""
        outcome_of(self._driver, self._submit(self._scope.rollback))


class BlockingRowStream(Generic[T]):
    """Rows that come in batches; `BlockingSession.stream` makes one."""

    __slots__ = ("_core", "_cursor", "_driver", "_fetching", "_lease", "_rows", "_transaction", "_within")

    def __init__(
        self,
        driver: BlockingDriver,
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
        self._transaction: BlockingTransaction | None = None
        self._fetching: Request[list[object]] | None = None
        self._lease: Lease | None = None
        self._within = lease
        self._rows: list[object] = []

    def __enter__(self) -> Self:
        try:
            within = self._within or self._core.lease()
            if within is None:
                self._transaction = BlockingTransaction(self._driver, self._core, None, False, False)
                self._transaction.__enter__()
            self._lease = within or self._core.lease()
            self._start(self._cursor.open())
            self._take()
            return self
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            lease, self._lease = self._lease, None
            fetching, self._fetching = self._fetching, None
            self._rows.clear()
            if fetching is not None:
                self._driver.leave(fetching)
            if lease is not None and not self._core.is_closed:
                self._driver.start(self._cursor.close(), lease)
            if self._transaction is not None:
                self._transaction.__exit__(kind, error, traceback)
        except Exception:
            raise
        except BaseException as interrupt:
            if self._transaction is not None:
                self._transaction.__exit__(type(interrupt), interrupt, interrupt.__traceback__)
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._rows:
            if self._lease is None:
                raise LocalProtocolError("the stream is not open: iterate inside of its block")
            if self._fetching is None:
                raise StopIteration
            self._take()
        return cast("T", self._rows.pop())

    def _start(self, request: Request[list[object]]) -> None:
        self._fetching = request
        self._driver.start(request, self._lease)

    def _take(self) -> None:
        """Take the batch that is under way, and have the next one sent while this one is read."""
        fetching = self._fetching
        if fetching is None:
            return
        while not fetching.done:
            self._driver.wait(fetching)
        self._fetching = None
        rows = fetching.result()
        rows.reverse()
        self._rows = rows
        if not self._cursor.exhausted:
            self._start(self._cursor.fetch())


class BlockingPipeline:
    """Statements that are sent together when the block ends; `BlockingSession.pipeline` makes one.

    They are one atomic group: outside a transaction, an error in one undoes all. Each verb returns an object
    whose ``result()`` gives the statement's outcome after the block: one that failed raises its error, those
    behind it `pgproto.PipelineAborted`. Those before it have been executed and give what they gave, but
    nothing that they changed was kept; so ask the last one whether all went well. An error that nobody asks
    for is a `ResourceWarning`. If the block ends with an exception, nothing is sent.
    """

    __slots__ = ("_core", "_driver", "_lease", "_results", "_timeout")

    def __init__(
        self, driver: BlockingDriver, core: SessionCore, lease: Lease | None, timeout: float | None
    ) -> None:
        self._driver = driver
        self._core = core
        self._lease = lease
        self._timeout = timeout
        self._results: list[PipelineResult[Any]] | None = None

    def __enter__(self) -> Self:
        self._results = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        results, self._results = self._results, None
        if error is None and results:
            self._driver.perform(self._core.pipeline(results, self._timeout), self._lease)

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
