"""Whole authentications against servers, honest ones and others."""

from __future__ import annotations

import hashlib
import warnings
from base64 import b64encode
from collections.abc import Callable
from hmac import digest
from traceback import TracebackException
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519

from pgproto import messages as m
from pgproto._auth import AllowedMethods, AuthenticationSettings, Channel, ScramKeys
from pgproto._auth._flow import authenticate
from pgproto._effects import ReceiveMessage
from pgproto._secret import Secret
from pgproto.errors import (
    AuthenticationError,
    ConfigError,
    Error,
    InvalidPassword,
    PostgresError,
    RemoteProtocolError,
)
from tests.core.auth.support import (
    ENTROPY,
    PLAIN,
    TLS,
    UNIX,
    VERIFIED,
    Peer,
    Reply,
    ScramServer,
    authenticated,
    fails,
    settings,
    talk,
)
from tests.core.auth.test_channel_binding import EC, certificate

OK = m.AuthenticationOk()
REFUSED = m.ErrorResponse({"S": "FATAL", "C": "28P01", "M": "password authentication failed"})
CERTIFICATE = certificate(EC, hashes.SHA384())
BINDING = hashlib.sha384(CERTIFICATE).digest()
BOUND = Channel("tls", verified=True, certificate=CERTIFICATE)
UNBINDABLE = Channel(
    "tls", verified=True, certificate=certificate(ed25519.Ed25519PrivateKey.generate(), None)
)


def only(text: str) -> AllowedMethods:
    return AllowedMethods.parse(text)


# --- What works --------------------------------------------------------------------------------------------


def test_trust() -> None:
    outcome, peer = talk([OK], settings())
    assert (outcome.method, outcome.mechanism, outcome.channel_bound) == ("none", None, False)
    assert peer.sent == []


@pytest.mark.parametrize("channel", [TLS, VERIFIED, UNIX])
def test_cleartext(channel: Channel) -> None:
    outcome, peer = talk([m.AuthenticationCleartextPassword(), OK], settings(channel))
    assert outcome.method == "password"
    assert peer.sent == [m.PasswordMessage("pencil")]


def test_cleartext_in_the_open_if_it_was_asked_for() -> None:
    sent = authenticated([m.AuthenticationCleartextPassword(), OK], settings(allowed=only("password")))
    assert sent == [m.PasswordMessage("pencil")]


def test_md5() -> None:
    with pytest.warns(DeprecationWarning, match="scram-sha-256"):
        outcome, peer = talk([m.AuthenticationMD5Password(b"\x01\x02\x03\x04"), OK], settings(user="alice"))
    assert outcome.method == "md5"
    inner = hashlib.md5(b"pencilalice").hexdigest()
    expected = "md5" + hashlib.md5(inner.encode() + b"\x01\x02\x03\x04").hexdigest()
    assert peer.sent == [m.PasswordMessage(expected)]


def test_scram() -> None:
    outcome, peer = talk(ScramServer(b"pencil").script(), settings())
    assert (outcome.method, outcome.mechanism, outcome.channel_bound) == (
        "scram-sha-256",
        "SCRAM-SHA-256",
        False,
    )
    assert peer.sent[0] == m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=*,r=" + b64encode(ENTROPY))
    assert peer.derived == 1


@pytest.mark.parametrize(
    ("password", "keys_from"),
    [
        ("pencil", b"pencil"),
        ("I\u00adX", b"IX"),
        ("\u2168", b"IX"),
        ("p\U0001f600", "p\U0001f600".encode()),
        ("tab\tand bell\x07", b"tab\tand bell\x07"),
        ("\u0627a", "\u0627a".encode()),
        ("\u00ad", "\u00ad".encode()),
        ("\u2135", "\u05d0".encode()),
        ("a\u200bb", b"a b"),
        ("p\udce4ss", b"p\xe4ss"),
        ("x" * 5000, b"x" * 5000),
        ("a,b=c", b"a,b=c"),
    ],
)
def test_scram_with_the_passwords_that_postgresql_accepts(password: str, keys_from: bytes) -> None:
    outcome, _ = talk(ScramServer(keys_from).script(), settings(password=password))
    assert outcome.method == "scram-sha-256"


