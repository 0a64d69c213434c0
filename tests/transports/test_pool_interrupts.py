"""Whatever a thread does with a pool, and at whichever line it is interrupted: no session is lost.

Each scenario is played once in peace, which counts the lines of this project that it comes to, and then again
for each line, with KeyboardInterrupt before it. Afterwards the pool serves as many as before, all at once.
"""

from __future__ import annotations

import gc
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, TypeAlias

import pytest

import pgproto_blocking
from pgproto import ConnectionLost, LocalProtocolError
from pgproto.testing import FakeServer, FakeSession
from tests.transports.interrupts import PATIENCE, Line, Loopback, in_threads, interrupted_at
from tests.transports.session_stage import ADD, INSERT, STATEMENTS

__all__: list[str] = []

pytestmark = pytest.mark.filterwarnings("ignore:a session was not returned:ResourceWarning")

SIZE = 2
AT_ONCE = 12
"""How many lines of a scenario are tried where not all of them are."""

Act: TypeAlias = Callable[[Any], None]


def is_live(end: socket.socket) -> bool:
    """Whether the server may know of the connection: it was neither closed nor shut down."""
    poll = select.poll()
    try:
        poll.register(end, select.POLLRDHUP)
        return not poll.poll(0)
    except (OSError, ValueError):
        return False


class Scene:
    """A pool and its server."""

    def __init__(self, **options: Any) -> None:
        self.network = Loopback(FakeServer(STATEMENTS))
        self._lock = threading.Lock()
        self.company: dict[FakeSession, list[FakeSession]] = {}
        """Each connection, and those that there were when it was made."""
        settings: dict[str, Any] = {
            "min_size": 1,
            "max_size": SIZE,
            "acquire_timeout": PATIENCE,
            "cancel_timeout": 0.5,
        }
        self.pool = pgproto_blocking.Pool(
            user="a", host="x", sslmode="disable", open_socket=self._connect, **settings | options
        )

    def _connect(self, host: str, port: int) -> socket.socket:
        network = self.network
        with self._lock:
            pairs = zip(network.server.sessions, network.ends, strict=True)
            others = [peer for peer, end in pairs if is_live(end)]
            end = network.open_socket(host, port)
            self.company[network.server.sessions[-1]] = others
        return end

    @property
    def most(self) -> int:
        """How many sessions there were at a time; a connection that cancels a request is none."""
        counts = [
            1 + sum(bool(each.startup) for each in others)
            for peer, others in self.company.items()
            if peer.startup
        ]
        return max(counts, default=0)

    def break_lines(self) -> None:
        for end in self.network.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.pool.status()
            time.sleep(0.0005)

    def serves_all_at_once(self) -> None:
        self.pool.resize(1, SIZE)  # as it was
        with ExitStack() as stack:
            for _ in range(SIZE):
                session = stack.enter_context(self.pool.acquire())
                assert session.transaction_status == "I"
                assert session.fetchval(ADD, 41) == 42
        assert self.pool.fetchval(ADD, 1) == 2
        self.until(lambda: self.pool.status().in_use == 0)

    def end(self) -> None:
        self.pool.close()
        status = self.pool.status()
        assert (status.closed, status.size, status.holders, status.waiting) == (True, 0, 0, 0)
        assert self.most <= SIZE
        self.network.join()
        for each in self.network.server.sessions:
            assert each.violation is None


# What is interrupted.


def acquire_and_release(scene: Scene) -> None:
    with scene.pool.acquire() as session:
        assert session.fetchval(ADD, 1) == 2


def leave_a_mess(scene: Scene) -> None:
    with scene.pool.acquire() as session:
        session.execute("begin")
        session.execute(INSERT, 1)


def one_shot(scene: Scene) -> None:
    assert scene.pool.fetchval(ADD, 1) == 2


def one_shot_in_its_turn(scene: Scene) -> None:
    taken = scene.pool.acquire(), scene.pool.acquire()
    for each in taken:
        each.__enter__()
    soon = threading.Timer(0.005, taken[0].__exit__, (None, None, None))
    soon.start()
    try:
        assert scene.pool.fetchval(ADD, 1) == 2
    finally:
        soon.join()
        taken[1].__exit__(None, None, None)


def acquire_what_has_to_be_opened(scene: Scene) -> None:
    with scene.pool.acquire(), scene.pool.acquire() as session:
        assert session.fetchval(ADD, 1) == 2


def acquire_what_is_dead(scene: Scene) -> None:
    scene.break_lines()
    with suppress(ConnectionLost):  # if others had requests under way there
        assert scene.pool.fetchval(ADD, 1) == 2
    scene.break_lines()
    with scene.pool.acquire() as session, suppress(ConnectionLost):
        assert session.fetchval(ADD, 1) == 2


def transaction(scene: Scene) -> None:
    with scene.pool.transaction() as transaction:
        assert transaction.execute(INSERT, 1) == "INSERT 0 1"


def resize(scene: Scene) -> None:
    scene.pool.resize(0, 1)
    scene.pool.resize(1, SIZE)


