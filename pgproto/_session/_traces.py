"""What those who had a session have left on it, for whoever lends it to the next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pgproto._patterns import pattern
from pgproto.errors import Error, PostgresError

__all__ = ["CHANGING", "Traces"]

CHANGING: Final = frozenset({"SET", "LISTEN", "LOAD", "DECLARE CURSOR"})
"""Tags of commands that outlast their transaction, or may do so."""
_TELLING: Final = pattern(r"\bset_config\b|\bpg_(?:try_)?advisory_lock|\btemp(?:orary)?\b", re.ASCII | re.I)
"""What tells in the text of a statement that it may leave something that no tag tells of."""
_MOST_TEXTS: Final = 1000

_READ_ONLY: Final = "25006"
_REPLICA_SIGNS: Final = ("in_hot_standby", "default_transaction_read_only")


class Traces:
    """What has been seen since the session was lent."""

    __slots__ = ("can_reset_ahead", "changed", "holder", "refusal", "texts")

    def __init__(self) -> None:
        self.changed = False
        """Whether settings, LISTEN, temporary tables or advisory locks may have been left behind."""
        self.refusal: Error | None = None
        """How the server said that it is no primary, or not any more what it was chosen for, if it did."""
        self.can_reset_ahead = False
        """Whether the server is known to end the session if a reset fails that is not waited for."""
        self.holder = 0
        """Counts those who had the session for themselves, one after the other."""
        self.texts: set[str] = set()
        """Statements that leave something behind, and are known to the server already."""

    def see_tag(self, tag: str) -> None:
        """A command was completed."""
        if tag in CHANGING:
            self.changed = True

    def see_text(self, sql: str) -> None:
        """A statement that was not executed before is going to be."""
        if _TELLING.search(sql) is not None:
            self.changed = True
            if len(self.texts) < _MOST_TEXTS:
                self.texts.add(sql)

    def see_error(self, error: PostgresError, parameters: Mapping[str, str]) -> None:
        """The server has refused something; ``parameters`` are what it reports of itself."""
        if error.sqlstate == _READ_ONLY:
            signs = [parameters[name] for name in _REPLICA_SIGNS if name in parameters]
            # Else the server is a primary, and it was just the transaction that had to be read-only.
            if "on" in signs or not signs:
                self.refusal = error
