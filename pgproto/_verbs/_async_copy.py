"""COPY for any event loop: data and rows in both directions, of any length in bounded memory.

The blocking twin of this module is `pgproto._verbs._blocking_copy`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from pgproto._session import (
    CommandTag,
    CopyBlock,
    CopyIn,
    CopyOut,
    Lease,
    RowStream,
    SessionCore,
    copy_records_sql,
)
from pgproto._verbs._async import AsyncDriver, AsyncQueries
from pgproto.errors import LocalProtocolError

__all__ = ["AsyncCopies", "AsyncCopyIn", "AsyncCopyOut", "AsyncCopyRows"]


class AsyncCopies(AsyncQueries):
    """The verbs of COPY, beside those with SQL and arguments. PostgreSQL documentation: "COPY"."""

    __slots__ = ()

    def copy_in(self, sql: str, *, timeout: float | None = None) -> AsyncCopyIn:
        """COPY FROM STDIN: enter it, then write bytes or rows, which count if the block ends well.

        ``timeout`` is for all of it, in seconds; None for the session's ``command_timeout``.
        """
        driver, core, lease = self._connection()
        return AsyncCopyIn(driver, core, lease, sql, timeout)

    def copy_out(self, sql: str, *, timeout: float | None = None) -> AsyncCopyOut:
        """COPY TO STDOUT: enter it, then iterate over the data, or over its `AsyncCopyOut.rows`.

        ``timeout`` is for all of it, in seconds; None for the session's ``command_timeout``.
        """
        driver, core, lease = self._connection()
        return AsyncCopyOut(driver, core, lease, sql, timeout)

    async def copy_records_to_table(
        self,
        table: str,
        *,
        records: Iterable[object] | AsyncIterable[object],
        columns: Sequence[str] | None = None,
        schema: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Copy rows to a table, with COPY in binary format, and return how many there were.

        ``records`` is any iterable of rows, also an asynchronous one; it is read as the server takes it, so
        its length does not matter. A row is a sequence of values, in the order of ``columns`` or of the
        table. Names are taken as they are. Either all rows are copied or none.

        Raises `pgproto.DataError` for a value that does not fit its column, with the row's number.
        """
        copy = self.copy_in(copy_records_sql(table, columns, schema), timeout=timeout)
        async with copy:
            await copy.write_rows(records)
        return copy.row_count


class AsyncCopyIn:
    """Data on its way to the server; `AsyncCopies.copy_in` makes one.

    If the block ends with an exception, the server forgets what it got, and the session can be used again; in
    a transaction, that has failed then. While the block is open, the session takes nothing else. An error of
    the server comes out of a later `write`, or of the end of the block.
    """

    __slots__ = ("_block", "_copy", "_driver", "_ended", "_lease", "_machine", "tag")

    def __init__(
        self, driver: AsyncDriver, core: SessionCore, lease: Lease | None, sql: str, timeout: float | None
    ) -> None:
        self._driver = driver
        self._lease = lease
        self._machine = core.machine
        self._copy: CopyIn = core.copy_in(sql, timeout)
        self._block = CopyBlock(core.machine)
        self._ended = True
        self.tag: CommandTag | None = None
        """What the server said at the end, such as ``"COPY 3"``; None before."""

    @property
    def byte_count(self) -> int:
        """How many bytes of data were written."""
        return self._copy.byte_count

    @property
    def row_count(self) -> int:
        """How many rows were written as rows; after the block, how many the server took in all."""
        return self._copy.row_count

    async def __aenter__(self) -> Self:
        copy, driver = self._copy, self._driver
        driver.start(copy, self._lease)
        try:
            while not (copy.begun or copy.done):
                await driver.wait(copy)
        except BaseException:
            driver.leave(copy)
            raise
        if copy.done:
            copy.result()
        self._ended = False
        self._block.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.leave()
        if self._ended:
            return
        self._ended = True
        copy, driver, machine = self._copy, self._driver, self._machine
        try:
            if kind is None:
                while not copy.has_room(machine):
                    await driver.wait(copy)
                driver.act(partial(copy.finish, machine))
            elif issubclass(kind, Exception):
                driver.act(partial(copy.give_up, machine, kind.__name__))
            else:
                # Whoever is being cancelled does not wait; the copy is given up all the same.
                driver.leave(copy)
                return
            while not copy.done:
                await driver.wait(copy)
        except BaseException:
            driver.leave(copy)
            raise
        if kind is None:
            self.tag = copy.result()

    async def write(self, data: bytes | bytearray | memoryview | str) -> None:
        """Write data in the format of the COPY, cut anywhere; text is encoded as UTF-8.

        It waits while the server does not keep up. Raises what the server has refused the copy with.
        """
        copy = self._copy
        await self._check()
        for piece in copy.pieces(data):
            copy.add(piece)
            if copy.is_full:
                await self._send()

    async def write_row(self, row: Sequence[object]) -> None:
        """Write a row in the format of the COPY, each value by the type of its column.

        Raises `pgproto.DataError` for a value that does not fit, and for a COPY whose table, columns and
        options are not understood; then nothing was written.
        """
        await self._check()
        self._copy.add_rows(iter((row,)))
        if self._copy.is_full:
            await self._send()

    async def write_rows(self, rows: Iterable[object] | AsyncIterable[object]) -> None:
        """Write any number of rows, from any iterable, also an asynchronous one."""
        copy = self._copy
        await self._check()
        if isinstance(rows, AsyncIterable):
            copy.add_rows(iter(()))
            async for row in rows:
                await self._check()
                copy.add_rows(iter((row,)))
                if copy.is_full:
                    await self._send()
        else:
            source = iter(rows)
            while not copy.add_rows(source):
                await self._send()

    async def _check(self) -> None:
        if self._ended or not self._copy.is_open(self._machine):
            await self._raise()

    async def _send(self) -> None:
        copy, machine = self._copy, self._machine
        while copy.stirred or not copy.has_room(machine):
            # Even where there is room, others get their turn.
            await self._driver.wait(copy)
        if not copy.is_open(machine):
            await self._raise()
        self._driver.act(partial(copy.send, machine))

    async def _raise(self) -> None:
        """Raise why the copy has ended."""
        if not self._ended:
            while not self._copy.done:
                await self._driver.wait(self._copy)
            self._ended = True
            self._copy.result()
        raise LocalProtocolError("the copy is not open: write inside of its block")


