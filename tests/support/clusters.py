"""What a PostgreSQL server is made of: data directory, configuration, programs. Standard library only."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.support.binaries import NEWEST, Installation, binaries, reachable
from tests.support.homes import Home, as_server_user

__all__ = ["DEFAULT_HBA", "USERS", "Cluster", "TLSFiles", "free_port"]

USERS = {"alice": "wonderland", "bob": "builder", "carol": "singer"}
"""Ordinary users and their passwords: alice proves hers by SCRAM, bob by MD5, carol in clear text."""

DEFAULT_HBA = (
    "local all,replication all trust",
    "host all bob 127.0.0.1/32 md5",
    "host all carol 127.0.0.1/32 password",
    "host all,replication all 127.0.0.1/32 scram-sha-256",
)
"""pg_hba.conf of a new server. Only the server's user and root can enter the folder of the Unix socket."""

_CREATE_USERS = """
set client_min_messages = error;
set password_encryption = 'scram-sha-256';
create role alice login password 'wonderland';
create role carol login password 'singer';
set password_encryption = 'md5';
create role bob login password 'builder';
grant create on schema public to alice, bob, carol;
"""

_DEFAULT_SETTINGS = {
    "autovacuum": "off",
    # In the data directory, so that it goes with it even after a kill.
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    # Sessions that have ended are counted until a busy server comes to see it.
    "max_connections": "400",
    "max_prepared_transactions": "10",
    "shared_buffers": "32MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
    "wal_level": "logical",
    "wal_retrieve_retry_interval": "100ms",
}


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """What a server shows in a TLS handshake, as PEM; with `client_ca` it asks clients for a certificate."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None
    revoked: bytes | None = None


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A data directory with its configuration, in a folder of its own."""

    host = "127.0.0.1"
    user = "postgres"
    database = "postgres"

    def __init__(
        self,
        major: int = NEWEST,
        *,
        settings: Mapping[str, str] | None = None,
        hba: Sequence[str] = DEFAULT_HBA,
        tls: TLSFiles | None = None,
        installation: Installation | None = None,
        home: Home | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.major = major
        self.port = 0
        self.password = secrets.token_hex(8)
        self.hba = tuple(hba)
        self.settings = {**_DEFAULT_SETTINGS, **(settings or {})}
        self.tls = tls
        self._say = say
        self._installation = installation
        self._home = home
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of the server: the data directory, the socket and the log are in it."""
        if self._folder is None:
            raise RuntimeError("this server has not been started yet")
        return self._folder

    @property
    def home(self) -> Home:
        """The home that the folder is in."""
        if self._home is None:
            raise RuntimeError("this server has not been started yet")
        return self._home

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def socket_dir(self) -> Path:
        """The folder of the Unix socket: the `host` of a connection over it."""
        return self.folder / "s"

    @property
    def log(self) -> str:
        """Everything the server has logged so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def version(self) -> str:
        """What ``select version()`` says."""
        return self.psql("select version()")

    @property
    def installation(self) -> Installation:
        """The programs the server runs."""
        if self._installation is None:
            self._installation = binaries(self.major, say=self._say)
        return self._installation

    # -- the way in --------------------------------------------------------------------------------

    @property
    def dsn(self) -> str:
        """The superuser, over the Unix socket, without a password."""
        return self.dsn_for(self.user, over_socket=True)

    def dsn_for(
        self, user: str, password: str | None = None, *, over_socket: bool = False, **options: str | int
    ) -> str:
        """A URI for a user, over TCP with the user's own password unless told otherwise.

        Options are keywords of libpq, such as ``dbname`` or ``sslmode``.
        """
        if password is None:
            password = "" if over_socket else {**USERS, self.user: self.password}.get(user, "")
        login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
        address = "" if over_socket else f"{self.host}:{self.port}"
        database = quote(str(options.pop("dbname", self.database)), safe="")
        if over_socket:
            options = {"host": str(self.socket_dir), "port": self.port, **options}
        query = "?" + urlencode(options, quote_via=quote) if options else ""
        return f"postgresql://{login}@{address}/{database}{query}"

    def run(self, tool: str, *arguments: str, stdin: str = "") -> str:
        """Run a program as the server's user; returns what it printed. Raises RuntimeError."""
        answer = subprocess.run(
            [self.installation.tool(tool), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.installation.environment(),
            cwd=self._folder or "/",
            check=False,
            **as_server_user(),
        )
        if answer.returncode != 0:
            raise RuntimeError(f"{tool} failed ({answer.returncode}): {answer.stderr.strip()}")
        return answer.stdout

    def psql(self, sql: str, *, dsn: str | None = None) -> str:
        """Run SQL with psql, by default as superuser; returns unaligned rows. Raises RuntimeError."""
        options = ("--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1")
        return self.run("psql", *options, "--file=-", "--dbname", dsn or self.dsn, stdin=sql).strip()

    # -- making it ---------------------------------------------------------------------------------

    def move_in(self, home: Home) -> None:
        """Take a folder in the home, and make sure that the server's user can read the programs."""
        self._home = home
        self._installation = reachable(self.installation, home)
        self._folder = home.folder()

    def initialise(self) -> None:
        """Run initdb."""
        password = self.write("password", self.password.encode())
        self.run(
            *("initdb", "--pgdata", str(self.data), "--username", self.user, "--pwfile", str(password)),
            *("--locale=C", "--encoding=UTF8", "--no-sync", "--no-instructions", "--auth=trust"),
        )

    def create_users(self) -> None:
        """Make the roles of `USERS`."""
        self.psql(_CREATE_USERS)

    def write(self, name: str, content: bytes) -> Path:
        """Write a file below the server's folder, readable by the server's user alone."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        self.home.give_to_server(path)
        return path

    def write_configuration(self) -> None:
        """Write postgresql.conf, pg_hba.conf and the TLS files."""
        self.socket_dir.mkdir(exist_ok=True)
        self.home.give_to_server(self.socket_dir)
        settings = {**self.settings, "port": str(self.port), "unix_socket_directories": str(self.socket_dir)}
        if self.tls is not None:
            settings.update(self._write_tls(self.tls))
        lines = [f"{name} = '" + value.replace("'", "''") + "'\n" for name, value in settings.items()]
        self.write("data/postgresql.conf", "".join(lines).encode())
        self.write("data/pg_hba.conf", "".join(line + "\n" for line in self.hba).encode())

    def _write_tls(self, tls: TLSFiles) -> dict[str, str]:
        files = {
            "ssl_cert_file": tls.certificate,
            "ssl_key_file": tls.key,
            "ssl_ca_file": tls.client_ca,
            "ssl_crl_file": tls.revoked,
        }
        settings = {"ssl": "on"}
        for setting, content in files.items():
            if content is not None:
                settings[setting] = self.write(f"data/{setting}.pem", content).name
        return settings
