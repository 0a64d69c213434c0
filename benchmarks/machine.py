"""What a measurement was made on; nothing that tells one machine of a kind from another."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pgproto_blocking
from benchmarks.settings import settings

__all__ = ["describe_machine"]

_PACKAGES = ("pgproto", "asyncpg", "psycopg", "psycopg-pool", "pg8000", "uvloop", "trio")


def describe_machine(dsn: str) -> dict[str, str]:
    """Processor, cores, system, Python, the server and the way to it, and the drivers."""
    host = settings(dsn)["host"]
    with pgproto_blocking.connect(dsn) as session:
        server = f"PostgreSQL {session.server_version}"
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": server,
        "connection": "a Unix socket" if host.startswith("/") else f"TCP to {_name(host)}",
        **{package: version(package) for package in _PACKAGES},
    }


def _name(host: str) -> str:
    return host if host in ("127.0.0.1", "::1", "localhost") else "another host"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"
