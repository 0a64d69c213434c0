"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side.

    client  n,,n=*,r=<our nonce>                            client-first
    server  r=<our nonce><its nonce>,s=<salt>,i=<count>     server-first      read by `challenge`
    client  c=<binding>,r=<both nonces>,p=<proof>           client-final      computed by `derive`
    server  v=<signature>                                   server-final      checked by `verify`

scramp does the arithmetic and writes our messages. What the server sends is judged here first, byte for byte,
because a client works for whoever answers it: the iteration count decides how long it computes, and what it
computes is material for guessing the password.

| of what the server sends | is accepted                                                                    |
|--------------------------|--------------------------------------------------------------------------------|
| the messages             | exactly the attributes above; no extension, so no "m=" either                  |
| the nonce                | begins with ours and goes on; printable; at most 1,024 characters              |
| the salt                 | base64 in its one canonical form; 12 bytes or more                             |
| the iteration count      | one to seven ASCII digits; 4,096 up to `scram_max_iterations`                  |
| the signature            | exactly the one that only somebody who knows the password's keys could compute |

The lower bounds of the salt and the count are scramp's, and RFC 7677's for the count. An administrator can go
below them in PostgreSQL; such a password has to be set again, after `SET scram_iterations = 4096`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, cast

from pgproto._auth._saslprep import password_bytes, saslprep
from pgproto._auth._scram_keys import KeyClient, ScramKeys
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError

__all__ = ["NONCE_SIZE", "SCRAM", "SCRAM_PLUS", "ScramExchange"]

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"

NONCE_SIZE: Final = 18
"""Bytes of entropy in our nonce, as many as libpq takes."""

MIN_ITERATIONS: Final = 4096
MIN_SALT_SIZE: Final = 12
MAX_NONCE_LENGTH: Final = 1024
MAX_SALT_LENGTH: Final = 1024
"""In characters of base64."""

_SERVER_FIRST: Final = re.compile(rb"r=([^,]*),s=([^,]*),i=([^,]*)")
_NONCE: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")
_ITERATIONS: Final = re.compile(rb"[0-9]{1,7}")
_SERVER_FINAL: Final = re.compile(rb"v=([A-Za-z0-9+/]{43}=)")
"""SHA-256 has 32 bytes."""
_SERVER_ERROR: Final = re.compile(rb"e=([ -~]{1,200})")

_USERNAME: Final = "*"
"""PostgreSQL takes the user from StartupMessage and ignores this one, which may not be empty in scramp."""


class _Client(Protocol):
    """What is used of `scramp.ScramClient`, which has no annotations."""

    password: object

    def get_client_first(self) -> str: ...
    def set_server_first(self, message: str, /) -> None: ...
    def get_client_final(self) -> str: ...
    def set_server_final(self, message: str, /) -> None: ...


