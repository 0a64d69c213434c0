"""Whatever a task does with a session, and wherever it is cancelled: nobody else is harmed.

Each scenario is played once in peace, which counts the steps of the event loop, and then again for each step,
cancelled before it. See `tests.transports.session_stage` for what must be true afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.transports.scenarios_copy import SCENARIOS
from tests.transports.session_stage import LATENCY, Scenario, nobody_complains, play
from tests.transports.worlds import WORLDS, How, World

__all__: list[str] = []

AT_ONCE = 8
"""How many steps of a scenario are tried where not all of them are."""

kinds = pytest.mark.parametrize("kind", WORLDS, ids=lambda kind: kind.name)
all_scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def some(steps: int, at_once: int) -> Iterable[int]:
    """Steps from the first to one behind the last, evenly spread."""
    return range(1, steps + 2, max(1, steps // at_once))


def sweep(
    scenario: Scenario,
    kind: type[World],
    *,
    how: How = "once",
    at_once: int = AT_ONCE,
    hang_up: bool = False,
) -> int:
    """Stop the scenario at some or all of its steps; returns how often it was stopped."""
    with nobody_complains():
        steps = play(scenario, kind).steps
        stopped = 0
        for step in some(steps, at_once):
            try:
                stopped += play(scenario, kind, step=step, how=how, hang_up=hang_up).stopped
            except BaseException as error:
                error.add_note(f"in {scenario.name} on {kind.name}, at step {step} of {steps}, {how}")
                raise
    return stopped


def test_there_is_enough_to_stop() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert len(names) == len(SCENARIOS) >= 55
    for kind in WORLDS:
        with nobody_complains():
            assert sum(play(scenario, kind).steps for scenario in SCENARIOS) >= 1_500


@kinds
@all_scenarios
def test_cancelled(kind: type[World], scenario: Scenario) -> None:
    assert sweep(scenario, kind) >= 2


@kinds
@all_scenarios
def test_cancelled_from_above(kind: type[World], scenario: Scenario) -> None:
    assert sweep(scenario, kind, how="from above", at_once=3) >= 1


@kinds
@all_scenarios
def test_cancelled_as_the_server_hangs_up(kind: type[World], scenario: Scenario) -> None:
    sweep(scenario, kind, at_once=3, hang_up=True)


@all_scenarios
def test_cancelled_twice(scenario: Scenario) -> None:
    if scenario.is_cleaned_up_by_hand:
        pytest.skip("whoever is cancelled in the midst of cleaning up does not clean up")
    assert sweep(scenario, WORLDS[0], how="twice", at_once=3) >= 1


@kinds
@all_scenarios
def test_cancelled_by_the_clock(kind: type[World], scenario: Scenario) -> None:
    with nobody_complains():
        for number in range(1, 25, 8):
            play(scenario, kind, within=number * LATENCY / 2)


@pytest.mark.slow
@kinds
@all_scenarios
@pytest.mark.parametrize("how", ["once", "twice", "from above"])
def test_cancelled_at_every_step(kind: type[World], scenario: Scenario, how: How) -> None:
    if how == "twice" and (scenario.is_cleaned_up_by_hand or kind.name == "trio"):
        pytest.skip("with trio, who is cancelled stays cancelled; and what is cleaned up by hand is not")
    assert sweep(scenario, kind, how=how, at_once=1 << 30) >= 2


@pytest.mark.slow
@kinds
@all_scenarios
def test_cancelled_at_every_step_as_the_server_hangs_up(kind: type[World], scenario: Scenario) -> None:
    sweep(scenario, kind, at_once=1 << 30, hang_up=True)
