"""Which types of messages each side can send, how large each may be, and how to read one.

The sizes are the first thing that is checked of a message, after five bytes and before anything is
kept: a peer that lies about a length costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pgproto._wire import HEADER_SIZE, MAX_FRAME_LENGTH, Reader
from pgproto.errors import RemoteProtocolError
from pgproto.messages import _authentication, _backend, _copy, _frontend, _rows, _startup
from pgproto.messages._base import Message, Role
from pgproto.messages._startup import MAX_STARTUP_LENGTH

__all__ = [
    "DEFAULT_MAX_MESSAGE_SIZE",
    "KINDS",
    "MAX_STARTUP_LENGTH",
    "Kind",
    "decode",
    "read_message",
    "read_startup",
]

DEFAULT_MAX_MESSAGE_SIZE: Final = 0x4000_0000
"""One GiB, PostgreSQL's own limit, in bytes."""

_UNLIMITED: Final = -1


class Kind(NamedTuple):
    """What is known of a type byte before its message is read."""

    name: str
    read: Callable[[Reader], Message]
    shortest: int
    """The smallest length that the length field may hold, in bytes."""
    longest: int
    """The largest; -1 where the connection's ``max_message_size`` decides."""
    singleton: Message | None
    """The message itself, if it has no body."""


def _kind(message: type[Message], shortest: int) -> tuple[int, Kind]:
    longest = _UNLIMITED if message.longest == MAX_FRAME_LENGTH else message.longest
    return message.tag[0], Kind(message.__name__, message.read_body, shortest, longest, None)


def _bodiless(message: type[Message]) -> tuple[int, Kind]:
    return message.tag[0], Kind(message.__name__, message.read_body, 4, 4, message())


def _read_authentication(reader: Reader) -> Message:
    return _authentication.read_authentication(reader)


def _read_client_response(reader: Reader) -> Message:
    return _authentication.read_client_response(reader.rest())


_COPY: Final = (
    _kind(_copy.CopyData, 4),
    _bodiless(_copy.CopyDone),
)

KINDS: Final[dict[Role, dict[int, Kind]]] = {
    Role.FRONTEND: dict(
        (
            _kind(_frontend.Bind, 12),
            _kind(_frontend.Close, 6),
            _kind(_frontend.Describe, 6),
            _kind(_frontend.Execute, 9),
            _bodiless(_frontend.Flush),
            _kind(_frontend.FunctionCall, 14),
            _kind(_frontend.Parse, 8),
            (0x70, Kind("PasswordMessage", _read_client_response, 4, _authentication.LONGEST, None)),
            _kind(_frontend.Query, 5),
            _bodiless(_frontend.Sync),
            _bodiless(_frontend.Terminate),
            *_COPY,
            _kind(_copy.CopyFail, 5),
        )
    ),
    Role.BACKEND: dict(
        (
            (0x52, Kind("Authentication", _read_authentication, 8, _authentication.LONGEST, None)),
            _kind(_startup.BackendKeyData, 12),
            _bodiless(_backend.BindComplete),
            _bodiless(_backend.CloseComplete),
            _kind(_backend.CommandComplete, 5),
            _kind(_copy.CopyInResponse, 7),
            _kind(_copy.CopyOutResponse, 7),
            _kind(_copy.CopyBothResponse, 7),
            _kind(_rows.DataRow, 6),
            _bodiless(_backend.EmptyQueryResponse),
            _kind(_backend.ErrorResponse, 5),
            _kind(_backend.FunctionCallResponse, 8),
            _kind(_startup.NegotiateProtocolVersion, 12),
            _bodiless(_backend.NoData),
            _kind(_backend.NoticeResponse, 5),
            _kind(_backend.NotificationResponse, 10),
            _kind(_backend.ParameterDescription, 6),
            _kind(_backend.ParameterStatus, 6),
            _bodiless(_backend.ParseComplete),
            _bodiless(_backend.PortalSuspended),
            _kind(_backend.ReadyForQuery, 5),
            _kind(_backend.RowDescription, 6),
            *_COPY,
        )
    ),
}
"""By sender and type byte."""

_STARTUP: Final[dict[int, type[Message]]] = {
    _startup.SSL_REQUEST_CODE: _startup.SSLRequest,
    _startup.GSSENC_REQUEST_CODE: _startup.GSSENCRequest,
    _startup.CANCEL_REQUEST_CODE: _startup.CancelRequest,
}


def read_message(kind: Kind, data: bytes, start: int, end: int) -> Message:
    """The message of ``data[start:end]``, a body without type and length."""
    if kind.singleton is not None:
        return kind.singleton
    reader = Reader(data, start, end, kind.name)
    message = kind.read(reader)
    reader.finish()
    return message


def read_startup(data: bytes, start: int, end: int) -> Message:
    """The message of the startup family in ``data[start:end]``, length included."""
    reader = Reader(data, start, end, "startup message")
    if reader.int32() != end - start:
        raise RemoteProtocolError("the startup message's length is not that of its bytes")
    code = reader.uint32()
    kind = _STARTUP.get(code, _startup.StartupMessage)
    reader = Reader(data, start + 4, end, kind.__name__)
    message = kind.read_body(reader)
    reader.finish()
    return message


def decode(role: Role, data: bytes) -> Message:
    """Decode exactly one message that a party of this role has sent.

    ``data`` is the whole message, as `Message.encode` gives it. Raises `RemoteProtocolError`,
    also if bytes are missing or left over.

    Two things cannot be told apart without a conversation around them. A single byte from a backend
    is read as `EncryptionResponse`. Of the client's responses to authentication, which share one
    type, the likeliest is taken; a GSSResponse comes as the equal `SASLResponse`.
    """
    data = bytes(data)
    if role is Role.BACKEND and data in (b"S", b"N", b"G"):
        return _startup.EncryptionResponse(data)
    if role is Role.FRONTEND and data[:1] == b"\0":
        if not 8 <= len(data) <= MAX_STARTUP_LENGTH:
            raise RemoteProtocolError(
                f"a startup message of {len(data)} bytes; 8 to {MAX_STARTUP_LENGTH} are possible"
            )
        return read_startup(data, 0, len(data))
    if len(data) < HEADER_SIZE:
        raise RemoteProtocolError(f"{len(data)} bytes are no message; the shortest has {HEADER_SIZE}")
    kind = KINDS[role].get(data[0])
    if kind is None:
        raise RemoteProtocolError(f"a {role.value} sends no message of type {data[:1]!r}")
    length = int.from_bytes(data[1:HEADER_SIZE], "big", signed=True)
    longest = DEFAULT_MAX_MESSAGE_SIZE if kind.longest == _UNLIMITED else kind.longest
    if not kind.shortest <= length <= longest or length + 1 != len(data):
        raise RemoteProtocolError(f"{kind.name} claims a length of {length} bytes where {len(data) - 1} came")
    return read_message(kind, data, HEADER_SIZE, len(data))
