"""A session's beginning and its end."""

from __future__ import annotations

import logging

import pytest

from pgproto import ConfigError, ConnectionLost, InvalidCatalogName, InvalidPassword
from tests.contract.faces import Connect, Face, LoopFace, in_flight
from tests.contract.observer import Observer
from tests.support.faulty_proxy import TO_SERVER, FaultyProxy
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


async def test_a_block(connect: Connect, observer: Observer, face: Face) -> None:
    async with connect() as session:
        assert await session.fetchval("select 1") == 1
        process_id = session.backend_pid
        assert observer.state(process_id) == "idle"
    assert session.is_closed
    await face.until(lambda: observer.state(process_id) is None)


async def test_what_a_block_raises_comes_out_of_it(connect: Connect, observer: Observer, face: Face) -> None:
    async def fail() -> None:
        async with connect() as session:
            process_ids.append(session.backend_pid)
            raise ZeroDivisionError

    process_ids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await fail()
    await face.until(lambda: observer.state(process_ids[0]) is None)


async def test_over_tcp_with_a_password(face: Face, postgres: Server) -> None:
    async with face.connect(postgres.dsn_for("alice")) as session:
        assert await session.fetchval("select current_user") == "alice"
        assert await session.fetchval("select inet_server_port()") == postgres.port


async def test_over_the_unix_socket(face: Face, postgres: Server) -> None:
    async with face.connect(postgres.dsn_for("postgres", over_socket=True)) as session:
        assert await session.fetchval("select inet_server_port()") is None


async def test_parameters_are_arguments_too(connect: Connect) -> None:
    async with connect(application_name="the tests", options="-c work_mem=123kB") as session:
        assert await session.fetchval("show application_name") == "the tests"
        assert await session.fetchval("show work_mem") == "123kB"


async def test_an_unknown_parameter_is_refused(connect: Connect) -> None:
    with pytest.raises(ConfigError, match="aplication_name"):
        async with connect(aplication_name="typo"):
            pytest.fail("it connected")


async def test_the_server_refuses(face: Face, postgres: Server) -> None:
    with pytest.raises(InvalidPassword):
        async with face.connect(postgres.dsn_for("alice", "wrong")):
            pytest.fail("it connected")
    with pytest.raises(InvalidCatalogName, match="no_such_database"):
        async with face.connect(postgres.dsn_for("alice", dbname="no_such_database")):
            pytest.fail("it connected")


async def test_nobody_listens(face: Face) -> None:
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1") as caught:
        async with face.connect("postgresql://nobody@127.0.0.1:1/nothing"):
            pytest.fail("it connected")
    assert caught.value.outcome == "not_sent"


async def test_connecting_takes_too_long(connect_through: Connect, proxy: FaultyProxy) -> None:
    proxy.fail("swallow", after=10)
    with pytest.raises((ConnectionLost, TimeoutError)):
        async with connect_through(connect_timeout=0.3):
            pytest.fail("it connected")


async def test_what_is_known_of_the_server(connect: Connect, postgres: Server, observer: Observer) -> None:
    async with connect() as session:
        assert session.server_version[0] == postgres.major
        assert session.server_version >= (postgres.major, 0)
        assert str(session.server_version) in observer.value("show server_version")
        assert session.backend_pid == await session.fetchval("select pg_backend_pid()")
        assert session.parameters["client_encoding"] == "UTF8"
        assert session.parameters["server_version"] == observer.value("show server_version")
        with pytest.raises(TypeError):
            session.parameters["client_encoding"] = "LATIN1"  # type: ignore[index]
        assert str(session.backend_pid) in repr(session)
    assert "closed" in repr(session)


async def test_parameters_are_a_live_view(connect: Connect) -> None:
    async with connect() as session:
        parameters = session.parameters
        await session.execute("set application_name to 'first'")
        assert parameters["application_name"] == "first"
        await session.execute("set application_name to 'second'")
        assert parameters["application_name"] == "second"
        await session.execute("set time zone 'Asia/Tokyo'")
        assert session.parameters["TimeZone"] == "Asia/Tokyo"


