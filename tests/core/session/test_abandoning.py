"""Owners that go away, at any step: they get nothing more, and everybody else gets exactly their own."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from pgproto import ConnectionLost, QueryCanceled, QueryTimeout
from pgproto import messages as m
from pgproto._session import Request
from pgproto._session._fence import CancelFence
from pgproto.testing import FakeServer, FakeSession
from tests.core.session.steps import SLOW, Steps, answer, given_result
from tests.core.session.support import Joined, outcome

__all__: list[str] = []

KINDS = ["known", "unknown", "rows", "simple", "batch", "pipeline", "prepare", "ping", "slow"]


def with_session(**options: Any) -> tuple[Joined, FakeSession]:
    """A client, and the server's side of its session."""
    joined = Joined(FakeServer(answer)(), **options)
    assert isinstance(joined.peer, FakeSession)
    return joined, joined.peer


def given_up(joined: Joined) -> Request[Any]:
    """A slow request that is under way, and whose owner has gone."""
    slow = joined.submit(joined.core.fetchval("slow 1", (), 0, None))
    joined.settle()
    joined.machine.abandon(slow)
    return slow


def _play(kinds: list[str], victim: int, step: int) -> bool:
    """Have the owner of one request go away at this step; False if it was all over before."""
    steps = Steps(known=True)
    asked = [steps.submit(kind, 100 * (n + 1)) for n, kind in enumerate(kinds)]
    gone = asked[victim][0]
    reached = False
    told = 0
    for number, _ in enumerate(steps):
        if number == step:
            reached = True
            told = steps.joined.stirred.count(gone)
            steps.joined.machine.abandon(gone)
    assert steps.joined.machine.failure is None
    assert steps.joined.machine.is_idle
    for request, expected in asked:
        if request is gone and reached:
            # Whoever is gone is not told any more.
            assert steps.joined.stirred.count(gone) == told
            continue
        result = given_result(request)
        if kinds[asked.index((request, expected))] == "prepare":
            assert isinstance(result, str)
        else:
            assert result == expected
    assert steps.joined.fetchval("echo $1", 7) == 7
    assert steps.session.status == "I"
    return reached


@pytest.mark.parametrize("kind", KINDS)
def test_alone(kind: str) -> None:
    step = 0
    while _play([kind], 0, step):
        step += 1
    assert step > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_in_company(kind: str, victim: int) -> None:
    kinds = ["known", "unknown", "simple"]
    kinds[victim] = kind
    step = 0
    while _play(kinds, victim, step):
        step += 1
    assert step > 3


def test_a_request_that_is_alone_is_cancelled_at_the_server() -> None:
    steps = Steps()
    request, _ = steps.submit("slow", 100)
    for number, _ in enumerate(steps):
        if number == 4:
            steps.joined.machine.abandon(request)
    assert steps.cancels == 1
    assert steps.joined.now < 1000.0 + SLOW
    assert request.done
    assert steps.joined.machine.is_idle


def test_a_request_with_followers_is_not() -> None:
    steps = Steps(known=True)
    slow, _ = steps.submit("slow", 100)
    followers: list[tuple[Request[Any], object]] = []
    for number, _ in enumerate(steps):
        if number == 4:
            followers += [steps.submit("known", n) for n in range(3)]
            steps.joined.flush()
            steps.joined.machine.abandon(slow)
    assert steps.cancels == 0
    assert [outcome(request) for request, _ in followers] == [0, 1, 2]


def test_nothing_is_written_while_a_cancel_request_is_under_way() -> None:
    joined, session = with_session()
    slow = given_up(joined)
    assert joined.machine.take_cancel()
    assert not joined.machine.take_cancel()
    follower = joined.submit(joined.core.fetchval("echo 2", (), 0, None))
    joined.settle()
    # Heard by the server and over, but the cancel request's connection has not ended yet.
    session.interrupt()
    joined.settle()
    assert slow.done
    assert not follower.done
    assert not any(isinstance(each, m.Parse) and each.query == "echo 2" for each in session.heard)
    joined.machine.cancel_delivered()
    joined.settle()
    assert follower.result() == 2


def test_a_pipeline_whose_owner_goes_in_the_midst_of_it_leaves_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    # What tests before have left to the collector is none of this one's business.
    gc.collect()
    recwarn.clear()
    server = FakeServer(answer)
    joined = Joined(server())
    joined.fetchval("echo 1")
    server.committed.clear()
    results = [joined.core.later_fetchval(sql, (), 0) for sql in ("echo 1", "echo 2", "nonsense")]
    pipeline = joined.submit(joined.core.pipeline(results, None))
    # The first is executed, and the second about to be described.
    joined.flush()
    joined.machine.abandon(pipeline)
    # Too late: it is not cancelled but ends by itself.
    joined.machine.take_cancel()
    joined.machine.cancel_delivered()
    joined.settle()
    assert pipeline.done
    assert server.committed == []
    assert joined.fetchval("echo 2") == 2
    del pipeline, results
    gc.collect()
    assert not recwarn.list


def test_a_cancel_request_that_arrives_too_late_hits_nobody() -> None:
    joined, session = with_session()
    slow = given_up(joined)
    assert joined.machine.take_cancel()
    joined.now += SLOW
    joined.settle()
    assert slow.done
    session.interrupt()
    joined.machine.cancel_delivered()
    assert joined.fetchval("echo 2") == 2


