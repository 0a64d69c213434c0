"""Reading and writing the primitive types of the wire, with every bound checked.

PostgreSQL's chapter "Message Data Types" knows four of them: integers in network byte order,
null-terminated strings, bytes of a known count, and lists of these. Nothing above this module
slices network bytes itself: a Python slice never fails, it shortens, and a shortened field is a
wrong answer that looks right.

Strings from a peer are decoded as UTF-8 with ``surrogateescape``: a server may talk in another
encoding before the session has agreed on one, and a proxy must be able to pass on what it got,
byte for byte.
"""

from __future__ import annotations

import struct
from typing import Final

from pgproto.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["HEADER_SIZE", "MAX_FRAME_LENGTH", "Reader", "ReceiveBuffer", "Writer"]

HEADER_SIZE: Final = 5
"""One byte of type and four of length, in bytes."""

MAX_FRAME_LENGTH: Final = 0x3FFF_FFFE
"""The largest length field that a PostgreSQL server accepts, one GiB but two, in bytes."""

_MANY_PIECES: Final = 1024

_INT16 = struct.Struct("!h")
_UINT16 = struct.Struct("!H")
_INT32 = struct.Struct("!i")
_UINT32 = struct.Struct("!I")


class Reader:
    """Takes values from one message body; asks for more than is there and it raises.

    All methods raise `RemoteProtocolError`, and no other exception.
    """

    __slots__ = ("_data", "_end", "_name", "_position")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None, name: str = "message") -> None:
        self._data = data
        self._position = position
        self._end = len(data) if end is None else end
        self._name = name

    @property
    def remaining(self) -> int:
        """How many bytes of the body have not been taken."""
        return self._end - self._position

    def _advance(self, count: int) -> int:
        position = self._position
        if count < 0 or count > self._end - position:
            raise RemoteProtocolError(
                f"{self._name} is malformed: it claims a field of {count} bytes "
                f"where {self._end - position} are left"
            )
        self._position = position + count
        return position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, exactly."""
        position = self._advance(count)
        return self._data[position : position + count]

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self._end - self._position)

    def byte(self) -> int:
        """An unsigned integer of one byte."""
        return self._data[self._advance(1)]

    def int16(self) -> int:
        """A signed integer of two bytes."""
        value: int = _INT16.unpack_from(self._data, self._advance(2))[0]
        return value

    def uint16(self) -> int:
        """An unsigned integer of two bytes."""
        value: int = _UINT16.unpack_from(self._data, self._advance(2))[0]
        return value

    def int32(self) -> int:
        """A signed integer of four bytes."""
        value: int = _INT32.unpack_from(self._data, self._advance(4))[0]
        return value

    def uint32(self) -> int:
        """An unsigned integer of four bytes."""
        value: int = _UINT32.unpack_from(self._data, self._advance(4))[0]
        return value

    def format_code(self) -> int:
        """A format code: 0 for text, 1 for binary."""
        code = self.int16()
        if code not in (0, 1):
            raise RemoteProtocolError(f"{self._name} has format code {code}; only 0 and 1 exist")
        return code

    def value(self) -> bytes | None:
        """A field value: four bytes of length, then that many bytes; length -1 is NULL."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    def string(self) -> str:
        """A null-terminated string, without its terminator."""
        end = self._data.find(0, self._position, self._end)
        if end < 0:
            raise RemoteProtocolError(f"{self._name} is malformed: a string has no terminator")
        text = self._data[self._position : end]
        self._position = end + 1
        return text.decode("utf-8", "surrogateescape")

    def finish(self) -> None:
        """Check that the body was used up."""
        if self._position != self._end:
            raise RemoteProtocolError(
                f"{self._name} is malformed: {self._end - self._position} bytes follow its last field"
            )


