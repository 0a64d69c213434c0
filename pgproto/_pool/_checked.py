"""A pool machine that checks itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pgproto._pool._actions import Action
from pgproto._pool._config import PoolConfig
from pgproto._pool._ledger import Phase
from pgproto._pool._machine import PoolMachine
from pgproto._pool._recycling import CLEAN, LOST, Report
from pgproto._pool._slots import Slot, SlotState, TicketState

__all__ = ["CheckedPoolMachine"]

S = TypeVar("S")
W = TypeVar("W")


class CheckedPoolMachine(PoolMachine[S, W]):
    """Stops with a `RuntimeError` as soon as something is not as it must be: for tests, and for suspicions.

    What it checks takes time in proportion to the size of the pool and of the queue, at every step.
    """

    __slots__ = ("_joiners",)

    def __init__(self, config: PoolConfig, random: Callable[[], float]) -> None:
        super().__init__(config, random)
        self._joiners = 0  # one-shot requests that have a session without a ticket, counted once more

    def join(self, now: float) -> Slot[S] | None:
        slot = super().join(now)
        self._joiners += slot is not None
        return slot

    def leave_others(self, slot: Slot[S], since: float, now: float) -> bool:
        left = super().leave_others(slot, since, now)
        self._joiners -= left
        return left

    def leave(self, slot: Slot[S], since: float, now: float, report: Report = CLEAN) -> None:
        self._joiners -= slot.state is SlotState.LEASED
        super().leave(slot, since, now, report)

    def reject(self, slot: Slot[S], now: float, report: Report = LOST) -> None:
        self._joiners -= slot.state is SlotState.LEASED
        super().reject(slot, now, report)

    def _force_all(self, now: float) -> None:
        super()._force_all(now)
        self._joiners = 0

    def _forget(self) -> None:
        super()._forget()
        self._joiners = 0

    def actions(self) -> list[Action[S, W]]:
        """As `PoolMachine.actions`; this is where every step of a transport ends.

        Raises:
            RuntimeError: the pool's state contradicts itself; a bug of pgproto.
        """
        for problem, found in self._problems().items():
            if found:
                raise RuntimeError(f"the pool's state contradicts itself: {problem}")
        return super().actions()

    def _problems(self) -> dict[str, bool]:
        counts, slots, waiting = self._counts, list(self._slots), list(self._waiting)
        states = [slot.state for slot in slots]
        on_their_way = counts[SlotState.OPENING] + counts[SlotState.PREPARING]
        served = len(waiting) <= on_their_way
        return {
            "sessions are counted wrongly": any(
                counts[state] != states.count(state) for state in SlotState if state is not SlotState.GONE
            ),
            "there are more idle sessions than are known": (
                sorted(slot.number for slot in self._idle)
                != [slot.number for slot in slots if slot.state is SlotState.IDLE]
            ),
            "somebody who is served waits": any(t.state is not TicketState.WAITING for t in waiting),
            "somebody who waits is served": any(t.state is not TicketState.LEASED for t in self._leases),
            "a session has another number of holders than it knows of": any(
                slot.holders < sum(other is slot for other in self._leases.values()) for slot in slots
            )
            or sum(slot.holders for slot in slots) != len(self._leases) + self._joiners,
            "there are places on a session that nobody may take": (recent := self._recent) is not None
            and (
                recent.holders + self._places > self._multiplex
                or not (self._direct and recent.shared)
                or bool(recent.changed or waiting or self._idle or len(slots) < self._max_size)
            ),
            "a session that must not be lent is idle": any(slot.broken for slot in self._idle),
            "somebody waits for a session that is idle": bool(self._idle) and not served,
            "a closed pool has sessions": self._phase is Phase.CLOSED and bool(slots),
        }
