"""A connection with no driver at all: requests are made once, and answers are only counted."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from benchmarks.settings import conninfo
from pgproto import messages as m

__all__ = ["Bare"]

_READY = b"Z\x00\x00\x00\x05I"
_CHUNK = 1 << 18


class Bare:
    """A blocking socket. libpq makes the connection and logs in, and then has no part in it."""

    def __init__(self, dsn: str) -> None:
        import psycopg

        self._login = psycopg.connect(**conninfo(dsn), autocommit=True)
        self._socket = socket.socket(fileno=os.dup(self._login.fileno()))
        self._socket.setblocking(True)
        self._requests: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
        self._login.close()

    def wait(self, count: int) -> None:
        """Read until so many requests are over."""
        tail = b""
        while count > 0:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionError("the server has closed the connection")
            if count == 1:
                # Only the end of an answer can be its end.
                tail = (tail + data)[-6:]
                count -= tail == _READY
            else:
                data = tail + data
                count -= data.count(_READY)
                tail = data[-5:]

    def ask(self, sql: str, arguments: Sequence[bytes], count: int) -> None:
        """Ask ``count`` times at once, and wait for all answers."""
        self.send(sql, arguments, count)
        self.wait(count)

    def send(self, sql: str, arguments: Sequence[bytes], count: int) -> None:
        """Ask ``count`` times at once; `wait` for the answers."""
        request = self._requests.get(sql)
        if request is None:
            name = f"bare_{len(self._requests)}"
            self._socket.sendall(m.Parse(name, sql, ()).encode() + m.Sync().encode())
            self.wait(1)
            bind = m.Bind("", name, (1,), tuple(arguments), (1,))
            request = bind.encode() + m.Execute("", 0).encode() + m.Sync().encode()
            self._requests[sql] = request
        self._socket.sendall(request * count)

    def simple(self, sql: str) -> None:
        """A simple query, and its answer to the end."""
        self._socket.sendall(m.Query(sql).encode())
        self.wait(1)
