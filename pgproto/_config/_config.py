"""`Config`: everything that is decided before the first byte is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Final, Literal, TypeAlias

from pgproto._auth import DEFAULT_SCRAM_MAX_ITERATIONS, DEFAULT_SCRAM_MIN_ITERATIONS, AllowedMethods
from pgproto._config._hosts import HostSpec
from pgproto._dataclasses import dataclass
from pgproto._effects import KeepAlive
from pgproto._secret import Secret

__all__ = [
    "CHANNEL_BINDINGS",
    "GSSENC_MODES",
    "LOAD_BALANCE_HOSTS",
    "PREPARE_MODES",
    "PROTOCOL_WORDS",
    "SSL_CERT_MODES",
    "SSL_MODES",
    "SSL_NEGOTIATIONS",
    "TARGET_SESSION_ATTRS",
    "TLS_VERSIONS",
    "ChannelBinding",
    "Config",
    "GSSEncMode",
    "LoadBalanceHosts",
    "PrepareMode",
    "ProtocolVersion",
    "ProtocolWord",
    "SSLCertMode",
    "SSLMode",
    "SSLNegotiation",
    "TLSVersion",
    "TargetSessionAttrs",
]

ChannelBinding: TypeAlias = Literal["disable", "prefer", "require"]
GSSEncMode: TypeAlias = Literal["disable", "prefer", "require"]
LoadBalanceHosts: TypeAlias = Literal["disable", "random"]
PrepareMode: TypeAlias = Literal["auto", "unnamed"]
ProtocolVersion: TypeAlias = Literal["3.0", "3.2"]
ProtocolWord: TypeAlias = Literal["3.0", "3.2", "latest"]
SSLCertMode: TypeAlias = Literal["disable", "allow", "require"]
SSLMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SSLNegotiation: TypeAlias = Literal["postgres", "direct"]
TLSVersion: TypeAlias = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
TargetSessionAttrs: TypeAlias = Literal[
    "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
]

CHANNEL_BINDINGS: Final[tuple[ChannelBinding, ...]] = ("disable", "prefer", "require")
GSSENC_MODES: Final[tuple[GSSEncMode, ...]] = ("disable", "prefer", "require")
LOAD_BALANCE_HOSTS: Final[tuple[LoadBalanceHosts, ...]] = ("disable", "random")
PREPARE_MODES: Final[tuple[PrepareMode, ...]] = ("auto", "unnamed")
PROTOCOL_WORDS: Final[tuple[ProtocolWord, ...]] = ("3.0", "3.2", "latest")
SSL_CERT_MODES: Final[tuple[SSLCertMode, ...]] = ("disable", "allow", "require")
SSL_MODES: Final[tuple[SSLMode, ...]] = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""From the weakest to the strongest."""
SSL_NEGOTIATIONS: Final[tuple[SSLNegotiation, ...]] = ("postgres", "direct")
TARGET_SESSION_ATTRS: Final[tuple[TargetSessionAttrs, ...]] = (
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
)
TLS_VERSIONS: Final[tuple[TLSVersion, ...]] = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The parameters of a connection, complete and checked. Make one with `load_config`.

    The names are libpq's, and mean what they mean there: see "Parameter Key Words" in PostgreSQL's
    documentation. None means "not given". The repr shows no secret; a config with one cannot be pickled.
    """

    # Where, and as whom.
    hosts: tuple[HostSpec, ...]
    """The servers to try, in the order given."""
    user: str
    dbname: str
    password: Secret | None = None
    """The password given as such; `password_for` knows those from the password file too."""
    ask_password: Callable[[], object] | None = None
    """Called for each connection that needs a password; the result may be awaitable."""
    service: str | None = None
    passfile: str | None = None
    """The password file that was looked at, whether or not it was there."""
    target_session_attrs: TargetSessionAttrs = "any"
    load_balance_hosts: LoadBalanceHosts = "disable"
    connect_timeout: float | None = None
    """Seconds for each host; None waits without a limit."""

    # What the server is told at the start.
    options: str | None = None
    application_name: str | None = None
    """`application_name`, else `fallback_application_name`."""
    replication: Literal["true", "database"] | None = None
    session_defaults: tuple[tuple[str, str], ...] = ()
    """Settings from the environment variables PGDATESTYLE, PGTZ and PGGEQO."""
    min_protocol_version: ProtocolVersion = "3.0"
    max_protocol_version: ProtocolVersion = "3.0"

    # The socket.
    keepalives: bool = True
    keepalives_idle: int = 30
    """Seconds; 0 leaves it to the operating system, here and in the next three."""
    keepalives_interval: int = 10
    """Seconds."""
    keepalives_count: int = 3
    tcp_user_timeout: int = 60_000
    """Milliseconds."""
    requirepeer: str | None = None
    """The operating system's user that the server must run as, when connected over a Unix-domain socket."""
    open_socket: Callable[[str, int], object] | None = None
    """Called with host and port in the place of connecting to them; the result may be awaitable."""

    # TLS.
    sslmode: SSLMode = "prefer"
    sslnegotiation: SSLNegotiation = "postgres"
    sslcertmode: SSLCertMode = "allow"
    sslcert: str | None = None
    """A path, as those below; where it is None, the file of libpq's name in `tls_directory` counts."""
    sslkey: str | None = None
    sslpassword: Secret | None = None
    sslrootcert: str | None = None
    """A path, or "system" for the certificate authorities that the operating system trusts."""
    sslcrl: str | None = None
    sslcrldir: str | None = None
    sslsni: bool = True
    ssl_min_protocol_version: TLSVersion | None = "TLSv1.2"
    ssl_max_protocol_version: TLSVersion | None = None
    sslkeylogfile: str | None = None
    sslcompression: bool = False
    """Has no effect, as in libpq: no TLS library in use can do it."""
    tls_directory: str | None = None
    """Where postgresql.crt, postgresql.key, root.crt and root.crl are looked for: ~/.postgresql."""
    ssl_context: object | None = None
    """An `ssl.SSLContext` that takes the place of one made from the parameters above."""

    # Authentication.
    require_auth: AllowedMethods = field(default_factory=AllowedMethods)
    channel_binding: ChannelBinding = "prefer"
    scram_min_iterations: int = DEFAULT_SCRAM_MIN_ITERATIONS
    scram_max_iterations: int = DEFAULT_SCRAM_MAX_ITERATIONS
    scram_client_key: Secret | None = None
    """32 bytes in base64, as is the next."""
    scram_server_key: Secret | None = None
    gssencmode: GSSEncMode = "prefer"
    """"prefer" comes to the same as "disable": there is no GSSAPI encryption here."""
    krbsrvname: str = "postgres"
    gsslib: str | None = None
    gssdelegation: bool = False
    gss_context: Callable[..., object] | None = None
    """Makes a GSSAPI security context, for servers that ask for GSSAPI authentication; else gssapi does."""
    oauth_issuer: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: Secret | None = None
    oauth_scope: str | None = None
    oauth_token: Callable[..., object] | None = None
    """Called for each connection that needs a bearer token; the result may be awaitable."""

    # This client's own.
    statement_cache_size: int = 256
    """How many prepared statements to keep for each session; 0 keeps none."""
    prepare: PrepareMode = "auto"
    """"unnamed" for poolers that give each transaction another server connection."""
    command_timeout: float | None = None
    """Seconds for each request that has no `timeout` of its own."""
    cancel_timeout: float = 1.0
    """Seconds that a cancelled request may take to end before the session is given up."""
    max_pipeline: int = 1024
    """How many requests may be under way on one session; more wait."""
    max_message_size: int = 1 << 30
    """Bytes."""
    max_result_bytes: int | None = None
    """Bytes that the rows of one request may take; None for no limit."""
    trace: Callable[..., object] | None = None

    warnings: tuple[str, ...] = ()
    """What the user should hear about, such as a password file that others can read."""

    def password_for(self, host: HostSpec) -> Secret | None:
        """Return the password to use with one of the `hosts`, or None."""
        return self.password or host.password

    @property
    def keepalive(self) -> KeepAlive | None:
        """The same as the four `keepalives...` fields; None if there are to be no probes."""
        if not self.keepalives:
            return None
        return KeepAlive(
            self.keepalives_idle or None, self.keepalives_interval or None, self.keepalives_count or None
        )

    @property
    def startup_parameters(self) -> dict[str, str]:
        """What the startup message says, in libpq's order."""
        parameters = {"user": self.user, "database": self.dbname}
        if self.replication is not None:
            parameters["replication"] = self.replication
        if self.options is not None:
            parameters["options"] = self.options
        if self.application_name is not None:
            parameters["application_name"] = self.application_name
        parameters["client_encoding"] = "UTF8"
        parameters.update(self.session_defaults)
        return parameters
