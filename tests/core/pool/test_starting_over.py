"""Interrupted at any of its lines, the machine starts over: nobody sleeps for ever, and no slot is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from pgproto import ConnectionLost
from pgproto._pool import Check, Hook, PoolConfig, Refuse, Report
from tests.core.pool.explorer import all_goes_well
from tests.core.pool.helpers import make, pool_with, served
from tests.core.pool.interrupted import interrupt, start_over
from tests.core.pool.people import FATAL, Turn
from tests.core.pool.world import World

__all__: list[str] = []

Act: TypeAlias = Callable[[], object]
PLAIN = PoolConfig(max_size=2, jitter=0.0, check_after=60.0, multiplex=2, leak_after=300.0)
HOOKED = PoolConfig(max_size=2, jitter=0.0, hooks=frozenset(Hook), min_size=1)


def acquire() -> tuple[World, Act]:
    world = pool_with(1, PLAIN)
    return world, world.acquire


def acquire_of_none() -> tuple[World, Act]:
    world = make(PLAIN)
    return world, world.acquire


def acquire_and_wait() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    for _ in range(3):
        world.acquire()
    return world, world.acquire


def acquire_after_a_check() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    world.pass_time(100)
    return world, world.acquire


def hand_over() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(4)]
    return world, lambda: world.release(turns[0])


def release_what_is_dirty() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(4)]
    return world, lambda: world.release(turns[0], Report("T", changed=True))


def release_what_is_dead() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(4)]
    return world, lambda: world.release(turns[0], FATAL)


def put_back() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(3)]
    return world, lambda: world.put_back(turns[0])


def give_up() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(4)]
    return world, lambda: world.abandon(turns[2])


def give_up_what_was_granted() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(4)]
    return world, lambda: world.abandon(turns[0])


def crowd(others: int) -> tuple[World, list[Turn]]:
    world = pool_with(2, PLAIN)
    return world, [world.acquire(shared=True) for _ in range(others)]


def join() -> tuple[World, Act]:
    world, _ = crowd(0)
    return world, lambda: world.acquire(shared=True)


def join_others() -> tuple[World, Act]:
    world, _ = crowd(2)
    return world, lambda: world.acquire(shared=True)


def wait_where_others_share() -> tuple[World, Act]:
    world, _ = crowd(4)
    return world, lambda: world.acquire(shared=True)


def leave() -> tuple[World, Act]:
    world, turns = crowd(1)
    return world, lambda: world.release(turns[0])


def leave_others() -> tuple[World, Act]:
    world, turns = crowd(5)
    return world, lambda: world.release(turns[0], Report("T"))


def reject() -> tuple[World, Act]:
    world, turns = crowd(3)
    return world, lambda: world.put_back(turns[0])


def hooked_acquire() -> tuple[World, Act]:
    world = make(HOOKED)
    turn = world.acquire()

    def act() -> None:
        world.acquire()
        world.run()
        assert served(turn)

    return world, act


def hooked_release() -> tuple[World, Act]:
    world = make(HOOKED)
    turns = [world.acquire() for _ in range(2)]
    world.run()

    def act() -> None:
        world.release(turns[0])
        world.run()

    return world, act


def connecting_fails() -> tuple[World, Act]:
    world = make(PLAIN)
    world.acquire()

    def act() -> None:
        world.finish(next(iter(world.steps)), OSError("refused"))
        world.pass_time(1)
        world.run()

    return world, act


def a_check_fails() -> tuple[World, Act]:
    world, ask = acquire_after_a_check()
    ask()

    def act() -> None:
        for slot, step in list(world.steps.items()):
            world.finish(slot, OSError("gone") if isinstance(step, Check) else None)

    return world, act


def time_passes() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    world.acquire()
    world.acquire()
    world.acquire()
    return world, lambda: world.pass_time(400)


def open_it() -> tuple[World, Act]:
    world = World.make(HOOKED)
    return world, world.open


def drain() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    world.acquire()

    def act() -> None:
        world.retire_all()
        world.machine.drain(world.now)
        world.settle()
        world.run()

    return world, act


def resize() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)

    def act() -> None:
        world.machine.resize(world.now, 1, 1)
        world.settle()
        world.run()

    return world, act


def expire() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)

    def act() -> None:
        world.wake = float("inf")
        world.machine.expire(world.now, 0.0)
        world.settle()
        world.run()

    return world, act


def close() -> tuple[World, Act]:
    world = pool_with(2, PLAIN)
    turns = [world.acquire() for _ in range(4)]
    world.acquire(shared=True)

    def act() -> None:
        world.machine.close(world.now, 5.0)
        world.settle()
        world.release(turns[0])
        world.run()
        world.pass_time(6)
        world.run()

    return world, act


SCENES = [
    acquire,
    acquire_of_none,
    acquire_and_wait,
    acquire_after_a_check,
    hand_over,
    release_what_is_dirty,
    release_what_is_dead,
    put_back,
    give_up,
    give_up_what_was_granted,
    join,
    join_others,
    wait_where_others_share,
    leave,
    leave_others,
    reject,
    hooked_acquire,
    hooked_release,
    connecting_fails,
    a_check_fails,
    time_passes,
    open_it,
    drain,
    resize,
    expire,
    close,
]


def serves_all_again(world: World) -> None:
    """As many as there can be have a session at a time, and then the pool closes."""
    if not world.closed:
        world.open()
        turns = [world.acquire() for _ in range(world.machine._max_size + 1)]
        for _ in turns:
            world.run()
            world.pass_time(2)  # there may be a pause after a failure
        world.run()
        assert [served(turn) for turn in turns] == [True] * (len(turns) - 1) + [False]
        world.check()
    all_goes_well(world)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_interrupted_at_every_line(scene: Callable[[], tuple[World, Act]]) -> None:
    number = 0
    while True:
        number += 1
        world, act = scene()
        where = interrupt(act, number)
        if not where:
            break
        try:
            start_over(world)
            world.check()
            if world.machine.status(world.now).closed:
                world.machine.close(world.now)
                world.settle()
                world.run()
                assert world.closed
            else:
                serves_all_again(world)
        except BaseException as error:
            error.add_note(f"interrupted at line {number}, {where}")
            raise
    assert number > 10


def test_what_those_hear_who_wait_or_have_a_session() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    holder, waiter = world.acquire(), world.acquire()
    world.machine.start_over(world.now)
    refusals = {each.ticket: each for each in world.machine.actions() if isinstance(each, Refuse)}
    refusal = refusals[waiter]
    assert holder not in refusals
    assert isinstance(refusal.error, ConnectionLost)
    assert refusal.error.outcome == "not_sent"
    with pytest.raises(ConnectionLost, match="interrupted"):
        holder.session  # noqa: B018
    world.machine.release(holder, world.now)
    world.machine.abandon(waiter, world.now)
    status = world.machine.status(world.now)
    assert (status.in_use, status.waiting, status.closing, status.requests_errors) == (0, 0, 1, 1)


def test_the_pauses_between_attempts_remain() -> None:
    world = make(PoolConfig(max_size=3, first_delay=1.0))
    world.acquire()
    world.finish(next(iter(world.steps)), OSError("refused"))
    start_over(world)
    world.acquire()
    assert not world.steps, "a server that cannot be reached is stormed"
    world.pass_time(1)
    assert len(world.steps) == 1
