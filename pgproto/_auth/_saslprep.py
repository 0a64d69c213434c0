"""The form of a password that PostgreSQL computes SCRAM's keys from.

RFC 4013, "SASLprep", makes passwords that look the same the same bytes: it drops invisible characters, turns
odd spaces into spaces, normalises, and refuses what no text has. PostgreSQL applies it when a password is
set; where it refuses, or where nothing remains, PostgreSQL takes the password just as it stands, and so must
a client (src/common/scram-common.c and saslprep.c). "Just as it stands" covers every emoji: SASLprep knows
the Unicode of 2002 only.
"""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

from pgproto._patterns import pattern
from pgproto._secret import Secret
from pgproto.errors import ConfigError

__all__ = ["password_bytes", "saslprep"]

_SURROGATE: Final = pattern("[\ud800-\udc7f\udd00-\udfff]")
"""Those that are not bytes in disguise, which is what U+DC80 to U+DCFF are."""

_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_a1,  # unassigned in Unicode 3.2
    stringprep.in_table_c12,  # spaces other than U+0020
    stringprep.in_table_c21_c22,  # control characters
    stringprep.in_table_c3,  # private use
    stringprep.in_table_c4,  # not characters
    stringprep.in_table_c5,  # surrogates
    stringprep.in_table_c6,  # inappropriate for plain text
    stringprep.in_table_c7,  # inappropriate for canonical representation
    stringprep.in_table_c8,  # change display properties, or deprecated
    stringprep.in_table_c9,  # tags
)


def password_bytes(password: Secret) -> bytes:
    """Return a password as it stands, in UTF-8.

    Bytes that were not UTF-8, in an environment variable say, come back as they were. Raises `ConfigError`
    for what no server can have as a password.
    """
    complaint = _complaint(password.reveal())
    if complaint is not None:
        raise ConfigError(f"the password holds a {complaint}")
    return password.reveal().encode("utf-8", "surrogateescape")


def _complaint(text: str) -> str | None:
    if "\0" in text:
        return "NUL character, which no password in PostgreSQL has"
    if _SURROGATE.search(text) is not None:
        return "lone surrogate, which is not a character"
    return None


def saslprep(password: str) -> str | None:
    """Return the password as SASLprep prepares it; None if it refuses: the password counts as it stands.

    Like PostgreSQL, and unlike the letter of RFC 4013, it looks for what is prohibited before it normalises.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        # U+200B is in both tables; PostgreSQL counts it as a space.
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )
    if not mapped or _prohibited(mapped) or _mixes_directions(mapped):
        return None
    return unicodedata.normalize("NFKC", mapped)


def _prohibited(text: str) -> bool:
    return any(table(character) for character in text for table in _PROHIBITED)


def _mixes_directions(text: str) -> bool:
    """Whether text breaks RFC 3454's chapter 6: what holds right-to-left letters has none of the others,
    and begins and ends with one."""
    if not any(stringprep.in_table_d1(character) for character in text):
        return False
    if any(stringprep.in_table_d2(character) for character in text):
        return True
    return not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1]))
