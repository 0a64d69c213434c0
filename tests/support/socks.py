"""A SOCKS5 proxy that knows names nobody else knows, and the client's side of it on a plain socket."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

__all__ = ["ProxyError", "SocksProxy", "connect_through"]

_GREETING = b"\x05\x01\x00"
"""Version 5, one way to authenticate: none."""
_CONNECT_BY_NAME = b"\x05\x01\x00\x03"


class ProxyError(Exception):
    """What a library for proxies raises: no OSError."""


def connect_through(proxy: SocksProxy, host: str, port: int) -> socket.socket:
    """A socket that the proxy has connected to the host, whose name it alone looks up."""
    opened = socket.create_connection(("127.0.0.1", proxy.port))
    try:
        opened.sendall(_GREETING)
        _receive(opened, 2)
        name = host.encode()
        opened.sendall(_CONNECT_BY_NAME + bytes([len(name)]) + name + struct.pack("!H", port))
        if _receive(opened, 10)[1] != 0:
            raise ProxyError(f"the proxy does not know {host}")
    except BaseException:
        opened.close()
        raise
    return opened


def _receive(opened: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = opened.recv(size - len(data))
        if not more:
            raise ProxyError("the proxy hung up")
        data += more
    return data


class SocksProxy:
    """Listens on 127.0.0.1, a thread for each connection; `names` says where each name really is."""

    def __init__(self, names: Mapping[str, tuple[str, int]]) -> None:
        self._names = names
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[tuple[str, int]] = []
        """Who was asked for, one connection after the other."""
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for opened in self._open:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself
        for thread in self._threads[1:]:
            thread.join()
        for opened in self._open:
            opened.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            assert _receive(client, 3) == _GREETING
            client.sendall(b"\x05\x00")
            assert _receive(client, 4) == _CONNECT_BY_NAME
            name = _receive(client, _receive(client, 1)[0]).decode()
            (port,) = struct.unpack("!H", _receive(client, 2))
            self.asked.append((name, port))
            if name not in self._names:
                client.sendall(b"\x05\x04\x00\x01" + bytes(6))
                client.shutdown(socket.SHUT_RDWR)
                return
            server = socket.create_connection(self._names[name])
            self._open.append(server)
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            relay(client, server)
        except (OSError, ProxyError):
            return


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends; then both have ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                data = source.recv(65536)
                if not data:
                    for each in (one, other):
                        each.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