class AsyncCopyOut:
    """Data on its way from the server; `AsyncCopies.copy_out` makes one.

    Iterating gives the data in pieces of some rows. No more is read from the server than fits into a small
    buffer. The block may be left at any time: what is still to come is dropped. While the block is open, the
    session takes nothing else.
    """

    __slots__ = ("_block", "_copy", "_driver", "_ended", "_lease", "_machine", "_rows", "tag")

    def __init__(
        self, driver: AsyncDriver, core: SessionCore, lease: Lease | None, sql: str, timeout: float | None
    ) -> None:
        self._driver = driver
        self._lease = lease
        self._machine = core.machine
        self._copy: CopyOut = core.copy_out(sql, timeout)
        self._block = CopyBlock(core.machine)
        self._ended = True
        self._rows: AsyncCopyRows | None = None
        self.tag: CommandTag | None = None
        """What the server said at the end, such as ``"COPY 3"``; None if its end was not read."""

    @property
    def byte_count(self) -> int:
        """How many bytes of data were read."""
        return self._copy.byte_count

    @property
    def row_count(self) -> int:
        """How many rows were read with `rows`; when all was read, how many the server sent in all."""
        if self.tag is not None and self.tag.rows is not None:
            return self.tag.rows
        return 0 if self._rows is None else self._rows.count

    async def __aenter__(self) -> Self:
        copy, driver = self._copy, self._driver
        driver.start(copy, self._lease)
        try:
            while not (copy.begun or copy.done):
                await driver.wait(copy)
        except BaseException:
            driver.leave(copy)
            raise
        if copy.done and not copy.begun:
            copy.result()
        self._ended = False
        self._block.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.leave()
        if self._ended:
            return
        self._ended = True
        copy, driver = self._copy, self._driver
        if kind is not None and not issubclass(kind, Exception):
            driver.leave(copy)
            return
        all_read = copy.done and not copy.has_data
        try:
            driver.act(partial(copy.stop, self._machine, cancel=None if kind is None else True))
            while not copy.done:
                await driver.wait(copy)
        except BaseException:
            driver.leave(copy)
            raise
        if kind is None and all_read:
            self.tag = copy.result()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        copy = self._copy
        while not (copy.has_data or copy.done):
            if self._ended:
                break
            await self._driver.wait(copy)
        if copy.has_data:
            return self._driver.act(partial(copy.take, self._machine))
        if self._ended and self.tag is None:
            raise LocalProtocolError("the copy is not open: iterate inside of its block")
        if not self._ended:
            self._ended = True
            self.tag = copy.result()
        raise StopAsyncIteration

    def rows(self) -> AsyncCopyRows:
        """The data as tuples: of text in text and CSV format, of values by their types in binary format.

        NULL is None. Raises `pgproto.DataError` if the COPY's options are not understood.
        """
        if self._rows is None:
            self._rows = AsyncCopyRows(self, self._copy.row_stream())
        return self._rows


class AsyncCopyRows:
    """The rows of an `AsyncCopyOut`."""

    __slots__ = ("_copy", "_ended", "_stream", "_waiting", "count")

    def __init__(self, copy: AsyncCopyOut, stream: RowStream) -> None:
        self._copy = copy
        self._stream = stream
        self._waiting: list[Any] = []
        self._ended = False
        self.count = 0
        """How many have been read."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Any, ...]:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            try:
                rows = self._stream.feed(await self._copy.__anext__())
            except StopAsyncIteration:
                self._ended = True
                rows = self._stream.finish()
            rows.reverse()
            self._waiting = rows
        self.count += 1
        row: tuple[Any, ...] = self._waiting.pop()
        return row
