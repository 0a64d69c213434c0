"""Programs in memory: the drivers as they are, on virtual time."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

import pgproto_asyncio
from pgproto import ConnectionLost, QueryTimeout
from pgproto.testing import FakeServer, Network, Statement
from pgproto_asyncio.testing import Deadlock
from pgproto_asyncio.testing import run as run_asyncio
from tests.transports.blocking_world import BlockingWorld
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

ADDRESS = "192.0.2.1:5432"
DSN = "postgresql://alice@db.example/app"


def add_one(number: int) -> list[tuple[int]]:
    return [(number + 1,)]


def network(**options: Any) -> Network:
    server = FakeServer(
        {
            "select $1::int8 + 1": Statement(["int8"], {"sum": "int8"}, add_one),
            "select pg_sleep(3600)": Statement(columns={"pg_sleep": "void"}, rows=[(None,)], delay=3600),
            "select large": Statement(columns={"text": "text"}, rows=[("x" * 1000,)] * 1000),
        }
    )
    return Network(
        {ADDRESS: server, "/tmp/.s.PGSQL.5432": server}, names={"db.example": "192.0.2.1"}, **options
    )


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


def test_distance_takes_time_and_waiting_none(kind: type[World]) -> None:
    async def main(world: World) -> None:
        begun = world.now()
        async with world.connect(DSN) as session:
            # The name costs nothing; connecting, TLS refused, startup: two ways each.
            connected = world.now()
            assert connected - begun == pytest.approx(0.5)
            ask = partial(session.fetchval, "select $1::int8 + 1")
            assert await ask(1) == 2
            # The first time it is introduced.
            assert world.now() - connected == pytest.approx(0.4)
            asked = world.now()
            assert await world.together(*[partial(ask, n) for n in range(100)]) == list(range(1, 101))
            assert world.now() - asked == pytest.approx(0.2)
            await session.fetch("select pg_sleep(3600)")
            assert world.now() - asked > 3600

    kind(network(latency=0.1)).run(main)


def test_over_a_unix_socket(kind: type[World]) -> None:
    async def main(world: World) -> None:
        async with world.connect("host=/tmp user=alice") as session:
            assert await session.fetchval("select $1::int8 + 1", 1) == 2

    kind(network()).run(main)


@pytest.mark.parametrize("alone", [0.9, 1.05, 1.5, 60.0])
@pytest.mark.parametrize("any_kind", [*WORLDS, BlockingWorld], ids=lambda world: world.name)
def test_nobody_has_to_look_after_a_session_whose_request_was_given_up(
    any_kind: type[World], alone: float
) -> None:
    """Threads may be elsewhere, and read late what the server said in time."""

    async def main(world: World) -> None:
        async with world.connect("postgresql://alice@192.0.2.1/app", cancel_timeout=1) as session:
            with pytest.raises(QueryTimeout):
                await session.fetch("select pg_sleep(3600)", timeout=0.35)
            await world.sleep(alone)
            assert await session.fetchval("select $1::int8 + 1", 1) == 2

    any_kind(network(latency=0.05)).run(main)


def test_deadlines_in_virtual_time(kind: type[World]) -> None:
    async def main(world: World) -> None:
        async with world.connect(DSN) as session:
            begun = world.now()
            with pytest.raises(QueryTimeout):
                await session.fetch("select pg_sleep(3600)", timeout=100)
            assert world.now() - begun == pytest.approx(100)
            assert await session.fetchval("select $1::int8 + 1", 1) == 2
            assert world.now() - begun < 101

    kind(network(latency=0.01)).run(main)


def test_those_who_are_answered_together_ask_again_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []

    async def main() -> None:
        async with pgproto_asyncio.connect(DSN) as session:
            driver: Any = session._driver
            write = driver._transport.write

            def note(data: bytes) -> None:
                writes.append(data)
                write(data)

            monkeypatch.setattr(driver._transport, "write", note)

            async def ask(times: int) -> None:
                for number in range(times):
                    assert await session.fetchval("select $1::int8 + 1", number) == number + 1

            await ask(1)
            await session.fetch("select pg_sleep(3600)")
            writes.clear()
            await asyncio.gather(session.fetch("select pg_sleep(3600)"), *[ask(5) for _ in range(8)])
            # The first of all cannot know that others follow.
            assert [write.count(b"S\0\0\0\4") for write in writes] == [1, *[8] * 5]

    run_asyncio(main(), network(latency=0.1))


def test_a_line_that_holds_little(kind: type[World]) -> None:
    async def main(world: World) -> None:
        async with world.connect(DSN) as session:
            rows = await world.together(*[partial(session.fetch, "select large") for _ in range(5)])
            assert [len(each) for each in rows] == [1000] * 5

    kind(network(latency=0.001, chunk=100, capacity=1000)).run(main)


def test_nobody_there(kind: type[World]) -> None:
    async def main(world: World) -> None:
        for dsn in ("postgresql://alice@db.example:1/app", "postgresql://alice@elsewhere/app"):
            with pytest.raises(ConnectionLost):
                async with world.connect(dsn):
                    pytest.fail("it connected")

    kind(network()).run(main)


def test_the_server_hangs_up(kind: type[World]) -> None:
    world = kind(network())
    server = world.network.servers[ADDRESS]
    assert isinstance(server, FakeServer)

    async def main(world: World) -> None:
        async with world.connect(DSN) as session:
            assert await session.fetchval("select $1::int8 + 1", 1) == 2
            server.sessions[0].hang_up()
            with pytest.raises(ConnectionLost):
                await session.fetchval("select $1::int8 + 1", 1)
            assert session.is_closed

    world.run(main)


def test_what_waits_for_ever_is_noticed() -> None:
    async def main() -> None:
        async with pgproto_asyncio.connect(DSN):
            await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_asyncio(main(), network())


def test_a_pool(kind: type[World]) -> None:
    async def main(world: World) -> None:
        async with world.make_pool(DSN, max_size=2) as pool:
            begun = world.now()
            asked = [partial(pool.fetchval, "select $1::int8 + 1", number) for number in range(10)]
            assert await world.together(*asked) == list(range(1, 11))
            # What is read from files takes no time, whatever deadlines there are.
            assert world.now() - begun < 1
            assert pool.status().connections_num == 2

    kind(network(latency=0.01)).run(main)


def test_the_same_program_takes_the_same_time() -> None:
    async def main(world: World) -> float:
        begun = world.now()
        async with world.connect(DSN) as session:
            async with session.transaction():
                await session.fetchval("select $1::int8 + 1", 1)
            await session.ping()
        return world.now() - begun

    times = [kind(network(latency=0.01)).run(main) for kind in WORLDS]
    assert max(times) == pytest.approx(min(times))
