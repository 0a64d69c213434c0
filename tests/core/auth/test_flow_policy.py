"""What the client refuses before anything secret leaves."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import pytest

from pgproto import messages as m
from pgproto._auth import AuthenticationSettings, Channel
from pgproto.errors import (
    AuthenticationError,
    ConfigError,
)
from tests.core.auth.cast import (
    BINDING,
    BOUND,
    OK,
    UNBINDABLE,
    Context,
    only,
)
from tests.core.auth.support import (
    PLAIN,
    TLS,
    UNIX,
    VERIFIED,
    ScramServer,
    fails,
    settings,
    talk,
)

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
