"""Whatever a thread does with a session or a pool, and at whichever line it is interrupted: nobody is stuck.

Each scenario is played once in peace, which counts the lines of this project that it comes to, and then again
for each line, with KeyboardInterrupt before it. Afterwards the session answers whoever asks, or it is closed
and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import pytest

import pgproto_blocking
from pgproto import ConnectionLost, QueryTimeout
from pgproto.testing import FakeServer, Statement
from tests.transports.interrupts import Line, Loopback, in_threads, interrupted_at
from tests.transports.session_stage import ADD, INSERT, ROWS, STATEMENTS

__all__: list[str] = []

AT_ONCE = 25
"""How many lines of a scenario are tried where not all of them are."""

Act: TypeAlias = Callable[[Any], None]


# What is interrupted, on a session.


def fetch(session: Any) -> None:
    assert [tuple(row) for row in session.fetch(ROWS)] == [(n,) for n in range(1, 51)]


def fetch_what_is_new(session: Any) -> None:
    assert session.fetchval("select late_comer") == 1


def execute(session: Any) -> None:
    assert session.execute(INSERT, 1) == "INSERT 0 1"


def transaction(session: Any) -> None:
    with session.transaction() as outer:
        outer.execute(INSERT, 1)
        with outer.transaction():
            session.execute(INSERT, 2)


def rolled_back(session: Any) -> None:
    with pytest.raises(KeyError), session.transaction():
        session.execute(INSERT, 1)
        raise KeyError


def stream(session: Any) -> None:
    with session.stream(ROWS, batch=20) as rows:
        assert [row.n for row in rows] == [*range(1, 51)]


def pipeline(session: Any) -> None:
    with session.pipeline() as pipeline:
        first = pipeline.execute(INSERT, 1)
        second = pipeline.fetchval(ADD, 1)
    assert (first.result(), second.result()) == ("INSERT 0 1", 2)


def executemany(session: Any) -> None:
    assert session.executemany(INSERT, [(n,) for n in range(3)]) == 3


def copy_in(session: Any) -> None:
    with session.copy_in("copy t from stdin") as copy:
        copy.write(b"1\tx\n2\ty\n")
    assert copy.row_count == 2


def copy_records(session: Any) -> None:
    assert session.copy_records_to_table("t", records=[(1, "x"), (2, "y")]) == 2


def copy_out(session: Any) -> None:
    with session.copy_out("copy t to stdout") as copy:
        assert b"".join(copy).count(b"\n") == 10


def listen(session: Any) -> None:
    with session.listen("news") as heard:
        session.execute("select notify")
        assert heard.get().payload == "hello"


def deadline(session: Any) -> None:
    with suppress(QueryTimeout):
        # It is as long until the answer comes as threads are kept waiting at times.
        assert session.fetchval("select slow", timeout=0.01) == 1


def cancel(session: Any) -> None:
    session.cancel()
    assert session.fetchval(ADD, 1) == 2


def close(session: Any) -> None:
    session.close()


SCENARIOS: list[Act] = [
    fetch,
    fetch_what_is_new,
    execute,
    transaction,
    rolled_back,
    stream,
    pipeline,
    executemany,
    copy_in,
    copy_records,
    copy_out,
    listen,
    deadline,
    cancel,
    close,
]
"""What is done with a session."""

scenarios = pytest.mark.parametrize("act", SCENARIOS, ids=lambda act: act.__name__)
alone_or_not = pytest.mark.parametrize("company", [0, 2], ids=["alone", "in company"])


def make_network() -> Loopback:
    """A server, and the way to it."""

    def notify() -> list[tuple[int]]:
        server.notify("news", "hello")
        return [(1,)]

    server = FakeServer(
        {
            **STATEMENTS,
            "select late_comer": Statement(columns={"n": "int8"}, rows=[(1,)]),
            "select slow": Statement(columns={"n": "int8"}, rows=[(1,)], delay=0.1),
            "select notify": Statement(columns={"n": "int8"}, rows=notify),
        }
    )
    return Loopback(server)


def ask(session: Any) -> None:
    """Ask something; either the answer is right, or the session is closed."""
    try:
        assert session.fetchval(ADD, 41) == 42
        assert [row.n for row in session.fetch(ROWS)] == [*range(1, 51)]
    except ConnectionLost:
        assert session.is_closed


def play(act: Act, number: int, *, company: int) -> Line:
    """Do it, interrupted at that line, while others use the session; and see to what is left of it."""
    network, line = make_network(), Line(number)
    session: Any = pgproto_blocking.connect(
        user="a", host="x", sslmode="disable", open_socket=network.open_socket
    )
    for sql, *arguments in ((ADD, 0), (ROWS,), (INSERT, 0)):
        session.fetch(sql, *arguments)

    over = threading.Event()

    def victim() -> None:
        try:
            interrupted_at(line, partial(act, session))()
        finally:
            over.set()
        ask(session)

    def bystander() -> None:
        while not (over.is_set() or session.is_closed):
            ask(session)

    try:
        errors = in_threads(victim, *[bystander] * company)
        errors += in_threads(partial(ask, session))
        for error in errors:
            if error is not None:
                raise error
        assert not session._driver._lock.locked(), "a lock is left held"
        if not session.is_closed:
            assert session.transaction_status == "I"
            assert session._core.machine.is_idle
        in_threads(session.close)
        assert session.is_closed
        network.join()
        for each in network.server.sessions:
            assert each.violation is None
    except BaseException as error:
        error.add_note(f"interrupted at line {number} of {act.__name__}: {line.where}")
        raise
    return line


def some(lines: int, at_once: int) -> Iterable[int]:
    """Lines from the first to the last, evenly spread."""
    return range(1, lines + 1, max(1, lines // at_once))


@alone_or_not
@scenarios
def test_interrupted(act: Act, company: int) -> None:
    lines = play(act, -1, company=0).count
    assert lines > 200
    for number in some(lines, AT_ONCE):
        play(act, number, company=company)


@pytest.mark.slow
@alone_or_not
@scenarios
def test_interrupted_at_every_line(act: Act, company: int) -> None:
    for number in some(play(act, -1, company=0).count, 1 << 30):
        play(act, number, company=company)
