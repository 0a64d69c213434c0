"""`executemany` as a request of the machine: what leaves when, and what waits for answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgproto import DataError, Role
from pgproto import messages as m
from pgproto._session import Batch, RequestMachine
from pgproto._session._batch import _FIRST_PORTION, _PORTION, _UNANSWERED
from pgproto._short_way import ClientConnection
from pgproto.types import TypeRegistry
from tests.support.pair import drain, ready


class World:
    """A machine with one batch, whose statement is known, and the server."""

    def __init__(self, *oids: int) -> None:
        connection = ClientConnection(Role.FRONTEND)
        connection.send(m.StartupMessage({"user": "u"}))
        for message in (m.AuthenticationOk(), m.ReadyForQuery("I")):
            connection.receive_data(message.encode())
            connection.next_event()
        self.machine = RequestMachine(connection, clock=lambda: 0.0, types=TypeRegistry(), parameters={})
        self.server = ready(Role.BACKEND)
        self.batch = Batch("insert into t values ($1)", None)
        self.machine.submit(self.batch)
        assert [type(each) for each in self.heard()] == [m.Parse, m.Describe, m.Flush]
        self.says(m.ParseComplete(), m.ParameterDescription(oids), m.NoData())

    def heard(self) -> list[m.Message]:
        """What the machine has said."""
        data = self.machine.data_to_send()
        if data:
            self.server.receive_data(data)
        return drain(self.server)

    def says(self, *said: m.Message) -> None:
        self.machine.receive_data(b"".join([self.server.send(message) for message in said]))

    def answers(self, sets: int, tag: str = "INSERT 0 1") -> None:
        self.says(*[m.BindComplete(), m.CommandComplete(tag)] * sets)

    def wants_more(self) -> bool:
        return self.batch.wants_more

    def add(self, *sets: Any) -> int:
        """Add sets; returns how many left."""
        assert self.batch.wants_more
        self.batch.add(self.machine, sets)
        return sum(isinstance(message, m.Execute) for message in self.heard())


@pytest.fixture
def world() -> World:
    return World(25)


def test_the_first_portion_is_small_and_the_next_are_larger(world: World) -> None:
    size = len(m.Bind("", "", (1,), (b"x" * 100,)).encode() + m.Execute().encode())
    sets = [("x" * 100,)] * 50
    left: list[int] = []
    while world.wants_more():
        left += filter(None, [world.add(*sets)])
    world.answers(sum(left))
    assert size * (left[0] - 50) <= _FIRST_PORTION <= size * (left[0] + 1)
    assert 2 * _FIRST_PORTION < max(left) * size <= _PORTION + 50 * size
    assert left == sorted(left)


def test_large_sets_wait_for_answers(world: World) -> None:
    added = 0
    while world.wants_more():
        added += 1
        world.add(("x" * 50_000,))
    assert (added - 1) * 50_000 <= _UNANSWERED + _PORTION
    assert added < 10
    world.machine.take_stirred()
    while not world.wants_more():
        assert not world.machine.take_stirred()
        world.answers(1)
    assert world.machine.take_stirred() == [world.batch]
    world.answers(1)
    assert not world.machine.take_stirred()


def test_rows_are_added_up_whatever_the_tags(world: World) -> None:
    assert world.add(*[("x" * 1000,)] * 100) > 0
    world.batch.end(world.machine)
    said = world.heard()
    assert [type(message) for message in said[-3:]] == [m.Bind, m.Execute, m.Sync]
    tags = ["UPDATE 2", "UPDATE 0", "INSERT 0 1", "SELECT 5", "LOCK TABLE"]
    for tag in tags:
        world.answers(19, tag)
    world.says(*[m.BindComplete(), m.EmptyQueryResponse()] * 4)
    world.says(m.BindComplete(), m.DataRow((b"1",)), m.CommandComplete("INSERT 0 1"), m.ReadyForQuery("I"))
    assert world.batch.result() == 19 * 8 + 1


def test_what_is_added_after_a_refusal_is_dropped(world: World) -> None:
    assert world.add(*[("x" * 1000,)] * 10) > 0
    world.says(m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22012", "M": "no"}))
    assert [type(message) for message in world.heard()] == [m.Sync]
    world.batch.add(world.machine, [("x" * 1000,)] * 1000)
    assert world.heard() == []
    assert sum(map(len, world.batch._portion)) <= _PORTION
    world.batch.end(world.machine)
    world.says(m.ReadyForQuery("I"))
    assert world.batch.done
    with pytest.raises(Exception, match="no"):
        world.batch.result()


def _failing() -> Iterator[tuple[object]]:
    yield ("x",)
    raise OSError("the source has dried up")


@pytest.mark.parametrize(
    ("sets", "error", "why"),
    [
        ([("x",), (5,)], DataError, r"^args\[11\]: parameter \$1"),
        ([("x",), ("a", "b")], DataError, r"^args\[11\]: .* has 1 parameters; 2"),
        ([("x",), "y"], DataError, r"^args\[11\]: .* not str"),
        ([b"y"], DataError, r"^args\[10\]: .* not bytes"),
        ([("x",), 5], DataError, r"^args\[11\]: .* not int"),
        (_failing(), OSError, "dried up"),
    ],
)
def test_sets_that_do_not_fit(world: World, sets: Any, error: type[Exception], why: str) -> None:
    assert world.add(*[("x" * 1000,)] * 10) > 0
    with pytest.raises(error, match=why):
        world.batch.add(world.machine, sets)
    world.batch.take_back(world.machine)
    assert [type(message) for message in world.heard()] == [m.Parse, m.Sync]


def _keys(values: list[object]) -> object:
    return dict.fromkeys(values).keys()


@pytest.mark.parametrize("make", [list, iter, tuple, _keys])
def test_sets_of_any_kind(make: Callable[[Any], Any]) -> None:
    world = World(23, 25)
    world.batch.add(world.machine, [make([n, "x"]) for n in range(3)])
    world.batch.end(world.machine)
    values = [message.parameters for message in world.heard() if isinstance(message, m.Bind)]
    assert values == [(n.to_bytes(4, "big"), b"x") for n in range(3)]
