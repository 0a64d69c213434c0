"""COPY in its three directions, and all the ways in which it ends."""

from __future__ import annotations

import pytest

from pgproto import messages as m
from pgproto._state import Step
from pgproto.errors import LocalProtocolError
from pgproto.messages import Message
from tests.support.pair import ConnectionPair, drain, snapshot

ERROR = m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22P04", "M": "bad copy data"})
DATA = m.CopyData(b"1\t2\n")
COPIED = m.CommandComplete("COPY 2")
IDLE = m.ReadyForQuery("I")
TO_SERVER = m.CopyInResponse(0, (0, 0))
TO_CLIENT = m.CopyOutResponse(0, (0, 0))


@pytest.fixture
def pair() -> ConnectionPair:
    pair = ConnectionPair()
    pair.start()
    return pair


@pytest.fixture(params=["simple", "extended"])
def copying(request: pytest.FixtureRequest, pair: ConnectionPair) -> ConnectionPair:
    """A pair whose client has asked for COPY; with the extended query, a Sync is still to come."""
    if request.param == "simple":
        pair.client_sends(m.Query("copy"))
    else:
        pair.client_sends(m.Parse("", "copy"), m.Bind(), m.Execute())
        pair.server_sends(m.ParseComplete(), m.BindComplete())
    return pair


def finish(pair: ConnectionPair) -> None:
    """What is left, once the copy is over: a Sync if it was an extended query, and ReadyForQuery."""
    if pair.client.pending == 0:
        pair.client_sends(m.Sync())
    pair.server_sends(IDLE)
    assert pair.client.pending == 0
    pair.client_sends(m.Query(""))
    pair.server_sends(m.EmptyQueryResponse(), IDLE)


# To the server.


def test_copy_in(copying: ConnectionPair) -> None:
    copying.server_sends(TO_SERVER)
    copying.client_sends(DATA, m.CopyData(b""), DATA)
    copying.client_sends(m.CopyDone())
    copying.server_sends(COPIED)
    finish(copying)


def test_copy_in_of_nothing(copying: ConnectionPair) -> None:
    copying.server_sends(TO_SERVER)
    copying.client_sends(m.CopyDone())
    copying.server_sends(COPIED)
    finish(copying)


def test_the_client_gives_up(copying: ConnectionPair) -> None:
    copying.server_sends(TO_SERVER)
    copying.client_sends(DATA, m.CopyFail("changed my mind"))
    for impossible in (COPIED, IDLE, TO_SERVER):
        with pytest.raises(LocalProtocolError):
            copying.server.send(impossible)
    copying.server_sends(ERROR)
    finish(copying)


def test_the_server_gives_up(copying: ConnectionPair) -> None:
    copying.server_sends(TO_SERVER)
    copying.client_sends(DATA)
    copying.server_sends(ERROR)
    finish(copying)


def test_the_server_gives_up_at_the_end(copying: ConnectionPair) -> None:
    copying.server_sends(TO_SERVER)
    copying.client_sends(DATA, m.CopyDone())
    copying.server_sends(ERROR)
    finish(copying)


@pytest.mark.parametrize(
    "late", [DATA, m.CopyDone(), m.CopyFail("late")], ids=lambda late: type(late).__name__
)
def test_the_server_ignores_what_was_sent_before_its_error_arrived(
    copying: ConnectionPair, late: Message
) -> None:
    copying.server_sends(TO_SERVER)
    error = copying.server.send(ERROR)
    # The client does not know yet.
    copying.server.receive_data(copying.client.send(DATA) + copying.client.send(late))
    assert drain(copying.server) == []
    copying.client.receive_data(error)
    assert drain(copying.client) == [ERROR]
    copying.check_agreement()
    with pytest.raises(LocalProtocolError, match="has not asked for copy data"):
        copying.client.send(late)
    finish(copying)


def test_copy_data_needs_to_be_asked_for(pair: ConnectionPair) -> None:
    """No client can be made to send its data, and no server gets any while it runs a query."""
    for asked in ((), (m.Query("select 1"),), (m.Sync(), m.Execute())):
        pair.client_sends(*asked)
        for message in (DATA, m.CopyDone(), m.CopyFail("")):
            before = snapshot(pair.client)
            with pytest.raises(LocalProtocolError, match="has not asked for copy data"):
                pair.client.send(message)
            assert snapshot(pair.client) == before
    for unasked in (TO_SERVER, TO_CLIENT, m.CopyBothResponse()):
        fresh = ConnectionPair()
        fresh.start()
        fresh.client_sends(m.Parse("", ""))
        with pytest.raises(LocalProtocolError, match="PARSE"):
            fresh.server.send(unasked)


def test_nothing_else_is_said_in_the_midst_of_copy(copying: ConnectionPair) -> None:
    copying.server_sends(TO_SERVER)
    before = snapshot(copying.client)
    for message in (m.Query(""), m.Parse("", ""), m.Bind(), m.Execute(), m.FunctionCall(1), m.Sync()):
        with pytest.raises(LocalProtocolError, match="in the midst of COPY"):
            copying.client.send(message)
    with pytest.raises(LocalProtocolError, match="in COPY"):
        copying.client.send_group(b"", (Step.SYNC,))
    assert snapshot(copying.client) == before
    copying.client_sends(m.Flush(), expect=[])


