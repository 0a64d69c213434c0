"""Another server takes over behind the same name: all sessions go, and the name is looked up again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from pgproto import (
    AdminShutdown,
    CannotConnectNow,
    ConnectionLost,
    CrashShutdown,
    PostgresError,
    ReadOnlySqlTransaction,
)
from pgproto import messages as m
from pgproto.testing import FakeServer, FakeSession, Network, Statement
from tests.transports.recorded import record
from tests.transports.stage import ADD, LATENCY, answer
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

DSN = "postgresql://alice@db.example/app?sslmode=disable"
OLD, NEW = "192.0.2.1", "192.0.2.2"
SIZE = 3


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


class Failover:
    """Two servers, one name, and a pool."""

    def __init__(self, kind: type[World], standbys: str = "on off", **options: Any) -> None:
        old, new = [{"in_hot_standby": each} for each in standbys.split()]
        self.old = FakeServer(self._answer_as_standby, parameters=old)
        self.new = FakeServer(answer, parameters=new)
        self.network = Network(
            {f"{OLD}:5432": self.old, f"{NEW}:5432": self.new}, names={"db.example": OLD}, latency=LATENCY
        )
        self.world = kind(self.network)
        self.pool: Any = self.world.make_pool(DSN, max_size=SIZE, **options)
        self.trace = record(self.pool)
        self.is_standby = False

    def _answer_as_standby(self, sql: str) -> Statement | None:
        if sql == "insert" and self.is_standby:
            return Statement(["int8"], error=ReadOnlySqlTransaction("cannot execute INSERT"))
        return answer(sql)

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        async def main(_: World) -> None:
            async with self.pool:
                await self.use_all()
                await scene()
            await self.pass_time()

        self.world.run(main)
        assert all(session.is_closed for session in (*self.old.sessions, *self.new.sessions))
        self.trace.check()

    async def use_all(self) -> None:
        """As many at a time as there can be."""

        async def use() -> None:
            async with self.pool.acquire() as session:
                assert await session.fetchval(ADD, 1) == 2
                await anyio.sleep(20 * LATENCY)

        assert await self.world.together(*[use] * SIZE) == [None] * SIZE

    def move(self) -> None:
        """From now on the name is the other server's."""
        self.network.names["db.example"] = NEW

    async def end(self, session: FakeSession, error: PostgresError) -> None:
        """The server ends a session, and a while goes by."""
        session.hang_up(error)
        await self.pass_time()

    async def pass_time(self) -> None:
        for _ in range(10):
            self.network.advance(self.world.now())
            await anyio.sleep(LATENCY)

    async def all_is_new(self) -> None:
        before = len(self.old.sessions)
        await self.use_all()
        await self.use_all()
        assert len(self.old.sessions) == before, "the name was not looked up"
        assert len(self.new.sessions) == SIZE
        assert self.pool.status().generation == 1
        assert {each.generation for each in self.pool.sessions()} == {1}


def test_a_primary_that_became_a_standby(kind: type[World]) -> None:
    stage = Failover(kind)

    async def scene() -> None:
        async with stage.pool.acquire() as kept:
            stage.is_standby = True
            stage.move()
            with pytest.raises(ReadOnlySqlTransaction):
                await stage.pool.execute("insert", 1)
            # Who has a session of before keeps it.
            assert await kept.fetchval(ADD, 2) == 3
            await stage.pass_time()
            assert sum(not session.is_closed for session in stage.old.sessions) == 1
        await stage.all_is_new()

    stage.play(scene)


@pytest.mark.parametrize("which", range(SIZE))
@pytest.mark.parametrize("error", [AdminShutdown, CrashShutdown, CannotConnectNow])
def test_the_last_words_of_a_server(kind: type[World], error: type[PostgresError], which: int) -> None:
    stage = Failover(kind, min_size=SIZE)

    async def scene() -> None:
        stage.move()
        # Only one of the sessions hears it, and nobody has it.
        await stage.end(stage.old.sessions[which], error("bye"))
        # Others are opened after the first pause, not when those that are left have said goodbye.
        assert stage.pool.status().generation == 1
        await stage.pass_time()
        await stage.pass_time()
        assert len(stage.new.sessions) >= 1
        await stage.all_is_new()
        assert all(session.is_closed for session in stage.old.sessions)
        assert stage.pool.status().requests_errors == 0

    stage.play(scene)


