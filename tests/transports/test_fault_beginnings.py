"""A line that breaks while a session begins, with SCRAM; and the lines of a pool.

Whatever becomes of the line, and at whichever byte: who connects is connected or hears of it, in time, by an
error that shows no secret. Who acquires a session from a pool has one or hears of it, and the pool has all
its sessions again afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest

from pgproto import AuthenticationError, Error
from pgproto import messages as m
from pgproto.testing import Direction, Fault, Network
from tests.transports.blocking_world import BlockingWorld
from tests.transports.fault_stage import DAMAGES, KINDS, nothing_is_warned_of
from tests.transports.guarded import PASSWORD, GuardedServer
from tests.transports.stage import ADD, LATENCY, Stage, answer
from tests.transports.threaded_world import ThreadedWorld
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

ALL_WORLDS: list[type[World]] = [*WORLDS, BlockingWorld]
_ADDRESS: Final = "192.0.2.1:5432"
_DSN: Final = "postgresql://alice@192.0.2.1/app?sslmode=disable"
_CONNECT_TIMEOUT: Final = 10.0
_COMMAND_TIMEOUT: Final = 5.0
_CANCEL_TIMEOUT: Final = 1.0
_ACQUIRE_TIMEOUT: Final = 20.0
_USERS: Final = 3


class _Beginning:
    """One session, from its first byte to its first answer."""

    def __init__(self, kind: type[World], fault: Fault | None = None) -> None:
        self.server = GuardedServer(answer)
        faults = [] if fault is None else [[fault]]
        self.world = kind(Network({_ADDRESS: self.server}, latency=LATENCY, faults=faults))
        self.fault = fault
        self.error: Error | None = None
        self.connected = False
        self.length: dict[Direction, int] = {}

    def play(self) -> None:
        self.world.run(self._main)
        network = self.world.network
        for eternity in range(1, 10):
            network.advance(eternity * 1e9)
        assert len(network.links) <= 2, "more than one attempt, and a cancel request"
        assert all(link.is_closed for link in network.links), "a connection is left open"
        assert all(session.is_closed for session in self.server.sessions), "a session was not ended"
        if self.fault is None:
            assert self.error is None
        if self.fault is None or self.fault.kind not in DAMAGES:
            assert all(session.violation is None for session in self.server.sessions)

    async def _main(self, world: World) -> None:
        begun = world.now()
        line = {"connect_timeout": _CONNECT_TIMEOUT, "command_timeout": _COMMAND_TIMEOUT}
        try:
            async with world.connect(_DSN, password=PASSWORD, **line) as session:
                self.connected = True
                assert world.now() - begun <= _CONNECT_TIMEOUT + LATENCY
                link = world.network.links[0]
                self.length = {
                    Direction.TO_SERVER: link._to_server._offset,
                    Direction.TO_CLIENT: link._to_client._offset,
                }
                assert await session.fetchval(ADD, 41) == 42
                assert session.transaction_status == "I"
        except Error as error:
            self.error = error
            chain: BaseException | None = error
            while chain is not None:
                assert PASSWORD not in f"{chain} {chain!r}"
                chain = chain.__cause__ or chain.__context__
        patience = _COMMAND_TIMEOUT + _CANCEL_TIMEOUT if self.connected else 0.0
        assert world.now() - begun <= _CONNECT_TIMEOUT + patience + 4 * LATENCY, "it took too long"


def begin_broken(kind: type[World], fault: Fault | None = None) -> _Beginning:
    """Begin a session on a line with this fault."""
    beginning = _Beginning(kind, fault)
    try:
        beginning.play()
    except BaseException as error:
        error.add_note(f"again: begin_broken({kind.__name__}, {fault!r})")
        raise
    return beginning


def faults_of_a_beginning(kind: type[World]) -> Iterator[Fault]:
    """Each kind at each byte that is exchanged before the session is there."""
    whole = begin_broken(kind)
    for direction in Direction:
        for offset in range(whole.length[direction]):
            for each in KINDS:
                yield Fault(each, direction, offset, offset % 8)


kinds = pytest.mark.parametrize("kind", ALL_WORLDS, ids=lambda kind: kind.name)


@kinds
def test_the_server_asks_for_the_password(kind: type[World]) -> None:
    beginning = begin_broken(kind)
    heard = [type(message).__name__ for message in beginning.server.guarded[0].heard]
    assert heard[:3] == ["StartupMessage", "SASLInitialResponse", "SASLResponse"]


@kinds
def test_a_session_begins_on_a_line_that_breaks(kind: type[World]) -> None:
    choice = random.Random(1)
    connected = 0
    with nothing_is_warned_of():
        for fault in choice.sample([*faults_of_a_beginning(kind)], 40):
            beginning = begin_broken(kind, fault)
            connected += beginning.connected
            if fault.kind not in DAMAGES:
                assert not beginning.connected, "a line that was cut has let a session begin"
                assert beginning.error is not None
    assert connected <= 15


@kinds
def test_a_signature_that_was_damaged(kind: type[World]) -> None:
    scram = begin_broken(kind).server.guarded[0]._scram
    before = [m.AuthenticationSASL(("SCRAM-SHA-256",)), m.AuthenticationSASLContinue(scram.server_first)]
    signature = sum([len(each.encode()) for each in before]) + len(m.AuthenticationSASLFinal(b"v=").encode())
    for offset in range(signature, signature + 42):
        beginning = begin_broken(kind, Fault("flip", Direction.TO_CLIENT, offset, offset % 7))
        assert not beginning.connected
        assert isinstance(beginning.error, AuthenticationError)


@pytest.mark.slow
@kinds
def test_a_session_begins_on_a_line_that_breaks_at_every_byte(kind: type[World]) -> None:
    with nothing_is_warned_of():
        for fault in faults_of_a_beginning(kind):
            beginning = begin_broken(kind, fault)
            assert fault.kind in DAMAGES or beginning.error is not None


# --- Pools -------------------------------------------------------------------------------------------------


class _BrokenPool(Stage):
    """A pool whose first line breaks; those that it opens afterwards are whole."""

    def __init__(
        self, kind: type[World], fault: Fault | None = None, one_shot: bool = False, **options: Any
    ) -> None:
        line: dict[str, Any] = {"connect_timeout": _CONNECT_TIMEOUT, "command_timeout": _COMMAND_TIMEOUT}
        super().__init__(kind, 0, acquire_timeout=_ACQUIRE_TIMEOUT, **line, **options)
        if fault is not None:
            self.network._faults.append([fault])
        self.fault = fault
        self.user = self._ask if one_shot else self._borrow
        self.length: dict[Direction, int] = {}
        self.errors: list[BaseException] = []

    def play_broken(self) -> None:
        """Use it, and see that it is whole again."""
        self.world.run(self._use)
        for eternity in range(1, 10):
            self.network.advance(eternity * 1e9)
        assert all(link.is_closed for link in self.network.links), "a connection is left open"
        assert all(session.is_closed for session in self.server.sessions), "a session was not ended"
        if self.fault is None:
            assert not self.errors
        for trace in self.traces:
            trace.check()

    async def _use(self, world: World) -> None:
        async with self.new_pool() as self.pool:
            for _ in range(2):
                await self._everybody(world)
                # Long enough that a session is looked at before it is lent again.
                await world.sleep(50)
            link = self.network.links[0]
            self.length = {
                Direction.TO_SERVER: link._to_server._offset,
                Direction.TO_CLIENT: link._to_client._offset,
            }
            # What is left of it is seen on a line that is whole.
            link._to_server._faults.clear()
            link._to_client._faults.clear()
            for _ in range(2):
                # Whoever gets a session whose line has died since hears of it, and nobody after them.
                await world.together(*[self.use] * self.max_size)
            if self.fault is not None and self.fault.kind in DAMAGES:
                # What was said of a statement may have been damaged, and is remembered by its session.
                await self.pool.drain()
            await self.check()
        assert self.pool.status().size == 0

    async def _everybody(self, world: World) -> None:
        begun = world.now()
        for error in await world.together(*[partial(self.user, number) for number in range(_USERS)]):
            if error is not None:
                if not isinstance(error, Error) and not self._is_surprise(error):
                    raise error
                self.errors.append(error)
        assert world.now() - begun <= _ACQUIRE_TIMEOUT + 2 * (_COMMAND_TIMEOUT + _CANCEL_TIMEOUT) + 0.1

    async def _ask(self, number: int) -> None:
        """The requests of several may be under way on the same session."""
        assert await self.pool.fetchval(ADD, number) == number + 1
        assert await self.pool.fetchval(ADD, number + 100) == number + 101

    async def _borrow(self, number: int) -> None:
        """What is left open is ended by the pool, on the same line."""
        async with self.pool.acquire() as session:
            assert session.transaction_status == "I"
            await session.execute("begin")
            assert await session.fetchval(ADD, number) == number + 1

    def _is_surprise(self, error: object) -> bool:
        """Whether somebody complains about a value that was damaged."""
        return self.fault is not None and self.fault.kind in DAMAGES and isinstance(error, AssertionError)


def pool_broken(kind: type[World], fault: Fault | None = None, **options: Any) -> _BrokenPool:
    """Use a pool whose first line has this fault; ``one_shot``, by requests of the pool's own."""
    stage = _BrokenPool(kind, fault, **options)
    try:
        stage.play_broken()
    except BaseException as error:
        error.add_note(f"again: pool_broken({kind.__name__}, {fault!r}, **{options})")
        raise
    return stage


