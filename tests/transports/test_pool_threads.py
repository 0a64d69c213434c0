"""Pools for threads: hooks that fail or hang in each of their calls, and threads that cannot be had."""

from __future__ import annotations

import gc
import linecache
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import pgproto_blocking
from pgproto import PoolClosed
from pgproto import messages as m
from pgproto.testing import FakeServer
from tests.transports.recorded import Trace, record
from tests.transports.stage import ADD, DSN, answer
from tests.transports.wired import WiredServer

__all__: list[str] = []

HOOKS = ("before_connect", "after_connect", "before_acquire", "after_release", "before_close")
PATIENCE = 60.0


@pytest.fixture
def wired() -> Iterator[WiredServer]:
    with WiredServer(FakeServer(answer)) as wired:
        yield wired
        # The server hears a moment later that a socket was closed.
        until(lambda: wired.live == 0)


def make(wired: WiredServer, **options: Any) -> tuple[pgproto_blocking.Pool, Trace]:
    pool = pgproto_blocking.Pool(DSN, open_socket=wired.open_socket, **options)
    return pool, record(pool)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Gate:
    """A hook that hangs in its first call, until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _: object) -> None:
        if not self.reached.is_set():
            self.reached.set()
            self.opened.wait(PATIENCE)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_pool_closes_whatever_its_hooks_do(wired: WiredServer, hook: str) -> None:
    gate = Gate()
    pool, _ = make(wired, max_size=1, connect_timeout=None, cancel_timeout=0.01, **{hook: gate})
    errors: list[BaseException] = []

    def use() -> None:
        try:
            assert pool.fetchval(ADD, 1) == 2
        except PoolClosed as error:
            errors.append(error)

    pool.open()
    user = threading.Thread(target=use)
    user.start()
    if hook == "before_close":
        user.join()
        pool.drain()
    try:
        assert gate.reached.wait(PATIENCE)
        closing = threading.Thread(target=pool.close, kwargs={"timeout": 0.05}, daemon=True)
        closing.start()
        closing.join(PATIENCE / 2)
        assert not closing.is_alive(), "it waits for the hook"
        assert pool.status().size == 0
        user.join()
        assert len(errors) == (hook in HOOKS[:3])
    finally:
        gate.opened.set()
    until(lambda: not any(each.name == "pgproto-pool-step" for each in threading.enumerate()))


class Shortage:
    """At some of the times when the pool wants a thread for a step, there is none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, missing: set[int]) -> None:
        self.count = 0
        self._missing = missing
        start = threading.Thread.start

        def start_if_there_is_one(thread: threading.Thread) -> None:
            if thread.name == "pgproto-pool-step":
                self.count += 1
                if self.count in self._missing:
                    raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_if_there_is_one)


def _use_much(pool: pgproto_blocking.Pool) -> None:
    for _ in range(2):
        with pool.acquire() as session, pool.acquire() as other:
            assert session.fetchval(ADD, 1) == other.fetchval(ADD, 1) == 2
            session.execute("set work_mem to '1MB'")
        with pool.acquire() as session:
            session.stream("select many", batch=5).__enter__()
        pool.drain()


def test_a_thread_that_cannot_be_had(wired: WiredServer, monkeypatch: pytest.MonkeyPatch) -> None:
    shortage = Shortage(monkeypatch, set())
    pool, _ = make(wired, max_size=2)
    with pool:
        _use_much(pool)
    wanted = shortage.count
    assert wanted >= 10
    for number in range(1, wanted + 1):
        for missing in ({number}, set(range(number, number + 3))):
            shortage = Shortage(monkeypatch, missing)
            pool, trace = make(wired, max_size=2, acquire_timeout=30.0)
            with pool:
                _use_much(pool)
                _use_much(pool)
                with pool.acquire() as session, pool.acquire() as other:
                    assert session.fetchval(ADD, 1) == other.fetchval(ADD, 1) == 2
            assert shortage.count >= min(missing)
            trace.check()
            until(lambda: wired.live == 0)
            monkeypatch.undo()
    assert wired.most <= 2


# --- What threads, processes and garbage do ----------------------------------------------------------------


