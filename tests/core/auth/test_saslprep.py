"""Passwords, in the form that PostgreSQL computes with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scramp import ScramClient, ScramException  # type: ignore[import-untyped]  # it has no annotations

from pgproto._auth._saslprep import password_bytes, saslprep
from pgproto._secret import Secret
from pgproto.errors import ConfigError


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("pencil", "pencil"),
        ("I\u00adX", "IX"),  # RFC 4013's examples, from here ...
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", None),
        ("\u0627\u0031", None),  # ... to here
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("a\u0627b", None),
        ("\u0627a\u0628", None),
        ("1\u0627", None),
        ("a\u00a0b", "a b"),
        ("a\u3000b", "a b"),
        ("\u00ad", None),
        ("", None),
        ("p\U0001f600", None),  # assigned after Unicode 3.2
        ("\ue000", None),  # private use
        ("\u200e", None),  # changes the direction
        ("\udc80", None),
        ("\U0001f100", None),  # the same, although it is normalised into "0."
        ("\u0340", None),  # prohibited, although it is normalised into what is not
        ("\u2135", "\u05d0"),  # normalised into a right-to-left letter, after the look for those
        ("\ufb1d1", None),
        ("\u200b", " "),  # a space, and not nothing
        ("e\u0301", "\u00e9"),
    ],
)
def test_what_is_made_of_a_password(password: str, prepared: str | None) -> None:
    assert saslprep(password) == prepared


def scramp_prepares(password: str) -> str | None:
    """What scramp makes of it on its own; None if it refuses, or nothing remains."""
    try:
        client: Any = ScramClient(["SCRAM-SHA-256"], "x", password)
    except ScramException:
        return None
    return bytes(client.password).decode() or None


@given(st.text(st.characters(codec="utf-8"), max_size=8))
@example("\u200b")
@example("\u0340")
@example("\ufb1d")
def test_scramp_refuses_what_was_prepared_or_leaves_it_alone(password: str) -> None:
    prepared = saslprep(password)
    if prepared is not None:
        assert scramp_prepares(prepared) in (None, prepared)


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


@given(printable)
def test_ascii_stays_as_it_is(password: str) -> None:
    assert saslprep(password) == password == scramp_prepares(password)


def test_a_password_as_it_stands() -> None:
    assert password_bytes(Secret("p\u00e4ss\U0001f600")) == "p\u00e4ss\U0001f600".encode()
    assert password_bytes(Secret("p\udce4ss")) == b"p\xe4ss"


@pytest.mark.parametrize("password", ["a\0b", "\ud800"])
def test_what_no_password_has(password: str) -> None:
    with pytest.raises(ConfigError) as failure:
        password_bytes(Secret(password))
    assert password not in str(failure.value)
