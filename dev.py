#!/usr/bin/env python3
"""Everything a developer of pgproto needs, from a fresh clone: python3 dev.py COMMAND

  demo [--dsn DSN]       see pgproto at work, on a PostgreSQL of its own or on yours
  test [PYTEST ARGS]     run the tests, with real servers; --all first: also those that take minutes
  check                  run the linters and type checkers
  bench [LINE ...]       measure beside other drivers, all lines or some; --help lists them;
                         bench rows: how fast rows are decoded, without a server
  fuzz [--long]          feed it garbage, for seconds or for hours
  servers [WHICH ...]    list the servers there are; fetch some: a major version such as 18, pgvector
                         for an 18 with that extension, or pgbouncer

With --offline before the command nothing is fetched.

It makes .venv and .cache in this folder and touches nothing else; delete them to start over. The server is
the one that $PGPROTO_DSN (demo, bench) or $PGPROTO_TEST_DSN (test) names, else one of its own: from .cache,
from the system, or fetched from the package index.
"""

import sys

# The rest may use what only these versions have; this part any Python 3 can read.
if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this has not been asked for a version yet
    sys.exit(
        f"pgproto needs Python 3.11 or newer, and this is Python {sys.version_info[0]}.{sys.version_info[1]} "
        f"({sys.executable}).\nRun dev.py with a newer one, for example: python3.13 dev.py test"
    )

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
PYTHON = VENV / "bin" / "python"
SERVERS = ("18", "15", "pgvector")
PACKAGES = ("pgproto", "pgproto_asyncio", "pgproto_trio", "pgproto_blocking")


class Failure(Exception):
    """Something went wrong; the message says what to do next."""


# -- showing what goes on ----------------------------------------------------------------------------


def say(message: str) -> None:
    """Tell the user about a step."""
    print("· " + message, flush=True)


def run_quietly(label: str, command: Sequence[object], *, hint: str) -> None:
    """Run a program that takes long, showing that it goes on. Raises Failure with the end of its output."""
    started = time.monotonic()
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "dev.log").open("w+") as log:
        with subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=ROOT) as process:
            try:
                _show_progress(label, process, started)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise Failure(f"{label}: failed\n{_last_lines(log)}\n{hint}")


def _show_progress(label: str, process: "subprocess.Popen[bytes]", started: float) -> None:
    live = sys.stdout.isatty()
    if not live:
        say(label)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        elapsed = time.monotonic() - started
        if live:
            print(f"\r· {label} … {elapsed:.0f} s", end="", flush=True)
        if process.returncode is not None:
            break
    if live:
        print(f"\r· {label}, {elapsed:.1f} s   ")


def _last_lines(log: TextIO) -> str:
    log.seek(0)
    return "\n".join("    " + line.rstrip() for line in log.readlines()[-15:])


# -- the environment ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _only_one() -> Generator[None, None, None]:
    """Let two runs that start together make the environment one after the other."""
    import fcntl

    try:
        CACHE.mkdir(exist_ok=True)
        lock = (CACHE / "dev.lock").open("a")
    except PermissionError:
        raise Failure(f"{_user()} may not write to {ROOT}: work in a clone of your own") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _wanted(groups: Sequence[str]) -> dict[Path, str]:
    """For each group of dependencies, the file that says it is installed, and what that file has to hold."""
    project = (ROOT / "pyproject.toml").read_bytes()
    key = hashlib.sha256(project + str(ROOT).encode()).hexdigest()
    return {VENV / f"pgproto-{group}.installed": key for group in ("project", *groups)}


def ensure_environment(*groups: str) -> None:
    """Have .venv hold pgproto, from these sources, and these dependency groups. Raises Failure."""
    wanted = _wanted(groups)
    if _is_installed(wanted):
        return
    with _only_one():
        if _is_installed(wanted):
            return
        if offline():
            raise Failure(".venv lacks what this needs; run the same command once without --offline")
        _ensure_venv()
        for marker in wanted:
            marker.unlink(missing_ok=True)
        _install(groups)
        # Written last, so that an interrupted run is taken up again.
        for marker, key in wanted.items():
            marker.write_text(key)


