"""The server says that a transaction is open which no request of the session has begun."""

from __future__ import annotations

from typing import Literal

import pytest

from pgproto import ConnectionLost
from pgproto import messages as m
from tests.core.session.support import Joined

__all__: list[str] = []


def reply(token: int, status: Literal["T", "E"]) -> bytes:
    row = m.DataRow((token.to_bytes(8, "big"),))
    return b"".join(
        [
            each.encode()
            for each in (m.BindComplete(), row, m.CommandComplete("SELECT 1"), m.ReadyForQuery(status))
        ]
    )


@pytest.fixture
def joined() -> Joined:
    joined = Joined()
    joined.fetchval("echo $1", 0)
    return joined


@pytest.mark.parametrize("status", ["T", "E"])
def test_who_is_under_way_gets_what_is_theirs_and_nobody_follows(
    joined: Joined, status: Literal["T", "E"]
) -> None:
    first, second = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in (1, 2)]
    joined.flush()
    written = joined.machine.written
    joined.hear(reply(1, status))
    late = joined.submit(joined.core.fetchval("echo $1", (3,), 0, None))
    joined.flush()
    assert joined.machine.written == written
    assert first.result() == 1
    assert [second.done, late.done] == [False, False]
    joined.hear(reply(2, status))
    assert second.result() == 2
    with pytest.raises(ConnectionLost, match="in a transaction that no request has begun") as lost:
        late.result()
    assert lost.value.outcome == "not_sent"
    assert joined.machine.failure is not None


def test_a_cancel_request_does_not_open_the_way_again(joined: Joined) -> None:
    joined.submit(joined.core.fetchval("echo $1", (1,), 0, None))
    given_up = joined.submit(joined.core.fetchval("echo $1", (2,), 0, None))
    joined.flush()
    joined.machine.abandon(given_up)
    written = joined.machine.written
    joined.hear(reply(1, "T"))
    assert joined.machine.take_cancel() is False
    late = joined.submit(joined.core.fetchval("echo $1", (3,), 0, None))
    joined.machine.cancel_delivered()
    joined.flush()
    assert joined.machine.written == written
    joined.hear(reply(2, "T"))
    assert joined.machine.failure is not None
    assert late.done


def test_a_transaction_that_was_begun_is_none(joined: Joined) -> None:
    for request in (joined.core.execute("begin", (), None), joined.core.simple_query("begin", None)):
        joined.submit(request)
        joined.settle()
        assert joined.machine.status == "T"
        assert joined.machine.failure is None
