"""What a server answers, and what it says unasked.

PostgreSQL documentation: "Simple Query", "Extended Query", "Asynchronous Operations".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Self

from pgproto._dataclasses import dataclass
from pgproto._wire import Reader, Writer
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages._base import Message

__all__ = [
    "BindComplete",
    "CloseComplete",
    "CommandComplete",
    "EmptyQueryResponse",
    "ErrorResponse",
    "FieldDescription",
    "FunctionCallResponse",
    "NoData",
    "NoticeResponse",
    "NotificationResponse",
    "ParameterDescription",
    "ParameterStatus",
    "ParseComplete",
    "PortalSuspended",
    "ReadyForQuery",
    "RowDescription",
]


@dataclass(frozen=True, slots=True)
class ParseComplete(Message):
    """The answer to Parse."""

    tag: ClassVar[bytes] = b"1"


@dataclass(frozen=True, slots=True)
class BindComplete(Message):
    """The answer to Bind."""

    tag: ClassVar[bytes] = b"2"


@dataclass(frozen=True, slots=True)
class CloseComplete(Message):
    """The answer to Close."""

    tag: ClassVar[bytes] = b"3"


@dataclass(frozen=True, slots=True)
class NoData(Message):
    """The answer to Describe, for what returns no rows."""

    tag: ClassVar[bytes] = b"n"


@dataclass(frozen=True, slots=True)
class EmptyQueryResponse(Message):
    """In place of CommandComplete, for a query string without a statement."""

    tag: ClassVar[bytes] = b"I"


@dataclass(frozen=True, slots=True)
class PortalSuspended(Message):
    """Execute has sent as many rows as it may; the portal has more."""

    tag: ClassVar[bytes] = b"s"


@dataclass(frozen=True, slots=True)
class ReadyForQuery(Message):
    """A simple query or a group up to Sync is over, its transaction included."""

    tag: ClassVar[bytes] = b"Z"
    longest: ClassVar[int] = 5
    status: Literal["I", "T", "E"]
    """``"I"`` idle, ``"T"`` in a transaction block, ``"E"`` in one that has failed."""

    def write_body(self, writer: Writer) -> None:
        if self.status not in ("I", "T", "E"):
            raise LocalProtocolError(f"transaction status {self.status!r}; it is 'I', 'T' or 'E'")
        writer.raw(self.status.encode("ascii"))

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        status = reader.byte()
        if status == 0x49:
            return cls("I")
        if status == 0x54:
            return cls("T")
        if status == 0x45:
            return cls("E")
        raise RemoteProtocolError(f"ReadyForQuery has status {chr(status)!r}; it is 'I', 'T' or 'E'")


@dataclass(frozen=True, slots=True)
class CommandComplete(Message):
    """A statement has done its work; its transaction may still fail to commit."""

    tag: ClassVar[bytes] = b"C"
    longest: ClassVar[int] = 1024
    command_tag: str
    """For instance ``"INSERT 0 1"``."""

    def write_body(self, writer: Writer) -> None:
        writer.string(self.command_tag)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string())


_FIELD: Final = struct.Struct("!IhIhih")


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One column of a RowDescription."""

    name: str
    table_oid: int = 0
    """0 if the column is not simply one of a table."""
    attribute_number: int = 0
    type_oid: int = 0
    type_size: int = -1
    """In bytes; negative for types of variable width."""
    type_modifier: int = -1
    format: int = 0
    """0 text, 1 binary; always 0 when a statement is described, for Bind has not chosen yet."""


@dataclass(frozen=True, slots=True)
class RowDescription(Message):
    """The shape of the rows to come."""

    tag: ClassVar[bytes] = b"T"
    longest: ClassVar[int] = 8 * 1024 * 1024
    fields: tuple[FieldDescription, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))

    def write_body(self, writer: Writer) -> None:
        writer.uint16(len(self.fields))
        for field in self.fields:
            writer.string(field.name)
            writer.uint32(field.table_oid)
            writer.int16(field.attribute_number)
            writer.uint32(field.type_oid)
            writer.int16(field.type_size)
            writer.int32(field.type_modifier)
            writer.format_code(field.format)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        fields: list[FieldDescription] = []
        for _ in range(reader.uint16()):
            name = reader.string()
            field = FieldDescription(name, *_FIELD.unpack(reader.take(_FIELD.size)))
            if field.format not in (0, 1):
                raise RemoteProtocolError(
                    f"RowDescription has format code {field.format}; only 0 and 1 exist"
                )
            fields.append(field)
        return cls(tuple(fields))