def test_a_sync_that_was_sent_before_the_copy_was_known_is_never_answered(copying: ConnectionPair) -> None:
    """The server finds it among the copy data, and ignores it."""
    early = copying.client.send(m.Sync())
    copying.client.receive_data(copying.server.send(TO_SERVER))
    assert drain(copying.client) == [TO_SERVER]
    copying.server.receive_data(early)
    assert drain(copying.server) == []
    copying.check_agreement()
    copying.client_sends(DATA, m.CopyDone())
    copying.server_sends(COPIED)
    finish(copying)


def test_a_sync_that_was_read_before_the_copy_began_is_not_answered_either(copying: ConnectionPair) -> None:
    copying.client_sends(m.Sync(), m.Sync())
    copying.server_sends(TO_SERVER)
    assert copying.client.pending == 1
    copying.client_sends(m.CopyDone())
    copying.server_sends(COPIED)
    finish(copying)


def test_a_sync_behind_the_end_of_the_copy_is_answered(pair: ConnectionPair) -> None:
    pair.client_sends(m.Execute())
    pair.server_sends(TO_SERVER)
    pair.client_sends(DATA, m.CopyDone(), m.Sync())
    assert pair.client.pending == 2
    pair.server_sends(COPIED, IDLE)
    pair.client_sends(m.Execute())
    pair.server_sends(TO_SERVER)
    pair.client_sends(m.CopyFail(""), m.Sync())
    pair.server_sends(ERROR, IDLE)
    assert pair.client.pending == 0


# To the client.


def test_copy_out(copying: ConnectionPair) -> None:
    copying.server_sends(TO_CLIENT, DATA, DATA)
    with pytest.raises(LocalProtocolError):
        copying.server.send(COPIED)
    copying.server_sends(m.CopyDone(), COPIED)
    finish(copying)


@pytest.mark.parametrize("before", [(), (DATA,), (DATA, m.CopyDone())], ids=len)
def test_copy_out_fails(copying: ConnectionPair, before: tuple[Message, ...]) -> None:
    copying.server_sends(TO_CLIENT, *before, ERROR)
    finish(copying)


def test_a_client_may_go_on_asking_during_copy_out(copying: ConnectionPair) -> None:
    copying.server_sends(TO_CLIENT, DATA)
    copying.client_sends(m.Sync(), m.Query(""))
    copying.server_sends(DATA, m.CopyDone(), COPIED, IDLE)
    copying.server_sends(*([m.EmptyQueryResponse(), IDLE] if copying.client.step is Step.QUERY else [IDLE]))


def test_statements_around_copy_in_one_query(pair: ConnectionPair) -> None:
    pair.client_sends(m.Query("copy t from stdin; copy t to stdout; copy t from stdin"))
    pair.server_sends(TO_SERVER)
    pair.client_sends(DATA, m.CopyDone())
    pair.server_sends(COPIED, TO_CLIENT, DATA, m.CopyDone(), COPIED, TO_SERVER)
    pair.client_sends(m.CopyFail("enough"))
    pair.server_sends(ERROR)
    finish(pair)


# Both ways, as streaming replication does.


@pytest.fixture
def both(pair: ConnectionPair) -> ConnectionPair:
    pair.client_sends(m.Query("start_replication"))
    pair.server_sends(m.CopyBothResponse())
    pair.client_sends(DATA)
    pair.server_sends(DATA)
    return pair


def test_the_client_ends_copy_both_first(both: ConnectionPair) -> None:
    both.client_sends(m.CopyDone())
    with pytest.raises(LocalProtocolError):
        both.client.send(DATA)
    both.server_sends(DATA, m.CopyDone())
    both.server_sends(m.CommandComplete("START_STREAMING"), IDLE)
    assert both.client.pending == 0


def test_the_server_ends_copy_both_first(both: ConnectionPair) -> None:
    """As it does at the end of a timeline, whose successor comes as a result."""
    both.server_sends(m.CopyDone())
    with pytest.raises(LocalProtocolError):
        both.server.send(DATA)
    both.client_sends(DATA, m.CopyDone())
    successor = m.RowDescription((m.FieldDescription("next_tli"),))
    both.server_sends(successor, m.DataRow((b"2",)), m.CommandComplete("START_STREAMING"), IDLE)


def test_the_client_breaks_copy_both_off(both: ConnectionPair) -> None:
    """What the server has sent until it sees CopyFail still arrives."""
    both.client_sends(m.CopyFail("stop"))
    both.server_sends(DATA, DATA, m.CopyDone(), ERROR, IDLE)
    assert both.client.pending == 0


def test_the_client_breaks_off_what_the_server_has_ended(both: ConnectionPair) -> None:
    both.server_sends(m.CopyDone())
    both.client_sends(m.CopyFail("stop"))
    with pytest.raises(LocalProtocolError):
        both.server.send(DATA)
    both.server_sends(ERROR, IDLE)


@pytest.mark.parametrize("ended", ["nobody", "client", "server"])
def test_the_server_breaks_copy_both_off(both: ConnectionPair, ended: str) -> None:
    if ended == "client":
        both.client_sends(m.CopyDone())
    elif ended == "server":
        both.server_sends(m.CopyDone())
    both.server_sends(ERROR, IDLE)
    assert both.client.pending == 0


def test_an_extended_query_cannot_begin_copy_both(pair: ConnectionPair) -> None:
    pair.client_sends(m.Execute())
    with pytest.raises(LocalProtocolError):
        pair.server.send(m.CopyBothResponse())
