"""The end that most replies have, read at one go."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, TypeAlias

__all__ = ["Ending", "read_ending"]

_LENGTH: Final = struct.Struct("!i")
_COMPLETE: Final = b"C"[0]
_READY: Final = b"Z\0\0\0\5"
_SHORTEST: Final = 12
"""Of a CommandComplete with an empty tag and a ReadyForQuery, in bytes."""


Ending: TypeAlias = tuple[str, str, int]
"""The command tag, the transaction status, and how many bytes the two messages take that say so."""


def read_ending(data: bytes, start: int, end: int) -> Ending | None:
    """The CommandComplete and the ReadyForQuery at the beginning of ``data[start:end]``.

    None if they are not all there, or are not exactly what they usually are: then they must be read one by
    one, which also tells what is wrong.
    """
    if end - start < _SHORTEST or data[start] != _COMPLETE:
        return None
    # The last byte of a tag's length is all of it, or `_read` will see that it is not.
    return _read(data[start : start + 7 + data[start + 4]])


@lru_cache(maxsize=256)
def _read(data: bytes) -> Ending | None:
    complete, ready, status = data[:-6], data[-6:-1], data[-1:]
    # Its type, its length, and one string that the only zero byte ends.
    if len(complete) < 6 or ready != _READY or status not in (b"I", b"T", b"E"):
        return None
    if _LENGTH.unpack_from(complete, 1)[0] != len(complete) - 1 or complete.find(0, 5) != len(complete) - 1:
        return None
    return complete[5:-1].decode("utf-8", "surrogateescape"), status.decode(), len(data)
