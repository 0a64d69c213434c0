"""The connection parameters: their names, environment variables and default values.

PostgreSQL 18 documentation: "Parameter Key Words" and "Environment Variables" of the chapter on libpq.
"""

from __future__ import annotations

import re

from pgproto._dataclasses import dataclass
from pgproto._patterns import pattern

__all__ = ["ARGUMENTS", "DSN_KEYWORDS", "KEYWORDS", "LIBPQ_KEYWORDS", "Keyword", "describe_unknown"]


@dataclass(frozen=True, slots=True)
class Keyword:
    """One connection parameter that libpq has too."""

    name: str
    variable: str | None = None
    """The environment variable that gives a value where nothing else does."""
    default: str | None = None
    secret: bool = False
    """Whether the value must not be shown."""
    path: bool = False
    """Whether the value names a file, and so may hold bytes that are not UTF-8."""


_TABLE = (
    Keyword("service", "PGSERVICE"),
    Keyword("user", "PGUSER"),
    Keyword("password", "PGPASSWORD", secret=True),
    Keyword("passfile", "PGPASSFILE", path=True),
    Keyword("channel_binding", "PGCHANNELBINDING", "prefer"),
    Keyword("connect_timeout", "PGCONNECT_TIMEOUT"),
    Keyword("dbname", "PGDATABASE"),
    Keyword("host", "PGHOST", path=True),
    Keyword("hostaddr", "PGHOSTADDR"),
    Keyword("port", "PGPORT", "5432"),
    Keyword("client_encoding", "PGCLIENTENCODING"),
    Keyword("options", "PGOPTIONS", ""),
    Keyword("application_name", "PGAPPNAME"),
    Keyword("fallback_application_name"),
    Keyword("keepalives"),
    Keyword("keepalives_idle"),
    Keyword("keepalives_interval"),
    Keyword("keepalives_count"),
    Keyword("tcp_user_timeout"),
    Keyword("sslmode", "PGSSLMODE", "prefer"),
    Keyword("sslnegotiation", "PGSSLNEGOTIATION", "postgres"),
    Keyword("sslcompression", "PGSSLCOMPRESSION", "0"),
    Keyword("sslcert", "PGSSLCERT", path=True),
    Keyword("sslkey", "PGSSLKEY", path=True),
    Keyword("sslcertmode", "PGSSLCERTMODE"),
    Keyword("sslpassword", secret=True),
    Keyword("sslrootcert", "PGSSLROOTCERT", path=True),
    Keyword("sslcrl", "PGSSLCRL", path=True),
    Keyword("sslcrldir", "PGSSLCRLDIR", path=True),
    Keyword("sslsni", "PGSSLSNI", "1"),
    Keyword("requirepeer", "PGREQUIREPEER"),
    Keyword("require_auth", "PGREQUIREAUTH"),
    Keyword("min_protocol_version", "PGMINPROTOCOLVERSION"),
    Keyword("max_protocol_version", "PGMAXPROTOCOLVERSION"),
    Keyword("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "TLSv1.2"),
    Keyword("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    Keyword("gssencmode", "PGGSSENCMODE", "prefer"),
    Keyword("krbsrvname", "PGKRBSRVNAME", "postgres"),
    Keyword("gsslib", "PGGSSLIB"),
    Keyword("gssdelegation", "PGGSSDELEGATION", "0"),
    Keyword("replication"),
    Keyword("target_session_attrs", "PGTARGETSESSIONATTRS", "any"),
    Keyword("load_balance_hosts", "PGLOADBALANCEHOSTS", "disable"),
    Keyword("scram_client_key", secret=True),
    Keyword("scram_server_key", secret=True),
    Keyword("oauth_issuer"),
    Keyword("oauth_client_id"),
    Keyword("oauth_client_secret", secret=True),
    Keyword("oauth_scope"),
    Keyword("sslkeylogfile", path=True),
)

_NOT_IN_LIBPQ_18 = (Keyword("servicefile", "PGSERVICEFILE", path=True),)
"""`servicefile` is a parameter from version 19 on; before that there is only its environment variable."""

KEYWORDS = {keyword.name: keyword for keyword in _TABLE + _NOT_IN_LIBPQ_18}
"""All connection parameters that are text."""

LIBPQ_KEYWORDS = frozenset(keyword.name for keyword in _TABLE)
"""What `parse_dsn` knows: the keywords of libpq 18."""

_OWN_DATA = frozenset(
    {
        "cancel_timeout",
        "command_timeout",
        "max_message_size",
        "max_pipeline",
        "max_result_bytes",
        "prepare",
        "scram_max_iterations",
        "scram_min_iterations",
        "statement_cache_size",
    }
)
"""Parameters of this client only, whose values are plain data."""

_OWN_OBJECTS = frozenset({"gss_context", "oauth_token", "open_socket", "ssl_context", "trace"})
"""Parameters of this client only, whose values are Python objects, which no text can give."""

DSN_KEYWORDS = frozenset(KEYWORDS) | _OWN_DATA
"""What a DSN or a service file may set."""

ARGUMENTS = DSN_KEYWORDS | _OWN_OBJECTS
"""What may be given as an argument."""

_ELSEWHERE = {
    "database": "dbname",
    "db": "dbname",
    "hostname": "host",
    "pass": "password",
    "passwd": "password",
    "pwd": "password",
    "server": "host",
    "ssl": "sslmode",
    "timeout": "connect_timeout",
    "username": "user",
}
"""What other drivers, and people in a hurry, call the same things."""

_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}", re.ASCII)


def describe_unknown(name: str, known: frozenset[str]) -> str:
    """Describe a parameter that does not exist, and which one may have been meant.

    What does not look like a name is not shown: a badly quoted connection string puts anything in any place,
    pieces of a password too.
    """
    if _NAME.fullmatch(name) is None:
        return "unknown parameter, whose name is not a word"
    from difflib import get_close_matches

    meant = [_ELSEWHERE[name.lower()]] if name.lower() in _ELSEWHERE else []
    meant += get_close_matches(name.lower(), sorted(known), 1, cutoff=0.75)
    return f'unknown parameter "{name}"' + (f'; did you mean "{meant[0]}"?' if meant else "")
