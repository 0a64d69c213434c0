"""Run authentication flows from a list, with no server and no socket."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256
from hmac import digest
from typing import Any

from pgproto import messages
from pgproto._auth import AuthenticationOutcome, AuthenticationSettings, Channel, authenticate
from pgproto._effects import AskPassword, Effect, Entropy, Flow, ReceiveMessage, RunInThread, SendMessage
from pgproto._secret import Secret
from pgproto.messages import Authentication, Message

__all__ = ["Peer", "Reply", "ScramServer", "authenticated", "fails", "settings", "talk"]

Reply = Message | Callable[[Message], Message]
"""What the server says next, or how it makes that from what the client said last."""

PLAIN = Channel("tcp")
UNIX = Channel("unix")
TLS = Channel("tls")
VERIFIED = Channel("tls", verified=True)

ENTROPY = b64decode("rOprNGfwEbeRWgbNEkqO")
"""So that our nonce is that of RFC 7677's example."""


def settings(
    channel: Channel = PLAIN, password: str | None = "pencil", user: str = "user", **more: Any
) -> AuthenticationSettings:
    secret = None if password is None else Secret(password)
    return AuthenticationSettings(user, channel, secret, **more)


@dataclass
class Peer:
    """Both the world and the server: carries out effects, answers from a list, and notes what it got."""

    replies: list[Reply]
    sent: list[Message] = field(default_factory=list[Message])
    derived: int = 0
    asked: int = 0

    def run(self, flow: Flow[AuthenticationOutcome]) -> AuthenticationOutcome:
        result: object = None
        error: Exception | None = None
        while True:
            try:
                effect = flow.send(result) if error is None else flow.throw(error)
            except StopIteration as stop:
                outcome: AuthenticationOutcome = stop.value
                return outcome
            result, error = None, None
            try:
                result = self.perform(effect)
            except Exception as failure:
                error = failure

    def perform(self, effect: Effect[object]) -> object:
        match effect:
            case SendMessage(message):
                message.encode()
                self.sent.append(message)
                return None
            case ReceiveMessage():
                reply = self.replies.pop(0)
                return reply if isinstance(reply, Message) else reply(self.sent[-1])
            case Entropy(size):
                assert size >= 16
                return ENTROPY
            case RunInThread():
                self.derived += 1
                return effect.work()
            case AskPassword(ask):
                self.asked += 1
                return ask()
            case _:
                raise AssertionError(effect)


def talk(replies: Iterable[Reply], given: AuthenticationSettings) -> tuple[AuthenticationOutcome, Peer]:
    """Authenticate against a server that says these things; all of them must be heard."""
    first, *rest = replies
    assert isinstance(first, Authentication)
    peer = Peer(rest)
    outcome = peer.run(authenticate(first, given))
    assert not peer.replies, f"never heard: {peer.replies}"
    return outcome, peer


def authenticated(replies: Iterable[Reply], given: AuthenticationSettings) -> list[Message]:
    """The same; return what the client sent."""
    return talk(replies, given)[1].sent


def fails(
    replies: Iterable[Reply], given: AuthenticationSettings, error: type[BaseException]
) -> tuple[BaseException, Peer]:
    """Authenticate, which must fail like this; return the error, and what had happened until then."""
    first, *rest = replies
    assert isinstance(first, Authentication)
    peer = Peer(rest)
    try:
        outcome = peer.run(authenticate(first, given))
    except error as failure:
        return failure, peer
    raise AssertionError(f"authenticated: {outcome}")


class ScramServer:
    """The server's side, straight from RFC 5802; `password` is the bytes its keys were made from."""

    def __init__(
        self,
        password: bytes,
        *,
        binding: bytes | None = None,
        salt: bytes = b"0123456789abcdef",
        count: int = 4096,
    ) -> None:
        self.binding = binding
        self.salt = salt
        self.count = count
        self.salted = pbkdf2_hmac("sha256", password, salt, count)
        self.first_bare = b""
        self.header = b""
        self.server_first = b""

    def challenge(self, message: Message) -> Message:
        assert isinstance(message, messages.SASLInitialResponse)
        assert message.data is not None
        flag, authzid, self.first_bare = message.data.split(b",", 2)
        self.header = flag + b"," + authzid + b","
        nonce = self.first_bare.split(b",r=")[1]
        self.server_first = b"r=%sSERVER,s=%s,i=%d" % (nonce, b64encode(self.salt), self.count)
        return messages.AuthenticationSASLContinue(self.server_first)

    def final(self, message: Message) -> Message:
        """Check the proof, and give ours."""
        assert isinstance(message, messages.SASLResponse)
        without_proof, proof = message.data.split(b",p=")
        binding = b64decode(without_proof.split(b",")[0].removeprefix(b"c="))
        if self.header.startswith(b"p="):
            assert self.binding is not None
            assert binding == self.header + self.binding
        else:
            assert binding == self.header
        signed = b",".join((self.first_bare, self.server_first, without_proof))
        stored_key = sha256(digest(self.salted, b"Client Key", "sha256")).digest()
        signature = digest(stored_key, signed, "sha256")
        client_key = bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))
        if sha256(client_key).digest() != stored_key:
            return messages.ErrorResponse({"S": "FATAL", "C": "28P01", "M": "password authentication failed"})
        server_key = digest(self.salted, b"Server Key", "sha256")
        return messages.AuthenticationSASLFinal(b"v=" + b64encode(digest(server_key, signed, "sha256")))

    def script(self, *mechanisms: str) -> list[Reply]:
        return [
            messages.AuthenticationSASL(mechanisms or ("SCRAM-SHA-256",)),
            self.challenge,
            self.final,
            messages.AuthenticationOk(),
        ]
