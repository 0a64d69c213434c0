"""A session for plain threads: what an application does on one connection; the twin of `_async_session`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from pgproto._session import FIND_TYPE, Lease, ServerVersion, SessionCore
from pgproto._verbs._blocking import BlockingDriver
from pgproto._verbs._blocking_listening import BlockingNotifications
from pgproto._verbs._blocking_scopes import BlockingTransaction, BlockingVerbs
from pgproto.errors import PostgresError
from pgproto.types import CodecFormat

__all__ = ["BlockingSession"]

T = TypeVar("T")


class BlockingSession(BlockingVerbs):
    """A session with PostgreSQL, which any number of threads may share.

    Requests are written in the order in which they were made and pipelined; each stands for itself, so the
    error of one touches no other. There is no background thread: whoever waits for an answer drives the
    socket for everybody who does.
    """

    __slots__ = ("_core", "_driver")

    def __init__(self, driver: BlockingDriver, core: SessionCore) -> None:
        self._driver = driver
        self._core = core

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"status {self.transaction_status}"
        return f"<{type(self).__module__.split('.')[0]}.Session with process {self.backend_pid}, {state}>"

    def _connection(self) -> tuple[BlockingDriver, SessionCore, Lease | None]:
        return self._driver, self._core, None

    def transaction(
        self, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> BlockingTransaction:
        """A transaction, to be entered with ``with``; inside another one it is a savepoint.

        It commits when the block ends, and rolls back if the block ends with any exception. Statements of
        the context that opened it belong to it; others wait until it is over. ``isolation`` is
        ``"serializable"``, ``"repeatable read"``, ``"read committed"`` or ``"read uncommitted"``.
        PostgreSQL documentation: "BEGIN", "SAVEPOINT".
        """
        return BlockingTransaction(self._driver, self._core, isolation, readonly, deferrable)

    def run_transaction(
        self,
        function: Callable[[BlockingTransaction], T],
        *,
        isolation: str | None = "serializable",
        readonly: bool = False,
        deferrable: bool = False,
        retries: int = 5,
    ) -> T:
        """Run ``function`` in a transaction, again if the server rolled it back for another's sake.

        It is called with the transaction, which commits when it returns, and what it returns is the result.
        After a serialization failure or a deadlock it is called again, up to ``retries`` times, with growing
        random pauses; so it must do nothing that cannot be undone by the rollback. Any other error is
        the outcome, a COMMIT whose answer did not come among them. PostgreSQL documentation:
        "Serialization Failure Handling".
        """
        attempts = self._core.retries(retries)
        while True:
            try:
                with self.transaction(isolation, readonly, deferrable) as transaction:
                    return function(transaction)
            except PostgresError as error:
                pause = self._driver.act(partial(attempts.after, error))
                if pause is None:
                    raise
            self._driver.wait(pause)

    def listen(self, channel: str) -> BlockingNotifications:
        """The notifications on a channel; enter it, then iterate. PostgreSQL documentation: "LISTEN"."""
        return BlockingNotifications(self._driver, self._core, channel)

    def cancel(self) -> None:
        """Ask the server to cancel the request under way, whose caller then gets `pgproto.QueryCanceled`.

        It does so only if no other request is in flight behind it, which the cancel might hit instead.
        """
        self._driver.act(self._core.machine.cancel_current)

    def set_type_codec(
        self,
        type: str | int,
        *,
        schema: str | None = None,
        encoder: Callable[[Any], Any] | None = None,
        decoder: Callable[[Any], object] | None = None,
        format: CodecFormat = "text",
    ) -> None:
        """Encode and decode the values of a type with functions of your own, in this session.

        ``type`` is its name, which is looked for in ``schema`` or else along the ``search_path``, or its OID.
        With the text format ``encoder`` returns a `str` and ``decoder`` gets one; with ``"binary"`` it is
        `bytes`. One that is not given stays what it was. Both must be pure; an exception of theirs becomes a
        `pgproto.DataError`. Arrays and other types made of this one follow, and statements that have been
        prepared before. For all sessions of a pool, give it a `pgproto.types.TypeRegistry`.

        Raises `pgproto.DataError` if there is no such type.
        """
        oid = self.fetchval(FIND_TYPE, str(type), schema)
        rows = self.fetch(*self._core.type_query(type, oid), row=tuple)
        self._core.set_type_codec(oid, rows, encoder, decoder, format)

    def reset_type_codec(self, type: str | int, *, schema: str | None = None) -> None:
        """Take back what `set_type_codec` said about a type, or what the session's registry says of it."""
        oid = self.fetchval(FIND_TYPE, str(type), schema)
        rows = self.fetch(*self._core.type_query(type, oid), row=tuple)
        self._core.reset_type_codec(oid, rows)

    def ping(self, *, timeout: float | None = None) -> None:
        """Make sure that the server answers; it leaves no trace in the server's log."""
        self._driver.perform(self._core.ping(timeout))

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended, for whatever reason."""
        return self._core.is_closed

    @property
    def transaction_status(self) -> str:
        """``"I"`` idle, ``"T"`` in a transaction, ``"E"`` in one that has failed, as the server last said."""
        return self._core.transaction_status

    @property
    def parameters(self) -> Mapping[str, str]:
        """Run-time parameters that the server reports, such as ``server_version`` and ``TimeZone``."""
        return self._core.parameters

    @property
    def server_version(self) -> ServerVersion:
        """The server's version: it compares as ``(18, 6)`` and prints as ``"18.6"``."""
        return self._core.server_version

    @property
    def backend_pid(self) -> int:
        """The process id of the server's side of the session."""
        return self._core.backend_pid

    def add_notice_handler(self, handler: Callable[[PostgresError], object]) -> None:
        """Call ``handler`` with every notice and warning of the server; what it raises is logged."""
        self._core.add_notice_handler(handler)

    def remove_notice_handler(self, handler: Callable[[PostgresError], object]) -> None:
        """Call it no more; raises `pgproto.LocalProtocolError` if it was not called."""
        self._core.remove_notice_handler(handler)

    def add_parameter_handler(self, handler: Callable[[str, str], object]) -> None:
        """Call ``handler`` with the name and the value of each run-time parameter that the server reports.

        It reports those of ``parameters``, whenever they change. What the handler raises is logged.
        PostgreSQL documentation: "Asynchronous Operations".
        """
        self._core.add_parameter_handler(handler)

    def remove_parameter_handler(self, handler: Callable[[str, str], object]) -> None:
        """Call it no more; raises `pgproto.LocalProtocolError` if it was not called."""
        self._core.remove_parameter_handler(handler)
