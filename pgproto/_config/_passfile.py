"""The password file: lines of `host:port:database:user:password`.

PostgreSQL documentation: "The Password File".
"""

from __future__ import annotations

import re

from pgproto._dataclasses import dataclass
from pgproto._patterns import pattern
from pgproto._secret import Secret

__all__ = ["PasswordFile"]

_FIELD = pattern(r"((?:\\.|[^\\:])*):", re.DOTALL)
"""One field and the colon behind it; a backslash takes away the meaning of a colon or backslash."""
_PASSWORD = pattern(r"(?:\\.|[^\\:]|\\\Z)*", re.DOTALL)
_BACKSLASH = pattern(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Line:
    pattern: tuple[str, ...]
    """Host, port, database and user, as they stand in the file."""
    password: Secret

    def matches(self, wanted: tuple[str, ...]) -> bool:
        return all(
            field == "*" or _BACKSLASH.sub(r"\1", field) == value
            for field, value in zip(self.pattern, wanted, strict=True)
        )


class PasswordFile:
    """What a password file says; its repr shows nothing of it."""

    __slots__ = ("_lines",)

    def __init__(self, data: bytes) -> None:
        """Read the file's bytes. Lines that are comments, or not of the form, are passed over."""
        lines: list[_Line] = []
        for text in data.decode("utf-8", "surrogateescape").split("\n"):
            line = _read_line(text.rstrip("\r"))
            if line is not None:
                lines.append(line)
        self._lines = tuple(lines)

    def password(self, host: str, port: str, dbname: str, user: str) -> Secret | None:
        """Return the password of the first line that matches; None if there is no such line or password."""
        for line in self._lines:
            if line.matches((host, port, dbname, user)):
                return line.password if line.password.reveal() else None
        return None


def _read_line(text: str) -> _Line | None:
    if text.startswith("#"):
        return None
    fields: list[str] = []
    position = 0
    for _ in range(4):
        match = _FIELD.match(text, position)
        if match is None:
            return None
        fields.append(match[1])
        position = match.end()
    password = _PASSWORD.match(text, position)
    return _Line(tuple(fields), Secret(_BACKSLASH.sub(r"\1", password[0] if password else "")))
