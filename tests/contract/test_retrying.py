"""Transactions that are tried again when another one stood in their way."""

from __future__ import annotations

import os
from functools import partial
from itertools import chain
from typing import Any

import pytest

from pgproto import (
    CommitUnknown,
    ConnectionLost,
    DataError,
    DeadlockDetected,
    DivisionByZero,
    LocalProtocolError,
    SerializationFailure,
    TransactionRolledBack,
)
from tests.contract.faces import Connect, Face, Session
from tests.contract.observer import Observer
from tests.contract.pools import make_pool
from tests.support.faulty_proxy import TO_CLIENT, FaultyProxy
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio

CALLERS, TURNS = 4, 5


@pytest.fixture
def counter(observer: Observer) -> str:
    """A table with one number, zero; other processes that use the same server have another."""
    name = f"counter_{os.getpid()}"
    observer.execute(f"drop table if exists {name}")
    observer.execute(f"create table {name} as select 0 as value")
    return name


async def increment(table: str, tx: Any) -> int:
    value: int = await tx.fetchval(f"select value from {table}")
    await tx.execute(f"update {table} set value = $1", value + 1)
    return value + 1


async def test_everybody_gets_through(connect: Connect, face: Face, observer: Observer, counter: str) -> None:
    async def caller() -> list[int]:
        async with connect() as session:
            return [
                await session.run_transaction(partial(increment, counter), retries=1000) for _ in range(TURNS)
            ]

    seen = await face.gather([caller] * CALLERS)
    # Each of them was the only one to see its number.
    assert sorted(chain.from_iterable(seen)) == list(range(1, CALLERS * TURNS + 1))
    assert observer.value(f"select value from {counter}") == CALLERS * TURNS


async def test_what_would_be_possible_alone_is_not_possible_together(
    connect: Connect, face: Face, observer: Observer
) -> None:
    """Two who may leave only if the other stays: each sees the other, and neither touches the other's row."""
    table = f"on_call_{os.getpid()}"
    observer.execute(f"drop table if exists {table}")
    observer.execute(f"create table {table} as select number, true as here from generate_series(1, 4) number")

    async def leave(number: int, tx: Any) -> None:
        others = await tx.fetchval(f"select count(*) from {table} where here and number <> $1", number)
        if others:
            await tx.execute(f"update {table} set here = false where number = $1", number)

    async def caller(number: int) -> None:
        async with connect() as session:
            await session.run_transaction(partial(leave, number), retries=100)

    await face.gather([partial(caller, number) for number in range(1, 5)])
    assert observer.value(f"select count(*) from {table} where here") == 1


async def test_a_pool_does_it_too(face: Face, postgres: Server, observer: Observer, counter: str) -> None:
    async with make_pool(face, postgres.dsn, max_size=3) as pool:

        async def caller() -> int:
            result: int = await pool.run_transaction(partial(increment, counter), retries=1000)
            return result

        assert sorted(await face.gather([caller] * 6)) == [1, 2, 3, 4, 5, 6]


async def ask(tx: Any) -> int:
    answer: int = await tx.fetchval("select 1")
    return answer


async def failing(calls: list[int], error: str, tx: Any) -> None:
    calls.append(len(calls))
    await tx.execute(f"do $$ begin raise sqlstate '{error}'; end $$")


async def test_patience_ends(connect: Connect) -> None:
    async with connect() as session:
        for retries in (0, 3):
            calls: list[int] = []
            with pytest.raises(SerializationFailure):
                await session.run_transaction(partial(failing, calls, "40001"), retries=retries)
            assert len(calls) == retries + 1
        assert session.transaction_status == "I"
        with pytest.raises(DataError, match="-1"):
            await session.run_transaction(partial(failing, [], "40001"), retries=-1)


async def test_other_errors_are_the_outcome(connect: Connect) -> None:
    async with connect() as session:
        calls: list[int] = []

        async def divide(tx: Any) -> None:
            calls.append(0)
            await tx.fetchval("select 1 / 0")

        async def swallow(tx: Any) -> None:
            with pytest.raises(DivisionByZero):
                await divide(tx)

        with pytest.raises(DivisionByZero):
            await session.run_transaction(divide)
        with pytest.raises(TransactionRolledBack):
            await session.run_transaction(swallow)
        assert len(calls) == 2
        assert await session.run_transaction(ask) == 1


async def test_only_as_a_whole(connect: Connect) -> None:
    async with connect() as session, session.transaction():
        with pytest.raises(LocalProtocolError, match="whole"):
            await session.run_transaction(ask)


async def test_never_after_a_commit_without_an_answer(
    connect_through: Connect, proxy: FaultyProxy, observer: Observer, counter: str
) -> None:
    calls: list[int] = []
    async with connect_through() as session:

        async def count(tx: Any) -> None:
            calls.append(await increment(counter, tx))
            proxy.fail("reset", after=proxy.links[0].carried[TO_CLIENT] + 3, direction=TO_CLIENT)

        with pytest.raises(CommitUnknown):
            await session.run_transaction(count)
    proxy.mend()
    assert calls == [1]
    assert observer.value(f"select value from {counter}") == 1


async def test_not_on_a_session_that_has_ended(connect: Connect) -> None:
    async with connect() as session:
        calls: list[int] = []

        async def end(tx: Any) -> None:
            try:
                await failing(calls, "40001", tx)
            finally:
                session.terminate()

        with pytest.raises((SerializationFailure, ConnectionLost)):
            await session.run_transaction(end)
        assert len(calls) == 1


async def test_it_ends_while_it_waits(connect: Connect, face: Face) -> None:
    async with connect() as session:
        calls: list[int] = []
        async with face.tasks() as tasks:
            job = tasks.start(run_for_long, session, calls)
            await face.until(lambda: len(calls) >= 8)
            session.terminate()
            assert isinstance(await job.error(), (DeadlockDetected, ConnectionLost))


async def run_for_long(session: Session, calls: list[int]) -> None:
    await session.run_transaction(partial(failing, calls, "40P01"), retries=1000)
