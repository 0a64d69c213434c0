"""A scenario on a line that breaks: what must be true whichever byte it is, and however it breaks."""

from __future__ import annotations

import gc
import sys
import traceback
import warnings
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import pytest

from pgproto import Error, QueryTimeout, errors
from pgproto.testing import Direction, FakeServer, Fault, Network, Statement
from pgproto.testing._network import FaultKind
from tests.transports.ledger import Ledger
from tests.transports.session_stage import ADDRESS, DSN, LATENCY, STATEMENTS, Act, Scenario, Stage, count_rows
from tests.transports.worlds import World

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["DAMAGES", "KINDS", "Passage", "nothing_is_warned_of", "play_broken", "spoiled"]

KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
DAMAGES: Final = frozenset({"flip", "drop", "duplicate"})
"""What changes what is said; whoever hears it may take a value for another."""

TIMEOUT: Final = 20.0
_CANCEL_TIMEOUT: Final = 1.0
_CLOSE_TIMEOUT: Final = 5.0
_PATIENCE: Final = 60.0
"""Virtual seconds after which whoever waits without a deadline goes away, as those who listen do."""
_CHECK: Final = "select 'still there', $1::int8"
_WAIT: Final = frozenset({"notifications"})
"""Those who wait for something without a deadline."""
_TESTS: Final = str(Path(__file__).parent)


def _count_rows(data: bytes) -> int:
    try:
        return count_rows(data)
    except AssertionError:
        raise errors.BadCopyFileFormat("the data is damaged") from None


def _still_there(number: int) -> list[tuple[str, int]]:
    return [("still there", number)]


_STATEMENTS: Final = {
    **STATEMENTS,
    _CHECK: Statement(["int8"], {"text": "text", "number": "int8"}, _still_there),
    'COPY "t" FROM STDIN (FORMAT binary)': Statement(
        columns={"a": "int8", "b": "text"}, copy_in=_count_rows, binary=True
    ),
}


@dataclass
class Passage:
    """How much went over the line of the session, each way."""

    begin: dict[Direction, int] = field(default_factory=dict[Direction, int])
    """When it was established."""
    end: dict[Direction, int] = field(default_factory=dict[Direction, int])
    """When the scenario was over."""
    seconds: float = 0.0
    failed: int = 0
    """How many of those who took part got an error."""