def test_scram_bound_to_the_channel() -> None:
    server = ScramServer(b"pencil", binding=BINDING)
    outcome, peer = talk(server.script("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), settings(BOUND))
    assert (outcome.mechanism, outcome.channel_bound) == ("SCRAM-SHA-256-PLUS", True)
    first = peer.sent[0]
    assert isinstance(first, m.SASLInitialResponse)
    assert first.mechanism == "SCRAM-SHA-256-PLUS"
    assert server.header == b"p=tls-server-end-point,,"


@pytest.mark.parametrize(
    ("channel", "offered", "binding", "header"),
    [
        (BOUND, ("SCRAM-SHA-256",), "prefer", b"y,,"),
        (BOUND, ("SCRAM-SHA-256",), "disable", b"n,,"),
        (BOUND, ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), "disable", b"n,,"),
        (UNBINDABLE, ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), "prefer", b"n,,"),
        (TLS, ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), "prefer", b"n,,"),
        (PLAIN, ("SCRAM-SHA-256",), "prefer", b"n,,"),
        (UNIX, ("SCRAM-SHA-256",), "prefer", b"n,,"),
    ],
)
def test_scram_without_binding(
    channel: Channel, offered: tuple[str, ...], binding: str, header: bytes
) -> None:
    server = ScramServer(b"pencil")
    outcome, _ = talk(server.script(*offered), settings(channel, channel_binding=binding))
    assert (outcome.mechanism, outcome.channel_bound) == ("SCRAM-SHA-256", False)
    assert server.header == header


def test_the_order_of_the_offer_does_not_matter() -> None:
    offered = ("SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "SCRAM-SHA-256-PLUS")
    outcome, _ = talk(ScramServer(b"pencil", binding=BINDING).script(*offered), settings(BOUND))
    assert outcome.mechanism == "SCRAM-SHA-256-PLUS"


@pytest.mark.parametrize("channel", [VERIFIED, UNIX])
def test_a_token(channel: Channel) -> None:
    given = settings(channel, ask_token=lambda: "eyJ.abc-_~+/==")
    outcome, peer = talk([m.AuthenticationSASL(("OAUTHBEARER",)), OK], given)
    assert (outcome.method, outcome.mechanism) == ("oauth", "OAUTHBEARER")
    assert peer.sent == [m.SASLInitialResponse("OAUTHBEARER", b"n,,\x01auth=Bearer eyJ.abc-_~+/==\x01\x01")]
    assert peer.asked == 1


def test_a_token_in_the_open_if_it_was_asked_for() -> None:
    given = settings(TLS, ask_token=lambda: Secret("token"), allowed=only("oauth"))
    assert talk([m.AuthenticationSASL(("OAUTHBEARER",)), OK], given)[0].method == "oauth"


def test_a_token_goes_before_a_password() -> None:
    given = settings(VERIFIED, ask_token=lambda: "token")
    offered = m.AuthenticationSASL(("SCRAM-SHA-256", "OAUTHBEARER"))
    assert talk([offered, OK], given)[0].method == "oauth"
    assert (
        talk(ScramServer(b"pencil").script(*offered.mechanisms), settings(VERIFIED))[0].method
        == "scram-sha-256"
    )


def test_the_password_of_the_application() -> None:
    calls: list[int] = []

    def ask() -> str:
        calls.append(1)
        return "pencil"

    authenticated(ScramServer(b"pencil").script(), settings(password=None, ask_password=ask))
    assert calls == [1]
    authenticated([OK], settings(password=None, ask_password=ask))
    assert calls == [1]
    authenticated(ScramServer(b"pencil").script(), settings(password="pencil", ask_password=ask))
    assert calls == [1]
    authenticated(
        ScramServer(b"pencil").script(), settings(password=None, ask_password=lambda: Secret("pencil"))
    )


def test_keys_in_place_of_a_password() -> None:
    server = ScramServer(b"pencil")
    keys = ScramKeys(
        Secret(b64encode(digest(server.salted, b"Client Key", "sha256")).decode()),
        Secret(b64encode(digest(server.salted, b"Server Key", "sha256")).decode()),
    )
    given = settings(password=None, ask_password=lambda: pytest.fail("not needed"), scram_keys=keys)
    assert talk(server.script(), given)[0].method == "scram-sha-256"


class Context:
    """A security context with an answer for each token."""

    def __init__(self, *steps: tuple[bytes | None, bytes | None, bool]) -> None:
        self.steps = list(steps)
        self.complete = False

    def step(self, token: bytes | None = None, /) -> bytes | None:
        expected, answer, self.complete = self.steps.pop(0)
        assert token == expected
        return answer


@pytest.mark.parametrize(
    ("first", "method"), [(m.AuthenticationGSS(), "gss"), (m.AuthenticationSSPI(), "sspi")]
)
def test_gssapi(first: m.Authentication, method: str) -> None:
    context = Context((None, b"one", False), (b"two", b"three", False), (b"four", None, True))
    script = [first, m.AuthenticationGSSContinue(b"two"), m.AuthenticationGSSContinue(b"four"), OK]
    outcome, peer = talk(script, settings(make_gss_context=lambda: context))
    assert outcome.method == method
    assert peer.sent == [m.GSSResponse(b"one"), m.GSSResponse(b"three")]
    assert peer.derived == 4, "all that may wait runs in a thread"


def test_gssapi_in_one_step() -> None:
    context = Context((None, b"ticket", True))
    assert authenticated([m.AuthenticationGSS(), OK], settings(make_gss_context=lambda: context)) == [
        m.GSSResponse(b"ticket")
    ]


# --- What the client refuses before a secret leaves ---------------------------------------------------------

METHODS: list[tuple[str, m.Authentication]] = [
    ("none", OK),
    ("password", m.AuthenticationCleartextPassword()),
    ("md5", m.AuthenticationMD5Password(b"salt")),
    ("scram-sha-256", m.AuthenticationSASL(("SCRAM-SHA-256",))),
    ("scram-sha-256", m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))),
    ("oauth", m.AuthenticationSASL(("OAUTHBEARER",))),
    ("gss", m.AuthenticationGSS()),
    ("sspi", m.AuthenticationSSPI()),
]


