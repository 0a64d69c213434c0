"""What comes out of connecting: a session that is ready, and the way that led to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from pgproto._auth import AuthenticationOutcome
from pgproto._config import HostSpec
from pgproto._dataclasses import dataclass
from pgproto._effects import Address, KeepAlive, TLSInfo
from pgproto._short_way import ClientConnection
from pgproto.messages import NoticeResponse

__all__ = ["Established", "Route"]


@dataclass(frozen=True, slots=True)
class Route:
    """How a server was reached, so that it can be reached in the same way again."""

    address: Address
    host: HostSpec
    keepalive: KeepAlive | None = None
    tcp_user_timeout: int | None = None
    """Milliseconds."""
    peer_user: str | None = None
    """The user that the server must run as, if it is reached through a Unix-domain socket."""
    tls_context: object | None = None
    """The `ssl.SSLContext` in use; None without TLS."""
    server_hostname: str | None = None
    """The name for the certificate and for SNI."""
    direct_tls: bool = False
    open_socket: Callable[[str, int], object] | None = None
    """The application's own way to the address; None for an ordinary socket."""


@dataclass(frozen=True, slots=True)
class Established:
    """An authenticated session, in which the server has said that it is ready."""

    connection: ClientConnection
    route: Route
    tls: TLSInfo | None
    """None if the connection is not encrypted."""
    authentication: AuthenticationOutcome
    parameters: dict[str, str]
    """What the server reported with ParameterStatus."""
    process_id: int | None
    """The number of the server's process; None if it gave none, as some poolers do."""
    secret_key: bytes | None = field(repr=False)
    """What a CancelRequest must carry; None if the server gave none: then nothing can be cancelled."""
    unrecognized_options: tuple[str, ...] = ()
    """Protocol options that were asked for and that the server does not know."""
    notices: tuple[NoticeResponse, ...] = ()
    """What the server remarked until now."""

    @property
    def host(self) -> HostSpec:
        """Which of the servers in the parameters it is."""
        return self.route.host

    @property
    def address(self) -> Address:
        """Which of the server's addresses it is."""
        return self.route.address

    @property
    def protocol_version(self) -> int:
        """The protocol version in use, major number in the upper 16 bits: 0x30000 is 3.0."""
        return self.connection.protocol_version
