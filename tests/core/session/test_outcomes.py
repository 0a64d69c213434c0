"""What becomes of requests when the connection ends, at any byte: what is claimed of them is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pgproto import CommitUnknown, ConnectionLost, QueryTimeout, RemoteProtocolError, errors
from pgproto import messages as m
from pgproto._session import Request, RequestMachine
from pgproto.testing import FakeServer, FakeSession, Statement
from tests.core.session.support import Joined, echo, outcome

__all__: list[str] = []


def lost(request: Request[Any]) -> str:
    """The outcome of a request that the end of the connection cut short."""
    error = outcome(request)
    assert isinstance(error, ConnectionLost), error
    return error.outcome


def break_line(machine: RequestMachine) -> None:
    machine.connection_lost(ConnectionResetError("reset"))


def test_what_was_not_sent() -> None:
    joined = Joined()
    request = joined.submit(joined.core.execute("insert 1", (1,), None))
    break_line(joined.machine)
    assert lost(request) == "not_sent"


def test_what_was_introduced_only() -> None:
    joined = Joined()
    request = joined.submit(joined.core.execute("insert 1", (1,), None))
    joined.flush()
    break_line(joined.machine)
    assert lost(request) == "not_committed"


def test_what_was_sent_completely() -> None:
    joined = Joined()
    request = joined.submit(joined.core.execute("insert 1", (1,), None))
    joined.flush()
    joined.hear(joined.answer())
    joined.flush()
    break_line(joined.machine)
    assert lost(request) == "unknown"


def test_nothing_more_is_sent_on_a_session_that_is_being_cut_off() -> None:
    joined = Joined()
    first = joined.submit(joined.core.execute("insert 1", (1,), None))
    joined.flush()
    joined.machine.seal()
    joined.hear(joined.answer())
    second = joined.submit(joined.core.simple_query("insert 1", None))
    assert not joined.machine.data_to_send()
    break_line(joined.machine)
    assert (lost(first), lost(second)) == ("not_committed", "not_sent")


def test_what_stood_behind_the_request_in_which_the_server_ended() -> None:
    joined = Joined()
    joined.ask(joined.core.execute("insert 1", (1,), None))
    requests = [joined.submit(joined.core.execute("insert 1", (number,), None)) for number in range(3)]
    joined.flush()
    joined.hear(m.ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "57P01", "M": "bye"}).encode())
    assert [lost(request) for request in requests] == ["unknown", "not_committed", "not_committed"]


def test_a_known_statement() -> None:
    joined = Joined()
    joined.ask(joined.core.execute("insert 1", (1,), None))
    first = joined.submit(joined.core.execute("insert 1", (2,), None))
    joined.flush()
    second = joined.submit(joined.core.execute("insert 1", (3,), None))
    break_line(joined.machine)
    assert (lost(first), lost(second)) == ("unknown", "not_sent")


def test_simple_queries() -> None:
    joined = Joined()
    first = joined.submit(joined.core.simple_query("insert 1", None))
    joined.flush()
    second = joined.submit(joined.core.simple_query("insert 1", None))
    break_line(joined.machine)
    assert (lost(first), lost(second)) == ("unknown", "not_sent")


def test_in_a_transaction_only_the_commit_counts() -> None:
    joined = Joined()
    scope = joined.core.transaction(None, False, False)
    joined.machine.submit(begin := scope.begin(), scope.lease)
    joined.settle()
    begin.result()
    insert = joined.core.execute("insert 1", (1,), None)
    joined.machine.submit(insert, scope.lease)
    joined.settle()
    insert.result()
    sent = joined.core.execute("insert 1", (2,), None)
    joined.machine.submit(sent, scope.lease)
    joined.flush()
    unsent = joined.core.execute("insert 1", (3,), None)
    joined.machine.submit(unsent, scope.lease)
    break_line(joined.machine)
    assert (lost(sent), lost(unsent)) == ("not_committed", "not_sent")


@pytest.mark.parametrize(
    "ending", ["commit", " -- done\nEnd", "rollback", "abort", "prepare transaction 'x'"]
)
@pytest.mark.parametrize("simple", [False, True])
def test_behind_a_statement_that_may_end_the_transaction_nothing_is_certain(
    ending: str, simple: bool
) -> None:
    joined = Joined(FakeServer(lambda sql: Statement(tag="DONE"))())
    execute = joined.core.execute
    for sql in ("insert", ending):
        joined.ask(execute(sql, (), None))
    joined.ask(execute("begin", (), None))
    assert joined.machine.status == "T"
    before = joined.submit(execute("insert", (), None))
    end: Request[Any] = joined.core.simple_query(ending, None) if simple else execute(ending, (), None)
    joined.submit(end)
    behind = joined.submit(execute("insert", (), None))
    joined.flush()
    break_line(joined.machine)
    assert (lost(before), lost(end), lost(behind)) == ("not_committed", "unknown", "unknown")


@pytest.mark.parametrize("sent", [False, True])
def test_a_commit_under_way(sent: bool) -> None:
    joined = Joined()
    scope = joined.core.transaction(None, False, False)
    joined.machine.submit(begin := scope.begin(), scope.lease)
    joined.settle()
    begin.result()
    lease = scope.open_lease()
    commit = scope.commit()
    joined.machine.submit(commit, lease)
    if sent:
        joined.flush()
    break_line(joined.machine)
    error = outcome(commit)
    assert isinstance(error, ConnectionLost)
    assert isinstance(error, CommitUnknown) is sent
    assert error.outcome == ("unknown" if sent else "not_sent")


def test_whose_answer_had_come_keeps_it() -> None:
    joined = Joined()
    joined.fetchval("echo $1", 0)
    requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in range(3)]
    joined.flush()
    answers = joined.answer()
    joined.hear(answers[: 2 * len(answers) // 3])
    break_line(joined.machine)
    assert [outcome(request) for request in requests[:2]] == [0, 1]
    assert lost(requests[2]) == "unknown"


def test_success_is_known_at_the_very_end() -> None:
    joined = Joined()
    joined.fetchval("echo $1", 0)
    request = joined.submit(joined.core.fetchval("echo $1", (1,), 0, None))
    joined.flush()
    answer = joined.answer()
    ready = m.ReadyForQuery("I").encode()
    assert answer.endswith(ready)
    joined.hear(answer[: -len(ready)])
    assert not request.done
    break_line(joined.machine)
    assert lost(request) == "unknown"


@pytest.mark.parametrize("end", [b"", None])
def test_how_it_ended_is_the_cause(end: bytes | None) -> None:
    joined = Joined()
    requests = [joined.submit(joined.core.fetchval("echo 1", (), 0, None)) for _ in range(3)]
    joined.flush()
    if end is None:
        break_line(joined.machine)
    else:
        joined.machine.receive_data(end)
    for request in requests:
        error = outcome(request)
        assert isinstance(error, ConnectionLost)
        assert error.__cause__ is joined.machine.failure
    late = joined.submit(joined.core.fetchval("echo 1", (), 0, None))
    assert lost(late) == "not_sent"


def test_a_fatal_error_ends_all() -> None:
    joined = Joined()
    joined.fetchval("echo $1", 0)
    requests = [joined.submit(joined.core.fetchval("echo $1", (n,), 0, None)) for n in range(3)]
    joined.flush()
    session = joined.peer
    assert isinstance(session, FakeSession)
    session.hang_up(errors.AdminShutdown("terminating connection due to administrator command"))
    joined.hear(joined.answer())
    assert isinstance(joined.machine.failure, errors.AdminShutdown)
    for request in requests:
        error = outcome(request)
        assert isinstance(error, ConnectionLost)
        assert "administrator" in str(error)
        assert isinstance(error.__cause__, errors.AdminShutdown)


# --- At every byte -----------------------------------------------------------------------------------------

Scenario = Callable[[Joined], list[Request[Any]]]


def _unknown_statements(joined: Joined) -> list[Request[Any]]:
    return [joined.submit(joined.core.execute(f"insert {n}", (n,), None)) for n in range(101, 104)]


def _known_statements(joined: Joined) -> list[Request[Any]]:
    joined.ask(joined.core.execute("insert 0", (0,), None))
    return [joined.submit(joined.core.execute("insert 0", (n,), None)) for n in range(101, 104)]


def _simple_queries(joined: Joined) -> list[Request[Any]]:
    return [joined.submit(joined.core.simple_query(f"insert {n}; echo {n}", None)) for n in range(3)]


def _mixed(joined: Joined) -> list[Request[Any]]:
    requests: list[Request[Any]] = [joined.core.execute("insert 1", (101,), None), joined.core.ping(None)]
    requests += [joined.core.simple_query("insert 2", None), joined.core.execute("oops", (), None)]
    requests += [joined.core.fetch("rows 3 7", (), None, None), joined.core.execute("insert 1", (102,), None)]
    return [joined.submit(request) for request in requests]


SCENARIOS = [_unknown_statements, _known_statements, _simple_queries, _mixed]


def _token(request: Request[Any]) -> tuple[bytes, ...]:
    """The argument that only this request has, as it travels."""
    return tuple([number.to_bytes(8, "big") for number in getattr(request, "_arguments", ())])


def _heard_of(session: FakeSession, request: Request[Any]) -> bool:
    """Whether the server has heard anything of this request."""
    token = _token(request)
    return any(
        (isinstance(each, m.Bind) and each.parameters == token and len(token) > 0)
        or (isinstance(each, m.Query) and each.query == request.sql)
        for each in session.heard
    )


def _executed(session: FakeSession, request: Request[Any]) -> bool:
    """Whether the server has been told completely to execute this request."""
    token = _token(request)
    bound = False
    for message in session.heard:
        match message:
            case m.Query() if message.query == request.sql:
                return True
            case m.Bind():
                bound = message.parameters == token and len(token) > 0
            case m.Execute() if bound:
                return True
            case _:
                ...
    return False


def _run(
    scenario: Scenario, *, to_server: int | None = None, to_client: int | None = None
) -> tuple[int, int]:
    """Play a scenario until the line breaks; returns how many bytes went either way."""
    session = FakeServer(echo)()
    joined = Joined(session)
    requests = scenario(joined)
    session.heard.clear()
    sent = received = 0
    while not joined.machine.is_idle:
        joined.flush()
        data, joined._to_server = joined._to_server, b""
        if to_server is not None:
            data = data[: max(0, to_server - sent)]
        sent += len(data)
        if data:
            session.receive_data(data)
        answer = session.data_to_send(joined.now)
        if to_client is not None:
            answer = answer[: max(0, to_client - received)]
        received += len(answer)
        joined.hear(answer)
        if not answer and not joined.machine.is_idle:
            break_line(joined.machine)
    for request in requests:
        assert request.done
        result = outcome(request)
        if isinstance(result, ConnectionLost):
            if result.outcome == "not_sent":
                assert not _heard_of(session, request)
            elif result.outcome == "not_committed":
                assert not _executed(session, request)
    return sent, received


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_server_hears_only_so_much(scenario: Scenario) -> None:
    total, _ = _run(scenario)
    for offset in range(total):
        _run(scenario, to_server=offset)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_client_hears_only_so_much(scenario: Scenario) -> None:
    _, total = _run(scenario)
    for offset in range(total):
        _run(scenario, to_client=offset)


def test_garbage_is_an_offence_and_a_short_stream_is_none() -> None:
    joined = Joined()
    request = joined.submit(joined.core.fetchval("echo 1", (), 0, None))
    joined.flush()
    joined.machine.receive_data(b"!garbage")
    assert isinstance(joined.machine.failure, RemoteProtocolError)
    assert isinstance(outcome(request), RemoteProtocolError)
    joined = Joined()
    request = joined.submit(joined.core.fetchval("echo 1", (), 0, None))
    joined.flush()
    answer = joined.answer()
    joined.machine.receive_data(answer[:7])
    joined.machine.receive_data(b"")
    assert isinstance(joined.machine.failure, ConnectionLost)
    assert lost(request) == "not_committed"


def test_the_outcome_of_a_batch_and_of_a_pipeline() -> None:
    server = FakeServer(lambda sql: Statement(["int8"], tag="INSERT 0 1"))
    joined = Joined(server())
    batch = joined.core.executemany("insert $1", None)
    joined.submit(batch)
    joined.settle()
    batch.add(joined.machine, [(n,) for n in range(3)])
    break_line(joined.machine)
    assert lost(batch) == "not_committed"
    joined = Joined(server())
    results = [joined.core.later_execute("insert $1", (n,)) for n in range(3)]
    joined.submit(joined.core.pipeline(results, None))
    joined.settle()
    assert [result.result() for result in results] == ["INSERT 0 1"] * 3
    results = [joined.core.later_execute("insert $1", (n,)) for n in range(3)]
    pipeline = joined.submit(joined.core.pipeline(results, None))
    joined.flush()
    break_line(joined.machine)
    assert lost(pipeline) == "unknown"
    with pytest.raises(ConnectionLost):
        results[1].result()


def test_a_pipeline_that_is_over_before_its_owner_hears_of_its_deadline() -> None:
    joined = Joined(FakeServer(echo)())
    joined.fetchval("echo 1")
    result = joined.core.later_fetchval("echo 1", (), 0)
    pipeline = joined.submit(joined.core.pipeline([result], 1.0))
    joined.flush()
    joined.now += 1.0
    joined.machine.tick()
    joined.settle()
    assert isinstance(outcome(pipeline), QueryTimeout)
    with pytest.raises(QueryTimeout):
        result.result()
