"""Servers that are objects, honest ones and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pgproto import NEED_DATA, Connection, Role
from pgproto import messages as m
from pgproto._effects import TLSInfo
from pgproto.messages import Message
from tests.core.auth.support import ScramServer

__all__ = ["READ_ONLY", "REPORTED", "STANDBY", "Script", "Server", "fatal"]

KEY = m.BackendKeyData(4711, b"\x01\x02\x03\x04")
READY = m.ReadyForQuery("I")
REPORTED = {
    "server_version": "18.0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "in_hot_standby": "off",
    "default_transaction_read_only": "off",
}
STANDBY = {"in_hot_standby": "on", "default_transaction_read_only": "off"}
READ_ONLY = {"in_hot_standby": "off", "default_transaction_read_only": "on"}


def fatal(sqlstate: str, message: str = "no", severity: str = "FATAL") -> m.ErrorResponse:
    return m.ErrorResponse({"S": severity, "V": severity, "C": sqlstate, "M": message})


Script = Sequence[Message | bytes]
"""What a server says, a message at a time; bytes are said as they are."""


Answer = Script | bytes | None
"""The value of the only row, or whatever else it says."""


@dataclass
class Server:
    """A server that follows the rules where its settings do not say otherwise."""

    encryption: bytes = b"N"
    """What it says to SSLRequest; b"" for nothing."""
    hangs_up_at: str = ""
    """The name of the message at which it hangs up."""
    silent_at: str = ""
    """The name of the message at which it falls silent."""
    handshake: TLSInfo | Exception | None = None
    startup: Script | None = None
    """What it says to StartupMessage, true or not; None for what `password` says."""
    stops: bool = False
    """It hangs up after that."""
    asks: m.Authentication | None = None
    """How it wants to authenticate, in the place of what `password` says."""
    iterations: int = 4096
    password: str | None = None
    """It wants SCRAM with this password; None for no authentication."""
    only_with: str = ""
    """"tls" or "plain": what its rules for hosts accept."""
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    key: m.BackendKeyData | None = KEY
    before_ready: Script = ()
    ready: m.ReadyForQuery = READY
    newest: int = 0x0003_0002
    chokes: bool = False
    """It does not understand minor versions, like some poolers."""
    answers: dict[str, Answer] = field(default_factory=dict[str, "Answer"])
    user: str | None = None
    """Of the process, at a Unix-domain socket."""
    chunk: int = 1 << 20
    """How much it says at a time."""

    heard: list[Message] = field(default_factory=list[Message])
    output: bytes = b""
    closed: bool = False
    tls: bool = False
    server_hostname: str | None = None
    scram: ScramServer | None = None
    connection: Connection = field(default_factory=lambda: Connection(Role.BACKEND))

    def feed(self, data: bytes) -> None:
        self.connection.receive_data(data)
        while (event := self.connection.next_event()) is not NEED_DATA:
            assert isinstance(event, Message)
            self.heard.append(event)
            name = type(event).__name__
            if name == self.silent_at:
                return
            if name == self.hangs_up_at:
                self.closed = True
                return
            self.answer(event)

    def say(self, *words: Message | bytes) -> None:
        for word in words:
            if isinstance(word, bytes):
                self.output += word
            else:
                self.output += self.connection.send(word)

    def lie(self, *words: Message | bytes) -> None:
        """Say what a server may not say."""
        for word in words:
            self.output += word if isinstance(word, bytes) else word.encode()

    def answer(self, message: Message) -> None:
        match message:
            case m.SSLRequest():
                if self.encryption[:1] in (b"S", b"N"):
                    self.say(m.EncryptionResponse(self.encryption[:1]))
                    self.lie(self.encryption[1:])
                else:
                    self.lie(self.encryption)
            case m.StartupMessage():
                self.start(message)
            case m.SASLInitialResponse():
                assert self.scram is not None
                self.say(self.scram.challenge(message))
            case m.SASLResponse():
                assert self.scram is not None
                final = self.scram.final(message)
                self.say(final)
                if isinstance(final, m.ErrorResponse):
                    self.closed = True
                else:
                    self.accept()
            case m.PasswordMessage():
                self.accept()
            case m.Query(query):
                self.reply(query)
            case m.CancelRequest() | m.Terminate():
                self.closed = True
            case _:
                raise AssertionError(message)

    def start(self, message: m.StartupMessage) -> None:
        if self.chokes and message.protocol_version != 0x0003_0000:
            self.say(fatal("08P01", "bad packet header"))
            self.closed = True
            return
        if self.only_with and (self.only_with == "tls") is not self.tls:
            self.say(fatal("28000", "no pg_hba.conf entry for host"))
            self.closed = True
            return
        if self.startup is not None:
            self.lie(*self.startup)
            self.closed = self.stops or any(isinstance(word, m.ErrorResponse) for word in self.startup)
            return
        if self.asks is not None:
            self.say(self.asks)
            return
        options = tuple(name for name in message.parameters if name.startswith("_pq_."))
        if message.protocol_version > self.newest or options:
            version = min(message.protocol_version, self.newest)
            self.say(m.NegotiateProtocolVersion(version, options))
        if self.password is None:
            self.accept()
        else:
            self.scram = ScramServer(self.password.encode(), count=self.iterations)
            self.say(m.AuthenticationSASL(("SCRAM-SHA-256",)))

    def accept(self) -> None:
        self.say(m.AuthenticationOk())
        for name, value in {**REPORTED, **self.parameters}.items():
            if value:
                self.say(m.ParameterStatus(name, value))
        if self.key is not None:
            self.say(self.key)
        self.lie(*self.before_ready)
        if any(isinstance(word, m.ErrorResponse) for word in self.before_ready):
            self.closed = True
        else:
            self.say(self.ready)

    def reply(self, query: str) -> None:
        answer = self.answers[query]
        if isinstance(answer, bytes | None):
            answer = [
                m.RowDescription((m.FieldDescription("answer"),)),
                m.DataRow((answer,)),
                m.CommandComplete("SHOW"),
                m.ReadyForQuery("I"),
            ]
        self.lie(*answer)
