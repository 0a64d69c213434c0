"""What a client lets a server ask for, and over what kind of line.

A server chooses how the client proves who it is; so somebody in the server's place chooses too, and would
choose the password in clear text. Three settings hold against that, and all of them are checked before
anything secret leaves:

    require_auth       the methods that the server may ask for; libpq's grammar and names
    channel_binding    "require" accepts only SCRAM bound to this very TLS connection
    the line itself    a password in clear text, or a token, does not go over a line that others can read

| the server asks for  | in require_auth | goes over plain TCP                   | binds the channel |
|----------------------|-----------------|---------------------------------------|-------------------|
| nothing              | none            | yes                                   | no                |
| a cleartext password | password        | only if require_auth names `password` | no                |
| an MD5 hash          | md5             | yes, with a DeprecationWarning        | no                |
| SCRAM-SHA-256        | scram-sha-256   | yes                                   | no                |
| SCRAM-SHA-256-PLUS   | scram-sha-256   | cannot be                             | yes               |
| OAUTHBEARER          | oauth           | only if require_auth names `oauth`    | no                |
| GSSAPI, SSPI         | gss, sspi       | yes                                   | no                |

PostgreSQL documentation: "Database Connection Control Functions", `require_auth` and `channel_binding`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

from pgproto._auth._scram_keys import ScramKeys
from pgproto._dataclasses import dataclass
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError, ConfigError

__all__ = [
    "DEFAULT_SCRAM_MAX_ITERATIONS",
    "DEFAULT_SCRAM_MIN_ITERATIONS",
    "AllowedMethods",
    "AuthenticationSettings",
    "Channel",
    "GSSContext",
    "Method",
    "check_channel_binding",
    "check_clear_text",
    "check_method",
]

Method: TypeAlias = Literal["none", "password", "md5", "scram-sha-256", "oauth", "gss", "sspi"]

_METHODS: Final[tuple[Method, ...]] = ("none", "password", "md5", "scram-sha-256", "oauth", "gss", "sspi")

DEFAULT_SCRAM_MAX_ITERATIONS: Final = 100_000
"""About an eighth of a second of arithmetic; PostgreSQL's own default is 4,096."""

DEFAULT_SCRAM_MIN_ITERATIONS: Final = 4096
"""The least that RFC 7677 recommends."""


@dataclass(frozen=True, slots=True)
class AllowedMethods:
    """The value of `require_auth`, understood."""

    allowed: frozenset[Method] = frozenset(_METHODS)
    named: frozenset[Method] = frozenset()
    """Those that were asked for in so many words; empty for a list of what is forbidden."""
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> AllowedMethods:
        """Read libpq's grammar: `scram-sha-256,none` allows these two, `!md5,!password` all but these two.

        An empty text allows everything. Raises `ConfigError`.
        """
        if not text:
            return cls()
        words = text.split(",")
        forbids = words[0].startswith("!")
        mentioned: set[Method] = set()
        for word in words:
            if word.startswith("!") is not forbids:
                raise ConfigError(
                    f"require_auth={text!r} mixes methods with and without '!'; it either lists what is "
                    f"allowed or what is forbidden"
                )
            method = _method(word.removeprefix("!"), text)
            if method in mentioned:
                raise ConfigError(f"require_auth={text!r} names {method!r} twice")
            mentioned.add(method)
        if forbids:
            return cls(frozenset(_METHODS) - mentioned, frozenset(), text)
        return cls(frozenset(mentioned), frozenset(mentioned), text)


def _method(word: str, text: str) -> Method:
    for method in _METHODS:
        if word == method:
            return method
    raise ConfigError(
        f"require_auth={text!r} names the method {word!r}, which does not exist; there are "
        f"{', '.join(_METHODS)}"
    )


class GSSContext(Protocol):
    """A GSSAPI security context, or anything that behaves like one; `gssapi.SecurityContext` does."""

    @property
    def complete(self) -> bool:
        """Whether this side is satisfied, the server's proof included if mutual authentication was asked."""
        ...

    def step(self, token: bytes | None = None, /) -> bytes | None:
        """Take the server's token (None at first), and return the next one for it (None if there is none)."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """What is between the client and the server."""

    kind: Literal["tcp", "unix", "tls"]
    verified: bool = False
    """Whether a TLS certificate was checked against the trusted authorities."""
    certificate: bytes | None = None
    """The server's certificate, DER-encoded."""

    @property
    def trusted(self) -> bool:
        """Whether it is known who is at the other end before anybody has authenticated."""
        return self.kind == "unix" or self.verified


@dataclass(frozen=True, slots=True)
class AuthenticationSettings:
    """Everything that authentication needs to know."""

    user: str
    channel: Channel
    password: Secret | None = None
    ask_password: Callable[[], object] | None = None
    """Called when the server wants a password and `password` is None; may be a coroutine function."""
    ask_token: Callable[[], object] | None = None
    """Called for each OAUTHBEARER exchange; may be a coroutine function."""
    make_gss_context: Callable[[], GSSContext] | None = None
    """Called, in a worker thread, for each GSSAPI or SSPI exchange."""
    scram_keys: ScramKeys | None = None
    """What to use for SCRAM instead of a password."""
    allowed: AllowedMethods = AllowedMethods()
    channel_binding: Literal["disable", "prefer", "require"] = "prefer"
    scram_min_iterations: int = DEFAULT_SCRAM_MIN_ITERATIONS
    scram_max_iterations: int = DEFAULT_SCRAM_MAX_ITERATIONS


def check_method(settings: AuthenticationSettings, method: Method) -> None:
    """Raise `AuthenticationError` if `require_auth` does not allow the method."""
    if method in settings.allowed.allowed:
        return
    asked = "no authentication" if method == "none" else f"the authentication method {method!r}"
    raise AuthenticationError(
        f"the server asks for {asked}, which require_auth={settings.allowed.text!r} does not allow"
    )


def check_channel_binding(settings: AuthenticationSettings, what: str) -> None:
    """Raise `AuthenticationError` if the channel must be bound; `what` the server does never binds it."""
    if settings.channel_binding == "require":
        raise AuthenticationError(
            f"channel_binding=require, but {what}, which does not bind the channel; only SCRAM-SHA-256-PLUS "
            f"does"
        )


def check_clear_text(settings: AuthenticationSettings, method: Literal["password", "oauth"]) -> None:
    """Raise `AuthenticationError` if what the method sends could be read by others.

    A password needs TLS or a Unix-domain socket; a token, which works for whoever holds it, needs a TLS
    server that has shown who it is. Naming the method in `require_auth` overrides both.
    """
    channel = settings.channel
    if method in settings.allowed.named or channel.kind == "unix":
        return
    if method == "password" and channel.kind != "tls":
        raise AuthenticationError(
            "the server asks for the password in clear text, and the connection is not encrypted. Use "
            "sslmode=verify-full, or allow it with require_auth=password"
        )
    if method == "oauth" and not channel.verified:
        raise AuthenticationError(
            "the server asks for a token, and has not shown who it is. Use sslmode=verify-full, or allow it "
            "with require_auth=oauth"
        )
