"""The contenders: what each driver does for a task, in the fastest way that it offers.

An adaptor opens connections and has a method for each kind of task; the methods of drivers for event loops
are coroutines. They return how many rows there were, so that nobody can win by doing nothing.
"""

from __future__ import annotations

from typing import Any

from benchmarks.adaptors._asyncpg import Asyncpg
from benchmarks.adaptors._bare import BareSocket, BareSockets
from benchmarks.adaptors._pg8000 import Pg8000, Pg8000Pool
from benchmarks.adaptors._pgproto import PgprotoBlocking, PgprotoOnLoop, PgprotoPool
from benchmarks.adaptors._psycopg import Psycopg, PsycopgOnLoop, PsycopgPool, PsycopgPoolOnLoop

__all__ = ["ADAPTORS"]

ADAPTORS: dict[str, Any] = {
    "a bare socket": BareSocket(),
    "a bare socket, ten of them": BareSockets(),
    "pgproto_blocking": PgprotoBlocking(),
    "pgproto_asyncio": PgprotoOnLoop("pgproto_asyncio", "asyncio"),
    "pgproto_asyncio on uvloop": PgprotoOnLoop("pgproto_asyncio", "uvloop"),
    "pgproto_blocking, row=tuple": PgprotoBlocking(tuple),
    "pgproto_asyncio on uvloop, row=tuple": PgprotoOnLoop("pgproto_asyncio", "uvloop", tuple),
    "pgproto_trio": PgprotoOnLoop("pgproto_trio", "trio"),
    "pgproto pool, multiplex=1": PgprotoPool("uvloop", 1),
    "pgproto pool, multiplex=8": PgprotoPool("uvloop", 8),
    "pgproto pool on asyncio, multiplex=1": PgprotoPool("asyncio", 1),
    "pgproto pool on asyncio, multiplex=8": PgprotoPool("asyncio", 8),
    "asyncpg": Asyncpg("asyncio"),
    "asyncpg on uvloop": Asyncpg("uvloop"),
    "asyncpg pool": Asyncpg("uvloop", pool=True),
    "asyncpg pool on asyncio": Asyncpg("asyncio", pool=True),
    "asyncpg pool, no reset": Asyncpg("uvloop", pool=True, reset=False),
    "psycopg (C)": Psycopg(),
    "psycopg (C) on uvloop": PsycopgOnLoop("uvloop"),
    "psycopg (C) pool": PsycopgPoolOnLoop("uvloop"),
    "psycopg (C) pool, threads": PsycopgPool(),
    "pg8000": Pg8000(),
    "pg8000, threads": Pg8000Pool(),
}