def faults_of_a_pool(kind: type[World], **options: Any) -> Iterator[Fault]:
    """Each kind at each byte of its first line."""
    whole = pool_broken(kind, **options)
    for direction in Direction:
        for offset in range(whole.length[direction]):
            for each in KINDS:
                yield Fault(each, direction, offset, offset % 8)


POOLS: Final[dict[str, dict[str, Any]]] = {
    "usual": {},
    "one": {"max_size": 1},
    "verified": {"recycle": "verified"},
    "clean": {"recycle": "clean"},
    "one-shot": {"one_shot": True},
    "multiplexed": {"one_shot": True, "max_size": 1, "multiplex": _USERS},
}

pools = pytest.mark.parametrize("options", POOLS.values(), ids=POOLS)
companies = pytest.mark.parametrize("kind", [*WORLDS, ThreadedWorld], ids=lambda kind: kind.name)


@companies
@pools
def test_a_session_is_acquired_on_a_line_that_breaks(kind: type[World], options: dict[str, Any]) -> None:
    faults = [*faults_of_a_pool(kind, **options)]
    with nothing_is_warned_of():
        failed = sum(
            bool(pool_broken(kind, fault, **options).errors) for fault in random.Random(2).sample(faults, 40)
        )
    assert 4 <= failed <= 36


@pytest.mark.slow
@companies
@pools
def test_a_session_is_acquired_on_a_line_that_breaks_at_every_byte(
    kind: type[World], options: dict[str, Any]
) -> None:
    with nothing_is_warned_of():
        for fault in faults_of_a_pool(kind, **options):
            pool_broken(kind, fault, **options)
