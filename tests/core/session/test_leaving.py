"""When all owners have gone: what is under way is cut short, and a server that stays silent is left."""

from __future__ import annotations

import pytest

from pgproto import CommitUnknown, ConnectionLost, LocalProtocolError, RemoteProtocolError
from pgproto import messages as m
from pgproto._session import Request
from pgproto.testing import FakeServer, FakeSession
from tests.core.session.steps import answer
from tests.core.session.support import Joined, outcome

__all__: list[str] = []


def joined(*, cancel_timeout: float = 1.0) -> tuple[Joined, FakeSession]:
    both = Joined(FakeServer(answer)(), cancel_timeout=cancel_timeout)
    assert isinstance(both.peer, FakeSession)
    return both, both.peer


def asked(both: Joined, count: int) -> list[Request[object]]:
    """Slow requests, all on the wire."""
    slow: list[Request[object]] = [
        both.submit(both.core.simple_query(f"slow {n}", None)) for n in range(count)
    ]
    both.settle()
    assert both.machine.in_flight == count
    return slow


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_requests_that_nobody_waits_for_are_cancelled_one_after_another(order: tuple[int, ...]) -> None:
    both, session = joined()
    slow = asked(both, 3)
    for number in order[:-1]:
        both.machine.abandon(slow[number])
        assert not both.machine.take_cancel()
    both.machine.abandon(slow[order[-1]])
    for left in (2, 1, 0):
        assert both.machine.take_cancel()
        follower = both.submit(both.core.ping(None))
        both.settle()
        session.interrupt()
        both.settle()
        assert both.machine.in_flight == left
        both.machine.abandon(follower)
        both.machine.cancel_delivered()
    both.settle()
    assert both.machine.is_idle
    assert both.fetchval("echo 7") == 7


def test_the_cancel_that_was_delivered_late_makes_way_for_the_next() -> None:
    both, session = joined()
    for request in asked(both, 2):
        both.machine.abandon(request)
    assert both.machine.take_cancel()
    session.interrupt()
    both.settle()
    assert not both.machine.take_cancel()
    both.machine.cancel_delivered()
    assert both.machine.take_cancel()


def test_somebody_who_waits_behind_them_is_not_hit() -> None:
    both, _ = joined()
    slow = asked(both, 2)
    follower = both.submit(both.core.ping(None))
    both.flush()
    for request in slow:
        both.machine.abandon(request)
    assert not both.machine.take_cancel()
    for _ in slow:
        # However long they take.
        both.pass_time(500)
    assert both.machine.failure is None
    assert follower.done


def test_what_cleans_up_is_not_hit() -> None:
    both, _ = joined()
    scope = both.core.transaction(None, False, False)
    both.machine.submit(scope.begin(), scope.lease)
    both.settle()
    slow = both.core.simple_query("slow 1", None)
    both.machine.submit(slow, scope.lease)
    both.flush()
    undo = scope.rollback().unattended()
    both.machine.submit(undo, scope.lease)
    both.flush()
    assert both.machine.in_flight == 2
    both.machine.abandon(slow)
    assert not both.machine.take_cancel()
    # It is not waited for without end either.
    both.pass_time(0.9)
    assert both.machine.failure is None
    both.pass_time(0.2)
    assert isinstance(both.machine.failure, ConnectionLost)


@pytest.mark.parametrize("waits", [True, False])
def test_a_rollback_that_is_not_answered(waits: bool) -> None:
    both, _ = joined(cancel_timeout=2.0)
    scope = both.core.transaction(None, False, False)
    both.machine.submit(scope.begin(), scope.lease)
    both.settle()
    undo = scope.rollback() if waits else scope.rollback().unattended()
    both.machine.submit(undo, scope.lease)
    both.flush()
    follower = both.core.ping(None)
    both.machine.submit(follower, None)
    both.now += 2.1
    both.machine.tick()
    if waits:
        # Whoever waits may wait for as long as they want.
        assert both.machine.failure is None
        both.machine.abandon(undo)
        both.now += 2.1
        both.machine.tick()
    assert isinstance(both.machine.failure, ConnectionLost)
    assert "ROLLBACK" in str(both.machine.failure)
    error = outcome(follower)
    assert isinstance(error, ConnectionLost)
    assert error.outcome == "not_sent"


