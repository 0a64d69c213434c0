"""uuid, tid, pg_lsn and the snapshots.

Chapter "Data Types", sections "UUID Type", "pg_lsn Type" and "Object Identifier Types".

uuid is `uuid.UUID`; a `str` parameter may be in any form that PostgreSQL reads.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID, SafeUUID

from pgproto.types._codec import BINARY, Codec, ascii_text, malformed, shortened, unwrapped, wrong_value
from pgproto.types._value import slot_setter

__all__ = ["IDENTIFIER_CODECS"]

_UUID = re.compile(r"[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}|\{[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}\}")

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
)
