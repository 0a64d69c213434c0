"""What the exploration relies on: that states count as one only if nothing tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest

from pgproto._pool import CLEAN, PoolConfig, Report, Slot, SlotState, Ticket
from pgproto._pool._opener import Opener
from tests.core.pool.explorer import explore
from tests.core.pool.menu import Menu
from tests.core.pool.people import Record, Turn
from tests.core.pool.states import MACHINE, Name, fork, key
from tests.core.pool.test_exploration import ALL_HOOKS, config
from tests.core.pool.world import World

__all__: list[str] = []

Naming = Callable[[World], tuple[dict[Slot[Record], Name], dict[Turn, int] | None]]

ONCE = (CLEAN,)
REFUSED = (OSError("refused"),)

LONG_WAYS: dict[str, tuple[PoolConfig, Menu]] = {
    "two sessions": (
        config(acquire_timeout=None),
        Menu(callers=3, returns=(CLEAN, Report("T")), losses=(), failures=REFUSED, drains=True),
    ),
    "timers": (
        config(max_lifetime=2.0, connect_timeout=1.0, acquire_timeout=None),
        Menu(callers=1, returns=ONCE, losses=(), failures=REFUSED, expires=(2.0,), late=True),
    ),
    "deadlines": (
        config(),
        Menu(callers=2, returns=ONCE, losses=(), failures=REFUSED, puts_back=True, closes=(0.0,)),
    ),
    "hooks": (
        config(hooks=ALL_HOOKS, acquire_timeout=None, check_after=1.0),
        Menu(callers=2, returns=ONCE, losses=(), failures=REFUSED, starts_over=True),
    ),
    "sharing": (
        config(multiplex=2, acquire_timeout=None),
        Menu(callers=3, kinds=(True, False), returns=ONCE, losses=(), failures=REFUSED),
    ),
}


def states_of(
    settings: PoolConfig, menu: Menu, *, reduced: bool, names: Naming | None = None
) -> tuple[set[int], int]:
    """The states that the menu leads to, as `names` has them, and how many they are as the menu has them."""
    names = names or menu.names
    world = World.make(settings)
    world.open()
    found = {key(world, *names(world))}
    count, _ = explore(world, menu, visit=lambda world: found.add(key(world, *names(world))), reduced=reduced)
    return found, count


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LONG_WAYS)
def test_the_long_way_leads_to_the_same_states(name: str) -> None:
    short, count = states_of(*LONG_WAYS[name], reduced=True)
    long, full = states_of(*LONG_WAYS[name], reduced=False)
    print(f"{count} states for {full}")
    assert len(short) == count
    assert long <= short
    if name != "timers":  # there the short way tries orders that never come about
        assert long == short
        assert full > count * 1.1, "there was nothing to reduce"


@pytest.mark.timeout(900)
def test_requests_that_joined_are_as_good_as_those_with_tickets() -> None:
    settings, menu = LONG_WAYS["sharing"]
    menu = replace(menu, returns=(CLEAN, Report(changed=True)), losses=(Report(closed=True),))
    blind = replace(menu, tells_joined=False)
    alike, count = states_of(settings, blind, reduced=True)
    told, full = states_of(settings, menu, reduced=True, names=blind.names)
    print(f"{count} states for {full}")
    assert told == alike
    assert full > count * 1.5, "there was nothing to tell apart"


# --- Nothing is left out ------------------------------------------------------------------------------------

OF_NO_CONSEQUENCE: dict[type[object], set[str]] = {
    Slot: {
        "joins",
        "last_used_at",
        "leased_at",
        "leases",
        "number",
        "session",
        "settings",
        "started_at",
    },
    Ticket: {"note", "waiter"},  # but for who has `JOINED`
    Opener: {"_first_delay", "_longest_delay", "_most", "_random"},
}


def worlds() -> list[World]:
    """With slots in many states, and callers who wait, and who have a session."""
    world = World.make(config(max_size=3, multiplex=2, check_after=1.0, max_idle=1.0, leak_after=1.0))
    world.open()
    world.acquire()
    opening = fork(world)
    world.run()
    for shared in (True, True, False):
        world.acquire(shared=shared)
    world.run()
    crowded = fork(world)
    world.acquire()
    world.acquire()
    waiting = fork(world)
    while world.holding:
        world.release(next(iter(world.holding)))
    world.run()
    return [opening, crowded, waiting, world]


def altered(value: object) -> object:
    match value:
        case bool():
            return not value
        case SlotState():
            return SlotState.RESETTING
        case int():
            return value + 1
        case float():
            return 0.25 if abs(value) == inf else value + 0.25
        case None:
            return 0.25
        case _:
            return None


def tells(world: World, thing: object, name: str) -> bool:
    """Whether it is noticed that this is another now."""
    menu = Menu(puts_back=True)
    before = key(world, *menu.names(world))
    object.__setattr__(thing, name, altered(getattr(thing, name)))
    try:
        world.check_accounts()
        return key(world, *menu.names(world)) != before
    except (AssertionError, AttributeError, TypeError):
        return True


def test_nothing_is_forgotten_of_a_machine() -> None:
    kinds = type(World.make(PoolConfig()).machine).__mro__
    assert {name for kind in kinds for name in vars(kind).get("__slots__", ())} == MACHINE


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in OF_NO_CONSEQUENCE for name in vars(kind)["__slots__"]]
)
def test_a_name_holds_all_that_is_of_consequence(kind: type[object], name: str) -> None:
    told = False
    for number in range(len(worlds())):
        world = worlds()[number]
        turns = [*world.waiting, *world.holding]
        for thing in (*world.machine._slots, *turns, world.machine._opener):
            if isinstance(thing, kind):
                told |= tells(world, thing, name)
                world = worlds()[number]
                break
    assert told == (name not in OF_NO_CONSEQUENCE[kind])
