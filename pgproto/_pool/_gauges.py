"""The fourth floor of the pool machine: what can be seen of it."""

from __future__ import annotations

from typing import TypeVar

from pgproto._pool._ledger import Phase
from pgproto._pool._slots import SlotState
from pgproto._pool._status import PoolStatus, SessionStatus, folded
from pgproto._pool._upkeep import Upkeep

__all__ = ["Gauges"]

S = TypeVar("S")
W = TypeVar("W")


class Gauges(Upkeep[S, W]):
    """Reads off the accounts."""

    __slots__ = ()

    @property
    def is_open(self) -> bool:
        """Whether callers may come."""
        return self._phase is Phase.OPEN

    @property
    def wake_at(self) -> float:
        """The time of the last `WakeAt`, until `tick` is called; infinity if there is none.

        For transports that have no timer of their own: whoever waits for a session wakes by then.
        """
        return self._wake

    def status(self, now: float) -> PoolStatus:
        """The pool at this instant; all numbers fit together."""
        counts, counters = self._counts, self._counters
        counters.count_usage()
        asked = counters.requests_num + sum([slot.joins for slot in self._slots])
        waits = list(counters.wait_histogram)
        waits[0] += asked - counters.requests_queued  # these did not wait at all
        return PoolStatus(
            size=len(self._slots),
            idle=counts[SlotState.IDLE],
            in_use=counts[SlotState.LEASED],
            opening=counts[SlotState.OPENING],
            resetting=counts[SlotState.RESETTING] + counts[SlotState.PREPARING],
            closing=counts[SlotState.CLOSING],
            waiting=len(self._waiting),
            min_size=self._min_size,
            max_size=self._max_size,
            holders=sum([slot.holders for slot in self._slots]),
            longest_held=self._longest_held(now),
            generation=self._generation,
            closed=self._phase in (Phase.CLOSING, Phase.CLOSED),
            last_error=self._last_error,
            retry_in=max(0.0, self._opener.retry_at - now),
            requests_num=asked,
            requests_queued=counters.requests_queued,
            requests_wait_ms=int(counters.requests_wait_s * 1000),
            requests_errors=counters.requests_errors,
            requests_timeouts=counters.requests_timeouts,
            requests_shed=counters.requests_shed,
            requests_abandoned=counters.requests_abandoned,
            returns_num=sum(counters.usage_histogram),
            returns_bad=counters.returns_bad,
            usage_ms=int(counters.usage_s * 1000),
            connections_num=counters.connections_num,
            connections_ms=int(counters.connections_s * 1000),
            connections_errors=counters.connections_errors,
            connections_lost=counters.connections_lost,
            connections_expired=counters.connections_expired,
            connections_idled=counters.connections_idled,
            checks_num=counters.checks_num,
            checks_errors=counters.checks_errors,
            resets_num=counters.resets_num,
            resets_errors=counters.resets_errors,
            hooks_errors=counters.hooks_errors,
            leaks_num=counters.leaks_num,
            wait_histogram=folded(waits),
            usage_histogram=folded(counters.usage_histogram),
        )

    def sessions(self, now: float) -> list[SessionStatus]:
        """Each session at this instant, the oldest first."""
        return [
            SessionStatus(
                number=slot.number,
                state=slot.state.name.lower(),
                generation=slot.generation,
                age=None if slot.opened_at is None else now - slot.opened_at,
                uses=slot.leases + slot.joins,
                unused=None if slot.last_used_at is None else now - slot.last_used_at,
                holders=slot.holders,
            )
            for slot in self._slots
        ]
