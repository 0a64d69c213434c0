"""What a server says unasked: notifications, notices, changed parameters."""

from __future__ import annotations

import logging
import os

import pytest

from pgproto import (
    ConnectionLost,
    DataError,
    LocalProtocolError,
    Notification,
    PostgresError,
    QueryTimeout,
    ResultTooLarge,
)
from tests.contract.faces import Connect, Face, Session
from tests.contract.observer import Observer

__all__: list[str] = []

pytestmark = pytest.mark.anyio

NEWS = f"news_{os.getpid()}"
"""Other processes use the same server, and would be heard."""

ODD = f'A "quoted"; drop table t; -- channel {os.getpid()}'


# --- Notifications -----------------------------------------------------------------------------------------


async def test_one_says_what_another_hears(connect: Connect, observer: Observer) -> None:
    async with connect() as session, session.listen(NEWS) as news:
        observer.execute(f"notify {NEWS}, 'one'")
        observer.execute(f"notify {NEWS}")
        heard = [await news.get(), await news.get()]
        assert [(each.channel, each.payload) for each in heard] == [(NEWS, "one"), (NEWS, "")]
        assert {each.pid for each in heard} == {observer.value("select pg_backend_pid()")}
        assert isinstance(heard[0], Notification)


async def test_iterating(connect: Connect) -> None:
    async with connect() as session, session.listen(NEWS) as news:
        for number in range(5):
            await session.execute(f"select pg_notify('{NEWS}', $1)", str(number))
        heard: list[str] = []
        async for each in news:
            heard.append(each.payload)
            assert each.pid == session.backend_pid
            if len(heard) == 5:
                break
        assert heard == ["0", "1", "2", "3", "4"]


async def test_while_nothing_else_goes_on(connect: Connect, face: Face, observer: Observer) -> None:
    async with connect() as session, session.listen(NEWS) as news, face.tasks() as tasks:
        job = tasks.start(news.get)
        # The server has nothing to do for the session, and yet it is heard.
        await face.until(lambda: observer.state(session.backend_pid) == "idle")
        observer.execute(f"notify {NEWS}, 'idle'")
        assert (await job.result()).payload == "idle"


async def test_beside_other_requests(connect: Connect, face: Face, observer: Observer) -> None:
    async with connect() as session, session.listen(NEWS) as news:

        async def ask() -> None:
            for number in range(100):
                assert await session.fetchval("select $1::int", number) == number

        async def hear() -> list[str]:
            return [(await news.get()).payload for _ in range(100)]

        async with face.tasks() as tasks:
            asking, hearing = tasks.start(ask), tasks.start(hear)
            for number in range(100):
                observer.execute(f"notify {NEWS}, '{number}'")
        await asking.result()
        assert await hearing.result() == [str(number) for number in range(100)]


async def test_several_channels_and_several_listeners(connect: Connect, observer: Observer) -> None:
    async with connect() as session, session.listen(ODD) as odd, session.listen(NEWS) as first:
        async with session.listen(NEWS) as second:
            observer.value("select pg_notify(%s, 'odd')", ODD)
            observer.execute(f"notify {NEWS}, 'for both'")
            assert (await first.get()).payload == (await second.get()).payload == "for both"
            assert await odd.get() == (ODD, "odd", observer.value("select pg_backend_pid()"))
        # The other one still listens.
        observer.execute(f"notify {NEWS}, 'for one'")
        assert (await first.get()).payload == "for one"
        assert await channels(session) == sorted([ODD, NEWS])
    assert session.is_closed


async def channels(session: Session) -> list[str]:
    """What the server believes that the session listens to."""
    return sorted([row[0] for row in await session.fetch("select pg_listening_channels()")])


async def test_the_end_of_listening(connect: Connect, observer: Observer) -> None:
    async with connect() as session:
        async with session.listen(NEWS) as news:
            assert await channels(session) == [NEWS]
        assert await channels(session) == []
        async with session.listen(NEWS) as news:
            observer.execute(f"notify {NEWS}, 'again'")
            assert (await news.get()).payload == "again"


async def test_patience(connect: Connect, observer: Observer) -> None:
    async with connect() as session, session.listen(NEWS) as news:
        with pytest.raises(QueryTimeout, match="news"):
            await news.get(timeout=0.05)
        observer.execute(f"notify {NEWS}, 'late'")
        assert (await news.get(timeout=20)).payload == "late"
        with pytest.raises(QueryTimeout):
            await news.get(timeout=0)
        assert await session.fetchval("select 1") == 1


async def test_one_listener_is_for_one_caller(connect: Connect, face: Face, observer: Observer) -> None:
    async with connect() as session, session.listen(NEWS) as news, face.tasks() as tasks:
        jobs = [tasks.start(news.get) for _ in range(2)]
        await face.until(lambda: any(job.done for job in jobs))
        refused = next(job for job in jobs if job.done)
        with pytest.raises(LocalProtocolError, match="already"):
            await refused.result()
        observer.execute(f"notify {NEWS}")
        assert [await job.error() is None for job in jobs].count(True) == 1


