"""What all messages have in common."""

from __future__ import annotations

import enum
from typing import ClassVar, Final, Self

from pgproto._wire import MAX_FRAME_LENGTH, Reader, Writer

__all__ = ["SMALL", "Message", "Role"]

SMALL: Final = 10_000
"""The length field of a small message to a server: PostgreSQL hangs up on a larger one, in bytes."""


class Role(enum.Enum):
    """Which end of the conversation a party is."""

    FRONTEND = "frontend"
    """The client."""
    BACKEND = "backend"
    """The server."""

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.BACKEND if self is Role.FRONTEND else Role.FRONTEND


class Message:
    """A message of the protocol: complete when created, compared by value.

    Subclasses carry the names of PostgreSQL's chapter "Message Formats".
    """

    __slots__ = ()

    tag: ClassVar[bytes] = b""
    """The type byte; empty for the startup family, which has none."""
    longest: ClassVar[int] = MAX_FRAME_LENGTH
    """The largest length field that such a message may have, in bytes: the type byte does not count."""

    def encode(self) -> bytes:
        """The message as it goes over the wire, length included.

        Raises `LocalProtocolError` if a field cannot be represented.
        """
        writer = Writer(type(self).__name__)
        self.write_body(writer)
        return writer.message(self.tag, self.longest)

    def write_body(self, writer: Writer) -> None:
        """Write what follows the length; nothing, for a message without fields."""

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        """Read what follows the length; raises `RemoteProtocolError`."""
        return cls()
