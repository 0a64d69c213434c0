"""A connection with no driver at all: requests are made once, and answers are only counted."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from pgproto import messages as m
from pgproto import parse_dsn

__all__ = ["Bare"]

_READY = b"Z\x00\x00\x00\x05I"
_CHUNK = 1 << 18


class Bare:
    """A blocking socket to a server that asks for no password."""

    def __init__(self, dsn: str) -> None:
        given = parse_dsn(dsn)
        host, port = given.get("host", "localhost"), int(given.get("port", "5432"))
        if host.startswith("/"):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self._socket = socket.create_connection((host, port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        user = given.get("user", "postgres")
        startup = m.StartupMessage({"user": user, "database": given.get("dbname", user)})
        self._socket.sendall(startup.encode())
        self._wait(1)
        self._requests: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def _wait(self, count: int) -> None:
        """Read until so many requests are over."""
        tail = b""
        while count > 0:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionError("the server refused: does it ask for a password?")
            if count == 1:
                # Only the end of an answer can be its end.
                tail = (tail + data)[-6:]
                count -= tail == _READY
            else:
                data = tail + data
                count -= data.count(_READY)
                tail = data[-5:]

    def ask(self, sql: str, arguments: bool, count: int) -> None:
        """Ask ``count`` times at once, and wait for all answers."""
        request = self._requests.get(sql)
        if request is None:
            name = f"bare_{len(self._requests)}"
            self._socket.sendall(m.Parse(name, sql, ()).encode() + m.Sync().encode())
            self._wait(1)
            values = (b"\0\0\0\1",) if arguments else ()
            bind = m.Bind("", name, (1,), values, (1,))
            request = bind.encode() + m.Execute("", 0).encode() + m.Sync().encode()
            self._requests[sql] = request
        self._socket.sendall(request * count)
        self._wait(count)
