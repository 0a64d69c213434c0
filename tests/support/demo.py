"""The demo: pgproto at work on a real server, through each of its transports, and the core without any.

    python -m tests.support.demo --dsn DSN

Reads the server's own catalogs, then lets 64 callers share one session and checks that every answer went to
the one who asked. At the end the bare core is fed with a captured exchange, with no socket in sight.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

import pgproto
import pgproto_asyncio
import pgproto_blocking
import pgproto_trio
from pgproto import NEED_DATA, Connection, Role, messages

__all__ = ["main"]

CALLERS = 64
QUERIES = 1_000
CATALOGS = (
    "select * from pg_catalog.pg_type",
    "select * from pg_catalog.pg_proc",
    "select * from pg_catalog.pg_attribute",
)
ASK = "select $1::int8 * 2, $2::text || '!'"


@dataclass
class Score:
    """What one transport did."""

    transport: str
    rows: int = 0
    seconds: float = 0.0
    errors: int = 0

    def check(self, number: int, answer: pgproto.Record | None) -> None:
        """Count an answer that is not the one to this question."""
        if answer != (number * 2, f"caller {number}!"):
            self.errors += 1


def questions(caller: int) -> range:
    """The numbers that one of the callers asks about; all callers together ask `QUERIES`."""
    return range(caller, QUERIES, CALLERS)


async def ask_asyncio(dsn: str, score: Score) -> None:
    """The demo on asyncio."""
    async with pgproto_asyncio.connect(dsn) as session:
        for catalog in CATALOGS:
            score.rows += len(await session.fetch(catalog))

        async def caller(number: int) -> None:
            for question in questions(number):
                score.check(question, await session.fetchrow(ASK, question, f"caller {question}"))

        started = time.perf_counter()
        await asyncio.gather(*[caller(number) for number in range(CALLERS)])
        score.seconds = time.perf_counter() - started


async def ask_trio(dsn: str, score: Score) -> None:
    """The demo on trio."""
    async with pgproto_trio.connect(dsn) as session:
        for catalog in CATALOGS:
            score.rows += len(await session.fetch(catalog))

        async def caller(number: int) -> None:
            for question in questions(number):
                score.check(question, await session.fetchrow(ASK, question, f"caller {question}"))

        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for number in range(CALLERS):
                nursery.start_soon(caller, number)
        score.seconds = time.perf_counter() - started


def ask_blocking(dsn: str, score: Score) -> None:
    """The demo on plain threads."""
    with pgproto_blocking.connect(dsn) as session:
        for catalog in CATALOGS:
            score.rows += len(session.fetch(catalog))

        def caller(number: int) -> None:
            for question in questions(number):
                score.check(question, session.fetchrow(ASK, question, f"caller {question}"))

        started = time.perf_counter()
        threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        score.seconds = time.perf_counter() - started


def run(transport: str, ask: Callable[[Score], None]) -> Score:
    """Let one transport do its part, and say so."""
    print(f"  {transport} ...", end="", flush=True)
    score = Score(transport)
    ask(score)
    print(" done")
    return score


def print_table(scores: list[Score]) -> None:
    """Show what came out."""
    line = "  {:<12}{:>10}{:>12}{:>14}{:>9}"
    print()
    print(line.format("transport", "rows", "queries", "queries/s", "errors"))
    print("  " + "-" * 55)
    for score in scores:
        rate = QUERIES / score.seconds if score.seconds else 0.0
        print(line.format(score.transport, f"{score.rows:,}", f"{QUERIES:,}", f"{rate:,.0f}", score.errors))
    print()


CAPTURED = (
    messages.RowDescription((messages.FieldDescription("answer", type_oid=23, type_size=4),)),
    messages.DataRow((b"42",)),
    messages.CommandComplete("SELECT 1"),
    messages.ReadyForQuery("I"),
)


def show_core() -> None:
    """Feed the core with what a server once answered."""
    connection = Connection(Role.FRONTEND)
    connection.send(messages.StartupMessage({"user": "demo"}))
    for greeting in (messages.AuthenticationOk(), messages.ReadyForQuery("I")):
        connection.receive_data(greeting.encode())
        connection.next_event()
    print("The bare core, no socket in sight:")
    sent = connection.send(messages.Query("select 42 as answer"))
    print(f"  to send  {sent!r}")
    received = b"".join([message.encode() for message in CAPTURED])
    print(f"  received {received[:40]!r} ... {len(received)} bytes")
    connection.receive_data(received)
    while (event := connection.next_event()) is not NEED_DATA:
        print(f"  event    {event}")


def main() -> int:
    """Run the demo; the exit status is 0 if every answer was right."""
    parser = argparse.ArgumentParser(description="See pgproto at work.")
    parser.add_argument("--dsn", required=True, help="the server to use: a URI or key=value pairs")
    dsn: str = parser.parse_args().dsn
    try:
        with pgproto_blocking.connect(dsn) as session:
            print(f"PostgreSQL {session.server_version}; {CALLERS} callers share one session")
    except pgproto.Error as error:
        print(f"No session could be had with this server: {error}", file=sys.stderr)
        return 1
    scores = [
        run("asyncio", lambda score: asyncio.run(ask_asyncio(dsn, score))),
        run("trio", lambda score: trio.run(ask_trio, dsn, score)),
        run("blocking", lambda score: ask_blocking(dsn, score)),
    ]
    print_table(scores)
    show_core()
    errors = sum(score.errors for score in scores)
    print(f"\n{'Every answer went to the one who asked.' if not errors else f'{errors} answers were wrong.'}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
