"""A second reading of PostgreSQL's chapter "Message Formats", to compare the first with.

It shares nothing with the code under test: each message is a line of a little language, and one small
function reads that language. What it makes of a message is a list of plain values in wire order.

    b h i I   integers of one, two and four bytes, h and i with a sign
    s v r     a string; a value behind its length, or NULL; the rest (r4: four bytes of it)
    f o       a format code of two bytes; one of one byte
    k         a secret key: the rest, of 4 to 256 bytes
    =7  V     the integer 7; a protocol version, 3.anything
    (IT)      one of these letters
    [x]       a count of two bytes, then so many x; <x> with a count of four bytes, at most 32
    {x}       x after x, until a zero byte; pairs begin with something different each
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import cast

from pgproto import messages as m

__all__ = ["FORMATS", "Unreadable", "flatten", "parse", "readings"]

_OF_FRONTEND = {
    "Bind": ("B", "s s [f] [v] [f]"),
    "CancelRequest": ("", "=80877102 i k"),
    "Close": ("C", "(SP) s"),
    "CopyData": ("d", "r"),
    "CopyDone": ("c", ""),
    "CopyFail": ("f", "s"),
    "Describe": ("D", "(SP) s"),
    "Execute": ("E", "s i"),
    "Flush": ("H", ""),
    "FunctionCall": ("F", "I [f] [v] f"),
    "GSSENCRequest": ("", "=80877104"),
    "GSSResponse": ("p", "r"),
    "Parse": ("P", "s s [I]"),
    "PasswordMessage": ("p", "s"),
    "Query": ("Q", "s"),
    "SASLInitialResponse": ("p", "s v"),
    "SASLResponse": ("p", "r"),
    "SSLRequest": ("", "=80877103"),
    "StartupMessage": ("", "V {ss}"),
    "Sync": ("S", ""),
    "Terminate": ("X", ""),
}

_OF_BACKEND = {
    "AuthenticationCleartextPassword": ("R", "=3"),
    "AuthenticationGSS": ("R", "=7"),
    "AuthenticationGSSContinue": ("R", "=8 r"),
    "AuthenticationKerberosV5": ("R", "=2"),
    "AuthenticationMD5Password": ("R", "=5 r4"),
    "AuthenticationOk": ("R", "=0"),
    "AuthenticationSASL": ("R", "=10 {s}"),
    "AuthenticationSASLContinue": ("R", "=11 r"),
    "AuthenticationSASLFinal": ("R", "=12 r"),
    "AuthenticationSSPI": ("R", "=9"),
    "BackendKeyData": ("K", "i k"),
    "BindComplete": ("2", ""),
    "CloseComplete": ("3", ""),
    "CommandComplete": ("C", "s"),
    "CopyBothResponse": ("W", "o [f]"),
    "CopyData": ("d", "r"),
    "CopyDone": ("c", ""),
    "CopyInResponse": ("G", "o [f]"),
    "CopyOutResponse": ("H", "o [f]"),
    "DataRow": ("D", "[v]"),
    "EmptyQueryResponse": ("I", ""),
    "ErrorResponse": ("E", "{bs}"),
    "FunctionCallResponse": ("V", "v"),
    "NegotiateProtocolVersion": ("v", "I <s>"),
    "NoData": ("n", ""),
    "NoticeResponse": ("N", "{bs}"),
    "NotificationResponse": ("A", "i s s"),
    "ParameterDescription": ("t", "[I]"),
    "ParameterStatus": ("S", "s s"),
    "ParseComplete": ("1", ""),
    "PortalSuspended": ("s", ""),
    "ReadyForQuery": ("Z", "(ITE)"),
    "RowDescription": ("T", "[sIhIhif]"),
}

FORMATS = {m.Role.FRONTEND: _OF_FRONTEND, m.Role.BACKEND: _OF_BACKEND}
"""By sender and name of the message: its type byte, and what follows the length."""


class Unreadable(Exception):
    """These bytes are not that message."""


def _require(condition: bool) -> None:
    if not condition:
        raise Unreadable


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.left = data

    def take(self, count: int) -> bytes:
        _require(0 <= count <= len(self.left))
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, size: int, signed: bool = True) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def string(self) -> bytes:
        _require(b"\0" in self.left)
        return self.take(self.left.index(b"\0") + 1)[:-1]

    def value(self) -> bytes | None:
        length = self.number(4)
        return None if length == -1 else self.take(length)

    def one(self, kind: str) -> object:
        """A value of one of the primitive types."""
        match kind:
            case "s":
                return self.string()
            case "v":
                return self.value()
            case "f" | "o":
                code = self.number(2 if kind == "f" else 1)
                _require(code in (0, 1))
                return code
            case _:
                return self.number({"b": 1, "h": 2, "i": 4, "I": 4}[kind], signed=kind in "hi")

    def field(self, shape: str) -> object:
        """One field, in the little language."""
        inner = shape[1:-1]
        match shape[0]:
            case "r":
                return self.take(int(shape[1:] or len(self.left)))
            case "k":
                _require(4 <= len(self.left) <= 256)
                return self.take(len(self.left))
            case "=":
                number = self.number(4)
                _require(number == int(shape[1:]))
                return number
            case "V":
                _require(self.left[:2] == b"\0\3")
                return self.number(4)
            case "(":
                letter = chr(self.take(1)[0])
                _require(letter in inner)
                return letter
            case "[":
                return [self.group(inner) for _ in range(self.number(2, signed=False))]
            case "<":
                count = self.number(4)
                _require(0 <= count <= 32)
                return [self.group(inner) for _ in range(count)]
            case "{":
                items: list[list[object]] = []
                while not self.left.startswith(b"\0"):
                    items.append(self.group(inner))
                self.take(1)
                _require(len(inner) == 1 or len({repr(item[0]) for item in items}) == len(items))
                return items
            case _:
                return self.one(shape)

    def group(self, kinds: str) -> list[object]:
        _require(bool(self.left))
        return [self.one(kind) for kind in kinds]


def readings(role: m.Role, data: bytes) -> list[str]:
    """The names of all messages that a party of this role can have meant with these bytes."""
    found: list[str] = []
    for name in FORMATS[role]:
        try:
            parse(role, name, data)
        except Unreadable:
            continue
        found.append(name)
    return found


def parse(role: m.Role, name: str, data: bytes) -> list[object]:
    """The fields of a message of this sender and name, in wire order; raises `Unreadable`."""
    tag, shape = FORMATS[role][name]
    reader = _Bytes(data)
    if reader.take(len(tag)) != tag.encode() or reader.number(4, True) != len(data) - len(tag):
        raise Unreadable
    values = [reader.field(part) for part in shape.split()]
    _require(not reader.left)
    return values


def flatten(message: m.Message) -> list[object]:
    """The fields of a message as `parse` gives them."""
    match message:
        case m.StartupMessage():
            return [message.protocol_version, _pairs(message.parameters)]
        case m.ErrorResponse() | m.NoticeResponse():
            return [[[ord(code), _plain(text)] for code, text in message.fields.items()]]
        case m.DataRow():
            return [[[value] for value in message.values]]
        case m.SASLResponse() | m.GSSResponse():
            return [message.data]
        case m.ReadyForQuery():
            return [message.status]
        case m.Close() | m.Describe():
            return [message.kind, _plain(message.name)]
        case m.SSLRequest() | m.GSSENCRequest() | m.CancelRequest():
            codes = {"CancelRequest": 80877102, "SSLRequest": 80877103, "GSSENCRequest": 80877104}
            return [codes[type(message).__name__], *_values(message)]
        case m.Authentication():
            return [message.code, *_values(message)]
        case _:
            return _values(message)


def _values(message: object) -> list[object]:
    names = [field.name for field in fields(message)] if is_dataclass(message) else []
    return [_plain(getattr(message, name)) for name in names]


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, tuple):
        return [
            _values(item) if is_dataclass(item) else [_plain(item)]
            for item in cast(tuple[object, ...], value)
        ]
    return value


def _pairs(parameters: dict[str, str]) -> list[list[object]]:
    return [[_plain(name), _plain(value)] for name, value in parameters.items()]
