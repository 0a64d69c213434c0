"""`Statement`: what a fake server answers to one SQL string."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pgproto.errors import ConfigError, PostgresError
from pgproto.messages import FieldDescription
from pgproto.types import Codec, TypeRegistry

__all__ = ["Known", "Statement"]

Rows: TypeAlias = Iterable[Sequence[object]]

_TYPES: Final = TypeRegistry()
_PLACEHOLDER: Final = re.compile(r"\$([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Statement:
    """What a fake server answers; types are named as in `pg_type`, such as "int4"."""

    parameters: Sequence[str] = ()
    """The types of ``$1``, ``$2`` …; those that are not given are "text"."""
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names and types of the columns of the result; none if it returns no rows."""
    rows: Rows | Callable[..., Rows] = ()
    """The rows, or a function of the arguments that returns them, or raises a `PostgresError`."""
    tag: str | None = None
    """The command tag; None for ``SELECT`` and the number of rows."""
    delay: float = 0.0
    """How many seconds the server takes, on the network's clock."""
    error: PostgresError | None = None
    """What it fails with, after that time, instead of giving rows."""
    notices: Sequence[PostgresError] = ()
    """What the server remarks before the rows."""

    copy_in: Callable[[bytes], int | None] | None = None
    """This is a COPY FROM STDIN: called with all the data, it says how many rows that is, or raises a
    `PostgresError`. Of ``columns`` only the number matters."""
    copy_out: Iterable[bytes] | None = None
    """This is a COPY TO STDOUT of this data, row by row, with ``delay`` behind each."""
    binary: bool = False
    """Whether it copies in binary format."""

    def give(self, arguments: Sequence[object]) -> Rows:
        """The rows for these arguments."""
        if self.error is not None:
            raise self.error
        return self.rows(*arguments) if callable(self.rows) else self.rows


class Known:
    """A statement with its SQL, and the codecs for its types."""

    def __init__(self, sql: str, statement: Statement) -> None:
        self.sql = sql
        self.statement = statement
        used = max([int(number) for number in _PLACEHOLDER.findall(sql)], default=0)
        names = [*statement.parameters, *["text"] * (used - len(statement.parameters))]
        self.parameters: list[Codec] = [_find(name) for name in names]
        self.columns: list[Codec] = [_find(name) for name in statement.columns.values()]
        self.copy_format: int = int(statement.binary)

    @property
    def gives_rows(self) -> bool:
        """Whether there is a result to describe."""
        return bool(self.columns) and self.statement.copy_in is None and self.statement.copy_out is None

    def fields(self, formats: Sequence[int]) -> tuple[FieldDescription, ...]:
        """The columns, as RowDescription tells them."""
        return tuple(
            [
                FieldDescription(name, type_oid=codec.oid, format=format)
                for name, codec, format in zip(self.statement.columns, self.columns, formats, strict=True)
            ]
        )

    def encode(self, row: Sequence[object], formats: Sequence[int]) -> tuple[bytes | None, ...]:
        """A row as it travels."""
        return tuple(
            [
                None if value is None else codec.encoder(format)(value)
                for value, codec, format in zip(row, self.columns, formats, strict=True)
            ]
        )

    def decode(self, parameters: Sequence[bytes | None], formats: Sequence[int]) -> list[object]:
        """Arguments as they were before they travelled."""
        return [
            None if data is None else codec.decoder(format)(data)
            for data, codec, format in zip(parameters, self.parameters, formats, strict=True)
        ]


def _find(name: str) -> Codec:
    codec = _TYPES.find(name)
    if codec is None:
        raise ConfigError(f"there is no built-in type {name!r}; types are named as in pg_type, such as int4")
    return codec
