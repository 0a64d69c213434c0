"""What is measured: each line is a task, who is to do it, and how well pgproto wants to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["LINES", "Line", "Target", "Task", "data_of"]

ASYNCIO, UVLOOP = "pgproto_asyncio", "pgproto_asyncio on uvloop"
TRIO, BLOCKING = "pgproto_trio", "pgproto_blocking"
BARE, PSYCOPG, PG8000 = "a bare socket", "psycopg (C)", "pg8000"
ASYNCPG, ASYNCPG_UVLOOP = "asyncpg", "asyncpg on uvloop"


@dataclass(frozen=True)
class Task:
    """A method of an adaptor and its arguments, for ``callers`` at the same time."""

    method: str
    arguments: tuple[Any, ...] = ()
    callers: int = 1
    connections: int = 1
    units: int = 1
    """How many of what is counted one call does."""


@dataclass(frozen=True)
class Target:
    """``ours`` is to do at least ``least`` times as well as the best of ``peers``."""

    ours: Sequence[str]
    peers: Sequence[str]
    least: float


@dataclass(frozen=True)
class Line:
    """One comparison."""

    name: str
    title: str
    unit: str
    tasks: Mapping[str, Task]
    targets: Sequence[Target] = ()
    setup: str = ""
    teardown: str = ""
    adaptors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Adaptors of contenders that have a name of their own."""


def _all(task: Task, *contenders: str) -> dict[str, Task]:
    return dict.fromkeys(contenders, task)


FIXED: Final = "select n, n::int8 * 1000, n / 7.0::float8, n % 2 = 0, n::int2 from generate_series(1, 1000) n"
MIXED: Final = (
    "select n, n::int8 * 1000, n / 7.0::float8, 'row ' || n, "
    "timestamptz '2024-02-29 12:00+00' + n * interval '1.5 s' from generate_series(1, 1000) n"
)
PG_TYPE: Final = (
    "select typname, typnamespace, typowner, typlen, typbyval, typcategory, typispreferred, typisdefined, "
    "typdelim, typrelid, typelem, typarray from pg_type"
)
_TUPLES: Final = (f"{BLOCKING}, row=tuple", f"{UVLOOP}, row=tuple")
_ROW_PEERS: Final = (ASYNCPG_UVLOOP, PSYCOPG)
_ROWS: Final = (Target((UVLOOP, BLOCKING), _ROW_PEERS, 1.0), Target(_TUPLES, _ROW_PEERS, 1.0))
_TABLE: Final = "create unlogged table bench (a int4, b int8, c float8, d text, e timestamptz)"
_DROP: Final = "drop table if exists bench"
_INSERT: Final = "insert into bench values ($1, $2, $3, $4, $5)"
_WIDE: Final = "create unlogged table bench (a int, b int, c int, d text, e float, f int, g text)"


def _rows_line(name: str, title: str, sql: str) -> Line:
    task = Task("fetch", (sql,))
    contenders = (BLOCKING, UVLOOP, *_TUPLES, ASYNCPG_UVLOOP, PSYCOPG, PG8000, BARE)
    return Line(name, title, "queries/s", _all(task, *contenders), _ROWS)


def _magic(number: int, title: str, task: Task, setup: str = "") -> Line:
    """One of the seven queries of MagicStack's suite, by its number, on ten connections."""
    return Line(
        f"magicstack-{number}",
        f"MagicStack {number}: {title}",
        "queries/s",
        _all(task, UVLOOP, ASYNCPG_UVLOOP),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 1.2),),
        setup,
        _DROP if setup else "",
    )


def _ten(method: str, *arguments: Any) -> Task:
    return Task(method, arguments, callers=10, connections=10)


_MAGICSTACK: Final = (
    _magic(1, "pg_type", _ten("fetch", PG_TYPE + " where typtypmod = $1 and typisdefined = $2", -1, True)),
    _magic(2, "1,000 numbers", _ten("fetch", "select i from generate_series(1, $1) as i", 1000)),
    _magic(
        3, "100 values of 1,000 bytes", _ten("fetch", "select * from bench"),
        "create table bench as select repeat('a', 1000)::bytea as b from generate_series(1, 100)",
    ),
    _magic(
        4, "10 arrays of 1,000 numbers", _ten("fetch", "select * from bench"),
        "create table bench as select (select array_agg(i) from generate_series(1, 1000) i) as a "
        "from generate_series(1, 10)",
    ),
    _magic(5, "COPY of 10,000 rows", _ten("copy_in", "bench", "seven-10000"), _WIDE),
    _magic(
        6, "executemany of 1,000 rows",
        _ten("many", "insert into bench values ($1, $2, $3, $4, $5, $6, $7)", "seven-1000"), _WIDE,
    ),
    _magic(7, "1+1", _ten("fetch", "select 1+1")),
)  # fmt: skip