def drain(scene: Scene) -> None:
    scene.pool.drain()
    scene.pool.expire(0.0)


def look(scene: Scene) -> None:
    assert scene.pool.status().size <= SIZE
    assert len(scene.pool.sessions()) <= SIZE


def open_again(scene: Scene) -> None:
    scene.pool.open()


SCENARIOS: list[tuple[Act, dict[str, Any]]] = [
    (acquire_and_release, {}),
    (acquire_and_release, {"recycle": "clean"}),
    (acquire_and_release, {"recycle": "verified"}),
    (leave_a_mess, {}),
    (one_shot, {}),
    (one_shot, {"multiplex": 8}),
    (one_shot, {"recycle": "clean"}),
    (one_shot_in_its_turn, {}),
    (acquire_what_has_to_be_opened, {}),
    (acquire_what_is_dead, {}),
    (acquire_what_is_dead, {"multiplex": 8}),
    (transaction, {}),
    (resize, {}),
    (drain, {}),
    (look, {}),
    (open_again, {}),
]

scenarios = pytest.mark.parametrize(
    ("act", "options"),
    SCENARIOS,
    ids=[f"{act.__name__} {' '.join(map(str, options.values()))}".strip() for act, options in SCENARIOS],
)
alone_or_not = pytest.mark.parametrize("company", [0, 2], ids=["alone", "in company"])


def play(act: Act, options: dict[str, Any], number: int, company: int) -> Line:
    """Do it, interrupted at that line, while others use the pool; and see to what is left of it."""
    scene, line = Scene(**options), Line(number)
    over = threading.Event()

    def victim() -> None:
        try:
            interrupted_at(line, partial(act, scene))()
        finally:
            over.set()

    def bystander() -> None:
        while not over.is_set():
            try:
                with scene.pool.acquire() as session:
                    assert session.fetchval(ADD, 1) == 2
                assert scene.pool.fetchval(ADD, 2) == 3
            except (ConnectionLost, LocalProtocolError):
                ...  # the pool had to start over

    try:
        scene.pool.open()
        in_threads(partial(one_shot, scene))
        check(in_threads(victim, *[bystander] * company))
        gc.collect(1)
        check(in_threads(scene.serves_all_at_once))
        check(in_threads(scene.end))
    except BaseException as error:
        error.add_note(f"interrupted at line {number} of {act.__name__}: {line.where}")
        raise
    return line


def check(errors: list[BaseException | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def some(lines: int, at_once: int) -> Iterable[int]:
    """Lines from the first to the last, evenly spread."""
    return range(1, lines + 1, max(1, lines // at_once))


@alone_or_not
@scenarios
def test_interrupted(act: Act, options: dict[str, Any], company: int) -> None:
    lines = play(act, options, -1, 0).count
    for number in some(lines, AT_ONCE):
        play(act, options, number, company)


@pytest.mark.slow
@pytest.mark.timeout(600)
@alone_or_not
@scenarios
def test_interrupted_at_every_line(act: Act, options: dict[str, Any], company: int) -> None:
    for number in some(play(act, options, -1, 0).count, 1 << 30):
        play(act, options, number, company)


# The pool itself.


def play_the_beginning(number: int, **options: Any) -> Line:
    """Interrupted as it opens, a pool is closed, or can be opened again."""
    scene, line = Scene(**options), Line(number)

    def go_on() -> None:
        if not scene.pool.status().closed:
            scene.pool.open()
            scene.serves_all_at_once()
        scene.end()

    try:
        check(in_threads(interrupted_at(line, scene.pool.open)))
        check(in_threads(go_on))
    except BaseException as error:
        error.add_note(f"interrupted at line {number}: {line.where}")
        raise
    return line


def play_the_end(number: int, *, in_use: bool) -> Line:
    """Interrupted as it closes, a pool is closed, or can be closed again."""
    scene, line = Scene(), Line(number)
    kept = scene.pool.acquire()

    def begin() -> None:
        scene.pool.open()
        one_shot(scene)
        if in_use:
            kept.__enter__()

    try:
        check(in_threads(begin))
        check(in_threads(interrupted_at(line, partial(scene.pool.close, timeout=0.01))))
        check(in_threads(partial(scene.pool.close, timeout=0.01)))
        check(in_threads(scene.end))
        kept.__exit__(None, None, None)
    except BaseException as error:
        error.add_note(f"interrupted at line {number}: {line.where}")
        raise
    return line


@pytest.mark.parametrize("smallest", [0, SIZE])
def test_interrupted_as_it_opens(smallest: int) -> None:
    for number in some(play_the_beginning(-1, min_size=smallest).count, 1 << 30):
        play_the_beginning(number, min_size=smallest)


@pytest.mark.parametrize("in_use", [False, True], ids=["idle", "in use"])
def test_interrupted_as_it_closes(in_use: bool) -> None:
    for number in some(play_the_end(-1, in_use=in_use).count, 1 << 30):
        play_the_end(number, in_use=in_use)
