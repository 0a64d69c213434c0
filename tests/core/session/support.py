"""A request machine and a server joined in memory: no socket, no loop, and the clock stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from pgproto import Role
from pgproto import messages as m
from pgproto._session import Request, RequestMachine, SessionCore, Waitable
from pgproto._short_way import ClientConnection
from pgproto.testing import FakeServer, Peer, Statement
from pgproto.types import TypeRegistry
from tests.support.pair import drain

__all__ = ["Joined", "echo", "expect_announced", "outcome"]

T = TypeVar("T")

Cut = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    """As it is."""
    return (data,) if data else ()


def echo(sql: str) -> Statement | None:
    """What a server says that only repeats what it was asked; the token is in the SQL or in an argument."""
    match sql.split():
        case ["echo", "$1"]:
            return Statement(["int8"], {"token": "int8"}, _repeat)
        case ["echo", token]:
            return Statement(columns={"token": "int8"}, rows=[(int(token),)])
        case ["rows", count, token]:
            return Statement(columns={"token": "int8", "n": "int4"}, rows=_numbered(int(count), int(token)))
        case ["insert", *_]:
            return Statement(["int8"], tag="INSERT 0 1")
        case _:
            return None


def expect_announced(machine: RequestMachine) -> None:
    """A transport looks for what is rare only where `has_more` says that there may be some."""
    rare = {
        "callbacks": machine.reports.callbacks,
        "remarks": machine.remarks,
        "cancel": machine.wants_cancel,
        "deadlines": [owner for _, _, owner, _ in machine.timers.heap if owner is None or not owner.done],
        "failure": machine.failure,
    }
    assert machine.has_more or not any(rare.values()), rare


def _repeat(token: object) -> list[tuple[object]]:
    return [(token,)]


def _numbered(count: int, token: int) -> list[tuple[int, int]]:
    return [(token, number) for number in range(count)]


class Joined:
    """A client and its server; `settle` lets them talk until both have nothing more to say."""

    def __init__(
        self,
        peer: Peer | None = None,
        *,
        cut: Cut = whole,
        **options: Any,
    ) -> None:
        self.peer: Peer = FakeServer(echo)() if peer is None else peer
        self.cut = cut
        self.now = 1000.0
        self.connection = ClientConnection(Role.FRONTEND)
        self.stirred: list[Waitable] = []
        parameters: dict[str, str] = {}
        process_id = 0
        self._to_server = self.connection.send(m.StartupMessage({"user": "u"}))
        self._deliver()
        self.connection.receive_data(self.peer.data_to_send(self.now))
        for message in drain(self.connection):
            match message:
                case m.ParameterStatus(name, value):
                    parameters[name] = value
                case m.BackendKeyData():
                    process_id = message.process_id
                case _:
                    ...
        self.machine = RequestMachine(
            self.connection,
            clock=lambda: self.now,
            types=TypeRegistry(),
            parameters=parameters,
            process_id=process_id,
            can_cancel=True,
            **options,
        )
        # The verbs need no more than the machine.
        self.core = SessionCore(self.machine, cast("Any", None))

    # Carrying bytes.

    def flush(self) -> None:
        """The client writes what it has to say; the server does not hear it yet."""
        expect_announced(self.machine)
        while data := self.machine.data_to_send():
            self._to_server += data

    def _deliver(self) -> None:
        data, self._to_server = self._to_server, b""
        if data:
            self.peer.receive_data(data)

    def answer(self) -> bytes:
        """The server hears what was written and answers; the client does not hear it yet."""
        self._deliver()
        return self.peer.data_to_send(self.now)

    def hear(self, data: bytes) -> None:
        """The client hears this."""
        for piece in self.cut(data):
            if piece:
                self.machine.receive_data(piece)
        self.collect()

    def collect(self) -> None:
        """Take note of who has news."""
        expect_announced(self.machine)
        self.stirred += self.machine.take_stirred()

    def settle(self) -> None:
        """Let both talk until they have nothing more to say."""
        while True:
            self.flush()
            self.collect()
            answer = self.answer()
            self.hear(answer)
            if self.peer.is_closed and self.machine.failure is None:
                self.machine.receive_data(b"")
                self.collect()
            if not answer and not self.machine.wants_to_send:
                return
            if not answer and not self._progresses():
                return

    def _progresses(self) -> bool:
        self.flush()
        return bool(self._to_server)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.machine.tick()
        self.settle()

    # Asking.

    def submit(self, request: Request[T]) -> Request[T]:
        """Hand in a request."""
        self.machine.submit(request)
        return request

    def ask(self, request: Request[T]) -> T:
        """Hand in a request, and have it answered."""
        self.submit(request)
        self.settle()
        assert request.done, f"{request.sql!r} was not answered"
        return request.result()

    def fetchval(self, sql: str, *arguments: object) -> Any:
        """One value, at once."""
        return self.ask(self.core.fetchval(sql, arguments, 0, None))


def outcome(request: Request[Any]) -> object:
    """What became of a request: its result, or its exception."""
    assert request.done
    try:
        return request.result()
    except Exception as error:
        return error
