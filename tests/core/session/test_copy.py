"""COPY as requests of the machine, against a server in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

from pgproto import (
    ConnectionLost,
    DataError,
    LocalProtocolError,
    QueryCanceled,
    RemoteProtocolError,
    Role,
)
from pgproto import messages as m
from pgproto._session import CopyBlock, CopyIn, CopyOut, RequestMachine, copy_records_sql
from pgproto._session._copy import UNREAD, UNSENT
from pgproto._session._simple import Ping
from pgproto._short_way import ClientConnection
from pgproto._verbs import _async_copy, _blocking_copy
from pgproto.types import TypeRegistry
from tests.support.pair import drain, ready, start

INT4 = m.FieldDescription("a", 0, 0, 23, 4, -1, 0)
FAILED = m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "57014", "M": "COPY from stdin failed"})
BROKEN = m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22P04", "M": "bad"})


class World:
    """A machine, and a server that says what a test tells it to."""

    def __init__(self) -> None:
        self.machine = RequestMachine(
            start(ClientConnection(Role.FRONTEND)),
            clock=lambda: 0.0,
            types=TypeRegistry(),
            parameters={},
            can_cancel=True,
        )
        self.server = ready(Role.BACKEND)

    def heard(self) -> list[m.Message]:
        """What the machine has said."""
        self.server.receive_data(self.machine.data_to_send() or m.Flush().encode())
        return [message for message in drain(self.server) if not isinstance(message, m.Flush)]

    def says(self, *said: m.Message) -> None:
        for message in said:
            self.machine.receive_data(self.server.send(message))

    def describes(self) -> None:
        """Answer the question for the columns' types."""
        asked = self.heard()
        assert [type(each) for each in asked] == [m.Parse, m.Describe]
        self.says(m.ParseComplete(), m.ParameterDescription(()), m.RowDescription((INT4,)))

    def begins(self, response: m.Message) -> None:
        asked = self.heard()
        assert [type(each) for each in asked] == [m.Parse, m.Bind, m.Execute]
        self.says(m.ParseComplete(), m.BindComplete(), response)


@pytest.fixture
def world() -> World:
    return World()


def opened(world: World, sql: str = "copy t from stdin") -> CopyIn:
    copy = CopyIn(sql, None)
    world.machine.submit(copy)
    world.describes()
    world.begins(m.CopyInResponse(0, (0,)))
    assert copy.is_open(world.machine)
    return copy


def test_a_copy_in(world: World) -> None:
    copy = opened(world)
    ping = Ping()
    world.machine.submit(ping)
    copy.add(b"1\n")
    copy.add_rows(iter([(2,), (None,)]))
    copy.send(world.machine)
    # Nobody else is served meanwhile.
    assert world.heard() == [m.CopyData(b"1\n2\n\\N\n")]
    copy.finish(world.machine)
    heard = world.heard()
    assert heard[:2] == [m.CopyDone(), m.Sync()]
    world.says(m.CommandComplete("COPY 3"), m.ReadyForQuery("I"))
    assert copy.result() == "COPY 3"
    assert (copy.row_count, copy.byte_count) == (3, 7)
    assert [*heard[2:], *world.heard()] == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    assert ping.done


def test_giving_up(world: World) -> None:
    copy = opened(world)
    copy.add(b"1\n")
    copy.give_up(world.machine, "ValueError")
    fail, sync = world.heard()
    assert fail == m.CopyFail("the client gave up the copy: ValueError")
    assert sync == m.Sync()
    world.says(FAILED, m.ReadyForQuery("I"))
    assert copy.done
    with pytest.raises(QueryCanceled):
        copy.result()


def test_the_server_refuses_in_the_middle(world: World) -> None:
    copy = opened(world)
    world.says(BROKEN)
    assert not copy.is_open(world.machine)
    assert copy.has_room(world.machine)
    copy.add(b"1\n")
    copy.send(world.machine)
    copy.finish(world.machine)
    copy.give_up(world.machine, "nothing")
    assert world.heard() == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    assert copy.done


def abandon_waiting(world: World) -> CopyIn:
    copy = CopyIn("copy t from stdin", None)
    world.machine.submit(copy)
    world.machine.abandon(copy)
    return copy


