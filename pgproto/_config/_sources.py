"""Where parameters come from: arguments, the connection string, a service file, the environment.

PostgreSQL documentation: "Environment Variables", "The Connection Service File".
"""

from __future__ import annotations

from collections.abc import Mapping

from pgproto._config._dsn import parse_connection_string
from pgproto._config._keywords import ARGUMENTS, DSN_KEYWORDS, KEYWORDS, describe_unknown
from pgproto._config._servicefile import read_service
from pgproto._config._values import Values
from pgproto._dataclasses import dataclass
from pgproto._effects import FileContents, Flow, ReadFile
from pgproto.errors import ConfigError

__all__ = ["Surroundings", "gather"]

_SYSTEM_SERVICE_FILES = (
    "/etc/postgresql-common/pg_service.conf",
    "/etc/sysconfig/pgsql/pg_service.conf",
    "/usr/local/pgsql/etc/pg_service.conf",
)
"""Where libpq looks depends on how it was built: for Debian, for Fedora, from PostgreSQL's own source."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process knows about where it runs."""

    environ: Mapping[str, str]
    os_user: str | None
    home: str | None
    windows: bool

    def in_home(self, unix_name: str, windows_name: str | None = None) -> str | None:
        """Return the path of one of PostgreSQL's files in the user's home directory."""
        if self.windows:
            folder = self.environ.get("APPDATA")
            return f"{folder}/postgresql/{windows_name or unix_name}" if folder else None
        home = self.environ.get("HOME") or self.home
        return f"{home}/{unix_name}" if home else None


def gather(dsn: str | None, params: Mapping[str, object], around: Surroundings) -> Flow[Values]:
    """Return what was given for each parameter.

    By argument, else by DSN, else by service, else by environment variable, else the default. Raises
    `ConfigError`.
    """
    given: dict[str, object] = {}
    if dsn is not None:
        given.update(parse_connection_string(dsn, DSN_KEYWORDS))
    for name, value in params.items():
        if name not in ARGUMENTS:
            raise ConfigError(describe_unknown(name, ARGUMENTS))
        # As for PQconnectdbParams, an empty argument is none.
        if value is not None and value != "":
            given[name] = value
    environment = _from_environment(around.environ)
    values = {**environment, **given}
    named = Values(values)
    service = named.text("service")
    if service is not None:
        from_service = yield from _from_service(service, named.text("servicefile"), around)
        values = {**environment, **from_service, **given}
    _choose_sslmode(values, around.environ)
    for keyword in KEYWORDS.values():
        if keyword.default is not None:
            values.setdefault(keyword.name, keyword.default)
    return Values(values)


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for keyword in KEYWORDS.values():
        value = None if keyword.variable is None else environ.get(keyword.variable)
        # Texts are str in Python, whatever a terminal's encoding: PGCLIENTENCODING is for other programs.
        if value is not None and keyword.name != "client_encoding":
            values[keyword.name] = value
    return values


def _choose_sslmode(values: dict[str, object], environ: Mapping[str, str]) -> None:
    """Choose sslmode where nothing gives it, but something else says what is wanted."""
    if "sslmode" in values:
        return
    if environ.get("PGREQUIRESSL", "").startswith("1"):
        values["sslmode"] = "require"
    elif values.get("sslrootcert") == "system":
        values["sslmode"] = "verify-full"
    elif values.get("ssl_context") is not None:
        # Who brings a context wants TLS; what it must verify is said in the context.
        values["sslmode"] = "require"


def _from_service(service: str, named_file: str | None, around: Surroundings) -> Flow[dict[str, str]]:
    paths = [named_file or around.in_home(".pg_service.conf")]
    folder = around.environ.get("PGSYSCONFDIR")
    paths += [f"{folder}/pg_service.conf"] if folder else _SYSTEM_SERVICE_FILES
    looked: list[str] = []
    for path in paths:
        if path is None:
            continue
        contents = yield from _read(path)
        if contents is not None:
            found = read_service(contents.data, service, path, DSN_KEYWORDS)
            if found is not None:
                return found
            looked.append(path)
        elif path == named_file:
            raise ConfigError(f'the service file "{path}" is not there, or cannot be read')
    where = f"looked in {', '.join(looked)}" if looked else "there is no service file"
    raise ConfigError(f'the service "{service}" is not defined: {where}')


def _read(path: str) -> Flow[FileContents | None]:
    try:
        return (yield from ReadFile(path))
    except OSError:
        return None
