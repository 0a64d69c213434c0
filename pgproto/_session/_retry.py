"""Transactions that are tried again: after which errors, how often, and when.

PostgreSQL documentation: "Serialization Failure Handling".
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from pgproto._session._machine import RequestMachine
from pgproto._session._request import Waitable
from pgproto.errors import DataError, PostgresError

__all__ = ["Retries"]

_PASSING: Final = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the server says that nothing was done and the same may succeed now."""
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0


class Retries:
    """The attempts at one transaction."""

    __slots__ = ("_left", "_machine", "_pause")

    def __init__(self, machine: RequestMachine, retries: int) -> None:
        if retries < 0:
            raise DataError(f"retries is {retries}; it must be 0 or more")
        self._machine = machine
        self._left = retries
        self._pause = _FIRST_PAUSE

    def after(self, error: PostgresError) -> Waitable | None:
        """What to wait for before the next attempt; None if this error is the outcome.

        Only the server's own word that it has rolled back is a reason to try again, whichever statement it
        was an answer to. A COMMIT without an answer is none.
        """
        if error.sqlstate not in _PASSING or self._left == 0 or self._machine.failure is not None:
            return None
        self._left -= 1
        pause, wake_up = Waitable(), self._machine.stir
        # Anything up to the whole of it, so that those who collided do not meet again.
        self._machine.call_at(
            self._machine.clock() + self._pause * self._chance(), pause, lambda: wake_up(pause)
        )
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return pause

    def _chance(self) -> float:
        """A number from 0 to 1 that another session would not have; the names of statements are random."""
        return crc32(self._machine.statements.new_name().encode()) / 0xFFFFFFFF
