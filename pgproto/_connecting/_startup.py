"""From an open line to a session that is ready: the startup message, authentication, what the server reports.

    client  StartupMessage                  the protocol version, the user, the database ...
    server  NegotiateProtocolVersion        if it knows less than was asked for
            Authentication...               until AuthenticationOk, see `pgproto._auth`
            ParameterStatus                 many of them, at any time from here on
            BackendKeyData                  once or not at all
            ReadyForQuery                   idle, for nothing has been asked yet

Protocol 3.0 is what every server and pooler of the last twenty years speaks, and is the default. Asked for
more, a server says with NegotiateProtocolVersion what it can do. Some poolers instead fail at the first
bytes: they get a second try at 3.0, if `min_protocol_version` allows.

What the server reports is checked for two things that all that is sent later relies on: text is UTF-8, and a
backslash in a string literal is just a backslash.

PostgreSQL documentation: "Start-up".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from pgproto import messages
from pgproto._auth import (
    AuthenticationOutcome,
    AuthenticationSettings,
    Channel,
    GSSContext,
    ScramKeys,
    authenticate,
    make_gssapi_context,
)
from pgproto._config import Config, HostSpec
from pgproto._connecting._link import Link
from pgproto._effects import Flow
from pgproto.errors import ConfigError, PostgresError, RemoteProtocolError
from pgproto.messages import PROTOCOL_3_0, PROTOCOL_3_2, Authentication, Message

__all__ = ["PROTOCOL_VERSIONS", "Session", "UnknownProtocol", "start_session"]

PROTOCOL_VERSIONS: Final = {"3.0": PROTOCOL_3_0, "3.2": PROTOCOL_3_2}

_PROTOCOL_3_1: Final = 0x0003_0001
"""Was never released: a pooler had used the number already."""

_NOT_UNDERSTOOD: Final = frozenset({"08P01", "0A000"})
"""protocol_violation and feature_not_supported: what servers answer to a protocol version unknown to them."""

_MAX_PARAMETERS: Final = 256
_MAX_PARAMETERS_SIZE: Final = 64 * 1024
"""Characters, names and values together."""

_REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "client_encoding": ("utf8", "utf-8", "unicode"),
    "standard_conforming_strings": ("on",),
}
"""What these parameters must be, in lower case, where the server reports them."""


class UnknownProtocol(Exception):
    """The server did not understand the protocol version; an older one may do. The cause is its error."""


@dataclass(slots=True)
class Session:
    """What becomes known of a session while it starts."""

    authentication: AuthenticationOutcome
    parameters: dict[str, str] = field(default_factory=dict[str, str])
    key: messages.BackendKeyData | None = None
    unrecognized_options: tuple[str, ...] = ()

    def report(self, message: messages.ParameterStatus) -> None:
        """Note a parameter's value.

        Raises `RemoteProtocolError` if it must be another, or if there are too many.
        """
        name, value = message.name, message.value
        allowed = _REQUIRED.get(name)
        if allowed is not None and value.lower() not in allowed:
            raise RemoteProtocolError(
                f"the server reports {name}={value[:80]!r}, and it must be {allowed[0]!r}. A setting of the "
                f"role or of the database may be the reason"
            )
        self.parameters[name] = value
        size = sum(len(name) + len(value) for name, value in self.parameters.items())
        if len(self.parameters) > _MAX_PARAMETERS or size > _MAX_PARAMETERS_SIZE:
            raise RemoteProtocolError(
                f"the server reports more than {_MAX_PARAMETERS} parameters, or more than "
                f"{_MAX_PARAMETERS_SIZE} characters of them"
            )

    def reported(self, name: str) -> bool | None:
        """Return a parameter that is on or off; None if the server has not reported it."""
        return {"on": True, "off": False}.get(self.parameters.get(name, ""))


def start_session(
    link: Link, config: Config, host: HostSpec, channel: Channel, version: int, more: Mapping[str, str]
) -> Flow[Session]:
    """Log in, and wait until the server is ready; `more` are further parameters for the startup message.

    Raises `UnknownProtocol` if it is worth trying again with protocol 3.0.
    """
    link.trusted = channel.trusted
    parameters = {**config.startup_parameters, **more}
    link.now("starting the session")
    yield from link.send(messages.StartupMessage(parameters, version), hear_out=True)
    message = yield from _first_answer(link, config, version)
    options: tuple[str, ...] = ()
    if isinstance(message, messages.NegotiateProtocolVersion):
        options = _check_negotiation(message, config, version, parameters)
        message = yield from link.receive_or_raise()
    assert isinstance(message, Authentication), "the connection accepts nothing else here"
    link.now("authenticating")
    settings = _authentication_settings(config, host, channel)
    session = Session(
        (yield from link.converse(authenticate(message, settings))), unrecognized_options=options
    )
    # Its errors are about the session now: no such database, too many connections.
    link.trusted = True
    link.now("waiting for the session to be ready")
    yield from _until_ready(link, session)
    return session


def _first_answer(link: Link, config: Config, version: int) -> Flow[Message]:
    try:
        return (yield from link.receive_or_raise())
    except PostgresError as error:
        older = version > PROTOCOL_3_0 and config.min_protocol_version == "3.0"
        if older and error.sqlstate in _NOT_UNDERSTOOD:
            raise UnknownProtocol from error
        raise


def _check_negotiation(
    message: messages.NegotiateProtocolVersion, config: Config, version: int, parameters: Mapping[str, str]
) -> tuple[str, ...]:
    """Check what the server offers; return the protocol options that it does not know.

    That it offers no more than was asked for is checked already.
    """
    offered, options = message.protocol_version, message.unrecognized_options
    if offered == _PROTOCOL_3_1:
        raise RemoteProtocolError("the server offers protocol version 3.1, which does not exist")
    if offered == version and not options:
        raise RemoteProtocolError("the server negotiates the protocol version, and changes nothing")
    surprising = [name for name in options if not name.startswith("_pq_.") or name not in parameters]
    if surprising:
        raise RemoteProtocolError(
            f"the server refuses protocol options that were not asked for: {surprising}"
        )
    if offered < PROTOCOL_VERSIONS[config.min_protocol_version]:
        raise RemoteProtocolError(
            f"the server offers protocol version {offered >> 16}.{offered & 0xFFFF}, older than "
            f"min_protocol_version={config.min_protocol_version}"
        )
    return options


def _authentication_settings(config: Config, host: HostSpec, channel: Channel) -> AuthenticationSettings:
    """Take from the parameters what authentication needs."""
    make = config.gss_context

    def make_gss_context() -> GSSContext:
        name = host.host or host.address
        if make is None:
            return make_gssapi_context(config.krbsrvname, name, delegate=config.gssdelegation)
        context = make(config.krbsrvname, name)
        if not (hasattr(context, "step") and hasattr(context, "complete")):
            raise ConfigError(
                f"gss_context returned an object of type {type(context).__name__}; it must have a method "
                f"`step` and an attribute `complete`, as gssapi.SecurityContext has"
            )
        return cast("GSSContext", context)

    keys = None
    if config.scram_client_key is not None and config.scram_server_key is not None:
        keys = ScramKeys(config.scram_client_key, config.scram_server_key)
    return AuthenticationSettings(
        user=config.user,
        channel=channel,
        password=config.password_for(host),
        ask_password=config.ask_password,
        ask_token=config.oauth_token,
        make_gss_context=make_gss_context,
        scram_keys=keys,
        allowed=config.require_auth,
        channel_binding=config.channel_binding,
        scram_min_iterations=config.scram_min_iterations,
        scram_max_iterations=config.scram_max_iterations,
    )


def _until_ready(link: Link, session: Session) -> Flow[None]:
    while True:
        message = yield from link.receive_or_raise()
        if isinstance(message, messages.ParameterStatus):
            session.report(message)
        elif isinstance(message, messages.BackendKeyData):
            session.key = message
        else:
            assert isinstance(message, messages.ReadyForQuery), "the connection accepts nothing else here"
            if message.status != "I":
                raise RemoteProtocolError(
                    f"the server begins the session in a transaction ({message.status!r})"
                )
            return
