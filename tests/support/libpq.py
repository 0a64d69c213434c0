"""PostgreSQL's own client library, through ctypes, to compare with."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.binaries import Unavailable, binaries

__all__ = ["Attempt", "Default", "Landing", "Libpq", "libpq", "libpq_beside"]

_MAJOR = 18
_CONNECTION_OK = 0


class _Option(ctypes.Structure):
    """PQconninfoOption."""

    _fields_ = (
        ("keyword", ctypes.c_char_p),
        ("envvar", ctypes.c_char_p),
        ("compiled", ctypes.c_char_p),
        ("val", ctypes.c_char_p),
        ("label", ctypes.c_char_p),
        ("dispchar", ctypes.c_char_p),
        ("dispsize", ctypes.c_int),
    )

    keyword: bytes | None
    envvar: bytes | None
    compiled: bytes | None
    val: bytes | None
    dispchar: bytes | None


@dataclass(frozen=True, slots=True)
class Default:
    """What libpq knows about one parameter."""

    keyword: str
    variable: str | None
    compiled: str | None
    value: str | None
    secret: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a connection attempt would have used, and how it failed."""

    values: dict[str, str]
    password: str
    error: str

    @property
    def refused(self) -> bool:
        """Whether the parameters were refused, before anything was tried."""
        return not self.error.startswith("connection to server")


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a connection attempt came to its end, and how."""

    port: int
    encrypted: bool


class Libpq:
    """A few functions of libpq."""

    def __init__(self, path: Path) -> None:
        self.path = path
        library = ctypes.CDLL(str(path))
        self.version = int(library.PQlibVersion())
        options = ctypes.POINTER(_Option)
        self._parse = library.PQconninfoParse
        self._parse.argtypes, self._parse.restype = [ctypes.c_char_p, ctypes.c_void_p], options
        self._defaults = library.PQconndefaults
        self._defaults.restype = options
        self._start = library.PQconnectStart
        self._start.argtypes, self._start.restype = [ctypes.c_char_p], ctypes.c_void_p
        self._conninfo = library.PQconninfo
        self._conninfo.argtypes, self._conninfo.restype = [ctypes.c_void_p], options
        self._error = library.PQerrorMessage
        self._error.argtypes, self._error.restype = [ctypes.c_void_p], ctypes.c_char_p
        self._pass = library.PQpass
        self._pass.argtypes, self._pass.restype = [ctypes.c_void_p], ctypes.c_char_p
        self._finish = library.PQfinish
        self._finish.argtypes = [ctypes.c_void_p]
        self._connect = library.PQconnectdb
        self._connect.argtypes, self._connect.restype = [ctypes.c_char_p], ctypes.c_void_p
        self._status = library.PQstatus
        self._status.argtypes = [ctypes.c_void_p]
        self._port = library.PQport
        self._port.argtypes, self._port.restype = [ctypes.c_void_p], ctypes.c_char_p
        self._ssl_in_use = library.PQsslInUse
        self._ssl_in_use.argtypes = [ctypes.c_void_p]
        self._free = library.PQconninfoFree
        self._free.argtypes = [options]

    def _rows(self, array: ctypes._Pointer[_Option]) -> Iterator[_Option]:
        position = 0
        while array[position].keyword is not None:
            yield array[position]
            position += 1

    def _values(self, array: ctypes._Pointer[_Option]) -> dict[str, str]:
        rows = [(row.keyword, row.val) for row in self._rows(array)]
        self._free(array)
        return {os.fsdecode(name): os.fsdecode(value) for name, value in rows if name and value is not None}

    def parse(self, dsn: str) -> dict[str, str] | None:
        """PQconninfoParse; None if it fails."""
        array = self._parse(os.fsencode(dsn), None)
        return self._values(array) if array else None

    def defaults(self) -> list[Default]:
        """PQconndefaults."""
        array = self._defaults()

        def text(value: bytes | None) -> str | None:
            return None if value is None else os.fsdecode(value)

        found = [
            Default(text(r.keyword) or "", text(r.envvar), text(r.compiled), text(r.val), r.dispchar == b"*")
            for r in self._rows(array)
        ]
        self._free(array)
        return found

    def attempt(self, dsn: str) -> Attempt:
        """PQconnectStart; the server must be on a socket that is not there."""
        connection = self._start(os.fsencode(dsn))
        error = os.fsdecode(self._error(connection))
        values = self._values(self._conninfo(connection))
        password = os.fsdecode(self._pass(connection))
        self._finish(connection)
        return Attempt(values, password, error)

    def connect(self, parameters: Mapping[str, str]) -> Landing | str:
        """PQconnectdb; the error if it fails."""
        connection = self._connect(os.fsencode(_conninfo(parameters)))
        try:
            if self._status(connection) != _CONNECTION_OK:
                return os.fsdecode(self._error(connection))
            return Landing(int(self._port(connection)), bool(self._ssl_in_use(connection)))
        finally:
            self._finish(connection)


def _conninfo(parameters: Mapping[str, str]) -> str:
    quoted = {name: value.replace("\\", r"\\").replace("'", r"\'") for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


@cache
def libpq(major: int = _MAJOR) -> Libpq:
    """The libpq of a PostgreSQL version. Raises Unavailable."""
    prefix = binaries(major).prefix
    for folder in (prefix / "lib", prefix / "lib64", Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")):
        for name in ("libpq.so.5", "libpq.5.dylib"):
            if (folder / name).exists():
                found = Libpq(folder / name)
                if found.version // 10_000 == major:
                    return found
    raise Unavailable(f"no libpq of PostgreSQL {major} below {prefix}")


def libpq_beside(major: int) -> Libpq:
    """The libpq of a PostgreSQL version; the newest if there are only the server's programs of it."""
    try:
        return libpq(major)
    except Unavailable:
        return libpq()
