"""Copies of worlds, and names for the states that they are in.

Two worlds are in the same state if one becomes the other by giving other names to slots and callers, and by
moving the clock: then whatever can happen to one can happen to the other, and leads to the same state again.
A state's name says therefore all that the machine or the world ever look at, in terms of nothing but

- times as they are ahead of the clock. What is past is only past, as the machine compares times with the
  clock, and with nothing else.
- places: of each slot in the stack of idle ones and in the ring, of each caller in the queue and, where
  callers may be put back, of all callers by the time when they came.
- for each slot everything else about it, and about those who have it.

A slot's name holds its places, and nothing in it refers to another slot; so the state of all is the multiset
of these names, and no search for the least of all renamings is needed. Not in a name is what is merely
counted, logged or told to people; and the number of a slot, and with it the order of `_slots`, which is the
order of these numbers. That order does matter where several slots are due in one `tick`, and where `expire`
gives each its time: there the explorer tries all orders that there might be.

What can be computed from the rest, as the number of slots in each state, is left out as well, because
`World.check_accounts` sees to it after each event that it is what it must be. Pauses after failures to
connect are taken to be all of one length, and so are idle limits.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import fields
from math import inf
from typing import Any, TypeAlias

from pgproto._pool import (
    Check,
    Close,
    Open,
    PoolMachine,
    Reset,
    RunHook,
    Slot,
    SlotState,
    Step,
    Ticket,
    TicketKind,
)
from pgproto._pool._opener import Opener
from pgproto._pool._queue import Queue
from pgproto._pool._status import Counters
from tests.core.pool.people import JOINED, Machine, Record, Turn
from tests.core.pool.world import World

__all__ = ["MACHINE", "Name", "arrivals", "describe", "fork", "key", "key_by_name"]

MACHINE = frozenset(
    {
        # the same in all copies
        "_check_after", "_config", "_good", "_leak_after", "_multiplex", "_random", "_runs_after_release",
        "_runs_before_acquire", "_shedder", "reset_ahead",
        # in the names of states, or what `World.check_accounts` computes
        "_close_by", "_direct", "_generation", "_max_size", "_min_size", "_phase",
        "_wake",
        # so, and copied by `fork`
        "_counts", "_idle", "_leaked", "_leases", "_opener", "_queue", "_recent", "_ring", "_places",
        "_slots",
        "_waiting", "_warm_ups",
        # of no consequence
        "_counters", "_joiners", "_last_error", "_numbers", "_taken", "due",
    }
)  # fmt: skip
"""All that a machine consists of; whatever is added has to be copied, and be part of the names of states."""

# --- Copies -----------------------------------------------------------------------------------------------


def _copier(cls: Any, names: Iterable[str]) -> Callable[[Any], Any]:
    """A function that copies objects of the class; written out, as a loop takes three times as long."""
    lines = ["def copy(old):", "    new = make(cls)", *(f"    new.{name} = old.{name}" for name in names)]
    place: dict[str, Any] = {"make": cls.__new__, "cls": cls}
    exec("\n".join([*lines, "    return new"]), place)
    copy: Callable[[Any], Any] = place["copy"]
    return copy


_copy_slot = _copier(Slot, tuple(Slot.__slots__))
_copy_ticket = _copier(Ticket, tuple(Ticket.__slots__))
_copy_opener = _copier(Opener, tuple(Opener.__slots__))
_copy_record = _copier(Record, tuple(field.name for field in fields(Record)))
_copy_queue = _copier(Queue, tuple(Queue.__slots__))
_copy_world = _copier(World, tuple(field.name for field in fields(World)))
_copy_machine = _copier(PoolMachine, MACHINE - {"_joiners"})  # unchecked: the world checks more than it could
_COUNTERS = Counters()


def _copy_step(step: Step[Record], slot: Slot[Record]) -> Step[Record]:
    match step:
        case Open():
            return Open(slot)
        case Close():
            return Close(slot, step.graceful)
        case Check():
            return Check(slot)
        case Reset():
            return Reset(slot, step.sql, step.forgets_settings)
        case RunHook():
            return RunHook(slot, step.hook)


def fork(world: World) -> World:
    """An independent copy of a world between two events. What was merely counted stays behind."""
    new: World = _copy_world(world)
    machine: Machine = _copy_machine(world.machine)
    new.machine, new.refusals, new.leaks, new.log = machine, [], [], None
    slots = _fork_slots(world, new)
    tickets: dict[Turn, Turn] = {}
    for ticket in (*world.waiting, *world.holding, *world.warming):
        tickets[ticket] = turn = _copy_ticket(ticket)
        if turn.slot is not None:
            turn.slot = slots[turn.slot]
    new.waiting = [tickets[ticket] for ticket in world.waiting]
    new.holding = {tickets[ticket]: slots[slot] for ticket, slot in world.holding.items()}
    new.warming = [tickets[ticket] for ticket in world.warming]
    _fork_machine(machine, slots, tickets)
    return new


def _fork_slots(world: World, new: World) -> dict[Slot[Record], Slot[Record]]:
    slots: dict[Slot[Record], Slot[Record]] = {}
    new.records, new.steps = records, steps = {}, {}
    for slot, record in world.records.items():
        slots[slot] = copy = _copy_slot(slot)
        records[copy] = twin = _copy_record(record)
        if copy.session is not None:
            copy.session = twin
        if copy.step is not None:
            steps[copy] = copy.step = _copy_step(copy.step, copy)
    return slots


def _fork_machine(
    machine: Machine, slots: dict[Slot[Record], Slot[Record]], tickets: dict[Turn, Turn]
) -> None:
    machine._slots = dict.fromkeys([slots[slot] for slot in machine._slots])
    machine._idle = [slots[slot] for slot in machine._idle]
    machine._ring = deque([slots[slot] for slot in machine._ring])
    if machine._recent is not None:
        machine._recent = slots[machine._recent]
    machine._leases = {tickets[ticket]: slots[slot] for ticket, slot in machine._leases.items()}
    machine._leaked = {tickets[ticket] for ticket in machine._leaked} if machine._leaked else set()
    machine._warm_ups = [tickets[ticket] for ticket in machine._warm_ups]
    machine._counts = machine._counts.copy()
    machine._opener = _copy_opener(machine._opener)
    machine._counters = _COUNTERS
    machine.due, machine._taken = [], []
    old = machine._queue
    machine._queue = queue = _copy_queue(old)
    order = OrderedDict([(tickets[ticket], None) for ticket in old.order])
    machine._waiting = order
    object.__setattr__(queue, "order", order)
    if old._deadlines:
        queue._deadlines = [(d, n, tickets[t]) for d, n, t in old._deadlines if t in tickets]
        queue._deadlines.sort(key=_without_ticket)
    else:
        queue._deadlines = []


def _without_ticket(entry: tuple[float, int, Turn]) -> tuple[float, int]:
    return entry[:2]


# --- Names for states ---------------------------------------------------------------------------------------


Name: TypeAlias = tuple[object, ...]


def arrivals(world: World) -> dict[Turn, int]:
    """The callers in the order in which they came; who came at one time has one place."""
    turns = [turn for turn in (*world.waiting, *world.holding) if turn.note is not JOINED]
    moments = sorted({turn.asked_at for turn in turns})
    return {turn: moments.index(turn.asked_at) for turn in turns}


def describe(
    world: World, order: dict[Turn, int] | None = None, *, tells_joined: bool = True
) -> dict[Slot[Record], Name]:
    """All that matters about each slot; slots with the same description are interchangeable.

    `order` is that of `arrivals`, if it matters: if callers may be put back. With `tells_joined`, requests
    that joined are told from those that have a ticket.
    """
    machine, now = world.machine, world.now
    idle, ring = machine._idle, machine._ring
    holders: dict[Slot[Record], list[Name]] = {}
    for turn, slot in world.holding.items():
        joined = tells_joined and turn.note is JOINED
        holders.setdefault(slot, []).append(_describe_holder(machine, turn, now, order, joined=joined))

    def until(time: float) -> float:
        return time - now if time > now else -inf

    def name(slot: Slot[Record]) -> Name:
        state, step, expires_at = slot.state, slot.step, slot.expires_at
        place = ring.index(slot) if slot in ring else None
        what: object = None
        if step is not None:
            what = type(step)
            match step:
                case Close():
                    what = step.graceful
                case Reset():
                    what = step.sql, step.forgets_settings
                case RunHook():
                    what = step.hook.value
                case _:
                    pass
        if state is SlotState.CLOSING:  # it is not lent again, whatever else there is to say of it
            in_hook = isinstance(step, RunHook)
            return (
                state,
                what,
                until(slot.step_deadline),
                expires_at - now if now < expires_at < inf else None,  # the timer is set for it all the same
                (slot.broken, slot.generation == machine._generation) if in_hook else None,
                place,
            )
        record = world.records[slot]
        is_idle = state is SlotState.IDLE
        return (
            state,
            what,
            until(slot.step_deadline),
            slot.broken,
            slot.changed,
            slot.prepared,
            until(expires_at) if expires_at > now or expires_at == -inf else 0.0,
            until(slot.renew_at),
            until(slot.idle_since + slot.idle_limit) if is_idle else None,
            until(slot.ready_until) if is_idle else machine._runs_before_acquire and slot.has_rested,
            idle.index(slot) if is_idle else None,
            place,
            slot.holders,
            tuple(sorted(holders.get(slot, ()))),
            slot.shared,
            machine._places if slot is machine._recent else None,
            slot.opened_at is not None,
            slot.generation == machine._generation,
            state is SlotState.OPENING and slot.attempt == machine._opener.run,
            record.transaction,
            record.changed,
            bool(record.unfit),
            record.exclusive if record.lent_to else None,
            now - record.born if record.born is not None and now < expires_at < inf else None,
        )

    return {slot: name(slot) for slot in machine._slots}


def _describe_holder(
    machine: Machine, turn: Turn, now: float, order: dict[Turn, int] | None, *, joined: bool
) -> Name:
    if joined:
        return (False,)
    exclusive = turn.kind is TicketKind.EXCLUSIVE
    leak: Name = ()
    if machine._leak_after < inf and exclusive:
        due = turn.leased_at + machine._leak_after
        leak = (turn in machine._leaked, max(due - now, 0.0))
    if order is None:
        return (True, exclusive, *leak)
    return (True, exclusive, *leak, order[turn], max(turn.deadline - now, 0.0))


def key(world: World, names: dict[Slot[Record], Name], order: dict[Turn, int] | None = None) -> int:
    """The same for two states exactly if nothing that can happen tells them apart.

    Exactly, but for a chance of one in a million millions that two names out of a million have one hash.
    """
    return hash((tuple(sorted([hash(name) for name in names.values()])), *_rest(world, order)))


def key_by_name(world: World, names: dict[Slot[Record], Name], order: dict[Turn, int] | None = None) -> int:
    """As `key`, but slots that are interchangeable are not interchanged, nor are callers."""
    numbers = {slot: number for number, slot in enumerate(world.machine._slots)}
    holders = [
        (numbers[slot], *_describe_holder(world.machine, turn, world.now, order, joined=turn.note is JOINED))
        for turn, slot in world.holding.items()
    ]
    return hash((tuple(names.values()), tuple(holders), *_rest(world, order)))


def _rest(world: World, order: dict[Turn, int] | None) -> Name:
    machine, now = world.machine, world.now
    opener = machine._opener

    def until(time: float) -> float:
        return time - now if time > now else -inf

    return (
        machine._phase.value,
        until(machine._close_by),
        machine._min_size,
        machine._max_size,
        machine._direct,
        tuple(
            [
                (turn.kind is TicketKind.SHARED, until(turn.deadline), order is not None and order[turn])
                for turn in world.waiting
            ]
        ),
        tuple([until(turn.deadline) for turn in world.warming]),
        opener.failures > 0,
        until(opener.retry_at),
        opener.limit,
        opener.under_way,
        until(world.wake),
        world.wake <= now,
        until(machine._wake),
        machine._wake <= now,
    )
