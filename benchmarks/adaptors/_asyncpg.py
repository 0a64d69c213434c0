"""asyncpg: one connection, or its pool; it caches prepared statements by itself."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.settings import CONNECTIONS, ONE_ROW, Rows, settings

__all__ = ["Asyncpg"]


async def _no_reset(connection: Any) -> None:
    """What its pool shall do with a connection that comes back: nothing."""


class Asyncpg:
    """asyncpg on asyncio or uvloop. Its pool resets connections when they come back, unless told not to."""

    def __init__(self, loop: str, *, pool: bool = False, reset: bool = True) -> None:
        self.loop = loop
        self._pool = pool
        self._options: dict[str, Any] = {} if reset else {"reset": _no_reset}

    @asynccontextmanager
    async def connect(self, dsn: str) -> AsyncGenerator[Any, None]:
        asyncpg: Any = importlib.import_module("asyncpg")
        given = {**settings(dsn), "ssl": False}
        if self._pool:
            sizes = {"min_size": CONNECTIONS, "max_size": CONNECTIONS}
            async with asyncpg.create_pool(**given, **sizes, **self._options) as pool:
                yield pool
            return
        connection = await asyncpg.connect(**given)
        try:
            yield connection
        finally:
            await connection.close()

    async def one_row(self, connection: Any) -> int:
        return int(await connection.fetchval(ONE_ROW, 1) == 2)

    async def fetch(self, connection: Any, sql: str, *args: object) -> int:
        return len(await connection.fetch(sql, *args))

    async def many(self, connection: Any, sql: str, rows: Rows) -> int:
        await connection.executemany(sql, rows)
        return len(rows)

    async def copy_in(self, connection: Any, table: str, types: str, rows: Rows) -> int:
        await connection.copy_records_to_table(table, records=rows)
        return len(rows)

    async def copy_out(self, connection: Any, sql: str) -> int:
        size = 0

        async def take(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)

        query = sql.partition("(")[2].rpartition(") to stdout")[0]
        await connection.copy_from_query(query, output=take)
        return size
