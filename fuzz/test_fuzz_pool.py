"""Pools of all kinds, used by many, for a long time, while the world does its worst."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from math import inf

import pytest

from pgproto._pool import LOST, Close, Hook, Open, PoolConfig, Report, SlotState
from pgproto.errors import AuthenticationError, LocalProtocolError, PoolClosed, PoolTimeout, QueryTimeout
from tests.core.pool.explorer import all_goes_well
from tests.core.pool.people import FATAL, Turn
from tests.core.pool.world import World

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
RUNS = 100_000 if LONG else 5_000
STEPS = 200

REPORTS = (Report("T"), Report("E"), Report(changed=True), Report(busy=True), LOST, FATAL,
           Report(error=QueryTimeout("late")))  # fmt: skip
FAILURES = (OSError("refused"), AuthenticationError("no"))


def some_config(chance: random.Random) -> PoolConfig:
    def seconds() -> float | None:
        return chance.choice([None, 0.3, 1.0, 5.0, 30.0, 300.0])

    max_size = chance.choice([1, 2, 3, 5, 10])
    return PoolConfig(
        max_size=max_size,
        min_size=chance.choice([0, 0, 1, max_size]),
        acquire_timeout=seconds(),
        max_waiting=chance.choice([None, None, 3]),
        max_lifetime=seconds(),
        max_idle=seconds(),
        connect_timeout=seconds(),
        multiplex=chance.choice([1, 1, 2, 8]),
        recycle=chance.choice(["fast", "fast", "verified", "clean"]),
        leak_after=seconds(),
        hooks=frozenset(hook for hook in Hook if chance.random() < 0.2),
        check_after=seconds(),
        max_connecting=chance.choice([1, 2, 16]),
        shed_target=chance.choice([None, None, 0.2]),
    )


class Ramble:
    """One pool's life. Everything that happens is drawn from `chance`."""

    def __init__(self, chance: random.Random, happened: Counter[str]) -> None:
        self.chance = chance
        self.happened = happened
        self.world = World.make(some_config(chance), chance.random)
        self.ended: list[Turn] = []

    def run(self) -> None:
        events: list[Callable[[], None]] = [
            self.acquire, self.release, self.step, self.time_passes, self.bad_release, self.give_up,
            self.step_fails, self.lose, self.put_back, self.misuse, self.upheaval,
        ]  # fmt: skip
        weights = (30, 22, 35, 12, 2, 4, self.chance.choice([0, 1, 10]), 1, 1, 1, 0.5)
        self.world.open()
        for event in self.chance.choices(events, weights, k=STEPS):
            event()
            self.world.check()
            self.happened[event.__name__] += 1
            self.happened["lent"] += bool(self.world.holding)
            self.happened["queued"] += bool(self.world.waiting)
            self.happened["shared"] += len(set(self.world.holding.values())) < len(self.world.holding)
        all_goes_well(self.world)

    def acquire(self) -> None:
        timeout = self.chance.choice([None, None, None, 0.0, 1.0, inf])
        with contextlib.suppress(PoolTimeout):
            self.world.acquire(shared=self.chance.random() < 0.5, timeout=timeout)

    def holder(self) -> Turn | None:
        return self.chance.choice(list(self.world.holding)) if self.world.holding else None

    def release(self) -> None:
        if turn := self.holder():
            self.world.release(turn)
            self.ended.append(turn)

    def bad_release(self) -> None:
        if turn := self.holder():
            self.world.release(turn, self.chance.choice(REPORTS))
            self.ended.append(turn)

    def give_up(self) -> None:
        candidates = [*self.world.waiting, *self.world.holding]
        if candidates:
            self.world.abandon(self.chance.choice(candidates))

    def put_back(self) -> None:
        if turn := self.holder():
            self.world.put_back(turn)

    def misuse(self) -> None:
        if self.ended:
            turn = self.chance.choice(self.ended)
            try:
                self.world.machine.release(turn, self.world.now)
            except LocalProtocolError:
                return
            raise AssertionError("a session was returned twice")

    def step(self) -> None:
        if self.world.steps:
            self.world.finish(self.chance.choice(list(self.world.steps)))

    def step_fails(self) -> None:
        fallible = [slot for slot, step in self.world.steps.items() if not isinstance(step, Close)]
        if fallible:
            slot = self.chance.choice(fallible)
            failures = FAILURES if isinstance(self.world.steps[slot], Open) else FAILURES[:1]
            self.world.finish(slot, self.chance.choice(failures))

    def lose(self) -> None:
        present = [slot for slot in self.world.records if slot.state is not SlotState.CLOSING]
        if present:
            self.world.lose(self.chance.choice(present), self.chance.choice([LOST, FATAL]))

    def time_passes(self) -> None:
        if self.chance.random() < 0.5 and self.world.wake < inf:
            self.world.pass_time(max(0.0, self.world.wake - self.world.now))
        else:
            self.world.pass_time(self.chance.expovariate(2.0), late=self.chance.random() < 0.2)

    def upheaval(self) -> None:
        world, machine = self.world, self.world.machine
        match self.chance.randrange(4):
            case 0:
                smallest = self.chance.randrange(4)
                machine.resize(world.now, smallest, smallest + self.chance.randrange(1, 6))
            case 1:
                world.retire_all()
                machine.drain(world.now)
            case 2:
                machine.expire(world.now, self.chance.choice([0.0, 3.0]))
            case _:
                with contextlib.suppress(PoolClosed):
                    world.open()
        world.settle()


@pytest.mark.timeout(0 if LONG else 900)
def test_pools_keep_their_promises() -> None:
    seed = int(os.environ.get("PGPROTO_SEED") or (time.time_ns() if LONG else 1))
    happened: Counter[str] = Counter()
    for run in range(RUNS):
        try:
            Ramble(random.Random(seed + run), happened).run()
        except Exception as error:
            raise AssertionError(f"{error!r} with PGPROTO_SEED={seed + run}") from error
    print(f"PGPROTO_SEED={seed}", dict(happened))
    assert happened["lent"] > RUNS * STEPS // 4
    assert happened["queued"] > RUNS * STEPS // 4
    assert happened["shared"] > RUNS * STEPS // 20
