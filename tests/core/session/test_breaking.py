"""A machine that was interrupted between two lines of its own: nobody waits for ever, and nothing lies."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from pgproto import ConnectionLost
from pgproto._session import Subscription, Waitable, break_off, give_outcome
from tests.core.session.support import Joined, outcome

__all__: list[str] = []


class _Interrupt(BaseException):
    pass


def _feed(joined: Joined, data: bytes, number: int) -> bool:
    """Hear it, interrupted at that line; False if there are not so many."""
    count = 0

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        if count == number:
            raise _Interrupt
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        joined.machine.receive_data(data)
    except _Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_interrupted_as_answers_come() -> None:
    number = 0
    interrupted = True
    while interrupted:
        number += 7
        joined = Joined()
        joined.fetchval("echo $1", 0)
        requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in (1, 2, 3)]
        joined.flush()
        interrupted = _feed(joined, joined.answer(), number)
        break_off(joined.machine, requests)
        for n, request in enumerate(requests, 1):
            assert request.done
            got = outcome(request)
            assert got == n or (isinstance(got, ConnectionLost) and got.outcome == "unknown")
        if not interrupted:
            assert joined.machine.failure is not None
    assert number > 50


def test_whoever_the_machine_has_lost_sight_of() -> None:
    joined = Joined()
    taken = joined.core.fetchval("echo $1", (1,), 0, None)
    listener, pause = Subscription("news"), Waitable()
    break_off(joined.machine, [taken, listener, pause])
    lost = outcome(taken)
    assert isinstance(lost, ConnectionLost)
    assert lost.outcome == "not_sent"
    assert isinstance(listener.error, ConnectionLost)
    assert taken.stirred
    assert listener.stirred
    assert pause.stirred


def test_what_is_over_stays_as_it_is() -> None:
    joined = Joined()
    request = joined.submit(joined.core.fetchval("echo $1", (7,), 0, None))
    while not request.done:
        joined.flush()
        joined.hear(joined.answer())
    break_off(joined.machine, [request])
    assert request.result() == 7


def test_nobody_is_given_an_outcome_while_the_session_lives() -> None:
    joined = Joined()
    request = joined.submit(joined.core.fetchval("echo $1", (7,), 0, None))
    give_outcome(joined.machine, request)
    assert not request.done
    with pytest.raises(ConnectionLost, match="interrupted in the midst"):
        break_off(joined.machine, [])
        request.result()
