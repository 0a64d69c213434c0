"""Where sweeps happen: a server in memory, a session with it, and what must be true when all is over."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pgproto import ConnectionLost, errors
from pgproto import messages as m
from pgproto.testing import FakeServer, FakeSession, Network, Statement
from tests.transports.worlds import How, World

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = [
    "ADD",
    "DSN",
    "FAIL",
    "INSERT",
    "LATENCY",
    "ROWS",
    "SLEEP",
    "SLOW_INSERT",
    "Act",
    "Outcome",
    "Scenario",
    "Stage",
    "bystander",
    "count_rows",
    "make_network",
    "nobody_complains",
    "play",
]

ADDRESS = "192.0.2.1:5432"
DSN = "postgresql://alice@192.0.2.1/app?connect_timeout=30"
LATENCY = 0.01

ADD = "select $1::int8 + 1"
ROWS = "select n from generate_series(1, 50) n"
SLEEP = "select pg_sleep(10)"
INSERT = "insert into t values ($1)"
SLOW_INSERT = "insert into t select from generate_series(1, $1)"
FAIL = "select 1/0"

_EFFECTS = ("insert", "copy")
_DESCRIBED = 'SELECT * FROM "t" WHERE false'


def _add_one(number: int) -> list[tuple[int]]:
    return [(number + 1,)]


def _fail_late() -> Generator[tuple[int], None, None]:
    yield from [(n,) for n in range(5)]
    raise errors.DivisionByZero("division by zero")


def count_rows(data: bytes) -> int:
    """How many rows there are in the data of a COPY in binary format; fails if it is not well-formed."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    position, count = 19, 0
    while (fields := int.from_bytes(data[position : position + 2], "big", signed=True)) >= 0:
        position += 2
        for _ in range(fields):
            size = int.from_bytes(data[position : position + 4], "big", signed=True)
            position += 4 + max(0, size)
        assert position < len(data)
        count += 1
    assert (fields, position + 2) == (-1, len(data))
    return count


STATEMENTS = {
    ADD: Statement(["int8"], {"sum": "int8"}, _add_one),
    ROWS: Statement(columns={"n": "int8"}, rows=[(n,) for n in range(1, 51)]),
    SLEEP: Statement(columns={"pg_sleep": "void"}, rows=[(None,)], delay=10),
    INSERT: Statement(["int8"], tag="INSERT 0 1"),
    SLOW_INSERT: Statement(["int8"], tag="INSERT 0 5", delay=0.05),
    "insert into t values (1)": Statement(tag="INSERT 0 1"),
    FAIL: Statement(error=errors.DivisionByZero("division by zero")),
    "select late": Statement(columns={"n": "int8"}, rows=_fail_late),
    _DESCRIBED: Statement(columns={"a": "int8", "b": "text"}),
    "copy t from stdin": Statement(
        columns={"a": "int8", "b": "text"}, copy_in=lambda data: data.count(b"\n")
    ),
    'COPY "t" FROM STDIN (FORMAT binary)': Statement(
        columns={"a": "int8", "b": "text"}, copy_in=count_rows, binary=True
    ),
    "copy u from stdin": Statement(error=errors.UndefinedTable('relation "u" does not exist')),
    "copy t to stdout": Statement(
        columns={"a": "int8", "b": "text"}, copy_out=[b"%d\tx\n" % n for n in range(10)], delay=0.004
    ),
}


@dataclass
class Stage:
    """What a scenario has at hand."""

    world: World
    server: FakeServer
    session: Any

    @property
    def backend(self) -> FakeSession:
        """The server's side of the session."""
        return self.server.sessions[0]


Act: TypeAlias = Callable[[Stage], Awaitable[None]]


async def bystander(stage: Stage) -> None:
    """Somebody else who uses the session meanwhile, and gets their own answers."""
    for number in range(100, 103):
        try:
            assert await stage.session.fetchval(ADD, number) == number + 1
        except ConnectionLost:
            assert stage.session.is_closed
            return


@dataclass(frozen=True)
class Scenario:
    """Somebody does something, in company; and what is to be true of it whenever they are stopped."""

    victim: Act
    """What is done, and stopped; it fails if it goes wrong when it is not stopped."""
    atoms: tuple[int, ...] = (0,)
    """How many effects there can be if it is stopped; if it is not, the last of these."""
    survives: bool = True
    """Whether the session is open afterwards."""
    patience: float = 0.0
    """How many seconds it may take to stop."""
    is_cleaned_up_by_hand: bool = False
    """Whether the victim itself must wait for something before it goes."""
    before: Act | None = None
    company: Sequence[Act] = (bystander,)
    parameters: dict[str, object] = field(default_factory=dict[str, object])
    network: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """As it reads in a test's name."""
        return self.victim.__name__