def abandon_describing(world: World) -> CopyIn:
    copy = CopyIn("copy t from stdin", None)
    world.machine.submit(copy)
    world.heard()
    world.machine.abandon(copy)
    world.says(m.ParseComplete(), m.ParameterDescription(()), m.RowDescription((INT4,)))
    assert world.heard() == [m.Sync()]
    return copy


def abandon_starting(world: World) -> CopyIn:
    copy = CopyIn("copy t from stdin", None)
    world.machine.submit(copy)
    world.describes()
    world.heard()
    world.machine.abandon(copy)
    world.says(m.ParseComplete(), m.BindComplete(), m.CopyInResponse(0, (0,)))
    assert [type(each) for each in world.heard()] == [m.CopyFail, m.Sync]
    world.says(FAILED)
    return copy


def abandon_copying(world: World) -> CopyIn:
    copy = opened(world)
    world.machine.abandon(copy)
    assert [type(each) for each in world.heard()] == [m.CopyFail, m.Sync]
    world.says(FAILED)
    return copy


def abandon_ending(world: World) -> CopyIn:
    copy = opened(world)
    copy.finish(world.machine)
    world.machine.abandon(copy)
    assert world.heard() == [m.CopyDone(), m.Sync()]
    world.says(m.CommandComplete("COPY 0"))
    return copy


@pytest.mark.parametrize(
    "leave", [abandon_waiting, abandon_describing, abandon_starting, abandon_copying, abandon_ending]
)
def test_leaving_at_any_time(world: World, leave: Callable[[World], CopyIn]) -> None:
    copy = leave(world)
    if leave is not abandon_waiting:
        world.says(m.ReadyForQuery("I"))
    if world.machine.take_cancel():
        world.machine.cancel_delivered()
    assert copy.done
    assert world.machine.is_idle
    ping = Ping()
    world.machine.submit(ping)
    assert world.heard() == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    assert ping.done


def test_backpressure(world: World) -> None:
    copy = opened(world)
    world.machine.take_stirred()
    while copy.has_room(world.machine):
        copy.add(b"x" * 60_000)
        copy.send(world.machine)
    assert UNSENT < world.machine.unsent < UNSENT + 70_000
    assert world.machine.take_stirred() == []
    world.heard()
    assert world.machine.take_stirred() == [copy]
    assert copy.has_room(world.machine)


def test_large_data_goes_in_pieces() -> None:
    copy = CopyIn("copy t from stdin", None)
    data = bytes(range(256)) * 1000
    assert b"".join(copy.pieces(memoryview(data))) == data
    assert max(map(len, copy.pieces(data))) <= 65_536
    with pytest.raises(DataError, match="surrogate"):
        list(copy.pieces("\ud800"))


@pytest.mark.parametrize("finished", [True, False])
def test_the_outcome_of_a_loss(world: World, finished: bool) -> None:
    copy = opened(world)
    if finished:
        copy.finish(world.machine)
        world.heard()
    world.machine.connection_lost(OSError("gone"))
    with pytest.raises(ConnectionLost) as caught:
        copy.result()
    assert caught.value.outcome == ("unknown" if finished else "not_committed")


def test_statements_of_another_kind_are_not_sent(world: World) -> None:
    for copy in (
        CopyIn("select 1", None),
        CopyIn("copy t to stdout", None),
        CopyOut("copy t from stdin", None),
    ):
        world.machine.submit(copy)
        assert world.heard() == []
        with pytest.raises(DataError):
            copy.result()


def test_what_turns_out_to_copy_the_other_way(world: World) -> None:
    copy = CopyIn('copy U&"t" to stdout', None)
    world.machine.submit(copy)
    world.begins(m.CopyOutResponse(0, (0,)))
    world.says(m.CopyData(b"1\n"), m.CopyDone(), m.CommandComplete("COPY 1"))
    assert world.heard() == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    with pytest.raises(DataError, match="sends data"):
        copy.result()


def test_what_turns_out_to_ask_for_data(world: World) -> None:
    out = CopyOut('copy U&"t" from stdin', None)
    world.machine.submit(out)
    world.begins(m.CopyInResponse(0, (0,)))
    assert [type(each) for each in world.heard()] == [m.CopyFail, m.Sync]
    world.says(FAILED, m.ReadyForQuery("I"))
    with pytest.raises(DataError, match="asks for data"):
        out.result()


