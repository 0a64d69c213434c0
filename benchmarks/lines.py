"""What is measured: each line is a task, who is to do it, and how well pgproto wants to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["LINES", "MAGICSTACK_LEAST", "Line", "Target", "Task", "data_of"]

ASYNCIO, UVLOOP = "pgproto_asyncio", "pgproto_asyncio on uvloop"
TRIO, BLOCKING = "pgproto_trio", "pgproto_blocking"
BARE, BARE_TEN, PG8000 = "a bare socket", "a bare socket, ten of them", "pg8000"
PSYCOPG, PSYCOPG_UVLOOP = "psycopg (C)", "psycopg (C) on uvloop"
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
    """The best of ``ours`` is to do at least ``least`` times as well as the best of ``peers``."""

    ours: Sequence[str]
    peers: Sequence[str]
    least: float | None = None
    """None where the ratio is only of interest."""


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
    between: str = ""
    """What brings the database back to where it was, before each turn."""
    rounds: int = 1_000_000
    """There are no more rounds than this, where a single call takes long."""


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
_PSYCOPG: Final = (PSYCOPG, PSYCOPG_UVLOOP)
_ROW_PEERS: Final = (ASYNCPG_UVLOOP, *_PSYCOPG)
_ROWS: Final = (Target((UVLOOP, BLOCKING), _ROW_PEERS, 1.0), Target(_TUPLES, _ROW_PEERS, 1.0))
# Unlogged, and emptied before each turn: it is the drivers that are measured, and not the disk.
_TABLE: Final = "create unlogged table bench (a int4, b int8, c float8, d text, e timestamptz)"
_TABLE_TYPES: Final = "int4 int8 float8 text timestamptz"
_DROP: Final = "drop table if exists bench"
_INSERT: Final = "insert into bench values ($1, $2, $3, $4, $5)"
_EMPTY: Final = "truncate bench"
_WIDE: Final = "create unlogged table bench (a int, b int, c int, d text, e float, f int, g text)"
_WIDE_TYPES: Final = "int4 int4 int4 text float8 int4 text"


_OUR_POOLS: Final = ("pgproto pool, multiplex=1", "pgproto pool, multiplex=8")
_ASYNCPG_POOLS: Final = ("asyncpg pool", "asyncpg pool, no reset")
_POOLS_ON_ASYNCIO: Final = (
    "pgproto pool on asyncio, multiplex=1", "pgproto pool on asyncio, multiplex=8", "asyncpg pool on asyncio",
)  # fmt: skip
_OTHER_POOLS: Final = ("psycopg (C) pool", "psycopg (C) pool, threads", "pg8000, threads")
_NUMBERS: Final = "select n::int8 from generate_series(1, 1000000) n"
_COUNTS: Final = tuple([f"{count:,} rows" for count in (1_000, 10_000, 100_000, 1_000_000, 10_000_000)])


def _rows_line(name: str, title: str, sql: str) -> Line:
    task = Task("fetch", (sql,))
    contenders = (BLOCKING, UVLOOP, *_TUPLES, *_ROW_PEERS, PG8000, BARE)
    return Line(name, title, "queries/s", _all(task, *contenders), _ROWS)


def _magic(number: int, title: str, task: Task, setup: str = "", between: str = "") -> Line:
    """One of the seven queries of MagicStack's suite, by its number, on ten connections."""
    return Line(
        f"magicstack-{number}",
        f"MagicStack {number}: {title}",
        "queries/s",
        _all(task, UVLOOP, ASYNCPG_UVLOOP, *_PSYCOPG, PG8000),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,)), Target((UVLOOP,), _PSYCOPG)),
        setup,
        _DROP if setup else "",
        between=between,
    )


def _ten(method: str, *arguments: Any) -> Task:
    return Task(method, arguments, callers=10, connections=10)


MAGICSTACK_LEAST: Final = 1.2
"""What the geometric mean of the seven ratios to asyncpg is to be at least."""

_MAGICSTACK: Final = (
    _magic(1, "pg_type", _ten("fetch", PG_TYPE + " where typtypmod = $1 and typisdefined = $2", -1, True)),
    _magic(2, "1,000 numbers", _ten("fetch", "select i from generate_series(1, $1) as i", 1000)),
    _magic(
        3, "100 values of 1,000 bytes", _ten("fetch", "select * from bench"),
        "create table bench (b bytea); "
        "insert into bench select repeat('a', 1000)::bytea from generate_series(1, 100)",
    ),
    _magic(
        4, "100 arrays of 100 numbers", _ten("fetch", "select * from bench"),
        "create table bench (a int[]); insert into bench "
        "select (select array_agg(i) from generate_series(1, 100) as s(i)) from generate_series(1, 100)",
    ),
    _magic(
        5, "COPY of 10,000 rows", _ten("copy_in", "bench", _WIDE_TYPES, "seven-10000"), _WIDE, _EMPTY
    ),
    _magic(
        6, "executemany of 1,000 rows",
        _ten("many", "insert into bench values ($1, $2, $3, $4, $5, $6, $7)", "seven-1000"),
        _WIDE, _EMPTY,
    ),
    _magic(7, "1+1", _ten("fetch", "select 1+1")),
)  # fmt: skip

