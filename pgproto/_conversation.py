"""Following one conversation by the tables of `pgproto._state`, whoever speaks.

This is the half of the state machine that knows no bytes: it is told each message, of either side, and
says whether it was allowed. The same code serves a client and a server, for the rules are the same seen
from both ends; only the kind of error differs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NoReturn

from pgproto import messages as m
from pgproto._state import ASYNCHRONOUS, COPY_INPUT, ERRORS, REPLIES, REQUESTS, SESSION, Phase, Step
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message

__all__ = ["NEXT_STEP", "Conversation", "ProtocolErrorClass", "RowSink"]

ProtocolErrorClass = type[LocalProtocolError | RemoteProtocolError]
"""What to raise about a message: local if the caller wants to send it, remote if the peer has sent it."""

RowSink = Callable[[bytes, int, int], int]
"""Takes whole DataRow messages out of ``data[start:end]`` and returns where it stopped: at the first
byte of a message of another type, or of one that is not complete. It checks what it takes, raising
`RemoteProtocolError`."""

# Looking a member up in an enumeration takes longer than calling a function, and these are needed for each
# message.
_DONE: Final = Step.DONE
_SYNC: Final = Step.SYNC
_READY: Final = Phase.READY
_CLOSED: Final = Phase.CLOSED
_FAILED: Final = Phase.FAILED

NEXT_STEP: Final = [{kind.tag[0]: step for kind, step in REPLIES[source].items()} for source in Step]
"""The reply table by step and type byte, so that the head of the queue is moved with one look-up."""

_EXECUTION: Final = [Step.BIND, Step.EXECUTE]


class Conversation:
    """Where a session stands, and which replies are outstanding."""

    __slots__ = (
        "_columns",
        "_phase",
        "_protocol_version",
        "_queue",
        "_skipping",
        "_status",
        "_step",
        "row_sink",
    )

    def __init__(self) -> None:
        self._phase = Phase.START
        self._protocol_version = m.PROTOCOL_3_0
        self._status = "I"
        # The reply under way, and the first steps of those behind it.
        self._step = _DONE
        self._queue: deque[Step] = deque()
        self._columns: int | None = None
        # After an error, until Sync: what is sent is not answered.
        self._skipping = False
        self.row_sink: RowSink | None = None
        """Where the rows of the reply under way go instead of becoming events; it ends with that reply."""

    @property
    def phase(self) -> Phase:
        """Where the session stands."""
        return self._phase

    @property
    def is_closed(self) -> bool:
        """Whether the conversation is over, orderly or not."""
        phase = self._phase
        return phase is _CLOSED or phase is _FAILED

    @property
    def transaction_status(self) -> str:
        """The status of the last ReadyForQuery: ``"I"``, ``"T"`` or ``"E"``."""
        return self._status

    @property
    def protocol_version(self) -> int:
        """The version asked for in the StartupMessage, or what the server made of it."""
        return self._protocol_version

    @property
    def pending(self) -> int:
        """How many replies are outstanding (a Sync's ReadyForQuery is one)."""
        return len(self._queue) + (self._step is not _DONE)

    @property
    def step(self) -> Step:
        """How far the reply under way has come; ``Step.DONE`` if there is none."""
        return self._step

    # Following the client.

    def _from_frontend(self, message: Message, error: ProtocolErrorClass) -> bool:
        """Follow a client's message; False if the server must ignore it."""
        kind = type(message)
        phase = self._phase
        if phase is _READY:
            if kind in REQUESTS:
                return self._request(message, error)
            if kind in (m.CopyData, m.CopyDone, m.CopyFail):
                return self._copy_input(kind, error)
        following = SESSION[phase].get(kind)
        if following is None:
            raise error(f"{kind.__name__} may not be sent when {phase.value}")
        if isinstance(message, m.StartupMessage):
            self._protocol_version = message.protocol_version
        elif isinstance(message, m.SASLInitialResponse) and message.mechanism.startswith("SCRAM-"):
            following = Phase.SCRAM_STARTED
        self._phase = following
        if following is Phase.CLOSING:
            self._forget_replies()
        return True

    def _request(self, message: Message, error: ProtocolErrorClass) -> bool:
        kind = type(message)
        if self._step in COPY_INPUT:
            # The server ignores Sync and Flush in the midst of copy data.
            if kind is m.Flush or (kind is m.Sync and error is RemoteProtocolError):
                return False
            raise error(f"{kind.__name__} may not be sent in the midst of COPY; CopyDone or CopyFail ends it")
        if self._skipping:
            if kind is not m.Sync:
                return False
            self._skipping = False
        step = REQUESTS[kind]
        if isinstance(message, m.Describe) and message.kind == "P":
            step = Step.DESCRIBE_PORTAL
        if step is not _DONE:
            self._queue.append(step)
            if self._step is _DONE:
                self._begin_next()
        return True

    def _copy_input(self, kind: type[Message], error: ProtocolErrorClass) -> bool:
        moves = COPY_INPUT.get(self._step)
        if moves is None:
            # A client may still be sending when the server has given up the copy.
            if error is RemoteProtocolError:
                return False
            raise error(f"{kind.__name__} may not be sent: the server has not asked for copy data")
        self._move(moves[kind])
        return True

    # Following the server.

    def _from_backend(self, message: Message, error: ProtocolErrorClass) -> None:
        """Follow a server's message; raises ``error``, with nothing changed, if it may not come now."""
        kind = type(message)
        phase = self._phase
        if kind in ASYNCHRONOUS:
            if phase not in ASYNCHRONOUS[kind]:
                raise error(f"{kind.__name__} may not come when {phase.value}")
        elif isinstance(message, m.ErrorResponse):
            self._fail_request(message, error)
        elif phase is _READY:
            if isinstance(message, m.DataRows):
                # The first moves the queue; the others must only be like it.
                if len(message.column_counts) > 1:
                    raise error(f"rows of {sorted(message.column_counts)} columns in one result")
                for row in message[:1]:
                    self._from_backend(row, error)
                return
            following = REPLIES[self._step].get(kind)
            if following is None:
                self._refuse_reply(kind.__name__, error)
            if isinstance(message, m.DataRow) and self._columns not in (None, len(message.values)):
                raise error(f"a row of {len(message.values)} columns in a result of {self._columns}")
            self._advance(following, message)
        else:
            self._follow_startup(message, error)

    def _follow_startup(self, message: Message, error: ProtocolErrorClass) -> None:
        kind = type(message)
        following = SESSION[self._phase].get(kind)
        if following is None:
            raise error(f"{kind.__name__} may not come when {self._phase.value}")
        match message:
            case m.EncryptionResponse():
                if not message.accepted:
                    following = Phase.START
                elif (message.reply == b"S") is not (self._phase is Phase.SSL_ASKED):
                    raise error(f"{message.reply!r} is not an answer to the encryption asked for")
            case m.NegotiateProtocolVersion():
                self._negotiate(message, error)
            case m.BackendKeyData():
                if self._protocol_version < m.PROTOCOL_3_2 and len(message.secret_key) != 4:
                    raise error(
                        f"a secret key of {len(message.secret_key)} bytes; before protocol 3.2 it has 4"
                    )
            case m.ReadyForQuery():
                self._status = message.status
            case _:
                # The table has said all about the others.
                ...
        self._phase = following

    def _negotiate(self, message: m.NegotiateProtocolVersion, error: ProtocolErrorClass) -> None:
        version = message.protocol_version
        if not m.PROTOCOL_3_0 <= version <= self._protocol_version:
            raise error(
                f"the server offers protocol version {version >> 16}.{version & 0xFFFF} "
                f"where {self._protocol_version >> 16}.{self._protocol_version & 0xFFFF} was asked for"
            )
        self._protocol_version = version

    def _refuse_reply(self, name: str, error: ProtocolErrorClass) -> NoReturn:
        if self._step is _DONE:
            raise error(f"{name} may not come: nothing was asked")
        wanted = ", ".join(kind.__name__ for kind in REPLIES[self._step]) or "an error"
        raise error(f"{name} may not come: the reply under way ({self._step.name}) goes on with {wanted}")

    def _fail_request(self, message: m.ErrorResponse, error: ProtocolErrorClass) -> None:
        if self._phase is not _READY:
            if self._phase not in ASYNCHRONOUS[m.NoticeResponse]:
                raise error(f"ErrorResponse may not come when {self._phase.value}")
            self._phase = Phase.CLOSING
            return
        if message.fatal:
            self._phase = Phase.CLOSING
            self._forget_replies()
            return
        following = ERRORS.get(self._step)
        if following is None:
            self._refuse_reply("ErrorResponse", error)
        if following is not _DONE:
            self._move(following)
            return
        queue = self._queue
        while queue and queue[0] is not _SYNC:
            queue.popleft()
        self._skipping = not queue
        self._begin_next()

    def _advance(self, following: Step, message: Message) -> None:
        """Move the head of the queue because of this message of the server."""
        if isinstance(message, m.ReadyForQuery):
            self._status = message.status
        elif isinstance(message, m.RowDescription):
            self._columns = len(message.fields)
        elif isinstance(message, m.DataRow):
            self._columns = len(message.values)
        elif following in COPY_INPUT:
            # A Sync that the server finds among the copy data is ignored.
            while self._queue and self._queue[0] is _SYNC:
                self._queue.popleft()
        self._move(following)

    def _move(self, step: Step) -> None:
        if step is _DONE:
            self._begin_next()
        else:
            self._step = step

    def _begin_next(self) -> None:
        queue = self._queue
        self._step = queue.popleft() if queue else _DONE
        self._columns = None
        self.row_sink = None

    def _pass_executions(self, times: int) -> bool:
        """The next replies, so many, were BindComplete and CommandComplete; False if others are expected."""
        queue = self._queue
        # The first is under way, and no more in the queue.
        behind = 2 * times - 1
        if list(islice(queue, behind)) != (_EXECUTION * times)[1:]:
            return False
        if behind > len(queue) // 4:
            rest = [*islice(queue, behind, None)]
            queue.clear()
            queue.extend(rest)
        else:
            for _ in range(behind):
                queue.popleft()
        self._begin_next()
        return True

    def _forget_replies(self) -> None:
        self._queue.clear()
        self._skipping = False
        self._begin_next()
