"""Random sessions that keep all rules, written from the protocol's description and not from our tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pgproto import messages as m
from pgproto.messages import Message, Role

__all__ = ["Session", "random_session"]

Session = list[tuple[Role, Sequence[Message]]]
"""Turns: one side says this, then the other that."""

CLIENT: Final = Role.FRONTEND
SERVER: Final = Role.BACKEND
_IDLE: Final = m.ReadyForQuery("I")


def random_session(rng: random.Random, *, requests: int = 5) -> Session:
    """A session from the first byte to Terminate."""
    author = _Author(rng)
    turns = [*author.encryption(), *author.startup()]
    for _ in range(rng.randint(0, requests)):
        turns += author.exchange()
    if rng.random() < 0.8:
        turns += [(CLIENT, [m.Terminate()])]
    elif rng.random() < 0.5:
        turns += [(CLIENT, [author.query()]), (SERVER, [author.error(fatal=True)])]
    return [(side, author.with_asides(said) if side is SERVER else said) for side, said in turns]


class _Author:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.ready = False

    # Words.

    def maybe(self, probability: float = 0.5) -> bool:
        return self.rng.random() < probability

    def text(self) -> str:
        return self.rng.choice(("", "a", "select 1", "ä€", "\udcff", "x" * self.rng.randint(0, 300)))

    def value(self) -> bytes | None:
        return self.rng.choice(
            (None, b"", b"1", b"\x00\x00\x00\x01", self.rng.randbytes(self.rng.randint(0, 40)))
        )

    def query(self) -> m.Query:
        return m.Query(self.text())

    def error(self, *, fatal: bool = False) -> m.ErrorResponse:
        severity = self.rng.choice(("FATAL", "PANIC")) if fatal else "ERROR"
        return m.ErrorResponse({"S": severity, "V": severity, "C": "XX000", "M": self.text()})

    def status(self) -> m.ReadyForQuery:
        return self.rng.choice((_IDLE, _IDLE, m.ReadyForQuery("T"), m.ReadyForQuery("E")))

    def aside(self) -> Message:
        notice = m.NoticeResponse({"S": "NOTICE", "M": self.text()})
        if not self.ready:
            return notice
        notification = m.NotificationResponse(self.rng.randint(1, 2**31 - 1), "channel", self.text())
        return self.rng.choice((notice, notification, m.ParameterStatus("TimeZone", self.text())))

    def with_asides(self, said: Sequence[Message]) -> list[Message]:
        """The server's words, with others in between that nobody has asked for."""
        found: list[Message] = []
        for message in said:
            is_first = isinstance(message, m.EncryptionResponse | m.NegotiateProtocolVersion)
            while not is_first and self.maybe(0.04):
                found.append(self.aside())
            found.append(message)
            self.ready = self.ready or isinstance(message, m.ReadyForQuery)
        return found

    # The beginning.

    def encryption(self) -> Session:
        turns: Session = []
        for request, yes in ((m.GSSENCRequest(), b"G"), (m.SSLRequest(), b"S")):
            if self.maybe(0.3):
                answer = yes if self.maybe() else b"N"
                turns += [(CLIENT, [request]), (SERVER, [m.EncryptionResponse(answer)])]
                if answer == yes:
                    break
        return turns

    def startup(self) -> Session:
        version = self.rng.choice((m.PROTOCOL_3_0, m.PROTOCOL_3_2))
        turns: Session = [(CLIENT, [m.StartupMessage({"user": "u", "database": self.text()}, version)])]
        first: list[Message] = []
        if self.maybe(0.3):
            version = self.rng.choice((m.PROTOCOL_3_0, version))
            first.append(m.NegotiateProtocolVersion(version, ("_pq_.x",) * self.rng.randint(0, 2)))
        last: list[Message] = [m.AuthenticationOk()]
        last += [m.ParameterStatus("server_version", "18"), m.ParameterStatus("client_encoding", "UTF8")]
        if self.maybe(0.8):
            size = self.rng.choice((4, 32, 256)) if version == m.PROTOCOL_3_2 else 4
            last.append(m.BackendKeyData(self.rng.randint(-(2**31), 2**31 - 1), bytes(size)))
        last.append(_IDLE)
        ways = (self.trust, self.password, self.scram, self.oauth, self.gssapi)
        turns += self.rng.choice(ways)(first)
        turns.append((SERVER, last))
        return _join(turns)

    def trust(self, first: list[Message]) -> Session:
        return [(SERVER, first)]

    def password(self, first: list[Message]) -> Session:
        asks = (m.AuthenticationCleartextPassword(), m.AuthenticationMD5Password(b"salt"))
        return [(SERVER, [*first, self.rng.choice(asks)]), (CLIENT, [m.PasswordMessage(self.text())])]

    def scram(self, first: list[Message]) -> Session:
        return [
            (SERVER, [*first, m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))]),
            (CLIENT, [m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x")]),
            (SERVER, [m.AuthenticationSASLContinue(b"r=xy,s=AAAA,i=4096")]),
            (CLIENT, [m.SASLResponse(b"c=biws,r=xy,p=AAAA")]),
            (SERVER, [m.AuthenticationSASLFinal(b"v=AAAA")]),
        ]

    def oauth(self, first: list[Message]) -> Session:
        turns: Session = [
            (SERVER, [*first, m.AuthenticationSASL(("OAUTHBEARER",))]),
            (CLIENT, [m.SASLInitialResponse("OAUTHBEARER", self.value())]),
        ]
        if self.maybe(0.3):
            turns += [(SERVER, [m.AuthenticationSASLContinue(b"{}")]), (CLIENT, [m.SASLResponse(b"\x01")])]
        return turns

    def gssapi(self, first: list[Message]) -> Session:
        ask = self.rng.choice((m.AuthenticationGSS(), m.AuthenticationSSPI()))
        turns: Session = [(SERVER, [*first, ask]), (CLIENT, [m.GSSResponse(b"token")])]
        while self.maybe(0.3):
            turns += [(SERVER, [m.AuthenticationGSSContinue(b"token")]), (CLIENT, [m.GSSResponse(b"token")])]
        if self.maybe():
            turns += [(SERVER, [m.AuthenticationGSSContinue(b"token")])]
        return turns

    # Requests and replies.

    def exchange(self) -> Session:
        """Some requests, and all that they bring."""
        if self.maybe(0.25):
            return _join(list(self.rng.choice((self.copy_in, self.copy_both, self.broken_off))()))
        asked: list[Message] = []
        answered: list[Message] = []
        for _ in range(self.rng.randint(1, 4)):
            kinds: tuple[Callable[[], tuple[list[Message], list[Message]]], ...] = (
                self.simple,
                self.group,
                self.group,
                self.function,
            )
            requests, replies = self.rng.choice(kinds)()
            asked += requests
            answered += replies
        return [(CLIENT, asked), (SERVER, answered)]

    def simple(self) -> tuple[list[Message], list[Message]]:
        replies: list[Message] = []
        if self.maybe(0.1):
            replies.append(m.EmptyQueryResponse())
        else:
            for _ in range(self.rng.randint(1, 3)):
                replies += self.result(announced=True)
            if self.maybe(0.2):
                replies = [*self.cut_short(replies), self.error()]
        return [self.query()], [*replies, self.status()]

    def cut_short(self, replies: Sequence[Message]) -> list[Message]:
        return list(replies[: self.rng.randint(0, len(replies))])

    def rows(self, columns: int) -> list[Message]:
        return [m.DataRow([self.value() for _ in range(columns)]) for _ in range(self.rng.randint(0, 6))]

    def result(self, *, announced: bool) -> list[Message]:
        """What one statement brings; announced by RowDescription in a simple query, and not by Execute."""
        if self.maybe(0.2):
            data = [
                m.CopyData(self.rng.randbytes(self.rng.randint(0, 60))) for _ in range(self.rng.randint(0, 3))
            ]
            return [m.CopyOutResponse(0, (0,)), *data, m.CopyDone(), m.CommandComplete("COPY 2")]
        if self.maybe(0.3):
            return [m.CommandComplete("INSERT 0 1")]
        columns = self.rng.randint(0, 4)
        shape = [m.RowDescription(tuple([m.FieldDescription(self.text()) for _ in range(columns)]))]
        return [*(shape if announced else []), *self.rows(columns), m.CommandComplete("SELECT 3")]

    def step(self) -> tuple[Message, Sequence[Message]]:
        """One message of the extended query, and its reply."""
        shape = self.rng.choice((m.NoData(), m.RowDescription((m.FieldDescription("a"),))))
        partly = [*self.rows(2), m.PortalSuspended()]
        steps: list[tuple[Message, Sequence[Message]]] = [
            (m.Parse("", self.text(), (23,)), (m.ParseComplete(),)),
            (m.Bind("", "", (), (self.value(),)), (m.BindComplete(),)),
            (m.Describe("S", ""), (m.ParameterDescription((23, 25)), shape)),
            (m.Describe("P", ""), (shape,)),
            (m.Execute("", 6), partly),
            (m.Execute(), self.result(announced=False)),
            (m.Execute(), (m.EmptyQueryResponse(),)),
            (m.Close(self.rng.choice("SP"), "x"), (m.CloseComplete(),)),
            (m.Flush(), ()),
        ]
        return self.rng.choice(steps)

    def group(self) -> tuple[list[Message], list[Message]]:
        """Messages up to Sync, one of which may fail: then the others bring nothing."""
        asked: list[Message] = []
        answered: list[Message] = []
        failed = False
        for _ in range(self.rng.randint(0, 6)):
            request, replies = self.step()
            asked.append(request)
            if failed:
                continue
            if replies and self.maybe(0.1):
                failed = True
                # Nothing may fail once its last word has been said.
                replies = [*self.cut_short(replies[:-1]), self.error()]
            answered += replies
        if not failed and self.maybe(0.1):
            answered.append(self.error())
        return [*asked, m.Sync()], [*answered, self.status()]

    def function(self) -> tuple[list[Message], list[Message]]:
        replies: list[Message] = [m.FunctionCallResponse(self.value())] if self.maybe(0.8) else []
        if not replies or self.maybe(0.1):
            replies.append(self.error())
        return [m.FunctionCall(1598, (), (self.value(),), 1)], [*replies, self.status()]

    # COPY, and errors that the client has heard of before it goes on: more than two turns.

    def copy_data(self) -> list[Message]:
        return [
            m.CopyData(self.rng.randbytes(self.rng.randint(0, 60))) for _ in range(self.rng.randint(0, 4))
        ]

    def copy_in(self) -> Iterator[tuple[Role, Sequence[Message]]]:
        extended = self.maybe()
        if extended:
            yield CLIENT, [m.Bind(), m.Execute()]
            yield SERVER, [m.BindComplete()]
        else:
            yield CLIENT, [self.query()]
        yield SERVER, [m.CopyInResponse(1, (1, 1))]
        yield CLIENT, self.copy_data()
        ended = self.rng.choice(("done", "client", "server", "late"))
        if ended == "server":
            yield SERVER, [self.error()]
        else:
            yield CLIENT, [m.CopyFail(self.text()) if ended == "client" else m.CopyDone()]
        if ended != "server" and extended:
            yield CLIENT, [m.Sync()]
        if ended != "server":
            yield SERVER, [m.CommandComplete("COPY 1") if ended == "done" else self.error()]
        elif extended:
            yield CLIENT, [m.Sync()]
        yield SERVER, [self.status()]

    def copy_both(self) -> Iterator[tuple[Role, Sequence[Message]]]:
        yield CLIENT, [self.query()]
        yield SERVER, [m.CopyBothResponse()]
        yield CLIENT, self.copy_data()
        yield SERVER, self.copy_data()
        first, second = self.rng.sample((CLIENT, SERVER), 2)
        yield first, [m.CopyDone()]
        yield second, self.copy_data()
        if self.maybe(0.3):
            yield SERVER, [self.error()]
        else:
            yield second, [m.CopyDone()]
            yield SERVER, [m.CommandComplete("START_REPLICATION")]
        yield SERVER, [self.status()]

    def broken_off(self) -> Iterator[tuple[Role, Sequence[Message]]]:
        """A group without Sync fails; what the client sends until it says Sync brings nothing."""
        yield CLIENT, [m.Parse("", "?"), m.Flush()]
        yield SERVER, [self.error()]
        yield CLIENT, [self.step()[0] for _ in range(self.rng.randint(0, 3))]
        yield CLIENT, [m.Sync()]
        yield SERVER, [self.status()]


def _join(turns: Session) -> Session:
    """Turns of the same side, made one."""
    joined: Session = []
    for side, said in turns:
        if joined and joined[-1][0] is side:
            joined[-1] = (side, [*joined[-1][1], *said])
        elif said:
            joined.append((side, said))
    return joined
