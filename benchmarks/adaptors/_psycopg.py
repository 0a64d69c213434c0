"""psycopg 3 with its C part: binary results, tuples, and statements prepared from the first time on.

`executemany` goes through its pipeline mode by itself.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, Final

from benchmarks.settings import CONNECTIONS, ONE_ROW, Rows, conninfo

__all__ = ["Psycopg", "PsycopgOnLoop", "PsycopgPool", "PsycopgPoolOnLoop"]

_OPTIONS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": 0}


def _given(dsn: str) -> dict[str, Any]:
    import psycopg

    if psycopg.pq.__impl__ == "python":
        raise RuntimeError("psycopg runs without its C part; install psycopg[binary]")
    return {**conninfo(dsn), **_OPTIONS}


@cache
def _with_its_placeholders(sql: str) -> Any:
    return re.sub(r"\$\d+", "%s", sql)


def _copy(table: str) -> Any:
    return f"copy {table} from stdin (format binary)"


class Psycopg:
    """psycopg on plain sockets; its connections are cursors, since one can be used again."""

    loop = ""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        import psycopg

        with psycopg.connect(**_given(dsn)) as connection:
            yield connection.cursor(binary=True)

    def one_row(self, cursor: Any) -> int:
        return int(cursor.execute(_with_its_placeholders(ONE_ROW), (1,), prepare=True).fetchone()[0] == 2)

    def fetch(self, cursor: Any, sql: str, *args: object) -> int:
        return len(cursor.execute(_with_its_placeholders(sql), args or None, prepare=True).fetchall())

    def many(self, cursor: Any, sql: str, rows: Rows) -> int:
        cursor.executemany(_with_its_placeholders(sql), rows)
        return len(rows)

    def copy_in(self, cursor: Any, table: str, types: str, rows: Rows) -> int:
        with cursor.copy(_copy(table)) as copy:
            copy.set_types(types.split())
            for row in rows:
                copy.write_row(row)
        return len(rows)

    def copy_out(self, cursor: Any, sql: str) -> int:
        with cursor.copy(sql) as copy:
            return sum(len(chunk) for chunk in copy)


class PsycopgPool(Psycopg):
    """psycopg_pool's pool, for threads; it has as many connections as it has at least."""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        from psycopg_pool import ConnectionPool

        with ConnectionPool(kwargs=_given(dsn), min_size=CONNECTIONS, open=False) as pool:
            pool.wait()
            yield pool

    def one_row(self, cursor: Any) -> int:
        with cursor.connection() as connection:
            return super().one_row(connection.cursor(binary=True))


class PsycopgOnLoop:
    """psycopg on asyncio or uvloop."""

    def __init__(self, loop: str) -> None:
        self.loop = loop

    @asynccontextmanager
    async def connect(self, dsn: str) -> AsyncGenerator[Any, None]:
        import psycopg

        async with await psycopg.AsyncConnection.connect(**_given(dsn)) as connection:
            yield connection.cursor(binary=True)

    async def one_row(self, cursor: Any) -> int:
        await cursor.execute(_with_its_placeholders(ONE_ROW), (1,), prepare=True)
        return int((await cursor.fetchone())[0] == 2)

    async def fetch(self, cursor: Any, sql: str, *args: object) -> int:
        await cursor.execute(_with_its_placeholders(sql), args or None, prepare=True)
        return len(await cursor.fetchall())

    async def many(self, cursor: Any, sql: str, rows: Rows) -> int:
        await cursor.executemany(_with_its_placeholders(sql), rows)
        return len(rows)

    async def copy_in(self, cursor: Any, table: str, types: str, rows: Rows) -> int:
        async with cursor.copy(_copy(table)) as copy:
            copy.set_types(types.split())
            for row in rows:
                await copy.write_row(row)
        return len(rows)

    async def copy_out(self, cursor: Any, sql: str) -> int:
        async with cursor.copy(sql) as copy:
            return sum([len(chunk) async for chunk in copy])


class PsycopgPoolOnLoop(PsycopgOnLoop):
    """psycopg_pool's pool, for tasks."""

    @asynccontextmanager
    async def connect(self, dsn: str) -> AsyncGenerator[Any, None]:
        from psycopg_pool import AsyncConnectionPool

        async with AsyncConnectionPool(kwargs=_given(dsn), min_size=CONNECTIONS, open=False) as pool:
            await pool.wait()
            yield pool

    async def one_row(self, cursor: Any) -> int:
        async with cursor.connection() as connection:
            return await super().one_row(connection.cursor(binary=True))
