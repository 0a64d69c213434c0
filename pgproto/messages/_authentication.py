"""Messages of authentication, from both sides.

PostgreSQL documentation: "Start-up" and "SASL Authentication". All of the server's share the type
``R`` and differ by a number; all of the client's share the type ``p`` and differ only by what the
server asked before.
"""

from __future__ import annotations

from typing import ClassVar, Final, Self

from pgproto._dataclasses import dataclass
from pgproto._wire import Reader, Writer
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages._base import Message

__all__ = [
    "LONGEST",
    "Authentication",
    "AuthenticationCleartextPassword",
    "AuthenticationGSS",
    "AuthenticationGSSContinue",
    "AuthenticationKerberosV5",
    "AuthenticationMD5Password",
    "AuthenticationOk",
    "AuthenticationSASL",
    "AuthenticationSASLContinue",
    "AuthenticationSASLFinal",
    "AuthenticationSSPI",
    "GSSResponse",
    "PasswordMessage",
    "SASLInitialResponse",
    "SASLResponse",
    "read_authentication",
    "read_client_response",
]

LONGEST: Final = 64 * 1024
"""The largest length field of a message of authentication, of either side, in bytes."""


@dataclass(frozen=True, slots=True)
class Authentication(Message):
    """The family of what a server says about authentication."""

    tag: ClassVar[bytes] = b"R"
    longest: ClassVar[int] = LONGEST
    code: ClassVar[int] = -1
    """The number that tells the family's members apart."""

    def write_body(self, writer: Writer) -> None:
        writer.int32(self.code)
        self.write_fields(writer)

    def write_fields(self, writer: Writer) -> None:
        """Write what follows the number; nothing for most."""


@dataclass(frozen=True, slots=True)
class AuthenticationOk(Authentication):
    """Authentication succeeded."""

    code: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class AuthenticationKerberosV5(Authentication):
    """Kerberos V5 is required; no supported server asks for it."""

    code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class AuthenticationCleartextPassword(Authentication):
    """A password in clear text is required."""

    code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class AuthenticationMD5Password(Authentication):
    """An MD5-hashed password is required."""

    code: ClassVar[int] = 5
    salt: bytes
    """Four bytes."""

    def write_fields(self, writer: Writer) -> None:
        if len(self.salt) != 4:
            raise LocalProtocolError(f"an MD5 salt of {len(self.salt)} bytes; it has 4")
        writer.raw(self.salt)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.take(4))


@dataclass(frozen=True, slots=True)
class AuthenticationGSS(Authentication):
    """GSSAPI authentication is required."""

    code: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class _AuthenticationData(Authentication):
    data: bytes

    def write_fields(self, writer: Writer) -> None:
        writer.raw(self.data)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.rest())


@dataclass(frozen=True, slots=True)
class AuthenticationGSSContinue(_AuthenticationData):
    """The next token of a GSSAPI or SSPI exchange."""

    code: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class AuthenticationSSPI(Authentication):
    """SSPI authentication is required."""

    code: ClassVar[int] = 9


@dataclass(frozen=True, slots=True)
class AuthenticationSASL(Authentication):
    """SASL authentication is required, by one of these mechanisms, the server's favourite first."""

    code: ClassVar[int] = 10
    mechanisms: tuple[str, ...]

    MAX_MECHANISMS: ClassVar[int] = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "mechanisms", tuple(self.mechanisms))

    def write_fields(self, writer: Writer) -> None:
        if len(self.mechanisms) > self.MAX_MECHANISMS:
            raise LocalProtocolError(
                f"{len(self.mechanisms)} SASL mechanisms; {self.MAX_MECHANISMS} at the most"
            )
        for name in self.mechanisms:
            if not name:
                raise LocalProtocolError("a SASL mechanism has an empty name, which would end the list")
            writer.string(name)
        writer.byte(0)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        names: list[str] = []
        while name := reader.string():
            if len(names) == cls.MAX_MECHANISMS:
                raise RemoteProtocolError(f"AuthenticationSASL lists over {cls.MAX_MECHANISMS} mechanisms")
            names.append(name)
        return cls(tuple(names))