def everything(channel: Channel, **more: Any) -> AuthenticationSettings:
    """Settings with which every method could go ahead."""
    return settings(
        channel, ask_token=lambda: "token", make_gss_context=lambda: Context((None, b"x", True)), **more
    )


@pytest.mark.parametrize(("name", "first"), METHODS)
def test_require_auth(name: str, first: m.Authentication) -> None:
    others = ",".join({other for other, _ in METHODS} - {name})
    for text in (others, f"!{name}"):
        error, peer = fails([first], everything(BOUND, allowed=only(text)), AuthenticationError)
        assert peer.sent == []
        assert "require_auth" in str(error)
        assert text in str(error)


@pytest.mark.parametrize("first", [first for _, first in METHODS[:4]] + [first for _, first in METHODS[5:]])
def test_channel_binding_is_required(first: m.Authentication) -> None:
    error, peer = fails([first], everything(BOUND, channel_binding="require"), AuthenticationError)
    assert peer.sent == []
    assert peer.asked == 0
    assert "channel_binding=require" in str(error)


@pytest.mark.parametrize(
    ("channel", "complaint"),
    [(UNBINDABLE, "Ed25519"), (TLS, "hash function"), (PLAIN, "TLS"), (UNIX, "TLS")],
)
def test_channel_binding_is_required_and_impossible(channel: Channel, complaint: str) -> None:
    for offered in (("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), ("SCRAM-SHA-256-PLUS",), ("SCRAM-SHA-256",)):
        error, peer = fails(
            [m.AuthenticationSASL(offered)], settings(channel, channel_binding="require"), AuthenticationError
        )
        assert peer.sent == []
        assert complaint in str(error) or "does not offer" in str(error)


def test_channel_binding_that_is_required_is_made() -> None:
    server = ScramServer(b"pencil", binding=BINDING)
    outcome, _ = talk(server.script("SCRAM-SHA-256-PLUS"), settings(BOUND, channel_binding="require"))
    assert outcome.channel_bound


def test_plus_without_tls_is_a_lie() -> None:
    offered = m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))
    error, peer = fails([offered], settings(PLAIN), AuthenticationError)
    assert peer.sent == []
    assert "does not use TLS" in str(error)


