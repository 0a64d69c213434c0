"""pg8000: its native interface, which has prepared statements. It has no pool; a queue does as one."""

from __future__ import annotations

import csv
import importlib
import io
import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any

from benchmarks.settings import CONNECTIONS, ONE_ROW, Rows, settings

__all__ = ["Pg8000", "Pg8000Pool"]


class _Prepared:
    """A connection and its prepared statements."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._statements: dict[str, Any] = {}

    def run(self, sql: str, args: tuple[object, ...] = ()) -> Any:
        statement = self._statements.get(sql)
        if statement is None:
            # Its placeholders begin with a colon, and so does a cast.
            text = re.sub(r"(\S+)::(\w+)", r"cast(\1 as \2)", sql)
            statement = self.connection.prepare(re.sub(r"\$(\d+)", r":p\1", text))
            self._statements[sql] = statement
        return statement.run(**{f"p{number}": value for number, value in enumerate(args, 1)})


class Pg8000:
    """pg8000 on plain sockets."""

    loop = ""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        native: Any = importlib.import_module("pg8000.native")
        given: dict[str, Any] = {**settings(dsn), "ssl_context": None}
        if given["host"].startswith("/"):
            given["unix_sock"] = f"{given.pop('host')}/.s.PGSQL.{given.pop('port')}"
        with native.Connection(**given) as connection:
            yield _Prepared(connection)

    def one_row(self, prepared: Any) -> int:
        return int(prepared.run(ONE_ROW, (1,))[0][0] == 2)

    def fetch(self, prepared: Any, sql: str, *args: object) -> int:
        return len(prepared.run(sql, args))

    def many(self, prepared: Any, sql: str, rows: Rows) -> int:
        prepared.connection.run("begin")
        for row in rows:
            prepared.run(sql, tuple(row))
        prepared.connection.run("commit")
        return len(rows)

    def copy_in(self, prepared: Any, table: str, types: str, rows: Rows) -> int:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        text.seek(0)
        prepared.connection.run(f"copy {table} from stdin (format csv)", stream=text)
        return len(rows)

    def copy_out(self, prepared: Any, sql: str) -> int:
        data = io.BytesIO()
        prepared.connection.run(sql, stream=data)
        return data.tell()


class Pg8000Pool(Pg8000):
    """Some connections of pg8000, lent to threads."""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        with ExitStack() as stack:
            idle: SimpleQueue[Any] = SimpleQueue()
            for _ in range(CONNECTIONS):
                idle.put(stack.enter_context(super().connect(dsn)))
            yield idle

    def one_row(self, prepared: Any) -> int:
        lent = prepared.get()
        try:
            return super().one_row(lent)
        finally:
            prepared.put(lent)