class _PasswordBytes:
    """A password that needs no preparation. All that scramp does with its client's is `bytes(...)`."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


def _scramp() -> tuple[Callable[..., object], type[Exception]]:
    # scramp imports ssl, so it is loaded when it is needed and not before.
    from scramp import ScramClient, ScramException  # type: ignore[import-untyped]  # it has no annotations

    return ScramClient, ScramException


def _make_client(
    mechanism: str, username: str, secret: Secret | ScramKeys, nonce: str, binding: bytes | None
) -> _Client:
    if isinstance(secret, ScramKeys):
        return KeyClient(mechanism, username, secret, nonce, binding)
    make, refused = _scramp()
    channel = None if binding is None else ("tls-server-end-point", binding)

    def client(password: str) -> _Client:
        made = make([mechanism], username, password, channel_binding=channel, c_nonce=nonce)
        return cast("_Client", made)

    prepared = saslprep(secret.reveal())
    if prepared is not None:
        with suppress(refused):
            return client(prepared)
    # scramp goes by the letter of RFC 4013, and refuses some passwords that PostgreSQL takes.
    made = client("in place of these bytes")
    made.password = _PasswordBytes(password_bytes(secret) if prepared is None else prepared.encode("utf-8"))
    return made


class ScramExchange:
    """One exchange, from our nonce to the server's signature.

    `binding` is the channel's binding data. With the mechanism SCRAM-SHA-256 it is not sent, but the server
    is told that we could have ("y"): if it could have too, somebody between us has hidden that, and the
    server refuses. None tells it that we could not ("n").
    """

    def __init__(
        self,
        mechanism: str,
        secret: Secret | ScramKeys,
        entropy: bytes,
        *,
        binding: bytes | None,
        max_iterations: int,
        username: str = _USERNAME,
    ) -> None:
        nonce = b64encode(entropy)
        self._nonce = nonce
        self._max_iterations = max_iterations
        self._client = _make_client(mechanism, username, secret, nonce.decode("ascii"), binding)

    def first(self) -> bytes:
        """Return client-first."""
        return self._client.get_client_first().encode("ascii")

    def challenge(self, data: bytes) -> None:
        """Take server-first. Raises `AuthenticationError` if it is not acceptable, before any arithmetic."""
        match = _SERVER_FIRST.fullmatch(data)
        if match is None:
            raise AuthenticationError(
                "the server's SCRAM challenge is malformed: it must be a nonce, a salt and an iteration count"
            )
        nonce, salt, iterations = match.groups()
        self._check_nonce(nonce)
        _check_salt(salt)
        self._check_iterations(iterations)
        # All of it is ASCII now, so the text that scramp signs is the bytes that came.
        _, refused = _scramp()
        try:
            self._client.set_server_first(data.decode("ascii"))
        except refused as error:
            raise AuthenticationError(f"the server's SCRAM challenge is not acceptable: {error}") from error

    def _check_nonce(self, nonce: bytes) -> None:
        if len(nonce) > MAX_NONCE_LENGTH or _NONCE.fullmatch(nonce) is None:
            raise AuthenticationError(
                f"the server's SCRAM nonce is not 1 to {MAX_NONCE_LENGTH} printable ASCII characters"
            )
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise AuthenticationError("the server's SCRAM nonce does not extend the one it was sent")

    def _check_iterations(self, digits: bytes) -> None:
        if _ITERATIONS.fullmatch(digits) is None:
            raise AuthenticationError(
                "the server's SCRAM iteration count is not a number of one to seven digits"
            )
        iterations = int(digits)
        if iterations > self._max_iterations:
            raise AuthenticationError(
                f"the server asks for {iterations} SCRAM iterations, more than "
                f"scram_max_iterations={self._max_iterations} allows"
            )
        if iterations < MIN_ITERATIONS:
            raise AuthenticationError(
                f"the server asks for {iterations} SCRAM iterations, fewer than {MIN_ITERATIONS}, the least "
                f"that RFC 7677 recommends. Set the user's password again, with "
                f"scram_iterations={MIN_ITERATIONS} or more in the server"
            )

    def derive(self) -> bytes:
        """Return client-final. This is the slow part, and may run in another thread."""
        return self._client.get_client_final().encode("ascii")

    def verify(self, data: bytes) -> None:
        """Take server-final. Raises `AuthenticationError` unless it is the one signature that is right."""
        failure = _SERVER_ERROR.fullmatch(data)
        if failure is not None:
            raise AuthenticationError(
                f"the server ended the SCRAM exchange with the error {failure[1].decode('ascii')!r}"
            )
        match = _SERVER_FINAL.fullmatch(data)
        if match is None or b64encode(b64decode(match[1])) != match[1]:
            raise AuthenticationError("the server's last word in the SCRAM exchange is not a signature")
        _, refused = _scramp()
        try:
            # Compares in constant time; the form above is the only one that this signature can have.
            self._client.set_server_final(data.decode("ascii"))
        except refused as error:
            raise AuthenticationError(
                "the server's SCRAM signature is wrong: it does not know the password, or is not the server "
                "that was asked for"
            ) from error


def _check_salt(text: bytes) -> None:
    """Check for strict base64: nothing but its alphabet, right padding, no stray bits."""
    try:
        salt = b64decode(text, validate=True) if len(text) <= MAX_SALT_LENGTH else b""
    except Base64Error:
        salt = b""
    if not salt or b64encode(salt) != text:
        raise AuthenticationError(
            f"the server's SCRAM salt is not 1 to {MAX_SALT_LENGTH} characters of canonical base64"
        )
    if len(salt) < MIN_SALT_SIZE:
        raise AuthenticationError(
            f"the server's SCRAM salt has {len(salt)} bytes, fewer than {MIN_SALT_SIZE}. Set the user's "
            f"password again: PostgreSQL's own salts have 16"
        )
