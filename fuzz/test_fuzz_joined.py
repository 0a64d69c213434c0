"""A client and a server joined by a network that delivers when it likes, in pieces of any size.

The client asks for what it likes, pipelined; the server answers as it likes, with errors, COPY and asides.
Whatever happens, each request that was not skipped is answered once, in order, and in the end both ends see
the same.
"""

from __future__ import annotations

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pgproto import NEED_DATA
from pgproto import messages as m
from pgproto._state import COPY_INPUT, Phase, Step
from pgproto.messages import Message, Role
from tests.support.pair import ready, snapshot

ROWS = m.RowDescription((m.FieldDescription("a"),))
ERROR = m.ErrorResponse({"V": "ERROR", "C": "XX000", "M": "no"})
ANSWERED_BY_READY = (m.Query, m.Sync, m.FunctionCall)
EXTENDED = (m.Parse, m.Bind, m.Describe, m.Close, m.Execute)
STATUSES = st.sampled_from([m.ReadyForQuery("I"), m.ReadyForQuery("T"), m.ReadyForQuery("E")])
WISHES = st.sampled_from(["rows", "rows", "nothing", "empty", "copy out", "copy in", "error"])


class Joined(RuleBasedStateMachine):
    """What the client wishes for stands in its requests, so that the server knows what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.client = ready(Role.FRONTEND)
        self.server = ready(Role.BACKEND)
        self.to_server = b""
        self.to_client = b""
        self.replies: deque[Message] = deque()
        """What the server is about to say."""
        self.tokens = 0
        self.last_token = 0
        self.asked = 0
        """How many requests the server has seen that end in ReadyForQuery."""
        self.answered = 0
        self.readies: list[str] = []
        self.heard = 0
        self.may_ask = True
        """Not while it cannot be known whether a COPY has begun."""

    # The client.

    def ask(self, message: Message) -> None:
        self.to_server += self.client.send(message)

    def token(self, wish: str) -> str:
        self.tokens += 1
        self.may_ask = self.may_ask and wish != "copy in"
        return f"{self.tokens} {wish}"

    @precondition(lambda self: self.may_ask)
    @rule(wish=WISHES)
    def client_queries(self, wish: str) -> None:
        self.ask(m.Query(self.token(wish)))

    @precondition(lambda self: self.may_ask)
    @rule(wish=WISHES, sync=st.booleans())
    def client_executes(self, wish: str, sync: bool) -> None:
        for message in (m.Bind(), m.Execute(self.token(wish))):
            self.ask(message)
        if sync:
            self.ask(m.Sync())

    @precondition(lambda self: self.may_ask)
    @rule(wish=st.sampled_from(["fine", "error"]), flush=st.booleans())
    def client_prepares(self, wish: str, flush: bool) -> None:
        self.ask(m.Parse("", self.token(wish)))
        self.ask(m.Describe("S"))
        if flush:
            self.ask(m.Flush())

    @precondition(lambda self: self.may_ask)
    @rule(
        message=st.sampled_from(
            [m.Describe("P"), m.Close("S"), m.Flush(), m.FunctionCall(1), m.Sync(), m.Sync()]
        )
    )
    def client_says(self, message: Message) -> None:
        self.ask(message)

    @precondition(lambda self: self.client.step in COPY_INPUT)
    @rule(
        message=st.sampled_from(
            [m.CopyData(b""), m.CopyData(b"1\n"), m.CopyDone(), m.CopyFail("no"), m.Flush()]
        )
    )
    def client_copies(self, message: Message) -> None:
        self.ask(message)

    # The network.

    @precondition(lambda self: self.to_server)
    @rule(size=st.integers(1, 200))
    def deliver_to_server(self, size: int) -> None:
        self.server.receive_data(self.to_server[:size])
        self.to_server = self.to_server[size:]

    @precondition(lambda self: self.to_client)
    @rule(size=st.integers(1, 200))
    def deliver_to_client(self, size: int) -> None:
        self.client.receive_data(self.to_client[:size])
        self.to_client = self.to_client[size:]
        while (event := self.client.next_event()) is not NEED_DATA:
            for message in event if isinstance(event, m.DataRows) else (event,):
                self.client_hears(message)

    def client_hears(self, event: Message) -> None:
        if isinstance(event, m.CommandComplete):
            # Answers come in the order of the requests.
            token = int(event.command_tag.split()[0])
            assert token >= self.last_token
            self.last_token = token
        elif isinstance(event, m.ReadyForQuery):
            assert event.status == self.readies[self.heard]
            assert self.client.transaction_status == event.status
            self.heard += 1
        # A COPY that was wished for is over, or will never begin, once all is answered.
        if self.client.pending == 0 and not self.to_server and self.client.step not in COPY_INPUT:
            self.may_ask = True

    # The server, which reads the next request when it has answered the one before.

    @rule(status=STATUSES, fails=st.integers(0, 9))
    def server_works(self, status: m.ReadyForQuery, fails: int) -> None:
        if self.replies:
            self.say(self.replies.popleft())
        elif self.server.step in COPY_INPUT:
            self.server_copies(fails == 0)
        elif (event := self.server.next_event()) is not NEED_DATA:
            assert isinstance(event, Message)
            self.plan(event, status, fails == 0)

    @rule(
        aside=st.sampled_from(
            [m.NoticeResponse({"M": "x"}), m.NotificationResponse(1, "c"), m.ParameterStatus("a", "b")]
        )
    )
    def server_says_something_else(self, aside: Message) -> None:
        self.say(aside)

    def say(self, message: Message) -> None:
        self.to_client += self.server.send(message)
        if isinstance(message, m.ReadyForQuery):
            self.answered += 1
            self.readies.append(message.status)

    def plan(self, request: Message, status: m.ReadyForQuery, fails: bool) -> None:
        """What a server says to a request that has just come."""
        text = request.query if isinstance(request, m.Query | m.Parse) else ""
        text = request.portal if isinstance(request, m.Execute) else text
        replies: list[Message] = []
        match request:
            case m.Query() | m.Execute():
                replies = self.result(text, announced=isinstance(request, m.Query))
            case m.Parse():
                replies = [ERROR] if text.endswith("error") else [m.ParseComplete()]
            case m.Describe():
                replies = [m.ParameterDescription((23,)), ROWS] if request.kind == "S" else [m.NoData()]
            case m.Bind() | m.Close():
                replies = [m.BindComplete() if isinstance(request, m.Bind) else m.CloseComplete()]
            case m.FunctionCall():
                replies = [m.FunctionCallResponse(None)]
            case _:
                ...
        if isinstance(request, ANSWERED_BY_READY):
            self.asked += 1
            if (
                fails
                and ERROR not in replies
                and m.EmptyQueryResponse() not in replies
                and not self.copies(text)
            ):
                replies.append(ERROR)
            if not self.copies(text):
                replies.append(status)
        elif fails and isinstance(request, EXTENDED):
            replies = [ERROR]
        self.replies.extend(replies)

    def copies(self, text: str) -> bool:
        return text.endswith("copy in")

    def result(self, text: str, *, announced: bool) -> list[Message]:
        done = m.CommandComplete(text)
        match text.partition(" ")[2]:
            case "rows":
                rows: list[Message] = [m.DataRow((b"1",)), m.DataRow((None,)), done]
                return [ROWS, *rows] if announced else rows
            case "nothing":
                return [done]
            case "empty":
                return [m.EmptyQueryResponse()]
            case "copy out":
                return [m.CopyOutResponse(), m.CopyData(b"1\n"), m.CopyDone(), done]
            case "copy in":
                return [m.CopyInResponse()]
            case _:
                return [ERROR]

    def server_copies(self, fails: bool) -> None:
        """Read some copy data, and perhaps fail.

        Not while an early Sync may be on its way: nobody could tell whether it will be answered.
        """
        is_query = self.server.step is Step.QUERY_COPY_IN
        event = self.server.next_event()
        end: list[Message] = [m.ReadyForQuery("I")] if is_query else []
        gives_up = fails and not self.to_server and self.client.step in COPY_INPUT
        if isinstance(event, m.CopyDone):
            self.replies.extend([m.CommandComplete(str(self.tokens)), *end])
        elif isinstance(event, m.CopyFail) or (event is NEED_DATA and gives_up):
            self.replies.extend([ERROR, *end])

    # What always holds.

    @invariant()
    def nobody_has_broken_the_rules(self) -> None:
        assert self.client.phase is Phase.READY
        assert self.server.phase is Phase.READY

    @invariant()
    def no_answer_is_without_a_question(self) -> None:
        assert self.heard <= self.answered <= self.asked
        assert self.client.pending >= 0

    def teardown(self) -> None:
        """Let everything arrive, and end what is not ended: then nothing may be left."""
        for _ in range(10_000):
            if self.to_server:
                self.deliver_to_server(1_000)
            elif self.to_client:
                self.deliver_to_client(1_000)
            elif self.replies or len(self.server._incoming):
                self.server_works(m.ReadyForQuery("I"), 9)
            elif self.client.step in COPY_INPUT:
                self.client_copies(m.CopyDone())
                self.deliver_to_server(1_000)
                self.server_works(m.ReadyForQuery("I"), 9)
            elif self.client._skipping:
                self.ask(m.Sync())
            else:
                break
        assert self.client.pending == self.server.pending == 0
        assert self.heard == self.answered == self.asked == len(self.readies)
        assert self.client.transaction_status == ([*"I", *self.readies])[-1]
        assert snapshot(self.client, shared=True) == snapshot(self.server, shared=True)
        super().teardown()


TestJoined = Joined.TestCase
