"""What a transport has to do only now and then is announced, and taken back when there is no more of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pgproto import messages as m
from pgproto.testing import FakeServer, Statement
from tests.core.session.support import Joined, expect_announced

__all__: list[str] = []


def slow(sql: str) -> Statement | None:
    return Statement(columns={"n": "int8"}, rows=[(1,)], delay=60.0)


def a_callback(joined: Joined) -> None:
    joined.core.add_notice_handler(lambda notice: None)
    joined.hear(m.NoticeResponse({"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "hello"}).encode())
    assert joined.machine.reports.callbacks


def a_remark(joined: Joined) -> None:
    scope = joined.core.transaction(None, False, False)
    joined.submit(scope.begin())
    joined.settle()
    stranger = joined.core.fetchval("echo 1", (), 0, None)
    stranger.lease = None
    joined.machine._waiting.everybody.append(stranger)
    joined.machine._remark(stranger)
    assert joined.machine.remarks


def a_cancel_request(joined: Joined) -> None:
    request = joined.submit(joined.core.fetchval("slow", (), 0, None))
    joined.settle()
    joined.machine.abandon(request)
    assert joined.machine.wants_cancel


def a_deadline(joined: Joined) -> None:
    joined.submit(joined.core.fetchval("slow", (), 0, 5.0))
    assert joined.machine.timers.heap


def the_end(joined: Joined) -> None:
    joined.machine.connection_lost(None)
    assert joined.machine.failure is not None


def is_announced(joined: Joined) -> bool:
    return joined.machine.has_more


@pytest.mark.parametrize("source", [a_callback, a_remark, a_cancel_request, a_deadline, the_end])
def test_it_is_announced(source: Callable[[Joined], None]) -> None:
    joined = Joined(FakeServer(slow)())
    assert not is_announced(joined)
    source(joined)
    assert is_announced(joined)
    # Whoever asks for the next deadline does not thereby lose sight of the rest.
    joined.machine.next_deadline()
    assert is_announced(joined)
    expect_announced(joined.machine)


def test_it_is_taken_back() -> None:
    joined = Joined(FakeServer(slow)())
    a_callback(joined)
    joined.machine.take_callbacks()
    joined.machine.next_deadline()
    assert not is_announced(joined)
    request = joined.submit(joined.core.fetchval("slow", (), 0, 70.0))
    joined.settle()
    joined.pass_time(61.0)
    assert request.result() == 1
    assert joined.machine.next_deadline() is None
    assert not is_announced(joined)


def test_the_check_itself_notices() -> None:
    joined = Joined(FakeServer(slow)())
    a_deadline(joined)
    joined.machine.has_more = False
    with pytest.raises(AssertionError, match="deadlines"):
        expect_announced(joined.machine)
