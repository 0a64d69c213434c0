"""SCRAM with the keys in place of the password they were made from.

Whoever has seen a user log in, as a proxy has, can keep the user's two keys and log in with them elsewhere,
without knowing the password: PostgreSQL's parameters `scram_client_key` and `scram_server_key`, made for
foreign servers. The keys work for one salt and one iteration count, those in the server's own record of the
user, so there is nothing slow to compute: what is left is the last two lines of RFC 5802's chapter 3.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from hmac import compare_digest, digest

from pgproto._dataclasses import dataclass
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError

__all__ = ["KeyClient", "ScramKeys", "derive_keys"]


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """RFC 5802's ClientKey and ServerKey, 32 bytes each, in base64."""

    client_key: Secret
    server_key: Secret


def derive_keys(password: bytes, salt: bytes, iterations: int) -> ScramKeys:
    """Compute both keys from a prepared password (RFC 5802's chapter 3). This is the slow part."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client_key, server_key = (digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    return ScramKeys(*(Secret(b64encode(key).decode("ascii")) for key in (client_key, server_key)))


class KeyClient:
    """What `scramp.ScramClient` is for a password.

    `make_keys` is called when they are needed, in `get_client_final`; `whose` says in an error where the
    server's key came from.
    """

    def __init__(
        self,
        mechanism: str,
        username: str,
        make_keys: Callable[[], ScramKeys],
        nonce: str,
        binding: bytes | None,
        *,
        whose: str,
    ) -> None:
        self.password: object = None
        self._make_keys = make_keys
        self._server_key = b""
        self._whose = whose
        self._bare = f"n={username},r={nonce}"
        if binding is None:
            self._header, self._bound = "n,,", b""
        elif mechanism.endswith("-PLUS"):
            self._header, self._bound = "p=tls-server-end-point,,", binding
        else:
            self._header, self._bound = "y,,", b""
        self._server_first = ""
        self._signed = b""

    def get_client_first(self) -> str:
        """Return client-first."""
        return self._header + self._bare

    def set_server_first(self, message: str, /) -> None:
        """Take server-first, which is known to be well-formed."""
        self._server_first = message

    def get_client_final(self) -> str:
        """Return client-final."""
        nonce = self._server_first.partition(",")[0]
        binding = b64encode(self._header.encode("ascii") + self._bound).decode("ascii")
        without_proof = f"c={binding},{nonce}"
        self._signed = ",".join((self._bare, self._server_first, without_proof)).encode("ascii")
        keys = self._make_keys()
        client_key = b64decode(keys.client_key.reveal())
        self._server_key = b64decode(keys.server_key.reveal())
        signature = digest(hashlib.sha256(client_key).digest(), self._signed, "sha256")
        proof = bytes(key ^ mask for key, mask in zip(client_key, signature, strict=True))
        return f"{without_proof},p={b64encode(proof).decode('ascii')}"

    def set_server_final(self, message: str, /) -> None:
        """Take server-final, which is known to be well-formed."""
        signature = digest(self._server_key, self._signed, "sha256")
        if not compare_digest(message.encode("ascii"), b"v=" + b64encode(signature)):
            raise AuthenticationError(
                f"the server's SCRAM signature is wrong: its key is not {self._whose}, or it is not the "
                f"server that was asked for"
            )
