"""Connection URIs: `postgresql://[user[:password]@][host][:port][,...][/dbname][?name=value[&...]]`.

PostgreSQL documentation: "Connection URIs". Read as libpq reads them, which is not quite RFC 3986: the first
"@" before any "/" ends the credentials, there are no fragments, and literal spaces may stand only around a
value.
"""

from __future__ import annotations

from pgproto._config._keywords import describe_unknown
from pgproto._patterns import pattern
from pgproto.errors import ConfigError

__all__ = ["is_uri", "parse_uri"]

_PREFIX = pattern(r"postgres(?:ql)?://")
_CREDENTIALS = pattern(r"([^@/]*)@")
_HOST = pattern(r"[^:/?,]*")
_PORT = pattern(r":([^/?,]*)")
_ESCAPE = pattern(rb"%([0-9A-Fa-f]{2})?")


def is_uri(dsn: str) -> bool:
    """Whether libpq would take the connection string for a URI."""
    return _PREFIX.match(dsn) is not None


def parse_uri(uri: str, known: frozenset[str]) -> dict[str, str]:
    """Return the parameters that a URI sets.

    Raises `ConfigError`, whose message holds nothing of the URI but the name of an unknown parameter.
    """
    values: dict[str, str] = {}
    rest = _PREFIX.sub("", uri, count=1)
    credentials = _CREDENTIALS.match(rest)
    if credentials is not None:
        user, _, password = credentials[1].partition(":")
        if user:
            values["user"] = _decode(user, "the user name")
        if password:
            values["password"] = _decode(password, "the password")
        rest = rest[credentials.end() :]
    hosts, ports, position = _split_hosts(rest)
    if hosts:
        values["host"] = _decode(hosts, "the host")
    if ports:
        values["port"] = _decode(ports, "the port")
    path, question_mark, query = rest[position:].partition("?")
    if len(path) > 1:
        values["dbname"] = _decode(path[1:], "the database name")
    if question_mark:
        # A password with an unescaped "/" ends up behind the host. Then nothing there is fit to be shown.
        _parse_query(query, known, values, show_names="@" not in rest[position:])
    return values


def _split_hosts(text: str) -> tuple[str, str, int]:
    """Return the hosts and the ports, each joined by commas as in the parameters, and where they end."""
    hosts: list[str] = []
    ports: list[str] = []
    position = 0
    while True:
        if text.startswith("[", position):
            host, position = _bracketed(text, position + 1)
        else:
            match = _HOST.match(text, position)
            host, position = (match[0], match.end()) if match else ("", position)
        hosts.append(host)
        port = _PORT.match(text, position)
        ports.append(port[1] if port else "")
        position = port.end() if port else position
        if not text.startswith(",", position):
            return ",".join(hosts), ",".join(ports), position
        position += 1


def _bracketed(text: str, position: int) -> tuple[str, int]:
    """Read an IPv6 address up to its closing bracket."""
    end = text.find("]", position)
    if end == -1:
        raise ConfigError('the connection URI has an IPv6 address without its closing "]"')
    if end == position:
        raise ConfigError('the connection URI has an empty IPv6 address: "[]"')
    if end + 1 < len(text) and text[end + 1] not in ":/?,":
        raise ConfigError('in the connection URI, what follows "]" must be ":", "/", "?" or ","')
    return text[position:end], end + 1


def _parse_query(query: str, known: frozenset[str], values: dict[str, str], *, show_names: bool) -> None:
    """Read the parameters behind the question mark into `values`."""
    # A single "&" may end the list; any other empty parameter is an error.
    for item in query.removesuffix("&").split("&") if query else ():
        name, equals, value = item.partition("=")
        what = f'the query parameter "{name}"' if name in known else "a query parameter"
        if not equals or "=" in value:
            problem = 'has no "="' if not equals else 'has more than one "="; write one in the value as %3D'
            raise ConfigError(f"{what} of the connection URI {problem}")
        name = _decode(name, "the name of a query parameter")
        value = _decode(value, f"the value of {what}")
        if name == "ssl" and value == "true":  # as JDBC's URIs have it
            name, value = "sslmode", "require"
        elif name == "requiressl":  # what sslmode was before PostgreSQL 8
            name, value = "sslmode", "require" if value.startswith("1") else "prefer"
        if name not in known:
            if show_names:
                raise ConfigError(f"the connection URI sets an {describe_unknown(name, known)}")
            raise ConfigError(
                "the connection URI sets an unknown parameter. There is an '@' behind the host: if it ends "
                "the password, write '/' as %2F, '?' as %3F and '@' as %40 within that"
            )
        values[name] = value


def _decode(text: str, what: str) -> str:
    """Undo the percent-encoding, and strip spaces around the value, as libpq does from version 18 on."""
    text = text.strip(" ")
    if " " in text:
        raise ConfigError(f"{what} in the connection URI has a space within; write it as %20")
    if "%" not in text:
        return text
    data = text.encode("utf-8", "surrogateescape")
    for escape in _ESCAPE.finditer(data):
        if escape[1] is None:
            raise ConfigError(
                f"{what} in the connection URI has a '%' that two hexadecimal digits do not follow; "
                f"write the character '%' as %25"
            )
        if escape[1] == b"00":
            raise ConfigError(
                f"{what} in the connection URI has a zero byte (%00), which PostgreSQL does not take"
            )
    return _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode("ascii")), data).decode(
        "utf-8", "surrogateescape"
    )