@dataclass(frozen=True)
class Outcome:
    """How it went."""

    steps: int
    stopped: bool
    seconds: float


def make_network(*, latency: float = LATENCY, **options: Any) -> tuple[FakeServer, Network]:
    """A network with the server of all scenarios."""
    server = FakeServer(STATEMENTS)
    return server, Network({ADDRESS: server}, latency=latency, **options)


def play(
    scenario: Scenario,
    kind: type[World],
    *,
    step: int = -1,
    how: How = "once",
    hang_up: bool = False,
    within: float | None = None,
) -> Outcome:
    """Play a scenario, stopped at a step or after a time, and see to what is left of it.

    ``hang_up``: at the same step the server hangs up.
    """
    server, network = make_network(**scenario.network)

    async def main(world: World) -> Outcome:
        begun = world.now()
        async with world.connect(DSN, **scenario.parameters) as session:
            stage = Stage(world, server, session)
            if scenario.before is not None:
                await scenario.before(stage)
            victim = partial(scenario.victim, stage)
            if within is None:
                also = stage.backend.hang_up if hang_up else None
                stop = partial(world.cancel_at, step, victim, how=how, also=also)
            else:
                stop = partial(world.within, within, victim)
            results = await world.together(stop, *[partial(act, stage) for act in scenario.company])
            stopped = results[0] is True
            for result in results:
                if isinstance(result, BaseException) and not (hang_up and _is_loss(result)):
                    raise result
            if stopped and world.cancelled_at is not None:
                assert world.ended_at - world.cancelled_at <= scenario.patience + 1e-9, "it took too long"
            await _see_to_session(stage, survives=scenario.survives and not hang_up)
        return Outcome(world.steps, stopped, world.now() - begun)

    outcome = kind(network).run(main)
    # Let arrive what is under way.
    network.advance(1e9)
    survives = scenario.survives and not hang_up
    _see_to_server(server, scenario, stopped=outcome.stopped or hang_up, survives=survives)
    if not hang_up:
        assert all(link.is_closed for link in network.links), "a connection is left open"
    return outcome


def _is_loss(error: BaseException) -> bool:
    return isinstance(error, ConnectionLost | errors.CommitUnknown)


async def _see_to_session(stage: Stage, *, survives: bool) -> None:
    session = stage.session
    assert not (survives and session.is_closed), "the session has been closed"
    try:
        assert await session.fetchval(ADD, 41) == 42
        assert [tuple(row) for row in await session.fetch(ROWS)] == [(n,) for n in range(1, 51)]
    except ConnectionLost:
        assert session.is_closed
    else:
        assert session.transaction_status == "I"
        assert session._core.machine.is_idle
        assert not session._core.machine.reports.subscriptions


def _see_to_server(server: FakeServer, scenario: Scenario, *, stopped: bool, survives: bool) -> None:
    for session in server.sessions:
        assert session.violation is None
        assert session.is_closed, "a session was not ended"
    if survives:
        assert isinstance(server.sessions[0].heard[-1], m.Terminate)
        assert server.sessions[0].status == "I", "a transaction was left open"
        assert not server.sessions[0]._portals, "a portal was left open"
    allowed = scenario.atoms if stopped else scenario.atoms[-1:]
    effects = len([done for done in server.committed if done.sql.lower().startswith(_EFFECTS)])
    assert effects in allowed, f"{effects} effects, where there can be {allowed}"


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "has been waiting" not in record.getMessage():
            self.messages.append(record.getMessage())

    def hear(self, unraisable: UnraisableHookArgs) -> None:
        self.messages.append(f"in {unraisable.object!r}: {unraisable.exc_value!r}")


@contextmanager
def nobody_complains() -> Generator[None, None, None]:
    """Fail if anything is warned of, be it on the log or as a warning."""
    handler = _Complaints()
    loggers = [logging.getLogger(name) for name in ("pgproto", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    unraisable, sys.unraisablehook = sys.unraisablehook, handler.hear
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
            gc.collect(1)
    finally:
        sys.unraisablehook = unraisable
        for logger in loggers:
            logger.removeHandler(handler)
    assert not handler.messages