@dataclass(frozen=True, slots=True)
class AuthenticationSASLContinue(_AuthenticationData):
    """A SASL challenge."""

    code: ClassVar[int] = 11


@dataclass(frozen=True, slots=True)
class AuthenticationSASLFinal(_AuthenticationData):
    """The server's last word in a SASL exchange, with what proves that it knew the secret."""

    code: ClassVar[int] = 12


_BY_CODE: Final[dict[int, type[Authentication]]] = {
    kind.code: kind
    for kind in (
        AuthenticationOk,
        AuthenticationKerberosV5,
        AuthenticationCleartextPassword,
        AuthenticationMD5Password,
        AuthenticationGSS,
        AuthenticationGSSContinue,
        AuthenticationSSPI,
        AuthenticationSASL,
        AuthenticationSASLContinue,
        AuthenticationSASLFinal,
    )
}


def read_authentication(reader: Reader) -> Authentication:
    """The member of the authentication family that a body of type ``R`` holds."""
    code = reader.int32()
    kind = _BY_CODE.get(code)
    if kind is None:
        raise RemoteProtocolError(f"the server asks for authentication method {code}, which does not exist")
    return kind.read_body(reader)


@dataclass(frozen=True, slots=True)
class PasswordMessage(Message):
    """A password, in clear text or MD5-hashed."""

    tag: ClassVar[bytes] = b"p"
    longest: ClassVar[int] = LONGEST
    password: str

    def __repr__(self) -> str:
        return "PasswordMessage(password=<hidden>)"

    def write_body(self, writer: Writer) -> None:
        writer.string(self.password)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class SASLInitialResponse(Message):
    """The mechanism chosen and the first word of its exchange."""

    tag: ClassVar[bytes] = b"p"
    longest: ClassVar[int] = LONGEST
    mechanism: str
    data: bytes | None = None
    """None if the mechanism starts without an initial response."""

    def __repr__(self) -> str:
        return f"SASLInitialResponse(mechanism={self.mechanism!r}, data=<hidden>)"

    def write_body(self, writer: Writer) -> None:
        writer.string(self.mechanism)
        writer.value(self.data)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string(), reader.value())


class _ClientToken(Message):
    """SASLResponse and GSSResponse are the same bytes under two names, so they compare equal."""

    __slots__ = ("data",)

    tag: ClassVar[bytes] = b"p"
    longest: ClassVar[int] = LONGEST

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, _ClientToken) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(data=<{len(self.data)} bytes>)"

    def write_body(self, writer: Writer) -> None:
        writer.raw(self.data)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.rest())


class SASLResponse(_ClientToken):
    """A further word of a SASL exchange: ``data``."""

    __slots__ = ()


class GSSResponse(_ClientToken):
    """A token of a GSSAPI or SSPI exchange: ``data``."""

    __slots__ = ()


def read_client_response(body: bytes) -> Message:
    """Guess which of the client's four responses a body of type ``p`` is.

    Only what the server asked before tells for certain, and a `Connection` knows that. Without
    one: a mechanism's name with a value that fills the rest is a SASLInitialResponse, one string
    that fills the body is a PasswordMessage, and the rest is a SASLResponse.
    """
    name, terminator, rest = body.partition(b"\0")
    if terminator and not rest:
        return _read_whole(PasswordMessage, body)
    if terminator and 0 < len(name) <= 64 and len(rest) >= 4:
        length = int.from_bytes(rest[:4], "big", signed=True)
        if length == len(rest) - 4 or (length == -1 and len(rest) == 4):
            return _read_whole(SASLInitialResponse, body)
    return SASLResponse(body)


def _read_whole(kind: type[PasswordMessage | SASLInitialResponse], body: bytes) -> Message:
    reader = Reader(body, name=kind.__name__)
    message = kind.read_body(reader)
    reader.finish()
    return message
