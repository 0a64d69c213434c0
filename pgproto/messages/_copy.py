"""Messages of COPY, in all three directions. PostgreSQL documentation: "COPY Operations"."""

from __future__ import annotations

from typing import ClassVar, Self

from pgproto._dataclasses import dataclass
from pgproto._wire import Reader, Writer
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages._base import SMALL, Message

__all__ = ["CopyBothResponse", "CopyData", "CopyDone", "CopyFail", "CopyInResponse", "CopyOutResponse"]


@dataclass(frozen=True, slots=True)
class CopyData(Message):
    """A piece of the copy stream, cut anywhere by a client, at rows by a server."""

    tag: ClassVar[bytes] = b"d"
    data: bytes

    def write_body(self, writer: Writer) -> None:
        writer.raw(self.data)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.rest())


@dataclass(frozen=True, slots=True)
class CopyDone(Message):
    """The copy stream is complete."""

    tag: ClassVar[bytes] = b"c"


@dataclass(frozen=True, slots=True)
class CopyFail(Message):
    """The client gives up its copy; the server answers with an error."""

    tag: ClassVar[bytes] = b"f"
    longest: ClassVar[int] = SMALL
    message: str

    def write_body(self, writer: Writer) -> None:
        writer.string(self.message)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class _CopyResponse(Message):
    longest: ClassVar[int] = 7 + 2 * 65_535
    format: int = 0
    """0: textual, with the column formats all 0. 1: binary."""
    column_formats: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "column_formats", tuple(self.column_formats))

    def write_body(self, writer: Writer) -> None:
        if self.format not in (0, 1):
            raise LocalProtocolError(f"copy format {self.format!r}; only 0 and 1 exist")
        writer.byte(self.format)
        writer.uint16(len(self.column_formats))
        for code in self.column_formats:
            writer.format_code(code)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        overall = reader.byte()
        if overall not in (0, 1):
            raise RemoteProtocolError(f"{cls.__name__} has format {overall}; only 0 and 1 exist")
        return cls(overall, tuple([reader.format_code() for _ in range(reader.uint16())]))


@dataclass(frozen=True, slots=True)
class CopyInResponse(_CopyResponse):
    """The server waits for copy data from the client."""

    tag: ClassVar[bytes] = b"G"


@dataclass(frozen=True, slots=True)
class CopyOutResponse(_CopyResponse):
    """The server is about to send copy data."""

    tag: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class CopyBothResponse(_CopyResponse):
    """Copy data will flow both ways; only streaming replication does this."""

    tag: ClassVar[bytes] = b"W"