async def test_not_inside_of_a_transaction(connect: Connect) -> None:
    async with connect() as session:
        async with session.transaction():
            with pytest.raises(LocalProtocolError, match="COMMIT"):
                async with session.listen(NEWS):
                    pytest.fail("the transaction may still roll back")
            assert await session.fetchval("select 1") == 1
        assert await channels(session) == []


async def test_a_channel_that_cannot_be(connect: Connect) -> None:
    async with connect() as session:
        for channel in ("", "a\0b", "\ud800", "x" * 64):
            with pytest.raises(DataError):
                session.listen(channel)
        assert await session.fetchval("select 1") == 1


async def test_nobody_reads(connect: Connect) -> None:
    async with connect() as session, session.listen(NEWS) as news:
        await session.execute(f"select pg_notify('{NEWS}', n::text) from generate_series(1, 10100) n")
        for number in range(1, 10001):
            assert (await news.get()).payload == str(number)
        with pytest.raises(ResultTooLarge, match="10000"):
            await news.get()
        assert await session.fetchval("select 1") == 1


async def test_the_session_ends(connect: Connect, face: Face, observer: Observer) -> None:
    async with connect() as session, session.listen(NEWS) as news, face.tasks() as tasks:
        job = tasks.start(news.get)
        await face.until(lambda: observer.state(session.backend_pid) == "idle")
        observer.terminate(session.backend_pid)
        assert isinstance(await job.error(), (ConnectionLost, PostgresError))
        with pytest.raises((ConnectionLost, PostgresError)):
            await news.get()


async def test_closing_ends_listening(connect: Connect, face: Face) -> None:
    async with connect() as session, session.listen(NEWS) as news, face.tasks() as tasks:
        job = tasks.start(news.get)
        await session.fetchval("select 1")
        await session.close()
        assert isinstance(await job.error(), ConnectionLost)


# --- Notices and parameters --------------------------------------------------------------------------------


RAISE = "do $$ begin raise notice 'look %', 1; raise warning 'and look' using hint = 'there'; end $$"


async def test_notices(connect: Connect) -> None:
    async with connect() as session:
        heard: list[PostgresError] = []
        session.add_notice_handler(heard.append)
        await session.execute(RAISE)
        assert [(each.severity, each.message, each.hint) for each in heard] == [
            ("NOTICE", "look 1", None),
            ("WARNING", "and look", "there"),
        ]
        session.remove_notice_handler(heard.append)
        await session.execute(RAISE)
        assert len(heard) == 2
        with pytest.raises(LocalProtocolError):
            session.remove_notice_handler(heard.append)


async def test_parameters(connect: Connect) -> None:
    async with connect() as session:
        heard: list[tuple[str, str]] = []

        def hear(name: str, value: str) -> None:
            heard.append((name, value))

        session.add_parameter_handler(hear)
        await session.execute("set application_name = 'tests'")
        await session.execute("set work_mem = '5MB'")
        assert heard == [("application_name", "tests")]
        assert session.parameters["application_name"] == "tests"
        session.remove_parameter_handler(hear)
        await session.execute("set application_name = 'more tests'")
        assert len(heard) == 1
        assert session.parameters["application_name"] == "more tests"


async def test_a_handler_that_fails(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async with connect() as session:
        heard: list[PostgresError] = []

        def fail(notice: PostgresError) -> None:
            raise ZeroDivisionError(notice.message)

        session.add_notice_handler(fail)
        session.add_notice_handler(heard.append)
        with caplog.at_level(logging.ERROR, "pgproto"):
            await session.execute(RAISE)
        assert len(heard) == 2
        assert "a handler failed" in caplog.text
        assert await session.fetchval("select 1") == 1


async def test_a_handler_may_use_the_session(connect: Connect, face: Face) -> None:
    async with connect() as session:
        heard: list[object] = []

        def look(notice: PostgresError) -> None:
            heard.append((notice.message, session.transaction_status, session.parameters["client_encoding"]))
            session.remove_notice_handler(look)
            session.add_notice_handler(leave)

        def leave(notice: PostgresError) -> None:
            session.terminate()

        session.add_notice_handler(look)
        await session.execute("do $$ begin raise notice 'first'; end $$")
        assert heard == [("first", "I", "UTF8")]
        # It ends the session, in the middle of an answer or behind it.
        async with face.tasks() as tasks:
            job = tasks.start(session.execute, "do $$ begin raise notice 'last'; end $$")
        assert isinstance(await job.error(), (ConnectionLost, type(None)))
        assert session.is_closed