@pytest.mark.parametrize("error", [AdminShutdown, CrashShutdown, CannotConnectNow])
def test_the_last_words_of_a_server_to_who_asks_it(kind: type[World], error: type[PostgresError]) -> None:
    stage = Failover(kind)

    async def scene() -> None:
        async def ask() -> None:
            with pytest.raises(ConnectionLost):
                await stage.pool.fetchval("select pg_sleep(3600)")

        async def end() -> None:
            await anyio.sleep(5 * LATENCY)
            stage.move()
            (busy,) = [session for session in stage.old.sessions if session.next_time()]
            await stage.end(busy, error("bye"))

        assert await stage.world.together(ask, end) == [None, None]
        await stage.all_is_new()

    stage.play(scene)


def test_a_line_that_breaks_says_nothing_about_the_others(kind: type[World]) -> None:
    stage = Failover(kind)

    async def scene() -> None:
        stage.old.sessions[0].hang_up()
        await anyio.sleep(10 * LATENCY)
        assert stage.pool.status().size == SIZE - 1
        await stage.use_all()
        assert stage.pool.status().generation == 0
        assert len(stage.old.sessions) == SIZE + 1

    stage.play(scene)


def test_a_server_that_cannot_take_sessions_yet(kind: type[World]) -> None:
    stage = Failover(kind)
    turned_away: list[FakeSession] = []

    def start_up() -> FakeSession:
        turned_away.append(FakeSession(stage.new, 1))
        turned_away[-1].hang_up(CannotConnectNow("the database system is starting up"))
        return turned_away[-1]

    async def scene() -> None:
        stage.move()
        stage.network.servers[f"{NEW}:5432"] = start_up
        await stage.end(stage.old.sessions[0], AdminShutdown("bye"))

        async def be_ready_later() -> None:
            await anyio.sleep(10)
            stage.network.servers[f"{NEW}:5432"] = stage.new

        begun = stage.world.now()
        assert await stage.world.together(stage.use_all, be_ready_later) == [None, None]
        # As soon as it can, and one at a time until then.
        assert stage.world.now() - begun < 12
        assert 5 <= len(turned_away) <= 50
        await stage.all_is_new()

    stage.play(scene)


KINDS = [
    ("primary", "off", True),
    ("read-write", "off", True),
    ("standby", "on", True),
    ("prefer-standby", "on", True),
    ("read-only", "on", True),
    ("any", "on", False),
    ("any", "off", False),
]


@pytest.mark.parametrize("when", ["idle", "in use"])
@pytest.mark.parametrize(("target", "standby", "retired"), KINDS)
def test_a_server_changes_its_kind(
    kind: type[World], target: str, standby: str, retired: bool, when: str
) -> None:
    stage = Failover(kind, f"{standby} {standby}", min_size=SIZE, target_session_attrs=target)

    async def change() -> None:
        # It says so in one of the sessions only.
        session = stage.old.sessions[0]
        session._say(m.ParameterStatus("in_hot_standby", "off" if standby == "on" else "on"))
        await stage.pass_time()

    def queries() -> int:
        return sum(isinstance(each, m.Bind) for each in stage.old.sessions[0].heard)

    async def scene() -> None:
        stage.move()
        asked = queries()
        match when:
            case "idle":
                await change()
                # A socket of threads is looked at when it is to be used; the others are watched.
                noticed = retired and stage.world.name != "blocking"
                assert stage.pool.status().generation == int(noticed)
                await stage.use_all()
                if retired:
                    assert queries() == asked, "somebody got the session"
            case _:
                async with stage.pool.acquire(), stage.pool.acquire(), stage.pool.acquire() as session:
                    await change()
                    # Who has a session of before keeps it.
                    assert await session.fetchval(ADD, 2) == 3
        await stage.pass_time()
        status = stage.pool.status()
        assert (status.generation, status.requests_errors) == (int(retired), 0)
        if retired:
            await stage.all_is_new()
            assert all(session.is_closed for session in stage.old.sessions)
        else:
            assert len(stage.old.sessions) == SIZE

    stage.play(scene)


def test_a_setting_of_the_holder_is_no_change_of_kind(kind: type[World]) -> None:
    stage = Failover(kind, "off off", target_session_attrs="read-write")

    async def scene() -> None:
        async with stage.pool.acquire() as session:
            for each in stage.old.sessions:
                each._say(m.ParameterStatus("default_transaction_read_only", "on"))
                each._say(m.ParameterStatus("in_hot_standby", "off"))
            await stage.pass_time()
            assert session.parameters["default_transaction_read_only"] == "on"
        await stage.use_all()
        assert stage.pool.status().generation == 0

    stage.play(scene)


def test_a_pool_is_made_before_there_is_a_loop(kind: type[World]) -> None:
    # As a module's global, maybe.
    network = Network({f"{NEW}:5432": FakeServer(answer)}, names={"db.example": NEW})
    world = kind(network)
    pool = world.make_pool(DSN)

    async def main(_: World) -> None:
        async with pool:
            assert await pool.fetchval(ADD, 1) == 2

    world.run(main)
