"""Behind a pooler that gives every transaction another server process."""

from __future__ import annotations

import pytest

from tests.contract.faces import Face
from tests.support.pgbouncer import PgBouncer

__all__: list[str] = []

pytestmark = pytest.mark.anyio

CLIENTS = 4
QUERIES = 100


async def test_no_row_is_wrong_in_transaction_mode(face: Face, pgbouncer: PgBouncer) -> None:
    async def client(number: int) -> None:
        async with face.connect(pgbouncer.dsn_for("alice"), prepare="unnamed") as session:
            for turn in range(QUERIES):
                question = number * QUERIES + turn
                assert await session.fetchval("select $1::int4 + 0", question) == question
                assert await session.fetchrow("select $1::text as a, $2::int8 as b", str(question), turn) == (
                    str(question),
                    turn,
                )
                if turn % 25 == 0:
                    async with session.transaction() as tx:
                        process = await tx.fetchval("select pg_backend_pid()")
                        async with session.stream("select generate_series(1, 300)", batch=100) as rows:
                            assert [row[0] async for row in rows] == list(range(1, 301))
                        assert await tx.fetchval("select pg_backend_pid()") == process
                    assert await session.executemany("select $1::int", [(1,), (2,), (3,)]) == 3
                    async with session.pipeline() as pipeline:
                        one = pipeline.fetchval("select $1::int", question)
                        two = pipeline.fetchval("select $1::text", "two")
                    assert (one.result(), two.result()) == (question, "two")

    async with face.tasks() as tasks:
        jobs = [tasks.start(client, number) for number in range(CLIENTS)]
    for job in jobs:
        await job.result()


async def test_statements_that_another_server_process_does_not_know(face: Face, pgbouncer: PgBouncer) -> None:
    """Named statements, where the next transaction may have another server process."""
    processes: set[int] = set()

    async def client(number: int) -> None:
        async with face.connect(pgbouncer.dsn_for("alice")) as session:
            for turn in range(QUERIES):
                question = number * QUERIES + turn
                sql = "select $1::int4, pg_backend_pid(), pg_sleep(0.001)"
                answer, process, _ = await session.fetch_one(sql, question)
                assert answer == question
                processes.add(process)

    async with face.tasks() as tasks:
        jobs = [tasks.start(client, number) for number in range(CLIENTS)]
    for job in jobs:
        await job.result()
    assert len(processes) > 1
