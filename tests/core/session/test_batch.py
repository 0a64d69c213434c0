"""`executemany`, as a request: sets that end before there is a statement for them."""

from __future__ import annotations

import pytest

from pgproto import QueryTimeout
from pgproto import messages as m
from pgproto._session._batch import Batch
from pgproto.testing import FakeServer, FakeSession
from tests.core.session.support import Joined, echo, outcome

__all__: list[str] = []


def syncs(joined: Joined) -> int:
    """How many Syncs the server has heard."""
    assert isinstance(joined.peer, FakeSession)
    return sum(isinstance(each, m.Sync) for each in joined.peer.heard)


def batch_of(joined: Joined, timeout: float | None = None) -> Batch:
    batch = joined.core.executemany("insert 1", timeout)
    joined.submit(batch)
    return batch


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("how", ["end", "take_back"])
def test_no_set_at_all(how: str, written: bool) -> None:
    joined = Joined(FakeServer(echo)())
    batch = batch_of(joined)
    if written:
        joined.flush()
    getattr(batch, how)(joined.machine)
    joined.settle()
    assert batch.result() == 0
    assert syncs(joined) == 1
    assert joined.fetchval("echo $1", 7) == 7


@pytest.mark.parametrize("how", ["end", "take_back"])
def test_a_deadline_during_the_introduction(how: str) -> None:
    """Its owner still tells it the end, as it does in any case; there is one Sync, not two."""
    joined = Joined(FakeServer(echo)())
    batch = batch_of(joined, 1.0)
    joined.flush()
    joined.now += 1.0
    joined.machine.tick()
    assert isinstance(outcome(batch), QueryTimeout)
    getattr(batch, how)(joined.machine)
    follower = joined.submit(joined.core.fetchval("echo $1", (7,), 0, None))
    joined.settle()
    assert follower.result() == 7
    assert joined.fetchval("echo $1", 8) == 8
    assert joined.machine.failure is None
    assert syncs(joined) == 3
