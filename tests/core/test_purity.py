"""The core does no I/O: it does not even load what could do it."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPURE = {
    "anyio",
    "asyncio",
    "logging",
    "multiprocessing",
    "queue",
    "random",
    "scramp",
    "secrets",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "trio",
    "uvloop",
}


def _loaded_by(statement: str, *options: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after this statement, and had not before."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    # Neither the site's start-up files nor the environment may load anything beforehand.
    finished = subprocess.run(
        [sys.executable, "-S", "-E", *options, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(finished.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "pgproto",
        "pgproto.messages",
        "pgproto.errors",
        "pgproto._connection",
        "pgproto._conversation",
        "pgproto._wire",
    ],
)
def test_importing_the_core_loads_nothing_that_does_io(module: str) -> None:
    loaded = _loaded_by(f"import {module}")
    assert module in loaded
    assert loaded & IMPURE == set()


def test_using_a_connection_loads_nothing_either() -> None:
    session = (
        "import pgproto; c = pgproto.Connection(pgproto.Role.FRONTEND); "
        "c.send(pgproto.messages.StartupMessage({'user': 'u'})); "
        "c.receive_data(b'R\\0\\0\\0\\x08\\0\\0\\0\\0'); c.next_event()"
    )
    assert _loaded_by(session) & IMPURE == set()
