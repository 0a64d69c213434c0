"""PostgreSQL servers for the tests and the demo: made in a second, gone without a trace.

Standard library only, because ``dev.py`` uses it too.

    with Server(18) as server:
        server.dsn                        # the superuser, over the Unix socket
        server.dsn_for("alice")           # SCRAM, over TCP
        with server.replica() as replica:
            server.stop()
            replica.promote()

Each server has its own folder in a `Home`, which ends what is left when this process dies, however it dies.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.support.binaries import Installation, Unavailable, exclusive
from tests.support.clusters import DEFAULT_HBA, USERS, Cluster, TLSFiles, free_port
from tests.support.homes import Home, is_running

__all__ = [
    "DEFAULT_HBA",
    "USERS",
    "ForeignServer",
    "Server",
    "TLSFiles",
    "Unavailable",
    "leave_shared_servers",
    "own_home",
    "shared_server",
]

_START_TIMEOUT = 120.0
_STOP_SIGNALS = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT, "smart": signal.SIGTERM}

_own_homes: dict[int, Home] = {}


def own_home() -> Home:
    """The home of servers that belong to this process alone."""
    pid = os.getpid()
    if pid not in _own_homes:
        _own_homes[pid] = Home.create()
        atexit.register(_own_homes[pid].close, wait=15.0)
    return _own_homes[pid]


class _TryAgain(RuntimeError):
    """The server did not start, for a reason that passes."""

    def __init__(self, message: str, *, port_taken: bool) -> None:
        super().__init__(message)
        self.port_taken = port_taken


class Server(Cluster):
    """One PostgreSQL server. `start` makes its cluster when there is none yet; `close` removes it."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, and return when it takes connections. Raises Unavailable, RuntimeError."""
        new = self._folder is None
        if new:
            self.move_in(self._home or own_home())
            self._say(f"starting PostgreSQL {self.major}")
            self.initialise()
            self.port = free_port()
            self.write_configuration()
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self._start_once()
                break
            except _TryAgain as reason:
                if time.monotonic() > deadline:
                    raise
                if reason.port_taken:
                    self.port = free_port()
                    self.write_configuration()
                time.sleep(0.01)
        if new:
            self.create_users()

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server as ``pg_ctl stop -m MODE`` does, and return when it has stopped."""
        if self.pid is not None:
            self.home.end(self.pid, _STOP_SIGNALS[mode])

    def kill(self) -> None:
        """End the postmaster as a power cut would; its backends notice and end themselves."""
        if self.pid is not None:
            self.home.end(self.pid, signal.SIGKILL)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start again, on the same port."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the server at once and remove its folder."""
        if self._folder is not None:
            self.stop("immediate")
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None when the server does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().partition("\n")[0])
        except (OSError, ValueError):
            return None
        return pid if is_running(pid) else None

    def _start_once(self) -> None:
        already_logged = len(self.log)
        command = [self.installation.tool("postgres"), "-D", str(self.data)]
        pid = self.home.launch(command, folder=self.folder, env=self.installation.environment())
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._is_ready(pid):
            if not is_running(pid):
                self.home.end(pid, signal.SIGQUIT)
                raise self._failure(self.log[already_logged:])
            if time.monotonic() > deadline:
                self.home.end(pid, signal.SIGQUIT)
                raise RuntimeError(
                    f"PostgreSQL {self.major} is not ready in {_START_TIMEOUT:g} s:\n{self.log}"
                )
            time.sleep(0.005)

    def _failure(self, complaint: str) -> RuntimeError:
        message = f"PostgreSQL {self.major} did not start:\n{complaint}"
        # Somebody may have been faster to take the port; and after `kill` the last backends may linger.
        port_taken = "could not create any TCP/IP sockets" in complaint
        if port_taken or "pre-existing shared memory block" in complaint:
            return _TryAgain(message, port_taken=port_taken)
        return RuntimeError(message)

    def _is_ready(self, pid: int) -> bool:
        # The server writes its state to the eighth line of this file, for pg_ctl to read.
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    # -- configuration of a running server ---------------------------------------------------------

    def set_hba(self, *lines: str) -> None:
        """Replace pg_hba.conf; connections made from now on follow it."""
        self.hba = lines
        self.reload()

    def set_tls(self, tls: TLSFiles) -> None:
        """Give the server other certificates, or its first ones."""
        self.tls = tls
        self.reload()

    def configure(self, **settings: str) -> None:
        """Change settings that a reload can change."""
        self.settings.update(settings)
        self.reload()

    def reload(self) -> None:
        """Write the configuration and have the server read it; return when new connections follow it."""
        self.write_configuration()
        pid = self.pid
        if pid is None:
            return
        announcement = "reloading configuration files"
        already = self.log.count(announcement)
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + 60
        # The postmaster logs the signal, and reads all its files before it starts another backend.
        while self.log.count(announcement) == already:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"PostgreSQL {self.major} did not read its configuration again:\n{self.log}"
                )
            time.sleep(0.002)

    # -- replication -------------------------------------------------------------------------------

    def replica(self, slot: str = "replica") -> Server:
        """A streaming replica of this server, not started yet: use it as a block, or `start` it."""
        replica = Server(
            self.major, settings=self.settings, hba=self.hba, tls=self.tls, installation=self.installation
        )
        replica.password = self.password
        replica.move_in(own_home())
        self.run(
            *("pg_basebackup", "--pgdata", str(replica.data), "--write-recovery-conf", "--wal-method=stream"),
            *("--create-slot", "--slot", slot, "--checkpoint=fast", "--no-sync"),
            *("--host", str(self.socket_dir), "--port", str(self.port), "--username", self.user),
        )
        replica.port = free_port()
        replica.write_configuration()
        return replica

    def promote(self) -> None:
        """Make a replica a primary; returns when it takes writes."""
        self.run("pg_ctl", "promote", "--pgdata", str(self.data), "--wait", "--silent")

    # -- several processes, one server -------------------------------------------------------------

    def describe(self) -> str:
        """What another process needs to `attach` to this server, as JSON."""
        return json.dumps(
            {
                "major": self.major,
                "port": self.port,
                "password": self.password,
                "settings": self.settings,
                "hba": self.hba,
                "home": str(self.home.path),
                "folder": str(self.folder),
                "prefix": str(self.installation.prefix),
                "bin": str(self.installation.bin),
                "bundled": self.installation.bundled,
            }
        )

    @classmethod
    def attach(cls, description: str) -> Server | None:
        """The server that another process described, or None when it is gone. It is not ours to close."""
        known: dict[str, Any] = json.loads(description)
        home = Home.join(Path(known["home"]))
        if home is None:
            return None
        programs = Installation(known["major"], Path(known["prefix"]), Path(known["bin"]), known["bundled"])
        server = Server(
            known["major"], settings=known["settings"], hba=known["hba"], installation=programs, home=home
        )
        server.port = known["port"]
        server.password = known["password"]
        server._folder = Path(known["folder"])
        return server


