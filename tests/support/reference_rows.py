"""Decoding rows in the slow and obvious way: what the fast one is compared with.

Written from the protocol's description of DataRow, and sharing no code with `pgproto._rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types import Codec

__all__ = ["reference_decode", "row_message"]

Outcome = tuple[list[object], int, type[Exception] | None]


def row_message(values: Sequence[bytes | None]) -> bytes:
    """A DataRow message."""
    body = len(values).to_bytes(2, "big")
    for value in values:
        if value is None:
            body += b"\xff\xff\xff\xff"
        else:
            body += len(value).to_bytes(4, "big") + value
    return b"D" + (4 + len(body)).to_bytes(4, "big") + body


class _Take:
    """Takes bytes from the front, and never fewer than were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __call__(self, count: int) -> bytes:
        if count < 0 or count > len(self.data):
            raise RemoteProtocolError("too short")
        taken, self.data = self.data[:count], self.data[count:]
        return taken


def _row(body: bytes, codecs: Sequence[Codec]) -> tuple[object, ...]:
    take = _Take(body)
    if int.from_bytes(take(2), "big") != len(codecs):
        raise RemoteProtocolError("another number of columns")
    fields: list[bytes | None] = []
    for _ in codecs:
        length = int.from_bytes(take(4), "big", signed=True)
        fields.append(None if length == -1 else take(length))
    if take.data:
        raise RemoteProtocolError("bytes follow")
    return tuple(
        None if field is None else codec.decode(field) for codec, field in zip(codecs, fields, strict=True)
    )


def reference_decode(
    codecs: Sequence[Codec],
    make: Callable[[tuple[object, ...]], object] | None,
    data: bytes,
    longest: int = 2**31 - 1,
) -> Outcome:
    """The rows at the beginning of ``data``, how many bytes they are, and what is wrong with what follows."""
    rows: list[object] = []
    position = 0
    while data[position : position + 1] == b"D" and len(data) - position >= 5:
        length = int.from_bytes(data[position + 1 : position + 5], "big", signed=True)
        if length < 6 or length > longest:
            return rows, position, RemoteProtocolError
        if position + 1 + length > len(data):
            break
        try:
            values = _row(data[position + 5 : position + 1 + length], codecs)
        except (RemoteProtocolError, DataError) as error:
            return rows, position, type(error)
        rows.append(values if make is None else make(values))
        position += 1 + length
    return rows, position, None
