"""Authentications that work."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from hmac import digest

import pytest

from pgproto import messages as m
from pgproto._auth import Channel, ScramKeys
from pgproto._secret import Secret
from tests.core.auth.cast import (
    BINDING,
    BOUND,
    OK,
    UNBINDABLE,
    Context,
    only,
)
from tests.core.auth.support import (
    ENTROPY,
    PLAIN,
    TLS,
    UNIX,
    VERIFIED,
    ScramServer,
    authenticated,
    settings,
    talk,
)


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
