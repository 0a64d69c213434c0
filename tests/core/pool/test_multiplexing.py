"""One-shot requests may share a session; leases may not."""

from __future__ import annotations

from pgproto._pool import LOST, Hook, PoolConfig, Report, SlotState
from tests.core.pool.helpers import hooks, make, opening, pool_with, resets, served, slot_of, states
from tests.core.pool.people import Turn


def test_requests_share_only_when_no_session_is_free() -> None:
    world = pool_with(2, PoolConfig(max_size=2, multiplex=3))
    turns = [world.acquire(shared=True) for _ in range(2)]
    assert turns[0].slot is not turns[1].slot
    third = world.acquire(shared=True)
    assert third.slot in (turns[0].slot, turns[1].slot)
    world.check()


def test_each_session_gets_as_many_as_the_others() -> None:
    world = pool_with(4, PoolConfig(max_size=4, multiplex=8))
    for count in (22, 26, 3):
        turns = [world.acquire(shared=True) for _ in range(count)]
        fair = divmod(count, 4)
        assert sorted(slot.holders for slot in world.records) == sorted(
            fair[0] + (place < fair[1]) for place in range(4)
        )
        for turn in turns:
            world.release(turn)
        world.check()


def test_the_next_comes_where_one_has_just_left() -> None:
    world = pool_with(3, PoolConfig(max_size=3, multiplex=8))
    turns = [world.acquire(shared=True) for _ in range(9)]
    for turn in (turns[4], turns[0], turns[8]):
        slot = slot_of(turn)
        world.release(turn)
        assert world.acquire(shared=True).slot is slot


def test_sessions_stay_even_when_some_have_left() -> None:
    world = pool_with(2, PoolConfig(max_size=2, multiplex=8))
    turns = [world.acquire(shared=True) for _ in range(4)]
    for turn in turns[:2]:
        world.release(turn)
        for _ in range(4):
            world.acquire(shared=True)
            few, many = sorted(slot.holders for slot in world.records)
            assert many - few <= 2  # one more where somebody has left, and one whose turn it is
    assert sorted(slot.holders for slot in world.records) == [5, 5]


def test_a_crowded_session_is_left_alone_where_another_has_more_room() -> None:
    world = pool_with(2, PoolConfig(max_size=2, multiplex=8))
    turns = [world.acquire(shared=True) for _ in range(9)]
    crowded = max(world.records, key=lambda slot: slot.holders)
    staying = [turn for turn in turns if slot_of(turn) is crowded]
    for turn in [turn for turn in turns if turn not in staying][:3]:
        world.release(turn)
    world.release(staying[0])
    assert world.acquire(shared=True).slot is not crowded


def test_a_session_that_nobody_has_comes_before_one_that_was_left() -> None:
    world = pool_with(2, PoolConfig(max_size=2, multiplex=8))
    turns = [world.acquire(shared=True) for _ in range(4)]
    for turn in (turns[1], turns[3], turns[0]):
        world.release(turn)
    assert world.acquire(shared=True).slot is not slot_of(turns[2])


def test_a_place_that_was_left_is_no_reason_to_open_no_more_sessions() -> None:
    world = pool_with(1, PoolConfig(max_size=2, multiplex=8))
    turns = [world.acquire(shared=True) for _ in range(4)]
    world.finish(next(iter(world.steps)), OSError("refused"))
    assert opening(world) == 0
    world.now += 3600.0  # the timer is late
    world.release(turns[0])
    world.acquire(shared=True)
    assert opening(world) == 1


def test_a_place_that_was_left_is_not_taken_when_the_session_is_too_old() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8, max_lifetime=10.0))
    turns = [world.acquire(shared=True) for _ in range(4)]
    world.release(turns[0])
    world.now += 10.0  # the timer is late
    assert world.machine.join(world.now) is None


def test_one_who_leaves_makes_room_for_one() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=3))
    turns = [world.acquire(shared=True) for _ in range(3)]
    world.release(turns[1])
    assert [served(world.acquire(shared=True)) for _ in range(2)] == [True, False]


def test_no_more_share_than_may() -> None:
    world = pool_with(2, PoolConfig(max_size=2, multiplex=2))
    turns = [world.acquire(shared=True) for _ in range(5)]
    assert [served(turn) for turn in turns] == [True] * 4 + [False]
    world.release(turns[2])
    assert served(turns[4])
    status = world.machine.status(world.now)
    assert (status.in_use, status.holders) == (2, 4)


def test_one_means_that_nobody_shares() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=1))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    assert not served(second)
    world.release(first)
    assert served(second)


def test_nobody_joins_a_lease() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    world.acquire()
    assert world.acquire(shared=True).slot is None


def test_a_lease_waits_until_all_who_share_are_done() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=2))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    lease = world.acquire()
    world.release(first)
    assert not served(lease)
    world.release(second)
    assert served(lease)


def test_requests_do_not_overtake_a_lease_that_waits() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    first = world.acquire(shared=True)
    lease, second = world.acquire(), world.acquire(shared=True)
    assert not served(second)  # there is room, but it was not here first
    world.release(first)
    assert served(lease)
    world.release(lease)
    assert served(second)


