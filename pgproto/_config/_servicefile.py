"""The connection service file: parameters under a name.

PostgreSQL documentation: "The Connection Service File".
"""

from __future__ import annotations

from pgproto._config._keywords import describe_unknown
from pgproto.errors import ConfigError

__all__ = ["read_service"]

_SPACE = b" \t\n\v\f\r"
_LONGEST_LINE = 1022
"""libpq refuses longer lines, newline included."""


def read_service(data: bytes, service: str, path: str, known: frozenset[str]) -> dict[str, str] | None:
    """Return the parameters of a service; None if the file does not have it.

    `path` is for messages. Raises `ConfigError`, which names the file and the line, and never quotes it.
    """
    values: dict[str, str] | None = None
    header = b"[" + service.encode("utf-8", "surrogateescape") + b"]"
    for number, line in enumerate(data.split(b"\n"), start=1):
        if len(line) >= _LONGEST_LINE:
            raise ConfigError(f"{_place(path, number)}: the line is longer than {_LONGEST_LINE - 1} bytes")
        line = line.strip(_SPACE)
        if line.startswith(b"["):
            if values is not None:
                break
            # libpq does not look at what comes behind the bracket.
            values = {} if line.startswith(header) else None
        elif values is not None and line and not line.startswith(b"#"):
            name, value = _read_line(line, _place(path, number), known)
            values.setdefault(name, value)
    return values


def _place(path: str, number: int) -> str:
    return f'service file "{path}", line {number}'


def _read_line(line: bytes, place: str, known: frozenset[str]) -> tuple[str, str]:
    name, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
    if not equals:
        raise ConfigError(f"{place}: expected name=value")
    if name == "service":
        raise ConfigError(f"{place}: a service cannot refer to another service")
    if name not in known:
        raise ConfigError(f"{place}: {describe_unknown(name, known)}")
    if "\0" in value:
        raise ConfigError(f'{place}: the value of "{name}" has a zero byte, which PostgreSQL does not take')
    return name, value
