"""Parameters that take more than one line to read."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Literal

from pgproto._auth import DEFAULT_SCRAM_MAX_ITERATIONS, DEFAULT_SCRAM_MIN_ITERATIONS
from pgproto._config._config import PROTOCOL_WORDS, TLS_VERSIONS, ProtocolVersion, ProtocolWord, TLSVersion
from pgproto._config._options import read_boolean
from pgproto._config._values import INT32_MAX, INT32_MIN, Values
from pgproto._seconds import LONGEST
from pgproto._secret import Secret
from pgproto.errors import ConfigError

__all__ = [
    "connect_timeout",
    "keepalives",
    "not_negative",
    "protocol_versions",
    "replication",
    "scram_iterations",
    "scram_key",
    "session_defaults",
    "ssl_context",
    "tls_versions",
]

_SCRAM_KEY_SIZE = 32
_MOST_SCRAM_ITERATIONS = 9_999_999
_NEWEST_PROTOCOL: ProtocolVersion = "3.2"
_SESSION_DEFAULTS = {"PGDATESTYLE": "datestyle", "PGTZ": "timezone", "PGGEQO": "geqo"}


def connect_timeout(values: Values) -> float | None:
    """Return seconds; zero and less mean no limit, as in libpq."""
    raw = values.raw("connect_timeout")
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and -LONGEST <= raw <= LONGEST:
        return float(raw) if raw > 0 else None
    seconds = values.integer("connect_timeout", INT32_MIN, INT32_MAX)
    return None if seconds is None or seconds <= 0 else float(seconds)


def keepalives(values: Values) -> bool:
    """Return whether idle connections are probed; any number but zero says so."""
    raw = values.raw("keepalives")
    if isinstance(raw, bool):
        return raw
    return values.integer("keepalives", INT32_MIN, INT32_MAX) != 0


def not_negative(values: Values, name: str, default: int) -> int:
    """Return a number; one below zero counts as zero, as in libpq."""
    value = values.integer(name, INT32_MIN, INT32_MAX)
    return default if value is None else max(value, 0)


def protocol_versions(values: Values) -> tuple[ProtocolVersion, ProtocolVersion]:
    """Return the lowest and the highest protocol version to accept.

    Without a word about it, the highest is 3.0, because some poolers cannot negotiate; but where the lowest
    is above that, the highest is the newest there is.
    """
    lowest = _protocol_version(values, "min_protocol_version", "3.0")
    highest = _protocol_version(values, "max_protocol_version", "3.0" if lowest == "3.0" else "latest")
    if lowest > highest:
        raise ConfigError(f'"min_protocol_version" is {lowest}, "max_protocol_version" only {highest}')
    return lowest, highest


def _protocol_version(values: Values, name: str, default: ProtocolWord) -> ProtocolVersion:
    word: ProtocolWord = values.choice(name, PROTOCOL_WORDS, default)
    return _NEWEST_PROTOCOL if word == "latest" else word


def tls_versions(values: Values) -> tuple[TLSVersion | None, TLSVersion | None]:
    """Return the lowest and the highest TLS version to accept; None leaves it to the TLS library."""
    lowest = _tls_version(values, "ssl_min_protocol_version")
    highest = _tls_version(values, "ssl_max_protocol_version")
    if lowest and highest and TLS_VERSIONS.index(lowest) > TLS_VERSIONS.index(highest):
        raise ConfigError(
            f'"ssl_min_protocol_version" is {lowest}, "ssl_max_protocol_version" only {highest}'
        )
    return lowest, highest


def _tls_version(values: Values, name: str) -> TLSVersion | None:
    text = values.text(name)
    if text is None:
        return None
    for version in TLS_VERSIONS:
        if text.lower() == version.lower():
            return version
    raise values.wrong(name, f"one of {', '.join(TLS_VERSIONS)}")


def replication(values: Values) -> Literal["true", "database"] | None:
    """Return what makes the connection one for replication: physical ("true"), or logical ("database")."""
    raw = values.raw("replication")
    text = {True: "true", False: "false"}[raw] if isinstance(raw, bool) else values.text("replication")
    if text is None:
        return None
    if text == "database":
        return "database"
    physical = read_boolean(text)
    if physical is None:
        raise values.wrong("replication", '"database", true or false')
    return "true" if physical else None


def scram_iterations(values: Values) -> tuple[int, int]:
    """Return the fewest and the most iterations that a server may ask for."""
    fewest = values.integer("scram_min_iterations", 1, _MOST_SCRAM_ITERATIONS) or DEFAULT_SCRAM_MIN_ITERATIONS
    most = values.integer("scram_max_iterations", 1, _MOST_SCRAM_ITERATIONS) or DEFAULT_SCRAM_MAX_ITERATIONS
    if fewest > most:
        raise ConfigError(f'"scram_min_iterations" is {fewest}, "scram_max_iterations" only {most}')
    return fewest, most


def scram_key(values: Values, name: str) -> Secret | None:
    """Return a key in base64 after a look at its length."""
    if values.raw(name) is None:
        return None
    secret = values.secret(name)
    if secret is None or not _is_key(secret):
        raise ConfigError(f'the parameter "{name}" must be {_SCRAM_KEY_SIZE} bytes in base64')
    return secret


def _is_key(secret: Secret) -> bool:
    try:
        return len(binascii.a2b_base64(secret.reveal(), strict_mode=True)) == _SCRAM_KEY_SIZE
    except ValueError:
        return False


def session_defaults(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the settings that environment variables have for every session."""
    values = Values(environ)
    pairs = ((setting, values.text(variable)) for variable, setting in _SESSION_DEFAULTS.items())
    return tuple((setting, text) for setting, text in pairs if text is not None and text.lower() != "default")


def ssl_context(values: Values) -> object | None:
    """Return an `ssl.SSLContext`; its class cannot be asked for here, where there is no I/O."""
    context = values.raw("ssl_context")
    if context is not None and not callable(getattr(context, "wrap_bio", None)):
        raise values.wrong("ssl_context", "an ssl.SSLContext")
    return context
