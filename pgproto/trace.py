"""The wire, readable: every message of a conversation as one line, in the format of libpq's `PQtrace`.

    F  13  Query  "select 1"
    B  5   ReadyForQuery  I

Columns are separated by tabs: who speaks (F for the frontend, B for the backend), the length that the message
claims, its name, its fields. Strings stand in double quotes, values in single quotes with what is not
printable as ``\\xNN``. The lines are those of libpq 18 without timestamps, but for this:

- No secret is shown: passwords, what SASL and GSSAPI exchange, and cancel keys appear as ``<hidden>``.
- A line is a line: what would end one, or move a terminal's cursor, is escaped in strings too.
- AuthenticationOk has a line.

Give ``trace=print`` to ``connect`` to see a session's lines, or read a captured stream of bytes:

    python -m pgproto.trace FILE
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from pgproto._wire import HEADER_SIZE, Reader, ReceiveBuffer
from pgproto.errors import RemoteProtocolError
from pgproto.messages import Role
from pgproto.messages._catalogue import DEFAULT_MAX_MESSAGE_SIZE, KINDS, MAX_STARTUP_LENGTH

__all__ = ["Tracer", "main"]

_HIDDEN: Final = " <hidden>"
_LARGEST: Final = DEFAULT_MAX_MESSAGE_SIZE

# The fields of each message: b byte, h int16 (unsigned, as libpq has it), i int32, s string, v value,
# f error fields, m strings to the end, p parameters, x hidden rest, z rest. "n(...)" is a list behind its
# count.
_LAYOUTS: Final[dict[Role, dict[str, tuple[str, str]]]] = {
    Role.FRONTEND: {
        "B": ("Bind", "ssn(h)n(v)n(h)"),
        "C": ("Close", "bs"),
        "D": ("Describe", "bs"),
        "E": ("Execute", "si"),
        "F": ("FunctionCall", "in(h)n(v)h"),
        "H": ("Flush", ""),
        "P": ("Parse", "ssn(i)"),
        "Q": ("Query", "s"),
        "S": ("Sync", ""),
        "X": ("Terminate", ""),
        "c": ("CopyDone", ""),
        "d": ("CopyData", "z"),
        "f": ("CopyFail", "s"),
    },
    Role.BACKEND: {
        "1": ("ParseComplete", ""),
        "2": ("BindComplete", ""),
        "3": ("CloseComplete", ""),
        "A": ("NotificationResponse", "iss"),
        "C": ("CommandComplete", "s"),
        "D": ("DataRow", "n(v)"),
        "E": ("ErrorResponse", "f"),
        "G": ("CopyInResponse", "bn(h)"),
        "H": ("CopyOutResponse", "bn(h)"),
        "I": ("EmptyQueryResponse", ""),
        "K": ("BackendKeyData", "ix"),
        "N": ("NoticeResponse", "f"),
        "S": ("ParameterStatus", "ss"),
        "T": ("RowDescription", "n(sihihih)"),
        "V": ("FunctionCallResponse", "v"),
        "W": ("CopyBothResponse", "bn(h)"),
        "Z": ("ReadyForQuery", "b"),
        "c": ("CopyDone", ""),
        "d": ("CopyData", "z"),
        "n": ("NoData", ""),
        "s": ("PortalSuspended", ""),
        "t": ("ParameterDescription", "n(i)"),
        "v": ("NegotiateProtocolVersion", "iim"),
    },
}

_STARTUP: Final = {
    80877102: ("CancelRequest", "hhix"),
    80877103: ("SSLRequest", "hh"),
    80877104: ("GSSENCRequest", "hh"),
}
_STARTUP_MESSAGE: Final = ("StartupMessage", "hhp")

_AUTHENTICATION: Final = {
    0: ("AuthenticationOk", ""),
    3: ("AuthenticationCleartextPassword", ""),
    5: ("AuthenticationMD5Password", "x"),
    7: ("AuthenticationGSS", ""),
    8: ("AuthenticationGSSContinue", "x"),
    9: ("AuthenticationSSPI", ""),
    10: ("AuthenticationSASL", "m"),
    11: ("AuthenticationSASLContinue", "x"),
    12: ("AuthenticationSASLFinal", "x"),
}
"""What the server asks for, by the code at the message's beginning."""

