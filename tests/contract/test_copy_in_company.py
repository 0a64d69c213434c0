"""COPY beside others and in parts: much data, early ends, cancellation, lost connections."""

from __future__ import annotations

import os
import tracemalloc
from typing import Any

import anyio
import pytest
import trustme

from pgproto import (
    ConnectionLost,
    Error,
    LocalProtocolError,
    PostgresError,
    QueryCanceled,
    QueryTimeout,
)
from tests.contract.copying import count, table
from tests.contract.faces import Connect, Face, Job, LoopFace, Session
from tests.contract.observer import Observer
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import Server, TLSFiles

pytestmark = pytest.mark.anyio


async def test_a_hundred_megabytes(connect: Connect) -> None:
    await _many(connect, 8)


@pytest.mark.slow
async def test_really_a_hundred_megabytes(connect: Connect) -> None:
    await _many(connect, 100)


async def _many(connect: Connect, megabytes: int) -> None:
    line = b"x" * 1023 + b"\n"
    async with table(connect, "b text") as session:
        tracemalloc.start()
        try:
            async with session.copy_in("copy t from stdin") as copy:
                for _ in range(megabytes):
                    await copy.write(line * 1024)
            size = 0
            async with session.copy_out("copy t to stdout") as out:
                async for chunk in out:
                    size += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == megabytes * 1024 * 1024
        assert copy.row_count == out.row_count == megabytes * 1024
        assert peak < 8 * 1024 * 1024


async def test_leaving_a_copy_out_early(connect: Connect) -> None:
    async with connect(cancel_timeout=20) as session:
        sql = "copy (select repeat('x', 1000), generate_series(1, 10000000)) to stdout"
        for _ in range(3):
            async with session.copy_out(sql) as out:
                async for _chunk in out:
                    break
            assert out.tag is None
            assert session.transaction_status == "I"
            assert await session.fetchval("select 1") == 1
        async with session.copy_out(sql):
            ...
        with pytest.raises(ZeroDivisionError):
            async with session.copy_out(sql) as out:
                async for _row in out.rows():
                    raise ZeroDivisionError
        assert await session.fetchval("select 2") == 2


async def test_others_wait_for_a_slow_reader(connect: Connect, face: Face) -> None:
    async with connect() as session, face.tasks() as tasks:
        numbers: list[int] = []

        async def other() -> None:
            numbers.append(await session.fetchval("select 7"))

        outside = tasks.start(_copy_slowly, session, face)
        await face.sleep(0.05)
        job = tasks.start(other)
        await job.result()
        assert await outside.result() == 20_000 * 1001
        assert numbers == [7]


async def _copy_slowly(session: Session, face: Face) -> int:
    size = 0
    sql = "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout"
    async with session.copy_out(sql) as out:
        async for chunk in out:
            if not size:
                await face.sleep(0.2)
            size += len(chunk)
    return size


async def test_in_a_transaction(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.transaction() as tx:
            async with tx.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"1\n2\n")
            assert await tx.copy_records_to_table("t", records=[(3,)], columns=["a"]) == 1
            async with session.copy_out("copy t (a) to stdout (format binary)") as out:
                found = [row async for row in out.rows()]
            assert found == [(1,), (2,), (3,)]
            # Leaving early does not break the transaction.
            async with tx.copy_out("copy (select generate_series(1, 100000)) to stdout") as out:
                async for _ in out:
                    break
            assert session.transaction_status == "T"
        assert await count(session) == 3
        with pytest.raises(ZeroDivisionError):
            async with session.transaction() as tx, tx.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"4\n")
                raise ZeroDivisionError
        assert session.transaction_status == "I"
        assert await count(session) == 3


async def test_a_savepoint_around_a_copy_that_fails(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.transaction() as tx:
            await tx.execute("insert into t values (1)")
            with pytest.raises(PostgresError):
                async with tx.transaction() as inner, inner.copy_in("copy t (a) from stdin") as copy:
                    await copy.write(b"nonsense\n")
        assert await count(session) == 1


async def test_others_wait(connect: Connect, face: Face) -> None:
    async with table(connect) as session, face.tasks() as tasks:
        job = tasks.start(session.fetchval, "select count(*) from t")
        assert await job.result() == 0

        async def copy_slowly() -> None:
            async with session.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"1\n")
                started.append(True)
                await face.sleep(0.05)
                await copy.write(b"2\n")

        started: list[bool] = []
        copying = tasks.start(copy_slowly)
        await face.until(lambda: bool(started))
        assert await session.fetchval("select count(*) from t") == 2
        await copying.result()


async def test_nothing_else_inside_of_the_block(connect: Connect) -> None:
    async with table(connect) as session:
        async with session.copy_in("copy t (a) from stdin") as copy:
            await copy.write(b"1\n")
            with pytest.raises(LocalProtocolError, match="COPY is under way"):
                await session.execute("select 1")
            with pytest.raises(LocalProtocolError, match="COPY is under way"):
                async with session.transaction():
                    pytest.fail("it began")
        async with session.copy_out("copy t to stdout") as out:
            with pytest.raises(LocalProtocolError, match="COPY is under way"):
                await session.fetch("select 1")
            async for _ in out:
                ...
        assert await count(session) == 1


async def test_use_outside_of_the_block(connect: Connect) -> None:
    async with table(connect) as session:
        copy = session.copy_in("copy t (a) from stdin")
        with pytest.raises(LocalProtocolError):
            await copy.write(b"1\n")
        async with copy:
            ...
        with pytest.raises(LocalProtocolError):
            await copy.write_row((1,))
        out = session.copy_out("copy t to stdout")
        with pytest.raises(LocalProtocolError):
            async for _ in out:
                ...