LINES: Final = (
    Line(
        "one-row",
        "one row, one caller",
        "queries/s",
        _all(
            Task("one_row"), BLOCKING, ASYNCIO, UVLOOP, TRIO, ASYNCPG, ASYNCPG_UVLOOP, PSYCOPG, PG8000, BARE
        ),
        (
            Target((BLOCKING,), (BARE,), 0.8),
            Target((BLOCKING,), (PSYCOPG,), 1.0),
            Target((ASYNCIO,), (ASYNCPG,), 1.3),
            Target((UVLOOP,), (ASYNCPG_UVLOOP,), 1.3),
            Target((TRIO,), (ASYNCIO,), 0.6),
        ),
    ),
    Line(
        "shared",
        "one row, 64 callers on one session",
        "queries/s",
        _all(Task("one_row", callers=64), ASYNCIO, UVLOOP, TRIO, "asyncpg pool")
        | {BARE: Task("pipelined", (64,), units=64)},
        (
            Target((UVLOOP,), ("asyncpg pool",), 10),
            Target((UVLOOP,), (BARE,), 0.5),
            Target((TRIO,), (ASYNCIO,), 0.6),
        ),
    ),
    Line(
        "pool",
        "one row, 64 callers through a pool of 10",
        "queries/s",
        _all(
            Task("one_row", callers=64),
            "pgproto pool, multiplex=1", "pgproto pool, multiplex=8", "asyncpg pool",
        ),
        (
            Target(("pgproto pool, multiplex=1",), ("asyncpg pool",), 1.3),
            Target(("pgproto pool, multiplex=8",), ("asyncpg pool",), 5),
        ),
    ),
    _rows_line("int4", "1,000 rows of one int4", "select n from generate_series(1, 1000) n"),
    _rows_line("fixed", "1,000 rows of five columns of fixed width", FIXED),
    _rows_line("mixed", "1,000 rows of int4, int8, float8, text, timestamptz", MIXED),
    _rows_line("pg-type", "pg_type, 12 columns", PG_TYPE),
    *_MAGICSTACK,
    Line(
        "executemany",
        "executemany of 1,000 rows",
        "batches/s",
        _all(Task("many", (_INSERT, "five-1000")), UVLOOP, BLOCKING, ASYNCPG_UVLOOP, PSYCOPG),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 1.5),),
        _TABLE,
        _DROP,
    ),
    Line(
        "copy-in",
        "binary COPY in of 100,000 records",
        "records/s",
        _all(
            Task("copy_in", ("bench", "five-100000"), units=100_000),
            UVLOOP, BLOCKING, ASYNCPG_UVLOOP, PSYCOPG,
        ),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 0.5),),
        _TABLE,
        _DROP,
    ),
    Line(
        "copy-out",
        "COPY out of 100,000 rows as bytes",
        "rows/s",
        _all(
            Task("copy_out", ("copy (select * from bench) to stdout",), units=100_000),
            UVLOOP, BLOCKING, ASYNCPG_UVLOOP, PSYCOPG,
        ),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 1.0),),
        f"{_TABLE}; insert into bench "
        "select n, n, n / 7.0, 'row ' || n, now() from generate_series(1, 100000) n",
        _DROP,
    ),
    Line(
        "columns",
        "1,000,000 rows of int8 as a column",
        "queries/s",
        {
            "fetch_columns": Task("fetch_columns", ("select n::int8 from generate_series(1, 1000000) n",)),
            "fetch": Task("fetch", ("select n::int8 from generate_series(1, 1000000) n",)),
            ASYNCPG_UVLOOP: Task("fetch", ("select n::int8 from generate_series(1, 1000000) n",)),
        },
        (
            Target(("fetch_columns",), ("fetch",), 3),
            Target(("fetch_columns",), (ASYNCPG_UVLOOP,), 1.5),
        ),
        adaptors={"fetch_columns": UVLOOP, "fetch": UVLOOP},
    ),
    Line(
        "large",
        "values of 64 MiB, in pairs of 32 MiB",
        "values of 32 MiB/s",
        {
            f"{size} MiB": Task("fetch", (f"select repeat('x', {size << 20})",), units=size // 32)
            for size in (32, 64)
        },
        (Target(("64 MiB",), ("32 MiB",), 2 / 2.3),),
        adaptors=dict.fromkeys(("32 MiB", "64 MiB"), BLOCKING),
    ),
    Line(
        "stream",
        "rows of a stream, by how many there are",
        "rows/s",
        {
            f"{count:,} rows": Task(
                "stream", (f"select n, 'row ' || n from generate_series(1, {count}) n",), units=count
            )
            for count in (10_000, 100_000, 1_000_000, 10_000_000)
        },
        (Target(("10,000,000 rows",), ("100,000 rows",), 0.8),),
        adaptors=dict.fromkeys(
            ("10,000 rows", "100,000 rows", "1,000,000 rows", "10,000,000 rows"), BLOCKING
        ),
    ),
)  # fmt: skip


def data_of(arguments: Sequence[Any]) -> list[Any]:
    """The arguments, with tables of data in the place of their names."""
    return [_table(each) if isinstance(each, str) else each for each in arguments]


def _table(argument: str) -> Any:
    kind, _, count = argument.partition("-")
    if kind == "five" and count.isdigit():
        moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
        return [(n, n * 1000, n / 7, f"row {n}", moment) for n in range(int(count))]
    if kind == "seven" and count.isdigit():
        return [(10, 11, 10, "TESTTESTTEST", 10.333, 12341234, "123412341234")] * int(count)
    return argument
