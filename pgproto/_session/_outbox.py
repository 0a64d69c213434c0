"""What goes out: the bytes that requests make, in their order, and who is to hear about it."""

from __future__ import annotations

from typing import Final

from pgproto import messages as m
from pgproto._session._request import Request, Waitable
from pgproto._short_way import ClientConnection
from pgproto._state import Step

__all__ = ["FLUSH", "SYNC", "Outbox"]

SYNC: Final = m.Sync().encode()
FLUSH: Final = m.Flush().encode()
_SYNC_MESSAGE: Final = m.Sync()
_SYNC_SIZE: Final = len(SYNC)
_SYNC_STEP: Final = Step.SYNC
_QUERY_STEP: Final = Step.QUERY

# No statement: the server answers with a syntax error, which is how a client takes back a group of messages
# that it has begun to send. The words are for whoever reads the server's log.
_TAKE_BACK: Final = m.Parse(
    "", "pgproto gave up a group of statements before its end; nothing is kept"
).encode()


class Outbox:
    """The half of the request machine that requests write to.

    A group may be written in parts. Until its last part is there, its request is the *writer*, and nothing of
    anybody else may be written behind it.
    """

    __slots__ = (
        "__weakref__",
        "_given",
        "_out",
        "_sealed",
        "_thirsty",
        "_writer",
        "_written",
        "connection",
        "news",
        "woke_several",
    )

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._writer: Request[object] | None = None
        self._out: list[bytes] = []
        self._written = 0
        self._given = 0
        self._sealed = False
        self.news: list[Waitable] = []
        """Those whom `take_stirred` will name."""
        self.woke_several = False
        """Whether those whom it named last were several: they may ask for more at the same time, so a request
        had better wait for the others of this moment, even if nothing is under way."""
        # Who writes copy data, and is to hear when it has been handed over.
        self._thirsty: Request[object] | None = None

    @property
    def written(self) -> int:
        """How many bytes have been made in all."""
        return self._written

    @property
    def unsent(self) -> int:
        """How many bytes the transport has not taken yet."""
        return self._written - self._given

    def write(self, request: Request[object], data: bytes, steps: tuple[Step, ...]) -> None:
        """Append a part of the request's group; until one ends with Sync or is a Query, all others wait."""
        self._out.append(self.connection.send_group(data, steps))
        written = self._written
        if request.first_byte < 0:
            request.first_byte = written
        self._written = written = written + len(data)
        last = steps[-1]
        if last is _SYNC_STEP:
            request.execute_end = written - _SYNC_SIZE
            self._writer = None
        elif last is _QUERY_STEP:
            request.execute_end = written
            self._writer = None
        else:
            self._writer = request

    def write_whole(self, request: Request[object], data: bytes, steps: tuple[Step, ...]) -> None:
        """As `write`, for a whole group that ends with Sync."""
        self._out.append(self.connection.send_group(data, steps))
        request.first_byte = written = self._written
        self._written = written = written + len(data)
        request.execute_end = written - _SYNC_SIZE

    def send(self, message: m.Message) -> None:
        """Append a message that belongs to the group being written, such as copy data."""
        self.put_out(self.connection.send(message))

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

    def stir(self, waitable: Waitable) -> None:
        """Have the owner woken."""
        waitable.stirred = True
        self.news.append(waitable)

    def take_stirred(self) -> list[Waitable]:
        """Those whose owners have something to see, such as an outcome, since the last call."""
        stirred, self.news = self.news, []
        self.woke_several = len(stirred) > 1
        return stirred

    def put_out(self, data: bytes) -> None:
        """Append bytes that the connection has been told of."""
        self._out.append(data)
        self._written += len(data)

    def seal(self) -> None:
        """From here on nothing more is given to the transport, which is about to close the connection.

        The server is being told to stop what it does for this session; then it must not get more to do.
        """
        self._sealed = True

    def drop_out(self) -> None:
        """The session has ended: nothing more goes out."""
        self._out.clear()
        self._writer = self._thirsty = None

    def forget_writer(self, request: Request[object]) -> None:
        """This request is over."""
        if request is self._writer:
            self._writer = self._thirsty = None
