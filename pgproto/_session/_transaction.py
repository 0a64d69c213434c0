"""Transactions and savepoints: which commands they take, and what their answers mean.

PostgreSQL documentation: "BEGIN", "SET TRANSACTION", "SAVEPOINT".
"""

from __future__ import annotations

from typing import Final

from pgproto._session._lease import Lease, lease_of_context
from pgproto._session._machine import RequestMachine
from pgproto._session._request import Request
from pgproto._session._simple import Bracket, Commit
from pgproto._session._sql import quote_ident
from pgproto._session._tag import CommandTag
from pgproto.errors import CommitUnknown, ConnectionLost, DataError, LocalProtocolError

__all__ = ["TransactionScope"]

_ISOLATION: Final = {
    "serializable": "SERIALIZABLE",
    "repeatable read": "REPEATABLE READ",
    "read committed": "READ COMMITTED",
    "read uncommitted": "READ UNCOMMITTED",
}


class TransactionScope:
    """One transaction, or a savepoint if its caller's context is in a transaction already.

    `begin` asks for the lease that keeps other callers' statements out; `commit` and `rollback` end it.
    """

    __slots__ = ("_begin", "_options", "_savepoint", "ended", "lease", "machine")

    def __init__(
        self, machine: RequestMachine, isolation: str | None, readonly: bool, deferrable: bool
    ) -> None:
        self.machine = machine
        self._options = _begin_options(isolation, readonly, deferrable)
        self._savepoint: str | None = None
        self._begin: Request[CommandTag] | None = None
        self.lease: Lease | None = None
        self.ended = False

    def begin(self) -> Request[CommandTag]:
        """The command that opens the transaction; call it in the context that it is to belong to."""
        if self._begin is not None:
            raise LocalProtocolError("a transaction can be entered only once; make another one")
        self.lease = lease_of_context(self.machine)
        if self.lease is None:
            self.lease = self.machine.open_lease("transaction")
            self._begin = Bracket("BEGIN" + self._options, "T")
        else:
            if self._options:
                raise LocalProtocolError(
                    "a transaction inside another is a savepoint: it has no isolation, readonly or deferrable"
                )
            self._savepoint = quote_ident(self.machine.new_savepoint_name())
            self._begin = Bracket("SAVEPOINT " + self._savepoint, "T")
        return self._begin

    def open_lease(self) -> Lease:
        """The lease under which the transaction's statements run; raises if it is not open."""
        if self.lease is None or self.ended or self.lease.closing:
            raise LocalProtocolError("the transaction is not open: it has ended, or was never entered")
        return self.lease

    @property
    def is_over(self) -> bool:
        """Whether the transaction has ended, by whatever way."""
        return self.ended or (self.lease is not None and (self.lease.closing or self.lease.ended))

    @property
    def is_left_open(self) -> bool:
        """Whether it was begun, and nobody else will end it if its owner does not."""
        return self._begin is not None and self._savepoint is None and not self.is_over

    def check_kept(self) -> None:
        """Its block has ended in peace, and it is over: raise if that is because the connection was lost."""
        lease = self.lease
        if not self.ended and lease is not None and lease.ended and not lease.closing:
            raise ConnectionLost(
                "the connection was lost before the transaction was committed", outcome="not_committed"
            ) from self.machine.failure

    def commit(self) -> Request[CommandTag]:
        """The command that keeps what was done; its result raises `TransactionRolledBack` if it did not."""
        lease = self.open_lease()
        if self._savepoint is not None:
            return Bracket("RELEASE SAVEPOINT " + self._savepoint, "T")
        self._end(lease)
        return Commit()

    def left(self, commit: Request[CommandTag], reason: BaseException) -> None:
        """Its caller leaves while COMMIT is under way: ``reason`` goes on, and tells what that means."""
        if isinstance(commit, Commit) and not isinstance(reason, Exception) and reason.__cause__ is None:
            reason.__cause__ = CommitUnknown(
                "whether the transaction was committed is not known: its caller left before the answer came"
            )

    def rollback(self) -> Request[CommandTag]:
        """The command that undoes what was done; it is carried out even if its caller has gone."""
        lease = self.open_lease()
        self._end(lease)
        if self._savepoint is None:
            return Bracket("ROLLBACK", "I", essential=True)
        undo = f"ROLLBACK TO SAVEPOINT {self._savepoint}; RELEASE SAVEPOINT {self._savepoint}"
        return Bracket(undo, "T", essential=True)

    def released(self) -> None:
        """The savepoint is gone, because `commit` has succeeded."""
        self.ended = True

    def give_up(self) -> Request[CommandTag] | None:
        """What is still to be done if beginning did not succeed or its caller did not wait for it."""
        begin, lease = self._begin, self.lease
        if begin is None or lease is None or self.is_over:
            return None
        if begin.first_byte < 0:
            self._end(lease)
            return None
        return self.rollback().unattended()

    def _end(self, lease: Lease) -> None:
        self.ended = True
        if self._savepoint is None:
            # Whoever asks from now on does not belong to it any more.
            lease.closing = lease.until_idle = True


def _begin_options(isolation: str | None, readonly: bool, deferrable: bool) -> str:
    options: list[str] = []
    if isolation is not None:
        level = _ISOLATION.get(str(isolation).lower().replace("_", " "))
        if level is None:
            raise DataError(f"isolation {isolation!r} does not exist; there are {', '.join(_ISOLATION)}")
        options.append("ISOLATION LEVEL " + level)
    if readonly:
        options.append("READ ONLY")
    if deferrable:
        options.append("DEFERRABLE")
    return "".join([" " + option for option in options])
