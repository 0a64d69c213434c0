"""The smallest transport: carries out flows on one thread and a plain socket, for tests."""

from __future__ import annotations

import os
import pwd
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from pgproto import NEED_DATA
from pgproto import _effects as effects
from pgproto import messages as m
from pgproto._config import Config, load_config
from pgproto._connecting import Established, connect
from pgproto._host import read_file
from pgproto._tls import describe
from pgproto.messages import Message

__all__ = ["PlainTransport", "configure", "connected"]

R = TypeVar("R")


class PlainTransport:
    """Has at most one socket, and waits wherever it must."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.deadline: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def run(self, flow: effects.Flow[R]) -> R:
        """Carry out a flow."""
        result: object = None
        error: Exception | None = None
        try:
            while True:
                try:
                    effect = flow.send(result) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return cast("R", stop.value)
                result, error = None, None
                try:
                    result = self._perform(effect)
                except Exception as failure:
                    error = failure
        except BaseException:
            self.close()
            raise

    def _perform(self, effect: effects.Effect[object]) -> object:
        match effect:
            case effects.Now():
                return time.monotonic()
            case effects.SetDeadline(at):
                self.deadline = at
                return None
            case effects.Entropy(size):
                return os.urandom(size)
            case effects.ReadFile(path):
                return read_file(path)
            case effects.RunInThread():
                return effect.work()
            case effects.AskPassword(ask):
                return ask()
            case effects.Resolve(host, port):
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                return tuple(effects.TCPAddress(str(entry[4][0]), port) for entry in found)
            case effects.OpenSocket():
                self.socket = self._open(effect)
                return None
            case effects.CloseSocket():
                self.close()
                return None
            case _:
                return self._on_socket(effect)

    def _open(self, effect: effects.OpenSocket) -> socket.socket:
        address = effect.address
        if isinstance(address, effects.TCPAddress):
            family, kind, protocol, _, target = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM
            )[0]
            opened = socket.socket(family, kind, protocol)
        else:
            opened, target = socket.socket(socket.AF_UNIX), cast("Any", address.path)
        try:
            opened.settimeout(self._remaining())
            opened.connect(target)
            for level, name, value in effect.socket_options():
                opened.setsockopt(getattr(socket, level), getattr(socket, name), value)
        except BaseException:
            opened.close()
            raise
        return opened

    def _remaining(self) -> float | None:
        if self.deadline is None:
            return None
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def _on_socket(self, effect: effects.Effect[object]) -> object:
        assert self.socket is not None
        self.socket.settimeout(self._remaining())
        match effect:
            case effects.Send(data):
                self.socket.sendall(data)
                return None
            case effects.Receive(limit):
                return self.socket.recv(limit or 65_536)
            case effects.StartTLS(context, server_hostname):
                assert isinstance(context, ssl.SSLContext)
                secured = context.wrap_socket(self.socket, server_hostname=server_hostname)
                self.socket = secured
                return describe(secured)
            case effects.PeerUser():
                credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                return pwd.getpwuid(struct.unpack("3i", credentials)[1]).pw_name
            case _:
                raise AssertionError(effect)

    def ask(self, session: Established, *questions: Message) -> list[Message]:
        """Send messages, and return the answers up to ReadyForQuery."""
        connection = session.connection
        assert self.socket is not None
        self.socket.settimeout(20)
        for question in questions:
            self.socket.sendall(connection.send(question))
        answers: list[Message] = []
        while not answers or not isinstance(answers[-1], m.ReadyForQuery):
            event = connection.next_event()
            if event is NEED_DATA:
                connection.receive_data(self.socket.recv(65_536))
            else:
                assert isinstance(event, Message)
                answers.append(event)
        return answers

    def value(self, session: Established, sql: str) -> str:
        """Ask for one value, as text."""
        row = next(answer for answer in self.ask(session, m.Query(sql)) if isinstance(answer, m.DataRow))
        assert row.values[0] is not None
        return row.values[0].decode()


def configure(dsn: str, environ: Mapping[str, str] | None = None, **params: Any) -> Config:
    """Make a configuration from a connection string and parameters."""
    with PlainTransport() as transport:
        return transport.run(load_config(dsn, params, environ or {}))


def connected(transport: PlainTransport, dsn: str, **params: Any) -> Established:
    """Connect, within ten seconds."""
    deadline = time.monotonic() + 10
    return transport.run(connect(configure(dsn, **params), deadline=deadline))
