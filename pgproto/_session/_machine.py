"""The request machine: many callers, one serial conversation with PostgreSQL.

Requests come in by `RequestMachine.submit`, and each gets exactly one outcome. In between stand two queues:
what waits to be written, and what is in flight, in the order in which it went over the wire. A request gets
its place in the second queue in the same step in which its bytes are made, in `RequestMachine.data_to_send`;
there is no other way to the wire, and so no answer can find another request than its own at the head.

Each request ends with a Sync of its own, so one caller's error never touches another's, and success is
known at ReadyForQuery: the implicit commit comes after CommandComplete, and can fail.

A transport gives the machine what it received (`receive_data`), writes what it asks for (`data_to_send`),
wakes whom it names (`take_stirred`), calls it in time (`next_deadline`, `tick`), carries a cancel request to
the server when it wants one (`take_cancel`), and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pgproto import messages as m
from pgproto._connection import NEED_DATA
from pgproto._session._blocks import blocks_of_context, copy_block_of_context
from pgproto._session._lease import Lease, lease_of_context, leases_of_context
from pgproto._session._leaving import Leaving
from pgproto._session._markers import MARKERS, Goodbye
from pgproto._session._outbox import FLUSH, SYNC
from pgproto._session._reports import Callback
from pgproto._session._request import Request
from pgproto._session._statement import StatementCache
from pgproto._session._traces import CHANGING, Traces
from pgproto._short_way import ClientConnection
from pgproto.errors import (
    ConnectionLost,
    DataError,
    LocalProtocolError,
    PostgresError,
    QueryTimeout,
    RemoteProtocolError,
)
from pgproto.types import TypeRegistry

__all__ = ["FLUSH", "SEND_AT_ONCE", "SYNC", "TELLING", "RequestMachine"]

SEND_AT_ONCE: Final = 256 * 1024
"""When it has made so many bytes, `data_to_send` looks at the transport again; fewer are all there are."""

PATIENCE: Final = 1.0
"""Seconds that a request waits behind a lease before the log says for whom."""

_TERMINATE: Final = m.Terminate()
_FORGETTING: Final = frozenset({"DISCARD ALL", "DEALLOCATE ALL"})
TELLING: Final = _FORGETTING | CHANGING | {"ROLLBACK"}
"""The command tags that say more than that something is done."""
_UNASKED: Final = frozenset({m.NoticeResponse, m.ParameterStatus, m.NotificationResponse})


class RequestMachine(Leaving):
    """The client side of one session, above an established `ClientConnection` and without I/O.

    ``clock`` gives monotonic seconds; deadlines are in its terms. ``statement_prefix`` begins the names of
    prepared statements, and is random. ``max_pipeline`` is how many requests may be in flight;
    ``max_result_bytes`` limits the rows of one.
    """

    __slots__ = (
        "_max_pipeline",
        "_savepoints",
        "command_timeout",
        "max_result_bytes",
        "process_id",
        "remarks",
        "said_goodbye",
        "statements",
        "traces",
        "types",
    )

    def __init__(
        self,
        connection: ClientConnection,
        *,
        clock: Callable[[], float],
        types: TypeRegistry,
        parameters: Mapping[str, str],
        process_id: int = 0,
        can_cancel: bool = False,
        statement_prefix: str = "pgproto_",
        statement_cache_size: int = 256,
        unnamed_statements: bool = False,
        command_timeout: float | None = None,
        max_pipeline: int = 1024,
        cancel_timeout: float = 1.0,
        max_result_bytes: int | None = None,
    ) -> None:
        super().__init__(connection, parameters, clock, can_cancel=can_cancel, cancel_timeout=cancel_timeout)
        self.types = types
        self.process_id = process_id
        self.statements = StatementCache(statement_cache_size, statement_prefix, unnamed=unnamed_statements)
        self.command_timeout = command_timeout
        self.max_result_bytes = max_result_bytes
        self.said_goodbye = False
        """Whether it ended in the orderly way, with Terminate."""
        self.traces = Traces()
        self.remarks: list[str] = []
        """What a puzzled user would want to find in the log; the transport writes it there."""
        self._max_pipeline = max_pipeline
        self._savepoints = 0

    # What a transport calls.

    @property
    def wants_to_send(self) -> bool:
        """Whether `data_to_send` may have something to say."""
        return bool(self._out or self._waiting)

    def submit(self, request: Request[object], lease: Lease | None = None) -> None:
        """Accept a request; it is written in its turn, by `data_to_send`.

        It belongs to ``lease``, or to the one that its caller's context is inside of, or to none.
        """
        if self.failure is not None:
            request.lose(str(self.failure), self.failure, 0)
            self._finish(request)
            return
        if blocks_of_context() and copy_block_of_context(self) is not None:
            # It would wait for the copy to end, and the copy for whoever asks.
            request.error = LocalProtocolError(
                "a COPY is under way in this block; the session takes nothing else before the block has ended"
            )
            self._finish(request)
            return
        if self.traces.texts and request.sql in self.traces.texts:
            self.traces.changed = True
        timeout = self.command_timeout if request.timeout is None else request.timeout
        if timeout is not None:
            self.call_at(self.clock() + timeout, request, partial(self._time_out, request))
        if lease is None:
            lease = lease_of_context(self) if leases_of_context() else None
            if lease is None and request.opens_lease:
                lease = self.open_lease("transaction", until_idle=True)
        elif lease.ended or (lease.closing and not request.essential):
            # Behind its last request, which another thread may have made just now, this would run without it.
            request.error = LocalProtocolError("the transaction has ended; begin another one")
            self._finish(request)
            return
        request.lease = lease
        waiting = self._waiting
        (waiting.everybody if lease is None else lease.queue).append(request)
        if waiting.lease is not None and waiting.has_to_wait(request):
            self.call_at(self.clock() + PATIENCE, request, partial(self._remark, request))

    def open_lease(self, purpose: str, *, until_idle: bool = False) -> Lease:
        """Ask for a lease for the caller's context; it is granted when everything before it is written."""
        return self._waiting.open_lease(self, purpose, until_idle=until_idle)

    def data_to_send(self) -> bytes:
        """Start what may be started, and return the bytes to write; empty if there are none."""
        waiting, flight = self._waiting, self.flight
        request: Request[object] | None
        while (
            ((queue := waiting.served) or waiting.lease is not None)
            and self._writer is None
            and not self._fence.is_up
            and len(flight) < self._max_pipeline
        ):
            if waiting.lease is None and type(queue[0]) not in MARKERS:
                # As `next` does, for most requests without calling it.
                request = queue.popleft()
            elif (request := waiting.next(self.status, len(flight))) is None:
                break
            elif type(request) is Goodbye:
                self._say_goodbye(request)
                break
            flight.append(request)
            try:
                request.begin(self)
                if request.abandoned:
                    self._see_to_head()
            except (DataError, LocalProtocolError) as error:
                flight.pop()
                request.error = error
                self._finish(request)
            if self._written - self._given >= SEND_AT_ONCE:
                break
        out = self._out
        if not out or self._sealed:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        # From here on it counts as given to the transport.
        self._given = self._written
        if self._thirsty is not None:
            self.stir(self._thirsty)
        return data

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server; ``b""`` says that it has closed the connection.

        Whatever the bytes are, this does not raise: when they break the protocol, the machine fails, and
        `failure` says why.
        """
        if self.failure is not None:
            return
        connection, flight = self.connection, self.flight
        try:
            connection.receive_data(data)
            while True:
                if (
                    flight
                    and (sink := (request := flight[0]).sink) is not None
                    and (reply := connection.take_reply(sink)) is not None
                ):
                    tag, status, _ = reply
                    request.completed(self, tag)
                    self._end_reply(status, True)
                    if not connection.unread:
                        return
                elif (event := connection.next_event()) is not NEED_DATA:
                    self._hear(event)
                else:
                    if connection.is_closed:
                        self.fail(ConnectionLost("the server closed the connection"))
                    break
        except (RemoteProtocolError, LocalProtocolError, DataError) as error:
            # Bytes that end too soon are a lost connection, which is no offence of the server's.
            self.fail(error if data else ConnectionLost(f"the connection was lost: {error}"))

    def _hear(self, event: m.Message) -> None:
        kind = type(event)
        if isinstance(event, m.ReadyForQuery):
            self._request_ready(event.status)
        elif kind in _UNASKED:
            for listener in self.reports.receive(event):
                self.stir(listener)
            self.has_more = True
        elif isinstance(event, m.ErrorResponse):
            self._error(event)
        else:
            self.flight[0].hear(self, event)

    def take_callbacks(self) -> list[Callback]:
        """Handlers to call, each with its argument; what they raise is theirs."""
        callbacks, self.reports.callbacks = self.reports.callbacks, []
        return callbacks

    def next_deadline(self) -> float | None:
        """When `tick` is to be called next, by the machine's clock; None if there is nothing to wait for."""
        due = self.timers.next()
        self.has_more = bool(
            due is not None
            or self.reports.callbacks
            or self.remarks
            or self._fence.wanted
            or self.failure is not None
        )
        return due

    def tick(self) -> None:
        """Do what is due."""
        self.timers.run(self.clock())

    def give_up_all(self, error: BaseException) -> None:
        """Nobody waits any more: what is not over comes to nothing, but what cleans up is still done."""
        for request in self._waiting.clear_out():
            request.error = error
            self._finish(request)
        for request in self.flight:
            if not (request.done or request.abandoned or request.essential):
                request.error = error
                self.stir(request)
                self.abandon(request)
                request.done = True

    # What requests call, besides the methods of `Outbox`.

    def new_savepoint_name(self) -> str:
        """A name that no savepoint of this session has had."""
        self._savepoints += 1
        return f"pgproto_{self._savepoints}"

    def command_completed(self, tag: str) -> None:
        """A statement has done its work: one that drops prepared statements makes all of them unknown."""
        if tag in _FORGETTING:
            self.statements.clear()
        self.traces.see_tag(tag)

    # Inside.

    def _let_go(self, request: Request[object]) -> None:
        request.leave(self)

    def _time_out(self, request: Request[object]) -> None:
        if not request.abandoned:
            request.error = request.overdue(QueryTimeout("the request did not finish within its timeout"))
            self.stir(request)
            self.abandon(request)
            request.done = True

    def _remark(self, request: Request[object]) -> None:
        if self._waiting.has_to_wait(request):
            self.has_more = True
            self.remarks.append(f"a request has been waiting {PATIENCE:.0f} s behind {self._waiting.lease}")

    def _say_goodbye(self, request: Request[object]) -> None:
        self._finish(request)
        self.said_goodbye = True
        terminate = self.connection.send(_TERMINATE)
        self.fail(ConnectionLost("the session is closed"))
        self.put_out(terminate)

    def _request_ready(self, status: str) -> None:
        """ReadyForQuery has come, and the request at the head says what that means."""
        # If it raises, the request hears of the session's end with all the others.
        self._end_reply(status, self.flight[0].ready(self, status))

    def _end_reply(self, status: str, over: bool) -> None:
        """The request at the head is ``over``, or begins anew."""
        flight = self.flight
        request = flight.popleft()
        if status != "I" and self.status == "I" and self._waiting.lease is None and not request.abandoned:
            # Whoever is served next would be in it. Those who are under way get what is theirs.
            self._fence.shut()
        self.status = status
        if request is self._writer:
            self.forget_writer(request)
        if self._fence.is_up:
            self._fence.over(request)
        if over:
            self._finish(request)
        else:
            request.first_byte = request.execute_end = -1
            self._waiting.put_back(request)
        if self._waiting.lease is not None:
            self._follow_lease(status)
        if flight:
            if flight[0].abandoned:
                self._see_to_head()
        elif self._fence.is_shut:
            self.fail(RemoteProtocolError("the server is in a transaction that no request has begun"))

    def _follow_lease(self, status: str) -> None:
        for outcast in self._waiting.follow_status(status):
            outcast.error = LocalProtocolError(
                "the transaction was ended by another statement before this one"
            )
            self._finish(outcast)
        self._waiting.end_idle_lease(status, len(self.flight))

    def _error(self, event: m.ErrorResponse) -> None:
        request = self.flight[0] if self.flight else None
        query = request.sql or None if request is not None else None
        error = PostgresError.from_fields(event.fields, query=query)
        self.traces.see_error(error, self.reports.parameters)
        if event.fatal:
            self.fail(error)
        elif request is not None:
            request.fail(self, error)
            if request is self._writer:
                self.end_group(request)
