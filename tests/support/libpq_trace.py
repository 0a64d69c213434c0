"""libpq at work, with its own account of every message, and the bytes that went over the wire meanwhile."""

from __future__ import annotations

import ctypes
import os
import select
import selectors
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pgproto import Role
from tests.support.libpq import libpq

__all__ = ["Recorder", "TracedLibpq"]

_SUPPRESS_TIMESTAMPS = 1
_FAILED, _READING, _WRITING, _OK = range(4)
"""What PQconnectPoll says."""


class Recorder:
    """Carries one connection to a server, and notes who said what."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = (host, port)
        self.port: int = self._listener.getsockname()[1]
        self.said: list[tuple[Role, bytes]] = []
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        self._thread.join()

    def _carry(self) -> None:
        client, _ = self._listener.accept()
        with (
            client,
            socket.create_connection(self._server) as server,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(client, selectors.EVENT_READ, (Role.FRONTEND, server))
            selector.register(server, selectors.EVENT_READ, (Role.BACKEND, client))
            while True:
                for key, _ in selector.select():
                    who, target = key.data
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    self.said.append((who, data))
                    target.sendall(data)


class TracedLibpq:
    """A connection of libpq; from its first message on, `PQtrace` writes into a file."""

    def __init__(self, dsn: str, file: Path) -> None:
        self._library = library = ctypes.CDLL(str(libpq().path))
        for name in (
            "PQconnectStart",
            "PQexec",
            "PQexecParams",
            "PQprepare",
            "PQexecPrepared",
            "PQgetResult",
        ):
            getattr(library, name).restype = ctypes.c_void_p
        for name in ("PQdescribePrepared", "PQclosePrepared", "PQfn"):
            getattr(library, name).restype = ctypes.c_void_p
        libc = self._libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        self._connection = ctypes.c_void_p(library.PQconnectStart(dsn.encode()))
        self._file = ctypes.c_void_p(libc.fopen(os.fsencode(file), b"w"))
        library.PQtrace(self._connection, self._file)
        library.PQsetTraceFlags(self._connection, _SUPPRESS_TIMESTAMPS)
        self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._library.PQfinish(self._connection)
        self._libc.fclose(self._file)

    def _connect(self) -> None:
        wanted = _WRITING
        while wanted != _OK:
            assert wanted != _FAILED
            number = self._library.PQsocket(self._connection)
            reading = [number] if wanted == _READING else []
            select.select(reading, [] if reading else [number], [])
            wanted = self._library.PQconnectPoll(self._connection)

    def _clear(self, result: int | None) -> None:
        assert result
        self._library.PQclear(ctypes.c_void_p(result))

    def execute(self, sql: str) -> None:
        """A simple query."""
        self._clear(self._library.PQexec(self._connection, sql.encode()))

    def execute_params(self, sql: str, *args: bytes | None, types: Sequence[int] = (), binary: bool) -> None:
        """An extended query; arguments and results are all binary or all text."""
        call = self._library.PQexecParams
        self._clear(call(self._connection, sql.encode(), *self._values(args, types, binary), int(binary)))

    def _values(self, args: Sequence[bytes | None], types: Sequence[int], binary: bool) -> tuple[Any, ...]:
        count = len(args)
        return (
            count,
            (ctypes.c_uint * count)(*types) if types else None,
            (ctypes.c_char_p * count)(*args),
            (ctypes.c_int * count)(*[len(each or b"") for each in args]),
            (ctypes.c_int * count)(*[int(binary)] * count),
        )

    def prepared(self, name: str, sql: str, arg: bytes) -> None:
        """Prepare, describe, execute, and close."""
        library, connection = self._library, self._connection
        self._clear(library.PQprepare(connection, name.encode(), sql.encode(), 0, None))
        self._clear(library.PQdescribePrepared(connection, name.encode()))
        count, _, values, lengths, formats = self._values((arg,), (), False)
        self._clear(library.PQexecPrepared(connection, name.encode(), count, values, lengths, formats, 0))
        self._clear(library.PQclosePrepared(connection, name.encode()))

    def copy_in(self, sql: str, data: bytes, failure: str | None = None) -> None:
        self.execute(sql)
        assert self._library.PQputCopyData(self._connection, data, len(data)) == 1
        reason = None if failure is None else failure.encode()
        assert self._library.PQputCopyEnd(self._connection, reason) == 1
        self._drain()

    def copy_out(self, sql: str) -> None:
        self.execute(sql)
        buffer = ctypes.c_char_p()
        while self._library.PQgetCopyData(self._connection, ctypes.byref(buffer), 0) > 0:
            self._library.PQfreemem(buffer)
        self._drain()

    def _drain(self) -> None:
        while result := self._library.PQgetResult(self._connection):
            self._clear(result)

    def call_function(self, number: int) -> None:
        """The function call protocol."""
        result, size = ctypes.c_int(), ctypes.c_int()
        call = self._library.PQfn
        self._clear(call(self._connection, number, ctypes.byref(result), ctypes.byref(size), 1, None, 0))

    @contextmanager
    def pipeline(self) -> Generator[None, None, None]:
        assert self._library.PQenterPipelineMode(self._connection) == 1
        yield
        assert self._library.PQpipelineSync(self._connection) == 1
        for _ in range(10):
            self._drain()
        assert self._library.PQexitPipelineMode(self._connection) == 1

    def send(self, sql: str) -> None:
        """In a pipeline: an extended query, and a request to flush."""
        assert self._library.PQsendQueryParams(self._connection, sql.encode(), 0, *[None] * 4, 0) == 1
        assert self._library.PQsendFlushRequest(self._connection) == 1
