"""Folders for running servers, emptied however the process that made them ends.

A `Home` is a short temporary folder with a lock file. Every process that uses the home holds the lock as one
of many; a small watchdog process waits to hold it alone. It gets it when the last user is gone, by clean exit
or by SIGKILL, and then ends what still runs in the home and removes it.

Run as a script, this module is that watchdog.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

__all__ = ["Home", "as_server_user", "is_running", "server_user"]

_LONGEST_TEMPORARY_FOLDER = 40
"""The path of a Unix socket may have only about 100 bytes, and ours adds about 40."""


def server_user() -> str | None:
    """The user a server must run as: PostgreSQL and PgBouncer refuse root. None when we are not root."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user postgres or nobody here")


class _Identity(TypedDict, total=False):
    user: str
    group: int
    extra_groups: list[int]


def as_server_user() -> _Identity:
    """Arguments for subprocess that give up root; none when there is nothing to give up."""
    user = server_user()
    if user is None:
        return {}
    import pwd

    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _temporary_folder() -> str:
    # In memory a cluster is made three times as fast as on a disk.
    folders = ["/dev/shm"] if _is_roomy("/dev/shm") else []
    for folder in (*folders, tempfile.gettempdir(), "/tmp", "/var/tmp"):
        path = Path(folder)
        if len(folder) > _LONGEST_TEMPORARY_FOLDER or not os.access(path, os.W_OK):
            continue
        # The server's user has to pass through, and it may be another than ours.
        if all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents)):
            return folder
    raise RuntimeError("no temporary folder with a short path that every user can enter; set TMPDIR to one")


def _is_roomy(folder: str) -> bool:
    """Whether some servers fit in, and programs may run there: in containers it is often neither."""
    try:
        system = os.statvfs(folder)
    except OSError:
        return False
    return system.f_bavail * system.f_frsize > 2**30 and not system.f_flag & getattr(os, "ST_NOEXEC", 8)


class Home:
    """A folder for servers, shared by any number of processes, gone when the last of them is."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls) -> Home:
        """Make a new home, and the watchdog that ends it."""
        path = Path(tempfile.mkdtemp(prefix="pgp-", dir=_temporary_folder()))
        (path / "pids").mkdir()
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        home = cls(path, lock)
        home.give_to_server(path)
        subprocess.run(
            [sys.executable, "-I", "-S", __file__, str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        return home

    @classmethod
    def join(cls, path: Path) -> Home | None:
        """Use a home that another process made; None when it is being removed or gone."""
        try:
            lock = os.open(path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if (path / "lock").exists():
            return cls(path, lock)
        os.close(lock)
        return None

    def close(self, *, wait: float = 0.0) -> None:
        """Stop using the home, and wait at most so many seconds until it is gone."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        deadline = time.monotonic() + wait
        while self.path.exists() and time.monotonic() < deadline:
            time.sleep(0.005)

    def folder(self) -> Path:
        """A new folder in the home, owned by the server's user."""
        number = sum(1 for _ in self.path.iterdir())
        while True:
            path = self.path / str(number)
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                self.give_to_server(path)
                return path

    def give_to_server(self, path: Path) -> None:
        """Make the server's user the owner of a file or folder."""
        user = server_user()
        if user is not None:
            shutil.chown(path, user)

    def launch(self, command: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> int:
        """Start a program as the server's user, with its output in ``log`` in that folder; its process id."""
        with (folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=env,
                # Ctrl-C is for the tests: the server ends when they are done with it.
                start_new_session=True,
                **as_server_user(),
            )
        # From here on `is_running` waits for it, and it may outlive this object and this process.
        process.returncode = 0
        (self.path / "pids" / str(process.pid)).write_text(_birth(process.pid))
        return process.pid

    def end(self, pid: int, number: signal.Signals, *, patience: float = 30.0) -> None:
        """Send a program a signal that ends it; return when it has ended, or kill it in the end."""
        deadline = time.monotonic() + patience
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            while is_running(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.002)
        (self.path / "pids" / str(pid)).unlink(missing_ok=True)


def _birth(pid: int) -> str:
    """When a process was started, which tells it from a later one of the same number; "ended" for a zombie.

    Empty where the system has no /proc to read it from.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] == "Z" else fields[19]


def is_running(pid: int) -> bool:
    """Whether there is a process of this number that has not ended."""
    with contextlib.suppress(ChildProcessError):
        # Ours has ended when we have waited for it: PostgreSQL does not start beside its own zombie.
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _birth(pid) != "ended"


def _signal_all(home: Path, number: signal.Signals) -> bool:
    """Signal every process of the home that still runs; true when there was one."""
    running = False
    for entry in home.glob("pids/*"):
        pid = int(entry.name)
        if _birth(pid) == entry.read_text():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                running = True
    return running


def _end(home: Path) -> None:
    # To PostgreSQL and PgBouncer alike SIGQUIT means: stop at once. SIGCONT wakes what a test has stopped.
    _signal_all(home, signal.SIGQUIT)
    deadline = time.monotonic() + 10
    while _signal_all(home, signal.SIGCONT):
        if time.monotonic() > deadline:
            _signal_all(home, signal.SIGKILL)
            break
        time.sleep(0.005)
    shutil.rmtree(home, ignore_errors=True)


def _watch(home: Path) -> None:
    # The first process returns to the one that started it; the second belongs to nobody, and outlives it.
    if os.fork() > 0:
        return
    os.setsid()
    lock = os.open(home / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    _end(home)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
