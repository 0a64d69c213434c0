"""Every state that a small pool can get into, with every fault, and what must hold in each of them.

Each scenario turns on some of the pool's abilities, and lets everything happen at any time that has to do
with them. All of them together would be too many states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pgproto._pool import CLEAN, RENEWED, Hook, PoolConfig, Recycle, Report
from pgproto.errors import QueryTimeout
from tests.core.pool.explorer import Counterexample, all_goes_well, explore
from tests.core.pool.menu import Menu
from tests.core.pool.states import fork
from tests.core.pool.world import World

Scenario = tuple[PoolConfig, Menu, int]
"""The settings, what may happen, and the least number of states that there have to be."""


def config(
    *,
    max_size: int = 2,
    min_size: int = 0,
    acquire_timeout: float | None = 1.0,
    max_lifetime: float | None = None,
    max_idle: float | None = None,
    connect_timeout: float | None = None,
    check_after: float | None = None,
    leak_after: float | None = None,
    multiplex: int = 1,
    recycle: Recycle = "fast",
    hooks: frozenset[Hook] = frozenset(),
) -> PoolConfig:
    """Settings in whole seconds, and small: the fewer moments there are, the fewer states."""
    return PoolConfig(
        max_size=max_size,
        min_size=min_size,
        acquire_timeout=acquire_timeout,
        max_lifetime=max_lifetime,
        max_idle=max_idle,
        connect_timeout=connect_timeout,
        check_after=check_after,
        leak_after=leak_after,
        multiplex=multiplex,
        recycle=recycle,
        hooks=hooks,
        check_timeout=1.0,
        reset_timeout=1.0,
        first_delay=1.0,
        longest_delay=1.0,
        max_connecting=max_size,
        jitter=0.0,
    )


ALL_HOOKS = frozenset(Hook)

SHARING = Menu(
    callers=3,
    kinds=(True, False),
    returns=(CLEAN, Report("T"), Report(changed=True)),
    losses=(Report(closed=True),),
    failures=(OSError("refused"),),
)

SMALL: dict[str, Scenario] = {
    "patience": (
        config(acquire_timeout=None),
        Menu(callers=4, drains=True, puts_back=True, starts_over=True),
        3_000,
    ),
    "closing": (config(), Menu(callers=3, closes=(0.0, 1.0), drains=True, starts_over=True), 1_000),
    "resizing": (
        config(),
        Menu(callers=3, sizes=((1, 1), (1, 2), (0, 3)), warm_ups=True, losses=(Report(closed=True),)),
        5_000,
    ),
    "ageing": (
        config(min_size=1, max_lifetime=3.0, max_idle=2.0, check_after=1.0, connect_timeout=1.0),
        Menu(callers=3, expires=(0.0, 2.0)),
        9_000,
    ),
    "hooks": (
        config(hooks=ALL_HOOKS, connect_timeout=1.0),
        Menu(callers=3, drains=True, closes=(0.0,), starts_over=True),
        8_000,
    ),
    "sharing": (
        config(multiplex=2, acquire_timeout=None),
        SHARING,
        8_000,
    ),
    "sharing, and waiting not for ever": (
        config(max_size=1, multiplex=2),
        replace(SHARING, callers=4),
        780,
    ),
    "sharing among three": (
        config(multiplex=3, acquire_timeout=None),
        Menu(callers=5, kinds=(True, False), returns=(CLEAN, Report(changed=True)), losses=(), failures=()),
        6_000,
    ),
    "sessions that are dead where requests share": (
        config(multiplex=2, acquire_timeout=None),
        Menu(
            callers=3,
            kinds=(True, False),
            returns=(CLEAN,),
            losses=(Report(closed=True),),
            failures=(OSError("refused"),),
            puts_back=True,
            starts_over=True,
        ),
        2_700,
    ),
    "resets that go ahead": (
        config(multiplex=2, recycle="clean", acquire_timeout=None),
        Menu(
            callers=3,
            kinds=(True, False),
            returns=(RENEWED, CLEAN, Report(changed=True)),
            losses=(Report(closed=True),),
            failures=(OSError("refused"),),
        ),
        5_700,
    ),
    "leaks": (
        config(leak_after=1.0),
        Menu(callers=2, puts_back=True, late=True, closes=(0.0, 1.0)),
        3_500,
    ),
    "a late timer": (
        config(max_idle=1.0, max_lifetime=2.0, check_after=1.0),
        Menu(callers=2, late=True),
        4_500,
    ),
}

LARGE: dict[str, Scenario] = {
    "faults": (
        config(max_size=3),
        Menu(callers=5, closes=(0.0,), drains=True, sizes=((0, 3), (1, 2)), starts_over=True),
        26_000,
    ),
    "ageing": (
        config(max_size=3, max_lifetime=2.0, max_idle=1.0, check_after=1.0, connect_timeout=1.0),
        Menu(callers=5, closes=(0.0,), drains=True),
        42_000,
    ),
    "hooks": (
        config(max_size=3, hooks=ALL_HOOKS, connect_timeout=1.0),
        Menu(callers=5, closes=(0.0,), drains=True),
        384_000,
    ),
    "sharing between two, with every fault": (
        config(multiplex=2),
        Menu(callers=3, kinds=(True, False), returns=(CLEAN, Report("T"), Report(changed=True))),
        19_500,
    ),
    # Without deadlines, which multiply the states: the one before has them.
    "sharing": (
        config(max_size=3, multiplex=2, acquire_timeout=None),
        Menu(
            callers=5,
            kinds=(True, False),
            returns=(CLEAN, Report(changed=True)),
            losses=(Report(closed=True),),
            failures=(OSError("refused"),),
            tells_joined=False,
        ),
        118_000,
    ),
}


def walk(scenario: Scenario, visit: Callable[[World], None] | None = None) -> None:
    settings, menu, expected = scenario
    world = World.make(settings)
    world.open()
    states, transitions = explore(world, menu, visit=visit)
    print(f"{states} states, {transitions} transitions")
    assert states >= expected, "a walk that does not get far proves nothing"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SMALL)
def test_three_callers_and_two_sessions(name: str) -> None:
    known: set[int] = set()
    walk(SMALL[name], lambda world: all_goes_well(fork(world), known))


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", LARGE)
def test_five_callers_and_three_sessions(name: str) -> None:
    walk(LARGE[name])


def test_a_fault_is_found_and_the_way_to_it_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # A pool that trusts the caller's count of BEGINs instead of the server's status.
    def never(config: PoolConfig, report: Report) -> None:
        del config, report

    monkeypatch.setattr("pgproto._pool._upkeep.reset_sql", never)
    with pytest.raises(Counterexample, match="a transaction is open") as found:
        walk(SMALL["closing"])
    way = str(found.value).splitlines()
    assert len(way) == 4  # the error, and the shortest way
    assert "acquire" in way[1]
    assert "Open succeeds" in way[2]
    assert "returns" in way[3]


def test_a_walk_tries_what_can_go_wrong() -> None:
    world = World.make(config())
    world.open()
    world.acquire()
    world.run()
    menu = Menu(returns=(CLEAN, Report(error=QueryTimeout("late"))))
    names = [str(event) for event in menu.events(world)]
    assert sum("returns" in name for name in names) == 2
    assert sum("lost" in name for name in names) == 2