class ForeignServer(Server):
    """A server that somebody else runs: it has a DSN, and nothing that needs power over it."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self.major = int(self.psql("show server_version_num")) // 10_000

    @property
    def dsn(self) -> str:
        """The DSN it was given."""
        return self._dsn

    @property
    def folder(self) -> Path:
        """None: its files are not ours. Raises Unavailable."""
        raise Unavailable("this needs a server of ours, and PGPROTO_TEST_DSN names another")

    @property
    def home(self) -> Home:
        """None, for the same reason. Raises Unavailable."""
        raise Unavailable("this needs a server of ours, and PGPROTO_TEST_DSN names another")

    def dsn_for(
        self, user: str, password: str | None = None, *, over_socket: bool = False, **options: str | int
    ) -> str:
        """None: it does not have our users. Raises Unavailable."""
        raise Unavailable(f"this needs a server with our user {user}, and PGPROTO_TEST_DSN names another")


def _start_plain(major: int, home: Home) -> Server:
    server = Server(major, home=home)
    server.start()
    return server


_shared: dict[tuple[str, Path], Server] = {}


def shared_server(
    major: int,
    meeting_point: Path,
    *,
    kind: str = "plain",
    start: Callable[[int, Home], Server] = _start_plain,
) -> Server:
    """The one server of this major version for all processes that name the same folder; the first starts it.

    Nobody closes it: it ends with the last process that uses it, or has called `leave_shared_servers`. There
    may be others of another `kind`, with another way to `start` them.
    """
    name = f"postgresql-{major}-{kind}"
    key = (name, meeting_point)
    if key not in _shared:
        record = meeting_point / f"{name}.json"
        with exclusive(meeting_point / f"{name}.lock"):
            server = Server.attach(record.read_text()) if record.exists() else None
            if server is None:
                server = start(major, Home.create())
                record.write_text(server.describe())
            _shared[key] = server
    return _shared[key]


def leave_shared_servers(meeting_point: Path, *, wait: float = 15.0) -> None:
    """Let go of the servers shared there, and wait until the last process has done so and they are gone."""
    for key in [key for key in _shared if key[1] == meeting_point]:
        _shared.pop(key).home.close()
    deadline = time.monotonic() + wait
    for record in meeting_point.glob("postgresql-*.json"):
        home = Path(json.loads(record.read_text())["home"])
        while home.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
