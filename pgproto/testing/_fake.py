"""`FakeServer`: a server that has an answer for each statement that it was told about.

    server = FakeServer(
        {
            "select $1::int8 + 1": Statement(["int8"], {"sum": "int8"}, lambda number: [(number + 1,)]),
            "select pg_sleep(60)": Statement(columns={"pg_sleep": "void"}, rows=[(None,)], delay=60),
        }
    )

It keeps no data. It knows transactions, by the words that begin and end them, LISTEN, COPY, prepared
statements, portals and cancel requests, and treats errors as PostgreSQL does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgproto import errors
from pgproto import messages as m
from pgproto.testing._fake_session import FakeSession
from pgproto.testing._fake_transaction import Done
from pgproto.testing._statement import Known, Statement

__all__ = ["FakeServer"]

_PARAMETERS = {
    "server_version": "18.0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "in_hot_standby": "off",
    "default_transaction_read_only": "off",
    "TimeZone": "UTC",
}


class FakeServer:
    """All sessions of one server; call it for each connection to get its `FakeSession`.

    ``statements`` are the answers by SQL, or a function that returns the answer to an SQL string, or None
    where there is none: then the server answers with a syntax error. ``parameters`` are reported in addition
    to the usual ones.
    """

    def __init__(
        self,
        statements: Mapping[str, Statement] | Callable[[str], Statement | None],
        *,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.sessions: list[FakeSession] = []
        """One for each connection that was ever made."""
        self.committed: list[Done] = []
        """What was executed and took effect, in the order of the commits; without BEGIN and the like."""
        self.parameters: dict[str, str] = {**_PARAMETERS, **(parameters or {})}
        self._find = statements if callable(statements) else statements.get
        self._known: dict[str, Known] = {}

    def __call__(self) -> FakeSession:
        """Accept a connection."""
        session = FakeSession(self, 1000 + len(self.sessions))
        self.sessions.append(session)
        return session

    def find(self, sql: str) -> Known:
        """The answer to a statement; raises the `pgproto.PostgresError` of one that it does not know."""
        known = self._known.get(sql)
        if known is None:
            statement = self._find(sql)
            if statement is None:
                raise errors.SyntaxError(f"the fake server was told nothing about {sql!r}")
            known = self._known[sql] = Known(sql, statement)
        return known

    def cancel(self, process_id: int, secret_key: bytes) -> None:
        """Do what a cancel request asks."""
        for session in self.sessions:
            if session.key == m.BackendKeyData(process_id, secret_key):
                session.interrupt()

    def notify(self, channel: str, payload: str = "", *, process_id: int = 1) -> None:
        """Tell all who listen on the channel."""
        for session in self.sessions:
            session.notify(m.NotificationResponse(process_id, channel, payload))