_RESPONSES: Final = {
    3: ("PasswordMessage", "x"),
    5: ("PasswordMessage", "x"),
    7: ("GSSResponse", "x"),
    8: ("GSSResponse", "x"),
    9: ("GSSResponse", "x"),
    10: ("SASLInitialResponse", "sx"),
    11: ("SASLResponse", "x"),
}
"""What the client answers to that; its type byte is always the same."""
_UNKNOWN_RESPONSE: Final = ("UnknownAuthenticationResponse", "x")


class Tracer:
    """Turns the bytes of a conversation into lines.

    ``write`` gets each line, without its end. It never raises because of the bytes: what it cannot read it
    says so of, and it then keeps silent about that direction.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._buffers = {Role.FRONTEND: ReceiveBuffer(), Role.BACKEND: ReceiveBuffer()}
        self._lost: set[Role] = set()
        self._reply_names: list[str] = []
        self._response = _UNKNOWN_RESPONSE

    def feed(self, sender: Role, data: bytes) -> None:
        """Take bytes that one side has sent, cut anywhere."""
        if sender in self._lost:
            return
        buffer = self._buffers[sender]
        buffer.feed(bytes(data))
        try:
            while (line := self._next_line(sender, buffer)) is not None:
                self._write(line)
        except RemoteProtocolError as error:
            self._lost.add(sender)
            buffer.clear()
            self._write(f"{_letter(sender)}\t-\tunreadable: {error}")

    def _next_line(self, sender: Role, buffer: ReceiveBuffer) -> str | None:
        if not buffer.gather(1):
            return None
        if sender is Role.BACKEND and self._reply_names:
            reply = chr(_take(buffer, 1)[0])
            return f"B\t1\t{self._reply_names.pop(0)}\t {reply}"
        untagged = sender is Role.FRONTEND and buffer.data[buffer.position] == 0
        header = 4 if untagged else HEADER_SIZE
        if not buffer.gather(header):
            return None
        start = buffer.position + header - 4
        length = int.from_bytes(buffer.data[start : start + 4], "big", signed=True)
        if not 4 <= length <= (MAX_STARTUP_LENGTH if untagged else _LARGEST):
            raise RemoteProtocolError(f"a message claims a length of {length} bytes")
        if not buffer.gather(header - 4 + length):
            return None
        message = _take(buffer, header - 4 + length)
        if untagged:
            return self._startup(message, length)
        tag = chr(message[0])
        if tag == "R" and sender is Role.BACKEND:
            return self._authentication(message, length)
        if tag == "p" and sender is Role.FRONTEND:
            return _line(sender, length, *self._response, message, HEADER_SIZE)
        name, layout = _LAYOUTS[sender].get(tag, (f"Unknown message: {message[0]:02x}", "z"))
        return _line(sender, length, name, layout, message, HEADER_SIZE)

    def _authentication(self, message: bytes, length: int) -> str:
        code = Reader(message, HEADER_SIZE, name="Authentication").int32()
        self._response = _RESPONSES.get(code, _UNKNOWN_RESPONSE)
        name, layout = _AUTHENTICATION.get(code, (f"Unknown authentication message {code}", "x"))
        return _line(Role.BACKEND, length, name, layout, message, HEADER_SIZE + 4)

    def _startup(self, message: bytes, length: int) -> str:
        code = int.from_bytes(message[4:8], "big")
        name, layout = _STARTUP.get(code, _STARTUP_MESSAGE)
        if name in ("SSLRequest", "GSSENCRequest"):
            self._reply_names.append(name.replace("Request", "Response"))
        return _line(Role.FRONTEND, length, name, layout, message, 4)


def _take(buffer: ReceiveBuffer, size: int) -> bytes:
    data = buffer.data[buffer.position : buffer.position + size]
    buffer.position += size
    return data


def _letter(sender: Role) -> str:
    return "F" if sender is Role.FRONTEND else "B"


def _line(sender: Role, length: int, name: str, layout: str, message: bytes, start: int) -> str:
    reader = Reader(message, start, name=name)
    fields = _fields(reader, layout)
    reader.finish()
    return f"{_letter(sender)}\t{length}\t{name}" + (f"\t{fields}" if layout else "")


def _fields(reader: Reader, layout: str) -> str:
    """The fields of this layout, each behind a space."""
    shown: list[str] = []
    position = 0
    while position < len(layout):
        code = layout[position]
        if code == "n":
            end = layout.index(")", position)
            count = reader.uint16()
            shown.append(f" {count}")
            shown += [_fields(reader, layout[position + 2 : end]) for _ in range(count)]
            position = end
        else:
            shown.append(_FORMATS[code](reader))
        position += 1
    return "".join(shown)


def _printable(data: bytes) -> str:
    return "".join([chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data])


def _byte(reader: Reader) -> str:
    return " " + _printable(bytes((reader.byte(),)))


def _string(reader: Reader) -> str:
    # Lines are lines: what would end one, or move a terminal's cursor, is shown escaped.
    text = reader.string()
    return ' "' + "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text]) + '"'


def _value(reader: Reader) -> str:
    data = reader.value()
    return " -1" if data is None else f" {len(data)} '{_printable(data)}'"


def _report_fields(reader: Reader) -> str:
    shown: list[str] = []
    while code := reader.byte():
        shown.append(f" {_printable(bytes((code,)))}{_string(reader)}")
    return "".join(shown) + " \\x00"


def _parameters(reader: Reader) -> str:
    shown: list[str] = []
    while reader.remaining > 1:
        shown.append(_string(reader))
    reader.byte()
    return "".join(shown)


def _strings(reader: Reader) -> str:
    shown: list[str] = []
    while reader.remaining:
        shown.append(_string(reader))
    return "".join(shown)


def _hidden(reader: Reader) -> str:
    reader.rest()
    return _HIDDEN


def _rest(reader: Reader) -> str:
    return f" '{_printable(reader.rest())}'"


_FORMATS: Final[dict[str, Callable[[Reader], str]]] = {
    "b": _byte,
    "f": _report_fields,
    "h": lambda reader: f" {reader.uint16()}",
    "i": lambda reader: f" {reader.int32()}",
    "m": _strings,
    "p": _parameters,
    "s": _string,
    "v": _value,
    "x": _hidden,
    "z": _rest,
}


def _guess_sender(data: bytes) -> Role:
    """Who has sent this: only a client begins without a type, or with one that a server does not have."""
    if data[:1] == b"\0" or data[0] not in KINDS[Role.BACKEND]:
        return Role.FRONTEND
    return Role.BACKEND


def main(arguments: list[str] | None = None) -> int:
    """Print the messages of a captured stream of bytes; the program behind ``python -m pgproto.trace``."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m pgproto.trace",
        description="Print a captured byte stream of PostgreSQL's protocol, one message a line.",
    )
    parser.add_argument("file", help="what one side has sent, from the start; - for standard input")
    parser.add_argument(
        "--from", dest="sender", choices=[role.value for role in Role], help="which side it was"
    )
    given = parser.parse_args(arguments)
    try:
        if given.file == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(given.file, "rb") as file:
                data = file.read()
    except OSError as error:
        print(f"{given.file} cannot be read: {error.strerror}", file=sys.stderr)
        return 1
    if data:
        Tracer(print).feed(Role(given.sender) if given.sender else _guess_sender(data), data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
