"""COPY for plain threads: data and rows in both directions, of any length; the twin of `_async_copy`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from pgproto._verbs._blocking import BlockingDriver, BlockingQueries
from pgproto.errors import LocalProtocolError

__all__ = ["BlockingCopies", "BlockingCopyIn", "BlockingCopyOut", "BlockingCopyRows"]


class BlockingCopies(BlockingQueries):
    """The verbs of COPY, beside those with SQL and arguments. PostgreSQL documentation: "COPY"."""

    __slots__ = ()

    def copy_in(self, sql: str, *, timeout: float | None = None) -> BlockingCopyIn:
        """COPY FROM STDIN: enter it, then write bytes or rows, which count if the block ends well.

        ``timeout`` is for all of it, in seconds; None for the session's ``command_timeout``.
        """
        driver, core, lease = self._connection()
        return BlockingCopyIn(driver, core, lease, sql, timeout)

    def copy_out(self, sql: str, *, timeout: float | None = None) -> BlockingCopyOut:
        """COPY TO STDOUT: enter it, then iterate over the data, or over its `BlockingCopyOut.rows`.

        ``timeout`` is for all of it, in seconds; None for the session's ``command_timeout``.
        """
        driver, core, lease = self._connection()
        return BlockingCopyOut(driver, core, lease, sql, timeout)

    def copy_records_to_table(
        self,
        table: str,
        *,
        records: Iterable[object],
        columns: Sequence[str] | None = None,
        schema: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Copy rows to a table, with COPY in binary format, and return how many there were.

        ``records`` is any iterable of rows; it is read as the server takes it, so
        its length does not matter. A row is a sequence of values, in the order of ``columns`` or of the
        table. Names are taken as they are. Either all rows are copied or none.

        Raises `pgproto.DataError` for a value that does not fit its column, with the row's number.
        """
        copy = self.copy_in(copy_records_sql(table, columns, schema), timeout=timeout)
        with copy:
            copy.write_rows(records)
        return copy.row_count


