"""Carrying out flows of effects on asyncio: what happens before a session is there, and beside it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, cast

from pgproto import _effects as effects
from pgproto._host import PEER_CREDENTIALS_SIZE, peer_user, read_file
from pgproto.errors import RemoteProtocolError
from pgproto_asyncio._opening import open_socket, open_stream

__all__ = ["Flows"]

logger = logging.getLogger("pgproto")

R = TypeVar("R")


class Flows(asyncio.Protocol):
    """Owns one socket, and does with it what a flow says."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._ended = False
        self._lost: BaseException | None = None
        self._reading: asyncio.Future[None] | None = None
        self._closed = self._loop.create_future()

    @property
    def clock(self) -> Callable[[], float]:
        """The event loop's clock, in seconds."""
        return self._loop.time

    @abstractmethod
    def abort(self) -> None:
        """Close the socket at once, without a word to the server."""

    async def run(self, flow: effects.Flow[R]) -> R:
        """Carry out a flow; if it fails or is cancelled, the socket is closed."""
        result: object = None
        error: BaseException | None = None
        deadline: float | None = None
        try:
            while True:
                try:
                    effect = flow.send(result) if error is None else flow.throw(error)
                except StopIteration as stop:
                    return cast("R", stop.value)
                result = error = None
                if isinstance(effect, effects.SetDeadline):
                    deadline = effect.at
                    continue
                try:
                    async with asyncio.timeout_at(deadline):
                        result = await self._perform(effect)
                except Exception as failure:
                    # Not a cancellation, which is no Exception: the flow decides what a failure means.
                    error = failure
        except BaseException:
            self.abort()
            raise
        finally:
            flow.close()

    async def _perform(self, effect: effects.Effect[object]) -> object:
        match effect:
            case effects.Now():
                return self._loop.time()
            case effects.Entropy():
                return os.urandom(effect.size)
            case effects.ReadFile():
                return await self._loop.run_in_executor(None, read_file, effect.path)
            case effects.Warn():
                logger.warning("%s", effect.message)
            case effects.RunInThread():
                return await self._loop.run_in_executor(None, effect.work)
            case effects.AskPassword():
                answer = effect.ask()
                return await answer if inspect.isawaitable(answer) else answer
            case effects.Resolve():
                found = await self._loop.getaddrinfo(effect.host, effect.port, type=socket.SOCK_STREAM)
                return tuple([effects.TCPAddress(str(each[4][0]), effect.port) for each in found])
            case effects.OpenSocket():
                await open_socket(self, effect)
            case effects.OpenStream():
                await open_stream(self, effect)
            case effects.PeerUser():
                opened = self._expect_transport().get_extra_info("socket")
                return peer_user(
                    opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS_SIZE)
                )
            case effects.Send():
                await self._send(effect.data)
            case effects.Receive():
                return await self._receive(effect.limit)
            case effects.StartTLS():
                return await self._start_tls(effect)
            case effects.CloseSocket():
                self.abort()
            case _:
                raise TypeError(f"{effect!r} is no effect that a transport knows")
        return None

    def _start_receiving(self) -> None:
        self._received.clear()
        self._ended, self._lost = False, None
        self._closed = self._loop.create_future()

    def _expect_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        return self._transport

    async def _send(self, data: bytes) -> None:
        if self._lost is not None:
            raise OSError("the connection was lost") from self._lost
        self._expect_transport().write(data)

    async def _receive(self, limit: int | None) -> bytes:
        while not self._received and not self._ended:
            self._reading = self._loop.create_future()
            try:
                await self._reading
            finally:
                self._reading = None
        if isinstance(self._lost, OSError) and not self._received:
            raise self._lost
        data = bytes(self._received[:limit])
        del self._received[:limit]
        return data

    async def _start_tls(self, effect: effects.StartTLS) -> effects.TLSInfo:
        from pgproto._tls import describe

        if self._received:
            raise RemoteProtocolError("unencrypted bytes arrived before the TLS handshake")
        upgraded = await self._loop.start_tls(
            self._expect_transport(),
            self,
            cast("Any", effect.context),
            server_hostname=effect.server_hostname or "",
            ssl_handshake_timeout=None,
        )
        if upgraded is None:
            raise ConnectionResetError("the server closed the connection during the TLS handshake")
        self._transport = upgraded
        return describe(upgraded.get_extra_info("ssl_object"))

    def _wake_reader(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)
