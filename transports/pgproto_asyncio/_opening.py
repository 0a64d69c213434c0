"""From an address to a connected transport."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl

from pgproto import _effects as effects
from pgproto.errors import ConfigError

__all__ = ["open_socket", "open_stream"]


async def open_socket(protocol: asyncio.Protocol, effect: effects.OpenSocket) -> None:
    """Connect to the address; the protocol is told of the transport."""
    loop = asyncio.get_running_loop()
    address = effect.address
    if isinstance(address, effects.UnixAddress):
        path = "\0" + address.path[1:] if address.path.startswith("@") else address.path
        made = await loop.create_unix_connection(lambda: protocol, path)
    else:
        made = await loop.create_connection(lambda: protocol, address.host, address.port)
    opened = made[0].get_extra_info("socket")
    for level, name, value in effect.socket_options():
        if hasattr(socket, name):
            opened.setsockopt(getattr(socket, level), getattr(socket, name), value)


async def open_stream(protocol: asyncio.Protocol, effect: effects.OpenStream) -> None:
    """Use the socket that the application has connected; the protocol is told of the transport."""
    opened = effect.open(effect.host, effect.port)
    if inspect.isawaitable(opened):
        opened = await opened
    if not isinstance(opened, socket.socket) or isinstance(opened, ssl.SSLSocket):
        # Event loops do TLS themselves.
        raise ConfigError(
            f"open_socket returned an object of type {type(opened).__name__}; "
            f"on asyncio it must be a connected socket.socket"
        )
    opened.setblocking(False)
    try:
        # Whatever family it is of, for the event loop it is a stream.
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=opened)
    except BaseException:
        opened.close()
        raise
