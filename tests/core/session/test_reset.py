"""Resets that are not waited for: nothing behind them is carried out if they fail."""

from __future__ import annotations

import pytest

from pgproto import ConnectionLost, PostgresError, RemoteProtocolError
from pgproto._session import Guard, reset_ahead
from pgproto._session._reset import guarded
from pgproto.testing import FakeServer, Statement
from tests.core.session.support import Joined, echo, outcome

__all__: list[str] = []

GUARD = "SET LOCAL exit_on_error = on"


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("reset role", ["reset role"]),
        ("select forget(); discard temp;", ["select forget()", "discard temp"]),
        ("RESET ALL; UNLISTEN *", ["RESET ALL", GUARD, "UNLISTEN *"]),
        ("UNLISTEN *; reset  all", ["UNLISTEN *", "reset  all", GUARD]),
    ],
)
def test_what_may_go_ahead(sql: str, parts: list[str]) -> None:
    assert guarded(sql) == "; ".join([GUARD, *parts])


@pytest.mark.parametrize(
    "sql",
    [
        "discard all",
        "select 1; commit",
        "rollback",
        "vacuum",
        "deallocate all",
        "set exit_on_error = off",
        "select set_config('exit_on_error', 'off', false)",
        "reset role -- ; reset all",
        "reset role /* */",
        "select $$;$$",
        'set role "a;b"',
        "settle",
    ],
)
def test_what_is_waited_for(sql: str) -> None:
    assert guarded(sql) is None


def server(*, knows_guard: bool = True, fails: bool = False) -> FakeServer:
    def answer(sql: str) -> Statement | None:
        if sql == "SHOW exit_on_error":
            row = Statement(columns={"exit_on_error": "text"}, rows=[("off",)], tag="SHOW")
            return row if knows_guard else None
        if sql == "select forget()":
            return None if fails else Statement()
        return echo(sql) or Statement()

    return FakeServer(answer)


def joined_with(peer: FakeServer) -> Joined:
    joined = Joined(peer())
    joined.ask(Guard())
    return joined


def test_it_leaves_with_what_is_asked_next() -> None:
    joined = joined_with(server())
    assert reset_ahead(joined.machine, "select forget()", 5.0)
    request = joined.submit(joined.core.simple_query("echo 7", None))
    data = joined.machine.data_to_send()
    assert data.index(b"forget") < data.index(b"echo 7")
    joined.peer.receive_data(data)
    joined.settle()
    (result,) = request.result()
    assert result.rows[0].token == "7"
    assert joined.machine.is_idle


def test_a_server_that_does_not_know_exit_on_error() -> None:
    joined = joined_with(server(knows_guard=False))
    assert not reset_ahead(joined.machine, "select forget()", 5.0)
    assert joined.machine.is_idle


def test_a_session_in_which_something_is_under_way() -> None:
    joined = joined_with(server())
    joined.submit(joined.core.simple_query("echo 7", None))
    assert not reset_ahead(joined.machine, "select forget()", 5.0)


def test_a_reset_that_fails_is_the_end_of_the_session() -> None:
    # This server does not even do what it is told by exit_on_error.
    joined = joined_with(server(fails=True))
    assert reset_ahead(joined.machine, "select forget()", 5.0)
    request = joined.submit(joined.core.simple_query("echo 7", None))
    joined.settle()
    failure = joined.machine.failure
    assert isinstance(failure, RemoteProtocolError)
    assert isinstance(failure.__cause__, PostgresError)
    assert isinstance(outcome(request), ConnectionLost)


def test_a_reset_that_leaves_a_transaction_open_is_the_end_of_the_session() -> None:
    joined = joined_with(server())
    assert reset_ahead(joined.machine, "select forget()", 5.0)
    joined.flush()
    joined.hear(b"C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05T")
    assert isinstance(joined.machine.failure, RemoteProtocolError)


def test_a_reset_that_takes_too_long_is_the_end_of_the_session() -> None:
    joined = joined_with(server())
    assert reset_ahead(joined.machine, "select forget()", 5.0)
    request = joined.submit(joined.core.simple_query("echo 7", None))
    joined.flush()
    joined.now += 5.0
    joined.machine.tick()
    assert isinstance(joined.machine.failure, ConnectionLost)
    assert isinstance(outcome(request), ConnectionLost)
