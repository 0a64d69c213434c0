"""The core does no I/O: what it imports, and what that imports, cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pgproto

FORBIDDEN = {
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
}

# The module that speaks to the machine for all transports is theirs.
IMPORT_EVERYTHING = """
import sys
sys.path[:0] = sys.argv[1:]
import importlib, pkgutil
before = set(sys.modules)
import pgproto
for module in pkgutil.walk_packages(pgproto.__path__, "pgproto."):
    if module.name not in {"pgproto._host", "pgproto._establishing"}:
        importlib.import_module(module.name)
print(*sorted(set(sys.modules) - before))
"""


def imported(program: str) -> set[str]:
    """The modules that a program of ours prints, run in an interpreter that has loaded nothing else."""
    packages = Path(pgproto.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", program, str(packages)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_nothing_in_the_core_loads_what_does_io() -> None:
    modules = imported(IMPORT_EVERYTHING)
    assert "pgproto._connection" in modules
    assert not modules & FORBIDDEN


def test_forbidden_modules_would_be_seen() -> None:
    modules = imported("import sys; import ssl; print(*sys.modules)")
    assert {"ssl", "socket"} <= modules
