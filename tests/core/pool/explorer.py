"""Walks through all states that a pool can get into.

From each state every event is tried that the world can come up with. States that differ only in names (which
caller, which slot, what time it is) count as one.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from pgproto._pool import Close, Open, Report, Slot, SlotState
from pgproto._pool._ledger import Phase
from pgproto.errors import AuthenticationError, Error, PoolClosed, PoolTimeout
from tests.core.pool.interrupted import start_over
from tests.core.pool.people import FATAL, Record
from tests.core.pool.states import describe, fork, key
from tests.core.pool.world import World

__all__ = ["Counterexample", "Menu", "all_goes_well", "explore"]

Event: TypeAlias = Callable[[World], None]

# --- Events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Menu:
    """What may happen in a world."""

    callers: int = 3
    kinds: tuple[bool, ...] = (False,)
    """Whether callers ask for a shared session."""
    returns: tuple[Report, ...] = (Report(), Report("T"), Report(changed=True), Report(closed=True))
    losses: tuple[Report, ...] = (Report(closed=True), FATAL)
    failures: tuple[BaseException, ...] = (OSError("refused"), AuthenticationError("no"))
    """How steps fail, besides succeeding; only `Open` fails in more than the first way."""
    puts_back: bool = False
    late: bool = False
    """The clock may go on before the timer is served."""
    sizes: tuple[tuple[int, int], ...] = ()
    drains: bool = False
    expires: tuple[float, ...] = ()
    closes: tuple[float, ...] = ()
    warm_ups: bool = False
    starts_over: bool = False

    def events(self, world: World) -> Iterator[tuple[str, Event]]:
        """Everything that can happen now. Events find their object by its place, as they run on copies.

        What happens to one of several interchangeable slots need not happen to the others as well.
        """
        machine = world.machine
        names = describe(world)
        twins: dict[Slot[Record], bool] = {}
        seen: set[object] = set()
        for slot, name in names.items():
            ring = machine._ring.index(slot) if slot.listed else None
            idle = machine._idle.index(slot) if slot.state is SlotState.IDLE else None
            twins[slot] = (name, ring, idle) in seen
            seen.add((name, ring, idle))
        yield from self._of_callers(world, twins)
        for place, (slot, step) in enumerate(world.steps.items()):
            if twins[slot]:
                continue
            yield f"slot {slot.number}: {type(step).__name__} succeeds", _finish(place, None)
            if isinstance(step, Close):
                continue
            for error in self.failures if isinstance(step, Open) else self.failures[:1]:
                yield f"slot {slot.number}: {type(step).__name__} fails: {error!r}", _finish(place, error)
        for place, slot in enumerate(world.records):
            if slot.state not in (SlotState.OPENING, SlotState.CLOSING) and not twins[slot]:
                for report in self.losses:
                    yield f"slot {slot.number}: lost, {report.error!r}", _lose(place, report)
        if world.wake <= world.now:
            yield "the timer rings", World.ring
        else:
            if world.wake < inf:
                yield "a second goes by", _tick
            if self.late and world.wake == world.now + 1:
                yield "a second goes by, the timer is late", _tick_late
        if machine._phase is Phase.OPEN:
            for size in self.sizes:
                if size != (machine._min_size, machine._max_size):
                    yield f"resize to {size}", _resize(*size)
            if self.drains:
                yield "drain", _drain
            for within in self.expires:
                yield f"expire within {within}", _expire(within)
            if self.warm_ups and not world.warming:
                yield "wait for min_size sessions", _warm_up
        if self.starts_over:
            yield "start over", start_over
        if machine._phase in (Phase.OPEN, Phase.CLOSING):
            for timeout in self.closes:
                if world.now + timeout < machine._close_by:
                    yield f"close within {timeout}", _close(timeout)

    def _of_callers(self, world: World, twins: dict[Slot[Record], bool]) -> Iterator[tuple[str, Event]]:
        if len(world.waiting) + len(world.holding) < self.callers and not world.closed:
            for shared in self.kinds:
                yield f"acquire, shared={shared}", _acquire(shared)
        for place in range(len(world.waiting)):
            yield f"waiter {place} gives up", _abandon_waiting(place)
        seen: set[tuple[Slot[Record], float]] = set()
        for place, (turn, slot) in enumerate(world.holding.items()):
            who = (slot, turn.deadline if self.puts_back else 0.0)
            if who in seen or (twins[slot] and not self.puts_back):
                continue
            seen.add(who)
            yield f"holder {place} gives up", _abandon_holding(place)
            for report in self.returns:
                yield f"holder {place} returns {report}", _release(place, report)
            if self.puts_back:
                yield f"holder {place} got a dead session", _put_back(place)
        for place in range(len(world.warming)):
            yield "who waits for min_size gives up", _abandon_warming(place)


def _acquire(shared: bool) -> Event:
    def event(world: World) -> None:
        expected = PoolTimeout if world.machine._phase is Phase.OPEN else PoolClosed
        with contextlib.suppress(expected):
            world.acquire(shared=shared)

    return event


def _finish(place: int, error: BaseException | None) -> Event:
    return lambda world: world.finish(list(world.steps)[place], error)


def _lose(place: int, report: Report) -> Event:
    return lambda world: world.lose(list(world.records)[place], report)


def _release(place: int, report: Report) -> Event:
    return lambda world: world.release(list(world.holding)[place], report)


def _put_back(place: int) -> Event:
    def event(world: World) -> None:
        world.put_back(list(world.holding)[place])

    return event


def _abandon_waiting(place: int) -> Event:
    return lambda world: world.abandon(world.waiting[place])


def _abandon_holding(place: int) -> Event:
    return lambda world: world.abandon(list(world.holding)[place])


def _abandon_warming(place: int) -> Event:
    return lambda world: world.abandon(world.warming[place])


def _tick(world: World) -> None:
    world.pass_time(1)


def _tick_late(world: World) -> None:
    world.pass_time(1, late=True)


def _warm_up(world: World) -> None:
    world.open()


def _resize(smallest: int, largest: int) -> Event:
    def event(world: World) -> None:
        world.machine.resize(world.now, smallest, largest)
        world.settle()

    return event


def _drain(world: World) -> None:
    world.retire_all()
    world.machine.drain(world.now)
    world.settle()


def _expire(within: float) -> Event:
    def event(world: World) -> None:
        world.wake = inf
        world.machine.expire(world.now, within)
        world.settle()

    return event


def _close(timeout: float) -> Event:
    def event(world: World) -> None:
        world.machine.close(world.now, timeout)
        world.settle()

    return event


# --- The walk ---------------------------------------------------------------------------------------------


class Counterexample(AssertionError):
    """The shortest way to a state in which something is wrong."""


def explore(
    start: World, menu: Menu, *, visit: Callable[[World], None] | None = None, limit: int = 10_000_000
) -> tuple[int, int]:
    """Visit every state that can be reached; returns how many there are, and how many steps lead to them.

    Raises:
        Counterexample: something does not hold; with the shortest sequence of events that leads there.
    """
    start.settle()
    start.check()
    first = key(start, describe(start))
    came_by: dict[int, tuple[int, str]] = {hash(first): (0, "")}
    frontier = deque([(hash(first), start)])
    transitions = 0
    while frontier:
        origin, world = frontier.popleft()
        for name, event in menu.events(world):
            transitions += 1
            successor = fork(world)
            try:
                event(successor)
                successor.check()
                state = hash(key(successor, describe(successor)))
                if state in came_by:
                    continue
                if visit is not None:
                    visit(fork(successor))
            except (AssertionError, Error, LookupError, TypeError, ValueError, AttributeError) as error:
                way = _way_to(origin, came_by)
                raise Counterexample("\n  ".join([f"{error!r} after", *way, name])) from error
            came_by[state] = (origin, name)
            frontier.append((state, successor))
            assert len(came_by) <= limit, f"more than {limit} states"
    return len(came_by), transitions


def _way_to(place: int, came_by: dict[int, tuple[int, str]]) -> list[str]:
    way: list[str] = []
    while True:
        place, name = came_by[place]
        if not name:
            return way[::-1]
        way.append(name)


def all_goes_well(world: World) -> None:
    """From here on nothing fails, and all who have a session return it: then nobody is left waiting.

    And the pool closes, even if nobody waits for anything.
    """
    machine = world.machine
    for _ in range(10_000):
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
