"""From TLS parameters to an `ssl.SSLContext`, and from a TLS connection to what is known of it.

This is the one module of the core that touches `ssl`, and it does so only when it is called: the translation
is the same for every transport, and none of them needs to know libpq's rules about certificates. Nothing here
decides anything; what to verify is decided where `TLSSettings` are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pgproto._dataclasses import dataclass
from pgproto._effects import TLSInfo
from pgproto._secret import Secret
from pgproto.errors import ConfigError

if TYPE_CHECKING:
    import ssl

__all__ = ["ALPN", "SYSTEM", "TLSSettings", "TLSVersion", "adopt_context", "create_context", "describe"]

ALPN: Final = "postgresql"
"""The name of PostgreSQL's protocol among those that share a port (registered with IANA)."""

SYSTEM: Final = "system"
"""In place of a path: the authorities that the operating system trusts."""

TLSVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """All that goes into an `ssl.SSLContext`; the paths exist."""

    verify: bool = False
    """Whether the certificate must come from one of the authorities."""
    check_hostname: bool = False
    """Whether it must be for the server's name, too."""
    authorities: str | None = None
    """A file of certificates, or `SYSTEM`."""
    revocations: str | None = None
    """A file of certificate revocation lists."""
    revocations_directory: str | None = None
    certificate: str | None = None
    """Our own, for servers that ask for one, with what leads up to its authority."""
    key: str | None = None
    key_password: Secret | None = None
    oldest: TLSVersion | None = "TLSv1.2"
    newest: TLSVersion | None = None
    key_log: str | None = None
    """Where to write the session's keys, for debugging."""


def create_context(settings: TLSSettings) -> ssl.SSLContext:
    """Make a context for clients. It reads files, and takes some milliseconds.

    Raises `ConfigError` for files that do not hold what they should.
    """
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = settings.check_hostname
        context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
        versions = ssl.TLSVersion
        context.minimum_version = _version(settings.oldest, versions.MINIMUM_SUPPORTED)
        context.maximum_version = _version(settings.newest, versions.MAXIMUM_SUPPORTED)
        context.set_alpn_protocols([ALPN])
        _load_authorities(context, settings)
        _load_certificate(context, settings)
        if settings.key_log is not None:
            context.keylog_filename = settings.key_log
    except (OSError, ValueError) as error:
        raise ConfigError(f"the parameters for TLS cannot be used: {error}") from error
    return context


def _version(name: TLSVersion | None, otherwise: ssl.TLSVersion) -> ssl.TLSVersion:
    import ssl

    return otherwise if name is None else ssl.TLSVersion[name.replace(".", "_")]


def _load_authorities(context: ssl.SSLContext, settings: TLSSettings) -> None:
    import ssl

    if settings.authorities == SYSTEM:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    elif settings.authorities is not None:
        _load(context, settings.authorities, "sslrootcert")
    if settings.revocations is not None:
        _load(context, settings.revocations, "sslcrl")
    if settings.revocations_directory is not None:
        context.load_verify_locations(capath=settings.revocations_directory)
    if settings.revocations is not None or settings.revocations_directory is not None:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load(context: ssl.SSLContext, path: str, parameter: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise ConfigError(f"{parameter}: the file {path!r} cannot be used: {error}") from error


def _load_certificate(context: ssl.SSLContext, settings: TLSSettings) -> None:
    if settings.certificate is None:
        return

    def password() -> str:
        # Without this, OpenSSL would ask at the terminal.
        if settings.key_password is None:
            raise ConfigError(
                f"sslkey: the key in {settings.key!r} is encrypted, and there is no sslpassword"
            )
        return settings.key_password.reveal()

    try:
        context.load_cert_chain(settings.certificate, settings.key, password)
    except OSError as error:
        raise ConfigError(
            f"sslcert, sslkey: {settings.certificate!r} and {settings.key!r} cannot be used: {error}"
        ) from error


def adopt_context(given: object, *, verify: bool, check_hostname: bool) -> ssl.SSLContext:
    """Take a context that the application has made; it keeps all that it says, and gets our ALPN.

    Raises `ConfigError` if it is no context for clients, or verifies less than `sslmode` asks for.
    """
    import ssl

    if not isinstance(given, ssl.SSLContext):
        raise ConfigError(f"ssl_context must be an ssl.SSLContext, not of type {type(given).__name__}")
    if given.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ConfigError(
            "ssl_context is one for servers; ssl.create_default_context() makes one for clients"
        )
    if verify and given.verify_mode is not ssl.CERT_REQUIRED:
        raise ConfigError(
            "ssl_context does not verify the server's certificate (verify_mode), which sslmode asks for"
        )
    if check_hostname and not given.check_hostname:
        raise ConfigError(
            "ssl_context does not check the server's name (check_hostname), which sslmode asks for"
        )
    given.set_alpn_protocols([ALPN])
    return given


def describe(connection: ssl.SSLSocket | ssl.SSLObject) -> TLSInfo:
    """Say what is known of a TLS connection after its handshake."""
    import ssl

    cipher = connection.cipher()
    return TLSInfo(
        version=connection.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=connection.selected_alpn_protocol(),
        peer_certificate=connection.getpeercert(binary_form=True),
        verified=connection.context.verify_mode is ssl.CERT_REQUIRED,
    )
