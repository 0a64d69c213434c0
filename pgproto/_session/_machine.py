"""The request machine: many callers, one serial conversation with PostgreSQL.

Requests come in by `RequestMachine.submit`, and each gets exactly one outcome. In between stand two queues:
what waits to be written, and what is in flight, in the order in which it went over the wire. A request gets
its place in the second queue in the same step in which its bytes are made, in `RequestMachine.data_to_send`;
there is no other way to the wire, and so no answer can find another request than its own at the head.

Each request ends with a Sync of its own, so one caller's error never touches another's, and success is
known at ReadyForQuery: the implicit commit comes after CommandComplete, and can fail.

A transport gives the machine what it received (`receive_data`), writes what it asks for (`data_to_send`),
wakes those whom it names (`take_stirred`), calls it at the times it names (`next_deadline`, `tick`), carries
a cancel request to the server when it wants one (`take_cancel`), and decides nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pgproto import messages as m
from pgproto._connection import NEED_DATA, Connection
from pgproto._session._lease import Lease, enter_lease, lease_of_context
from pgproto._session._reports import Callback, Reports
from pgproto._session._request import Request, Waitable
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

PATIENCE: Final = 1.0
"""Seconds that a request waits behind a lease before the log says for whom."""

_SYNC_MESSAGE: Final = m.Sync()
_TERMINATE: Final = m.Terminate()
# No statement: the server answers with a syntax error, which is how a client takes back a group of messages
# that it has begun to send. The words are for whoever reads the server's log.
_TAKE_BACK: Final = m.Parse(
    "", "pgproto gave up a group of statements before its end; nothing is kept"
).encode()
_FORGETTING: Final = frozenset({"DISCARD ALL", "DEALLOCATE ALL"})
_UNASKED: Final = frozenset({m.NoticeResponse, m.ParameterStatus, m.NotificationResponse})


class RequestMachine:
    """The client side of one session, above an established `Connection` and without I/O.

    ``clock`` gives monotonic seconds; deadlines are in its terms. ``statement_prefix`` begins the names of
    prepared statements, and is random. ``max_pipeline`` is how many requests may be in flight;
    ``max_result_bytes`` limits the rows of one.
    """

    def __init__(
        self,
        connection: Connection,
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
        self.connection = connection
        self.clock = clock
        self.types = types
        self.reports = Reports(parameters)
        self.process_id = process_id
        self.statements = StatementCache(statement_cache_size, statement_prefix)
        self.unnamed_statements = unnamed_statements
        self.command_timeout = command_timeout
        self.cancel_timeout = cancel_timeout
        self.max_result_bytes = max_result_bytes
        self.status = connection.transaction_status
        self.failure: BaseException | None = None
        """Why the session has ended; None while it lives."""
        self.said_goodbye = False
        """Whether it ended in the orderly way, with Terminate."""
        self.reading_paused = False
        """Whether somebody must take what has come before the transport may read more."""
        self.remarks: list[str] = []
        """What a puzzled user would want to find in the log; the transport writes it there."""
        self._can_cancel = can_cancel
        self._max_pipeline = max_pipeline
        self._waiting: deque[Request[object]] = deque()
        self._flight: deque[Request[object]] = deque()
        self._stirred: list[Waitable] = []
        # The request whose group is not complete on the wire; nothing may be written behind it.
        self._writer: Request[object] | None = None
        self._lease: Lease | None = None
        # While a cancel request is under way, nothing is written: it could hit what follows its target.
        self._cancel_target: Request[object] | None = None
        self._cancel_wanted = False
        self._cancel_running = False
        # What is due when, soonest first; the number settles ties, for the rest cannot be compared.
        self._timers: list[tuple[float, int, Request[object], Callable[[], None]]] = []
        self._timer_number = 0
        self._savepoints = 0
        self._out: list[bytes] = []
        self._written = 0
        self._given = 0
        # Who writes copy data, and is to hear when it has been handed over.
        self._thirsty: Request[object] | None = None

    # What a transport calls.

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight, nothing waits, and nobody has a lease."""
        return not (self._flight or self._waiting or self._fenced) and self._lease is None

    @property
    def in_flight(self) -> int:
        """How many requests have been written and are not over."""
        return len(self._flight)

    @property
    def written(self) -> int:
        """How many bytes have been made in all."""
        return self._written

    @property
    def unsent(self) -> int:
        """How many bytes the transport has not taken yet."""
        return self._written - self._given

    @property
    def wants_to_send(self) -> bool:
        """Whether `data_to_send` may have something to say."""
        return bool(self._out or self._waiting or (self._lease is not None and self._lease.queue))

    def submit(self, request: Request[object], lease: Lease | None = None) -> None:
        """Accept a request; it is written in its turn, by `data_to_send`.

        It belongs to ``lease``, or to the one that its caller's context is inside of, or to none.
        """
        if self.failure is not None:
            request.lose(f"the session is closed: {self.failure}", self.failure, 0)
            self._finish(request)
            return
        timeout = self.command_timeout if request.timeout is None else request.timeout
        if timeout is not None:
            request.deadline = self.clock() + timeout
            self._at(request.deadline, request, partial(self._time_out, request))
        if lease is None:
            lease = lease_of_context(self)
            if lease is None and request.opens_lease:
                lease = self.open_lease("transaction", until_idle=True)
        elif lease.ended:
            request.error = LocalProtocolError("the transaction has ended; begin another one")
            self._finish(request)
            return
        request.lease = lease
        (self._waiting if lease is None else lease.queue).append(request)
        if self._lease is not None and lease is not self._lease:
            self._at(self.clock() + PATIENCE, request, partial(self._remark, request))

    def open_lease(self, purpose: str, *, until_idle: bool = False) -> Lease:
        """Ask for a lease for the caller's context; it is granted when everything before it is written."""
        lease = Lease(self, purpose, until_idle=until_idle)
        enter_lease(lease)
        self._waiting.append(_LeaseTurn(lease))
        return lease

    def data_to_send(self) -> bytes:
        """Start what may be started, and return the bytes to write; empty if there are none."""
        while self._writer is None and not self._fenced and len(self._flight) < self._max_pipeline:
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
        if self._thirsty is not None:
            self.stir(self._thirsty)
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
                elif kind in _UNASKED:
                    for listener in self.reports.receive(event):
                        self.stir(listener)
                elif isinstance(event, m.ErrorResponse):
                    self._error(event)
                else:
                    self._flight[0].receive(self, event)
        except (RemoteProtocolError, LocalProtocolError) as error:
            # Bytes that end too soon are a lost connection, which is no offence of the server's.
            self.fail(error if data else ConnectionLost(f"the connection was lost: {error}"))
        else:
            if connection.is_closed:
                self.fail(ConnectionLost("the server closed the connection"))

    def take_stirred(self) -> list[Waitable]:
        """Those whose owners have something to see, such as an outcome, since the last call."""
        stirred, self._stirred = self._stirred, []
        return stirred

    def take_callbacks(self) -> list[Callback]:
        """Handlers to call, each with its argument; what they raise is theirs."""
        callbacks, self.reports.callbacks = self.reports.callbacks, []
        return callbacks

    def next_deadline(self) -> float | None:
        """When `tick` is to be called next, by the machine's clock; None if there is nothing to wait for."""
        timers = self._timers
        while timers and timers[0][2].done:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def tick(self) -> None:
        """Do what is due."""
        now = self.clock()
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            heapq.heappop(self._timers)[3]()

    def abandon(self, request: Request[object]) -> None:
        """The owner of the request waits no more; no result of it may reach anybody else."""
        if request.done or request.abandoned:
            return
        request.abandoned = True
        if request.essential:
            return
        queue = self._waiting if request.lease is None else request.lease.queue
        if request in queue:
            queue.remove(request)
            request.done = True
        else:
            request.leave(self)

    def take_cancel(self) -> bool:
        """Whether the transport must now ask the server to cancel; then it calls `cancel_delivered`."""
        wanted, self._cancel_wanted = self._cancel_wanted, False
        return wanted

    def cancel_delivered(self) -> None:
        """The cancel request's own connection has ended, well or not."""
        self._cancel_running = False

    def connection_lost(self, cause: BaseException | None) -> None:
        """The transport's connection has ended; without a cause, because this side closed it."""
        if cause is None:
            self.fail(ConnectionLost("the session is closed"))
        else:
            error = ConnectionLost(f"the connection to the server was lost: {cause}")
            error.__cause__ = cause
            self.fail(error)

    def fail(self, reason: BaseException) -> None:
        """The connection is of no more use: every request gets its outcome, in one pass."""
        if self.failure is None:
            self.failure = reason
        cause = self.failure
        first = self._flight[0] if self._flight else None
        pending = [*self._flight, *self._take_waiting()]
        self._flight.clear()
        self._out.clear()
        self._writer = self._cancel_target = self._thirsty = None
        self._cancel_wanted = self.reading_paused = False
        for request in pending:
            request.lose(str(cause), cause, self._given)
            if request is first and isinstance(cause, RemoteProtocolError):
                request.error = cause
            self._finish(request)
        for listener in self.reports.end(cause):
            self.stir(listener)

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
        if self._writer is request:
            self._writer = self._thirsty = None

    def take_back(self, request: Request[object]) -> None:
        """End the request's group in a way that undoes what was sent of it."""
        self.write(request, _TAKE_BACK, (Step.PARSE,))
        self.end_group(request)

    def is_writing(self, request: Request[object]) -> bool:
        """Whether the request's group is not complete on the wire."""
        return self._writer is request

    def stir_when_sent(self, request: Request[object]) -> None:
        """Stir the request each time the transport has taken what was to be written."""
        self._thirsty = request

    def new_statement_name(self) -> str:
        """What to call a statement that is introduced now; empty where names must not be used."""
        return "" if self.unnamed_statements else self.statements.new_name()

    def new_savepoint_name(self) -> str:
        """A name that no savepoint of this session has had."""
        self._savepoints += 1
        return f"pgproto_{self._savepoints}"

    def command_completed(self, tag: str) -> None:
        """A statement has done its work: one that drops prepared statements makes all of them unknown."""
        if tag in _FORGETTING:
            self.statements.clear()

    def take_closes(self) -> tuple[bytes, tuple[Step, ...]]:
        """Close messages for evicted statements, to travel at the head of a group."""
        names = self.statements.take_evicted()
        if not names:
            return b"", ()
        return b"".join([m.Close("S", name).encode() for name in names]), (Step.CLOSE,) * len(names)

    def stir(self, waitable: Waitable) -> None:
        """Have the owner woken."""
        waitable.stirred = True
        self._stirred.append(waitable)

    def cancel(self, request: Request[object]) -> None:
        """Ask the server to cancel the request, if the cancel can hit no other.

        That is so if it is the only one in flight; nothing more is then written until the cancel request has
        been delivered and its target is over. A request with followers on the wire is left to end by itself.
        """
        if self._can_cancel and not self._fenced and len(self._flight) == 1 and self._flight[0] is request:
            self._cancel_target = request
            self._cancel_wanted = self._cancel_running = True
            self._at(self.clock() + self.cancel_timeout, _Always(), partial(self._cancel_overdue, request))

    def cancel_current(self) -> None:
        """Ask the server to cancel what it is doing for this session."""
        if self._flight:
            self.cancel(self._flight[0])

    # Inside.

    @property
    def _fenced(self) -> bool:
        return self._cancel_running or self._cancel_target is not None

    def _cancel_overdue(self, target: Request[object]) -> None:
        if self._cancel_target is target or self._cancel_running:
            self.fail(ConnectionLost(f"a cancel request had no effect within {self.cancel_timeout} s"))

    def _at(self, when: float, request: Request[object], action: Callable[[], None]) -> None:
        self._timer_number += 1
        heapq.heappush(self._timers, (when, self._timer_number, request, action))

    def _time_out(self, request: Request[object]) -> None:
        if not request.abandoned:
            request.error = QueryTimeout("the query did not finish within its timeout")
            self.stir(request)
            self.abandon(request)
            request.done = True

    def _remark(self, request: Request[object]) -> None:
        holder = self._lease
        if holder is not None and holder is not request.lease and request in self._waiting:
            self.remarks.append(f"a request has been waiting for {PATIENCE:.0f} s behind {holder}")

    def _take_waiting(self) -> list[Request[object]]:
        waiting: list[Request[object]] = []
        leases = [request.turn for request in self._waiting if isinstance(request, _LeaseTurn)]
        for lease in leases if self._lease is None else (self._lease, *leases):
            waiting += lease.queue
            lease.queue.clear()
            lease.ended = True
        waiting += self._waiting
        self._waiting.clear()
        self._lease = None
        return waiting

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

    def _ready(self, status: str) -> None:
        self.status = status
        request = self._flight.popleft()
        if request is self._writer:
            self._writer = self._thirsty = None
        if request is self._cancel_target:
            self._cancel_target = None
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
            self.stir(request)

    def _error(self, event: m.ErrorResponse) -> None:
        request = self._flight[0] if self._flight else None
        query = request.sql or None if request is not None else None
        error = PostgresError.from_fields(event.fields, query=query)
        if event.fatal:
            self.fail(error)
        elif request is not None:
            request.fail(self, error)
            if request is self._writer:
                self.end_group(request)


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


class _Always(_Marker):
    """Stands for the session itself where a timer belongs to no request."""

    __slots__ = ()


class _LeaseTurn(_Marker):
    """Where a lease begins: everything before it has been written."""

    __slots__ = ("turn",)

    def __init__(self, turn: Lease) -> None:
        super().__init__()
        self.turn = turn


class Goodbye(_Marker):
    """The end of the session, in an orderly way: Terminate, when everything before it is over."""

    __slots__ = ()
