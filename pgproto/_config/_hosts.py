"""The list of servers to try: from `host`, `hostaddr` and `port` to one `HostSpec` each.

PostgreSQL documentation: "Specifying Multiple Hosts".
"""

from __future__ import annotations

from pgproto._config._values import Values
from pgproto._dataclasses import dataclass
from pgproto._patterns import pattern
from pgproto._secret import Secret
from pgproto.errors import ConfigError

__all__ = ["DEFAULT_PORT", "HostSpec", "host_specs"]

DEFAULT_PORT = 5432

_DEFAULT_SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")
"""Where servers listen if nobody says otherwise: on Linux distributions, and as PostgreSQL itself has it."""

_PORT = pattern(r"[ \t\n\v\f\r]*\+?0*([0-9]{1,5})[ \t\n\v\f\r]*")


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One place where a server may be."""

    host: str
    """A name, a numeric address, or a Unix-domain socket's directory; empty if only `hostaddr` was given."""
    port: int = DEFAULT_PORT
    hostaddr: str | None = None
    """A numeric address to connect to; then `host` is only the name that the certificate must have."""
    password: Secret | None = None
    """What the password file has for this server."""

    @property
    def socket_path(self) -> str | None:
        """The path of the Unix-domain socket; None if the server is reached by TCP.

        A leading "@" stands for Linux's abstract namespace.
        """
        if self.hostaddr is None and self.host.startswith(("/", "@")):
            return f"{self.host}/.s.PGSQL.{self.port}"
        return None

    @property
    def address(self) -> str:
        """What to resolve and connect to by TCP."""
        return self.hostaddr or self.host

    @property
    def password_file_host(self) -> str:
        """The name under which password files have this server."""
        if self.hostaddr is None and self.host in _DEFAULT_SOCKET_DIRECTORIES:
            return "localhost"
        return self.host or self.address

    def __str__(self) -> str:
        path = self.socket_path
        if path is not None:
            return path
        shown = f"[{self.address}]" if ":" in self.address else self.address
        named = f" ({self.host})" if self.hostaddr and self.host and self.host != self.hostaddr else ""
        return f"{shown}:{self.port}{named}"


def host_specs(values: Values, *, unix_sockets: bool) -> tuple[HostSpec, ...]:
    """Return the servers in the order given, without passwords.

    Where no host is given, these are tried: if `unix_sockets` exist here, those in the usual directories;
    then localhost. Raises `ConfigError`.
    """
    hosts, addresses = _list(values, "host"), _list(values, "hostaddr")
    count = len(addresses or hosts or [""])
    if hosts and addresses and len(hosts) != count:
        raise ConfigError(
            f'"host" has {len(hosts)} entries, and "hostaddr" has {count}: give as many of each'
        )
    ports = _ports(values, count)
    specs: list[HostSpec] = []
    for host, address, port in zip(hosts or [""] * count, addresses or [""] * count, ports, strict=True):
        if address:
            if not _is_numeric(address):
                raise values.wrong("hostaddr", "numeric, such as 192.0.2.1 or 2001:db8::1")
            specs.append(HostSpec(host, port, address))
        elif host:
            specs.append(HostSpec(host, port))
        else:
            directories = _DEFAULT_SOCKET_DIRECTORIES if unix_sockets else ()
            specs.extend(HostSpec(name, port) for name in (*directories, "localhost"))
    return tuple(specs)


def _list(values: Values, name: str) -> list[str]:
    text = values.text(name)
    return [] if text is None else text.split(",")


def _ports(values: Values, count: int) -> list[int]:
    raw = values.raw("port")
    if isinstance(raw, int) and not isinstance(raw, bool):
        return [_port(str(raw), 1, 1)] * count
    texts = _list(values, "port") or [""]
    ports = [_port(text, number, len(texts)) for number, text in enumerate(texts, start=1)]
    if len(ports) == 1:
        return ports * count
    if len(ports) != count:
        raise ConfigError(
            f'"port" has {len(ports)} entries for {count} hosts: give one port, or one for each host'
        )
    return ports


def _port(text: str, number: int, count: int) -> int:
    """Read a port. A wrong one is not shown: with an unescaped "/" in a URI, it is part of a password."""
    if not text:
        return DEFAULT_PORT
    match = _PORT.fullmatch(text)
    port = 0 if match is None else int(match[1])
    if not 1 <= port <= 65535:
        which = '"port"' if count == 1 else f'entry {number} of "port"'
        raise ConfigError(f"{which} must be a whole number from 1 to 65535")
    return port


def _is_numeric(address: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(address)
    except ValueError:
        return False
    return True
