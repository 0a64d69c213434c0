"""The end that most replies have, read at one go."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, TypeAlias

__all__ = ["SHORTEST_ENDING", "Ending", "ending_of"]

_LENGTH: Final = struct.Struct("!i")
_COMPLETE: Final = b"C"
_READY: Final = b"Z\0\0\0\5"
SHORTEST_ENDING: Final = 12
"""Of a CommandComplete with an empty tag and a ReadyForQuery, in bytes."""


Ending: TypeAlias = tuple[str, str, int]
"""The command tag, the transaction status, and how many bytes the two messages take that say so."""


@lru_cache(maxsize=256)
def ending_of(data: bytes) -> Ending | None:
    """The CommandComplete and the ReadyForQuery that these bytes are.

    None if they are not exactly what they usually are: then they must be read one by one, which also tells
    what is wrong.
    """
    complete, ready, status = data[:-6], data[-6:-1], data[-1:]
    # Its type, its length, and one string that the only zero byte ends.
    if len(complete) < 6 or complete[:1] != _COMPLETE or ready != _READY or status not in (b"I", b"T", b"E"):
        return None
    if _LENGTH.unpack_from(complete, 1)[0] != len(complete) - 1 or complete.find(0, 5) != len(complete) - 1:
        return None
    return complete[5:-1].decode("utf-8", "surrogateescape"), status.decode(), len(data)
