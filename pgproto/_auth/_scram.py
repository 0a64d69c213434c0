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
| the salt                 | base64 in its one canonical form; not empty                                    |
| the iteration count      | one to seven digits; `scram_min_iterations` to `scram_max_iterations`          |
| the signature            | exactly the one that only somebody who knows the password's keys could compute |

The fewer iterations there are, the faster can whoever has seen the proof guess the password; 4,096 is the
least that RFC 7677 recommends, and the least by default. PostgreSQL lets an administrator take fewer, and
libpq does as it is told. Those who have to do so as well lower `scram_min_iterations`. scramp has the same
bound, and one for the salt, which nothing can move: below them the arithmetic is done with hashlib.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, cast

from pgproto._auth._saslprep import password_bytes, saslprep
from pgproto._auth._scram_keys import KeyClient, ScramKeys, derive_keys
from pgproto._patterns import pattern
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError

__all__ = ["NONCE_SIZE", "SCRAM", "SCRAM_PLUS", "ScramExchange"]

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"

NONCE_SIZE: Final = 18
"""Bytes of entropy in our nonce, as many as libpq takes."""

SCRAMP_MIN_ITERATIONS: Final = 4096
SCRAMP_MIN_SALT_SIZE: Final = 12
MAX_NONCE_LENGTH: Final = 1024
MAX_SALT_LENGTH: Final = 1024
"""In characters of base64."""

_SERVER_FIRST: Final = pattern(rb"r=([^,]*),s=([^,]*),i=([^,]*)")
_NONCE: Final = pattern(rb"[\x21-\x2b\x2d-\x7e]+")
_ITERATIONS: Final = pattern(rb"[0-9]{1,7}")
_SERVER_FINAL: Final = pattern(rb"v=([A-Za-z0-9+/]{43}=)")
"""SHA-256 has 32 bytes."""
_SERVER_ERROR: Final = pattern(rb"e=([ -~]{1,200})")

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
        return KeyClient(mechanism, username, lambda: secret, nonce, binding, whose="scram_server_key")
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
    made.password = _PasswordBytes(_prepare(secret))
    return made


def _prepare(password: Secret) -> bytes:
    """The bytes that are hashed: by SASLprep, or as they stand where it refuses, as in PostgreSQL."""
    prepared = saslprep(password.reveal())
    return password_bytes(password) if prepared is None else prepared.encode("utf-8")


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
        min_iterations: int,
        max_iterations: int,
        username: str = _USERNAME,
    ) -> None:
        self._mechanism = mechanism
        self._secret = secret
        self._nonce = b64encode(entropy)
        self._binding = binding
        self._min_iterations = min_iterations
        self._max_iterations = max_iterations
        self._username = username
        self._client = _make_client(mechanism, username, secret, self._nonce.decode("ascii"), binding)

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
        self._check_nonce(match[1])
        salt, iterations = _read_salt(match[2]), self._read_iterations(match[3])
        if iterations < SCRAMP_MIN_ITERATIONS or len(salt) < SCRAMP_MIN_SALT_SIZE:
            self._do_without_scramp(salt, iterations)
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

    def _do_without_scramp(self, salt: bytes, iterations: int) -> None:
        """Go on with a client that says the same, and takes what scramp does not."""
        secret = self._secret
        if isinstance(secret, ScramKeys):
            return
        self._client = KeyClient(
            self._mechanism,
            self._username,
            lambda: derive_keys(_prepare(secret), salt, iterations),
            self._nonce.decode("ascii"),
            self._binding,
            whose="the password's",
        )

    def _read_iterations(self, digits: bytes) -> int:
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
        if iterations < self._min_iterations:
            raise AuthenticationError(
                f"the server asks for {iterations} SCRAM iterations, fewer than "
                f"scram_min_iterations={self._min_iterations} allows. Lower that if it is how the server is "
                f"set up; better, set the user's password again after SET scram_iterations = 4096"
            )
        return iterations

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


def _read_salt(text: bytes) -> bytes:
    """Read strict base64: nothing but its alphabet, right padding, no stray bits."""
    try:
        salt = b64decode(text, validate=True) if len(text) <= MAX_SALT_LENGTH else b""
    except Base64Error:
        salt = b""
    if not salt or b64encode(salt) != text:
        raise AuthenticationError(
            f"the server's SCRAM salt is not 1 to {MAX_SALT_LENGTH} characters of canonical base64"
        )
    return salt
