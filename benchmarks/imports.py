"""How long it takes to import the asyncio driver, over what it needs anyway."""

from __future__ import annotations

import statistics
import subprocess
import sys

__all__ = ["measure_import"]

_PROGRAM = (
    "import asyncio, ssl, time; t = time.perf_counter(); import pgproto_asyncio; "
    "print(1000 * (time.perf_counter() - t))"
)


def measure_import(rounds: int) -> dict[str, float | list[float]]:
    """Milliseconds, each time in a new process."""
    command = [sys.executable, "-c", _PROGRAM]
    times = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(rounds)
    ]
    return {"median": statistics.median(times), "all": times}
