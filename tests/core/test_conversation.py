"""What a client and a server may say to each other in a session, told as conversations.

Both ends are real connections joined in memory, which check after each exchange that they see the same.
"""

from __future__ import annotations

import pytest

from pgproto import messages as m
from pgproto._state import Phase, Step
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message
from tests.support.pair import ConnectionPair, drain, snapshot

ERROR = m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22012", "M": "division by zero"})
FATAL = m.ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "57P01", "M": "terminating connection"})
NOTICE = m.NoticeResponse({"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "by the way"})
ONE_COLUMN = m.RowDescription((m.FieldDescription("?column?", type_oid=23, type_size=4),))
ROW = m.DataRow((b"1",))
DONE = m.CommandComplete("SELECT 1")
IDLE = m.ReadyForQuery("I")


@pytest.fixture
def pair() -> ConnectionPair:
    pair = ConnectionPair()
    pair.start()
    return pair


# Simple query.


def test_a_simple_query(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1"))
    assert pair.client.pending == 1
    pair.server_sends(ONE_COLUMN, ROW, ROW, DONE)
    assert pair.client.pending == 1  # the transaction may still fail to commit
    pair.server_sends(m.ReadyForQuery("T"))
    assert pair.client.pending == 0
    assert pair.client.transaction_status == "T"


def test_several_statements_in_one_query(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1; create table t (); select 1"))
    pair.server_sends(ONE_COLUMN, ROW, DONE, m.CommandComplete("CREATE TABLE"), ONE_COLUMN, DONE, IDLE)


def test_an_empty_query(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query(""))
    pair.server_sends(m.EmptyQueryResponse(), IDLE)


@pytest.mark.parametrize(
    "before",
    [(), (ONE_COLUMN,), (ONE_COLUMN, ROW), (ONE_COLUMN, ROW, DONE), (m.CommandComplete("BEGIN"),)],
    ids=len,
)
def test_a_simple_query_can_fail_anywhere(pair: ConnectionPair, before: tuple[Message, ...]) -> None:
    """Even behind CommandComplete, for the commit comes later."""
    pair.client_sends(m.Query("select 1/0"))
    pair.server_sends(*before, ERROR, m.ReadyForQuery("E"))
    assert pair.client.pending == 0
    assert pair.client.transaction_status == "E"


def test_after_its_error_a_query_brings_nothing_but_ready_for_query(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1/0"))
    pair.server_sends(ERROR)
    for message in (ONE_COLUMN, DONE, ERROR, m.EmptyQueryResponse()):
        with pytest.raises(LocalProtocolError):
            pair.server.send(message)
    pair.server_sends(IDLE)


def test_queries_may_be_pipelined(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1"), m.Query(""), m.Query("select 1/0"))
    assert pair.client.pending == 3
    pair.server_sends(ONE_COLUMN, ROW, DONE, IDLE)
    assert pair.client.pending == 2
    pair.server_sends(m.EmptyQueryResponse(), IDLE, ERROR, IDLE)
    assert pair.client.pending == 0


# Extended query.


def test_an_extended_query(pair: ConnectionPair) -> None:
    pair.client_sends(
        m.Parse("s", "select $1::int", (23,)),
        m.Describe("S", "s"),
        m.Bind("", "s", (1,), (b"\x00\x00\x00\x01",), (1,)),
        m.Describe("P", ""),
        m.Execute("", 0),
        m.Close("S", "s"),
        m.Sync(),
    )
    assert pair.client.pending == 7
    pair.server_sends(m.ParseComplete(), m.ParameterDescription((23,)), ONE_COLUMN)
    assert pair.client.pending == 5
    pair.server_sends(m.BindComplete(), ONE_COLUMN, ROW, ROW, DONE, m.CloseComplete())
    assert pair.client.pending == 1
    pair.server_sends(IDLE)
    assert pair.client.pending == 0


def test_a_statement_without_rows(pair: ConnectionPair) -> None:
    pair.client_sends(m.Parse("", "begin"), m.Describe("S"), m.Bind(), m.Execute(), m.Sync())
    pair.server_sends(
        m.ParseComplete(), m.ParameterDescription(), m.NoData(), m.BindComplete(), m.CommandComplete("BEGIN")
    )
    pair.server_sends(m.ReadyForQuery("T"))


def test_a_portal_that_is_read_in_parts(pair: ConnectionPair) -> None:
    pair.client_sends(m.Bind(), m.Execute("", 2), m.Flush())
    pair.server_sends(m.BindComplete(), ROW, ROW, m.PortalSuspended())
    assert pair.client.pending == 0
    pair.client_sends(m.Execute("", 2), m.Sync())
    pair.server_sends(ROW, DONE, IDLE)


def test_a_flush_brings_no_answer_of_its_own(pair: ConnectionPair) -> None:
    pair.client_sends(m.Flush())
    assert pair.client.pending == 0
    with pytest.raises(LocalProtocolError, match="nothing was asked"):
        pair.server.send(IDLE)


def test_answers_come_in_the_order_of_the_questions(pair: ConnectionPair) -> None:
    pair.client_sends(m.Parse("", "select 1"), m.Bind(), m.Sync())
    for message in (m.BindComplete(), IDLE, m.CloseComplete(), ROW, DONE, m.NoData()):
        with pytest.raises(LocalProtocolError, match=r"PARSE.*goes on with ParseComplete"):
            pair.server.send(message)
    pair.server_sends(m.ParseComplete(), m.BindComplete(), IDLE)


# Errors in a pipeline.


def test_an_error_is_followed_by_nothing_up_to_the_next_sync(pair: ConnectionPair) -> None:
    pair.client_sends(m.Parse("", "?"), m.Bind(), m.Execute(), m.Sync())
    pair.server_sends(ERROR)
    assert pair.client.pending == 1
    assert pair.client.step is Step.SYNC
    pair.server_sends(IDLE)


def test_groups_behind_a_failed_one_get_their_own_answers(pair: ConnectionPair) -> None:
    group = (m.Bind(), m.Execute(), m.Sync())
    pair.client_sends(*group, *group, *group)
    pair.server_sends(m.BindComplete(), DONE, IDLE)
    pair.server_sends(m.BindComplete(), ERROR, IDLE)
    pair.server_sends(m.BindComplete(), ROW, DONE, IDLE)
    assert pair.client.pending == 0


def test_the_server_skips_what_comes_behind_an_error(pair: ConnectionPair) -> None:
    """What the client sends before it has heard of the error is dropped, of whatever kind, up to Sync."""
    pair.client_sends(m.Parse("", "?"), m.Flush())
    pair.server_sends(ERROR)
    skipped = (m.Bind(), m.Execute(), m.Flush(), m.Query("select 1"), m.FunctionCall(1), m.Describe("P"))
    pair.client_sends(*skipped, expect=[])
    assert pair.client.pending == 0
    pair.client_sends(m.Sync())
    pair.server_sends(IDLE)
    pair.client_sends(m.Query("select 1"))
    assert pair.client.pending == 1


def test_what_was_sent_before_the_error_is_skipped_too(pair: ConnectionPair) -> None:
    pair.client_sends(m.Parse("", "?"), m.Bind(), m.Query("select 1"), m.FunctionCall(1))
    pair.server_sends(ERROR)
    assert pair.client.pending == 0
    pair.client_sends(m.Parse("", ""), expect=[])
    pair.client_sends(m.Sync())
    pair.server_sends(IDLE)


def test_a_simple_query_that_fails_skips_nothing(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1/0"), m.Parse("", ""), m.Sync())
    pair.server_sends(ERROR, IDLE, m.ParseComplete(), IDLE)


def test_the_implicit_commit_at_sync_can_fail(pair: ConnectionPair) -> None:
    """A deferred constraint: all statements succeed, and then it was for nothing."""
    pair.client_sends(m.Bind(), m.Execute(), m.Sync())
    pair.server_sends(m.BindComplete(), m.CommandComplete("INSERT 0 1"), ERROR)
    assert pair.client.pending == 1
    with pytest.raises(LocalProtocolError):
        pair.server.send(ERROR)
    pair.server_sends(IDLE)
    assert pair.client.pending == 0


def test_there_is_one_ready_for_query_for_each_sync(pair: ConnectionPair) -> None:
    pair.client_sends(m.Sync(), m.Sync())
    pair.server_sends(IDLE, IDLE)
    with pytest.raises(LocalProtocolError, match="nothing was asked"):
        pair.server.send(IDLE)
    pair.client.receive_data(IDLE.encode())
    with pytest.raises(RemoteProtocolError, match="nothing was asked"):
        pair.client.next_event()


# Function call.


def test_a_function_call(pair: ConnectionPair) -> None:
    pair.client_sends(m.FunctionCall(1598, (), (b"0.5",), 0))
    pair.server_sends(m.FunctionCallResponse(b"1"), IDLE)


def test_a_function_call_can_fail_before_and_after_its_result(pair: ConnectionPair) -> None:
    pair.client_sends(m.FunctionCall(1), m.FunctionCall(1))
    pair.server_sends(ERROR, IDLE)
    # The function has returned, and then its transaction fails to commit.
    pair.server_sends(m.FunctionCallResponse(None), ERROR, IDLE)
    assert pair.client.pending == 0


# What a server may say unasked.


@pytest.mark.parametrize(
    "unasked", [NOTICE, m.NotificationResponse(7, "c", "p"), m.ParameterStatus("a", "b")]
)
def test_unasked_messages_come_between_any_others(pair: ConnectionPair, unasked: Message) -> None:
    pair.server_sends(unasked)
    pair.client_sends(m.Query("select 1"), m.Bind(), m.Execute(), m.Sync())
    for message in (ONE_COLUMN, ROW, ROW, DONE, IDLE, m.BindComplete(), ROW, ERROR, IDLE):
        before = snapshot(pair.client)
        pair.server_sends(unasked, unasked)
        assert snapshot(pair.client) == before
        pair.server_sends(message)
    pair.server_sends(unasked)


def test_notices_may_come_while_the_session_starts() -> None:
    pair = ConnectionPair()
    pair.client_sends(m.StartupMessage({"user": "u"}))
    pair.server_sends(NOTICE, m.AuthenticationOk(), NOTICE, m.ParameterStatus("a", "b"), NOTICE, IDLE)


# The end.


def test_terminate(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1"))
    pair.client_sends(m.Terminate())
    assert pair.client.phase is Phase.CLOSING
    assert pair.client.pending == 0
    for connection in (pair.client, pair.server):
        closed: list[bool] = []
        for data in (b"what nobody reads any more", b""):
            connection.receive_data(data)
            assert drain(connection) == []
            closed.append(connection.is_closed)
        assert closed == [False, True]
        with pytest.raises(LocalProtocolError):
            connection.send(m.Terminate())


@pytest.mark.parametrize(
    "asked", [(), (m.Query("select 1"),), (m.Bind(), m.Execute()), (m.Sync(), m.Query(""))], ids=len
)
def test_a_fatal_error_ends_the_session_whatever_was_asked(
    pair: ConnectionPair, asked: tuple[Message, ...]
) -> None:
    pair.client_sends(*asked)
    pair.server_sends(FATAL)
    assert pair.client.pending == 0
    assert pair.client.phase is Phase.CLOSING
    with pytest.raises(LocalProtocolError):
        pair.client.send(m.Query("select 1"))
    with pytest.raises(LocalProtocolError):
        pair.server.send(IDLE)
    pair.client.receive_data(b"")
    assert drain(pair.client) == []
    assert pair.client.is_closed


def test_an_error_that_answers_nothing_must_be_fatal(pair: ConnectionPair) -> None:
    with pytest.raises(LocalProtocolError, match="nothing was asked"):
        pair.server.send(ERROR)
    pair.client.receive_data(ERROR.encode())
    with pytest.raises(RemoteProtocolError, match="nothing was asked"):
        pair.client.next_event()


# Rows.


def test_rows_have_the_columns_that_were_announced(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("select 1"))
    pair.server_sends(ONE_COLUMN)
    wrong = m.DataRow((b"1", b"2"))
    with pytest.raises(LocalProtocolError, match="a row of 2 columns in a result of 1"):
        pair.server.send(wrong)
    pair.server_sends(ROW)
    pair.client.receive_data(wrong.encode())
    with pytest.raises(RemoteProtocolError, match="a row of 2 columns in a result of 1"):
        pair.client.next_event()


def test_each_result_has_its_own_columns(pair: ConnectionPair) -> None:
    two = m.RowDescription((m.FieldDescription("a"), m.FieldDescription("b")))
    pair.client_sends(m.Query("select 1; select 1, 2"), m.Execute(), m.Execute(), m.Sync())
    pair.server_sends(ONE_COLUMN, ROW, DONE, two, m.DataRow((None, None)), DONE, IDLE)
    pair.server_sends(ROW, ROW, DONE, m.DataRow(()), m.DataRow(()), DONE, IDLE)


def test_rows_sent_together_are_taken_all_or_none(pair: ConnectionPair) -> None:
    pair.client_sends(m.Execute())
    data = ROW.encode() + m.DataRow(()).encode()
    before = snapshot(pair.server)
    with pytest.raises(LocalProtocolError, match=r"rows of \[0, 1\] columns"):
        pair.server.send(m.DataRows(data, [0, len(ROW.encode())]))
    assert snapshot(pair.server) == before
    both = m.DataRows(ROW.encode() * 2, [0, len(ROW.encode())])
    pair.server_sends(both, expect=[ROW, ROW])
    with pytest.raises(LocalProtocolError, match="a row of 0 columns in a result of 1"):
        pair.server.send(m.DataRows(data[len(ROW.encode()) :], [0]))
    assert pair.client.step is Step.EXECUTE_ROWS
