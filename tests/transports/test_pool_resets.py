"""Resets that are not waited for: what they cost, and what becomes of those that fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pgproto import ConnectionLost, SerializationFailure
from pgproto.testing import FakeSession, Statement
from tests.transports.stage import ADD, LATENCY, Stage, answer
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

TIMES = 5


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What servers hear, each time that they hear something."""
    heard: list[bytes] = []
    receive = FakeSession.receive_data

    def note_and_receive(session: FakeSession, data: bytes) -> None:
        heard.append(data)
        receive(session, data)

    monkeypatch.setattr(FakeSession, "receive_data", note_and_receive)
    return heard


class _Stage(Stage):
    """Its server knows exit_on_error, and fails resets when it is told to."""

    fails = False

    def _answer(self, sql: str) -> Statement | None:
        if sql == "SHOW exit_on_error":
            return Statement(columns={"exit_on_error": "text"}, rows=[("off",)], tag="SHOW")
        return Statement(rows=self._forget) if sql == "select forget()" else answer(sql)

    def _forget(self) -> list[tuple[object, ...]]:
        if self.fails:
            raise SerializationFailure("not now")
        return []


def _time(kind: type[World], how: str, **options: Any) -> float:
    """How long some uses of a session take."""
    times: list[float] = []

    async def play(stage: Stage) -> None:
        use = stage.use if how == "acquire" else stage.ask
        await use()
        started = stage.world.now()
        for number in range(TIMES):
            await use(number)
        times.append(stage.world.now() - started)

    _Stage(kind, 0, max_size=1, **options).play(play)
    return times[0]


@pytest.mark.parametrize("options", [{"recycle": "clean"}, {"reset": "select forget()"}], ids=str)
@pytest.mark.parametrize("how", ["acquire", "one shot"])
def test_they_cost_no_round_trip(
    kind: type[World], heard: list[bytes], how: str, options: dict[str, str]
) -> None:
    plain = _time(kind, how)
    assert plain == pytest.approx(2 * LATENCY * TIMES)
    assert _time(kind, how, **options) == pytest.approx(plain)
    assert sum(b"SET LOCAL exit_on_error = on" in data for data in heard) >= TIMES
    assert _time(kind, how, recycle="verified") == pytest.approx(2 * plain)


def test_they_do_not_wait_for_ever_for_somebody_to_travel_with(kind: type[World], heard: list[bytes]) -> None:
    async def play(stage: Stage) -> None:
        await stage.use()
        heard.clear()
        await stage.until(lambda: bool(heard))
        assert b"exit_on_error" in heard[0]

    _Stage(kind, 0, max_size=1, recycle="clean").play(play)


async def _reset_in_vain(stage: Stage, *, how: str) -> None:
    assert isinstance(stage, _Stage)
    use = stage.use if how == "acquire" else stage.ask
    await use()
    await use()
    stage.fails = True
    with pytest.raises(ConnectionLost):
        await use()
    stage.fails = False
    await stage.until(lambda: stage.pool.status().size == 0)
    await use()


@pytest.mark.parametrize("how", ["acquire", "one shot"])
def test_one_that_fails_costs_the_session(kind: type[World], how: str) -> None:
    stage = _Stage(kind, 0, max_size=1, reset="select forget()")
    stage.play(partial(_reset_in_vain, how=how))
    assert len(stage.server.sessions) == 2


def test_prepared_statements_stay(kind: type[World], heard: list[bytes]) -> None:
    _time(kind, "acquire", recycle="clean")
    assert sum(ADD.encode() in data for data in heard) == 1
