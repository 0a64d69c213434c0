"""The contenders: what each driver does for a task, in the fastest way that it offers.

An adaptor opens connections and has a method for each kind of task; the methods of drivers for event loops
are coroutines. They return how many rows there were, so that nobody can win by doing nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

import pgproto_blocking
from benchmarks.bare import Bare
from pgproto import parse_dsn

__all__ = ["ADAPTORS", "ONE_ROW"]

ONE_ROW = "select $1::int4 + 1"
Rows = Sequence[Sequence[object]]


def _settings(dsn: str) -> dict[str, Any]:
    """Host, port, user, password and database, as the other drivers' keyword arguments."""
    given = parse_dsn(dsn)
    return {
        "host": given.get("host", "localhost"),
        "port": int(given.get("port", "5432")),
        "user": given.get("user", "postgres"),
        "password": given.get("password"),
        "database": given.get("dbname", given.get("user", "postgres")),
    }


class PgprotoOnLoop:
    """pgproto on asyncio, uvloop or trio."""

    def __init__(self, package: str, loop: str, row: type | None = None) -> None:
        self.loop = loop
        self._package = package
        self._row = row

    def connect(self, dsn: str) -> AbstractAsyncContextManager[Any]:
        opening: AbstractAsyncContextManager[Any] = importlib.import_module(self._package).connect(dsn)
        return opening

    async def one_row(self, session: Any) -> int:
        return int(await session.fetchval(ONE_ROW, 1) == 2)

    async def fetch(self, session: Any, sql: str, *args: object) -> int:
        return len(await session.fetch(sql, *args, row=self._row))

    async def fetch_columns(self, session: Any, sql: str) -> int:
        return len(await session.fetch_columns(sql))

    async def stream(self, session: Any, sql: str) -> int:
        count = 0
        async with session.stream(sql, batch=1000) as rows:
            async for _ in rows:
                count += 1
        return count

    async def many(self, session: Any, sql: str, rows: Rows) -> int:
        return int(await session.executemany(sql, rows))

    async def copy_in(self, session: Any, table: str, rows: Rows) -> int:
        return int(await session.copy_records_to_table(table, records=rows))

    async def copy_out(self, session: Any, sql: str) -> int:
        size = 0
        async with session.copy_out(sql) as copy:
            async for chunk in copy:
                size += len(chunk)
        return size


class PgprotoPool(PgprotoOnLoop):
    """pgproto's pool on asyncio, with 10 sessions; one-shot verbs."""

    def __init__(self, loop: str, multiplex: int) -> None:
        super().__init__("pgproto_asyncio", loop)
        self._multiplex = multiplex

    def connect(self, dsn: str) -> AbstractAsyncContextManager[Any]:
        from pgproto_asyncio import Pool

        return Pool(dsn, min_size=10, max_size=10, multiplex=self._multiplex)


class PgprotoBlocking:
    """pgproto on plain sockets."""

    loop = ""

    def __init__(self, row: type | None = None) -> None:
        self._row = row

    def connect(self, dsn: str) -> AbstractContextManager[Any]:
        return pgproto_blocking.connect(dsn)

    def one_row(self, session: Any) -> int:
        return int(session.fetchval(ONE_ROW, 1) == 2)

    def fetch(self, session: Any, sql: str, *args: object) -> int:
        return len(session.fetch(sql, *args, row=self._row))

    def fetch_columns(self, session: Any, sql: str) -> int:
        return len(session.fetch_columns(sql))

    def stream(self, session: Any, sql: str) -> int:
        with session.stream(sql, batch=1000) as rows:
            return sum(1 for _ in rows)

    def many(self, session: Any, sql: str, rows: Rows) -> int:
        return int(session.executemany(sql, rows))

    def copy_in(self, session: Any, table: str, rows: Rows) -> int:
        return int(session.copy_records_to_table(table, records=rows))

    def copy_out(self, session: Any, sql: str) -> int:
        with session.copy_out(sql) as copy:
            return sum(len(chunk) for chunk in copy)


class Asyncpg:
    """asyncpg, one connection or a pool of 10; prepared statements are cached by itself."""

    def __init__(self, loop: str, *, pool: bool = False) -> None:
        self.loop = loop
        self._pool = pool

    @asynccontextmanager
    async def connect(self, dsn: str) -> AsyncGenerator[Any, None]:
        asyncpg: Any = importlib.import_module("asyncpg")
        if self._pool:
            async with asyncpg.create_pool(**_settings(dsn), min_size=10, max_size=10) as pool:
                yield pool
            return
        connection = await asyncpg.connect(**_settings(dsn))
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

    async def copy_in(self, connection: Any, table: str, rows: Rows) -> int:
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


