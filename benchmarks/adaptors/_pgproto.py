"""pgproto: sessions on asyncio, uvloop, trio and plain sockets, and the pool."""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import pgproto_blocking
from benchmarks.settings import CONNECTIONS, ONE_ROW, Rows

__all__ = ["PgprotoBlocking", "PgprotoOnLoop", "PgprotoPool"]


def _into_numpy(columns: Any) -> int:
    """How many numbers numpy has of the only column; they are not copied."""
    (name,) = columns.names
    return len(columns.to_numpy(name))


class PgprotoOnLoop:
    """pgproto on asyncio, uvloop or trio."""

    def __init__(self, package: str, loop: str, row: type | None = None) -> None:
        self.loop = loop
        self._package = package
        self._row = row

    def connect(self, dsn: str) -> AbstractAsyncContextManager[Any]:
        package = importlib.import_module(self._package)
        opening: AbstractAsyncContextManager[Any] = package.connect(dsn, sslmode="disable")
        return opening

    async def one_row(self, session: Any) -> int:
        return int(await session.fetchval(ONE_ROW, 1) == 2)

    async def fetch(self, session: Any, sql: str, *args: object) -> int:
        return len(await session.fetch(sql, *args, row=self._row))

    async def fetch_columns(self, session: Any, sql: str) -> int:
        return _into_numpy(await session.fetch_columns(sql))

    async def stream(self, session: Any, sql: str) -> int:
        count = 0
        async with session.stream(sql, batch=1000) as rows:
            async for _ in rows:
                count += 1
        return count

    async def many(self, session: Any, sql: str, rows: Rows) -> int:
        return int(await session.executemany(sql, rows))

    async def copy_in(self, session: Any, table: str, types: str, rows: Rows) -> int:
        return int(await session.copy_records_to_table(table, records=rows))

    async def copy_out(self, session: Any, sql: str) -> int:
        size = 0
        async with session.copy_out(sql) as copy:
            async for chunk in copy:
                size += len(chunk)
        return size


class PgprotoPool(PgprotoOnLoop):
    """pgproto's pool on asyncio; one-shot verbs."""

    def __init__(self, loop: str, multiplex: int) -> None:
        super().__init__("pgproto_asyncio", loop)
        self._multiplex = multiplex

    def connect(self, dsn: str) -> AbstractAsyncContextManager[Any]:
        from pgproto_asyncio import Pool

        return Pool(
            dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, multiplex=self._multiplex, sslmode="disable"
        )


class PgprotoBlocking:
    """pgproto on plain sockets."""

    loop = ""

    def __init__(self, row: type | None = None) -> None:
        self._row = row

    def connect(self, dsn: str) -> AbstractContextManager[Any]:
        return pgproto_blocking.connect(dsn, sslmode="disable")

    def one_row(self, session: Any) -> int:
        return int(session.fetchval(ONE_ROW, 1) == 2)

    def fetch(self, session: Any, sql: str, *args: object) -> int:
        return len(session.fetch(sql, *args, row=self._row))

    def fetch_columns(self, session: Any, sql: str) -> int:
        return _into_numpy(session.fetch_columns(sql))

    def stream(self, session: Any, sql: str) -> int:
        with session.stream(sql, batch=1000) as rows:
            return sum(1 for _ in rows)

    def many(self, session: Any, sql: str, rows: Rows) -> int:
        return int(session.executemany(sql, rows))

    def copy_in(self, session: Any, table: str, types: str, rows: Rows) -> int:
        return int(session.copy_records_to_table(table, records=rows))

    def copy_out(self, session: Any, sql: str) -> int:
        with session.copy_out(sql) as copy:
            return sum(len(chunk) for chunk in copy)
