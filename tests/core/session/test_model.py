"""Random callers, random requests, a random network: every answer holds its own request's token."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgproto import ConnectionLost, Error, QueryTimeout
from pgproto._session import Batch, Request
from pgproto.testing import FakeServer
from tests.core.session.steps import SLOW, answer, given_result
from tests.core.session.support import Joined, outcome

__all__: list[str] = []

KINDS = ("known", "unknown", "rows", "simple", "batch", "pipeline", "ping", "slow", "misfit", "nonsense")
STEP = 0.1
"""Seconds after which the clock is looked at again."""


class Callers(RuleBasedStateMachine):
    """Callers share one session; what they ask, when bytes travel and who goes away is anybody's guess."""

    def __init__(self) -> None:
        super().__init__()
        self.server = FakeServer(answer)
        self.asked: list[tuple[Request[Any], str, int]] = []
        self.gone: list[Request[Any]] = []
        self.batches: list[Batch] = []
        self.to_client = b""
        self.unheard = False
        self.broken = False
        self.token = 100

    @initialize(
        cache=st.sampled_from((0, 1, 2, 256)),
        pipeline=st.sampled_from((1, 2, 5, 1024)),
        unnamed=st.booleans(),
    )
    def connect(self, cache: int, pipeline: int, unnamed: bool) -> None:
        self.joined = Joined(
            self.server(), statement_cache_size=cache, max_pipeline=pipeline, unnamed_statements=unnamed
        )
        self.session = self.server.sessions[0]
        self.max_pipeline = pipeline

    # What callers do.

    @rule(kind=st.sampled_from(KINDS), timeout=st.sampled_from((None, None, SLOW / 2)))
    def ask(self, kind: str, timeout: float | None) -> None:
        core = self.joined.core
        self.token += 10
        token = self.token
        request: Request[Any]
        match kind:
            case "known":
                request = core.fetchval("echo $1", (token,), 0, timeout)
            case "misfit":
                request = core.fetchval("echo $1", ("no number",), 0, timeout)
            case "nonsense":
                request = core.fetchval(f"nonsense {token}", (), 0, timeout)
            case "unknown" | "slow":
                word = "echo" if kind == "unknown" else "slow"
                request = core.fetchval(f"{word} {token}", (), 0, timeout)
            case "rows":
                request = core.fetch(f"rows 3 {token}", (), tuple, timeout)
            case "simple":
                request = core.simple_query(f"echo {token}; echo {token + 1}", timeout)
            case "batch":
                request = batch = core.executemany("insert $1", timeout)
                self.batches.append(batch)
            case "pipeline":
                self.results = [core.later_fetchval("echo $1", (token + n,), 0) for n in range(2)]
                request = core.pipeline(self.results, timeout)
            case _:
                request = core.ping(timeout)
        self.asked.append((self.joined.submit(request), kind, token))

    @rule(which=st.randoms(use_true_random=False))
    def go_away(self, which: Any) -> None:
        waiting = [request for request, *_ in self.asked if not request.done]
        if waiting:
            request = which.choice(waiting)
            self.gone.append(request)
            self.joined.machine.abandon(request)

    # What the network does.

    @rule()
    def write(self) -> None:
        self.joined.flush()

    @rule()
    def serve(self) -> None:
        self.to_client += self.joined.answer()

    @rule(size=st.integers(1, 200))
    def deliver(self, size: int) -> None:
        data, self.to_client = self.to_client[:size], self.to_client[size:]
        self.joined.hear(data)
        self.feed_batches()

    @rule(seconds=st.sampled_from((0.1, 1.0, SLOW)))
    def pass_time(self, seconds: float) -> None:
        # Without effect in time, a cancel request ends the session; here the one that is repeated has some.
        until = self.joined.now + seconds
        while self.joined.now < until:
            for _ in range(20):
                self.write()
                self.serve()
                self.deliver(len(self.to_client))
                self.arrive()
            self.joined.now += STEP
            self.joined.machine.tick()
            self.joined.collect()

    @rule()
    def arrive(self) -> None:
        self.carry_cancel(heard=True)

    @precondition(lambda self: not self.unheard)
    @rule()
    def arrive_unheard(self) -> None:
        """The server takes no notice of a cancel request that finds it between two messages."""
        self.unheard = self.carry_cancel(heard=False)

    def carry_cancel(self, *, heard: bool) -> bool:
        wanted = self.joined.machine.take_cancel()
        if wanted:
            if heard:
                self.server.cancel(self.session.process_id, self.session.key.secret_key)
            self.to_client += self.joined.answer()
            self.joined.hear(self.to_client)
            self.to_client = b""
            self.joined.machine.cancel_delivered()
        return wanted

    @precondition(lambda self: len(self.asked) > 3)
    @rule()
    def break_line(self) -> None:
        self.broken = True
        self.joined.machine.connection_lost(ConnectionResetError("reset"))
        self.joined.collect()

    # What must hold.

    def feed_batches(self) -> None:
        for batch in [*self.batches]:
            if batch.wants_more and not batch.abandoned and not batch.done:
                self.batches.remove(batch)
                batch.add(self.joined.machine, [(n,) for n in range(3)])
                batch.end(self.joined.machine)

    @invariant()
    def no_more_in_flight_than_allowed(self) -> None:
        assert self.joined.machine.in_flight <= self.max_pipeline
        assert self.joined.machine.failure is None or self.broken

    @invariant()
    def nobody_has_anothers_answer(self) -> None:
        self.joined.collect()
        for request, kind, token in self.asked:
            if request.done and request not in self.gone:
                self.check(request, kind, token)
        self.asked = [each for each in self.asked if not each[0].done]

    def check(self, request: Request[Any], kind: str, token: int) -> None:
        # A batch hears of more than its end.
        assert self.joined.stirred.count(request) == 1 or kind == "batch"
        result = outcome(request) if kind == "pipeline" else given_result(request)
        if isinstance(result, ConnectionLost):
            assert self.broken
            return
        if isinstance(result, QueryTimeout):
            assert request.timeout is not None
            return
        match kind:
            case "known" | "unknown" | "slow":
                assert result == token
            case "rows":
                assert result == [(token, 0), (token, 1), (token, 2)]
            case "simple":
                assert result == [[(str(token),)], [(str(token + 1),)]]
            case "batch":
                assert result == 3
            case "misfit" | "nonsense":
                assert isinstance(result, Error)
            case _:
                assert result is None

    def teardown(self) -> None:
        if not hasattr(self, "joined"):
            return
        for _ in range(1000):
            self.feed_batches()
            for batch in self.batches:
                self.gone.append(batch)
                self.joined.machine.abandon(batch)
            self.joined.flush()
            self.to_client += self.joined.answer()
            self.joined.hear(self.to_client)
            self.to_client = b""
            self.arrive()
            if self.joined.machine.is_idle or self.broken:
                break
            if (later := self.session.next_time()) is not None:
                self.joined.now = max(self.joined.now, later)
            self.nobody_has_anothers_answer()
        assert self.joined.machine.is_idle or self.broken
        self.nobody_has_anothers_answer()
        assert all(request in self.gone for request, *_ in self.asked)


TestCallers = Callers.TestCase
TestCallers.settings = settings(stateful_step_count=60)
