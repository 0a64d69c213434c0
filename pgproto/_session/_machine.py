"""The request machine: many callers, one serial conversation with PostgreSQL.

Requests come in by `RequestMachine.submit` and leave, each with exactly one outcome, by
`RequestMachine.take_finished`. In between stand two queues: what waits to be written, and what is in
flight, in the order in which it went over the wire. A request gets its place in the second queue in the
same step in which its bytes are made, in `RequestMachine.data_to_send`; there is no other way to the wire,
and so no answer can find another request than its own at the head.

Each request ends with a Sync of its own, so one caller's error never touches another's, and success is
known at ReadyForQuery: the implicit commit comes after CommandComplete, and can fail.

A transport gives the machine what it received (`receive_data`), writes what it asks for (`data_to_send`),
wakes those whose requests are done, and decides nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from pgproto import messages as m
from pgproto._connection import NEED_DATA, Connection
from pgproto._session._lease import Lease, enter_lease, lease_of_context
from pgproto._session._request import Request
from pgproto._session._statement import StatementCache
from pgproto._state import Step
from pgproto.errors import (
    ConnectionLost,
    DataError,
    LocalProtocolError,
    PostgresError,
    QueryTimeout,
    RemoteProtocolError,
)
from pgproto.types import TypeRegistry

__all__ = ["FLUSH", "SYNC", "Goodbye", "RequestMachine"]

SYNC: Final = m.Sync().encode()
FLUSH: Final = m.Flush().encode()

_SEND_AT_ONCE: Final = 256 * 1024
"""How many bytes `data_to_send` makes at the most before it looks at the transport again."""

_MAX_PARAMETERS: Final = 256
_MAX_PARAMETER_BYTES: Final = 64 * 1024


class RequestMachine:
    """The client side of one session, above an established `Connection` and without I/O.

    ``clock`` gives monotonic seconds; deadlines are in its terms. ``statement_prefix`` begins the names of
    prepared statements, and is random. ``max_pipeline`` is how many requests may be in flight.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Callable[[], float],
        types: TypeRegistry,
        parameters: Mapping[str, str],
        process_id: int = 0,
        statement_prefix: str = "pgproto_",
        statement_cache_size: int = 256,
        unnamed_statements: bool = False,
        command_timeout: float | None = None,
        max_pipeline: int = 1024,
        cancel_timeout: float = 1.0,
    ) -> None:
        self.connection = connection
        self.clock = clock
        self.types = types
        self.parameters: dict[str, str] = dict(parameters)
        """Run-time parameters as the server last reported them."""
        self.process_id = process_id
        self.statements = StatementCache(statement_cache_size, statement_prefix)
        self.unnamed_statements = unnamed_statements
        self.command_timeout = command_timeout
        self.cancel_timeout = cancel_timeout
        self.notice_handlers: list[Callable[[PostgresError], object]] = []
        self.status = connection.transaction_status
        self.failure: BaseException | None = None
        """Why the session has ended; None while it lives."""
        self.said_goodbye = False
        """Whether it ended in the orderly way, with Terminate."""
        self._max_pipeline = max_pipeline
        self._waiting: deque[Request[object]] = deque()
        self._flight: deque[Request[object]] = deque()
        self._finished: list[Request[object]] = []
        self._callbacks: list[tuple[Callable[[PostgresError], object], PostgresError]] = []
        # The request whose group is not complete on the wire; nothing may be written behind it.
        self._writer: Request[object] | None = None
        self._lease: Lease | None = None
        # What will time out, soonest first; the number settles ties, requests cannot be compared.
        self._deadlines: list[tuple[float, int, Request[object]]] = []
        self._submitted = 0
        self._out: list[bytes] = []
        self._written = 0
        self._given = 0

    # What a transport calls.

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight and nobody has a lease."""
        return not self._flight and self._lease is None and not self._waiting

    @property
    def in_flight(self) -> int:
        """How many requests have been written and are not over."""
        return len(self._flight)

    @property
    def wants_to_send(self) -> bool:
        """Whether `data_to_send` may have something to say."""
        return bool(self._out or self._waiting or (self._lease is not None and self._lease.queue))

    def submit(self, request: Request[object]) -> None:
        """Accept a request; it is written in its turn, by `data_to_send`."""
        timeout = self.command_timeout if request.timeout is None else request.timeout
        if timeout is not None:
            request.deadline = self.clock() + timeout
            self._submitted += 1
            heapq.heappush(self._deadlines, (request.deadline, self._submitted, request))
        if self.failure is not None:
            request.lose(f"the session is closed: {self.failure}", self.failure, 0)
            self._finish(request)
            return
        lease = lease_of_context(self)
        if lease is None and request.opens_lease:
            lease = Lease(self, "transaction", until_idle=True)
            enter_lease(lease)
            self._waiting.append(_LeaseTurn(lease))
        request.lease = lease
        (self._waiting if lease is None else lease.queue).append(request)

    def data_to_send(self) -> bytes:
        """Start what may be started, and return the bytes to write; empty if there are none."""
        while self._writer is None and len(self._flight) < self._max_pipeline:
            self._end_idle_lease()
            request = self._next_waiting()
            if request is None:
                break
            self._start(request)
            if self._written - self._given > _SEND_AT_ONCE:
                break
        if not self._out:
            return b""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._given = self._written
        return data

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server; ``b""`` says that it has closed the connection.

        Whatever the bytes are, this does not raise: when they break the protocol, the machine fails, and
        `failure` says why.
        """
        connection = self.connection
        try:
            connection.receive_data(data)
            next_event = connection.next_event
            while (event := next_event()) is not NEED_DATA:
                kind = type(event)
                if kind is m.ReadyForQuery:
                    self._ready(connection.transaction_status)
                elif kind is m.ErrorResponse or kind in _UNASKED:
                    self._unasked_or_error(event)
                else:
                    self._flight[0].receive(self, event)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self.fail(error)
        else:
            if connection.is_closed:
                self.fail(self.failure or ConnectionLost("the server closed the connection"))

    def take_finished(self) -> list[Request[object]]:
        """The requests that have got their outcome since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def take_callbacks(self) -> list[tuple[Callable[[PostgresError], object], PostgresError]]:
        """Handlers to call, each with its argument; what they raise is theirs."""
        callbacks, self._callbacks = self._callbacks, []
        return callbacks

    def abandon(self, request: Request[object]) -> None:
        """The owner of the request waits no more, and no result of it may reach anybody else."""
        if request.done:
            return
        request.abandoned = True
        queue = self._waiting if request.lease is None else request.lease.queue
        if request in queue:
            queue.remove(request)
            request.done = True

    def next_deadline(self) -> float | None:
        """When `tick` is to be called next, by the machine's clock; None if there is nothing to wait for."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].done:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def tick(self) -> None:
        """End what has run out of time, with `QueryTimeout`."""
        now = self.clock()
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            request = heapq.heappop(self._deadlines)[2]
            if request.abandoned:
                continue
            request.error = QueryTimeout("the query did not finish within its timeout")
            self._finished.append(request)
            self.abandon(request)
            request.done = True

    def fail(self, reason: BaseException) -> None:
        """The connection is of no more use: every request gets its outcome, in one pass."""
        if self.failure is None:
            self.failure = reason
        cause = self.failure
        pending = [*self._flight, *self._waiting]
        if self._lease is not None:
            pending += self._lease.queue
            self._lease.queue.clear()
        for request in self._waiting:
            if isinstance(request, _LeaseTurn):
                pending += request.turn.queue
                request.turn.queue.clear()
        first = self._flight[0] if self._flight else None
        self._flight.clear()
        self._waiting.clear()
        self._out.clear()
        self._writer = None
        for request in pending:
            request.lose(str(cause), cause, self._given)
            if request is first and isinstance(cause, RemoteProtocolError):
                request.error = cause
            self._finish(request)

    def connection_lost(self, cause: BaseException | None) -> None:
        """The transport's connection has ended; without a cause, because this side closed it."""
        if cause is None:
            self.fail(ConnectionLost("the session is closed"))
        else:
            error = ConnectionLost(f"the connection to the server was lost: {cause}")
            error.__cause__ = cause
            self.fail(error)

    # What requests call.

    def write(self, request: Request[object], data: bytes, steps: tuple[Step, ...]) -> None:
        """Append a part of the request's group; until one ends with Sync or is a Query, all others wait."""
        self._out.append(self.connection.send_group(data, steps))
        if request.first_byte < 0:
            request.first_byte = self._written
        self._written += len(data)
        last = steps[-1]
        if last is Step.SYNC:
            request.execute_end = self._written - len(SYNC)
            self._writer = None
        elif last is Step.QUERY:
            request.execute_end = self._written
            self._writer = None
        else:
            self._writer = request

    def send(self, message: m.Message) -> None:
        """Append a message that belongs to the group being written, such as copy data."""
        data = self.connection.send(message)
        self._out.append(data)
        self._written += len(data)

    def end_group(self, request: Request[object]) -> None:
        """Append the Sync that the request's group still lacks."""
        self.send(_SYNC_MESSAGE)
        self._writer = None

    def take_closes(self) -> tuple[bytes, tuple[Step, ...]]:
        """Close messages for evicted statements, to travel at the head of a group."""
        names = self.statements.take_evicted()
        if not names:
            return b"", ()
        return b"".join([m.Close("S", name).encode() for name in names]), (Step.CLOSE,) * len(names)

    # Inside.

    def _next_waiting(self) -> Request[object] | None:
        queue = self._waiting if self._lease is None else self._lease.queue
        if not queue or (self._flight and isinstance(queue[0], Goodbye)):
            return None
        return queue.popleft()

    def _start(self, request: Request[object]) -> None:
        if isinstance(request, _LeaseTurn):
            request.turn.granted = True
            self._lease = request.turn
            return
        if isinstance(request, Goodbye):
            self._finish(request)
            self.said_goodbye = True
            terminate = self.connection.send(_TERMINATE)
            self.fail(ConnectionLost("the session is closed"))
            self._out.append(terminate)
            return
        self._flight.append(request)
        try:
            request.begin(self)
        except (DataError, LocalProtocolError) as error:
            self._flight.pop()
            request.error = error
            self._finish(request)
            self._end_idle_lease()

    def _ready(self, status: str) -> None:
        self.status = status
        request = self._flight.popleft()
        if request is self._writer:
            self._writer = None
        if request.ready(self, status):
            self._finish(request)
        else:
            request.first_byte = request.execute_end = -1
            (self._waiting if request.lease is None else request.lease.queue).appendleft(request)
        self._end_idle_lease()

    def _end_idle_lease(self) -> None:
        lease = self._lease
        if (
            lease is not None
            and lease.until_idle
            and self.status == "I"
            and not lease.queue
            and not self._flight
        ):
            lease.ended = True
            self._lease = None

    def _finish(self, request: Request[object]) -> None:
        request.done = True
        if not request.abandoned:
            self._finished.append(request)

    def _unasked_or_error(self, event: m.Message) -> None:
        match event:
            case m.ErrorResponse():
                self._error(event)
            case m.NoticeResponse():
                if self.notice_handlers:
                    notice = PostgresError.from_fields(event.fields)
                    self._callbacks += [(handler, notice) for handler in self.notice_handlers]
            case m.ParameterStatus():
                self._set_parameter(event.name, event.value)
            case _:
                # A notification that nobody listens for.
                ...

    def _error(self, event: m.ErrorResponse) -> None:
        request = self._flight[0] if self._flight else None
        error = PostgresError.from_fields(
            event.fields, query=(request.sql or None) if request is not None else None
        )
        if event.fatal:
            if request is not None:
                request.fail(self, error)
            self.fail(error)
        elif request is not None:
            request.fail(self, error)
            if request is self._writer:
                self.end_group(request)

    def _set_parameter(self, name: str, value: str) -> None:
        # Without these two, text would mean something else than both sides believe.
        if (name == "client_encoding" and value.upper() not in ("UTF8", "UNICODE")) or (
            name == "standard_conforming_strings" and value != "on"
        ):
            raise RemoteProtocolError(f"the server changed {name} to {value!r}; the session relies on it")
        if name not in self.parameters and len(self.parameters) >= _MAX_PARAMETERS:
            raise RemoteProtocolError(f"the server reports more than {_MAX_PARAMETERS} parameters")
        self.parameters[name] = value
        if sum(len(key) + len(text) for key, text in self.parameters.items()) > _MAX_PARAMETER_BYTES:
            raise RemoteProtocolError(f"the server's parameters take more than {_MAX_PARAMETER_BYTES} bytes")


_SYNC_MESSAGE: Final = m.Sync()
_TERMINATE: Final = m.Terminate()
_UNASKED: Final = frozenset({m.NoticeResponse, m.ParameterStatus, m.NotificationResponse})


class _Marker(Request[None]):
    """Something that takes a place in the queue of requests, and is never written."""

    __slots__ = ()

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__("", timeout)

    def begin(self, machine: RequestMachine) -> None:
        """Nothing: the machine knows what to do when it comes to the head."""

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Nothing: what is not written is not answered."""

    def value(self) -> None:
        return None


class _LeaseTurn(_Marker):
    """Where a lease begins: everything before it has been written."""

    __slots__ = ("turn",)

    def __init__(self, turn: Lease) -> None:
        super().__init__()
        self.turn = turn


class Goodbye(_Marker):
    """The end of the session, in an orderly way: Terminate, when everything before it is over."""

    __slots__ = ()
