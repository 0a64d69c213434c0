"""What ``dev.py`` does with servers, in the environment it has made.

``--list`` tells what there is, ``--fetch WHICH ...`` gets it, and ``MODULE ARGS`` runs a module of ours as a
program, beside a server that lives as long as it does: its address is in $PGPROTO_DSN, and wherever the
arguments have ``{dsn}``. That is its Unix socket; with ``--tcp`` before the module it is reached over TCP.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.binaries import (
    NEWEST,
    RELEASES,
    Installation,
    Unavailable,
    binaries,
    cached,
    cached_with_vector,
    installed,
    with_vector,
)
from tests.support.pgbouncer import find_pgbouncer, install_pgbouncer
from tests.support.servers import Server

__all__ = ["main"]


def _say(message: str) -> None:
    print("· " + message, flush=True)


def _list() -> None:
    for major in sorted(RELEASES, reverse=True):
        found = cached(major) or installed(major)
        where = f"in {found.bin}" if found else f"not here; `python3 dev.py servers {major}` fetches it"
        print(f"PostgreSQL {major}: {where}")
    vector = cached_with_vector()
    where = f"in {vector.bin}" if vector else "not here; `python3 dev.py servers pgvector` fetches it"
    print(f"PostgreSQL 18 with pgvector: {where}")
    where = find_pgbouncer() or "not here; as root, `python3 dev.py servers pgbouncer` installs it"
    print(f"PgBouncer: {where}")


def _fetch(wanted: list[str]) -> None:
    for name in wanted:
        if name == "pgbouncer":
            install_pgbouncer(_say)
        elif name == "pgvector":
            with_vector(say=_say)
        elif name.isascii() and name.isdigit():
            binaries(int(name), say=_say)
        else:
            majors = ", ".join(map(str, sorted(RELEASES)))
            raise Unavailable(f"no server {name!r}; there are {majors}, pgvector and pgbouncer")


def _best_installation() -> Installation:
    """The newest PostgreSQL, or when it cannot be fetched the newest one that is here."""
    try:
        return binaries(NEWEST, say=_say)
    except Unavailable:
        for major in sorted(RELEASES, reverse=True):
            found = cached(major) or installed(major)
            if found:
                return found
        raise


def _run(module: str, arguments: list[str], *, over_tcp: bool) -> int:
    installation = _best_installation()
    with Server(installation.major, installation=installation, say=_say) as server:
        dsn = server.dsn_for(server.user) if over_tcp else server.dsn
        filled = [argument.replace("{dsn}", dsn) for argument in arguments]
        command = [sys.executable, "-m", module, *filled]
        with subprocess.Popen(command, env={**os.environ, "PGPROTO_DSN": dsn}) as process:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:
                    # It got the Ctrl-C as well; let it clean up before its server goes.
                    continue


def main(arguments: list[str]) -> int:
    """Carry out the command line; returns the exit status."""
    try:
        if arguments == ["--list"]:
            _list()
        elif arguments[0] == "--fetch":
            _fetch(arguments[1:])
        else:
            over_tcp = arguments[0] == "--tcp"
            module, *rest = arguments[over_tcp:]
            return _run(module, rest, over_tcp=over_tcp)
    except Unavailable as reason:
        print(f"dev.py: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
