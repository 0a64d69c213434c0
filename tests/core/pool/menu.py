"""What may happen in a world, at any time.

Events that lead to states that differ only in names count as one, and of these only one is tried:

- what befalls one of several slots with the same description,
- what one of several callers does who have one slot, or slots with the same description, in the same way,
- that one of several callers gives up who wait next to each other, for the same and equally long.

Everything else is tried, also each order in which a machine may come to slots that are due at one time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from math import inf
from typing import NamedTuple

from pgproto._pool import CLEAN, Close, Open, Report, Slot, SlotState
from pgproto._pool._ledger import Phase
from pgproto.errors import AuthenticationError, PoolClosed, PoolTimeout
from tests.core.pool.interrupted import start_over
from tests.core.pool.people import FATAL, JOINED, Record, Turn
from tests.core.pool.states import Name, arrivals, describe
from tests.core.pool.world import World

__all__ = ["Event", "Menu"]


class Event(NamedTuple):
    """What may happen. It finds its object by its place, as it runs on copies."""

    words: tuple[object, ...]
    """What to say of it; put together only if somebody asks."""
    act: Callable[[World], object]

    def __str__(self) -> str:
        return " ".join(_word(word) for word in self.words)


def _word(word: object) -> str:
    match word:
        case str():
            return word
        case type():
            return word.__name__
        case _:
            return repr(word)


@dataclass(frozen=True, kw_only=True)
class Menu:
    """What may happen in a world."""

    callers: int = 3
    kinds: tuple[bool, ...] = (False,)
    """Whether callers ask for a shared session."""
    returns: tuple[Report, ...] = (CLEAN, Report("T"), Report(changed=True), Report(closed=True))
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
    tells_joined: bool = True
    """Whether a request that joined counts as another than one with a ticket.

    They are the same where nobody is put back: `leave` and `release` then do the same to the state. There are
    far fewer states if that is taken for granted, as `test_states` shows that it may be.
    """

    def names(self, world: World) -> tuple[dict[Slot[Record], Name], dict[Turn, int] | None]:
        """What there is to say of each slot, and the order of arrivals if that may matter."""
        order = arrivals(world) if self.puts_back else None
        return describe(world, order, tells_joined=self.tells_joined), order

    def events(self, world: World, *, reduced: bool = True) -> Iterator[Event]:
        """Everything that can happen now, up to names unless not `reduced`."""
        names, order = self.names(world)
        if not reduced:
            names.update({slot: (number,) for number, slot in enumerate(names)})
        seen: set[Name] = set()
        twins: set[Slot[Record]] = set()
        for slot, name in names.items():
            if name in seen:
                twins.add(slot)
            seen.add(name)
        yield from self._of_waiters(world, order, reduced=reduced)
        yield from self._of_holders(world, names, order, reduced=reduced)
        yield from self._of_sessions(world, twins)
        yield from self._of_time(world, names, reduced=reduced)
        yield from self._of_the_pool(world, names, reduced=reduced)

    def _of_waiters(self, world: World, order: dict[Turn, int] | None, *, reduced: bool) -> Iterator[Event]:
        if len(world.waiting) + len(world.holding) < self.callers and not world.closed:
            for shared in self.kinds:
                yield Event(("acquire, shared:", shared), _acquire(shared))
        before: object = None
        for place, turn in enumerate(world.waiting):
            who = (turn.kind, turn.deadline, None if order is None else order[turn])
            if who != before or not reduced:
                yield Event(("waiter", place, "gives up"), _abandon_waiting(place))
            before = who
        for place in range(len(world.warming)):
            yield Event(("who waits for min_size gives up",), _abandon_warming(place))

    def _of_holders(
        self, world: World, names: dict[Slot[Record], Name], order: dict[Turn, int] | None, *, reduced: bool
    ) -> Iterator[Event]:
        leaked = world.machine._leaked
        seen: set[Name] = set()
        for place, (turn, slot) in enumerate(world.holding.items()):
            joined = turn.note is JOINED
            arrival = None if order is None or joined else (order[turn], turn.deadline)
            who = (names[slot], joined, arrival, turn.leased_at, turn in leaked)
            if reduced and who in seen:
                continue
            seen.add(who)
            if not joined:  # to a request that has joined, it is one with returning
                yield Event(("holder", place, "gives up"), _abandon_holding(place))
            for report in self.returns:
                yield Event(("holder", place, "returns", report), _release(place, report))
            if self.puts_back:
                yield Event(("holder", place, "got a dead session"), _put_back(place))

    def _of_sessions(self, world: World, twins: set[Slot[Record]]) -> Iterator[Event]:
        for place, (slot, step) in enumerate(world.steps.items()):
            if slot in twins:
                continue
            what = ("slot", slot.number, type(step))
            yield Event((*what, "succeeds"), _finish(place, None))
            if isinstance(step, Close):
                continue
            for error in self.failures if isinstance(step, Open) else self.failures[:1]:
                yield Event((*what, "fails:", error), _finish(place, error))
        for place, slot in enumerate(world.records):
            if (
                slot.state is not SlotState.OPENING
                and slot.state is not SlotState.CLOSING
                and slot not in twins
            ):
                for report in self.losses:
                    yield Event(("slot", slot.number, "is lost,", report.error), _lose(place, report))

    def _of_time(self, world: World, names: dict[Slot[Record], Name], *, reduced: bool) -> Iterator[Event]:
        if world.wake <= world.now:
            yield from _in_all_orders(
                Event(("the timer rings",), World.ring), world, names, _due(world, world.now), reduced=reduced
            )
            return
        later = world.now + 1
        if world.wake < inf:
            due = _due(world, later) if world.wake <= later else []
            yield from _in_all_orders(Event(("a second goes by",), _tick), world, names, due, reduced=reduced)
        if self.late and world.wake == later:
            yield Event(("a second goes by, the timer is late",), _tick_late)

    def _of_the_pool(
        self, world: World, names: dict[Slot[Record], Name], *, reduced: bool
    ) -> Iterator[Event]:
        machine = world.machine
        if machine._phase is Phase.OPEN:
            for size in self.sizes:
                if size != (machine._min_size, machine._max_size):
                    yield Event(("resize to", size), _resize(*size))
            if self.drains:
                yield Event(("drain",), _drain)
            for within in self.expires:
                event = Event(("expire within", within), _expire(within))
                everything = range(len(names))
                yield from _in_all_orders(event, world, names, everything, reduced=reduced)
            if self.warm_ups and not world.warming:
                yield Event(("wait for min_size sessions",), _warm_up)
        if self.starts_over:
            yield Event(("start over",), start_over)
        if machine._phase is Phase.OPEN or machine._phase is Phase.CLOSING:
            for timeout in self.closes:
                if world.now + timeout < machine._close_by:
                    yield Event(("close within", timeout), _close(timeout))


def _due(world: World, moment: float) -> list[int]:
    """The slots for which something is due then, by their places; to all others `tick` does nothing."""
    return [
        place
        for place, slot in enumerate(world.machine._slots)
        if moment >= slot.step_deadline
        or moment >= slot.renew_at
        or (slot.state is SlotState.IDLE and moment >= slot.expires_at)
    ]


def _in_all_orders(
    event: Event, world: World, names: dict[Slot[Record], Name], places: Iterable[int], *, reduced: bool
) -> Iterator[Event]:
    """The event, for each order that the machine may have these slots in; that of others does not matter."""
    if not reduced:
        yield event
        return
    slots = list(world.machine._slots)
    seen: set[Name] = set()
    for order in permutations(places):
        sequence = tuple([names[slots[place]] for place in order])
        if sequence not in seen:
            seen.add(sequence)
            yield event if len(order) < 2 else Event((*event.words, "in order", order), _sorted(event, order))


def _sorted(event: Event, order: tuple[int, ...]) -> Callable[[World], object]:
    def act(world: World) -> None:
        slots = list(world.machine._slots)
        first = [slots[place] for place in order]
        world.machine._slots = dict.fromkeys([*first, *slots])
        event.act(world)

    return act


def _acquire(shared: bool) -> Callable[[World], object]:
    def event(world: World) -> None:
        expected = PoolTimeout if world.machine._phase is Phase.OPEN else PoolClosed
        with contextlib.suppress(expected):
            world.acquire(shared=shared)

    return event


def _finish(place: int, error: BaseException | None) -> Callable[[World], object]:
    return lambda world: world.finish(list(world.steps)[place], error)


def _lose(place: int, report: Report) -> Callable[[World], object]:
    return lambda world: world.lose(list(world.records)[place], report)


def _release(place: int, report: Report) -> Callable[[World], object]:
    return lambda world: world.release(list(world.holding)[place], report)


def _put_back(place: int) -> Callable[[World], object]:
    def event(world: World) -> None:
        world.put_back(list(world.holding)[place])

    return event


def _abandon_waiting(place: int) -> Callable[[World], object]:
    return lambda world: world.abandon(world.waiting[place])


def _abandon_holding(place: int) -> Callable[[World], object]:
    return lambda world: world.abandon(list(world.holding)[place])


def _abandon_warming(place: int) -> Callable[[World], object]:
    return lambda world: world.abandon(world.warming[place])


def _tick(world: World) -> None:
    world.pass_time(1)


def _tick_late(world: World) -> None:
    world.pass_time(1, late=True)


def _warm_up(world: World) -> None:
    world.open()


def _resize(smallest: int, largest: int) -> Callable[[World], object]:
    def event(world: World) -> None:
        world.machine.resize(world.now, smallest, largest)
        world.settle()

    return event


def _drain(world: World) -> None:
    world.retire_all()
    world.machine.drain(world.now)
    world.settle()


def _expire(within: float) -> Callable[[World], object]:
    def event(world: World) -> None:
        world.wake = inf
        world.machine.expire(world.now, within)
        world.settle()

    return event


def _close(timeout: float) -> Callable[[World], object]:
    def event(world: World) -> None:
        world.machine.close(world.now, timeout)
        world.settle()

    return event