def test_when_the_lease_gives_up_those_behind_it_join() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    world.acquire(shared=True)
    lease = world.acquire()
    requests = [world.acquire(shared=True) for _ in range(3)]
    world.abandon(lease)
    assert all(served(turn) for turn in requests)


def test_when_the_lease_times_out_those_behind_it_join() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    world.acquire(shared=True)
    world.acquire(timeout=1.0)
    request = world.acquire(shared=True)
    world.pass_time(1.0)
    assert served(request)


def test_several_who_wait_join_one_session() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=3))
    lease = world.acquire()
    requests = [world.acquire(shared=True) for _ in range(4)]
    world.release(lease)
    assert [served(turn) for turn in requests] == [True, True, True, False]


def test_a_crowded_pool_grows_by_one_at_a_time() -> None:
    world = pool_with(1, PoolConfig(max_size=4, multiplex=8))
    world.acquire(shared=True)
    assert opening(world) == 0
    world.acquire(shared=True)
    world.acquire(shared=True)
    assert opening(world) == 1
    world.run()
    assert SlotState.IDLE in states(world)
    assert opening(world) == 0


def test_a_request_that_leaves_a_transaction_open_costs_the_session() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    world.release(first, Report("T"))
    third = world.acquire(shared=True)
    assert not served(third)
    world.release(second)
    assert states(world) == [SlotState.CLOSING]
    world.run()
    assert served(third)


def test_requests_of_others_do_not_count_as_outstanding() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    world.release(first, Report(busy=True))
    world.release(second)
    assert states(world) == [SlotState.IDLE]


def test_what_one_request_left_behind_is_reset_when_all_are_done() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    world.release(first, Report(changed=True))
    third = world.acquire(shared=True)
    assert not served(third)  # it would find another's settings
    world.release(second)
    assert [reset.forgets_settings for reset in resets(world)] == [True]
    world.run()
    assert served(third)
    world.release(third)
    assert states(world) == [SlotState.IDLE]


def test_a_lost_session_is_not_joined() -> None:
    world = pool_with(1, PoolConfig(max_size=2, multiplex=8))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    assert served(first)
    world.lose(slot_of(first), LOST)
    third = world.acquire(shared=True)
    assert not served(third)
    again = world.put_back(first)
    assert states(world).count(SlotState.LEASED) == 1
    world.put_back(second)
    world.run()
    assert again
    assert slot_of(again).number > 1
    assert served(third)


def test_an_old_session_is_not_joined() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=8, max_lifetime=10.0, jitter=0.0))
    world.acquire(shared=True)
    world.pass_time(10.0)
    assert world.acquire(shared=True).slot is None


def test_hooks_run_for_the_first_and_after_the_last_who_share() -> None:
    config = PoolConfig(max_size=1, multiplex=2, hooks=frozenset({Hook.BEFORE_ACQUIRE, Hook.AFTER_RELEASE}))
    world = make(config)
    turns = [world.acquire(shared=True), world.acquire(shared=True)]
    world.run()
    assert all(served(turn) for turn in turns)
    for turn in turns:
        world.release(turn)
    world.run()
    assert hooks(world) == [Hook.BEFORE_ACQUIRE, Hook.AFTER_RELEASE]


def test_sessions_that_closed_are_not_remembered_for_sharing() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=2))
    for _ in range(5):
        world.release(world.acquire(shared=True), LOST)
        world.run()
        world.acquire(shared=True)
        world.run()
        world.release(next(iter(world.holding)))
    assert len(world.machine._ring) <= 1


def test_a_session_that_was_full_is_found_again() -> None:
    """Somebody who gave up found it full, so it was out of sight."""
    world = pool_with(1, PoolConfig(max_size=1, multiplex=2))
    first, _ = world.acquire(shared=True), world.acquire(shared=True)
    in_vain = world.acquire(shared=True)
    world.abandon(in_vain)
    world.release(first)
    third = world.acquire(shared=True)
    assert third.slot is not None
    assert third.slot.holders == 2


def test_a_session_that_was_full_is_found_again_by_who_only_looked_before() -> None:
    """Threads look first and ask later; in between another may leave."""
    world = pool_with(1, PoolConfig(max_size=1, multiplex=2))
    first, second = world.acquire(shared=True), world.acquire(shared=True)
    world.release(first)
    world.acquire(shared=True)
    assert world.machine.join(world.now) is None
    world.release(second)
    late = world.machine.acquire(world.now, shared=True)
    assert late.slot is not None


def test_how_long_those_who_share_have_had_their_session() -> None:
    world = pool_with(1, PoolConfig(max_size=1, multiplex=3))
    before = world.machine.status(world.now).returns_num
    turns: list[Turn] = []
    for _ in range(3):
        turns.append(world.acquire(shared=True))
        world.pass_time(1.0)
    assert world.machine.status(world.now).longest_held == 3.0
    world.release(turns[0])
    # The first has gone; of the others, nobody has had it for longer than the first had.
    assert world.machine.status(world.now).longest_held == 3.0
    world.release(turns[1])
    status = world.machine.status(world.now)
    assert status.longest_held == 2.0
    assert (status.usage_ms, status.returns_num - before) == (5000, 2)
    world.release(turns[2])
    assert world.machine.status(world.now).usage_ms == 6000
