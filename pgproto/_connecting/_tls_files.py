"""From the `ssl...` parameters to `TLSSettings`: which files there are, and what to verify by them.

| parameter    | if it is not given              | if the file is not there                                  |
|--------------|---------------------------------|-----------------------------------------------------------|
| sslrootcert  | root.crt in ~/.postgresql       | error if it was given, or from sslmode=verify-ca upwards; |
|              |                                 | else the certificate is not verified                      |
| sslcrl       | root.crl, unless sslcrldir is   | error if it was given; else no revocation is checked      |
| sslcert      | postgresql.crt                  | error if it was given; else we have no certificate        |
| sslkey       | postgresql.key                  | error, if there is a certificate                          |

As in libpq, authorities that are there are used, whatever `sslmode` says. Unlike libpq, which goes on without
them, a file that was asked for by name and is not there is an error: who names authorities wants them used.

The key's file must be the user's own, for nobody else to read; or root's, readable for its group.

PostgreSQL documentation: "SSL Support".
"""

from __future__ import annotations

from typing import Final

from pgproto._config import Config
from pgproto._connecting._link import within_time
from pgproto._effects import FileContents, Flow, ReadFile, RunInThread
from pgproto._tls import SYSTEM, TLSSettings, adopt_context, create_context
from pgproto.errors import ConfigError

__all__ = ["TLSContext", "tls_settings"]

_KIND_OF_FILE: Final = 0o170000
_REGULAR_FILE: Final = 0o100000
_OTHERS_OF_OWNER: Final = 0o077
_OTHERS_OF_ROOT: Final = 0o037


class TLSContext:
    """The `ssl.SSLContext` of a configuration: made when it is first needed, and once."""

    __slots__ = ("_config", "_context")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._context: object | None = None

    def get(self) -> Flow[object]:
        """Return the context. Raises `ConfigError` if the parameters do not make one."""
        if self._context is None:
            self._context = yield from self._make()
        return self._context

    def _make(self) -> Flow[object]:
        config = self._config
        if config.ssl_context is not None:
            return adopt_context(
                config.ssl_context,
                verify=config.sslmode in ("verify-ca", "verify-full"),
                check_hostname=config.sslmode == "verify-full",
            )
        settings = yield from tls_settings(config)
        work = RunInThread(lambda: create_context(settings))
        return (yield from within_time(work, "reading certificates"))


def tls_settings(config: Config) -> Flow[TLSSettings]:
    """Work out what goes into the context. Raises `ConfigError`."""
    authorities = yield from _authorities(config)
    revocations = None
    if authorities is not None:
        default = None if config.sslcrldir is not None else "root.crl"
        revocations = yield from _find(config, "sslcrl", config.sslcrl, default)
    certificate, key = yield from _certificate(config)
    return TLSSettings(
        verify=authorities is not None,
        check_hostname=config.sslmode == "verify-full",
        authorities=authorities,
        revocations=revocations,
        revocations_directory=None if authorities is None else config.sslcrldir,
        certificate=certificate,
        key=key,
        key_password=config.sslpassword,
        oldest=config.ssl_min_protocol_version,
        newest=config.ssl_max_protocol_version,
        key_log=config.sslkeylogfile,
    )


def _authorities(config: Config) -> Flow[str | None]:
    if config.sslrootcert == SYSTEM:
        return SYSTEM
    path = yield from _find(config, "sslrootcert", config.sslrootcert, "root.crt")
    if path is None and config.sslmode in ("verify-ca", "verify-full"):
        raise ConfigError(
            f"sslmode={config.sslmode} needs the certificates of the authorities to trust: name their file "
            f"with sslrootcert, or use sslrootcert=system for those that the operating system trusts"
        )
    return path


def _certificate(config: Config) -> Flow[tuple[str | None, str | None]]:
    if config.sslcertmode == "disable":
        return None, None
    certificate = yield from _find(config, "sslcert", config.sslcert, "postgresql.crt")
    if certificate is None:
        return None, None
    key = _path(config, config.sslkey, "postgresql.key")
    contents = None if key is None else (yield from _read("sslkey", key))
    if contents is None:
        raise ConfigError(f"sslkey: {key!r}, the key of the certificate {certificate!r}, does not exist")
    _check_key_file(key, contents)
    return certificate, key


def _check_key_file(path: str | None, contents: FileContents) -> None:
    if contents.owner is None:
        # There are no permissions of this kind here, on Windows say.
        return
    if contents.mode & _KIND_OF_FILE != _REGULAR_FILE:
        raise ConfigError(f"sslkey: {path!r} is not a regular file")
    others = _OTHERS_OF_ROOT if contents.owner == 0 else _OTHERS_OF_OWNER
    if contents.mode & others:
        raise ConfigError(
            f"sslkey: others can read or change {path!r}; its permissions must be u=rw (0600) or less, or "
            f"u=rw,g=r (0640) or less if it belongs to root"
        )


def _find(config: Config, name: str, given: str | None, default: str | None) -> Flow[str | None]:
    """The path of a file that is there; None if there is none and none was asked for."""
    path = given if given is not None or default is None else _path(config, None, default)
    if path is None or (yield from _read(name, path)) is not None:
        return path
    if given is not None:
        raise ConfigError(f"{name}: the file {given!r} does not exist")
    return None


def _path(config: Config, given: str | None, default: str) -> str | None:
    if given is not None or config.tls_directory is None:
        return given
    return f"{config.tls_directory}/{default}"


def _read(name: str, path: str) -> Flow[FileContents | None]:
    try:
        return (yield from within_time(ReadFile(path), f"reading {path!r}"))
    except OSError as error:
        raise ConfigError(f"{name}: the file {path!r} cannot be read: {error}") from error