@dataclass(frozen=True, slots=True)
class ParameterDescription(Message):
    """The types of a prepared statement's parameters."""

    tag: ClassVar[bytes] = b"t"
    longest: ClassVar[int] = 6 + 4 * 65_535
    parameter_types: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter_types", tuple(self.parameter_types))

    def write_body(self, writer: Writer) -> None:
        writer.uint16(len(self.parameter_types))
        for oid in self.parameter_types:
            writer.uint32(oid)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(tuple([reader.uint32() for _ in range(reader.uint16())]))


@dataclass(frozen=True, slots=True)
class FunctionCallResponse(Message):
    """The result of a FunctionCall."""

    tag: ClassVar[bytes] = b"V"
    value: bytes | None = None

    def write_body(self, writer: Writer) -> None:
        writer.value(self.value)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.value())


@dataclass(frozen=True, slots=True)
class _Report(Message):
    longest: ClassVar[int] = 4 * 1024 * 1024
    fields: dict[str, str]
    """Values by field code, as the chapter "Error and Notice Message Fields" lists them:
    ``"S"`` severity, ``"C"`` SQLSTATE code, ``"M"`` message …"""

    def __post_init__(self) -> None:
        fields: Mapping[str, str] = self.fields
        object.__setattr__(self, "fields", dict(fields))

    @property
    def severity(self) -> str | None:
        """The severity, untranslated where the server tells."""
        return self.fields.get("V", self.fields.get("S"))

    @property
    def sqlstate(self) -> str | None:
        """The SQLSTATE code."""
        return self.fields.get("C")

    @property
    def message(self) -> str | None:
        """The primary message."""
        return self.fields.get("M")

    def write_body(self, writer: Writer) -> None:
        for code, value in self.fields.items():
            if len(code) != 1 or not 0 < ord(code) < 256:
                raise LocalProtocolError(f"field code {code!r}; it is one byte, not zero")
            writer.raw(code.encode("latin-1"))
            writer.string(value)
        writer.byte(0)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        fields: dict[str, str] = {}
        while code := reader.byte():
            key = chr(code)
            if key in fields:
                raise RemoteProtocolError(f"{cls.__name__} has field {key!r} twice")
            fields[key] = reader.string()
        return cls(fields)


@dataclass(frozen=True, slots=True)
class ErrorResponse(_Report):
    """An error."""

    tag: ClassVar[bytes] = b"E"

    @property
    def fatal(self) -> bool:
        """Whether the server ends the session with this error."""
        return self.severity in ("FATAL", "PANIC")


@dataclass(frozen=True, slots=True)
class NoticeResponse(_Report):
    """A notice or a warning; it may come at any time."""

    tag: ClassVar[bytes] = b"N"


@dataclass(frozen=True, slots=True)
class ParameterStatus(Message):
    """The value of a run-time parameter; it may come at any time."""

    tag: ClassVar[bytes] = b"S"
    longest: ClassVar[int] = 64 * 1024
    name: str
    value: str

    def write_body(self, writer: Writer) -> None:
        writer.string(self.name)
        writer.string(self.value)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string(), reader.string())


@dataclass(frozen=True, slots=True)
class NotificationResponse(Message):
    """Somebody has done NOTIFY on a channel listened to; it may come at any time."""

    tag: ClassVar[bytes] = b"A"
    longest: ClassVar[int] = 1024 * 1024
    process_id: int
    channel: str
    payload: str = ""

    def write_body(self, writer: Writer) -> None:
        writer.int32(self.process_id)
        writer.string(self.channel)
        writer.string(self.payload)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.int32(), reader.string(), reader.string())
