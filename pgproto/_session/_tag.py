"""`CommandTag`: what CommandComplete says a statement has done."""

from __future__ import annotations

import re
from typing import Final

from pgproto._patterns import pattern

__all__ = ["CommandTag"]

# Only INSERT has two numbers; the first is an OID from times when rows had one.
_TAG: Final = pattern(r"([A-Z][A-Z ]*?)(?:(?: [0-9]{1,20})? ([0-9]{1,20}))?", re.ASCII)


class CommandTag(str):
    """A command tag, such as ``"INSERT 0 3"``: a `str` that knows its parts.

    PostgreSQL documentation: CommandComplete in "Message Formats".
    """

    __slots__ = ()

    @property
    def command(self) -> str:
        """What was done: ``"INSERT"``, ``"CREATE TABLE"``; empty for an empty query."""
        match = _TAG.fullmatch(self)
        return str(self) if match is None else match[1]

    @property
    def rows(self) -> int | None:
        """How many rows it concerned; None when the tag has no number."""
        match = _TAG.fullmatch(self)
        return None if match is None or match[2] is None else int(match[2])
