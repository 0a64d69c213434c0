"""Values as bytes, to a server and back: what codecs are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from psycopg import pq

from pgproto.types import BINARY, TEXT, Codec, TypeRegistry

__all__ = ["RawSession", "ServerRefused"]


class ServerRefused(Exception):
    """The server answered with an error."""


class RawSession:
    """A session that sends and receives bytes, and decides nothing."""

    def __init__(self, dsn: str) -> None:
        self._connection = pq.PGconn.connect(dsn.encode())
        if self._connection.status != pq.ConnStatus.OK:
            raise ServerRefused(self._connection.error_message.decode())
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self.version = self._connection.server_version // 10000
        self.execute("set timezone = 'UTC'; set client_encoding = 'UTF8'")
        _, ((configured,),) = self.fetch("select count(*)::text from pg_config where setting ~ 'with-libxml'")
        self.has_xml = configured != b"0"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.finish()

    def execute(self, sql: str) -> None:
        """Statements without parameters or results that matter."""
        self._checked(self._connection.exec_(sql.encode()))

    def fetch(
        self, sql: str, parameters: Sequence[tuple[Codec, int, object]] = (), format: int = BINARY
    ) -> tuple[list[int], list[list[bytes | None]]]:
        """The OIDs of the columns, and the rows as they came.

        Args:
            sql: one statement.
            parameters: for each, its codec, the format to send it in, and the value.
            format: what the columns shall come in.
        """
        oids = tuple([codec.oid for codec, _, _ in parameters])
        name = self._prepared.get((sql, oids))
        if name is None:
            name = b"s%d" % len(self._prepared)
            self._checked(self._connection.prepare(name, sql.encode(), list(oids)))
            self._prepared[sql, oids] = name
        values: list[Any] = [
            None if value is None else codec.encoder(sent)(value) for codec, sent, value in parameters
        ]
        result = self._checked(
            self._connection.exec_prepared(name, values, [sent for _, sent, _ in parameters], format)
        )
        columns = range(result.nfields)
        return (
            [result.ftype(column) for column in columns],
            [[result.get_value(row, column) for column in columns] for row in range(result.ntuples)],
        )

    def fetch_decoded(
        self,
        registry: TypeRegistry,
        sql: str,
        parameters: Sequence[tuple[Codec, int, object]] = (),
        format: int | None = None,
    ) -> list[list[object]]:
        """The rows, decoded; without a format, in the one that all columns' codecs have."""
        if format is None:
            oids, _ = self.fetch(sql, parameters, TEXT)
            format = min((registry.codec(oid).format for oid in oids), default=TEXT)
        oids, rows = self.fetch(sql, parameters, format)
        decoders = [registry.codec(oid).decoder(format) for oid in oids]
        return [
            [None if value is None else decode(value) for decode, value in zip(decoders, row, strict=True)]
            for row in rows
        ]

    def introduce(self, registry: TypeRegistry, *names: str) -> list[int]:
        """Looks types up as a driver does; their OIDs."""
        text = registry.codec(25)
        found: list[int] = []
        for name in names:
            ((oid,),) = self.fetch_decoded(registry, "select $1::regtype::oid", [(text, TEXT, name)])
            assert isinstance(oid, int)
            found.append(oid)
        unknown = registry.unknown(found)
        if unknown:
            sql, arguments = registry.introspection_query(unknown)
            oids = registry.codec(1028)
            registry.learn(self.fetch_decoded(registry, sql, [(oids, BINARY, arguments[0])]), unknown)
        return found

    def _checked(self, result: pq.abc.PGresult) -> pq.abc.PGresult:
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise ServerRefused(result.error_message.decode())
        return result
