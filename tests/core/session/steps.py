"""A conversation a step at a time, so that anything can happen between any two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pgproto._session import Batch, PreparedStatement, Request, Result
from pgproto.testing import FakeServer, Statement
from tests.core.session.support import Joined, echo, outcome

__all__ = ["SLOW", "Steps", "answer", "given_result"]

SLOW = 5.0
"""Seconds that a slow statement takes."""


def answer(sql: str) -> Statement | None:
    """As `echo`, and what takes its time."""
    if sql.startswith("slow "):
        return Statement(columns={"token": "int8"}, rows=[(int(sql[5:]),)], delay=SLOW)
    return echo(sql)


class Steps:
    """The same conversation again and again, a message at a time."""

    def __init__(self, *, known: bool = False, **options: Any) -> None:
        self.server = FakeServer(answer)
        self.joined = Joined(self.server(), **options)
        if known:
            self.joined.fetchval("echo $1", 0)
            self.joined.stirred.clear()
        self.session = self.server.sessions[0]
        self.batches: list[Batch] = []
        self.cancels = 0
        self._answer = b""
        self._cancel_due = -1

    def submit(self, kind: str, token: int) -> tuple[Request[Any], object]:
        """Hand in a request of this kind; also returns what it must give."""
        core = self.joined.core
        request: Request[Any]
        expected: object = token
        match kind:
            case "known":
                request = core.fetchval("echo $1", (token,), 0, None)
            case "unknown" | "slow":
                word = "echo" if kind == "unknown" else "slow"
                request = core.fetchval(f"{word} {token}", (), 0, None)
            case "rows":
                request = core.fetch(f"rows 3 {token}", (), tuple, None)
                expected = [(token, 0), (token, 1), (token, 2)]
            case "simple":
                request = core.simple_query(f"echo {token}; echo {token + 1}", None)
                expected = [[(str(token),)], [(str(token + 1),)]]
            case "batch":
                request = batch = core.executemany("insert $1", None)
                self.batches.append(batch)
                expected = 3
            case "pipeline":
                results = [core.later_fetchval("echo $1", (token + n,), 0) for n in range(2)]
                request = core.pipeline(results, None)
                expected = None
            case "prepare":
                request = core.prepare(f"echo {token}", None)
            case "ping":
                request, expected = core.ping(None), None
            case _:
                raise AssertionError(kind)
        return self.joined.submit(request), expected

    def __iter__(self) -> Iterator[None]:
        """Do one thing after the other, until both sides have nothing to do."""
        joined = self.joined
        while True:
            joined.flush()
            yield
            self._feed_batches()
            joined.flush()
            self._answer += joined.answer()
            while self._answer:
                length = 1 + int.from_bytes(self._answer[1:5], "big")
                message, self._answer = self._answer[:length], self._answer[length:]
                joined.hear(message)
                yield
                self._carry_cancel()
                joined.flush()
                self._answer += joined.answer()
            self._carry_cancel()
            self._feed_batches()
            joined.flush()
            if not joined._to_server and not self._cancels_pending:
                if (later := self.session.next_time()) is None:
                    return
                joined.now = max(joined.now, later)

    @property
    def _cancels_pending(self) -> bool:
        return self._cancel_due >= 0

    def _carry_cancel(self) -> None:
        """A cancel request takes a while to arrive, and to be known to have arrived."""
        if self.joined.machine.take_cancel():
            self.cancels += 1
            self._cancel_due = 2
        elif self._cancel_due > 0:
            self._cancel_due -= 1
            if self._cancel_due == 1:
                self.server.cancel(self.session.process_id, self.session.key.secret_key)
        elif self._cancel_due == 0:
            self._cancel_due = -1
            self.joined.machine.cancel_delivered()

    def _feed_batches(self) -> None:
        for batch in [*self.batches]:
            if batch.wants_more and not batch.abandoned and not batch.done:
                self.batches.remove(batch)
                batch.add(self.joined.machine, [(n,) for n in range(3)])
                batch.end(self.joined.machine)


def given_result(request: Request[Any]) -> object:
    """What its owner gets, as the tests write it down."""
    match outcome(request):
        case PreparedStatement() as prepared:
            return prepared.sql
        case list() as found:  # pyright: ignore[reportUnknownVariableType]
            results = cast("list[Result | tuple[object, ...]]", found)
            return [[*map(tuple, each.rows)] if isinstance(each, Result) else each for each in results]
        case other:
            return other
