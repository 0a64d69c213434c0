"""What the statements of one fake session have done, and whether it counts."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, TypeAlias

from pgproto.errors import InvalidSavepointSpecification, NoActiveSqlTransaction

__all__ = ["Done", "FakeTransaction", "Status", "control_of"]

Status: TypeAlias = Literal["I", "T", "E"]

_CONTROL: Final = re.compile(
    r"\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK\s+TO|ROLLBACK|ABORT|SAVEPOINT|RELEASE|SET|"
    r"LISTEN|UNLISTEN|DEALLOCATE|DISCARD)\b\s*(.*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_TAGS: Final = {"END": "COMMIT", "ABORT": "ROLLBACK", "ROLLBACK TO": "ROLLBACK"}
_SAVEPOINT: Final = re.compile(r"SAVEPOINT\s+", re.IGNORECASE)


class Done(NamedTuple):
    """A statement that was executed."""

    sql: str
    arguments: tuple[object, ...]


def control_of(sql: str) -> tuple[str, str]:
    """The words in capitals by which a statement controls its session, if it does, and what follows."""
    match = _CONTROL.match(sql)
    return ("", "") if match is None else (" ".join(match[1].upper().split()), match[2].strip())


class FakeTransaction:
    """A session's transaction block, or the implicit transaction of one group."""

    def __init__(self, committed: list[Done]) -> None:
        self.status: Status = "I"
        self._committed = committed
        self._done: list[Done] = []
        self._savepoints: list[tuple[str, int]] = []

    def add(self, done: Done) -> None:
        """A statement has been executed."""
        self._done.append(done)

    def control(self, word: str, rest: str) -> str:
        """Do what the word means for the transaction; returns the command tag."""
        tag = _TAGS.get(word, word)
        match word:
            case "BEGIN" | "START TRANSACTION":
                self.status = "T"
            case "COMMIT" | "END":
                if self.status == "E":
                    tag = "ROLLBACK"
                    self._done.clear()
                self._end()
            case "ROLLBACK" | "ABORT":
                self._done.clear()
                self._end()
            case "SAVEPOINT":
                if self.status != "T":
                    raise NoActiveSqlTransaction("SAVEPOINT can only be used in transaction blocks")
                self._savepoints.append((rest, len(self._done)))
            case "ROLLBACK TO":
                self._back_to(_SAVEPOINT.sub("", rest, 1), keep=True)
                self.status = "T"
            case "RELEASE":
                self._back_to(_SAVEPOINT.sub("", rest, 1), keep=False)
            case _:
                # What it means is for others to know.
                ...
        return tag

    def fail(self) -> None:
        """A statement has failed."""
        if self.status == "I":
            self._done.clear()
        else:
            self.status = "E"

    def end_group(self) -> None:
        """Sync, or the end of a simple query: what ran outside of a block is committed."""
        if self.status == "I":
            self._end()

    def _back_to(self, name: str, *, keep: bool) -> None:
        """Forget the savepoints behind this one, and what was done since if it is to be undone."""
        for position in reversed(range(len(self._savepoints))):
            found, done = self._savepoints[position]
            if found == name:
                del self._savepoints[position + keep :]
                if keep:
                    del self._done[done:]
                return
        raise InvalidSavepointSpecification(f'savepoint "{name}" does not exist')

    def _end(self) -> None:
        self._committed += self._done
        self._done.clear()
        self._savepoints.clear()
        self.status = "I"
