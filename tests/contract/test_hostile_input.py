"""What applications and their users may not do to a session: each is refused, and nothing else suffers."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pgproto_asyncio
import pgproto_blocking
from pgproto import ConfigError, DataError, Error, LocalProtocolError
from pgproto.errors import UntranslatableCharacter
from tests.contract.faces import Connect, Face, Session
from tests.contract.observer import Observer
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio

BAD_TEXTS = {"a zero byte": "a\0b", "half a surrogate pair": "a\ud800b"}
PLACES: dict[str, Callable[[Session, str], Any]] = {
    "a text argument": lambda session, text: session.fetchval("select $1::text", text),
    "an element of an array": lambda session, text: session.fetchval("select $1::text[]", ["x", text]),
    "a JSON argument": lambda session, text: session.fetchval("select $1::jsonb", {"k": text}),
    "the SQL of a query": lambda session, text: session.fetch(f"select '{text}'"),
    "the SQL of a simple query": lambda session, text: session.simple_query(f"select '{text}'"),
    "the SQL to prepare": lambda session, text: session.prepare(f"select '{text}'"),
    "the name of a table": lambda session, text: session.copy_records_to_table(text, records=[(1,)]),
    "the name of a column": lambda session, text: session.copy_records_to_table(
        "pg_class", records=[(1,)], columns=[text]
    ),
}


@pytest.mark.parametrize("bad", BAD_TEXTS)
@pytest.mark.parametrize("place", PLACES)
async def test_texts_that_cannot_be_sent(place: str, bad: str, connect: Connect) -> None:
    # JSON writes a zero byte as \u0000, which it is the server's to refuse.
    refusals = (DataError, LocalProtocolError, UntranslatableCharacter)
    async with connect() as session:
        with pytest.raises(refusals):
            await PLACES[place](session, BAD_TEXTS[bad])
        assert session.transaction_status == "I"
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_channels_that_cannot_be(bad: str, connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises((DataError, LocalProtocolError)):
            async with session.listen(BAD_TEXTS[bad]):
                pytest.fail("it listens")
        assert await session.fetchval("select 1") == 1


async def test_a_channel_is_a_name_and_nothing_else(connect: Connect, observer: Observer) -> None:
    channel = 'a"; drop table pg_class; --'
    async with connect() as session, session.listen(channel) as notifications:
        observer.value("select pg_notify(%s, 'x')", channel)
        async for notification in notifications:
            assert notification.channel == channel
            break


@pytest.mark.parametrize("bad", BAD_TEXTS)
@pytest.mark.parametrize("name", ["user", "password", "dbname", "application_name", "options"])
async def test_parameters_that_cannot_be_sent(name: str, bad: str, face: Face) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        async with face.connect(**{"host": "127.0.0.1", "port": 1, "user": "alice", name: BAD_TEXTS[bad]}):
            pytest.fail("it connected")
    assert BAD_TEXTS[bad] not in str(caught.value)


async def test_a_startup_message_that_is_too_long(face: Face) -> None:
    with pytest.raises(ConfigError, match="10000"):
        async with face.connect(host="127.0.0.1", port=1, user="alice", application_name="x" * 10_000):
            pytest.fail("it connected")


async def test_as_many_arguments_as_there_may_be(connect: Connect) -> None:
    async with connect() as session:
        most = 65_535
        sql = "select " + "+".join([f"${number}::int" for number in range(1, most + 1)])
        with pytest.raises(Error):
            # The server has limits of its own; but it was asked.
            await session.fetchval(sql, *[1] * most, timeout=60)
        with pytest.raises(DataError, match="65"):
            await session.fetchval("select 1", *[1] * (most + 1))
        assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**63, 2**100])
async def test_integers_out_of_range(value: int, connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(DataError):
            await session.fetchval("select $1::int4", value)
        assert await session.fetchval("select 1") == 1


# Whose session it is.


@pytest.mark.parametrize("face", ["asyncio", "trio"], indirect=True)
async def test_another_event_loop(face: Face, connect: Connect) -> None:
    async with connect() as session:
        errors: list[BaseException] = []

        def elsewhere() -> None:
            try:
                if face.name == "trio":
                    import trio

                    trio.run(session.fetchval, "select 1")
                else:
                    asyncio.run(session.fetchval("select 1"))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        (error,) = errors
        assert isinstance(error, RuntimeError)
        assert "belongs to another" in str(error)
        assert await session.fetchval("select 1") == 1


FORKED = """
import os, sys
import pgproto_blocking

with pgproto_blocking.connect(sys.argv[1]) as session, pgproto_blocking.Pool(sys.argv[1], min_size=1) as pool:
    child = os.fork()
    if child == 0:
        refused = 0
        for use in (lambda: session.fetchval("select 1"), lambda: pool.fetchval("select 1"), session.ping):
            try:
                use()
            except RuntimeError as error:
                refused += "process" in str(error)
        session.close()
        session.terminate()
        pool.close()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    # The child's goodbye was none.
    assert session.fetchval("select 7") == 7
    assert pool.fetchval("select 7") == 7
print("fine")
"""


def test_a_fork(postgres: Server) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, postgres.dsn]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.stdout == "fine\n", ran.stderr


def forget(holder: list[Any]) -> None:
    holder.clear()
    gc.collect()


@pytest.mark.parametrize("face", ["asyncio", "uvloop"], indirect=True)
async def test_a_session_that_was_forgotten(face: Face, postgres: Server, observer: Observer) -> None:
    holder: list[Any] = [await pgproto_asyncio.connect(postgres.dsn)]
    process_id = holder[0].backend_pid
    with pytest.warns(ResourceWarning, match=f"{process_id}.* was not closed"):
        forget(holder)
    await face.until(lambda: observer.state(process_id) is None)


@pytest.mark.parametrize("face", ["blocking"], indirect=True)
async def test_a_socket_that_was_forgotten(face: Face, postgres: Server, observer: Observer) -> None:
    holder: list[Any] = [pgproto_blocking.connect(postgres.dsn)]
    process_id = holder[0].backend_pid
    with pytest.warns(ResourceWarning, match="unclosed"):
        forget(holder)
    await face.until(lambda: observer.state(process_id) is None)
