"""A pool tells what it is like, in numbers that fit together."""

from __future__ import annotations

import dataclasses
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._pool import PoolConfig, PoolStatus, Report, SessionStatus
from pgproto._pool._status import Counters, bucket
from tests.core.pool.helpers import make, pool_with, served


def test_a_new_pool() -> None:
    status = make(PoolConfig(min_size=1, max_size=5)).machine.status(0.0)
    assert (status.size, status.opening, status.min_size, status.max_size) == (1, 1, 1, 5)
    assert (status.idle, status.in_use, status.waiting, status.holders) == (0, 0, 0, 0)
    assert (status.closed, status.last_error, status.retry_in, status.generation) == (False, None, 0.0, 0)


def test_a_busy_pool() -> None:
    world = pool_with(4, PoolConfig(max_size=5, multiplex=2, check_after=5.0))
    world.acquire()
    world.pass_time(3.0)
    world.acquire()
    world.release(world.acquire(), Report("T"))
    world.release(world.acquire(), Report(closed=True))
    world.pass_time(1.0)
    world.acquire()
    status = world.machine.status(world.now)
    assert (status.size, status.idle, status.in_use) == (5, 0, 2)
    assert (status.opening, status.resetting, status.closing, status.waiting) == (1, 1, 1, 1)
    assert status.longest_held == 4.0


def test_counters() -> None:
    world = pool_with(1, PoolConfig(max_size=1))
    before = world.machine.status(world.now)
    assert (before.requests_num, before.requests_queued, before.returns_num) == (1, 1, 1)
    first = world.acquire()
    second = world.acquire()
    world.pass_time(0.5)
    world.release(first)
    world.pass_time(0.25)
    world.release(second, Report(closed=True))
    status = world.machine.status(world.now)
    assert (status.requests_num, status.requests_queued, status.requests_wait_ms) == (3, 2, 500)
    assert (status.returns_num, status.returns_bad, status.usage_ms) == (3, 1, 750)
    assert status.usage_histogram[8:10] == (1, 1)  # below 256 and below 512 ms
    assert sum(status.usage_histogram) == 3
    assert status.wait_histogram[0] == 2  # one waited for the connection, which took no time here
    assert status.wait_histogram[9] == 1
    assert sum(status.wait_histogram) == 3


@given(st.lists(st.floats(0.0, 100.0) | st.sampled_from([0.001, 0.002, 0.004, 1.024]), max_size=600))
def test_durations_are_counted_all_at_once(durations: list[float]) -> None:
    """As they would be one by one."""
    counters, histogram = Counters(), Counters().usage_histogram
    for duration in durations:
        histogram[bucket(duration)] += 1
    counters.usage_uncounted += durations
    counters.count_usage()
    counters.count_usage()
    assert counters.usage_histogram == histogram
    assert counters.usage_s == pytest.approx(sum(durations))


def test_not_many_durations_wait_to_be_counted() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=2))
    world.acquire(shared=True)
    before = world.machine.status(world.now).returns_num
    for _ in range(1000):
        world.release(world.acquire(shared=True))
        assert len(world.machine._counters.usage_uncounted) < 300
    assert world.machine.status(world.now).returns_num - before == 1000


def test_the_time_it_took_to_connect() -> None:
    world = make()
    turn = world.acquire()
    world.pass_time(0.25)
    world.finish(next(iter(world.steps)))
    status = world.machine.status(world.now)
    assert (status.connections_num, status.connections_ms, status.connections_errors) == (1, 250, 0)
    assert served(turn)


def test_a_server_that_is_away() -> None:
    world = make(PoolConfig(first_delay=2.0, longest_delay=2.0))
    world.acquire()
    world.finish(next(iter(world.steps)), OSError(111, "Connection refused"))
    status = world.machine.status(world.now)
    assert status.retry_in == pytest.approx(1.5)
    assert status.last_error == "ConnectionRefusedError: [Errno 111] Connection refused"
    assert (status.size, status.connections_errors) == (0, 1)


def test_each_session() -> None:
    world = pool_with(2)
    world.pass_time(1.0)
    world.release(world.acquire())
    world.pass_time(1.0)
    world.acquire()
    assert world.machine.sessions(world.now) == [
        SessionStatus(number=1, state="idle", generation=0, age=2.0, uses=1, unused=2.0, holders=0),
        SessionStatus(number=2, state="leased", generation=0, age=2.0, uses=3, unused=1.0, holders=1),
    ]


def test_a_session_that_is_being_opened() -> None:
    world = make()
    world.acquire()
    assert world.machine.sessions(world.now) == [
        SessionStatus(number=1, state="opening", generation=0, age=None, uses=0, unused=None, holders=0)
    ]


def test_when_something_will_be_due() -> None:
    world = make(PoolConfig(acquire_timeout=5.0))
    assert world.machine.wake_at == inf
    world.acquire()
    assert world.machine.wake_at == 5.0
    world.pass_time(5.0)
    assert world.machine.wake_at > 5.0


def test_the_numbers_have_names_that_monitoring_knows() -> None:
    names = {field.name for field in dataclasses.fields(PoolStatus)}
    assert names >= {
        "requests_num",
        "requests_queued",
        "requests_wait_ms",
        "requests_errors",
        "usage_ms",
        "returns_bad",
        "connections_num",
        "connections_ms",
        "connections_errors",
        "connections_lost",
    }