class BlockingCopyIn:
    """Data on its way to the server; `BlockingCopies.copy_in` makes one.

    If the block ends with an exception, the server forgets what it got, and the session can be used again; in
    a transaction, that has failed then. While the block is open, the session takes nothing else. An error of
    the server comes out of a later `write`, or of the end of the block.
    """

    __slots__ = ("_block", "_copy", "_driver", "_ended", "_lease", "_machine", "tag")

    def __init__(
        self, driver: BlockingDriver, core: SessionCore, lease: Lease | None, sql: str, timeout: float | None
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

    def __enter__(self) -> Self:
        copy, driver = self._copy, self._driver
        try:
            driver.start(copy, self._lease)
            while not (copy.begun or copy.done):
                driver.wait(copy)
            if copy.done:
                copy.result()
            self._ended = False
            self._block.enter()
            return self
        except BaseException:
            self._block.leave()
            driver.leave(copy)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            copy, driver, machine = self._copy, self._driver, self._machine
            self._block.leave()
            if self._ended:
                if kind is None and copy.abandoned:
                    raise LocalProtocolError("the copy was given up, for writing to it was interrupted")
                return
            self._ended = True
            if kind is None:
                while not copy.has_room(machine):
                    driver.wait(copy)
                driver.act(partial(copy.finish, machine))
            elif issubclass(kind, Exception):
                driver.act(partial(copy.give_up, machine, kind.__name__))
            else:
                # Whoever is being interrupted does not wait; the copy is given up all the same.
                driver.leave(copy)
                return
            while not copy.done:
                driver.wait(copy)
            if kind is None:
                self.tag = copy.result()
        except BaseException:
            self._block.leave()
            self._driver.leave(self._copy)
            raise

    def __del__(self) -> None:
        # As with transactions, the end of the block may not have been called.
        block = getattr(self, "_block", None)
        if block is not None:
            block.open = False
        if not getattr(self, "_ended", True):
            self._driver.cut_off("a copy was forgotten before it had ended")

    def write(self, data: bytes | bytearray | memoryview | str) -> None:
        """Write data in the format of the COPY, cut anywhere; text is encoded as UTF-8.

        It waits while the server does not keep up. Raises what the server has refused the copy with.
        """
        copy = self._copy
        self._check()
        try:
            for piece in copy.pieces(data):
                copy.add(piece)
                if copy.is_full:
                    self._send()
        except BaseException as error:
            if not isinstance(error, Exception):
                # Interrupted in between, nobody knows what was written: nothing more is, and nothing is kept.
                self._ended = True
                self._driver.leave(copy)
            raise

    def write_row(self, row: Sequence[object]) -> None:
        """Write a row in the format of the COPY, each value by the type of its column.

        Raises `pgproto.DataError` for a value that does not fit, and for a COPY whose table, columns and
        options are not understood; then nothing was written.
        """
        self.write_rows((row,))

    def write_rows(self, rows: Iterable[object]) -> None:
        """Write any number of rows, from any iterable."""
        copy = self._copy
        self._check()
        source = iter(rows)
        try:
            while not copy.add_rows(source):
                self._send()
        except BaseException as error:
            if not isinstance(error, Exception):
                # Interrupted in between, nobody knows what was written: nothing more is, and nothing is kept.
                self._ended = True
                self._driver.leave(copy)
            raise

    def _check(self) -> None:
        if self._ended or not self._copy.is_open(self._machine):
            self._raise()

    def _send(self) -> None:
        copy, machine = self._copy, self._machine
        while not copy.has_room(machine):
            self._driver.wait(copy)
        if not copy.is_open(machine):
            self._raise()
        self._driver.act(partial(copy.send, machine))

    def _raise(self) -> None:
        """Raise why the copy has ended."""
        if not self._ended:
            while not self._copy.done:
                self._driver.wait(self._copy)
            self._ended = True
            self._copy.result()
        raise LocalProtocolError("the copy is not open: write inside of its block")


class BlockingCopyOut:
    """Data on its way from the server; `BlockingCopies.copy_out` makes one.

    Iterating gives the data in pieces of some rows. No more is read from the server than fits into a small
    buffer. The block may be left at any time: what is still to come is dropped. While the block is open, the
    session takes nothing else.
    """

    __slots__ = ("_block", "_copy", "_driver", "_ended", "_lease", "_machine", "_rows", "tag")

    def __init__(
        self, driver: BlockingDriver, core: SessionCore, lease: Lease | None, sql: str, timeout: float | None
    ) -> None:
        self._driver = driver
        self._lease = lease
        self._machine = core.machine
        self._copy: CopyOut = core.copy_out(sql, timeout)
        self._block = CopyBlock(core.machine)
        self._ended = True
        self._rows: BlockingCopyRows | None = None
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

    def __enter__(self) -> Self:
        copy, driver = self._copy, self._driver
        try:
            driver.start(copy, self._lease)
            while not (copy.begun or copy.done):
                driver.wait(copy)
            if copy.done and not copy.begun:
                copy.result()
            self._ended = False
            self._block.enter()
            return self
        except BaseException:
            self._block.leave()
            driver.leave(copy)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            copy, driver = self._copy, self._driver
            self._block.leave()
            if self._ended:
                return
            self._ended = True
            if kind is not None and not issubclass(kind, Exception):
                driver.leave(copy)
                return
            all_read = copy.done and not copy.has_data
            driver.act(partial(copy.stop, self._machine, cancel=None if kind is None else True))
            while not copy.done:
                driver.wait(copy)
            if kind is None and all_read:
                self.tag = copy.result()
        except BaseException:
            self._block.leave()
            self._driver.leave(self._copy)
            raise

    def __del__(self) -> None:
        # As with transactions, the end of the block may not have been called.
        block = getattr(self, "_block", None)
        if block is not None:
            block.open = False
        if not getattr(self, "_ended", True):
            self._driver.cut_off("a copy was forgotten before it had ended")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        copy = self._copy
        while not (copy.has_data or copy.done):
            if self._ended:
                break
            self._driver.wait(copy)
        if copy.has_data:
            return self._driver.act(partial(copy.take, self._machine))
        if self._ended and self.tag is None:
            raise LocalProtocolError("the copy is not open: iterate inside of its block")
        if not self._ended:
            self._ended = True
            self.tag = copy.result()
        raise StopIteration

    def rows(self) -> BlockingCopyRows:
        """The data as tuples: of text in text and CSV format, of values by their types in binary format.

        NULL is None. Raises `pgproto.DataError` if the COPY's options are not understood.
        """
        if self._rows is None:
            self._rows = BlockingCopyRows(self, self._copy.row_stream())
        return self._rows


class BlockingCopyRows:
    """The rows of an `BlockingCopyOut`."""

    __slots__ = ("_copy", "_ended", "_stream", "_waiting", "count")

    def __init__(self, copy: BlockingCopyOut, stream: RowStream) -> None:
        self._copy = copy
        self._stream = stream
        self._waiting: list[Any] = []
        self._ended = False
        self.count = 0
        """How many have been read."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Any, ...]:
        while not self._waiting:
            if self._ended:
                raise StopIteration
            try:
                rows = self._stream.feed(self._copy.__next__())
            except StopIteration:
                self._ended = True
                rows = self._stream.finish()
            rows.reverse()
            self._waiting = rows
        self.count += 1
        row: tuple[Any, ...] = self._waiting.pop()
        return row
