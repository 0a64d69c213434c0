"""Replies of random shapes, alike and not, whole, cut and mutilated: what was learned makes no difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fuzz.test_fuzz_rows import CODECS, WILD, mutilated, values_of
from pgproto import NEED_DATA, RemoteProtocolError, Role, messages
from pgproto._session._results import Rows
from pgproto._session._statement import Statement
from pgproto._short_way import ClientConnection, Sink
from pgproto._state import Step
from pgproto.types import Codec
from tests.support.reference_rows import row_message

GROUP = (Step.BIND, Step.EXECUTE, Step.SYNC)
BOUND = messages.BindComplete().encode()
READY = [messages.ReadyForQuery("I"), messages.ReadyForQuery("T"), messages.ReadyForQuery("E")]
TAGS = ["SELECT 1", "SELECT 0", "INSERT 0 1", ""]
ROW_TYPES: list[Any] = [None, tuple, dict]


def statement_of(codecs: Sequence[Codec]) -> Statement:
    columns = [
        messages.FieldDescription(f"c{i}", type_oid=codec.oid, format=codec.format)
        for i, codec in enumerate(codecs)
    ]
    return Statement("", "s", "SELECT", (), columns, codecs)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[tuple[Codec, ...], list[list[bytes]]]:
    """The columns' codecs, and replies in the pieces in which they come; most are like others."""
    codecs = tuple(draw(st.lists(st.sampled_from(CODECS), min_size=0, max_size=4)))
    plain = [values_of(codec) for codec in codecs]
    usual = st.tuples(*plain).map(row_message)
    odd = st.tuples(*[st.none() | st.sampled_from(WILD) | values for values in plain]).map(row_message)
    few = draw(st.lists(usual | usual | odd, min_size=1, max_size=3))
    replies: list[list[bytes]] = []
    for _ in range(draw(st.integers(1, 5))):
        rows = draw(st.sampled_from(few)) * draw(st.sampled_from([1, 1, 1, 0, 2]))
        tag = messages.CommandComplete(draw(st.sampled_from(TAGS[:2] + TAGS))).encode()
        times = draw(st.sampled_from([1, 2, 15]))
        for _ in range(times):
            reply = BOUND + rows + tag + draw(st.sampled_from(READY[:1] + READY)).encode()
            replies.append([reply])
        if draw(st.integers(0, 4)) == 0:
            cut = draw(st.integers(0, len(replies[-1][0])))
            replies[-1] = [replies[-1][0][:cut], replies[-1][0][cut:]]
    if draw(st.booleans()):
        replies.append([mutilated(draw, replies[-1][0])])
    return codecs, replies


class Client:
    """Reads one reply after the other, as the request machine does."""

    def __init__(self, codecs: Sequence[Codec], row: Any, *, learns: bool) -> None:
        self.statement = statement_of(codecs)
        self.row = row
        self.learns = learns
        self.failed = False
        self.connection = ClientConnection(Role.FRONTEND, max_message_size=1000)
        self.connection.send(messages.StartupMessage({"user": "alice"}))
        for message in (messages.AuthenticationOk(), messages.ReadyForQuery("I")):
            self.connection.receive_data(message.encode())
            self.connection.next_event()

    def read(self, reply: Sequence[bytes]) -> list[object]:
        """All that is to be seen of it."""
        connection, rows = self.connection, Rows(self.row)
        rows.use(self.statement)
        seen: list[object] = []
        try:
            connection.send_group(b"", GROUP)
            for piece in reply:
                connection.receive_data(piece)
                self.read_piece(rows, seen)
        except RemoteProtocolError as error:
            self.failed = True
            seen.append(str(error))
        seen += [repr(rows.made()), repr(rows.error), connection.transaction_status]
        seen += [connection.step, connection.pending]
        return seen

    def read_piece(self, rows: Rows, seen: list[object]) -> None:
        connection = self.connection
        while True:
            ending = connection.take_reply(rows if self.learns else Sink(rows.take))
            if ending is not None:
                assert ending[1] == connection.transaction_status
                seen.append(messages.CommandComplete(ending[0]))
                seen += [ready for ready in READY if ready.status == ending[1]]
            elif (event := connection.next_event()) is NEED_DATA:
                return
            elif isinstance(event, messages.BindComplete):
                connection.row_sink = rows.take
            else:
                seen.append(event)


@given(conversations(), st.sampled_from(ROW_TYPES))
def test_what_was_learned_makes_no_difference(
    conversation: tuple[tuple[Codec, ...], list[list[bytes]]], row: Any
) -> None:
    codecs, replies = conversation
    learning, plain = (Client(codecs, row, learns=learns) for learns in (True, False))
    for reply in replies:
        outcome = learning.read(reply)
        assert outcome == plain.read(reply)
        if learning.failed:
            return
