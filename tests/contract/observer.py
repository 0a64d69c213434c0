"""A second pair of eyes on the server, through another driver."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import psycopg

__all__ = ["Observer"]


class Observer:
    """A superuser's connection that tells what the sessions under test have done to the server."""

    def __init__(self, dsn: str) -> None:
        self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(dsn, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def value(self, sql: str, *args: object) -> Any:
        """The first column of the first row; placeholders are psycopg's."""
        row = self._connection.execute(sql.encode(), args).fetchone()
        return None if row is None else row[0]

    def execute(self, sql: str) -> None:
        """Run a statement."""
        self._connection.execute(sql.encode())

    def terminate(self, process_id: int) -> None:
        """End another session, as an administrator would."""
        self.value("select pg_terminate_backend(%s)", process_id)

    def state(self, process_id: int) -> str | None:
        """What a server process is doing: ``"active"``, ``"idle"`` …; None if it is gone."""
        state = self.value("select state from pg_stat_activity where pid = %s", process_id)
        return None if state is None else str(state)

    def sleeps(self, process_id: int) -> bool:
        """Whether a server process is executing pg_sleep()."""
        event = self.value("select wait_event from pg_stat_activity where pid = %s", process_id)
        return bool(event == "PgSleep")

    def waits(self, process_id: int) -> bool:
        """Whether a server process waits for an advisory lock."""
        event = self.value("select wait_event from pg_stat_activity where pid = %s", process_id)
        return bool(event == "advisory")

    def is_running(self, process_id: int, text: str) -> bool:
        """Whether a server process has taken up a query with this text in it; it may only be parsing it."""
        found = self.value(
            "select state = 'active' and position(%s in query) > 0 from pg_stat_activity where pid = %s",
            text,
            process_id,
        )
        return found is True
