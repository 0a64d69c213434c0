"""`Error`, and `PostgresError`: what the server says in an ErrorResponse.

The fields are those of the chapter "Error and Notice Message Fields" of PostgreSQL's documentation.
`pgproto.errors` is the public door to all that is here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import ClassVar

from pgproto._patterns import pattern

__all__ = ["CLASS_OF_SQLSTATE", "Error", "PostgresError", "postgres_error_class", "printable"]

_LINE_WIDTH = 60
"""How many characters of a query line `str(exc)` shows around the error position (as psql does)."""

_SURROGATE = pattern("[\ud800-\udfff]")
_POSITION = pattern(r"[0-9]{1,10}", re.ASCII)
_LINE_BREAK = pattern(r"\r\n|\r|\n")


class Error(Exception):
    """Whatever pgproto raises on purpose; the root of the tree."""

    def __reduce__(self) -> tuple[object, ...]:
        # The constructors of subclasses have keyword arguments that BaseException would lose.
        return _restore, (type(self), self.args, dict(self.__dict__))


def _restore(cls: type[Error], args: tuple[object, ...], attributes: dict[str, object]) -> Error:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class PostgresError(Error):
    """The server answered with an ErrorResponse.

    There is one subclass for each condition of the appendix "PostgreSQL Error Codes", below one for each
    class of conditions: `except IntegrityConstraintViolation` catches `UniqueViolation` too. A field that the
    server did not send is None. Texts are as the server sent them, apart from bytes that were not UTF-8,
    which have become U+FFFD; only `str()` escapes control characters.
    """

    condition: ClassVar[str | None] = None
    """PostgreSQL's name for the condition, as PL/pgSQL's EXCEPTION clause has it: "unique_violation"."""

    sqlstate: str | None = None
    """Five characters, such as "23505"."""
    message: str | None
    """The primary message, usually one line."""
    severity: str | None
    """ERROR, FATAL or PANIC (or a kind of notice), in English from any server since 9.6."""
    detail: str | None
    hint: str | None
    position: int | None
    """Where in `query` the error is, counted in characters from 1."""
    internal_position: int | None
    """The same in `internal_query`."""
    internal_query: str | None
    """A command that the server itself made, such as a statement in a PL/pgSQL function."""
    where: str | None
    """The context, innermost first, one entry a line: the call stack of PL/pgSQL functions and the like."""
    schema_name: str | None
    table_name: str | None
    column_name: str | None
    data_type_name: str | None
    constraint_name: str | None
    file: str | None
    """The place in the server's source code."""
    line: int | None
    routine: str | None
    query: str | None
    """The SQL that the client sent."""
    untrusted: bool
    """True if the text came before the server had proved who it is: anybody may have written it."""

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        severity: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        position: int | None = None,
        internal_position: int | None = None,
        internal_query: str | None = None,
        where: str | None = None,
        schema_name: str | None = None,
        table_name: str | None = None,
        column_name: str | None = None,
        data_type_name: str | None = None,
        constraint_name: str | None = None,
        file: str | None = None,
        line: int | None = None,
        routine: str | None = None,
        query: str | None = None,
        untrusted: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = type(self).sqlstate if sqlstate is None else sqlstate
        self.severity = severity
        self.detail = detail
        self.hint = hint
        self.position = position
        self.internal_position = internal_position
        self.internal_query = internal_query
        self.where = where
        self.schema_name = schema_name
        self.table_name = table_name
        self.column_name = column_name
        self.data_type_name = data_type_name
        self.constraint_name = constraint_name
        self.file = file
        self.line = line
        self.routine = routine
        self.query = query
        self.untrusted = untrusted

    @classmethod
    def from_fields(
        cls, fields: Mapping[str, str], *, query: str | None = None, untrusted: bool = False
    ) -> PostgresError:
        """Make the error that the fields of an ErrorResponse tell of.

        `fields` maps the one-letter field codes to their texts. The class is that of the SQLSTATE, whatever
        class this is called on. Codes that are not known are passed over, as the protocol asks; numbers that
        are none become None.
        """

        def text(code: str) -> str | None:
            value = fields.get(code)
            return None if value is None else _SURROGATE.sub("\ufffd", value)

        sqlstate = text("C")
        return postgres_error_class(sqlstate)(
            text("M"),
            sqlstate=sqlstate,
            severity=text("V") or text("S"),
            detail=text("D"),
            hint=text("H"),
            position=_positive(fields.get("P")),
            internal_position=_positive(fields.get("p")),
            internal_query=text("q"),
            where=text("W"),
            schema_name=text("s"),
            table_name=text("t"),
            column_name=text("c"),
            data_type_name=text("d"),
            constraint_name=text("n"),
            file=text("F"),
            line=_positive(fields.get("L")),
            routine=text("R"),
            query=query,
            untrusted=untrusted,
        )

    def __str__(self) -> str:
        lines = [self.message or f"the server sent an error without a message (SQLSTATE {self.sqlstate})"]
        if self.query is not None and self.position is not None:
            lines += _point_at(self.query, self.position)
        elif self.internal_query is not None and self.internal_position is not None:
            lines += _point_at(self.internal_query, self.internal_position)
        if self.detail:
            lines.append(f"DETAIL:  {self.detail}")
        if self.hint:
            lines.append(f"HINT:  {self.hint}")
        return printable("\n".join(lines))