LINES: Final = (
    Line(
        "one-row",
        "one row, one caller",
        "queries/s",
        _all(
            Task("one_row"),
            BLOCKING, ASYNCIO, UVLOOP, TRIO, ASYNCPG, ASYNCPG_UVLOOP, *_PSYCOPG, PG8000, BARE,
        ),
        (
            Target((BLOCKING,), (BARE,), 0.8),
            Target((BLOCKING,), _PSYCOPG, 1.0),
            Target((BLOCKING,), (PG8000,)),
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
        _all(Task("one_row", callers=64), *_OUR_POOLS, *_ASYNCPG_POOLS, *_OTHER_POOLS)
        | {BARE_TEN: Task("pipelined", (64,), units=64)},
        (
            Target(_OUR_POOLS[:1], _ASYNCPG_POOLS[:1], 1.3),
            Target(_OUR_POOLS[:1], _ASYNCPG_POOLS[1:]),
            Target(_OUR_POOLS[:1], _OTHER_POOLS),
            Target(_OUR_POOLS[1:], _ASYNCPG_POOLS[:1], 5),
            Target(_OUR_POOLS[1:], _ASYNCPG_POOLS[1:]),
            Target(_OUR_POOLS[1:], _OTHER_POOLS),
            Target(_OUR_POOLS[1:], (BARE_TEN,)),
        ),
    ),
    Line(
        "pool-asyncio",
        "one row, 64 callers through a pool of 10, on asyncio's own loop",
        "queries/s",
        _all(Task("one_row", callers=64), *_POOLS_ON_ASYNCIO),
        (
            Target(_POOLS_ON_ASYNCIO[:1], _POOLS_ON_ASYNCIO[2:], 1.3),
            Target(_POOLS_ON_ASYNCIO[1:2], _POOLS_ON_ASYNCIO[2:], 5),
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
        _all(
            Task("many", (_INSERT, "five-1000")),
            UVLOOP, BLOCKING, ASYNCPG_UVLOOP, *_PSYCOPG, PG8000,
        ),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 1.5), Target((UVLOOP, BLOCKING), _PSYCOPG)),
        _TABLE,
        _DROP,
        between=_EMPTY,
    ),
    Line(
        "copy-in",
        "binary COPY in of 100,000 records",
        "records/s",
        _all(
            Task("copy_in", ("bench", _TABLE_TYPES, "five-100000"), units=100_000),
            UVLOOP, BLOCKING, ASYNCPG_UVLOOP, *_PSYCOPG, PG8000,
        ),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 0.5), Target((UVLOOP, BLOCKING), _PSYCOPG)),
        _TABLE,
        _DROP,
        between=_EMPTY,
    ),
    Line(
        "copy-out",
        "COPY out of 100,000 rows as bytes",
        "rows/s",
        _all(
            Task("copy_out", ("copy (select * from bench) to stdout",), units=100_000),
            UVLOOP, BLOCKING, ASYNCPG_UVLOOP, *_PSYCOPG, PG8000, BARE,
        ),
        (Target((UVLOOP,), (ASYNCPG_UVLOOP,), 1.0), Target((UVLOOP, BLOCKING), _PSYCOPG)),
        f"{_TABLE}; insert into bench "
        "select n, n, n / 7.0, 'row ' || n, now() from generate_series(1, 100000) n",
        _DROP,
    ),
    Line(
        "columns",
        "1,000,000 rows of int8 as a column for numpy",
        "queries/s",
        {"fetch_columns": Task("fetch_columns", (_NUMBERS,))}
        | _all(Task("fetch", (_NUMBERS,)), "fetch", ASYNCPG_UVLOOP, PSYCOPG, PG8000),
        (
            Target(("fetch_columns",), ("fetch",), 3),
            Target(("fetch_columns",), (ASYNCPG_UVLOOP,), 1.5),
            Target(("fetch_columns",), (PSYCOPG,)),
        ),
        adaptors={"fetch_columns": UVLOOP, "fetch": UVLOOP},
        rounds=7,
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
        rounds=5,
    ),
    Line(
        "stream",
        "rows of a stream, by how many there are",
        "rows/s",
        {
            name: Task("stream", (f"select n, 'row ' || n from generate_series(1, {count}) n",), units=count)
            for name in _COUNTS
            for count in [int(name.removesuffix(" rows").replace(",", ""))]
        },
        (Target(_COUNTS[-1:], _COUNTS[:-1], 0.8),),
        adaptors=dict.fromkeys(_COUNTS, BLOCKING),
        rounds=3,
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
