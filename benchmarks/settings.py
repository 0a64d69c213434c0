"""Where the server is, as each driver wants to be told, and the query of one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from pgproto import parse_dsn

__all__ = ["CONNECTIONS", "ONE_ROW", "Rows", "conninfo", "settings"]

ONE_ROW: Final = "select $1::int4 + 1"
CONNECTIONS: Final = 10
"""How many a pool has."""

Rows: TypeAlias = Sequence[Sequence[object]]


def settings(dsn: str) -> dict[str, Any]:
    """Host, port, user, password and database, as the other drivers' keyword arguments."""
    given = parse_dsn(dsn)
    return {
        "host": given.get("host", "localhost"),
        "port": int(given.get("port", "5432")),
        "user": given.get("user", "postgres"),
        "password": given.get("password"),
        "database": given.get("dbname", given.get("user", "postgres")),
    }


def conninfo(dsn: str) -> dict[str, Any]:
    """The same with libpq's names, without TLS: nobody has it here."""
    given = settings(dsn)
    given["dbname"] = given.pop("database")
    return {**given, "sslmode": "disable"}