def test_a_cancel_request_without_effect_is_repeated() -> None:
    """The server takes no notice of one that finds it between two messages."""
    joined, session = with_session(cancel_timeout=3.0)
    for _ in range(2):
        slow = given_up(joined)
        follower = joined.submit(joined.core.fetchval("echo 2", (), 0, None))
        for pause in (0.25, 0.5, 1.0):
            assert joined.machine.take_cancel()
            joined.machine.cancel_delivered()
            joined.pass_time(pause - 0.01)
            assert not joined.machine.take_cancel()
            joined.pass_time(0.02)
        assert joined.machine.take_cancel()
        session.interrupt()
        joined.settle()
        assert slow.done
        assert not follower.done
        joined.machine.cancel_delivered()
        joined.settle()
        assert follower.result() == 2


def test_there_is_one_cancel_request_at_a_time() -> None:
    joined = Joined(FakeServer(answer)(), cancel_timeout=3.0)
    given_up(joined)
    assert joined.machine.take_cancel()
    # It takes long to be delivered: the next comes a pause later.
    joined.pass_time(0.3)
    assert not joined.machine.take_cancel()
    joined.machine.cancel_delivered()
    joined.pass_time(0.4)
    assert not joined.machine.take_cancel()
    joined.pass_time(0.2)
    assert joined.machine.take_cancel()


def test_a_pause_that_has_outlived_its_cancel_request_adds_none_to_the_next() -> None:
    """One request may be cancelled, begin anew, and be cancelled again."""
    fence, target = CancelFence(), Joined().core.ping(None)
    fence.raise_for(target)
    assert fence.take_wanted()
    fence.delivered()
    fence.over(target)
    fence.raise_for(target)
    assert fence.take_wanted()
    fence.raise_again(target)
    assert not fence.take_wanted()


def test_the_next_one_is_not_cancelled_in_place_of_one_that_has_ended() -> None:
    joined, session = with_session()
    for _ in range(2):
        slow = given_up(joined)
        assert joined.machine.take_cancel()
        joined.machine.cancel_delivered()
        joined.pass_time(0.2)
        # The second time, the pause that began for the first request ends here.
        joined.pass_time(0.03)
        assert not joined.machine.take_cancel()
        session.interrupt()
        joined.settle()
        assert slow.done
    bystander = joined.submit(joined.core.fetchval("slow 2", (), 0, None))
    joined.settle()
    joined.pass_time(SLOW)
    assert not joined.machine.take_cancel()
    assert bystander.result() == 2


@pytest.mark.parametrize("delivered_first", [True, False])
def test_a_session_that_has_ended_cancels_nothing_again(delivered_first: bool) -> None:
    joined = Joined(FakeServer(answer)())
    given_up(joined)
    assert joined.machine.take_cancel()
    if delivered_first:
        joined.machine.cancel_delivered()
        joined.machine.connection_lost(None)
    else:
        joined.machine.connection_lost(None)
        joined.machine.cancel_delivered()
    assert joined.machine.next_deadline() is None
    assert not joined.machine.take_cancel()


def test_a_cancel_request_without_effect_ends_the_session() -> None:
    joined = Joined(FakeServer(answer)(), cancel_timeout=0.5)
    given_up(joined)
    assert joined.machine.take_cancel()
    follower = joined.submit(joined.core.fetchval("echo 2", (), 0, None))
    joined.machine.cancel_delivered()
    joined.pass_time(0.4)
    assert not follower.done
    joined.pass_time(0.2)
    error = outcome(follower)
    assert isinstance(error, ConnectionLost)
    assert error.outcome == "not_sent"


def test_cancelling_without_leaving() -> None:
    joined, session = with_session()
    slow = joined.submit(joined.core.fetchval("slow 1", (), 0, None))
    joined.settle()
    joined.machine.cancel_current()
    assert joined.machine.take_cancel()
    session.interrupt()
    joined.machine.cancel_delivered()
    joined.settle()
    assert isinstance(outcome(slow), QueryCanceled)


def test_cancelling_does_nothing_where_it_could_hit_another() -> None:
    joined = Joined(FakeServer(answer)())
    slow = joined.submit(joined.core.fetchval("slow 1", (), 0, None))
    follower = joined.submit(joined.core.ping(None))
    joined.settle()
    joined.machine.cancel_current()
    assert not joined.machine.take_cancel()
    joined.pass_time(SLOW)
    assert (outcome(slow), outcome(follower)) == (1, None)
    joined.machine.cancel_current()
    assert not joined.machine.take_cancel()


def test_a_deadline_leaves_as_its_owner_would() -> None:
    joined, session = with_session()
    slow = joined.submit(joined.core.fetchval("slow 1", (), 0, 1.0))
    joined.settle()
    joined.pass_time(1.0)
    assert isinstance(outcome(slow), QueryTimeout)
    assert joined.machine.take_cancel()
    session.interrupt()
    joined.machine.cancel_delivered()
    joined.settle()
    assert joined.machine.is_idle
    assert joined.stirred.count(slow) == 1


@pytest.mark.parametrize("step", range(12))
def test_a_transaction_whose_owner_goes(step: int) -> None:
    """Whatever it had begun, in the end no transaction is open and the next caller is served."""
    steps = Steps(known=True)
    joined, machine = steps.joined, steps.joined.machine
    scope = joined.core.transaction(None, False, False)
    begin = scope.begin()
    machine.submit(begin, scope.lease)
    inside = joined.core.fetchval("echo $1", (1,), 0, None)
    machine.submit(inside, scope.lease)
    outsider = joined.core.fetchval("echo $1", (2,), 0, None)
    for number, _ in enumerate(steps):
        if number == 0:
            machine._waiting.everybody.append(outsider)
        if number == step:
            machine.abandon(inside)
            machine.abandon(begin)
            if (undo := scope.give_up()) is not None:
                machine.submit(undo, scope.lease)
    if not scope.ended:
        machine.submit(scope.rollback(), scope.lease)
        joined.settle()
    assert outsider.done
    assert outsider.result() == 2
    assert steps.session.status == "I"
    assert machine.is_idle