@pytest.mark.parametrize("allowed", ["", "!none", "!md5"])
def test_no_cleartext_in_the_open(allowed: str) -> None:
    given = settings(PLAIN, allowed=only(allowed))
    error, peer = fails([m.AuthenticationCleartextPassword()], given, AuthenticationError)
    assert peer.sent == []
    assert "require_auth=password" in str(error)
    assert "pencil" not in str(error)


@pytest.mark.parametrize("channel", [PLAIN, TLS])
def test_no_token_for_a_stranger(channel: Channel) -> None:
    error, peer = fails(
        [m.AuthenticationSASL(("OAUTHBEARER",))],
        settings(channel, ask_token=lambda: "token"),
        AuthenticationError,
    )
    assert peer.sent == []
    assert peer.asked == 0
    assert "require_auth=oauth" in str(error)


def test_md5_warns_before_it_sends() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, peer = fails([m.AuthenticationMD5Password(b"salt")], settings(), DeprecationWarning)
    assert peer.sent == []


def test_a_system_without_md5(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(data: bytes) -> object:
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(hashlib, "md5", forbidden)
    with pytest.warns(DeprecationWarning, match="MD5"):
        error, _ = fails([m.AuthenticationMD5Password(b"salt")], settings(), AuthenticationError)
    assert "does not allow MD5" in str(error)


@pytest.mark.parametrize("first", [first for _, first in METHODS[1:5]])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_there_is_no_password(first: m.Authentication) -> None:
    for given in (settings(BOUND, password=None), settings(BOUND, password="")):
        error, peer = fails([first], given, AuthenticationError)
        assert peer.sent == []
        assert "'user'" in str(error)
        assert "there is none" in str(error)


@pytest.mark.parametrize("first", [first for _, first in METHODS[1:5]])
@pytest.mark.parametrize("password", ["sec\0ret", "sec\ud800ret"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_passwords_that_cannot_be(first: m.Authentication, password: str) -> None:
    error, peer = fails([first], settings(BOUND, password=password), ConfigError)
    assert peer.sent == []
    assert "sec" not in str(error).replace("the password", "")


@pytest.mark.parametrize("answer", [b"pencil", 42, ["pencil"]])
def test_the_application_gives_something_else(answer: object) -> None:
    given = settings(password=None, ask_password=lambda: answer)
    error, peer = fails(ScramServer(b"pencil").script(), given, ConfigError)
    assert peer.sent == []
    assert type(answer).__name__ in str(error)
    assert "pencil" not in str(error)


@pytest.mark.parametrize("token", ["", None, "two words", "x\x01y", "é", "=x", "x\n"])
def test_tokens_that_cannot_be(token: object) -> None:
    error, peer = fails(
        [m.AuthenticationSASL(("OAUTHBEARER",))], settings(VERIFIED, ask_token=lambda: token), ConfigError
    )
    assert peer.sent == []
    assert not token or repr(token) not in str(error)


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (m.AuthenticationSASL(()), "none"),
        (m.AuthenticationSASL(("SCRAM-SHA-512", "PLAIN")), "'SCRAM-SHA-512', 'PLAIN'"),
        (m.AuthenticationSASL(("scram-sha-256",)), "'scram-sha-256'"),
        (m.AuthenticationSASL(("\x1b[2J",)), r"'\x1b[2J'"),
        (m.AuthenticationSASL(("OAUTHBEARER",)), "token"),
        (m.AuthenticationGSS(), "security context"),
        (m.AuthenticationSSPI(), "security context"),
        (m.AuthenticationKerberosV5(), "Kerberos V5"),
    ],
)
def test_methods_that_cannot_be(first: m.Authentication, complaint: str) -> None:
    error, peer = fails([first], settings(VERIFIED), AuthenticationError)
    assert peer.sent == []
    assert complaint in str(error)


# --- What the server does wrong, once it has begun ----------------------------------------------------------


def wrong_signature(_: m.Message) -> m.Message:
    return m.AuthenticationSASLFinal(b"v=" + b64encode(bytes(32)))


CLEARTEXT = m.AuthenticationCleartextPassword()
MORE = m.AuthenticationSASLContinue(b"r=x,s=y,i=4096")


def scripts() -> list[tuple[str, list[Reply], type[Error]]]:
    """Lies of a server that has begun SCRAM, by the number of steps it was honest for."""
    lies: list[tuple[str, int, Reply, type[Error]]] = [
        ("Ok at once", 1, OK, RemoteProtocolError),
        ("final at once", 1, m.AuthenticationSASLFinal(b"v=x"), RemoteProtocolError),
        ("SASL again at once", 1, m.AuthenticationSASL(("SCRAM-SHA-256",)), RemoteProtocolError),
        ("cleartext at once", 1, CLEARTEXT, RemoteProtocolError),
        ("md5 at once", 1, m.AuthenticationMD5Password(b"salt"), RemoteProtocolError),
        ("a row at once", 1, m.DataRow((b"1",)), RemoteProtocolError),
        ("ready at once", 1, m.ReadyForQuery("I"), RemoteProtocolError),
        ("refused at once", 1, REFUSED, PostgresError),
        ("Ok without proof", 2, OK, RemoteProtocolError),
        ("challenge again", 2, MORE, RemoteProtocolError),
        ("SASL again after the proof", 2, m.AuthenticationSASL(("SCRAM-SHA-256",)), RemoteProtocolError),
        ("cleartext after the proof", 2, CLEARTEXT, RemoteProtocolError),
        ("wrong signature", 2, wrong_signature, AuthenticationError),
        ("empty signature", 2, m.AuthenticationSASLFinal(b"v="), AuthenticationError),
        ("no signature", 2, m.AuthenticationSASLFinal(b""), AuthenticationError),
        ("refused", 2, REFUSED, PostgresError),
        ("final twice", 3, m.AuthenticationSASLFinal(b"v=x"), RemoteProtocolError),
        ("SASL after final", 3, m.AuthenticationSASL(("SCRAM-SHA-256",)), RemoteProtocolError),
        ("cleartext after final", 3, CLEARTEXT, RemoteProtocolError),
        ("refused after final", 3, REFUSED, PostgresError),
    ]
    return [
        (name, [*ScramServer(b"pencil").script()[:honest], lie], error) for name, honest, lie, error in lies
    ]


@pytest.mark.parametrize(("name", "script", "error"), scripts(), ids=[name for name, _, _ in scripts()])
def test_scram_servers_that_lie(name: str, script: list[Reply], error: type[Error]) -> None:
    _, peer = fails(script, settings(VERIFIED), error)
    assert not any(isinstance(message, m.PasswordMessage) for message in peer.sent)
    assert len(peer.sent) <= 2


def test_a_wrong_password_is_the_servers_verdict() -> None:
    error, peer = fails(ScramServer(b"other").script(), settings(), InvalidPassword)
    assert isinstance(error, InvalidPassword)
    assert error.untrusted
    assert len(peer.sent) == 2


@pytest.mark.parametrize("first", [CLEARTEXT, m.AuthenticationMD5Password(b"salt")])
@pytest.mark.parametrize(
    "lie",
    [
        CLEARTEXT,
        m.AuthenticationMD5Password(b"salt"),
        m.AuthenticationSASL(("SCRAM-SHA-256",)),
        m.AuthenticationGSS(),
        m.ReadyForQuery("I"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_password_is_sent_once(first: m.Authentication, lie: m.Message) -> None:
    _, peer = fails([first, lie], settings(VERIFIED), RemoteProtocolError)
    assert len(peer.sent) == 1


@pytest.mark.parametrize(
    ("channel", "untrusted"), [(PLAIN, True), (TLS, True), (VERIFIED, False), (UNIX, False)]
)
def test_whose_word_it_is(channel: Channel, untrusted: bool) -> None:
    given = settings(channel, allowed=only("password"))
    error, _ = fails([CLEARTEXT, REFUSED], given, InvalidPassword)
    assert isinstance(error, PostgresError)
    assert error.untrusted is untrusted


def test_a_refused_token() -> None:
    given = settings(VERIFIED, ask_token=lambda: "token")
    verdict = m.AuthenticationSASLContinue(b'{"status":"invalid_token"}')
    error, peer = fails([m.AuthenticationSASL(("OAUTHBEARER",)), verdict, REFUSED], given, InvalidPassword)
    assert isinstance(error, PostgresError)
    assert peer.sent[1:] == [m.SASLResponse(b"\x01")]


@pytest.mark.parametrize("lie", [OK, CLEARTEXT, m.AuthenticationSASLContinue(b"{}")])
def test_a_refused_token_cannot_turn_good(lie: m.Message) -> None:
    given = settings(VERIFIED, ask_token=lambda: "token")
    script = [m.AuthenticationSASL(("OAUTHBEARER",)), m.AuthenticationSASLContinue(b"{}"), lie]
    fails(script, given, RemoteProtocolError)


def test_a_token_and_a_signature() -> None:
    given = settings(VERIFIED, ask_token=lambda: "token")
    fails(
        [m.AuthenticationSASL(("OAUTHBEARER",)), m.AuthenticationSASLFinal(b"x")], given, RemoteProtocolError
    )


@pytest.mark.parametrize(
    ("steps", "script"),
    [
        ([(None, b"a", False)], [OK]),  # before the context has seen the server's proof
        ([(None, b"a", True)], [m.AuthenticationGSSContinue(b"more")]),
        ([(None, b"a", False)], [CLEARTEXT]),
        ([(None, b"a", False), *[(b"x", b"y", False)] * 31], [m.AuthenticationGSSContinue(b"x")] * 32),
    ],
)
def test_gssapi_servers_that_lie(
    steps: list[tuple[bytes | None, bytes | None, bool]], script: list[Reply]
) -> None:
    given = settings(make_gss_context=lambda: Context(*steps))
    fails([m.AuthenticationGSS(), *script], given, RemoteProtocolError)


def failing(error: Exception) -> Callable[[], Context]:
    class Failing(Context):
        def step(self, token: bytes | None = None, /) -> bytes | None:
            raise error

    return Failing


def test_a_security_context_that_fails() -> None:
    given = settings(make_gss_context=failing(KeyError("no ticket")))
    error, peer = fails([m.AuthenticationGSS()], given, AuthenticationError)
    assert isinstance(error.__cause__, KeyError)
    assert peer.sent == []


@pytest.mark.parametrize("error", [ConfigError("own"), TimeoutError()])
def test_what_a_security_context_may_raise(error: Exception) -> None:
    raised, _ = fails([m.AuthenticationGSS()], settings(make_gss_context=failing(error)), type(error))
    assert raised is error


def test_authentication_begins_with_a_request() -> None:
    fails([m.AuthenticationSASLContinue(b"")], settings(), RemoteProtocolError)
    fails([m.AuthenticationGSSContinue(b"")], settings(), RemoteProtocolError)


def test_what_the_application_raises_comes_out() -> None:
    def ask() -> str:
        raise LookupError("vault sealed")

    peer = Peer([])
    with pytest.raises(LookupError, match="vault sealed"):
        peer.run(authenticate(CLEARTEXT, settings(VERIFIED, password=None, ask_password=ask)))


def test_no_secret_in_what_can_be_seen() -> None:
    given = settings(BOUND, password="pencil-canary")
    flow = authenticate(CLEARTEXT, given)
    effect = next(flow)
    assert "canary" not in repr(effect)
    assert "canary" not in repr(given)
    assert isinstance(flow.send(None), ReceiveMessage)


@pytest.mark.parametrize("given", ["canary", "canary\0", "canary\ud800"])
@pytest.mark.parametrize(
    "script",
    [
        [CLEARTEXT, REFUSED],
        [m.AuthenticationMD5Password(b"salt"), REFUSED],
        [*ScramServer(b"canary").script()[:2], OK],
        [m.AuthenticationSASL(("OAUTHBEARER",)), REFUSED],
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_secret_in_the_variables_of_a_traceback(given: str, script: list[Reply]) -> None:
    params = settings(
        VERIFIED, password=None, ask_password=lambda: Secret(given), ask_token=lambda: Secret(given)
    )
    error, _ = fails(script, params, Error)
    frames = TracebackException.from_exception(error, capture_locals=True)
    assert "canary" not in "".join(
        line for line in frames.format() if "tests/core" not in line and "ScramServer" not in line
    )