CLASS_OF_SQLSTATE: dict[str, type[PostgresError]] = {}
"""The class for each SQLSTATE, and for each class of SQLSTATEs (two characters); `_sqlstates` fills it."""


def postgres_error_class(sqlstate: str | None) -> type[PostgresError]:
    """Return the exception class for an SQLSTATE.

    For a code that is not known: the base of its class ("23XYZ" gives `IntegrityConstraintViolation`), else
    `PostgresError`.
    """
    if sqlstate is None or len(sqlstate) != 5:
        return PostgresError
    return CLASS_OF_SQLSTATE.get(sqlstate) or CLASS_OF_SQLSTATE.get(sqlstate[:2]) or PostgresError


def printable(text: str) -> str:
    """Escape, as `repr()` would, what could move a cursor or reorder text, but not newline and tab."""
    if text.isprintable():
        return text
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    # Some spaces are "not printable" for Python, yet translated messages have them: only what is
    # a control, format or surrogate character or a line separator is escaped.
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return repr(character)[1:-1]
    return character


def _positive(text: str | None) -> int | None:
    """Read a count of the server's; None for anything but a positive 32-bit integer."""
    if text is None or _POSITION.fullmatch(text) is None:
        return None
    value = int(text)
    return value if 0 < value < 2**31 else None


def _point_at(query: str, position: int) -> list[str]:
    """Return the line of the query that has the error and a caret under it, or nothing if there is none."""
    if position > len(query) + 1:
        return []
    start, number, end = 0, 1, len(query)
    for line_break in _LINE_BREAK.finditer(query):
        if line_break.end() > position - 1:
            end = line_break.start()
            break
        start, number = line_break.end(), number + 1
    column = min(position - 1, end) - start
    line, column = _window(query[start:end], column)
    prefix = f"LINE {number}: "
    # One column of the terminal per control character, so that the caret stays where it belongs.
    line = "".join(" " if unicodedata.category(character)[0] == "C" else character for character in line)
    return [prefix + line, " " * (len(prefix) + _columns(line[:column])) + "^"]


def _window(line: str, column: int) -> tuple[str, int]:
    """Cut a long line to what is around `column`; return it with the column in it."""
    if len(line) <= _LINE_WIDTH:
        return line, column
    first = max(0, min(column - _LINE_WIDTH // 2, len(line) - _LINE_WIDTH))
    shown = line[first : first + _LINE_WIDTH]
    if first + _LINE_WIDTH < len(line):
        shown += "..."
    if first > 0:
        shown, column = "..." + shown, column + 3
    return shown, column - first


def _columns(text: str) -> int:
    """Return how many columns the text takes on a terminal: wide East Asian characters two, accents none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
