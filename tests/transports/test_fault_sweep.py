"""Whatever becomes of the line, and at whichever byte: everybody hears of it once, in time, and truly.

Each scenario is played once on a line that is whole, which counts the bytes each way, and then again for
each byte and each kind of fault. See `tests.transports.fault_stage` for what must be true afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pgproto.testing import Direction, Fault
from pgproto.testing._network import FaultKind
from tests.transports.blocking_world import BlockingWorld
from tests.transports.fault_stage import DAMAGES, KINDS, Passage, nothing_is_warned_of, play_broken
from tests.transports.scenarios_copy import SCENARIOS
from tests.transports.session_stage import Scenario
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

ALL_WORLDS: list[type[World]] = [*WORLDS, BlockingWorld]
# These need another task, which one thread has not; or a deadline that a broken line keeps from being met.
_NEED_COMPANY = {
    "notifications",
    "the_server_hangs_up",
    "records_as_they_come",
    "executemany_as_they_come",
    "executemany_with_a_source_that_fails",
}
_NONE: set[str] = set()
_ARE_ABOUT_TIME = {"a_deadline_that_is_met_just_so"}
_ARE_LONG = {"copy_in_of_much", "executemany_of_many"}

MOST = 5_000
"""How many bytes of a scenario are spoilt, spread over all that it sends, where every byte is meant."""
MOST_OF_LONG = 150
"""The same for those that say the same again and again, each time for long."""

kinds = pytest.mark.parametrize("kind", ALL_WORLDS, ids=lambda kind: kind.name)


def scenarios(kind: type[World]) -> list[Scenario]:
    """Those that the world can play."""
    left_out = _NEED_COMPANY if kind is BlockingWorld else _NONE
    return [each for each in SCENARIOS if each.name not in left_out | _ARE_ABOUT_TIME]


def offsets(passage: Passage, direction: Direction, scenario: Scenario) -> range:
    """Which bytes there are to spoil: those of the scenario, and once those with which a session begins."""
    begin = 0 if scenario.name == "fetch" else passage.begin[direction]
    end = passage.end[direction]
    most = MOST_OF_LONG if scenario.name in _ARE_LONG else MOST
    return range(begin, end, max(1, (end - begin) // most))


def every_fault(scenario: Scenario, passage: Passage) -> Iterator[Fault]:
    """Each kind at each byte; the bits are flipped in turn."""
    for direction in Direction:
        for offset in offsets(passage, direction, scenario):
            for fault in KINDS:
                yield Fault(fault, direction, offset, offset % 8)


@kinds
@pytest.mark.parametrize("fault", KINDS)
def test_a_line_that_breaks(kind: type[World], fault: FaultKind) -> None:
    # Bytes are chosen anew for each kind of fault, the same ones each time.
    choice = random.Random(fault)
    broken = 0
    with nothing_is_warned_of():
        for scenario in scenarios(kind):
            passage = play_broken(scenario, kind)
            direction = choice.choice(list(Direction))
            if spoilt := offsets(passage, direction, scenario):
                broken += 1
                offset = choice.choice(spoilt)
                play_broken(scenario, kind, Fault(fault, direction, offset, choice.randrange(8)))
    assert broken >= 45


@kinds
def test_most_faults_are_noticed(kind: type[World]) -> None:
    """What ends a line is never overlooked by those who wait for an answer."""
    scenario = next(each for each in SCENARIOS if each.name == "fetch")
    passage = play_broken(scenario, kind)
    for fault in KINDS:
        for offset in range(passage.begin[Direction.TO_CLIENT], passage.end[Direction.TO_CLIENT] - 200, 97):
            failed = play_broken(scenario, kind, Fault(fault, Direction.TO_CLIENT, offset)).failed
            assert fault in DAMAGES or failed >= 1


@kinds
@pytest.mark.parametrize("line", [{"chunk": 1}, {"chunk": 3, "capacity": 50}], ids=["bytewise", "narrow"])
def test_bytes_one_by_one(kind: type[World], line: dict[str, Any]) -> None:
    with nothing_is_warned_of():
        for scenario in scenarios(kind):
            if scenario.name not in _ARE_LONG:
                play_broken(replace(scenario, network={**line, "latency": 1e-9}), kind)


@pytest.mark.slow
@kinds
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_line_that_breaks_at_every_byte(kind: type[World], scenario: Scenario) -> None:
    if scenario not in scenarios(kind):
        pytest.skip("one thread has no company, and a broken line keeps no deadlines")
    with nothing_is_warned_of():
        passage = play_broken(scenario, kind)
        faults = [*every_fault(scenario, passage)]
        for fault in faults:
            play_broken(scenario, kind, fault)
    print(f"{scenario.name} on {kind.name}: {len(faults)} faults")