class _Play:
    """One scenario, once."""

    def __init__(self, scenario: Scenario, kind: type[World], fault: Fault | None) -> None:
        self.scenario = scenario
        self.is_damaged = fault is not None and fault.kind in DAMAGES
        self.is_broken = fault is not None
        self.server = FakeServer(_STATEMENTS)
        faults = [] if fault is None else [[fault]]
        line: dict[str, Any] = {"latency": LATENCY, **scenario.network}
        network = Network({ADDRESS: self.server}, **line, faults=faults)
        self.world = kind(network)
        self.passage = Passage()
        self.ledger: Ledger | None = None
        self.results: list[object] = []
        self._expected: list[BaseException] = []

    def play(self) -> Passage:
        self.world.run(self._main)
        network = self.world.network
        for eternity in range(1, 100):
            network.advance(eternity * 1e9)
        assert all(link.is_closed for link in network.links), "a connection is left open"
        assert all(session.is_closed for session in self.server.sessions), "a session was not ended"
        if self.ledger is not None:
            self.ledger.check(
                None if self.is_damaged else self.server.committed,
                patience=TIMEOUT + _CANCEL_TIMEOUT + 3 * LATENCY,
            )
        if not self.is_damaged:
            assert all(session.violation is None for session in self.server.sessions)
            self._see_to_effects()
        return self.passage

    def _see_to_effects(self) -> None:
        effects = [done for done in self.server.committed if done.sql.lower().startswith(("insert", "copy"))]
        atoms = self.scenario.atoms
        is_done = bool(self.results) and self.results[0] is None
        assert len(effects) in (atoms[-1:] if is_done else atoms), f"{len(effects)} effects"

    async def _main(self, world: World) -> None:
        begun = world.now()
        parameters = {"command_timeout": TIMEOUT, **self.scenario.parameters}
        established = False
        try:
            async with world.connect(DSN, **parameters) as session:
                established = True
                await self._act(Stage(world, self.server, session))
        except Error:
            # Only establishing may fail: who leaves a session hears of nothing.
            if established or not self.is_broken:
                raise
        self.passage.seconds = world.now() - begun

    async def _act(self, stage: Stage) -> None:
        scenario = self.scenario
        if scenario.before is not None:
            await scenario.before(stage)
        self.ledger = Ledger(stage.session._core.machine, self.world.now)
        self.passage.begin = self._passed()
        acts = [scenario.victim, *scenario.company]
        self.results = await self.world.together(*[partial(self._guarded, act, stage) for act in acts])
        for result in self.results:
            if isinstance(result, BaseException) and result not in self._expected:
                raise result
        self.passage.failed = len(self._expected)
        self.passage.end = self._passed()
        if self.is_broken:
            # What is left of the session is seen on a line that is whole.
            link = self.world.network.links[0]
            link._to_client._faults = link._to_server._faults = deque()
        await self._see_to_session(stage)

    async def _guarded(self, act: Act, stage: Stage) -> BaseException | None:
        """Do it; returns the error that it may well have come to."""
        try:
            if await self.world.within(_PATIENCE, partial(act, stage)):
                assert act is not self.scenario.victim or self.scenario.name in _WAIT, "it has no end"
                self._expected.append(QueryTimeout("it listened in vain"))
                return self._expected[-1]
        except (Exception, pytest.fail.Exception) as error:
            if not (isinstance(error, Error) or (self.is_damaged and _is_surprise(error))):
                raise
            assert self.is_broken
            self._expected.append(error)
            return error
        return None

    async def _see_to_session(self, stage: Stage) -> None:
        session = stage.session
        try:
            try:
                found = await session.fetch_one(_CHECK, 41)
            except QueryTimeout:
                # A cancel request was under way; by now it has had its effect, or the session is closed.
                await self.world.sleep(_CANCEL_TIMEOUT)
                found = await session.fetch_one(_CHECK, 41)
        except Error:
            assert self.is_broken or not self.scenario.survives
            # What was garbled may have left a transaction open, and its owner has not ended it.
            left_open = self.is_damaged and stage.backend.status != "I"
            assert session.is_closed or left_open, "neither right nor closed"
        else:
            assert tuple(found) == ("still there", 41)
            assert session.transaction_status == "I"
            assert session._core.machine.is_idle

    def _passed(self) -> dict[Direction, int]:
        link = self.world.network.links[0]
        return {
            Direction.TO_SERVER: link._to_server._offset,
            Direction.TO_CLIENT: link._to_client._offset,
        }


def _is_surprise(error: BaseException) -> bool:
    """Whether a scenario complains about a value, and not the library about itself."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, AssertionError | pytest.fail.Exception) or frames[-1].filename.startswith(_TESTS)


def play_broken(scenario: Scenario, kind: type[World], fault: Fault | None = None) -> Passage:
    """Play a scenario on a line with this fault."""
    try:
        return _Play(scenario, kind, fault).play()
    except BaseException as error:
        error.add_note(f"again: spoiled({scenario.name!r}, {kind.name!r}, {fault!r})")
        raise


def spoiled(name: str, world: str, fault: Any) -> Passage:
    """Play a scenario by its name, to see again what went wrong."""
    from tests.transports.blocking_world import BlockingWorld
    from tests.transports.scenarios_copy import SCENARIOS
    from tests.transports.worlds import WORLDS

    (scenario,) = [each for each in SCENARIOS if each.name == name]
    worlds: list[type[World]] = [*WORLDS, BlockingWorld]
    (kind,) = [each for each in worlds if each.name == world]
    return play_broken(scenario, kind, fault)


@contextmanager
def nothing_is_warned_of() -> Generator[None, None, None]:
    """Fail if something is warned of, or is found broken when it is collected."""
    found: list[str] = []

    def hear(unraisable: UnraisableHookArgs) -> None:
        found.append(f"in {unraisable.object!r}: {unraisable.exc_value!r}")

    unraisable, sys.unraisablehook = sys.unraisablehook, hear
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
            gc.collect(1)
    finally:
        sys.unraisablehook = unraisable
    assert not found, found
