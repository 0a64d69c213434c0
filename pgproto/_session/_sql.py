"""The little that is ever understood or written of SQL on the client.

Nothing here puts a value into a statement: values travel as parameters. Names of channels, savepoints,
tables and columns cannot be parameters, so they are quoted, by `quote_ident` alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pgproto._patterns import pattern
from pgproto.errors import DataError, TransactionRolledBack

__all__ = [
    "ENDING",
    "OPENING",
    "check_kept",
    "check_sql",
    "end_of_comment",
    "expect_sql",
    "first_keyword",
    "quote_ident",
    "what_begins",
    "what_begins_again",
]

ENDING: Final = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"})
"""First keywords of statements that may end a transaction (PREPARE TRANSACTION is one)."""
OPENING: Final = frozenset({"BEGIN", "START"})
"""First keywords of statements that begin one."""
_KEEPING: Final = ENDING - {"ROLLBACK", "ABORT"}

_SPACE_OR_LINE_COMMENT: Final = pattern(r"(?:[\s;(]+|--[^\r\n]*)+")
_COMMENT_EDGE: Final = pattern(r"/\*|\*/")
_WORD: Final = pattern(r"[A-Za-z_]+", re.ASCII)


def expect_sql(sql: object) -> str:
    """Raise TypeError for a query that is no `str`, while the one who asks can still be blamed.

    Returns its text, which no method of a class of the caller's can change.
    """
    return _expect_text("a query", sql)


def _expect_text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    return str.__str__(value)


def check_sql(sql: str) -> None:
    """Refuse a query string that cannot be sent, with `DataError`."""
    if "\0" in sql:
        raise DataError(
            f"the query has a NUL character at position {sql.index(chr(0)) + 1}; PostgreSQL has none"
        )
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the query has a lone surrogate at position {error.start + 1}, which is no character"
        ) from None


def first_keyword(sql: str) -> str:
    """The first word of the first statement, in upper case, whatever comments stand before it."""
    position = 0
    while True:
        if match := _SPACE_OR_LINE_COMMENT.match(sql, position):
            position = match.end()
        if not sql.startswith("/*", position):
            break
        position = end_of_comment(sql, position)
    match = _WORD.match(sql, position)
    return match[0].upper() if match else ""


def what_begins(sql: str) -> tuple[bool, bool]:
    """Whether a statement begins a transaction, and whether it begins a COPY."""
    keyword = first_keyword(sql)
    return keyword in OPENING, keyword == "COPY"


what_begins_again: Final = lru_cache(maxsize=1024)(what_begins)
"""As `what_begins`, for statements that may come again: it remembers them."""


def check_kept(sql: str, tag: str) -> TransactionRolledBack | None:
    """What is wrong if a statement that was to keep a transaction is answered with this command tag."""
    if tag != "ROLLBACK" or (keyword := first_keyword(sql)) not in _KEEPING:
        return None
    return TransactionRolledBack(
        f"the server answered {keyword} with ROLLBACK, because a statement of the transaction had failed"
    )


def end_of_comment(sql: str, start: int) -> int:
    """Where the comment that begins at ``start`` ends; comments of PostgreSQL nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def quote_ident(name: str) -> str:
    """The name as a quoted identifier, to stand in a statement.

    Always in quotes, so that no name is ever taken for a keyword or folded to lower case. Raises
    `DataError` for a name that PostgreSQL cannot have: an empty one, one with a NUL character, or one
    that UTF-8 cannot represent; TypeError for what is no `str`.
    """
    if type(name) is not str:
        _expect_text("a name", name)
    if not name or "\0" in name:
        raise DataError(f"{name!r} cannot be a name: it is empty or holds a NUL character")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name!r} cannot be a name: it holds a lone surrogate") from None
    return '"' + name.replace('"', '""') + '"'
