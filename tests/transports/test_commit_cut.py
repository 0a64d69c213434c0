"""The exchange of COMMIT, cut at each of its bytes: what is told of its effect is true, or unknown."""

from __future__ import annotations

from typing import Any

import pytest

from pgproto import CommitUnknown, ConnectionLost, Error
from pgproto.testing import Direction, FakeServer, Fault, Network
from pgproto.testing._network import FaultKind
from tests.transports.blocking_world import BlockingWorld
from tests.transports.session_stage import ADDRESS, DSN, INSERT, LATENCY, STATEMENTS
from tests.transports.worlds import WORLDS, World

__all__: list[str] = []

ALL_WORLDS: list[type[World]] = [*WORLDS, BlockingWorld]
BREAKS: list[FaultKind] = ["reset", "hang up", "stall"]


class _Run:
    """One transaction of one INSERT."""

    def __init__(self, kind: type[World], fault: Fault | None = None) -> None:
        self.server = FakeServer(STATEMENTS)
        network = Network({ADDRESS: self.server}, latency=LATENCY, faults=[] if fault is None else [[fault]])
        self.network = network
        self.begun = self.executed = self.ended = {Direction.TO_SERVER: 0, Direction.TO_CLIENT: 0}
        self.error: Error | None = None
        self.is_closed = False
        kind(network).run(self._main)
        network.advance(1e9)
        self.committed = len(self.server.committed)

    async def _main(self, world: World) -> None:
        async with world.connect(DSN, command_timeout=3.0) as session:
            self.begun = self._passed()
            try:
                async with session.transaction() as tx:
                    await tx.execute(INSERT, 1)
                    self.executed = self._passed()
            except Error as error:
                self.error = error
                # What is in doubt is closed soon: when a cancel request would have been late.
                await world.sleep(1.1)
                with pytest.raises(ConnectionLost):
                    await session.ping()
                self.is_closed = session.is_closed
            self.ended = self._passed()

    def _passed(self) -> dict[Direction, int]:
        link: Any = self.network.links[0]
        return {Direction.TO_SERVER: link._to_server._offset, Direction.TO_CLIENT: link._to_client._offset}


@pytest.mark.parametrize("kind", ALL_WORLDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("direction", list(Direction), ids=lambda direction: direction.name.lower())
@pytest.mark.parametrize("how", BREAKS)
def test_commit(kind: type[World], direction: Direction, how: FaultKind) -> None:
    whole = _Run(kind)
    assert whole.committed == 1
    assert whole.error is None
    begun, executed, ended = (each[direction] for each in (whole.begun, whole.executed, whole.ended))
    assert begun < executed < ended - 10
    for offset in range(begun, ended):
        run = _Run(kind, Fault(how, direction, offset))
        error = run.error
        assert isinstance(error, Error)
        assert run.is_closed, f"at byte {offset}"
        if offset < executed:
            assert run.committed == 0
            assert not isinstance(error, CommitUnknown)
            assert not isinstance(error, ConnectionLost) or error.outcome in ("not_sent", "not_committed")
        else:
            # The bytes were given away, and nobody can know how far they came.
            assert isinstance(error, CommitUnknown), f"{error!r} at byte {offset}"
            assert error.outcome == "unknown"
            assert run.committed == (direction is Direction.TO_CLIENT)
