"""uuid, tid, pg_lsn, the snapshots and the reg* types.

Chapter "Data Types", sections "UUID Type", "pg_lsn Type" and "Object Identifier Types".

uuid is `uuid.UUID`; a `str` parameter may be 32 hexadecimal digits, with or without hyphens and braces.
tid is `Tid`; a parameter may be a tuple `(block, offset)`.

The reg* types travel as text: names, such as "pg_class"; a parameter may be a name or an OID. In binary
format (binary COPY, values inside a record) they are the OIDs that PostgreSQL then sends and takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import total_ordering
from itertools import pairwise
from typing import Final, Self
from uuid import UUID, SafeUUID

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import (
    BINARY,
    TEXT,
    Codec,
    ascii_text,
    fixed_width,
    malformed,
    shortened,
    unwrapped,
    wrong_value,
)
from pgproto.types._guards import is_plain_tuple
from pgproto.types._numbers import integer_codec
from pgproto.types._text import text_codec
from pgproto.types._value import Value, integer_within, slot_setter

__all__ = ["IDENTIFIER_CODECS", "LogSequenceNumber", "Snapshot", "Tid"]

_UUID = pattern(r"[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}|\{[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}\}")

_new_uuid = object.__new__
_set_int = slot_setter(UUID, "int")
_set_is_safe = slot_setter(UUID, "is_safe")
_UNKNOWN: Final = SafeUUID.unknown


def _decode_uuid(data: bytes) -> object:
    if len(data) != 16:
        raise malformed("uuid", f"{len(data)} bytes instead of 16")
    # UUID's own constructor takes three times as long over arguments that are known to be right.
    value = _new_uuid(UUID)
    _set_int(value, int.from_bytes(data, "big"))
    _set_is_safe(value, _UNKNOWN)
    return value


def _uuid(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    plain = unwrapped(value)
    if isinstance(plain, str) and _UUID.fullmatch(plain):
        return UUID(plain)
    if isinstance(plain, UUID):
        return plain
    raise wrong_value("uuid", value, "it takes a uuid.UUID, or a str of 32 hexadecimal digits")


def _encode_uuid(value: object) -> bytes:
    return _uuid(value).bytes


def _encode_uuid_text(value: object) -> bytes:
    return str(_uuid(value)).encode("ascii")


def _decode_uuid_text(data: bytes) -> object:
    text = ascii_text("uuid", data)
    if _UUID.fullmatch(text) is None:
        raise malformed("uuid", f"no UUID: {shortened(text)}")
    return UUID(text)


@total_ordering
class Tid(Value):
    """Where a row version is in its table; immutable.

    Raises:
        DataError: a part is out of range: 32 bits for the block, 16 for the offset.
    """

    __slots__ = ("block", "offset")

    block: int
    offset: int

    def __init__(self, block: int, offset: int) -> None:
        if not (integer_within(block, 0, 2**32 - 1) and integer_within(offset, 0, 2**16 - 1)):
            raise DataError(
                f"a tid of block {shortened(block)} and offset {shortened(offset)} is out of range"
            )
        object.__setattr__(self, "block", block)
        object.__setattr__(self, "offset", offset)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Tid):
            return NotImplemented
        return (self.block, self.offset) < (other.block, other.offset)

    def __str__(self) -> str:
        return f"({self.block},{self.offset})"


_TID: Final = struct.Struct("!IH")
_TID_TEXT = pattern(r"\(([0-9]{1,10}),([0-9]{1,5})\)")


def _tid(value: object) -> Tid:
    plain = unwrapped(value)
    if isinstance(plain, Tid):
        return plain
    if is_plain_tuple(plain) and len(plain) == 2:
        block, offset = plain
        if isinstance(block, int) and isinstance(offset, int):
            return Tid(block, offset)
    raise wrong_value("tid", value, "it takes a Tid, or a tuple (block, offset)")


def _encode_tid(value: object) -> bytes:
    tid = _tid(value)
    return _TID.pack(tid.block, tid.offset)


def _decode_tid(data: bytes) -> object:
    if len(data) != _TID.size:
        raise malformed("tid", f"{len(data)} bytes instead of {_TID.size}")
    return Tid(*_TID.unpack(data))


def _decode_tid_text(data: bytes) -> object:
    match = _TID_TEXT.fullmatch(ascii_text("tid", data))
    if match is None:
        raise malformed("tid", f"no block and offset: {shortened(data)}")
    return Tid(int(match[1]), int(match[2]))


class LogSequenceNumber(int):
    """A position in the write-ahead log: an `int`, written as PostgreSQL does, "16/B374D848".

    Args:
        value: a number of bytes, or the text.

    Raises:
        DataError: it is neither, or out of the range of 64 bits.
    """

    __slots__ = ()

    def __new__(cls, value: int | str) -> Self:
        number = value
        if isinstance(number, str):
            match = _LSN_TEXT.fullmatch(number)
            if match is None:
                raise DataError(f"not a position in the log: {shortened(value)}")
            number = (int(match[1], 16) << 32) | int(match[2], 16)
        if not integer_within(number, 0, 2**64 - 1):
            raise DataError(f"not a position in the log: {shortened(value)}")
        return super().__new__(cls, number)

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"LogSequenceNumber({str(self)!r})"


_LSN_TEXT = pattern(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_LSN: Final = struct.Struct("!Q")


def _lsn(value: object) -> LogSequenceNumber:
    plain = unwrapped(value)
    try:
        return LogSequenceNumber(plain)  # type: ignore[arg-type]  # it checks
    except DataError:
        raise wrong_value(
            "pg_lsn", value, "it takes a LogSequenceNumber, an int or a str as 16/B374D848"
        ) from None


def _decode_lsn_text(data: bytes) -> object:
    try:
        return LogSequenceNumber(ascii_text("pg_lsn", data))
    except DataError:
        raise malformed("pg_lsn", f"no position in the log: {shortened(data)}") from None


class Snapshot(Value):
    """Which transactions were visible at a moment; immutable.

    Args:
        xmin: the lowest transaction id that was still active.
        xmax: one past the highest that was completed.
        in_progress: those between them that were active, ascending.

    Raises:
        DataError: they are not in this order.
    """

    __slots__ = ("xmin", "xmax", "in_progress")  # noqa: RUF023  # the constructor's order

    xmin: int
    xmax: int
    in_progress: tuple[int, ...]

    def __init__(self, xmin: int, xmax: int, in_progress: Iterable[int] = ()) -> None:
        active = tuple(in_progress)
        numbers = (xmin, xmax, *active)
        ordered = (
            all(integer_within(number, 1, 2**63 - 1) for number in numbers)
            and all(first < second for first, second in pairwise(active))
            and xmin <= xmax
            and (not active or xmin <= active[0] <= active[-1] < xmax)
        )
        if not ordered:
            raise DataError(f"no snapshot: {shortened(xmin)}:{shortened(xmax)}:{shortened(active)}")
        object.__setattr__(self, "xmin", xmin)
        object.__setattr__(self, "xmax", xmax)
        object.__setattr__(self, "in_progress", active)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.in_progress))}"


_SNAPSHOT: Final = struct.Struct("!iqq")
_SNAPSHOT_TEXT = pattern(r"([0-9]{1,19}):([0-9]{1,19}):((?:[0-9]{1,19}(?:,[0-9]{1,19})*+)?)")


def _snapshot_codec(oid: int, name: str) -> Codec:
    def snapshot(value: object) -> Snapshot:
        plain = unwrapped(value)
        if not isinstance(plain, Snapshot):
            raise wrong_value(name, value, "it takes a Snapshot")
        return plain

    def encode(value: object) -> bytes:
        plain = snapshot(value)
        active = plain.in_progress
        return _SNAPSHOT.pack(len(active), plain.xmin, plain.xmax) + struct.pack(f"!{len(active)}q", *active)

    def decode(data: bytes) -> object:
        if len(data) < _SNAPSHOT.size:
            raise malformed(name, f"{len(data)} bytes, at least {_SNAPSHOT.size} expected")
        count, xmin, xmax = _SNAPSHOT.unpack_from(data)
        if count < 0 or len(data) != _SNAPSHOT.size + 8 * count:
            raise malformed(name, f"{count} transactions in {len(data) - _SNAPSHOT.size} bytes")
        return made(xmin, xmax, struct.unpack_from(f"!{count}q", data, _SNAPSHOT.size))

    def decode_text(data: bytes) -> object:
        match = _SNAPSHOT_TEXT.fullmatch(ascii_text(name, data))
        if match is None:
            raise malformed(name, f"no snapshot: {shortened(data)}")
        return made(int(match[1]), int(match[2]), [int(number) for number in match[3].split(",") if number])

    def made(xmin: int, xmax: int, active: Iterable[int]) -> Snapshot:
        try:
            return Snapshot(xmin, xmax, active)
        except DataError as error:
            raise malformed(name, str(error)) from None

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=lambda value: str(snapshot(value)).encode("ascii"),
        decode_text=decode_text,
    )


def _registered_codec(oid: int, name: str) -> Codec:
    """The codec of a reg* type."""
    numbers, names = integer_codec(oid, name, "I"), text_codec(oid, name, TEXT)

    def encode(value: object) -> bytes:
        plain = unwrapped(value)
        return names.encode(plain) if isinstance(plain, str) else numbers.encoder(TEXT)(plain)

    def encode_binary(value: object) -> bytes:
        plain = unwrapped(value)
        if isinstance(plain, str):
            raise wrong_value(name, value, "in binary format it takes an OID")
        return numbers.encode(plain)

    return Codec(
        oid=oid,
        name=name,
        format=TEXT,
        encode=encode,
        decode=names.decode,
        encode_binary=encode_binary,
        decode_binary=numbers.decode,
    )


_REGISTERED: Final = (
    (24, "regproc"),
    (2202, "regprocedure"),
    (2203, "regoper"),
    (2204, "regoperator"),
    (2205, "regclass"),
    (2206, "regtype"),
    (3734, "regconfig"),
    (3769, "regdictionary"),
    (4089, "regnamespace"),
    (4096, "regrole"),
    (4191, "regcollation"),
)

IDENTIFIER_CODECS: Final = (
    Codec(
        oid=2950,
        name="uuid",
        format=BINARY,
        encode=_encode_uuid,
        decode=_decode_uuid,
        encode_text=_encode_uuid_text,
        decode_text=_decode_uuid_text,
    ),
    Codec(
        oid=27,
        name="tid",
        format=BINARY,
        encode=_encode_tid,
        decode=_decode_tid,
        encode_text=lambda value: str(_tid(value)).encode("ascii"),
        decode_text=_decode_tid_text,
        takes_tuples=True,
    ),
    fixed_width(
        3220,
        "pg_lsn",
        "Q",
        encode=lambda value: _LSN.pack(_lsn(value)),
        encode_text=lambda value: str(_lsn(value)).encode("ascii"),
        decode_text=_decode_lsn_text,
        from_struct=LogSequenceNumber,
    ),
    _snapshot_codec(5038, "pg_snapshot"),
    _snapshot_codec(2970, "txid_snapshot"),
    *(_registered_codec(oid, name) for oid, name in _REGISTERED),
)