def test_a_copy_between_the_server_and_its_files_is_undone(world: World) -> None:
    copy = CopyIn("copy U&\"t\" from '/file'", None)
    world.machine.submit(copy)
    world.begins(m.CommandComplete("COPY 5"))
    assert [type(each) for each in world.heard()] == [m.Parse, m.Sync]
    world.says(FAILED, m.ReadyForQuery("I"))
    with pytest.raises(DataError, match="own files"):
        copy.result()


def test_when_the_columns_cannot_be_described_the_copy_goes_without(world: World) -> None:
    copy = CopyIn("copy t from stdin", None)
    world.machine.submit(copy)
    world.heard()
    world.says(BROKEN)
    assert world.heard() == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    assert not copy.done
    world.begins(m.CopyInResponse(0, (0,)))
    with pytest.raises(DataError, match="types of the columns"):
        copy.add_rows(iter([(1,)]))


def reading(world: World) -> CopyOut:
    out = CopyOut("copy t to stdout", None)
    world.machine.submit(out)
    world.begins(m.CopyOutResponse(0, (0,)))
    return out


def paused(world: World) -> bool:
    return world.machine.reading_paused


def test_a_copy_out_pauses_the_reading(world: World) -> None:
    out = reading(world)
    sent = 0
    while not paused(world):
        world.says(m.CopyData(b"x" * 50_000))
        sent += 50_000
    assert UNREAD < sent <= UNREAD + 50_000
    taken = 0
    while paused(world):
        taken += len(out.take(world.machine))
    assert sent - taken <= UNREAD // 2
    world.says(m.CopyDone(), m.CommandComplete("COPY 9"))
    assert world.heard() == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    while out.has_data:
        taken += len(out.take(world.machine))
    assert taken == out.byte_count == sent
    assert out.result() == "COPY 9"


def test_leaving_a_copy_out(world: World) -> None:
    out = reading(world)
    world.says(m.CopyData(b"x" * (UNREAD + 1)))
    assert paused(world)
    world.machine.abandon(out)
    assert not paused(world)
    assert world.machine.take_cancel()
    world.machine.cancel_delivered()
    world.says(m.CopyData(b"x" * 100), FAILED)
    assert not out.has_data
    assert world.heard() == [m.Sync()]
    world.says(m.ReadyForQuery("I"))
    assert world.machine.is_idle


def test_copy_data_that_nobody_asked_for(world: World) -> None:
    ping = Ping()
    world.machine.submit(ping)
    world.heard()
    world.machine.receive_data(m.CopyInResponse(0, ()).encode())
    with pytest.raises(RemoteProtocolError):
        ping.result()


def test_inside_of_a_block(world: World) -> None:
    block = CopyBlock(world.machine)
    block.enter()
    ping = Ping()
    world.machine.submit(ping)
    with pytest.raises(LocalProtocolError, match="COPY is under way"):
        ping.result()
    block.leave()
    world.machine.submit(again := Ping())
    assert world.heard() == [m.Sync()]
    assert not again.done


def test_names_are_quoted() -> None:
    assert copy_records_sql("t", None, None) == 'COPY "t" FROM STDIN (FORMAT binary)'
    assert copy_records_sql('a"b', ["c", "D"], "s") == 'COPY "s"."a""b" ("c", "D") FROM STDIN (FORMAT binary)'
    for wrong in (("", None), ("t", "abc"), ("t", ["\0"])):
        with pytest.raises(DataError):
            copy_records_sql(wrong[0], wrong[1], None)


DUNDERS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}


def shape(module: ModuleType, name: str) -> dict[str, list[str]]:
    """The names in a class, with their parameters where they have some."""
    kind: type[object] = getattr(module, name)
    members: dict[str, object] = dict(vars(kind))
    # Only where there are threads may the end of a block not be called: it can be interrupted before.
    members.pop("__del__", None)
    return {
        DUNDERS.get(each, each): list(inspect.signature(member).parameters)
        if inspect.isfunction(member)
        else []
        for each, member in members.items()
    }


def test_the_twins_have_the_same_names_and_parameters() -> None:
    for name in _async_copy.__all__:
        assert shape(_async_copy, name) == shape(_blocking_copy, name.replace("Async", "Blocking"))
