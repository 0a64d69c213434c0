"""Who appears in the tests of whole authentications."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519

from pgproto import messages as m
from pgproto._auth import AllowedMethods, Channel
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


CLEARTEXT = m.AuthenticationCleartextPassword()


class Context:
    """A security context with an answer for each token."""

    def __init__(self, *steps: tuple[bytes | None, bytes | None, bool]) -> None:
        self.steps = list(steps)
        self.complete = False

    def step(self, token: bytes | None = None, /) -> bytes | None:
        expected, answer, self.complete = self.steps.pop(0)
        assert token == expected
        return answer
