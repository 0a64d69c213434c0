"""What the server's settings may not be changed to, and how the server reads a boolean."""

from __future__ import annotations

import re

from pgproto._patterns import pattern
from pgproto.errors import ConfigError

__all__ = ["check_options", "is_utf8", "read_boolean"]

_WORD = pattern(r"(?:\\.|[^\\ \t\n\v\f\r])+", re.DOTALL)
_BACKSLASH = pattern(r"\\(.)", re.DOTALL)


def is_utf8(encoding: str) -> bool:
    """Whether a name of a client encoding is one of those that PostgreSQL knows for UTF-8, or "auto"."""
    return "".join(filter(str.isalnum, encoding)).lower() in {"utf8", "unicode", "auto"}


def read_boolean(text: str) -> bool | None:
    """Read a boolean as the server does: a beginning of true, yes, false or no; on, off, 1, 0; else None."""
    text = text.lower()
    if text and ("true".startswith(text) or "yes".startswith(text) or text in {"on", "1"}):
        return True
    if text and ("false".startswith(text) or "no".startswith(text) or text in {"of", "off", "0"}):
        return False
    return None


def check_options(options: str) -> None:
    """Raise `ConfigError` if the command-line options for the server break what this client relies on.

    It sends and reads UTF-8, and `quote_literal` knows only strings in which a backslash is a backslash.
    """
    words = [_BACKSLASH.sub(r"\1", word) for word in _WORD.findall(options)]
    for position, word in enumerate(words):
        setting = word[2:]
        if word == "-c":
            setting = words[position + 1] if position + 1 < len(words) else ""
        elif not word.startswith(("-c", "--")):
            continue
        name, _, value = setting.partition("=")
        match name.replace("-", "_").lower():
            case "client_encoding" if not is_utf8(value):
                raise ConfigError('"options" must leave client_encoding at UTF8')
            case "standard_conforming_strings" if read_boolean(value) is not True:
                raise ConfigError('"options" must leave standard_conforming_strings on')
            case _:
                pass
