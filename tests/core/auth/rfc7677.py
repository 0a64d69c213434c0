"""The example of RFC 7677, and how it could have gone otherwise."""

from __future__ import annotations

from base64 import b64decode, b64encode

from pgproto._auth._scram import SCRAM, ScramExchange
from pgproto._secret import Secret

__all__ = ["ENTROPY", "FULL_NONCE", "NONCE", "RIGHT", "SALT", "exchange", "server_first"]

ENTROPY = b64decode("rOprNGfwEbeRWgbNEkqO")
NONCE = b64encode(ENTROPY)
SALT = b"W22ZaJ0SNY7soEsUEjb6gQ=="
FULL_NONCE = NONCE + b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
RIGHT = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
"""The right signature."""


def exchange(
    mechanism: str = SCRAM,
    *,
    password: str = "pencil",
    binding: bytes | None = None,
    min_iterations: int = 4096,
    max_iterations: int = 100_000,
    username: str = "user",
) -> ScramExchange:
    return ScramExchange(
        mechanism,
        Secret(password),
        ENTROPY,
        binding=binding,
        min_iterations=min_iterations,
        max_iterations=max_iterations,
        username=username,
    )


def server_first(nonce: bytes = FULL_NONCE, salt: bytes = SALT, count: bytes = b"4096") -> bytes:
    return b"r=" + nonce + b",s=" + salt + b",i=" + count
