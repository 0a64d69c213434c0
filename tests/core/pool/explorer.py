"""Walks through all states that a pool can get into.

From each state every event is tried that the world can come up with. States that differ only in names (which
caller, which slot, what time it is) count as one, as `states` tells, and so do events, as `menu` tells. So
each state that a pool can get into is one that was visited, but for its names; and as what must hold has
nothing to do with names, it is enough to look at each state once. With `reduced` set to False the walk goes
by the names of callers and slots, and gets to the same states the long way.
"""

from __future__ import annotations

import contextlib
import gc
from collections import deque
from collections.abc import Callable, Generator
from math import inf

from pgproto.errors import Error
from tests.core.pool.menu import Event, Menu
from tests.core.pool.states import describe, fork, key, key_by_name
from tests.core.pool.world import World

__all__ = ["Counterexample", "all_goes_well", "explore"]


class Counterexample(AssertionError):
    """The shortest way to a state in which something is wrong."""


def explore(
    start: World,
    menu: Menu,
    *,
    visit: Callable[[World], None] | None = None,
    limit: int = 10_000_000,
    reduced: bool = True,
) -> tuple[int, int]:
    """Visit every state that can be reached; returns how many there are, and how many steps lead to them.

    `visit` is called with each, and is to leave it as it is.

    Raises:
        Counterexample: something does not hold; with the shortest sequence of events that leads there.
    """
    naming = key if reduced else key_by_name
    start.settle()
    start.check()
    first = naming(start, *menu.names(start))
    came_by: dict[int, tuple[int, Event | None]] = {first: (0, None)}
    frontier = deque([(first, start)])
    transitions = 0
    with _without_collector():
        while frontier:
            origin, world = frontier.popleft()
            for event in menu.events(world, reduced=reduced):
                transitions += 1
                successor = fork(world)
                try:
                    event.act(successor)
                    successor.check_accounts()
                    state = naming(successor, *menu.names(successor))
                    if state not in came_by:
                        successor.check()
                        if visit is not None:
                            visit(successor)
                except (AssertionError, Error, LookupError, TypeError, ValueError, AttributeError) as error:
                    way = _way_to(origin, came_by)
                    raise Counterexample("\n  ".join([f"{error!r} after", *way, str(event)])) from error
                if state in came_by:
                    _let_go(successor)
                    continue
                came_by[state] = (origin, event)
                frontier.append((state, successor))
                assert len(came_by) <= limit, f"more than {limit} states"
            _let_go(world)
    return len(came_by), transitions


def _let_go(world: World) -> None:
    """Nobody needs the world any more: without its circles it goes at once."""
    for slot in world.steps:
        slot.step = None


@contextlib.contextmanager
def _without_collector() -> Generator[None]:
    """Without a search for circles, of which there are none, among millions of objects that stay."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _way_to(place: int, came_by: dict[int, tuple[int, Event | None]]) -> list[str]:
    way: list[str] = []
    while True:
        place, event = came_by[place]
        if event is None:
            return way[::-1]
        way.append(str(event))


def all_goes_well(world: World, known: set[int] | None = None) -> None:
    """From here on nothing fails, and all who have a session return it: then nobody is left waiting.

    And the pool closes, even if nobody waits for anything. `known` are states of which this is known, and
    from now on those that are passed here, too.
    """
    machine = world.machine
    passed: set[int] = set()
    for _ in range(10_000):
        if known is not None:
            state = key(world, describe(world))
            if state in known:
                known |= passed
                return
            passed.add(state)
        if not world.waiting and not world.warming:
            break
        if world.steps:
            world.finish(next(iter(world.steps)))
        elif world.holding:
            world.release(next(iter(world.holding)))
        else:
            assert world.wake < inf, "they wait for ever"
            assert machine._opener.retry_at > world.now or world.wake <= world.now
            world.pass_time(max(0.0, world.wake - world.now))
        world.check()
    assert not world.waiting
    machine.close(world.now, 0.0)
    world.settle()
    world.run()
    assert world.closed
    world.check()
    if known is not None:
        known |= passed
