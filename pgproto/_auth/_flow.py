"""Authentication, as a flow: from the server's first request to its AuthenticationOk.

| the server sends first           | we answer           | then it must send       | and then      |
|----------------------------------|---------------------|-------------------------|---------------|
| AuthenticationOk                 |                     |                         |               |
| AuthenticationCleartextPassword  | PasswordMessage     | AuthenticationOk        |               |
| AuthenticationMD5Password        | PasswordMessage     | AuthenticationOk        |               |
| AuthenticationSASL (SCRAM)       | SASLInitialResponse | SASLContinue, once      | SASLFinal, Ok |
| AuthenticationSASL (OAUTHBEARER) | SASLInitialResponse | AuthenticationOk        |               |
| AuthenticationGSS or SSPI        | GSSResponse         | GSSContinue, any number | Ok            |

An ErrorResponse may come in place of anything the server must send. Everything else ends the conversation:
a second method after the first, an Ok before its time, a signature that comes twice. AuthenticationOk is
believed only when the table's row is complete, and for SCRAM that includes the server's signature.

PostgreSQL documentation: "Start-up", "SASL Authentication".
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Final, TypeVar

from pgproto import messages
from pgproto._auth._channel_binding import server_end_point
from pgproto._auth._policy import (
    AuthenticationSettings,
    GSSContext,
    Method,
    check_channel_binding,
    check_clear_text,
    check_method,
)
from pgproto._auth._saslprep import password_bytes
from pgproto._auth._scram import NONCE_SIZE, SCRAM, SCRAM_PLUS, ScramExchange
from pgproto._dataclasses import dataclass
from pgproto._effects import (
    AskPassword,
    DeriveKey,
    Entropy,
    Flow,
    ReceiveMessage,
    RunInThread,
    SendMessage,
)
from pgproto._patterns import pattern
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError, ConfigError, Error, PostgresError, RemoteProtocolError
from pgproto.messages import Authentication, Message

__all__ = ["AuthenticationOutcome", "authenticate"]

OAUTHBEARER: Final = "OAUTHBEARER"

_BEARER_TOKEN: Final = pattern(r"[A-Za-z0-9._~+/-]+=*")

_MAX_GSS_ROUNDS: Final = 32

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class AuthenticationOutcome:
    """How the session was authenticated."""

    method: Method
    mechanism: str | None = None
    """The SASL mechanism, if it was one."""
    channel_bound: bool = False
    """Whether the proof holds for this very TLS connection only."""


def authenticate(message: Authentication, settings: AuthenticationSettings) -> Flow[AuthenticationOutcome]:
    """Authenticate, from the server's first request, `message`; the flow ends when its AuthenticationOk came.

    Raises `AuthenticationError` if the server asks for what the settings forbid or fails to prove itself,
    `PostgresError` if it refuses us, `RemoteProtocolError` if it breaks the order above, `ConfigError` if a
    password that was asked for cannot be used.
    """
    match message:
        case messages.AuthenticationOk():
            check_method(settings, "none")
            check_channel_binding(settings, "the server asks for no authentication")
            return AuthenticationOutcome("none")
        case messages.AuthenticationCleartextPassword():
            return (yield from _clear_text(settings))
        case messages.AuthenticationMD5Password(salt):
            return (yield from _md5(settings, salt))
        case messages.AuthenticationSASL(mechanisms):
            return (yield from _sasl(settings, mechanisms))
        case messages.AuthenticationGSS():
            return (yield from _gss(settings, "gss"))
        case messages.AuthenticationSSPI():
            return (yield from _gss(settings, "sspi"))
        case messages.AuthenticationKerberosV5():
            raise AuthenticationError(
                "the server asks for Kerberos V5, which PostgreSQL gave up in version 9.4"
            )
        case _:
            raise RemoteProtocolError(f"the server begins authentication with {type(message).__name__}")


# --- Passwords ---------------------------------------------------------------------------------------------


def _clear_text(settings: AuthenticationSettings) -> Flow[AuthenticationOutcome]:
    check_method(settings, "password")
    check_channel_binding(settings, "the server asks for a cleartext password")
    check_clear_text(settings, "password")
    password = yield from _password(settings)
    password_bytes(password)
    yield from SendMessage(messages.PasswordMessage(password.reveal()))
    yield from _expect(messages.AuthenticationOk, settings)
    return AuthenticationOutcome("password")


def _md5(settings: AuthenticationSettings, salt: bytes) -> Flow[AuthenticationOutcome]:
    check_method(settings, "md5")
    check_channel_binding(settings, "the server asks for an MD5-hashed password")
    warnings.warn(
        "the server asks for an MD5-hashed password; PostgreSQL 18 deprecates that. Set the password again "
        "with password_encryption=scram-sha-256, or refuse it with require_auth=!md5",
        DeprecationWarning,
        stacklevel=2,
    )
    password = yield from _password(settings)
    yield from SendMessage(messages.PasswordMessage(_md5_response(settings.user, password, salt)))
    yield from _expect(messages.AuthenticationOk, settings)
    return AuthenticationOutcome("md5")


def _md5_response(user: str, password: Secret, salt: bytes) -> str:
    """ "md5", and the hash of the hash of password and user, and the salt."""
    try:
        inner = hashlib.md5(password_bytes(password) + user.encode("utf-8", "surrogateescape")).hexdigest()
        return "md5" + hashlib.md5(inner.encode("ascii") + salt).hexdigest()
    except ValueError as error:
        # Python's answer where the system forbids MD5, as in FIPS mode.
        raise AuthenticationError(
            "the server asks for an MD5-hashed password, and this system does not allow MD5"
        ) from error


def _password(settings: AuthenticationSettings) -> Flow[Secret]:
    """The password, from the settings or from the application.

    No variable of a frame that may end in an error holds it as text: some people log those, too.
    """
    password = settings.password
    if password is None and settings.ask_password is not None:
        password = _conceal((yield from AskPassword(settings.ask_password)), "password")
    if password is None or not password.reveal():
        raise AuthenticationError(f"the server asks user {settings.user!r} for a password, and there is none")
    return password


def _conceal(secret: object, name: str) -> Secret:
    match secret:
        case None:
            return Secret("")
        case str():
            return Secret(secret)
        case Secret():
            return secret
        case _:
            raise ConfigError(f"the {name} is a {type(secret).__name__}; it must be a str")


# --- SASL --------------------------------------------------------------------------------------------------


def _sasl(settings: AuthenticationSettings, mechanisms: tuple[str, ...]) -> Flow[AuthenticationOutcome]:
    """Take the strongest mechanism: SCRAM bound to the channel, then a token if there is one, then SCRAM."""
    binding = None
    if settings.channel.kind == "tls" and settings.channel_binding != "disable":
        binding = server_end_point(settings.channel.certificate)
    if SCRAM_PLUS in mechanisms and settings.channel.kind != "tls":
        raise AuthenticationError(f"the server offers {SCRAM_PLUS}, yet the connection does not use TLS")
    if SCRAM_PLUS in mechanisms and binding is not None:
        return (yield from _scram(settings, SCRAM_PLUS, binding))
    if settings.channel_binding == "require":
        raise AuthenticationError(f"channel_binding=require, but {_why_not_bound(settings, mechanisms)}")
    if OAUTHBEARER in mechanisms and settings.ask_token is not None:
        return (yield from _oauth(settings, settings.ask_token))
    if SCRAM in mechanisms:
        return (yield from _scram(settings, SCRAM, binding))
    if OAUTHBEARER in mechanisms:
        check_method(settings, "oauth")
        raise AuthenticationError(
            "the server asks for a token, and there is none: no token provider was given"
        )
    raise AuthenticationError(
        f"the server offers the SASL mechanisms {', '.join(map(repr, mechanisms)) or 'none'}; known here are "
        f"{SCRAM}, {SCRAM_PLUS} (over TLS) and {OAUTHBEARER}"
    )


def _why_not_bound(settings: AuthenticationSettings, mechanisms: tuple[str, ...]) -> str:
    if settings.channel.kind != "tls":
        return "the connection does not use TLS"
    if SCRAM_PLUS not in mechanisms:
        return f"the server does not offer {SCRAM_PLUS}"
    return (
        "the server's certificate is signed without a hash function (as an Ed25519 certificate is), so there "
        "is nothing to bind to"
    )


def _scram(
    settings: AuthenticationSettings, mechanism: str, binding: bytes | None
) -> Flow[AuthenticationOutcome]:
    check_method(settings, "scram-sha-256")
    secret = settings.scram_keys or (yield from _password(settings))
    exchange = ScramExchange(
        mechanism,
        secret,
        (yield from Entropy(NONCE_SIZE)),
        binding=binding,
        min_iterations=settings.scram_min_iterations,
        max_iterations=settings.scram_max_iterations,
    )
    yield from SendMessage(messages.SASLInitialResponse(mechanism, exchange.first()))
    challenge = yield from _expect(messages.AuthenticationSASLContinue, settings)
    exchange.challenge(challenge.data)
    proof = yield from DeriveKey(exchange.derive)
    yield from SendMessage(messages.SASLResponse(proof))
    final = yield from _expect(messages.AuthenticationSASLFinal, settings)
    exchange.verify(final.data)
    yield from _expect(messages.AuthenticationOk, settings)
    return AuthenticationOutcome("scram-sha-256", mechanism, channel_bound=mechanism == SCRAM_PLUS)


def _oauth(settings: AuthenticationSettings, ask_token: Callable[[], object]) -> Flow[AuthenticationOutcome]:
    """OAUTHBEARER (RFC 7628): the token at once; on failure a word about why, which we acknowledge."""
    check_method(settings, "oauth")
    check_clear_text(settings, "oauth")
    token = _conceal((yield from AskPassword(ask_token)), "token")
    if _BEARER_TOKEN.fullmatch(token.reveal()) is None:
        raise ConfigError(
            "the token is empty, or has characters that no bearer token has (RFC 6750, section 2.1)"
        )
    yield from SendMessage(messages.SASLInitialResponse(OAUTHBEARER, _bearer(token)))
    message = yield from ReceiveMessage()
    if isinstance(message, messages.AuthenticationSASLContinue):
        yield from SendMessage(messages.SASLResponse(b"\x01"))
        message = yield from ReceiveMessage()
        if not isinstance(message, messages.ErrorResponse):
            raise RemoteProtocolError(
                f"the server refused the token, and then sent {type(message).__name__} in place of its error"
            )
    _check(message, messages.AuthenticationOk, settings)
    return AuthenticationOutcome("oauth", OAUTHBEARER)


def _bearer(token: Secret) -> bytes:
    return f"n,,\x01auth=Bearer {token.reveal()}\x01\x01".encode("ascii")


# --- GSSAPI and SSPI ---------------------------------------------------------------------------------------


def _gss(settings: AuthenticationSettings, method: Method) -> Flow[AuthenticationOutcome]:
    """Pass tokens between the server and a security context, until both are satisfied."""
    check_method(settings, method)
    check_channel_binding(settings, f"the server asks for {method.upper()} authentication")
    if settings.make_gss_context is None:
        raise AuthenticationError(
            f"the server asks for {method.upper()} authentication, and no security context for it was given"
        )
    context = yield from RunInThread(settings.make_gss_context)
    token: bytes | None = None
    for _ in range(_MAX_GSS_ROUNDS):
        answer = yield from _step(context, token)
        if answer:
            yield from SendMessage(messages.GSSResponse(answer))
        if context.complete:
            yield from _expect(messages.AuthenticationOk, settings)
            return AuthenticationOutcome(method)
        token = (yield from _expect(messages.AuthenticationGSSContinue, settings)).data
    raise RemoteProtocolError(f"the {method.upper()} exchange was not over after {_MAX_GSS_ROUNDS} tokens")


def _step(context: GSSContext, token: bytes | None) -> Flow[bytes | None]:
    # It may ask a ticket server over the network, so it runs where it may wait.
    try:
        return (yield from RunInThread(lambda: context.step(token)))
    except (Error, TimeoutError):
        raise
    except Exception as error:
        # Whatever the library for it raises: what has failed is authentication.
        raise AuthenticationError(f"the security context gave up: {error}") from error


# --- What the server must send next ------------------------------------------------------------------------


def _expect(kind: type[M], settings: AuthenticationSettings) -> Flow[M]:
    return _check((yield from ReceiveMessage()), kind, settings)


def _check(message: Message, kind: type[M], settings: AuthenticationSettings) -> M:
    """Return the message if it is of this kind; raise what it is instead."""
    if isinstance(message, messages.ErrorResponse):
        raise PostgresError.from_fields(message.fields, untrusted=not settings.channel.trusted)
    if not isinstance(message, kind):
        raise RemoteProtocolError(
            f"the server sent {type(message).__name__} where authentication needs {kind.__name__}"
        )
    return message