class Psycopg:
    """psycopg 3 with its C part, binary results, and statements prepared from the first time on."""

    loop = ""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        import psycopg

        if psycopg.pq.__impl__ == "python":
            raise RuntimeError("psycopg runs without its C part; install psycopg[binary]")
        given = _settings(dsn)
        given["dbname"] = given.pop("database")
        with psycopg.connect(**given, autocommit=True, prepare_threshold=0) as connection:
            yield connection.cursor(binary=True)

    def one_row(self, cursor: Any) -> int:
        return int(cursor.execute("select %s::int4 + 1", (1,), prepare=True).fetchone()[0] == 2)

    def fetch(self, cursor: Any, sql: str, *args: object) -> int:
        for number in range(len(args), 0, -1):
            sql = sql.replace(f"${number}", "%s")
        return len(cursor.execute(sql, args or None, prepare=True).fetchall())

    def many(self, cursor: Any, sql: str, rows: Rows) -> int:
        for number in range(len(rows[0]), 0, -1):
            sql = sql.replace(f"${number}", "%s")
        cursor.executemany(sql, rows)
        return len(rows)

    def copy_in(self, cursor: Any, table: str, rows: Rows) -> int:
        with cursor.copy(f"copy {table} from stdin (format binary)") as copy:
            copy.set_types(["int4", "int8", "float8", "text", "timestamptz"])
            for row in rows:
                copy.write_row(row)
        return len(rows)

    def copy_out(self, cursor: Any, sql: str) -> int:
        with cursor.copy(sql) as copy:
            return sum(len(chunk) for chunk in copy)


class Pg8000:
    """pg8000's native interface, with a prepared statement."""

    loop = ""

    def __init__(self) -> None:
        self._statements: dict[str, Any] = {}

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        native: Any = importlib.import_module("pg8000.native")
        given = _settings(dsn)
        if given["host"].startswith("/"):
            given["unix_sock"] = f"{given.pop('host')}/.s.PGSQL.{given.pop('port')}"
        with native.Connection(**given) as connection:
            yield connection

    def one_row(self, connection: Any) -> int:
        return int(self._prepared(connection, "select cast(:a as int4) + 1").run(a=1)[0][0] == 2)

    def fetch(self, connection: Any, sql: str, *args: object) -> int:
        # Its placeholders begin with a colon, and so does a cast.
        sql = sql.replace("::", " :: ") if "::" in sql else sql
        return len(self._prepared(connection, sql).run())

    def _prepared(self, connection: Any, sql: str) -> Any:
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = connection.prepare(sql)
        return statement


class BareSocket:
    """The limit: a blocking socket that sends what was prepared before, and looks for nothing but the end."""

    loop = ""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        with Bare(dsn) as bare:
            yield bare

    def one_row(self, bare: Bare) -> int:
        bare.ask(ONE_ROW, True, 1)
        return 1

    def fetch(self, bare: Bare, sql: str, *args: object) -> int:
        bare.ask(sql, False, 1)
        return 1

    def pipelined(self, bare: Bare, count: int) -> int:
        bare.ask(ONE_ROW, True, count)
        return count


ADAPTORS: dict[str, Any] = {
    "a bare socket": BareSocket(),
    "pgproto_blocking": PgprotoBlocking(),
    "pgproto_asyncio": PgprotoOnLoop("pgproto_asyncio", "asyncio"),
    "pgproto_asyncio on uvloop": PgprotoOnLoop("pgproto_asyncio", "uvloop"),
    "pgproto_blocking, row=tuple": PgprotoBlocking(tuple),
    "pgproto_asyncio on uvloop, row=tuple": PgprotoOnLoop("pgproto_asyncio", "uvloop", tuple),
    "pgproto_trio": PgprotoOnLoop("pgproto_trio", "trio"),
    "pgproto pool, multiplex=1": PgprotoPool("uvloop", 1),
    "pgproto pool, multiplex=8": PgprotoPool("uvloop", 8),
    "asyncpg": Asyncpg("asyncio"),
    "asyncpg on uvloop": Asyncpg("uvloop"),
    "asyncpg pool": Asyncpg("uvloop", pool=True),
    "psycopg (C)": Psycopg(),
    "pg8000": Pg8000(),
}
