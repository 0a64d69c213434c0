"""PgBouncer in front of a server of ours. Standard library only.

with Server(15) as server, PgBouncer(server) as pooler:
    pooler.dsn_for("alice")
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode

from tests.support.binaries import Unavailable
from tests.support.clusters import USERS, free_port
from tests.support.homes import is_running
from tests.support.servers import Server, own_home

__all__ = ["PgBouncer", "find_pgbouncer", "install_pgbouncer"]


def find_pgbouncer() -> str | None:
    """The path of the program, or None."""
    return shutil.which("pgbouncer") or shutil.which(
        "pgbouncer", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
    )


def install_pgbouncer(say: Callable[[str], None]) -> str:
    """Install the Debian package, unless the program is there; needs root. Raises Unavailable."""
    found = find_pgbouncer()
    if found:
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Unavailable("PgBouncer is not installed; install the package pgbouncer, as root")
    say("installing PgBouncer from Debian")
    # Its installation would start a service of its own; this is how one says no to that.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "pgbouncer"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        answer = subprocess.run(install, capture_output=True, text=True, env=env, check=False)
        if answer.returncode != 0:
            subprocess.run(["apt-get", "update"], capture_output=True, env=env, check=False)
            answer = subprocess.run(install, capture_output=True, text=True, env=env, check=False)
    finally:
        if ours:
            policy.unlink(missing_ok=True)
    found = find_pgbouncer()
    if found is None:
        raise Unavailable(f"apt-get could not install pgbouncer:\n{answer.stderr.strip()[-500:]}")
    return found


class PgBouncer:
    """A pooler in front of a server, in transaction mode unless the settings say otherwise."""

    host = "127.0.0.1"

    def __init__(self, server: Server, settings: Mapping[str, str] | None = None) -> None:
        self.server = server
        self.settings = {
            "pool_mode": "transaction",
            "auth_type": "trust",
            "default_pool_size": "4",
            "max_client_conn": "200",
            **(settings or {}),
        }
        self.port = 0
        self._home = own_home()
        self._folder: Path | None = None
        self._pid: int | None = None

    @property
    def folder(self) -> Path:
        """The folder of its socket, configuration and log."""
        if self._folder is None:
            raise RuntimeError("PgBouncer has not been started yet")
        return self._folder

    @property
    def log(self) -> str:
        """Everything it has logged so far."""
        return (self.folder / "log").read_text(errors="replace")

    def dsn_for(self, user: str, **options: str | int) -> str:
        """A URI for a user of the server, over TCP and through the pooler."""
        password = {**USERS, self.server.user: self.server.password}.get(user, "")
        login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
        query = "?" + urlencode(options, quote_via=quote) if options else ""
        return f"postgresql://{login}@{self.host}:{self.port}/{self.server.database}{query}"

    def start(self) -> None:
        """Start it, and return when it takes connections. Raises Unavailable, RuntimeError."""
        program = find_pgbouncer()
        if program is None:
            raise Unavailable(
                "PgBouncer is not installed; as root, `python3 dev.py servers pgbouncer` installs it"
            )
        if self._folder is None:
            self._folder = self._home.folder()
            self.port = free_port()
        self._write_configuration()
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/"}
        self._pid = self._home.launch([program, "pgbouncer.ini"], folder=self.folder, env=env)
        deadline = time.monotonic() + 60
        while not self._answers():
            if not is_running(self._pid) or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"PgBouncer did not start:\n{self.log}")
            time.sleep(0.005)

    def stop(self) -> None:
        """End it at once, and every connection through it."""
        if self._pid is not None:
            self._home.end(self._pid, signal.SIGQUIT)
            self._pid = None

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _write_configuration(self) -> None:
        settings = {
            "listen_addr": self.host,
            "listen_port": str(self.port),
            "unix_socket_dir": str(self.folder),
            "auth_file": str(self.folder / "users"),
            **self.settings,
        }
        lines = [
            "[databases]",
            f"* = host={self.server.socket_dir} port={self.server.port}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        users = {**USERS, self.server.user: self.server.password}
        self._write("users", "".join(f'"{user}" "{password}"\n' for user, password in users.items()))
        self._write("pgbouncer.ini", "\n".join(lines) + "\n")

    def _write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        self._home.give_to_server(path)
