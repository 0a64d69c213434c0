"""`connect` and `Session` for asyncio."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from types import TracebackType

from pgproto._establishing import establish
from pgproto._seconds import seconds
from pgproto._session import SessionCore
from pgproto._verbs._async_lending import AsyncSocket
from pgproto._verbs._async_session import AsyncSession
from pgproto.types import TypeRegistry
from pgproto_asyncio._driver import Driver

__all__ = ["Session", "connect"]


class Session(AsyncSession):
    """A session with PostgreSQL on an asyncio event loop; `connect` makes one."""

    __slots__ = ("__weakref__", "_socket")

    def __init__(self, driver: AsyncSocket, core: SessionCore) -> None:
        super().__init__(driver, core)
        self._socket = driver

    def __del__(self) -> None:
        driver = self._socket
        if isinstance(driver, Driver) and driver.fileno() >= 0:
            # The event loop knows the socket, and would keep it open for ever.
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2)
            driver.abort_soon()

    async def close(self, timeout: float = 5) -> None:
        """Let pending requests finish, say goodbye and close, within ``timeout`` seconds.

        It never waits for a silent server any longer, can be called any number of times, and always closes
        the socket.
        """
        await self._socket.close(seconds(timeout))

    def terminate(self) -> None:
        """Close the socket at once; pending requests fail with `pgproto.ConnectionLost`."""
        self._socket.abort()


class connect:  # it is called like the function that it stands for
    """Connect to PostgreSQL.

    ``dsn`` is a URI or a string of ``key=value`` pairs as libpq takes them; every parameter can also be a
    keyword argument. PostgreSQL documentation: "Connection Strings". Use it in either way::

        async with connect("postgresql://alice@db.example/app") as session:
            ...
        session = await connect("postgresql://alice@db.example/app")

    ``timeout`` is in seconds, for all of it; the parameter ``connect_timeout`` is for each address that is
    tried. ``types`` are the codecs of values, which sessions with one database may share.
    ``open_socket(host, port)``, a function of yours that may be a coroutine function, takes the place
    of looking a host up and connecting to it: it returns a connected `socket.socket`, such as the end of a
    tunnel. Cancel requests use it too.

    Raises `pgproto.ConfigError`, `pgproto.TLSError`, `pgproto.AuthenticationError`,
    `pgproto.ConnectionLost` if no server could be reached, or the `pgproto.PostgresError` with which the
    server refused.
    """

    __slots__ = ("_dsn", "_parameters", "_session", "_timeout", "_types")

    def __init__(
        self,
        dsn: str | None = None,
        /,
        *,
        timeout: float | None = None,
        types: TypeRegistry | None = None,
        **parameters: object,
    ) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._types = types
        self._parameters = parameters
        self._session: Session | None = None

    def __await__(self) -> Generator[object, None, Session]:
        return self._connect().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._connect()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _connect(self) -> Session:
        driver = Driver()
        core = await driver.run(
            establish(self._dsn, self._parameters, driver.clock, self._types, self._timeout)
        )
        driver.attach(core)
        return Session(driver, core)
