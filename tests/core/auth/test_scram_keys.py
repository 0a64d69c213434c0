"""SCRAM with keys: those that were given, and those for which scramp has its bounds."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest

from pgproto._auth._scram import SCRAM, SCRAM_PLUS, ScramExchange
from pgproto._auth._scram_keys import ScramKeys
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError
from tests.core.auth.rfc7677 import ENTROPY, FULL_NONCE, RIGHT, SALT, exchange, server_first


@pytest.mark.parametrize(
    ("salt", "count"), [(b64decode(SALT), 1), (b64decode(SALT), 4095), (b"s", 4096), (b"s", 1)]
)
@pytest.mark.parametrize("mechanism", [SCRAM, SCRAM_PLUS])
@pytest.mark.parametrize("password", ["pencil", "\N{ROMAN NUMERAL NINE}\N{SOFT HYPHEN}", "bell\x07"])
def test_what_scramp_does_not_take(password: str, mechanism: str, salt: bytes, count: int) -> None:
    binding = b"\xaa" * 32 if mechanism == SCRAM_PLUS else None
    scram = exchange(mechanism, password=password, binding=binding, min_iterations=1)
    bare = scram.first().partition(b"n=")
    challenge = server_first(salt=b64encode(salt), count=str(count).encode())
    scram.challenge(challenge)
    final = scram.derive()
    # Once more, as the server reckons: RFC 5802, chapter 3.
    prepared = {"pencil": b"pencil", "bell\x07": b"bell\x07"}.get(password, b"IX")
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, count)
    without_proof, _, proof = final.rpartition(b",p=")
    signed = b",".join((b"n=" + bare[2], challenge, without_proof))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    mask = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    assert bytes(a ^ b for a, b in zip(b64decode(proof), mask, strict=True)) == client_key
    signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    with pytest.raises(AuthenticationError, match="password"):
        scram.verify(b"v=" + b64encode(signature[::-1]))
    scram.verify(b"v=" + b64encode(signature))


def test_keys_do_not_need_many_iterations() -> None:
    scram = with_keys(keys())
    scram.first()
    scram.challenge(server_first(count=b"1"))
    assert scram.derive().startswith(b"c=biws,r=" + FULL_NONCE + b",p=")


def test_the_lower_bound_can_be_moved() -> None:
    for bound, count in ((1000, b"999"), (5000, b"4999"), (1, b"0")):
        scram = exchange(min_iterations=bound)
        scram.first()
        with pytest.raises(AuthenticationError, match=f"fewer than scram_min_iterations={bound} allows"):
            scram.challenge(server_first(count=count))


def keys(server_key: bytes | None = None) -> ScramKeys:
    """Those of the RFC's example."""
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", b64decode(SALT), 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = server_key or hmac.digest(salted, b"Server Key", "sha256")
    return ScramKeys(Secret(b64encode(client_key).decode()), Secret(b64encode(server_key).decode()))


def with_keys(given: ScramKeys, mechanism: str = SCRAM, binding: bytes | None = None) -> ScramExchange:
    return ScramExchange(
        mechanism,
        given,
        ENTROPY,
        binding=binding,
        min_iterations=1,
        max_iterations=100_000,
        username="user",
    )


def test_keys_say_the_same_as_the_password() -> None:
    for mechanism, binding in ((SCRAM, None), (SCRAM, b"\xaa" * 32), (SCRAM_PLUS, b"\xaa" * 48)):
        by_password = exchange(mechanism, binding=binding)
        by_keys = with_keys(keys(), mechanism, binding)
        assert by_keys.first() == by_password.first()
        by_keys.challenge(server_first())
        by_password.challenge(server_first())
        assert by_keys.derive() == by_password.derive()


def test_keys_know_the_servers_signature() -> None:
    scram = with_keys(keys())
    scram.first()
    scram.challenge(server_first())
    scram.derive()
    with pytest.raises(AuthenticationError, match="scram_server_key"):
        scram.verify(b"v=" + b64encode(bytes(32)))
    scram.verify(RIGHT)
    scram = with_keys(keys(server_key=bytes(32)))
    scram.first()
    scram.challenge(server_first())
    scram.derive()
    with pytest.raises(AuthenticationError, match="scram_server_key"):
        scram.verify(RIGHT)