async def test_copy_amid_many_queries(connect: Connect, face: Face) -> None:
    async with table(connect) as session, face.tasks() as tasks:

        async def bare() -> object:
            # Such a name is not understood on the client, so the server is asked.
            with pytest.raises(QueryCanceled, match="copy_in"):
                await session.execute('/*c*/ copy U&"t" from stdin')
            return "bare"

        async def whole() -> object:
            async with session.copy_in("/*c*/ copy t (a) from stdin") as copy:
                await copy.write(b"1\n")
            return "whole"

        jobs: list[Job[Any]] = []
        for number in range(50):
            jobs.append(tasks.start(session.fetchval, "select $1::int", number))
            if number % 20 == 10:
                jobs.append(tasks.start(bare))
                jobs.append(tasks.start(whole))
        results = [await job.result() for job in jobs]
        assert [each for each in results if isinstance(each, int)] == list(range(50))
        assert results.count("bare") == results.count("whole") == 2
        assert await count(session) == 2


async def test_cancelled_in_the_middle(connect: Connect, face: Face) -> None:
    if not isinstance(face, LoopFace):
        pytest.skip("threads are not cancelled")
    async with table(connect) as session:
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_in("copy t (a) from stdin") as copy:
                await copy.write(b"1\n" * 100_000)
                await anyio.sleep(60)
        assert scope.cancelled_caught
        assert await count(session) == 0
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_in("copy t (a) from stdin") as copy:
                while True:
                    await copy.write(b"1\n" * 100_000)
        assert scope.cancelled_caught
        assert await count(session) == 0
        sql = "copy (select repeat('x', 1000), generate_series(1, 10000000)) to stdout"
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_out(sql) as out:
                async for _ in out:
                    await anyio.sleep(0.01)
        assert scope.cancelled_caught
        with anyio.move_on_after(0.1) as scope:
            async with session.copy_out("copy (select pg_sleep(60)) to stdout") as out:
                async for _ in out:
                    ...
        assert scope.cancelled_caught
        assert await session.fetchval("select 1") == 1


async def test_cancelled_before_it_begins(connect: Connect, face: Face, observer: Observer) -> None:
    if not isinstance(face, LoopFace):
        pytest.skip("threads are not cancelled")
    # Other processes run this test on the same server.
    table = f"copied_later_{os.getpid()}"
    observer.execute(f"drop table if exists {table}; create table {table} (a int)")
    async with connect(cancel_timeout=20) as session, connect() as other:  # noqa: SIM117
        async with other.transaction() as tx:
            await tx.execute(f"lock table {table}")
            with anyio.move_on_after(0.1) as scope:
                async with session.copy_in(f"copy {table} from stdin"):
                    pytest.fail("it began")
            assert scope.cancelled_caught
            # It did not wait for the lock.
            assert await session.fetchval("select 1") == 1
    observer.execute(f"drop table {table}")


async def test_timeouts(connect: Connect, face: Face) -> None:
    async with table(connect) as session:
        with pytest.raises(QueryTimeout):
            async with session.copy_in("copy t (a) from stdin", timeout=0.05) as copy:
                await copy.write(b"1\n")
                await face.sleep(0.1)
                while True:
                    await copy.write(b"1\n" * 100_000)
        # The server has digested what was taken back: only what is alone in flight is cancelled.
        await session.ping()
        with pytest.raises(QueryTimeout):
            async with session.copy_out("copy (select pg_sleep(60)) to stdout", timeout=0.05) as out:
                async for _ in out:
                    ...
        assert await count(session) == 0


async def test_the_connection_is_lost(connect: Connect, face: Face, observer: Observer) -> None:
    for finish in (True, False):
        async with table(connect) as session:
            with pytest.raises(Error) as caught:
                async with session.copy_in("copy t (a) from stdin") as copy:
                    await copy.write(b"1\n")
                    observer.terminate(session.backend_pid)
                    await face.until(lambda: observer.state(session.backend_pid) is None)
                    while not finish:
                        await copy.write(b"1\n" * 100_000)
            assert isinstance(caught.value, ConnectionLost)
            assert session.is_closed
    async with connect() as session:
        sql = "copy (select repeat('x', 1000), generate_series(1, 10000000)) to stdout"
        with pytest.raises(ConnectionLost):
            async with session.copy_out(sql) as out:
                observer.terminate(session.backend_pid)
                async for _ in out:
                    ...


async def test_a_line_that_breaks(connect_through: Connect, proxy: FaultyProxy) -> None:
    async with connect_through() as session:
        await session.execute("create temporary table t (a int)")
        with pytest.raises(ConnectionLost) as caught:
            async with session.copy_in("copy t from stdin") as copy:
                proxy.fail("reset", after=1_000_000)
                while True:
                    await copy.write(b"1\n" * 100_000)
        assert caught.value.outcome == "not_committed"


@pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"])
async def test_over_tls(face: Face, own_postgres: Server) -> None:
    issued = trustme.CA().issue_cert("db.example")
    chain = b"".join([each.bytes() for each in issued.cert_chain_pems])
    own_postgres.set_tls(TLSFiles(chain, issued.private_key_pem.bytes()))
    async with face.connect(own_postgres.dsn_for("alice"), sslmode="require") as session:
        await session.execute("create temporary table t (a text)")
        async with session.copy_in("copy t from stdin") as copy:
            for _ in range(30):
                await copy.write((b"x" * 999 + b"\n") * 100)
        size = 0
        async with session.copy_out("copy t to stdout") as out:
            async for chunk in out:
                size += len(chunk)
        assert size == 3_000_000
