"""What servers do wrong once authentication has begun."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from traceback import TracebackException

import pytest

from pgproto import messages as m
from pgproto._auth import Channel
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
from tests.core.auth.cast import (
    BOUND,
    CLEARTEXT,
    OK,
    REFUSED,
    Context,
    only,
)
from tests.core.auth.support import (
    PLAIN,
    TLS,
    UNIX,
    VERIFIED,
    Peer,
    Reply,
    ScramServer,
    fails,
    settings,
)


def wrong_signature(_: m.Message) -> m.Message:
    return m.AuthenticationSASLFinal(b"v=" + b64encode(bytes(32)))


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
