"""`connect` and `Session` for trio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from pgproto._establishing import establish
from pgproto._seconds import seconds
from pgproto._session import SessionCore
from pgproto._verbs._async_lending import AsyncSocket
from pgproto._verbs._async_session import AsyncSession
from pgproto.types import TypeRegistry
from pgproto_trio._driver import Driver

__all__ = ["Session", "connect"]


class Session(AsyncSession):
    """A session with PostgreSQL in a run of trio; `connect` makes one."""

    __slots__ = ("__weakref__", "_socket")

    def __init__(self, driver: AsyncSocket, core: SessionCore) -> None:
        super().__init__(driver, core)
        self._socket = driver

    async def close(self, timeout: float = 5) -> None:
        """Let pending requests finish, say goodbye and close, within ``timeout`` seconds.

        It never waits for a silent server any longer, can be called any number of times, and always closes
        the socket.
        """
        await self._socket.close(seconds(timeout))

    def terminate(self) -> None:
        """Close the socket at once; pending requests fail with `pgproto.ConnectionLost`."""
        self._socket.abort()


@asynccontextmanager
async def connect(
    dsn: str | None = None,
    /,
    *,
    timeout: float | None = None,
    types: TypeRegistry | None = None,
    **parameters: object,
) -> AsyncGenerator[Session, None]:
    """Connect to PostgreSQL, for the time of an ``async with`` block.

    ``dsn`` is a URI or a string of ``key=value`` pairs as libpq takes them; every parameter can also be a
    keyword argument. PostgreSQL documentation: "Connection Strings"::

        async with connect("postgresql://alice@db.example/app") as session:
            ...

    ``timeout`` is in seconds, for all of it; the parameter ``connect_timeout`` is for each address that is
    tried. ``types`` are the codecs of values, which sessions with one database may share.
    ``open_socket(host, port)``, a function of yours that may be a coroutine function, takes the place
    of looking a host up and connecting to it: it returns a `trio.abc.Stream`, such as the end of a
    tunnel. Cancel requests use it too.

    Raises `pgproto.ConfigError`, `pgproto.TLSError`, `pgproto.AuthenticationError`,
    `pgproto.ConnectionLost` if no server could be reached, or the `pgproto.PostgresError` with which the
    server refused.
    """
    driver = Driver()
    flow = establish(dsn, parameters, driver.clock, types, timeout)
    del dsn, parameters  # with their secrets, which the traceback of an error could show
    core = await driver.run(flow)
    # What the block raises must not come out wrapped into a group with what the driver's tasks do.
    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        driver.attach(core, nursery)
        session = Session(driver, core)
        try:
            yield session
        except BaseException as raised:
            error = raised
        finally:
            await session.close()
    if error is not None:
        raise error
