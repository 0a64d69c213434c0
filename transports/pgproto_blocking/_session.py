"""`connect` and `Session` for plain threads."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pgproto._establishing import establish
from pgproto._seconds import seconds
from pgproto._session import SessionCore
from pgproto._verbs._blocking_lending import BlockingSocket
from pgproto._verbs._blocking_session import BlockingSession
from pgproto.types import TypeRegistry
from pgproto_blocking._driver import Driver

__all__ = ["Session", "connect"]


class Session(BlockingSession):
    """A session with PostgreSQL for plain threads; `connect` makes one."""

    __slots__ = ("__weakref__", "_socket")

    def __init__(self, driver: BlockingSocket, core: SessionCore) -> None:
        super().__init__(driver, core)
        self._socket = driver

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BaseException:
            self.terminate()
            raise

    def close(self, timeout: float = 5) -> None:
        """Let pending requests finish, say goodbye and close, within ``timeout`` seconds.

        It never waits for a silent server any longer, can be called any number of times, and always closes
        the socket.
        """
        self._socket.close(seconds(timeout))

    def terminate(self) -> None:
        """Close the socket at once; pending requests fail with `pgproto.ConnectionLost`."""
        self._socket.abort()


def connect(
    dsn: str | None = None,
    /,
    *,
    timeout: float | None = None,
    types: TypeRegistry | None = None,
    **parameters: object,
) -> Session:
    """Connect to PostgreSQL.

    ``dsn`` is a URI or a string of ``key=value`` pairs as libpq takes them; every parameter can also be a
    keyword argument. PostgreSQL documentation: "Connection Strings". The session closes itself as a context
    manager::

        with connect("postgresql://alice@db.example/app") as session:
            ...

    ``timeout`` is in seconds, for all of it; the parameter ``connect_timeout`` is for each address that is
    tried. ``types`` are the codecs of values, which sessions with one database may share.
    ``open_socket(host, port)``, a function of yours, takes the place of looking a host up and
    connecting to it: it returns a connected `socket.socket`, such as the end of a tunnel. Cancel requests
    use it too, and threads of their own may call it.

    Raises `pgproto.ConfigError`, `pgproto.TLSError`, `pgproto.AuthenticationError`,
    `pgproto.ConnectionLost` if no server could be reached, or the `pgproto.PostgresError` with which the
    server refused.
    """
    driver = Driver()
    flow = establish(dsn, parameters, driver.clock, types, timeout)
    del dsn, parameters  # with their secrets, which the traceback of an error could show
    try:
        core = driver.run(flow)
        driver.attach(core)
        return Session(driver, core)
    except BaseException:
        driver.abort()
        raise
