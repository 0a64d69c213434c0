"""Each request gets its own answer, in the order of asking, exactly once, whatever happens to the others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pgproto import DataError, QueryTimeout, errors
from pgproto import messages as m
from pgproto._session import Request
from pgproto.testing import Expect, FakeServer, FakeSession, Say, ScriptedServer, Statement, greeting
from tests.core.session.support import Joined, echo, outcome

__all__: list[str] = []


def heard(joined: Joined) -> list[str]:
    """The names of the messages that the server has heard, from the first request on."""
    session = joined.peer
    assert isinstance(session, FakeSession)
    return [type(message).__name__ for message in session.heard[1:]]


def test_answers_come_in_the_order_of_the_questions() -> None:
    joined = Joined()
    requests = [joined.submit(joined.core.fetchval(f"echo {n}", (), 0, None)) for n in range(50)]
    joined.settle()
    assert [request.result() for request in requests] == list(range(50))
    assert joined.machine.is_idle


def test_known_statements_are_pipelined() -> None:
    joined = Joined()
    assert joined.fetchval("echo $1", -1) == -1
    requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in range(100)]
    joined.flush()
    assert joined.machine.in_flight == 100
    joined.settle()
    assert [request.result() for request in requests] == list(range(100))


def test_a_statement_is_introduced_once_and_then_takes_one_flight() -> None:
    joined = Joined()
    joined.fetchval("echo $1", 1)
    assert heard(joined) == ["Parse", "Describe", "Flush", "Bind", "Execute", "Sync"]
    joined.fetchval("echo $1", 2)
    assert heard(joined)[6:] == ["Bind", "Execute", "Sync"]


def test_no_more_than_max_pipeline_are_in_flight() -> None:
    joined = Joined(max_pipeline=3)
    joined.fetchval("echo $1", 0)
    requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in range(10)]
    joined.flush()
    assert joined.machine.in_flight == 3
    joined.settle()
    assert [request.result() for request in requests] == list(range(10))


def test_each_owner_is_told_once() -> None:
    joined = Joined()
    requests: list[Request[Any]] = [joined.core.fetchval(f"echo {n % 3}", (), 0, None) for n in range(9)]
    requests += [joined.core.simple_query("echo 1; echo 2", None), joined.core.ping(None)]
    requests += [joined.core.execute("nonsense", (), None), joined.core.fetchval("echo $1", ("x",), 0, None)]
    for request in requests:
        joined.submit(request)
    joined.settle()
    assert all(request.done for request in requests)
    told = Counter(id(waitable) for waitable in joined.stirred)
    assert set(told.values()) == {1}
    assert set(told) == {id(request) for request in requests}


@pytest.mark.parametrize("known", [False, True])
def test_errors_stay_where_they_belong(known: bool) -> None:
    def answer(sql: str) -> Statement | None:
        if sql == "divide $1":
            return Statement(["int4"], {"quotient": "int4"}, divide)
        return echo(sql)

    def divide(divisor: int) -> list[tuple[int]]:
        if divisor == 0:
            raise errors.DivisionByZero("division by zero")
        return [(42 // divisor,)]

    joined = Joined(FakeServer(answer)())
    if known:
        joined.fetchval("divide $1", 1)
    requests = [joined.submit(joined.core.fetchval("divide $1", (n % 3,), 0, None)) for n in range(12)]
    joined.settle()
    for n, request in enumerate(requests):
        result = outcome(request)
        if n % 3 == 0:
            assert isinstance(result, errors.DivisionByZero)
            assert result.query == "divide $1"
        else:
            assert result == 42 // (n % 3)


def test_an_error_while_a_statement_is_introduced() -> None:
    joined = Joined()
    requests = [joined.submit(joined.core.fetchval(sql, (), 0, None)) for sql in ("echo 1", "oops", "echo 2")]
    joined.settle()
    assert [type(outcome(request)) for request in requests] == [int, errors.SyntaxError, int]


def test_an_argument_that_does_not_fit_sends_nothing_of_it() -> None:
    joined = Joined()
    joined.fetchval("echo $1", 0)
    before = joined.machine.written
    requests = [joined.submit(joined.core.fetchval("echo $1", (value,), 0, None)) for value in (1, "x", 2)]
    joined.settle()
    results = [outcome(request) for request in requests]
    assert results[0::2] == [1, 2]
    assert isinstance(results[1], DataError)
    # Two groups, and not a byte of the third.
    assert (joined.machine.written - before) % 2 == 0
    assert heard(joined).count("Sync") == 3


def test_an_argument_that_does_not_fit_a_statement_being_introduced() -> None:
    joined = Joined()
    requests = [joined.submit(joined.core.fetchval("echo $1", (value,), 0, None)) for value in ("x", 2)]
    joined.settle()
    assert isinstance(outcome(requests[0]), DataError)
    assert outcome(requests[1]) == 2
    # The statement is known now, although its first use failed.
    assert heard(joined).count("Parse") <= 2


def test_a_row_that_cannot_be_decoded_fails_its_request_alone() -> None:
    joined = Joined()
    joined.fetchval("echo $1", 0)
    requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in range(3)]
    joined.flush()
    answers = joined.answer()
    # The second row's eight bytes become seven, its lengths are right.
    good = m.DataRow(((1).to_bytes(8, "big"),)).encode()
    assert answers.count(good) == 1
    joined.hear(answers.replace(good, m.DataRow((b"\0" * 7,)).encode()))
    results = [outcome(request) for request in requests]
    assert results[0::2] == [0, 2]
    assert isinstance(results[1], DataError)
    assert joined.fetchval("echo $1", 9) == 9


# --- The statement cache -----------------------------------------------------------------------------------


def test_evicted_statements_are_closed_with_the_next_group() -> None:
    joined = Joined(statement_cache_size=2)
    for n in range(5):
        assert joined.fetchval(f"echo {n}") == n
    session = joined.peer
    assert isinstance(session, FakeSession)
    parsed = [message.name for message in session.heard if isinstance(message, m.Parse)]
    closed = [message.name for message in session.heard if isinstance(message, m.Close)]
    assert len(set(parsed)) == 5
    assert closed == parsed[: len(closed)]
    assert len(closed) >= 2
    assert heard(joined).count("Sync") == 5
    assert len(joined.machine.statements) == 2
    # What is asked for often stays.
    joined.fetchval("echo 3")
    joined.fetchval("echo 7")
    assert joined.fetchval("echo 3") == 3
    assert [message.query for message in session.heard if isinstance(message, m.Parse)].count("echo 3") == 1


@pytest.mark.parametrize("options", [{"statement_cache_size": 0}, {"unnamed_statements": True}])
def test_without_names(options: dict[str, Any]) -> None:
    joined = Joined(**options)
    for n in (1, 2, 1, 2):
        assert joined.fetchval("echo $1", n) == n
    session = joined.peer
    assert isinstance(session, FakeSession)
    assert {message.name for message in session.heard if isinstance(message, m.Parse)} == {""}
    assert not any(isinstance(message, m.Close) for message in session.heard)
    # An unnamed statement must not outlive its group: each one has a Parse of its own.
    assert heard(joined).count("Parse") >= heard(joined).count("Sync")


def test_names_are_never_used_twice() -> None:
    joined = Joined(statement_cache_size=1, statement_prefix="p_")
    for n in (1, 2, 1, 2, 1, 2):
        joined.fetchval(f"echo {n}")
    session = joined.peer
    assert isinstance(session, FakeSession)
    names = [message.name for message in session.heard if isinstance(message, m.Parse)]
    assert len(names) == len(set(names)) == 6
    assert all(name.startswith("p_") for name in names)


@pytest.mark.parametrize("forget", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_statements_that_the_session_itself_made_the_server_forget(forget: str) -> None:
    joined = Joined()
    joined.fetchval("echo $1", 1)
    joined.ask(joined.core.execute(forget, (), None))
    assert joined.fetchval("echo $1", 2) == 2
    joined.ask(joined.core.simple_query(forget, None))
    assert joined.fetchval("echo $1", 3) == 3


def forgetful() -> tuple[Joined, FakeSession]:
    """A session whose server has lost a statement that the client knows."""
    session = FakeServer(echo)()
    joined = Joined(session)
    joined.fetchval("echo $1", 1)
    session._statements.clear()
    return joined, session


def test_a_statement_that_the_server_has_lost_is_introduced_again() -> None:
    joined, _ = forgetful()
    requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in range(5)]
    joined.settle()
    assert [outcome(request) for request in requests] == list(range(5))
    assert joined.machine.is_idle


def test_in_a_transaction_a_lost_statement_is_an_error_once() -> None:
    joined, session = forgetful()
    joined.ask(joined.core.execute("begin", (), None))
    with pytest.raises(errors.InvalidSqlStatementName):
        joined.fetchval("echo $1", 2)
    assert session.status == "E"
    joined.ask(joined.core.execute("rollback", (), None))
    assert joined.fetchval("echo $1", 3) == 3


def test_a_statement_that_is_always_stale_is_tried_twice_and_no_more() -> None:
    stale = m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "0A000", "M": "cached plan must not change"})
    introduction = (
        Expect(m.Parse),
        Expect(m.Describe),
        Expect(m.Flush),
        Say(m.ParseComplete(), m.ParameterDescription(()), m.NoData()),
    )
    execution = (Expect(m.Bind), Expect(m.Execute), Expect(m.Sync))
    bound = (*execution, Say(m.BindComplete(), m.CommandComplete("DO"), m.ReadyForQuery("I")))
    refused = (Expect(m.Bind), Say(stale), Expect(m.Sync), Say(m.ReadyForQuery("I")))
    again = (Expect(m.Close), Expect(m.Bind), Say(m.CloseComplete(), stale), Expect(m.Sync))
    joined = Joined(
        ScriptedServer(
            *greeting(), *introduction, *bound, *refused, *introduction, *again, Say(m.ReadyForQuery("I"))
        )
    )
    assert joined.ask(joined.core.execute("do it", (), None)) == "DO"
    with pytest.raises(errors.FeatureNotSupported, match="cached plan"):
        joined.ask(joined.core.execute("do it", (), None))
    assert joined.machine.is_idle


# --- Deadlines ---------------------------------------------------------------------------------------------


def test_a_deadline_in_the_queue() -> None:
    server = FakeServer(lambda sql: Statement(columns={"n": "int8"}, rows=[(1,)], delay=60.0))
    joined = Joined(server(), max_pipeline=1)
    slow = joined.submit(joined.core.fetchval("slow", (), 0, None))
    waiting = joined.submit(joined.core.fetchval("waits", (), 0, 5.0))
    joined.settle()
    assert joined.machine.next_deadline() == joined.now + 5.0
    joined.pass_time(4.9)
    assert not waiting.done
    joined.pass_time(0.2)
    assert isinstance(outcome(waiting), QueryTimeout)
    assert not slow.done
    assert joined.machine.next_deadline() is None
    joined.pass_time(60.0)
    assert slow.result() == 1
    assert [message.query for message in server.sessions[0].heard if isinstance(message, m.Parse)] == ["slow"]


def test_a_default_deadline_and_one_of_ones_own() -> None:
    server = FakeServer(lambda sql: Statement(columns={"n": "int8"}, rows=[(1,)], delay=10.0))
    joined = Joined(server(), command_timeout=3.0)
    patient = joined.submit(joined.core.fetchval("a", (), 0, 20.0))
    joined.settle()
    joined.pass_time(3.5)
    assert not patient.done
    joined.pass_time(10.0)
    assert patient.result() == 1
    hasty = joined.submit(joined.core.fetchval("a", (), 0, None))
    joined.settle()
    joined.pass_time(3.5)
    assert isinstance(outcome(hasty), QueryTimeout)
    assert joined.machine.take_cancel()
    server.cancel(server.sessions[0].process_id, server.sessions[0].key.secret_key)
    joined.machine.cancel_delivered()
    joined.settle()
    assert joined.machine.is_idle
    assert joined.machine.failure is None
