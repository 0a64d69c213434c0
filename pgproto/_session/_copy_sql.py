"""What a COPY statement says, as far as a client has to know it.

Rows can only be written or read with the statement's columns and options in hand, and the server tells
neither. So the statement is read here, tolerantly: whatever is not understood is no error, for copying bytes
needs none of it. PostgreSQL documentation: "COPY", with the syntax of before 9.0 and of before 7.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Final, Literal, NamedTuple, TypeAlias

from pgproto._dataclasses import dataclass
from pgproto._patterns import pattern
from pgproto._session._sql import end_of_comment, quote_ident
from pgproto.errors import DataError

__all__ = ["CopyFormat", "CopyOptions", "CopyStatement", "expect_no_copy", "no_copy", "parse_copy"]

CopyFormat: TypeAlias = Literal["text", "csv", "binary"]


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How the data of a COPY is written; what is one character in SQL is one byte here."""

    format: CopyFormat = "text"
    delimiter: bytes = b"\t"
    null: bytes = b"\\N"
    """What stands for NULL."""
    default: bytes | None = None
    """What stands for a column's default, where something does."""
    quote: bytes = b'"'
    escape: bytes = b'"'
    header: bool = False


@dataclass(frozen=True, slots=True)
class CopyStatement:
    """A COPY statement."""

    from_client: bool
    """Whether it is FROM STDIN."""
    to_client: bool
    """Whether it is TO STDOUT."""
    describe: str
    """A statement whose columns are those that are copied."""
    options: CopyOptions | None = None
    """None if they are not understood."""
    reason: str = ""
    """Why they are not."""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class _NotUnderstood(Exception):
    """The statement goes on in a way that is not expected."""


_TOKEN: Final = pattern(
    r"""
      (?P<space>[ \t\r\n\f\v]+|--[^\r\n]*)
    | (?P<comment>/\*)
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<dollar>[A-Za-z_\x80-\U0010ffff]?[A-Za-z0-9_\x80-\U0010ffff]*)\$.*?\$(?P=dollar)\$)
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<other>.)
    """,  # noqa: E501
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE: Final = pattern(r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))|''", re.DOTALL)
_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

_FALSE: Final = frozenset({"false", "off", "0"})
_HARMLESS: Final = frozenset({"freeze", "force_quote", "on_error", "log_verbosity", "reject_limit"})
"""Options that change nothing about what a row looks like."""
_UTF8: Final = frozenset({"utf8", "utf-8", "unicode"})


def parse_copy(sql: str) -> CopyStatement | None:
    """What the statement says; None if that is not understood."""
    try:
        return _Parser(sql).statement()
    except _NotUnderstood:
        return None


def expect_no_copy(sql: str, verbs: str) -> None:
    """Raise `DataError` if the statement copies from or to the client, which these verbs cannot do."""
    copy = parse_copy(sql)
    if copy is not None and (copy.from_client or copy.to_client):
        raise DataError(no_copy(verbs, sending=copy.from_client))


def no_copy(verbs: str, *, sending: bool) -> str:
    """What the verbs cannot do, and which one can."""
    return f"{verbs} cannot {'send copy data; copy_in()' if sending else 'receive copy data; copy_out()'} can"


def _tokens(sql: str) -> Iterator[_Token]:
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            return
        kind = match.lastgroup or "other"
        if kind == "comment":
            position = end_of_comment(sql, position)
            continue
        if kind == "dollar":
            kind = "string"
        if kind != "space":
            yield _Token(kind, match[0], position)
        position = match.end()


def _string(text: str) -> str:
    """The value of a string constant."""
    if text[0] == "$":
        edge = text.index("$", 1) + 1
        return text[edge:-edge]
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    return _ESCAPE.sub(_unescaped, text[2:-1])


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    if match[2]:
        return chr(int(match[2], 8) & 0xFF)
    if match[3]:
        return _ESCAPES.get(match[3], match[3])
    return "'"


@dataclass(slots=True)
class _Found:
    """Options in the order of the statement."""

    options: dict[str, str] = field(default_factory=dict[str, str])
    unknown: str = ""