def test_a_rollback_that_is_answered_in_time_is_forgotten() -> None:
    both, _ = joined()
    for _ in range(2):
        scope = both.core.transaction(None, False, False)
        both.machine.submit(scope.begin(), scope.lease)
        both.settle()
        both.machine.submit(scope.rollback().unattended(), scope.lease)
        both.settle()
        both.pass_time(0.6)
    assert both.machine.failure is None
    assert both.fetchval("echo 7") == 7


@pytest.mark.parametrize("cleans_up", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_what_came_while_nobody_looked_counts_before_what_is_late(cleans_up: bool, answered: bool) -> None:
    """A thread was elsewhere, or the process was suspended: the server may have been in time."""
    both, session = joined()
    if cleans_up:
        scope = both.core.transaction(None, False, False)
        both.machine.submit(scope.begin(), scope.lease)
        both.settle()
        both.machine.submit(scope.rollback().unattended(), scope.lease)
        both.flush()
    else:
        (slow,) = asked(both, 1)
        both.machine.abandon(slow)
        assert both.machine.take_cancel()
        both.machine.cancel_delivered()
        session.interrupt()
    both.now += 3.0
    both.machine.tick()
    assert both.machine.failure is None
    if answered:
        if both.machine.take_cancel():
            # Nobody knew that the first had had its effect.
            both.machine.cancel_delivered()
        assert both.fetchval("echo 7") == 7
    both.now += 0.05
    both.machine.tick()
    assert both.machine.failure is None
    # There is no more than this moment, however late it is this time.
    both.now += 3.0
    both.machine.tick()
    assert isinstance(both.machine.failure, ConnectionLost) is not answered


# Transactions whose connection ends.


def test_a_block_does_not_end_in_peace_if_the_connection_was_lost() -> None:
    both, _ = joined()
    scope = both.core.transaction(None, False, False)
    both.machine.submit(scope.begin(), scope.lease)
    both.settle()
    scope.check_kept()
    both.machine.connection_lost(OSError("reset"))
    assert scope.is_over
    with pytest.raises(ConnectionLost) as info:
        scope.check_kept()
    assert info.value.outcome == "not_committed"
    assert info.value.__cause__ is both.machine.failure


def test_a_block_whose_transaction_was_ended_before_ends_in_peace() -> None:
    both, _ = joined()
    scope = both.core.transaction(None, False, False)
    both.machine.submit(scope.begin(), scope.lease)
    commit = scope.commit()
    both.machine.submit(commit, scope.lease)
    both.settle()
    both.machine.connection_lost(None)
    assert commit.result() == "COMMIT"
    scope.check_kept()
    with pytest.raises(LocalProtocolError, match="ended"):
        scope.open_lease()


@pytest.mark.parametrize(
    "reply",
    [
        m.CommandComplete("COMMIU").encode(),
        m.CommandComplete("COMMIT").encode() + b"Z\0\0\0\x05?",
    ],
)
def test_an_answer_to_commit_that_makes_no_sense(reply: bytes) -> None:
    both, _ = joined()
    scope = both.core.transaction(None, False, False)
    both.machine.submit(scope.begin(), scope.lease)
    both.settle()
    commit = scope.commit()
    both.machine.submit(commit, scope.lease)
    both.flush()
    both.machine.receive_data(reply)
    assert isinstance(both.machine.failure, RemoteProtocolError)
    error = outcome(commit)
    assert isinstance(error, CommitUnknown)
    assert error.__cause__ is both.machine.failure


def test_nothing_is_executed_behind_a_commit_that_came_just_before_it() -> None:
    """Two threads have the transaction: one asks while the other commits."""
    server = FakeServer(answer)
    both = Joined(server())
    scope = both.core.transaction(None, False, False)
    both.machine.submit(scope.begin(), scope.lease)
    both.settle()
    lease = scope.open_lease()
    commit = scope.commit()
    both.machine.submit(commit, lease)
    late = both.core.fetchval("echo 7", (), 0, None)
    both.machine.submit(late, lease)
    both.settle()
    assert commit.result() == "COMMIT"
    error = outcome(late)
    assert isinstance(error, LocalProtocolError)
    assert "has ended" in str(error)
    assert "echo 7" not in [done.sql for done in server.committed]
    assert both.fetchval("echo 7") == 7
