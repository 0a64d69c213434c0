"""Passwords, in the form that PostgreSQL computes with."""

from __future__ import annotations

import stringprep
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scramp import ScramClient, ScramException  # type: ignore[import-untyped]  # it has no annotations

from pgproto._auth._saslprep import password_bytes, saslprep
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
        ("\U0001f100", "0."),  # assigned after Unicode 3.2, but normalised into what was before
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


CORRECTED = "\U0002f868\U0002f874\U0002f91f\U0002f95f\U0002f9bf"
"""What Unicode normalises otherwise since its Corrigendum 4, of 2003."""

assigned = st.characters(codec="utf-8", exclude_characters=CORRECTED).filter(
    lambda character: not stringprep.in_table_a1(character)
)


@given(st.text(assigned, max_size=12))
@example("\u0627\u0031\u0628")
def test_scramp_agrees_about_unicode_3_2(password: str) -> None:
    assert saslprep(password) == scramp_prepares(password)


@given(st.text(max_size=12))
def test_what_was_prepared_is_prepared(password: str) -> None:
    prepared = saslprep(password)
    if prepared is not None:
        assert saslprep(prepared) == prepared
        assert scramp_prepares(prepared) == prepared


@pytest.mark.exhaustive
def test_every_character() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        prepared = saslprep(character)
        if unicodedata.normalize("NFKC", character) == unicodedata.ucd_3_2_0.normalize("NFKC", character):
            assert prepared == scramp_prepares(character), hex(number)
        else:
            # What later versions of Unicode normalise into characters of 3.2, PostgreSQL does too.
            assert stringprep.in_table_a1(character) or character in CORRECTED, hex(number)


def test_a_password_as_it_stands() -> None:
    assert password_bytes("p\u00e4ss\U0001f600") == "p\u00e4ss\U0001f600".encode()
    assert password_bytes("p\udce4ss") == b"p\xe4ss"


@pytest.mark.parametrize("password", ["a\0b", "\ud800"])
def test_what_no_password_has(password: str) -> None:
    with pytest.raises(ConfigError) as failure:
        password_bytes(password)
    assert password not in str(failure.value)