class _Parser:
    """Reads one statement from left to right."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = list(_tokens(sql))
        self._next = 0

    # Tokens.

    def _peek(self) -> str:
        """The next token in lower case; an empty string at the end, and for strings and quoted names."""
        if self._next >= len(self._tokens):
            return ""
        token = self._tokens[self._next]
        return "" if token.kind in ("string", "quoted") else token.text.translate(_LOWER)

    def _take(self) -> _Token:
        if self._next >= len(self._tokens):
            raise _NotUnderstood
        self._next += 1
        return self._tokens[self._next - 1]

    def _accept(self, *texts: str) -> str:
        """Take the next token if it is one of these."""
        found = self._peek()
        if found not in texts or not found:
            return ""
        self._next += 1
        return found

    def _expect(self, *texts: str) -> str:
        found = self._accept(*texts)
        if not found:
            raise _NotUnderstood
        return found

    def _name(self) -> str:
        """A name, quoted for use in another statement."""
        token = self._take()
        if token.kind == "quoted":
            return quote_ident(token.text[1:-1].replace('""', '"'))
        if token.kind == "word":
            return quote_ident(token.text.translate(_LOWER))
        raise _NotUnderstood

    def _in_parentheses(self) -> str:
        """Everything up to the parenthesis that closes the one just taken, as it stands there."""
        start = self._tokens[self._next - 1].start + 1
        depth = 1
        while depth:
            token = self._take()
            if token.text == "(":
                depth += 1
            elif token.text == ")":
                depth -= 1
        return self._sql[start : self._tokens[self._next - 1].start]

    # The statement.

    def statement(self) -> CopyStatement:
        """The whole of it."""
        while self._accept("("):
            # As `first_keyword` does; the server will say that it does not like it.
            continue
        self._expect("copy")
        binary = bool(self._accept("binary"))
        describe = self._in_parentheses() if self._accept("(") else self._table()
        direction = self._expect("from", "to")
        if self._accept("program"):
            self._take()
            client = False
        else:
            client = bool(self._accept("stdin", "stdout"))
            if not client:
                self._take()
        try:
            options = self._options(binary)
            reason = ""
        except _NotUnderstood as error:
            options, reason = None, str(error) or "its options are not understood"
        return CopyStatement(
            client and direction == "from", client and direction == "to", describe, options, reason
        )

    def _table(self) -> str:
        table = [self._name()]
        while self._accept("."):
            table.append(self._name())
        columns = ["*"]
        if self._accept("("):
            columns = [self._name()]
            while self._expect(",", ")") == ",":
                columns.append(self._name())
        return f"SELECT {', '.join(columns)} FROM {'.'.join(table)} WHERE false"

    def _options(self, binary: bool) -> CopyOptions:
        found = _Found()
        if binary:
            found.options["format"] = "binary"
        self._accept("using")
        if self._accept("delimiters"):
            self._add(found, "delimiter", self._value())
        self._accept("with")
        if self._accept("("):
            self._list(found)
        else:
            self._words(found)
        if self._peek() not in ("where", ";") and self._next < len(self._tokens):
            raise _NotUnderstood
        if found.unknown:
            raise _NotUnderstood(f"it has the option {found.unknown}")
        return _options(found.options)

    def _list(self, found: _Found) -> None:
        """Options as they are written since PostgreSQL 9.0."""
        while True:
            token = self._take()
            name = token.text.translate(_LOWER)
            value = "true"
            if self._peek() not in (",", ")"):
                value = self._value()
            self._add(found, name, value)
            if self._expect(",", ")") == ")":
                return

    def _value(self) -> str:
        if self._accept("("):
            self._in_parentheses()
            return "true"
        token = self._take()
        return _string(token.text) if token.kind == "string" else token.text

    def _add(self, found: _Found, name: str, value: str) -> None:
        match name:
            case "format" | "delimiter" | "null" | "default" | "quote" | "escape" | "header":
                found.options[name] = value
            case "encoding" if value.lower() in _UTF8:
                ...
            case _ if name not in _HARMLESS and not found.unknown:
                found.unknown = name.upper()
            case _:
                ...

    def _words(self, found: _Found) -> None:
        """Options as they were written before, and still may be."""
        while word := self._accept(
            *("binary", "csv", "freeze", "header", "delimiter", "null", "quote", "escape"),
            *("encoding", "force"),
        ):
            match word:
                case "binary" | "csv":
                    found.options["format"] = word
                case "freeze" | "header":
                    self._add(found, word, "true")
                case "force":
                    self._force(found)
                case _:
                    self._accept("as")
                    self._add(found, word, self._value())

    def _force(self, found: _Found) -> None:
        kind = self._expect("quote", "not", "null")
        if kind == "not":
            self._expect("null")
            kind = "not_null"
        if not self._accept("*"):
            self._name()
            while self._accept(","):
                self._name()
        self._add(found, f"force_{kind}", "true")


def _options(found: dict[str, str]) -> CopyOptions:
    name = found.get("format", "text").lower()
    header = found.get("header", "false").lower() not in _FALSE
    default = found.get("default")
    marker = None if default is None else default.encode()
    match name:
        case "binary":
            return CopyOptions("binary", default=marker)
        case "csv":
            quote = _byte(found.get("quote", '"'))
            return CopyOptions(
                "csv",
                _byte(found.get("delimiter", ",")),
                found.get("null", "").encode(),
                marker,
                quote,
                _byte(found["escape"]) if "escape" in found else quote,
                header,
            )
        case "text":
            return CopyOptions(
                "text",
                _byte(found.get("delimiter", "\t")),
                found.get("null", "\\N").encode(),
                marker,
                header=header,
            )
        case _:
            raise _NotUnderstood(f"it has the format {name}")


def _byte(text: str) -> bytes:
    if len(text) != 1 or not text.isascii():
        raise _NotUnderstood("a delimiter, quote or escape is not one ASCII character")
    return text.encode()
