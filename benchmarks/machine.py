"""What a measurement was made on; nothing that tells one machine of a kind from another."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pgproto_blocking

__all__ = ["describe_machine"]

_PACKAGES = ("pgproto", "asyncpg", "psycopg", "pg8000", "uvloop", "trio")


def describe_machine(dsn: str) -> dict[str, str]:
    """Processor, cores, system, Python, the server and the drivers."""
    with pgproto_blocking.connect(dsn) as session:
        server = f"PostgreSQL {session.server_version}"
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": server,
        **{package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"
