"""A line that swallows everything: whatever is asked, its caller is back in time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgproto import CommitUnknown, ConnectionLost, QueryTimeout
from tests.contract.faces import Connect
from tests.support.faulty_proxy import FaultyProxy

__all__: list[str] = []

pytestmark = pytest.mark.anyio

TIMEOUT = CANCEL_TIMEOUT = 0.3
SLACK = 20.0
"""For a machine that is busy; without a deadline it would be minutes."""

Ask = Callable[[Any], Awaitable[object]]


async def in_transaction(session: Any) -> None:
    async with session.transaction() as tx:
        await tx.execute("select 1")


async def in_stream(session: Any) -> None:
    async with session.stream("select 1") as rows:
        async for _ in rows:
            continue


async def in_pipeline(session: Any) -> None:
    async with session.pipeline(timeout=TIMEOUT) as pipeline:
        one = pipeline.fetchval("select 1")
    one.result()


async def in_copy_in(session: Any) -> None:
    async with session.copy_in("copy t from stdin") as copy:
        await copy.write(b"1\n")


async def in_copy_out(session: Any) -> None:
    async with session.copy_out("copy t to stdout") as copy:
        async for _ in copy:
            continue


async def in_listening(session: Any) -> None:
    async with session.listen("news") as news:
        await news.get()


async def run(session: Any) -> None:
    async def one(tx: Any) -> None:
        await tx.execute("select 1")

    await session.run_transaction(one)


ASKING: dict[str, Ask] = {
    "execute": lambda session: session.execute("select 1", timeout=TIMEOUT),
    "fetch": lambda session: session.fetch("select 1", timeout=TIMEOUT),
    "fetchrow": lambda session: session.fetchrow("select 1", timeout=TIMEOUT),
    "fetch_one": lambda session: session.fetch_one("select 1", timeout=TIMEOUT),
    "fetchval": lambda session: session.fetchval("select $1::int", 1, timeout=TIMEOUT),
    "fetch_columns": lambda session: session.fetch_columns("select 1", timeout=TIMEOUT),
    "executemany": lambda session: session.executemany("select $1::int", [(1,)], timeout=TIMEOUT),
    "simple_query": lambda session: session.simple_query("select 1", timeout=TIMEOUT),
    "prepare": lambda session: session.prepare("select 1", timeout=TIMEOUT),
    "ping": lambda session: session.ping(timeout=TIMEOUT),
    "copy_records_to_table": lambda session: session.copy_records_to_table(
        "t", records=[(1,)], timeout=TIMEOUT
    ),
    "pipeline": in_pipeline,
}
"""With a deadline of their own."""

USING: dict[str, Ask] = {
    "transaction": in_transaction,
    "run_transaction": run,
    "stream": in_stream,
    "copy_in": in_copy_in,
    "copy_out": in_copy_out,
    "listen": in_listening,
}
"""With that of the session."""


async def ask_nobody(
    connect_through: Connect, proxy: FaultyProxy, ask: Ask, parameters: dict[str, object]
) -> None:
    async with connect_through(cancel_timeout=CANCEL_TIMEOUT, **parameters) as session:
        assert await session.fetchval("select 1", timeout=60) == 1
        proxy.fail("swallow")
        started = time.monotonic()
        with pytest.raises((QueryTimeout, ConnectionLost, CommitUnknown)):
            await ask(session)
        assert time.monotonic() - started < TIMEOUT + CANCEL_TIMEOUT + SLACK
        # It is in doubt, and does not come back to life.
        with pytest.raises((QueryTimeout, ConnectionLost)):
            await session.fetchval("select 2", timeout=TIMEOUT)
        await session.close(timeout=0.1)
        assert session.is_closed
        assert time.monotonic() - started < 2 * (TIMEOUT + CANCEL_TIMEOUT + SLACK)


@pytest.mark.parametrize("verb", ASKING)
async def test_a_call_with_a_deadline(connect_through: Connect, proxy: FaultyProxy, verb: str) -> None:
    await ask_nobody(connect_through, proxy, ASKING[verb], {})


@pytest.mark.parametrize("verb", USING)
async def test_a_session_with_a_deadline(connect_through: Connect, proxy: FaultyProxy, verb: str) -> None:
    await ask_nobody(connect_through, proxy, USING[verb], {"command_timeout": TIMEOUT})
