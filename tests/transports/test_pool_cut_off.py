"""Sessions that are closed under the hands of those who have them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import anyio
import pytest

from pgproto import ConnectionLost, PoolClosed, PostgresError
from pgproto.testing import FakeServer
from tests.transports.stage import LATENCY, Stage
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

_INTRODUCED = 7
"""How many latencies later a statement that is met for the first time has been executed."""


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


async def _cut_off(stage: Stage, after: float) -> None:
    """Close the pool by force while it executes a statement that the server is to hear of first."""
    await stage.use()

    async def insert() -> None:
        with suppress(ConnectionLost, PoolClosed, PostgresError):
            await stage.pool.execute("insert", 1)

    async def close() -> None:
        await anyio.sleep(after)
        await stage.pool.close(0)

    await stage.beside(insert, close)


def _watch(server: FakeServer, patch: pytest.MonkeyPatch) -> list[int]:
    """How much the server had done each time that it was told to stop."""
    by_then: list[int] = []
    cancel = server.cancel

    def note_first(process_id: int, secret_key: bytes) -> None:
        by_then.append(len(server.committed))
        cancel(process_id, secret_key)

    patch.setattr(server, "cancel", note_first)
    return by_then


def test_nothing_is_executed_after_the_server_was_told_to_stop(
    kind: type[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = 0
    for quarter in range(1, 4 * _INTRODUCED, 2):
        stage = Stage(kind, quarter, max_size=1)
        by_then = _watch(stage.server, monkeypatch)
        stage.play(partial(_cut_off, after=quarter / 4 * LATENCY))
        assert by_then in ([], [len(stage.server.committed)]), f"closed after {quarter}/4 latencies"
        told += len(by_then)
    assert told