def test_whoever_forgot_a_session_is_named_as_the_pool_closes(
    wired: WiredServer, caplog: pytest.LogCaptureFixture
) -> None:
    pool, trace = make(wired, max_size=2)
    pool.open()
    kept = pool.acquire()
    session = kept.__enter__()
    with caplog.at_level("WARNING", logger="pgproto"):
        pool.close(timeout=0.01)
    (record,) = [each for each in caplog.records if "out of the pool" in each.getMessage()]
    assert "test_whoever_forgot_a_session_is_named_as_the_pool_closes" in record.getMessage()
    with pytest.raises(PoolClosed):
        session.fetchval(ADD, 1)
    kept.__exit__(None, None, None)
    assert pool.status().leaks_num == 1
    trace.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_step_that_raises_what_is_no_exception(wired: WiredServer) -> None:
    # A function that calls sys.exit(), say: there is no program here that it could end.
    def open_socket(host: str, port: int) -> socket.socket:
        hosts.append(host)
        if len(hosts) == 1:
            raise SystemExit
        return wired.open_socket(host, port)

    hosts: list[str] = []
    options: dict[str, Any] = {"connect_timeout": None, "acquire_timeout": 30.0}
    with pgproto_blocking.Pool(DSN, open_socket=open_socket, max_size=1, **options) as pool:
        assert pool.fetchval(ADD, 1) == 2
    assert len(hosts) == 2


class Interrupt:
    """Interrupts this thread before one of the lines with which it takes or returns a session.

    Not where a lock is let go of, or a `try` begins: between the last call and that, nobody is interrupted.
    """

    PLACES = ("_return", "_release", "_lend", "_note", "_make_session", "end")

    def __init__(self, number: int) -> None:
        self.where = ""
        self._left = number

    def enter(self, frame: FrameType, event: str, argument: object) -> Any:
        own = frame.f_code.co_filename.endswith(("_blocking_turns.py", "_blocking_lending.py", "_pooling.py"))
        return self.step if own and frame.f_code.co_name in self.PLACES else None

    def step(self, frame: FrameType, event: str, argument: object) -> Any:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not line.startswith(("with ", "try:")):
            self._left -= 1
            if self._left == 0:
                self.where = f"{frame.f_code.co_name}: {line}"
                raise KeyboardInterrupt
        return self.step


@pytest.mark.filterwarnings("ignore:a session was not returned:ResourceWarning")
def test_interrupted_as_a_session_is_taken_or_returned(wired: WiredServer) -> None:
    def use() -> None:
        with pool.acquire() as session:
            session.execute("begin")
        assert pool.fetchval(ADD, 1) == 2

    places: set[str] = set()
    number = 0
    with pgproto_blocking.Pool(DSN, open_socket=wired.open_socket, max_size=1, acquire_timeout=30.0) as pool:
        while True:
            number += 1
            interrupt = Interrupt(number)
            before = sys.gettrace()
            sys.settrace(interrupt.enter)
            try:
                use()
            except KeyboardInterrupt:
                places.add(interrupt.where)
            finally:
                sys.settrace(before)
            if not interrupt.where:
                break
            gc.collect(1)
            with pool.acquire() as session:
                assert session.transaction_status == "I", interrupt.where
                assert session.fetchval(ADD, 1) == 2
            until(lambda: pool.status().in_use == 0)
    assert len(places) >= 20


# --- A server that changes its kind ------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["idle", "in use"])
def test_a_standby_that_is_promoted(when: str) -> None:
    server = FakeServer(answer, parameters={"in_hot_standby": "on"})
    with WiredServer(server) as wired:
        pool, trace = make(wired, min_size=2, max_size=2, target_session_attrs="standby")
        with pool:
            old = list(server.sessions)

            def promote() -> None:
                for session in old:
                    session._say(m.ParameterStatus("in_hot_standby", "off"))

            def queries() -> int:
                return sum(isinstance(message, m.Bind) for session in old for message in session.heard)

            def happens(change: Callable[[], None]) -> None:
                wired.call(change)
                for _ in range(2):  # after the first of these it was said, too
                    said = threading.Event()
                    wired.call(said.set)
                    assert said.wait(PATIENCE)

            if when == "idle":
                happens(promote)
                assert pool.fetchval(ADD, 1) == 2
                assert queries() == 0, "somebody got a session of the old kind"
            else:
                with pool.acquire() as session:
                    happens(promote)
                    assert session.fetchval(ADD, 1) == 2
            until(lambda: all(session.is_closed for session in old))
            assert pool.fetchval(ADD, 1) == 2
            status = pool.status()
            assert (status.generation, status.requests_errors) == (1, 0)
            assert {each.generation for each in pool.sessions()} == {1}
        until(lambda: wired.live == 0)
    trace.check()


def test_a_timeout_that_is_none_costs_no_session(wired: WiredServer) -> None:
    wrong: Any = "soon"
    pool, trace = make(wired, min_size=1)
    with pool:
        for ask in (pool.acquire(wrong).__enter__, lambda: pool.expire(wrong), lambda: pool.close(wrong)):
            with pytest.raises(TypeError, match="a timeout is a number of seconds, not str"):
                ask()
        with pytest.raises(TypeError):
            pool.open(wrong)
        assert pool.fetchval(ADD, 1) == 2
        assert wired.opened == 1
    trace.check()