def _is_installed(wanted: dict[Path, str]) -> bool:
    return PYTHON.exists() and all(path.is_file() and path.read_text() == key for path, key in wanted.items())


def _ensure_venv() -> None:
    """Make .venv, unless there is one that works; one that does not is made anew."""
    if PYTHON.exists():
        # Its last words are the version of Python: "pip 25.1 from ... (python 3.11)".
        works = subprocess.run(
            [PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, check=False
        )
        minor = works.stdout.rpartition("(python 3.")[2].strip(" )\n")
        if minor.isdigit() and int(minor) >= 11:
            return
    run_quietly(
        "making .venv",
        [sys.executable, "-m", "venv", "--clear", VENV],
        hint="If it says that ensurepip is missing: on Debian and Ubuntu, apt-get install python3-venv.",
    )


def _install(groups: Sequence[str]) -> None:
    label = "installing pgproto" + (" and what " + ", ".join(groups) + " needs" if groups else "")
    hint = "Check the network, and whether pip can install anything at all; then run the same command again."
    arguments: list[str] = ["--editable", ".[trio]"]
    for group in groups:
        arguments += ["--group", group]
    uv = _uv()
    if uv:
        try:
            run_quietly(label, [uv, "pip", "install", "--python", PYTHON, *arguments], hint="")
        except Failure as failure:
            # uv has settings of its own, and may know nothing of a mirror or proxy that pip is told about.
            say(f"{failure}trying pip instead")
        else:
            return
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    run_quietly("getting a pip that knows dependency groups", [*pip, "pip>=25.1"], hint=hint)
    run_quietly(label, [*pip, *arguments], hint=hint)


def _uv() -> str | None:
    """An installer several times as fast as pip, if it can be had."""
    ours = VENV / "bin" / "uv"
    if not ours.exists() and not shutil.which("uv"):
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"]
        with contextlib.suppress(Failure):
            run_quietly("getting uv", pip, hint="")
    return str(ours) if ours.exists() else shutil.which("uv")


def offline() -> bool:
    """Whether fetching is forbidden."""
    return os.environ.get("PGPROTO_OFFLINE", "0") not in ("", "0")


def python(*arguments: object, **variables: str) -> int:
    """Run Python in the environment, with the terminal; returns its exit status."""
    command = [str(PYTHON), *(str(argument) for argument in arguments)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # It got the Ctrl-C as well; let it clean up.
                continue


# -- the commands ------------------------------------------------------------------------------------


def demo(arguments: list[str]) -> int:
    """Show pgproto at work."""
    ensure_environment()
    if not any(argument == "--dsn" or argument.startswith("--dsn=") for argument in arguments):
        if "PGPROTO_DSN" not in os.environ:
            return python(
                "-m", "tests.support.with_server", "tests.support.demo", "--dsn", "{dsn}", *arguments
            )
        arguments = ["--dsn", os.environ["PGPROTO_DSN"], *arguments]
    return python("-m", "tests.support.demo", *arguments)


def bench(arguments: list[str]) -> int:
    """Measure; a benchmark finds its server in $PGPROTO_DSN."""
    ensure_environment("test")
    if arguments[:1] == ["rows"]:
        return python("-m", "benchmarks.rows", *arguments[1:])
    over_unix_socket = "--unix-socket" in arguments
    arguments = [argument for argument in arguments if argument != "--unix-socket"]
    if "PGPROTO_DSN" in os.environ:
        if over_unix_socket:
            raise Failure("$PGPROTO_DSN names a server: say there that it is to be a Unix socket")
        return python("-m", "benchmarks.compare", *arguments)
    # Most applications are not on their server's machine.
    how = () if over_unix_socket else ("--tcp",)
    return python("-m", "tests.support.with_server", *how, "benchmarks.compare", *arguments)


def test(arguments: list[str]) -> int:
    """Run the tests."""
    ensure_environment("test")
    if "PGPROTO_TEST_DSN" not in os.environ:
        # Before the tests and not from within them, so that the wait is seen for what it is.
        python("-m", "tests.support.with_server", "--fetch", *SERVERS)
    together = ["--numprocesses=auto", "--dist=worksteal"]
    if not arguments:
        say("leaving out what takes minutes: `python3 dev.py test --all` runs that too")
        arguments = [*together, "-m", "not slow and not exhaustive"]
    elif arguments[0] == "--all":
        arguments = [*together, *arguments[1:]]
    # The order of sets is another in each run, the same in all processes of one, and can be had again.
    seed = os.environ.get("PYTHONHASHSEED") or str(random.randrange(2**32))
    say(f"PYTHONHASHSEED={seed}")
    return python("-m", "pytest", *arguments, PYTHONHASHSEED=seed)


def fuzz(arguments: list[str]) -> int:
    """Feed it garbage."""
    ensure_environment("test")
    long = "--long" in arguments
    variables = {"HYPOTHESIS_PROFILE": "long"} if long else {}
    rest = [argument for argument in arguments if argument != "--long"]
    # The long run has no time limit for a single test.
    limits = ["--timeout=0"] if long else []
    return python("-m", "pytest", "fuzz", *limits, *rest, **variables)


def check(arguments: list[str]) -> int:
    """Run everything that reads the code without running it."""
    if arguments:
        raise Failure("check takes no arguments")
    ensure_environment("lint", "typing")
    scripts = VENV / "bin"
    verify_types: list[Path | str] = [scripts / "pyright", "--ignoreexternal", "--verifytypes"]
    checks: dict[str, list[Path | str]] = {
        "ruff check": [scripts / "ruff", "check", "."],
        "ruff format": [scripts / "ruff", "format", "--check", "."],
        "codespell": [scripts / "codespell"],
        "import-linter": [scripts / "lint-imports"],
        "mypy": [scripts / "mypy"],
        "pyright": [scripts / "pyright", "--project", ROOT],
        **{f"types of {name}": [*verify_types, name] for name in PACKAGES},
    }
    # pyright looks at the packages of the python that comes first in the PATH.
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    failed: list[str] = []
    for name, command in checks.items():
        started = time.monotonic()
        answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        verdict = "passed" if answer.returncode == 0 else "FAILED"
        say(f"{name}: {verdict}, {time.monotonic() - started:.1f} s")
        if answer.returncode != 0:
            failed.append(name)
            print(answer.stdout + answer.stderr, end="")
    say(f"these failed: {', '.join(failed)}" if failed else f"all {len(checks)} checks passed")
    return 1 if failed else 0


def servers(arguments: list[str]) -> int:
    """List the servers there are, or fetch some."""
    ensure_environment()
    if arguments:
        return python("-m", "tests.support.with_server", "--fetch", *arguments)
    return python("-m", "tests.support.with_server", "--list")


COMMANDS = {"demo": demo, "test": test, "check": check, "bench": bench, "fuzz": fuzz, "servers": servers}


def main(arguments: list[str]) -> int:
    """Carry out the command line; returns the exit status."""
    if arguments[:1] == ["--offline"]:
        os.environ["PGPROTO_OFFLINE"] = "1"
        arguments = arguments[1:]
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(__doc__)
        return 0
    command = COMMANDS.get(arguments[0])
    try:
        if os.name != "posix":
            raise Failure("dev.py works on Linux and macOS; on Windows, use it in WSL")
        if command is None:
            raise Failure(f"there is no command {arguments[0]!r}; there are: {', '.join(COMMANDS)}, help")
        return command(arguments[1:])
    except Failure as failure:
        print(f"dev.py: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ndev.py: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
