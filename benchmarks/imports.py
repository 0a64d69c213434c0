"""How long it takes to import the asyncio driver, over what it needs anyway."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

__all__ = ["measure_import"]

_PROGRAM = (
    "import asyncio, ssl, time; t = time.perf_counter(); import pgproto_asyncio; "
    "print(1000 * (time.perf_counter() - t))"
)


def measure_import(rounds: int) -> dict[str, float | list[float]]:
    """Milliseconds, each time in a new process; compiled before, as an installed package is."""
    command = [sys.executable, "-c", _PROGRAM]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def once() -> float:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(result.stdout)

    once()
    times = [once() for _ in range(rounds)]
    return {"median": statistics.median(times), "all": times}