async def test_closing_more_than_once(connect: Connect, face: Face) -> None:
    async with connect() as session:
        await session.close()
        assert session.is_closed
        await session.close()
        await face.gather([session.close] * 3)
        session.terminate()


async def test_closing_at_the_same_time(connect: Connect, face: Face) -> None:
    async with connect() as session:
        await face.gather([session.close] * 5)
        assert session.is_closed


async def test_closing_lets_pending_requests_finish(connect: Connect, face: Face) -> None:
    async with connect() as session, face.tasks() as tasks:
        job = tasks.start(session.fetchval, "select 'done' from pg_sleep(0.1)")
        await face.until(lambda: in_flight(session) > 0)
        await session.close()
        assert await job.result() == "done"


async def test_closing_waits_for_a_silent_server_no_longer_than_told(
    connect_through: Connect, face: Face, proxy: FaultyProxy
) -> None:
    async with connect_through() as session, face.tasks() as tasks:
        await session.fetchval("select 1")
        proxy.fail("swallow")
        (link,) = proxy.links
        carried = link.carried[TO_SERVER]
        job = tasks.start(session.fetchval, "select 1")
        await face.until(lambda: link.carried[TO_SERVER] > carried)
        await session.close(timeout=0.1)
        assert session.is_closed
        error = await job.error()
        assert isinstance(error, ConnectionLost)
        assert error.outcome == "unknown"


async def test_terminating(connect: Connect, face: Face, observer: Observer) -> None:
    async with connect() as session, face.tasks() as tasks:
        job = tasks.start(session.fetchval, "select 1 from pg_sleep(60)")
        await face.until(lambda: observer.sleeps(session.backend_pid))
        session.terminate()
        assert session.is_closed
        error = await job.error()
        assert isinstance(error, ConnectionLost)
        assert error.outcome == "unknown"
        observer.terminate(session.backend_pid)


async def test_use_after_the_end(connect: Connect) -> None:
    async with connect() as session:
        await session.close()
        for attempt in (
            session.execute("select 1"),
            session.fetch("select 1"),
            session.simple_query("select 1"),
            session.ping(),
            session.prepare("select 1"),
            session.executemany("select $1::int", [(1,)]),
        ):
            with pytest.raises(ConnectionLost, match="closed") as caught:
                await attempt
            assert caught.value.outcome == "not_sent"
        with pytest.raises(ConnectionLost):
            async with session.transaction():
                pytest.fail("it began")


async def test_the_log_tells_of_beginning_and_end(
    connect: Connect, caplog: pytest.LogCaptureFixture, observer: Observer, face: Face
) -> None:
    with caplog.at_level(logging.DEBUG, logger="pgproto"):
        async with connect() as session:
            mine = f"session {session.backend_pid}: "
            assert mine + "started" in caplog.messages
            caplog.clear()
        assert any(message.startswith(mine + "ended") for message in caplog.messages)
        caplog.clear()
        async with connect() as session:
            observer.terminate(session.backend_pid)
            await face.until(lambda: observer.state(session.backend_pid) is None)
            if isinstance(face, LoopFace):
                # It is seen by itself, without anybody asking.
                await face.until(lambda: session.is_closed)
            with pytest.raises(ConnectionLost):
                await session.ping()
    (told,) = [record for record in caplog.records if "ended" in record.getMessage()]
    assert told.levelno >= logging.INFO
    assert "terminating connection due to administrator command" in told.getMessage()


async def test_no_log_no_fuss(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with connect() as session:
            await session.fetch("select 1")
    # In its debug mode asyncio has something to say, too, where the machine is busy.
    told = [record for record in caplog.records if record.name == "pgproto"]
    assert [record for record in told if record.levelno >= logging.WARNING] == []


async def test_a_server_that_is_refused_and_asked_again(face: Face, postgres: Server) -> None:
    # No standby: the session is closed, and the next one, to the same server, is opened at once.
    dsn = postgres.dsn_for("alice")
    for _ in range(20):
        async with face.connect(dsn, target_session_attrs="prefer-standby", sslmode="disable") as session:
            assert await session.fetchval("select 1") == 1
