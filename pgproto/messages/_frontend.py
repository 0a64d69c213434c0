"""What a client sends once it is in: simple query, extended query, function call, goodbye.

PostgreSQL documentation: "Simple Query", "Extended Query", "Function Call", "Termination".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pgproto._dataclasses import dataclass
from pgproto._wire import Reader, Writer
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages._base import SMALL, Message

__all__ = [
    "Bind",
    "Close",
    "Describe",
    "Execute",
    "Flush",
    "FunctionCall",
    "Parse",
    "Query",
    "Sync",
    "Terminate",
]


def _write_formats(writer: Writer, formats: Sequence[int]) -> None:
    writer.uint16(len(formats))
    for code in formats:
        writer.format_code(code)


def _read_formats(reader: Reader) -> tuple[int, ...]:
    return tuple([reader.format_code() for _ in range(reader.uint16())])


def _write_values(writer: Writer, values: Sequence[bytes | None]) -> None:
    writer.uint16(len(values))
    for value in values:
        writer.value(value)


def _read_values(reader: Reader) -> tuple[bytes | None, ...]:
    return tuple([reader.value() for _ in range(reader.uint16())])


@dataclass(frozen=True, slots=True)
class Query(Message):
    """A simple query: one string, of any number of statements."""

    tag: ClassVar[bytes] = b"Q"
    query: str

    def write_body(self, writer: Writer) -> None:
        writer.string(self.query)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string())


@dataclass(frozen=True, slots=True)
class Parse(Message):
    """Makes a prepared statement of one SQL statement."""

    tag: ClassVar[bytes] = b"P"
    name: str
    """The prepared statement's name; empty for the unnamed one."""
    query: str
    parameter_types: tuple[int, ...] = ()
    """Type OIDs of the leading parameters; 0 leaves a type to the server."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter_types", tuple(self.parameter_types))

    def write_body(self, writer: Writer) -> None:
        writer.string(self.name)
        writer.string(self.query)
        writer.uint16(len(self.parameter_types))
        for oid in self.parameter_types:
            writer.uint32(oid)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        name, query = reader.string(), reader.string()
        return cls(name, query, tuple([reader.uint32() for _ in range(reader.uint16())]))


@dataclass(frozen=True, slots=True)
class Bind(Message):
    """Makes a portal of a prepared statement and its parameters' values."""

    tag: ClassVar[bytes] = b"B"
    portal: str = ""
    statement: str = ""
    parameter_formats: tuple[int, ...] = ()
    """None: all text. One: for all. Else one for each parameter."""
    parameters: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter_formats", tuple(self.parameter_formats))
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "result_formats", tuple(self.result_formats))

    def write_body(self, writer: Writer) -> None:
        writer.string(self.portal)
        writer.string(self.statement)
        _write_formats(writer, self.parameter_formats)
        _write_values(writer, self.parameters)
        _write_formats(writer, self.result_formats)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        portal, statement = reader.string(), reader.string()
        return cls(portal, statement, _read_formats(reader), _read_values(reader), _read_formats(reader))


@dataclass(frozen=True, slots=True)
class _Named(Message):
    longest: ClassVar[int] = SMALL
    kind: str
    """``"S"`` for a prepared statement, ``"P"`` for a portal."""
    name: str = ""

    def write_body(self, writer: Writer) -> None:
        if self.kind not in ("S", "P"):
            raise LocalProtocolError(f"{type(self).__name__} of kind {self.kind!r}; it is 'S' or 'P'")
        writer.raw(self.kind.encode("ascii"))
        writer.string(self.name)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        kind = chr(reader.byte())
        if kind not in ("S", "P"):
            raise RemoteProtocolError(f"{cls.__name__} of kind {kind!r}; it is 'S' or 'P'")
        return cls(kind, reader.string())


@dataclass(frozen=True, slots=True)
class Describe(_Named):
    """Asks for the shape of a prepared statement or a portal."""

    tag: ClassVar[bytes] = b"D"


@dataclass(frozen=True, slots=True)
class Close(_Named):
    """Drops a prepared statement or a portal."""

    tag: ClassVar[bytes] = b"C"


@dataclass(frozen=True, slots=True)
class Execute(Message):
    """Runs a portal."""

    tag: ClassVar[bytes] = b"E"
    longest: ClassVar[int] = SMALL
    portal: str = ""
    max_rows: int = 0
    """At most so many rows before PortalSuspended; 0 for all."""

    def write_body(self, writer: Writer) -> None:
        writer.string(self.portal)
        writer.int32(self.max_rows)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.string(), reader.int32())


@dataclass(frozen=True, slots=True)
class Flush(Message):
    """Makes the server send what it has."""

    tag: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class Sync(Message):
    """Ends a group of extended-query messages: commits it, and ends skipping after an error."""

    tag: ClassVar[bytes] = b"S"


@dataclass(frozen=True, slots=True)
class FunctionCall(Message):
    """Calls a function by its OID (a legacy of the protocol)."""

    tag: ClassVar[bytes] = b"F"
    function_oid: int
    argument_formats: tuple[int, ...] = ()
    arguments: tuple[bytes | None, ...] = ()
    result_format: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "argument_formats", tuple(self.argument_formats))
        object.__setattr__(self, "arguments", tuple(self.arguments))

    def write_body(self, writer: Writer) -> None:
        writer.uint32(self.function_oid)
        _write_formats(writer, self.argument_formats)
        _write_values(writer, self.arguments)
        writer.format_code(self.result_format)

    @classmethod
    def read_body(cls, reader: Reader) -> Self:
        return cls(reader.uint32(), _read_formats(reader), _read_values(reader), reader.format_code())


@dataclass(frozen=True, slots=True)
class Terminate(Message):
    """Goodbye."""

    tag: ClassVar[bytes] = b"X"
