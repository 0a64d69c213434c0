"""Servers that lie, stall and flood once the session has begun."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from pgproto import (
    CommitUnknown,
    ConnectionLost,
    DataError,
    Error,
    QueryTimeout,
    RemoteProtocolError,
    TransactionRolledBack,
)
from pgproto import messages as m
from pgproto.errors import ResultTooLarge
from pgproto.messages import Message
from tests.contract.faces import Face, Session
from tests.core.session.test_hostile import EXTENDED, LATE, SIMPLE
from tests.support.canary import CANARY, everything_about, expect_no_song_in
from tests.support.liars import HANG_UP, WELCOME, Drip, LiarServer, Reply

__all__: list[str] = []

pytestmark = pytest.mark.anyio

INT8 = m.FieldDescription("n", type_oid=20, type_size=8)
SEVEN = m.DataRow(((7).to_bytes(8, "big"),))
DESCRIBED = (m.ParseComplete(), m.ParameterDescription((20,)), m.RowDescription((INT8,)))
DONE = (m.CommandComplete("SELECT 1"), m.ReadyForQuery("I"))
NOTHING = ()
QUERY: tuple[Reply, ...] = (NOTHING, NOTHING, DESCRIBED, NOTHING, NOTHING, (m.BindComplete(), SEVEN, *DONE))
"""The replies to Parse, Describe, Flush; Bind, Execute, Sync."""
MEBIBYTE = 1 << 20


@pytest.fixture
def observer() -> None:
    """No server is needed."""


@asynccontextmanager
async def session_with(face: Face, server: LiarServer, **parameters: Any) -> AsyncGenerator[Session, None]:
    async with face.connect(
        user="alice",
        password=CANARY,
        host="127.0.0.1",
        port=server.port,
        sslmode="disable",
        connect_timeout=30,
        **parameters,
    ) as session:
        yield session


def words(lie: tuple[Message | bytes, ...]) -> tuple[bytes, ...]:
    return tuple([word if isinstance(word, bytes) else word.encode() for word in lie])


@pytest.mark.parametrize("lie", EXTENDED)
async def test_lies_to_an_extended_query(lie: str, face: Face, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with LiarServer((*WELCOME,), *QUERY, NOTHING, NOTHING, words(EXTENDED[lie])) as server:
        async with session_with(face, server) as session:
            assert await session.fetchval("select $1", 1) == 7
            assert CANARY not in repr(session)
            with pytest.raises((RemoteProtocolError, ConnectionLost)) as caught:
                value = await session.fetchval("select $1", 2)
                # The answer was complete; what is too much shows when it is read.
                assert lie in LATE
                assert value == 7
                await face.until(lambda: session.is_closed or face.name == "blocking")
                await session.ping()
            assert lie in LATE or isinstance(caught.value, RemoteProtocolError)
            assert session.is_closed
            await face.until(lambda: server.left)
            with pytest.raises((ConnectionLost, RemoteProtocolError)):
                await session.ping()
        expect_no_song_in(server.heard, everything_about(caught.value), caplog.text.encode())


@pytest.mark.parametrize("lie", SIMPLE)
async def test_lies_to_a_simple_query(lie: str, face: Face, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with LiarServer((*WELCOME,), words(SIMPLE[lie])) as server:
        async with session_with(face, server) as session:
            with pytest.raises((RemoteProtocolError, ConnectionLost)) as caught:
                await session.simple_query("select 7")
                assert lie in LATE
                await face.until(lambda: session.is_closed or face.name == "blocking")
                await session.ping()
            assert session.is_closed
            await face.until(lambda: server.left)
        expect_no_song_in(server.heard, everything_about(caught.value), caplog.text.encode())


STALLS: dict[str, tuple[Reply, ...]] = {
    "no answer": (),
    "no row": (*QUERY[:3], NOTHING, NOTHING, m.BindComplete()),
    "no end": (*QUERY[:3], NOTHING, NOTHING, (m.BindComplete(), SEVEN)),
    "half a row": (*QUERY[:3], NOTHING, NOTHING, (m.BindComplete(), SEVEN.encode()[:9])),
    "a row of a gigabyte, byte by byte": (
        *QUERY[:3],
        NOTHING,
        NOTHING,
        (m.BindComplete(), b"D\x3f\xff\xff\xf0", Drip(b"\0")),
    ),
    "notices for ever": (
        *QUERY[:3],
        NOTHING,
        NOTHING,
        Drip(m.NoticeResponse({"S": "NOTICE", "M": "x"}).encode()),
    ),
}


@pytest.mark.parametrize("stage", STALLS)
async def test_a_deadline_at_every_stage(stage: str, face: Face) -> None:
    with LiarServer((*WELCOME,), *STALLS[stage]) as server:
        async with session_with(face, server, cancel_timeout=0.1) as session:
            with pytest.raises(QueryTimeout):
                await session.fetchval("select $1", 1, timeout=0.1)
            # Nobody hears the cancel request, so after its time the session is given up.
            with pytest.raises((ConnectionLost, QueryTimeout)):
                await session.ping(timeout=5)
            await session.close(timeout=0.1)
            assert session.is_closed
        await face.until(lambda: server.left)


@pytest.mark.parametrize("how", ["in the midst of a message", "before an answer", "after an error"])
async def test_an_end(how: str, face: Face) -> None:
    ends: dict[str, Reply] = {
        "in the midst of a message": (b"E\0\0\0\x50SFATAL\0", HANG_UP),
        "before an answer": HANG_UP,
        "after an error": (
            m.ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "57P01", "M": "shutting down"}),
            HANG_UP,
        ),
    }
    with LiarServer((*WELCOME,), *QUERY, NOTHING, NOTHING, ends[how]) as server:
        async with session_with(face, server) as session:
            assert await session.fetchval("select $1", 1) == 7
            with pytest.raises(Error) as caught:
                await session.fetchval("select $1", 2)
            if how != "after an error":
                assert isinstance(caught.value, ConnectionLost)
                assert caught.value.outcome == "unknown"
            with pytest.raises(ConnectionLost):
                await session.ping()
            assert session.is_closed


FLOODS = {
    "notices": m.NoticeResponse({"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "x" * 1000}),
    "notifications": m.NotificationResponse(1, "channel", "x" * 1000),
    "parameters": m.ParameterStatus("application_name", "x" * 1000),
}


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("face", ["swift-asyncio", "trio", "blocking"], indirect=True)
async def test_a_flood_stays_small(kind: str, face: Face) -> None:
    flood = FLOODS[kind].encode()
    count = 16 * MEBIBYTE // len(flood)
    reply: Reply = (m.BindComplete(), SEVEN, *[flood * 1000] * (count // 1000), *DONE)
    with LiarServer((*WELCOME,), *QUERY, NOTHING, NOTHING, reply) as server:
        async with session_with(face, server) as session:
            assert await session.fetchval("select $1", 1) == 7
            tracemalloc.start()
            try:
                assert await session.fetchval("select $1", 2) == 7
                # The server's own copy of the flood is in this process too, so what is left is what counts.
                await face.until(lambda: tracemalloc.get_traced_memory()[0] < 2 * MEBIBYTE)
            finally:
                tracemalloc.stop()
            assert not session.is_closed


@pytest.mark.parametrize("face", ["swift-asyncio", "trio", "blocking"], indirect=True)
async def test_a_result_without_an_end(face: Face) -> None:
    rows = SEVEN.encode() * 100_000
    reply: Reply = (m.BindComplete(), *[rows] * 5)
    with LiarServer((*WELCOME,), *QUERY, NOTHING, NOTHING, reply) as server:
        async with session_with(face, server, max_result_bytes=MEBIBYTE, cancel_timeout=0.1) as session:
            assert await session.fetchval("select $1", 1) == 7
            # Told to stop, the server goes on; so it depends on which of the two is seen first.
            with pytest.raises((ResultTooLarge, ConnectionLost)):
                await session.fetch("select $1", 2)
            await session.close(timeout=0.1)
        await face.until(lambda: server.left)


async def test_a_value_that_cannot_be_is_the_problem_of_its_request(face: Face) -> None:
    array = m.FieldDescription("a", type_oid=1016, type_size=-1)
    huge = b"\0\0\0\1\0\0\0\0\0\0\0\x14\x7f\xff\xff\xff\0\0\0\1"
    described = (m.ParseComplete(), m.ParameterDescription((20,)), m.RowDescription((array,)))
    answer = (m.BindComplete(), m.DataRow((huge,)), *DONE)
    with LiarServer(
        (*WELCOME,), NOTHING, NOTHING, described, NOTHING, NOTHING, answer, NOTHING, NOTHING, answer
    ) as server:
        async with session_with(face, server) as session:
            for _ in range(2):
                with pytest.raises(DataError):
                    await session.fetchval("select $1", 1)
            assert not session.is_closed


async def test_a_commit_that_is_none(face: Face) -> None:
    rolled_back = (m.CommandComplete("ROLLBACK"), m.ReadyForQuery("I"))
    begun = (m.CommandComplete("BEGIN"), m.ReadyForQuery("T"))
    with LiarServer((*WELCOME,), begun, rolled_back) as server:
        async with session_with(face, server) as session:
            transaction = session.transaction()
            await transaction.__aenter__()
            with pytest.raises(TransactionRolledBack):
                await transaction.__aexit__(None, None, None)
            assert server.lines[0].failure is None


@pytest.mark.parametrize(
    "answer",
    [
        (m.CommandComplete("SELECT 1"), m.ReadyForQuery("I")),
        (m.CommandComplete("COMMIT 1"), m.ReadyForQuery("I")),
        (m.CommandComplete("COMMIT"), m.ReadyForQuery("T")),
        (m.CommandComplete("COMMIT"), m.ReadyForQuery("E")),
        (m.CommandComplete("ROLLBACK"), m.ReadyForQuery("T")),
        (m.EmptyQueryResponse(), m.ReadyForQuery("I")),
    ],
    ids=lambda answer: " ".join(map(repr, answer)),
)
async def test_a_commit_with_an_odd_answer(face: Face, answer: tuple[Message, ...]) -> None:
    """Only the one tag, outside of a transaction, is success."""
    begun = (m.CommandComplete("BEGIN"), m.ReadyForQuery("T"))
    with LiarServer((*WELCOME,), begun, answer) as server:
        async with session_with(face, server) as session:
            with pytest.raises((RemoteProtocolError, CommitUnknown)) as caught:
                async with session.transaction():
                    pass
            assert session.is_closed
            await face.until(lambda: server.left)
    assert "COMMIT" in str(caught.value)


@pytest.mark.parametrize("status", ["I", "E"])
async def test_a_beginning_that_is_none(face: Face, status: Literal["I", "E"]) -> None:
    """Nothing is done in a transaction that the server says is not there."""
    with LiarServer((*WELCOME,), (m.CommandComplete("BEGIN"), m.ReadyForQuery(status))) as server:
        async with session_with(face, server) as session:
            with pytest.raises(RemoteProtocolError, match=f"BEGIN with 'BEGIN' and status '{status}'"):
                async with session.transaction():
                    pytest.fail("it went on")
            assert session.is_closed
            await face.until(lambda: server.left)


async def test_a_rollback_that_is_none(face: Face) -> None:
    begun = (m.CommandComplete("BEGIN"), m.ReadyForQuery("T"))
    with LiarServer((*WELCOME,), begun, (m.CommandComplete("ROLLBACK"), m.ReadyForQuery("T"))) as server:
        async with session_with(face, server) as session:
            with pytest.raises(KeyError):
                async with session.transaction():
                    raise KeyError
            await face.until(lambda: session.is_closed)
            await face.until(lambda: server.left)


@pytest.mark.parametrize(
    "tag",
    [
        *(
            "INSERT x",
            "SELECT -1",
            "SELECT 1_000",
            "SELECT \u0663",
            "SELECT 1 2 3",
            "SELECT 5 ",
            "select 1",
            "7",
        ),
        "SELECT " + "9" * 5000,
        "\x1b[2J",
    ],
)
async def test_tags_that_tell_of_no_rows(face: Face, tag: str) -> None:
    odd = (m.BindComplete(), SEVEN, m.CommandComplete(tag[:900]), m.ReadyForQuery("I"))
    with LiarServer((*WELCOME,), *QUERY, NOTHING, NOTHING, odd) as server:
        async with session_with(face, server) as session:
            assert await session.fetchval("select $1", 1) == 7
            got = await session.execute("select $1", 2)
            assert (got.command, got.rows) == (tag[:900], None)