class Writer:
    """Collects the fields of one message; a value that does not fit raises `LocalProtocolError`."""

    __slots__ = ("_name", "_parts")

    def __init__(self, name: str = "message") -> None:
        self._name = name
        self._parts: list[bytes] = []

    def _pack(self, shape: struct.Struct, value: int) -> None:
        try:
            self._parts.append(shape.pack(value))
        except struct.error:
            raise LocalProtocolError(
                f"{self._name}: {value!r} does not fit an integer of {shape.size} bytes"
            ) from None

    def byte(self, value: int) -> None:
        """An unsigned integer of one byte."""
        if not 0 <= value <= 255:
            raise LocalProtocolError(f"{self._name}: {value!r} does not fit a byte")
        self._parts.append(bytes((value,)))

    def int16(self, value: int) -> None:
        """A signed integer of two bytes."""
        self._pack(_INT16, value)

    def uint16(self, value: int) -> None:
        """An unsigned integer of two bytes."""
        self._pack(_UINT16, value)

    def int32(self, value: int) -> None:
        """A signed integer of four bytes."""
        self._pack(_INT32, value)

    def uint32(self, value: int) -> None:
        """An unsigned integer of four bytes."""
        self._pack(_UINT32, value)

    def format_code(self, value: int) -> None:
        """A format code: 0 for text, 1 for binary."""
        if value not in (0, 1):
            raise LocalProtocolError(f"{self._name}: format code {value!r}; only 0 and 1 exist")
        self._pack(_INT16, value)

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._parts.append(data if type(data) is bytes else memoryview(data).tobytes())

    def value(self, data: bytes | None) -> None:
        """A field value behind its length; None is NULL."""
        if data is None:
            self._pack(_INT32, -1)
            return
        if type(data) is not bytes:
            # The length of a memoryview is not always that of its bytes.
            data = memoryview(data).tobytes()
        self._pack(_INT32, len(data))
        self._parts.append(data)

    def string(self, text: str) -> None:
        """A null-terminated string; it may not hold a NUL itself."""
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise LocalProtocolError(
                f"{self._name}: a string holds a lone surrogate, which UTF-8 cannot"
            ) from None
        if b"\0" in data:
            raise LocalProtocolError(f"{self._name}: a string holds a NUL character, which PostgreSQL cannot")
        self._parts.append(data)
        self._parts.append(b"\0")

    def message(self, tag: bytes, longest: int = MAX_FRAME_LENGTH) -> bytes:
        """The whole message: its type byte (none for the startup family), its length and its body.

        ``longest`` limits what the length field may say, in bytes.
        """
        length = 4 + sum(map(len, self._parts))
        if length > longest:
            raise LocalProtocolError(
                f"{self._name} of {length} bytes is too long: it may have {longest} at the most"
            )
        return b"".join((tag, _INT32.pack(length), *self._parts))


class ReceiveBuffer:
    """What has arrived and is not yet used, read in place through an offset.

    ``data[position:end]`` can be read. Chunks that arrive while a message is incomplete wait in a
    list and are joined once, when they suffice: the work stays proportional to the bytes received,
    however they were cut. Very many of them are joined once in between, so that the memory stays
    proportional as well: a chunk of one byte costs far more than a byte.
    """

    __slots__ = ("_joined", "_pieces", "data", "end", "held", "position")

    def __init__(self) -> None:
        self.data = b""
        self.position = 0
        self.end = 0
        self._pieces: list[bytes] = []
        self.held = 0
        """How many bytes wait behind ``data``."""
        # How many of the pieces have been joined before.
        self._joined = 0

    def __len__(self) -> int:
        return self.end - self.position + self.held

    def feed(self, data: bytes) -> None:
        """Add bytes behind what is there."""
        if self.position == self.end and not self._pieces:
            self.data = data
            self.position = 0
            self.end = len(data)
        else:
            pieces = self._pieces
            pieces.append(data)
            self.held += len(data)
            if len(pieces) - self._joined >= _MANY_PIECES:
                pieces[self._joined :] = [b"".join(pieces[self._joined :])]
                self._joined += 1

    def gather(self, needed: int) -> bool:
        """Make ``needed`` bytes readable in one piece; False if so many have not come."""
        if self.end - self.position + self.held < needed:
            return False
        if self._pieces:
            self.data = b"".join((self.data[self.position : self.end], *self._pieces))
            self.position = 0
            self.end = len(self.data)
            self._pieces.clear()
            self.held = self._joined = 0
        return True

    def clear(self) -> None:
        """Forget everything."""
        self.data = b""
        self.position = self.end = self.held = self._joined = 0
        self._pieces.clear()
