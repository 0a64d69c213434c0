"""Walks through all states that a pool can get into.

From each state every event is tried that the world can come up with. States that differ only in names (which
caller, which slot, what time it is) count as one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import inf
from typing import Any, TypeAlias

from pgproto._pool import (
    Check,
    Close,
    Open,
    PoolMachine,
    Report,
    Reset,
    RunHook,
    Slot,
    SlotState,
    Step,
    Ticket,
)
from pgproto._pool._ledger import Phase
from pgproto._pool._opener import Opener
from pgproto._pool._queue import Queue
from pgproto._pool._status import Counters
from pgproto.errors import AuthenticationError, Error, PoolClosed, PoolTimeout
from tests.core.pool.world import FATAL, Machine, Person, Record, Turn, World

__all__ = ["Counterexample", "Menu", "all_goes_well", "explore"]

Event: TypeAlias = Callable[[World], None]

# --- Copies -----------------------------------------------------------------------------------------------
# `copy.deepcopy` would do as well, at thirty times the cost.

_SLOT_FIELDS = tuple(Slot.__slots__)
_TICKET_FIELDS = tuple(Ticket.__slots__)
_OPENER_FIELDS = tuple(Opener.__slots__)
_RECORD_FIELDS = tuple(field.name for field in fields(Record))
_STEP_FIELDS = {cls: tuple(f.name for f in fields(cls)) for cls in (Open, Check, Reset, RunHook, Close)}
_COUNTERS = Counters()


def fork(world: World) -> World:
    """An independent copy of a world between two events. What was merely counted stays behind."""
    old = world.machine
    machine: Machine = PoolMachine.__new__(PoolMachine)
    machine.__dict__.update(old.__dict__)
    records: dict[Slot[Record], Record] = {}
    steps: dict[Slot[Record], Step[Record]] = {}
    slots: dict[Slot[Record], Slot[Record]] = {}
    for slot, record in world.records.items():
        copy: Any = Slot.__new__(Slot)
        for name in _SLOT_FIELDS:
            setattr(copy, name, getattr(slot, name))
        slots[slot] = copy
        records[copy] = twin = _copy(record, Record, _RECORD_FIELDS)
        if copy.session is not None:
            copy.session = twin
        if slot in world.steps:
            step = world.steps[slot]
            steps[copy] = copy.step = _copy(step, type(step), _STEP_FIELDS[type(step)])
            object.__setattr__(copy.step, "slot", copy)

    tickets: dict[Turn, Turn] = {}
    for ticket in (*world.waiting, *world.holding, *world.warming):
        tickets[ticket] = turn = _copy(ticket, Ticket, _TICKET_FIELDS)
        if turn.slot is not None:
            turn.slot = slots[turn.slot]

    machine._slots = {slots[slot]: None for slot in old._slots}
    machine._idle = [slots[slot] for slot in old._idle]
    machine._ring = deque(slots[slot] for slot in old._ring)
    machine._leases = {tickets[ticket]: None for ticket in old._leases}
    machine._leaked = {tickets[ticket] for ticket in old._leaked}
    machine._warm_ups = [tickets[ticket] for ticket in old._warm_ups]
    machine._counts = list(old._counts)
    machine._opener = _copy(old._opener, Opener, _OPENER_FIELDS)
    machine._counters = _COUNTERS
    machine._actions = []
    queue: Queue[Record, Person] = Queue.__new__(Queue)
    order = OrderedDict((tickets[ticket], None) for ticket in old._waiting)
    object.__setattr__(queue, "order", order)
    queue._deadlines = [(d, n, tickets[t]) for d, n, t in old._queue._deadlines if t in tickets]
    queue._deadlines.sort(key=lambda entry: entry[:2])
    queue._serial = old._queue._serial
    machine._queue = queue
    machine._waiting = order
    return World(
        machine,
        now=world.now,
        wake=world.wake,
        waiting=[tickets[ticket] for ticket in world.waiting],
        holding={tickets[ticket]: slots[slot] for ticket, slot in world.holding.items()},
        warming=[tickets[ticket] for ticket in world.warming],
        steps=steps,
        records=records,
        closed=world.closed,
    )


def _copy(original: Any, cls: type, names: tuple[str, ...]) -> Any:
    copy = cls.__new__(cls)
    for name in names:
        object.__setattr__(copy, name, getattr(original, name))
    return copy


# --- Names for states ---------------------------------------------------------------------------------------


Name: TypeAlias = tuple[object, ...]


def describe(world: World) -> dict[Slot[Record], Name]:
    """All that matters about each slot; slots with the same description are interchangeable."""
    machine, now = world.machine, world.now

    def until(time: float) -> float:
        return time - now if time > now else -inf

    def name(slot: Slot[Record]) -> Name:
        record, step = world.records[slot], slot.step
        what: tuple[object, ...] = ()
        match step:
            case Close(graceful=graceful):
                what = ("close", graceful)
            case Reset(sql=sql):
                what = (sql,)
            case RunHook(hook=hook):
                what = (hook.value,)
            case None:
                pass
            case _:
                what = (type(step).__name__,)
        if slot.state is SlotState.CLOSING:
            still_polite = isinstance(step, RunHook) and not slot.broken
            return (slot.state.name, what, until(slot.step_deadline), still_polite)
        idle = slot.state is SlotState.IDLE
        leak = ()
        if machine._leak_after < inf:
            leak = tuple(
                (until(turn.leased_at + machine._leak_after), turn in machine._leaked)
                for turn, where in world.holding.items()
                if where is slot
            )
        return (
            slot.state.name,
            what,
            until(slot.step_deadline),
            slot.broken,
            slot.changed,
            slot.prepared,
            until(slot.expires_at),
            until(slot.renew_at),
            until(slot.idle_since + slot.idle_limit) if idle else None,
            until(slot.ready_until) if idle else None,
            slot.holders,
            slot.shared,
            slot.listed,
            slot.opened_at is not None,
            slot.generation == machine._generation,
            slot.state is SlotState.OPENING and slot.attempt == machine._opener.run,
            record.transaction,
            record.changed,
            bool(record.unfit),
            record.born - now if record.born is not None and now < slot.expires_at < inf else None,
            leak,
        )

    return {slot: name(slot) for slot in machine._slots}


def key(world: World, names: dict[Slot[Record], Name]) -> object:
    """The same for two states exactly if nothing that can happen tells them apart."""
    machine, now = world.machine, world.now

    def until(time: float) -> float:
        return time - now if time > now else -inf

    opener = machine._opener
    return (
        machine._phase.value,
        until(machine._close_by),
        machine._min_size,
        machine._max_size,
        tuple(names[slot] for slot in machine._idle),
        tuple(sorted((name for slot, name in names.items() if slot.state is not SlotState.IDLE), key=repr)),
        tuple(names[slot] for slot in machine._ring),
        tuple((turn.kind.value, until(turn.deadline)) for turn in world.waiting),
        tuple(until(turn.deadline) for turn in world.warming),
        (min(opener.failures, 1), until(opener.retry_at), opener.limit, opener.under_way),
        until(world.wake),
        world.wake <= now,
    )


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
        try:
            world.acquire(shared=shared)
        except (PoolClosed, PoolTimeout) as error:
            assert (world.machine._phase is not Phase.OPEN) == isinstance(error, PoolClosed)

    return event


def _finish(place: int, error: BaseException | None) -> Event:
    return lambda world: world.finish(list(world.steps)[place], error)


def _lose(place: int, report: Report) -> Event:
    return lambda world: world.lose(list(world.records)[place], report)


def _release(place: int, report: Report) -> Event:
    return lambda world: world.release(list(world.holding)[place], report)


def _put_back(place: int) -> Event:
    return lambda world: world.put_back(list(world.holding)[place])


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
    for _ in range(100):
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
