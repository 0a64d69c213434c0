"""Copies of worlds, and names for the states that they are in."""

from __future__ import annotations

from collections import OrderedDict, deque
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
from tests.core.pool.people import JOINED, Machine, Person, Record, Turn
from tests.core.pool.world import World

__all__ = ["Name", "describe", "fork", "key"]

# --- Copies -----------------------------------------------------------------------------------------------
# `copy.deepcopy` would do as well, at thirty times the cost.

_SLOT_FIELDS = tuple(Slot.__slots__)
_TICKET_FIELDS = tuple(Ticket.__slots__)
_OPENER_FIELDS = tuple(Opener.__slots__)
_RECORD_FIELDS = tuple(field.name for field in fields(Record))
_STEP_FIELDS: dict[object, tuple[str, ...]] = {
    cls: tuple(f.name for f in fields(cls)) for cls in (Open, Check, Reset, RunHook, Close)
}
_COUNTERS = Counters()


def fork(world: World) -> World:
    """An independent copy of a world between two events. What was merely counted stays behind."""
    old = world.machine
    machine: Machine = _blank(PoolMachine)  # unchecked: the world checks more than it could
    machine.__dict__.update(old.__dict__)
    records: dict[Slot[Record], Record] = {}
    steps: dict[Slot[Record], Step[Record]] = {}
    slots: dict[Slot[Record], Slot[Record]] = {}
    for slot, record in world.records.items():
        copy = _blank(Slot)
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
    machine._recent = None if old._recent is None else slots[old._recent]
    machine._leases = {tickets[ticket]: slots[slot] for ticket, slot in old._leases.items()}
    machine._leaked = {tickets[ticket] for ticket in old._leaked}
    machine._warm_ups = [tickets[ticket] for ticket in old._warm_ups]
    machine._counts = list(old._counts)
    machine._opener = _copy(old._opener, Opener, _OPENER_FIELDS)
    machine._counters = _COUNTERS
    machine.due, machine._taken = [], []
    queue: Queue[Record, Person] = Queue()
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


def _blank(cls: Any) -> Any:
    return cls.__new__(cls)


def _copy(original: Any, cls: Any, names: tuple[str, ...]) -> Any:
    copy = _blank(cls)
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
        leak: tuple[object, ...] = ()
        if machine._leak_after < inf:
            leak = tuple(
                (until(turn.leased_at + machine._leak_after), turn in machine._leaked)
                for turn, where in world.holding.items()
                if where is slot and turn.kind is TicketKind.EXCLUSIVE
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
            sum(where is slot and turn.note is JOINED for turn, where in world.holding.items()),
            slot.shared,
            slot is machine._recent,
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
