"""Messages that open a conversation, or ask to cancel one.

PostgreSQL documentation: "Start-up", "Canceling Requests in Progress", "SSL Session Encryption".
"""

from __future__ import annotations

from typing import ClassVar, Final, Self

from pgproto._dataclasses import dataclass
from pgproto._wire import Reader, Writer
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages._base import Message

__all__ = [
    "CANCEL_REQUEST_CODE",
    "GSSENC_REQUEST_CODE",
    "MAX_STARTUP_LENGTH",
    "PROTOCOL_3_0",
    "PROTOCOL_3_2",
    "SSL_REQUEST_CODE",
    "BackendKeyData",
    "CancelRequest",
    "EncryptionResponse",
    "GSSENCRequest",
    "NegotiateProtocolVersion",
    "SSLRequest",
    "StartupMessage",
]

PROTOCOL_3_0: Final = 0x0003_0000
"""Protocol version 3.0, as StartupMessage carries it."""
PROTOCOL_3_2: Final = 0x0003_0002
"""Protocol version 3.2, the newest, of PostgreSQL 18."""
CANCEL_REQUEST_CODE: Final = 80877102
SSL_REQUEST_CODE: Final = 80877103
GSSENC_REQUEST_CODE: Final = 80877104

MAX_STARTUP_LENGTH: Final = 10_004
"""The longest startup message that PostgreSQL takes: 10,000 bytes behind the length."""

_KEY_SIZES: Final = range(4, 257)


def _check_secret_key(key: bytes, error: type[LocalProtocolError | RemoteProtocolError]) -> None:
    if len(key) not in _KEY_SIZES:
        raise error(f"a secret key of {len(key)} bytes; it has 4 to 256")


@dataclass(frozen=True, slots=True)
class StartupMessage(Message):
    """The first message of a session: the protocol version and the run-time parameters asked for."""

    longest: ClassVar[int] = MAX_STARTUP_LENGTH
    parameters: dict[str, str]
    protocol_version: int = PROTOCOL_3_0
    """Major version in the upper, minor version in the lower 16 bits."""

    def write_body(self, writer: Writer) -> None:
        if self.protocol_version >> 16 != 3:
            raise LocalProtocolError(
                f"protocol version {self.protocol_version:#x}; the major version must be 3"
            )
        writer.uint32(self.protocol_version)
        for name, value in self.parameters.items():
            if not name:
                raise LocalProtocolError("a startup parameter has an empty name, which would end the list")
            writer.string(name)
            writer.string(value)
        writer.byte(0)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        version = reader.uint32()
        if version >> 16 != 3:
            raise RemoteProtocolError(
                f"protocol version {version >> 16}.{version & 0xFFFF}; only 3 is spoken here"
            )
        parameters: dict[str, str] = {}
        while name := reader.string():
            if name in parameters:
                raise RemoteProtocolError(f"StartupMessage sets {name!r} twice")
            parameters[name] = reader.string()
        return cls(parameters, version)


@dataclass(frozen=True, slots=True)
class SSLRequest(Message):
    """Asks whether the server will do TLS; it answers with a single byte."""

    def write_body(self, writer: Writer) -> None:
        writer.uint32(SSL_REQUEST_CODE)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        reader.uint32()
        return cls()


@dataclass(frozen=True, slots=True)
class GSSENCRequest(Message):
    """Asks whether the server will do GSSAPI encryption; it answers with a single byte."""

    def write_body(self, writer: Writer) -> None:
        writer.uint32(GSSENC_REQUEST_CODE)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        reader.uint32()
        return cls()


@dataclass(frozen=True, slots=True)
class CancelRequest(Message):
    """Asks, on a connection of its own, to cancel what another connection is doing."""

    process_id: int
    secret_key: bytes
    """The key of the session's BackendKeyData: 4 bytes in protocol 3.0, up to 256 since 3.2."""

    def __repr__(self) -> str:
        return f"CancelRequest(process_id={self.process_id}, secret_key=<{len(self.secret_key)} bytes>)"

    def write_body(self, writer: Writer) -> None:
        _check_secret_key(self.secret_key, LocalProtocolError)
        writer.uint32(CANCEL_REQUEST_CODE)
        writer.int32(self.process_id)
        writer.raw(self.secret_key)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        reader.uint32()
        message = cls(reader.int32(), reader.rest())
        _check_secret_key(message.secret_key, RemoteProtocolError)
        return message


@dataclass(frozen=True, slots=True)
class EncryptionResponse(Message):
    """The server's single byte in answer to SSLRequest or GSSENCRequest.

    It is no message in the documentation's sense, for it has neither type nor length.
    """

    reply: bytes
    """``b"S"``: go on with TLS. ``b"G"``: go on with GSSAPI encryption. ``b"N"``: neither."""

    ACCEPTED: ClassVar[frozenset[bytes]] = frozenset((b"S", b"G"))

    @property
    def accepted(self) -> bool:
        """Whether the handshake is next."""
        return self.reply in self.ACCEPTED

    def encode(self) -> bytes:
        """The byte itself."""
        if self.reply not in (b"S", b"G", b"N"):
            raise LocalProtocolError(
                f"{self.reply!r} as answer to an encryption request; it is b'S', b'G' or b'N'"
            )
        return self.reply


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion(Message):
    """The server speaks an older minor version, or does not know some protocol options."""

    tag: ClassVar[bytes] = b"v"
    longest: ClassVar[int] = 16 * 1024
    protocol_version: int
    """The newest version that the server supports for the requested major version."""
    unrecognized_options: tuple[str, ...] = ()

    MAX_OPTIONS: ClassVar[int] = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "unrecognized_options", tuple(self.unrecognized_options))

    def write_body(self, writer: Writer) -> None:
        if len(self.unrecognized_options) > self.MAX_OPTIONS:
            raise LocalProtocolError(
                f"{len(self.unrecognized_options)} unrecognized options; {self.MAX_OPTIONS} at the most"
            )
        writer.uint32(self.protocol_version)
        writer.int32(len(self.unrecognized_options))
        for name in self.unrecognized_options:
            writer.string(name)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        version = reader.uint32()
        count = reader.int32()
        # Each name takes two bytes at least; a count is believed only as far as the bytes reach.
        if not 0 <= count <= cls.MAX_OPTIONS:
            raise RemoteProtocolError(
                f"NegotiateProtocolVersion lists {count} options; at most {cls.MAX_OPTIONS}"
            )
        return cls(version, tuple([reader.string() for _ in range(count)]))


@dataclass(frozen=True, slots=True)
class BackendKeyData(Message):
    """What a CancelRequest for this session must carry."""

    tag: ClassVar[bytes] = b"K"
    longest: ClassVar[int] = 8 + 256
    process_id: int
    secret_key: bytes

    def __repr__(self) -> str:
        return f"BackendKeyData(process_id={self.process_id}, secret_key=<{len(self.secret_key)} bytes>)"

    def write_body(self, writer: Writer) -> None:
        _check_secret_key(self.secret_key, LocalProtocolError)
        writer.int32(self.process_id)
        writer.raw(self.secret_key)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        message = cls(reader.int32(), reader.rest())
        _check_secret_key(message.secret_key, RemoteProtocolError)
        return message
