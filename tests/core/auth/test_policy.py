from __future__ import annotations

import pytest

from pgproto._auth import AllowedMethods
from pgproto.errors import ConfigError

NOTHING: set[str] = set()
EVERYTHING = {"none", "password", "md5", "scram-sha-256", "oauth", "gss", "sspi"}


@pytest.mark.parametrize(
    ("text", "allowed", "named"),
    [
        ("", EVERYTHING, NOTHING),
        ("none", {"none"}, {"none"}),
        ("scram-sha-256", {"scram-sha-256"}, {"scram-sha-256"}),
        ("scram-sha-256,none", {"scram-sha-256", "none"}, {"scram-sha-256", "none"}),
        (
            "password,md5,gss,sspi,oauth",
            EVERYTHING - {"none", "scram-sha-256"},
            EVERYTHING - {"none", "scram-sha-256"},
        ),
        ("!none", EVERYTHING - {"none"}, NOTHING),
        ("!password,!md5", EVERYTHING - {"password", "md5"}, NOTHING),
    ],
)
def test_require_auth(text: str, allowed: set[str], named: set[str]) -> None:
    methods = AllowedMethods.parse(text)
    assert methods.allowed == allowed
    assert methods.named == named
    assert methods.text == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("scram", "'scram'"),
        ("SCRAM-SHA-256", "'SCRAM-SHA-256'"),
        ("scram-sha-256,", "''"),
        (",md5", "''"),
        ("!", "''"),
        ("!!md5", "'!md5'"),
        (" md5", "' md5'"),
        ("md5,password,md5", "'md5' twice"),
        ("!md5,!md5", "'md5' twice"),
        ("md5,!password", "mixes"),
        ("!md5,password", "mixes"),
    ],
)
def test_require_auth_that_makes_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match="require_auth") as failure:
        AllowedMethods.parse(text)
    assert complaint in str(failure.value)
