"""Connection strings: `parse_dsn`, and the form `name=value name='value' ...`.

PostgreSQL documentation: "Connection Strings".
"""

from __future__ import annotations

import re

from pgproto._config._keywords import KEYWORDS, LIBPQ_KEYWORDS, describe_unknown
from pgproto._config._uri import is_uri, parse_uri
from pgproto._patterns import pattern
from pgproto.errors import ConfigError

__all__ = ["parse_connection_string", "parse_dsn"]

_SPACE = " \t\n\v\f\r"
"""What the C library's isspace() takes for one."""

_NAME = pattern(rf"([^={_SPACE}]*)[{_SPACE}]*(?P<equals>=?)[{_SPACE}]*")
_VALUE = pattern(
    rf"(?:'(?P<quoted>(?:\\.|[^'\\])*)'|(?P<bare>(?!')(?:\\.|\\\Z|[^\\{_SPACE}])*))[{_SPACE}]*", re.DOTALL
)
_BACKSLASH = pattern(r"\\(.|\Z)", re.DOTALL)
_PLAIN = pattern(r"[a-z_]{1,40}")
_NOT_UTF8 = pattern("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates, without those that stand for a byte that is not UTF-8."""

_QUOTE_SECRETS = " behind a password; one with spaces needs quotes around it, and \\' for a quote in it"


def parse_dsn(dsn: str) -> dict[str, str]:
    """Return the libpq keywords that a connection string sets, with their values.

    Takes a URI or `name=value` pairs, and reads them as `PQconninfoParse` of PostgreSQL 18 does: defaults and
    the environment are not looked at, and values are not judged. Bytes that are not UTF-8 come out as
    `os.fsdecode` would have them. Raises `ConfigError`, which never quotes the string.
    """
    return parse_connection_string(dsn, LIBPQ_KEYWORDS)


def parse_connection_string(dsn: str, known: frozenset[str]) -> dict[str, str]:
    """Do what `parse_dsn` does, with another set of keywords."""
    if "\0" in dsn:
        raise ConfigError("the connection string has a zero byte, which PostgreSQL does not take")
    if _NOT_UTF8.search(dsn):
        raise ConfigError("the connection string has lone surrogates, which UTF-8 does not have")
    return parse_uri(dsn, known) if is_uri(dsn) else _parse_pairs(dsn, known)


def _parse_pairs(dsn: str, known: frozenset[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    dsn = dsn.lstrip(_SPACE)
    position = 0
    # What looks like a name may be the rest of a password that has a space or a quote in it. Then it is shown
    # only if it is made like the names of parameters, and unlike good passwords.
    doubtful = False
    while position < len(dsn):
        name, position = _read_name(dsn, position, doubtful)
        if name not in known and name != "requiressl":
            if doubtful and not _PLAIN.fullmatch(name):
                raise ConfigError(f"the connection string sets an unknown parameter{_QUOTE_SECRETS}")
            raise ConfigError(f"the connection string sets an {describe_unknown(name, known)}")
        doubtful = name in KEYWORDS and KEYWORDS[name].secret
        value, position = _read_value(dsn, position)
        if name == "requiressl":  # what sslmode was before PostgreSQL 8
            name, value = "sslmode", "require" if value.startswith("1") else "prefer"
        values[name] = value
    return values


def _read_name(dsn: str, position: int, doubtful: bool) -> tuple[str, int]:
    match = _NAME.match(dsn, position)
    if match is None or not match["equals"]:
        raise ConfigError(
            'the connection string has a word without "=" behind it'
            + (_QUOTE_SECRETS if doubtful else "; it must be a URI (postgresql://...) or name=value pairs")
        )
    return match[1], match.end()


def _read_value(dsn: str, position: int) -> tuple[str, int]:
    match = _VALUE.match(dsn, position)
    if match is None:
        raise ConfigError("the connection string has a quoted value without its closing quote")
    return _BACKSLASH.sub(r"\1", match["quoted"] or match["bare"] or ""), match.end()
