"""An account of every request that one session accepted, to be compared with what the server did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pgproto import ConnectionLost
from pgproto._session import Lease, Request, RequestMachine
from pgproto._session._pipeline import Pipeline
from pgproto._session._query import Query
from pgproto.testing import Done

__all__ = ["Entry", "Ledger"]

_EFFECTS = ("insert", "copy")


@dataclass
class Entry:
    """A request, and what was said about it."""

    request: Request[object]
    begun: float
    outcomes: list[BaseException | str | None] = field(default_factory=list[BaseException | str | None])
    """An error; None for success; "left" where its caller went first."""
    ended: float = 0.0

    @property
    def sql(self) -> str:
        """What it asked."""
        return self.request.sql

    def count(self, committed: Sequence[Done]) -> int:
        """How many statements of this request took effect."""
        if isinstance(self.request, Query):
            return committed.count(Done(self.sql, tuple(self.request._arguments)))
        own = [part.strip() for part in self.sql.split(";")]
        return len([done for done in committed if done.sql in own])


_LEDGERS: WeakKeyDictionary[RequestMachine, Ledger] = WeakKeyDictionary()


class _Audited(RequestMachine):
    """Tells its ledger what becomes of its requests."""

    __slots__ = ()

    def submit(self, request: Request[object], lease: Lease | None = None) -> None:
        _LEDGERS[self].enter(request)
        super().submit(request, lease)

    def _finish(self, request: Request[object]) -> None:
        if not (request.abandoned or request.done):
            _LEDGERS[self].note(request, request.error)
        super()._finish(request)

    def _time_out(self, request: Request[object]) -> None:
        if not request.abandoned:
            _LEDGERS[self].note(request, "overdue")
        super()._time_out(request)

    def abandon(self, request: Request[object]) -> None:
        if not (request.abandoned or request.done or request.error is not None):
            _LEDGERS[self].note(request, "left")
        super().abandon(request)


class Ledger:
    """Listens to a request machine from now on."""

    def __init__(self, machine: Any, now: Callable[[], float]) -> None:
        self.entries: list[Entry] = []
        self._known: dict[int, Entry] = {}
        self._now = now
        _LEDGERS[machine] = self
        machine.__class__ = _Audited

    def enter(self, request: Request[object]) -> None:
        """The request begins."""
        entry = Entry(request, self._now())
        self.entries.append(entry)
        self._known[id(request)] = entry
        if request.abandoned:
            self.note(request, "left")

    def note(self, request: Request[object], outcome: BaseException | str | None) -> None:
        entry = self._known.get(id(request))
        if entry is not None:
            entry.outcomes.append(outcome)
            entry.ended = self._now()

    def check(self, committed: Sequence[Done] | None, *, patience: float) -> None:
        """Each request had one outcome, in time, and one that agrees with what was ``committed``."""
        for entry in self.entries:
            assert len(entry.outcomes) == 1, f"{entry.sql!r} has the outcomes {entry.outcomes}"
            assert entry.ended - entry.begun <= patience, f"{entry.sql!r} took {entry.ended - entry.begun} s"
            if committed is None or isinstance(entry.request, Pipeline):
                # Each statement of a pipeline has an outcome of its own.
                continue
            if entry.sql.lower().startswith(_EFFECTS):
                self._check_outcome(entry, committed)

    def _check_outcome(self, entry: Entry, committed: Sequence[Done]) -> None:
        (outcome,) = entry.outcomes
        if outcome is None:
            if entry.request.lease is None:
                assert entry.count(committed), f"{entry.sql!r} succeeded, and is not there"
        elif isinstance(outcome, ConnectionLost) and outcome.outcome != "unknown":
            twins = [each for each in self.entries if each.sql == entry.sql and each is not entry]
            if not twins:
                assert not entry.count(committed), f"{entry.sql!r} is {outcome.outcome}, and is there"
