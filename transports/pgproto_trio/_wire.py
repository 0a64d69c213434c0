"""One stream, plain or under TLS, that can be closed from anywhere."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
import ssl
from typing import Any, TypeAlias, cast

import trio

from pgproto import _effects as effects
from pgproto.errors import ConfigError, RemoteProtocolError

__all__ = ["Stream", "Wire"]

Stream: TypeAlias = "trio.abc.Stream"

_FILES = os.name == "posix"
"""Whether a socket is a file."""


class Wire:
    """A socket, or whatever stream the application has opened."""

    def __init__(self) -> None:
        self._socket: trio.socket.SocketType | None = None
        self._foreign: trio.abc.Stream | None = None
        """The application's own stream, if it is no socket."""
        self.stream: trio.abc.Stream | None = None
        """What to read from and write to: the stream itself, or TLS on it; None once it is closed."""

    async def open_socket(self, effect: effects.OpenSocket) -> None:
        """Connect to the address."""
        # By trio's own functions: tests can put another network behind them.
        address = effect.address
        if isinstance(address, effects.UnixAddress):
            opened = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: Any = "\0" + address.path[1:] if address.path.startswith("@") else address.path
        else:
            found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, target = found[0]
            opened = trio.socket.socket(family, kind, protocol)
        self._socket = opened
        await opened.connect(target)
        self.stream = trio.SocketStream(opened)
        for level, name, value in effect.socket_options():
            if hasattr(socket, name):
                opened.setsockopt(getattr(socket, level), getattr(socket, name), value)

    async def open_stream(self, effect: effects.OpenStream) -> None:
        """Use the stream that the application has connected."""
        opened = effect.open(effect.host, effect.port)
        if inspect.isawaitable(opened):
            opened = await opened
        if not isinstance(opened, trio.abc.Stream):
            raise ConfigError(
                f"open_socket returned an object of type {type(opened).__name__}; "
                f"on trio it must be a trio.abc.Stream"
            )
        self.stream = opened
        if isinstance(opened, trio.SocketStream):
            self._socket = opened.socket
        else:
            self._foreign = opened

    async def start_tls(self, effect: effects.StartTLS) -> effects.TLSInfo:
        """Shake hands, and speak through TLS from then on."""
        from pgproto._tls import describe

        # In TLS the client speaks first: what has come already is not from the other end of it.
        if self._socket and self._socket.is_readable() and await self._socket.recv(1, socket.MSG_PEEK):
            raise RemoteProtocolError("unencrypted bytes arrived before the TLS handshake")
        secured = trio.SSLStream(
            self.expect(),
            cast("ssl.SSLContext", effect.context),
            server_hostname=effect.server_hostname,
            https_compatible=True,
        )
        self.stream = secured
        await secured.do_handshake()
        return describe(cast("Any", secured))

    def expect(self) -> trio.abc.Stream:
        if self.stream is None:
            raise ConnectionResetError("the connection is closed")
        return self.stream

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket. Raises `OSError` if there is none."""
        if self._socket is None:
            raise OSError("the stream is no socket")
        return self._socket

    def fileno(self) -> int:
        """The number of the socket; -1 if there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def plain_socket(self) -> int:
        """The socket's number, if it can be written and read like a file; -1 if not, as under TLS."""
        return self.fileno() if _FILES and isinstance(self.stream, trio.SocketStream) else -1

    def close(self) -> None:
        """Close it at once, and without a word to the server."""
        self.stream = None
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()
        foreign, self._foreign = self._foreign, None
        if foreign is not None:
            # Only a task can close it; one that is nobody's, as this may be called when a scope has ended.
            trio.lowlevel.spawn_system_task(_close_forcefully, foreign)


async def _close_forcefully(stream: trio.abc.Stream) -> None:
    # What it says to that is of no interest to anybody; as a system task's error it would end the program.
    with contextlib.suppress(Exception):
        await trio.aclose_forcefully(stream)
