"""The protocol state machine, for both roles and without I/O.

A `Connection` follows one conversation by the tables of `pgproto._state`. It turns messages into
bytes (`Connection.send`) and bytes into messages (`Connection.receive_data`, `Connection.next_event`)
and refuses what the tables do not allow: `LocalProtocolError` for what the caller asks for, with
nothing changed, and `RemoteProtocolError` for what the peer has done, after which the connection is
of no more use. Nothing else is ever raised, whatever the bytes.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from pgproto import messages as m
from pgproto._conversation import NEXT_STEP, Conversation, RowSink
from pgproto._state import ASYNCHRONOUS, AUTHENTICATING, COPY_INPUT, SESSION, Phase, Step
from pgproto._wire import HEADER_SIZE, ReceiveBuffer
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import DEFAULT_MAX_MESSAGE_SIZE, Message, Role
from pgproto.messages._catalogue import KINDS, MAX_STARTUP_LENGTH, Kind, read_message, read_startup
from pgproto.messages._rows import scan_rows

__all__ = ["NEED_DATA", "Connection", "NeedData", "RowSink"]


class NeedData(enum.Enum):
    """The type of `NEED_DATA`."""

    NEED_DATA = "need data"


NEED_DATA: Final = NeedData.NEED_DATA
"""What `Connection.next_event` returns when it can say more only after `Connection.receive_data`."""

_NAMES: Final = {Role.FRONTEND: "client", Role.BACKEND: "server"}
_LENGTH: Final = struct.Struct("!i")
_DATA_ROW: Final = m.DataRow.tag[0]

# Looking a member up in an enumeration takes longer than calling a function.
_READY: Final = Phase.READY
_FAILED: Final = Phase.FAILED
_DONE: Final = Step.DONE
_FRONTEND: Final = Role.FRONTEND
_BACKEND: Final = Role.BACKEND

_MAX_LENGTH_BEFORE_AUTHENTICATION: Final = 16 * 1024
_START_PHASES: Final = frozenset({Phase.START, Phase.ENCRYPTED})
_ENCRYPTION_PHASES: Final = frozenset({Phase.SSL_ASKED, Phase.GSSENC_ASKED})
_OVER: Final = frozenset({Phase.CANCELING, Phase.CLOSING, Phase.CLOSED})
_UNASKED: Final = frozenset([m.ErrorResponse.tag[0], *(kind.tag[0] for kind in ASYNCHRONOUS)])


def _types_expected(role: Role, phase: Phase) -> frozenset[int]:
    kinds = [kind for kind in SESSION[phase] if kind.tag]
    if role is Role.FRONTEND:
        kinds += [kind for kind, phases in ASYNCHRONOUS.items() if phase in phases]
        if phase in ASYNCHRONOUS[m.NoticeResponse]:
            kinds.append(m.ErrorResponse)
    return frozenset([kind.tag[0] for kind in kinds])


# The types of messages that a party of each role may receive before its session is ready.
_EXPECTED: Final = {role: {phase: _types_expected(role, phase) for phase in Phase} for role in Role}


def _client_response(message: type[Message]) -> Kind:
    return Kind(message.__name__, message.read_body, 4, message.longest, None)


# The client's responses to authentication share a type byte; what was asked tells them apart.
_CLIENT_RESPONSES: Final = {
    Phase.PASSWORD_ASKED: _client_response(m.PasswordMessage),
    Phase.SASL_ASKED: _client_response(m.SASLInitialResponse),
    Phase.SCRAM_CHALLENGED: _client_response(m.SASLResponse),
    Phase.SASL_CHALLENGED: _client_response(m.SASLResponse),
    Phase.GSS_ASKED: _client_response(m.GSSResponse),
    Phase.GSS_CONTINUED: _client_response(m.GSSResponse),
}


class Connection(Conversation):
    """One conversation with PostgreSQL, seen from one end.

    ``role`` is which end: ``Role.FRONTEND`` for a client, ``Role.BACKEND`` for a server.
    ``max_message_size`` limits, in bytes, the messages whose size is the data's (rows, copy data,
    queries); all others have narrow limits of their own.
    """

    __slots__ = (
        "_end_of_file",
        "_error",
        "_incoming",
        "_kinds",
        "_max_message_size",
        "_needed",
        "_role",
        "trace",
    )

    def __init__(self, role: Role, *, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE) -> None:
        super().__init__()
        self._role = role
        self._kinds = KINDS[role.peer]
        self._max_message_size = max_message_size
        self._incoming = ReceiveBuffer()
        self._needed = 0
        self._end_of_file = False
        self._error: str | None = None
        self.trace: Callable[[Role, bytes], object] | None = None
        """Called with who speaks and the bytes, for all that is sent and received; see `pgproto.trace`."""

    def __repr__(self) -> str:
        return f"<Connection {self._role.value} {self._phase.name}, {self.pending} replies pending>"

    @property
    def role(self) -> Role:
        """Which end of the conversation this is."""
        return self._role

    # Sending.

    def send(self, message: Message) -> bytes:
        """Say this to the peer: returns the bytes to transmit.

        Raises `LocalProtocolError` if the message cannot be represented or may not be said now;
        then nothing has changed.
        """
        if self._phase is not _READY:
            self._check_unread(message)
        data = message.encode()
        if self._role is _FRONTEND:
            self._from_frontend(message, LocalProtocolError)
        else:
            self._from_backend(message, LocalProtocolError)
        if self.trace is not None:
            self.trace(self._role, data)
        return data

    def send_group(self, data: bytes, steps: Sequence[Step]) -> bytes:
        """Say a group of messages that was encoded before: the short way for what is sent often.

        ``steps`` are the first steps of the replies that the messages will bring, in their order,
        as `pgproto._state.REQUESTS` tells. Client only. Raises `LocalProtocolError` as `send` does.
        """
        if self._phase is not _READY or self._role is not _FRONTEND:
            raise LocalProtocolError(f"a group of requests may not be sent when {self._phase.value}")
        if self._skipping or self._step in COPY_INPUT:
            raise LocalProtocolError(
                "a group of requests may not be sent before the failed group's Sync, or in COPY"
            )
        self._queue.extend(steps)
        if self._step is _DONE and steps:
            self._step = self._queue.popleft()
        if self.trace is not None:
            self.trace(self._role, data)
        return data

    def _check_unread(self, message: Message) -> None:
        """Refuse to go on over bytes of the peer that nobody can have sent for a good reason."""
        if self._phase is _FAILED:
            raise LocalProtocolError(f"the connection has failed ({self._error}); nothing more can be sent")
        if not len(self._incoming):
            return
        # Unencrypted bytes must not pass for what came after the handshake, in either direction.
        if self._role is _FRONTEND and self._phase in _START_PHASES:
            raise LocalProtocolError("the server spoke when it was not its turn; hang up on it")
        if isinstance(message, m.EncryptionResponse) and message.accepted:
            raise LocalProtocolError("the client sent bytes behind its encryption request; hang up on it")

    # Receiving.

    def receive_data(self, data: bytes) -> None:
        """Take bytes that the peer has sent; ``b""`` says that it has closed the connection.

        After an EncryptionResponse that accepts, only decrypted bytes belong here.
        """
        if self.trace is not None and data:
            self.trace(self._role.peer, data)
        if not data:
            self._end_of_file = True
        elif self._end_of_file:
            raise LocalProtocolError("bytes were received after the end of the stream was reported")
        else:
            incoming = self._incoming
            if type(data) is bytes and incoming.position == incoming.end and not incoming.held:
                # As `feed` does: mostly, all that came before has been read.
                incoming.data, incoming.position, incoming.end = data, 0, len(data)
            else:
                incoming.feed(bytes(data))

    def next_event(self) -> Message | NeedData:
        """The next message of the peer, or `NEED_DATA`.

        Consecutive rows may come as one `pgproto.messages.DataRows`. When the peer has closed the
        connection in an orderly way, `is_closed` is true and the result is `NEED_DATA` for ever.
        Raises `RemoteProtocolError` if the peer broke the rules or closed the connection at a
        moment when it may not; then the connection has failed, and raises the same again.
        """
        try:
            while (event := self._next_message()) is None:
                continue
        except RemoteProtocolError as error:
            self._fail(str(error))
            raise
        return event

    def _next_message(self) -> Message | NeedData | None:
        """As `next_event`; None for what was read and is of no interest."""
        if self._phase is not _READY and (event := self._before_ready()) is not None:
            return event
        incoming = self._incoming
        position = incoming.position
        available = incoming.end - position
        if available < HEADER_SIZE:
            return None if incoming.gather(max(self._needed, HEADER_SIZE)) else self._starved()
        data = incoming.data
        tag = data[position]
        following = NEXT_STEP[self._step].get(tag)
        length: int = _LENGTH.unpack_from(data, position + 1)[0]
        kind = self._kinds.get(tag)
        if kind is None:
            raise RemoteProtocolError(
                f"the {_NAMES[self._role.peer]} sent a message of unknown type {chr(tag)!r}"
            )
        longest = self._max_message_size if kind.longest < 0 else kind.longest
        if not kind.shortest <= length <= longest:
            self._refuse_length(kind, length, longest)
        if following is None:
            self._check_expected(kind, tag, length)
        if available <= length:
            self._needed = length + 1
            return None if incoming.gather(length + 1) else self._starved()
        self._needed = 0
        end = position + 1 + length
        if self._role is _BACKEND:
            return self._client_message(kind, data, position + HEADER_SIZE, end)
        if following is not None and tag == _DATA_ROW:
            return self._rows(position, following)
        message = kind.singleton or read_message(kind, data, position + HEADER_SIZE, end)
        incoming.position = end
        if following is None:
            self._from_backend(message, RemoteProtocolError)
        else:
            self._advance(following, message)
        return message

    def _before_ready(self) -> Message | NeedData | None:
        """What is special before and after the time when all messages have a type and a length."""
        incoming = self._incoming
        phase = self._phase
        if phase is _FAILED:
            raise RemoteProtocolError(self._error or "the connection has failed")
        if phase in _OVER:
            incoming.clear()
            if self._end_of_file:
                self._phase = Phase.CLOSED
            return NEED_DATA
        if self._role is _FRONTEND and phase in _ENCRYPTION_PHASES:
            return self._encryption_response() if incoming.gather(1) else self._starved()
        if self._role is _BACKEND and phase in _START_PHASES:
            return self._startup_message()
        if len(incoming) and (phase in _START_PHASES or phase in _ENCRYPTION_PHASES):
            raise RemoteProtocolError(f"the {_NAMES[self._role.peer]} spoke when it was not its turn")
        return None

    def _encryption_response(self) -> Message:
        # The answer is a single byte. More of them were not encrypted, whatever follows in the
        # stream, so nobody knows who sent them: the very attack that this check is about. For the
        # same reason an error message that may come instead is not looked at.
        incoming = self._incoming
        reply = incoming.data[incoming.position : incoming.position + 1]
        accepted = reply == (b"S" if self._phase is Phase.SSL_ASKED else b"G")
        if not accepted and reply != b"N":
            raise RemoteProtocolError(
                "the server answered the request for encryption with neither yes nor no"
            )
        if len(incoming) > 1:
            raise RemoteProtocolError(
                "unencrypted bytes follow the server's answer to the request for encryption"
            )
        incoming.clear()
        self._phase = Phase.ENCRYPTED if accepted else Phase.START
        return m.EncryptionResponse(reply)

    def _startup_message(self) -> Message | NeedData:
        incoming = self._incoming
        if not incoming.gather(4):
            return self._starved()
        length: int = _LENGTH.unpack_from(incoming.data, incoming.position)[0]
        if not 8 <= length <= MAX_STARTUP_LENGTH:
            raise RemoteProtocolError(
                f"a startup message of {length} bytes; 8 to {MAX_STARTUP_LENGTH} are possible"
            )
        if not incoming.gather(length):
            return self._starved()
        end = incoming.position + length
        message = read_startup(incoming.data, incoming.position, end)
        incoming.position = end
        self._from_frontend(message, RemoteProtocolError)
        return message

    def _starved(self) -> NeedData:
        if not self._end_of_file:
            return NEED_DATA
        peer = _NAMES[self._role.peer]
        if len(self._incoming):
            raise RemoteProtocolError(f"the {peer} closed the connection in the middle of a message")
        raise RemoteProtocolError(
            f"the {peer} closed the connection without a word, when {self._phase.value}"
        )

    def _refuse_length(self, kind: Kind, length: int, longest: int) -> NoReturn:
        raise RemoteProtocolError(
            f"{kind.name} claims a length of {length} bytes; {kind.shortest} to {longest} are possible"
        )

    def _check_expected(self, kind: Kind, tag: int, length: int) -> None:
        """Refuse, before reading it, what nobody waits for."""
        phase = self._phase
        is_client = self._role is _FRONTEND
        if phase is _READY:
            if is_client and tag not in _UNASKED:
                self._refuse_reply(kind.name, RemoteProtocolError)
        elif tag not in _EXPECTED[self._role][phase]:
            raise RemoteProtocolError(f"{kind.name} may not come when {phase.value}")
        elif is_client and phase in AUTHENTICATING and length > _MAX_LENGTH_BEFORE_AUTHENTICATION:
            self._refuse_length(kind, length, _MAX_LENGTH_BEFORE_AUTHENTICATION)

    def _client_message(self, kind: Kind, data: bytes, start: int, end: int) -> Message | None:
        phase = self._phase
        if kind.name == "PasswordMessage":
            response = _CLIENT_RESPONSES.get(phase)
            if response is None:
                raise RemoteProtocolError(f"a response to authentication may not come when {phase.value}")
            kind = response
        message = read_message(kind, data, start, end)
        self._incoming.position = end
        return message if self._from_frontend(message, RemoteProtocolError) else None

    def _rows(self, position: int, following: Step) -> Message | None:
        incoming = self._incoming
        if self.row_sink is not None:
            # A row over the limit does not fit in here, so it becomes the first of what is left: refused.
            end = min(incoming.end, position + 1 + self._max_message_size)
            taken = self.row_sink(incoming.data, position, end)
            if not position < taken <= end:
                raise RemoteProtocolError("DataRow could not be taken")
            incoming.position = taken
            self._move(following)
            return None
        starts, end = scan_rows(incoming.data, position, incoming.end, self._max_message_size, self._columns)
        rows = m.DataRows(incoming.data[position:end], starts)
        incoming.position = end
        first = rows[0]
        self._columns = len(first.values)
        self._move(following)
        return rows if len(rows) > 1 else first

    def _fail(self, reason: str) -> None:
        self._phase = Phase.FAILED
        self._error = reason
        self._forget_replies()
        self._incoming.clear()
