"""From parameters to a session that is ready: every host, every address, every rung of the TLS ladder.

    for each kind of server that is wanted      one, or two for prefer-standby              `_target`
        for each host                           in the order given, or shuffled
            for each of its addresses           in the resolver's order, or shuffled
                for each rung of the ladder     with TLS, without                           `_encryption`
                    for each protocol version   as asked, else 3.0                          `_startup`
                        open, negotiate TLS, log in; close the socket if that fails

`connect_timeout` is for each address, all of its attempts together, the resolution of the host's name
included for the first of them. `deadline` is for all of it.

Which failure leads where is told in `_failures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from pgproto import messages
from pgproto._auth import Channel
from pgproto._config import Config, HostSpec
from pgproto._connecting._encryption import (
    LADDER,
    Encryption,
    handshake,
    negotiate,
    open_socket,
    worth_the_next_rung,
)
from pgproto._connecting._established import Established, Route
from pgproto._connecting._failures import Attempts, Next, what_next
from pgproto._connecting._link import Link, on_socket
from pgproto._connecting._startup import PROTOCOL_VERSIONS, Session, UnknownProtocol, start_session
from pgproto._connecting._target import PASSES, Wanted, why_not
from pgproto._connecting._tls_files import TLSContext
from pgproto._effects import (
    Address,
    CloseSocket,
    Entropy,
    Flow,
    Now,
    Resolve,
    SetDeadline,
    TCPAddress,
    TLSInfo,
    UnixAddress,
)
from pgproto.errors import ConfigError, ConnectionLost, Error, TLSError
from pgproto.messages import PROTOCOL_3_0

__all__ = ["connect"]

T = TypeVar("T")

_BLINK: Final = 0.005
"""Seconds in which no attempt is worth a try; timers of event loops may ring that much too early."""


def connect(
    config: Config, *, deadline: float | None = None, parameters: Mapping[str, str] | None = None
) -> Flow[Established]:
    """Connect, authenticate, and wait until the session is ready; the socket stays open.

    `deadline` is a moment of the clock that `Now` shows. `parameters` are settings for the startup message,
    besides those in `config`.

    Raises `ConnectionLost` if no server can be reached or none is what `target_session_attrs` asks for,
    `TLSError`, `AuthenticationError`, `RemoteProtocolError` or `ConfigError` for what their names say, and
    `PostgresError` if a server refuses the session.
    """
    if config.sslcertmode == "require":
        raise ConfigError(
            "sslcertmode=require cannot be met: Python's ssl module does not tell whether the server asked "
            "for a certificate. sslcertmode=allow sends it to a server that asks"
        )
    if (config.scram_client_key is None) is not (config.scram_server_key is None):
        raise ConfigError("scram_client_key and scram_server_key go together: give both or neither")
    return _Connecting(config, deadline, parameters or {}).run()


class _Connecting:
    """One call of `connect`."""

    def __init__(self, config: Config, deadline: float | None, parameters: Mapping[str, str]) -> None:
        self._config = config
        self._deadline = deadline
        self._parameters = parameters
        self._context = TLSContext(config)
        self._attempts = Attempts()

    def run(self) -> Flow[Established]:
        for wanted in PASSES[self._config.target_session_attrs]:
            for host in (yield from self._in_order(self._config.hosts)):
                established = yield from self._try_host(host, wanted)
                if established is not None:
                    return established
        raise self._attempts.summary()

    # --- Hosts and addresses ---

    def _try_host(self, host: HostSpec, wanted: Wanted) -> Flow[Established | None]:
        """Try a host's addresses; None if that was in vain, and another host may do better."""
        yield from self._start_clock()
        try:
            addresses = yield from self._addresses(host)
        except ConnectionLost as error:
            yield from self._fail(str(host), error)
            return None
        for number, address in enumerate(addresses):
            if number > 0:
                yield from self._start_clock()
            result = yield from self._try_address(host, address, wanted)
            if isinstance(result, Established):
                return result
            if result is Next.HOST:
                break
        return None

    def _try_address(self, host: HostSpec, address: Address, wanted: Wanted) -> Flow[Established | Next]:
        resolved = host.hostaddr is None and str(host) != str(address)
        where = f"{host} ({address})" if resolved else str(host)
        try:
            established, link, session = yield from self._climb(self._route(host, address))
            reason = yield from self._refused(link, session, wanted)
        except Error as error:
            following = what_next(error)
            if following is Next.END:
                self._attempts.annotate(where, error)
                raise
            yield from self._fail(where, error)
            return following
        if reason is None:
            return established
        target = self._config.target_session_attrs
        mismatch = f"{reason}, and target_session_attrs={target} was asked for"
        yield from self._fail(where, ConnectionLost(mismatch, outcome="not_sent"))
        return Next.HOST

    def _refused(self, link: Link, session: Session, wanted: Wanted) -> Flow[str | None]:
        """Say why the session is not wanted, after having closed it; None if it is."""
        try:
            reason = yield from why_not(link, session, wanted)
            if reason is None:
                return None
            with suppress(ConnectionLost):
                yield from link.send(messages.Terminate())
        except Exception:
            yield from CloseSocket()
            raise
        yield from CloseSocket()
        return reason

    def _fail(self, where: str, error: Error) -> Flow[None]:
        """Note a failure; if there is no time for another attempt, raise what there is."""
        self._attempts.add(where, error)
        if self._deadline is not None and (yield from Now()) >= self._deadline - _BLINK:
            raise self._attempts.summary()

    def _addresses(self, host: HostSpec) -> Flow[Sequence[Address]]:
        if self._config.open_socket is not None:
            # Names may mean something at the other end of a tunnel that they do not mean here.
            return (TCPAddress(host.address, host.port),)
        path = host.socket_path
        if path is not None:
            return (UnixAddress(path),)
        if host.hostaddr is not None:
            return (TCPAddress(host.hostaddr, host.port),)
        resolve = Resolve(host.host, host.port)
        addresses = yield from on_socket(resolve, f"looking up the host name {host.host!r}")
        if not addresses:
            raise ConnectionLost(f"the host name {host.host!r} has no address", outcome="not_sent")
        return (yield from self._in_order(addresses))

    def _in_order(self, items: Sequence[T]) -> Flow[Sequence[T]]:
        """The items as they are; or shuffled, to spread the load, by the method of Fisher and Yates."""
        if self._config.load_balance_hosts == "disable" or len(items) < 2:
            return items
        shuffled = list(items)
        for last in range(len(shuffled) - 1, 0, -1):
            # Of 2**64 numbers, the surplus that favours some items is nothing that can be measured.
            chosen = int.from_bytes((yield from Entropy(8)), "big") % (last + 1)
            shuffled[last], shuffled[chosen] = shuffled[chosen], shuffled[last]
        return shuffled

    def _start_clock(self) -> Flow[None]:
        timeout = self._config.connect_timeout
        if timeout is None:
            yield from SetDeadline(self._deadline)
            return
        at = (yield from Now()) + timeout
        yield from SetDeadline(at if self._deadline is None else min(at, self._deadline))

    def _route(self, host: HostSpec, address: Address) -> Route:
        config = self._config
        if config.open_socket is not None:
            return Route(address, host, open_socket=config.open_socket)
        if isinstance(address, UnixAddress):
            return Route(address, host, peer_user=config.requirepeer)
        return Route(address, host, config.keepalive, config.tcp_user_timeout or None)

    # --- One address ---

    def _climb(self, route: Route) -> Flow[tuple[Established, Link, Session]]:
        """Try one way of encryption, and then the other, if there is one and it is worth it."""
        local = isinstance(route.address, UnixAddress)
        first, *others = (Encryption.NONE,) if local else LADDER[self._config.sslmode]
        try:
            return (yield from self._in_some_version(route, first))
        except Error as error:
            if not others or not worth_the_next_rung(first, error):
                raise
            failure = error
        try:
            return (yield from self._in_some_version(route, others[0]))
        except Error as error:
            if isinstance(error, TLSError):
                # A server that refuses us without TLS, and has none: what it said at first is what counts.
                raise failure from error
            error.add_note(f"before that, {first.value}: {failure}")
            raise

    def _in_some_version(
        self, route: Route, encryption: Encryption
    ) -> Flow[tuple[Established, Link, Session]]:
        try:
            version = PROTOCOL_VERSIONS[self._config.max_protocol_version]
            return (yield from self._attempt(route, encryption, version))
        except UnknownProtocol:
            return (yield from self._attempt(route, encryption, PROTOCOL_3_0))

    def _attempt(
        self, route: Route, encryption: Encryption, version: int
    ) -> Flow[tuple[Established, Link, Session]]:
        """Open a socket and log in; if that fails, close the socket."""
        try:
            yield from open_socket(route)
            link = Link(self._config.max_message_size, self._config.trace)
            tls = None
            if encryption is not Encryption.NONE:
                route, tls = yield from self._encrypt(link, route, encryption)
            channel = _channel(route, tls)
            session = yield from start_session(
                link, self._config, route.host, channel, version, self._parameters
            )
        except Exception:
            yield from CloseSocket()
            raise
        key = session.key
        established = Established(
            connection=link.connection,
            route=route,
            tls=tls,
            authentication=session.authentication,
            parameters=session.parameters,
            process_id=None if key is None else key.process_id,
            secret_key=None if key is None else key.secret_key,
            unrecognized_options=session.unrecognized_options,
            notices=tuple(link.notices),
        )
        return established, link, session

    def _encrypt(
        self, link: Link, route: Route, encryption: Encryption
    ) -> Flow[tuple[Route, TLSInfo | None]]:
        """Start TLS, if the server can; return the route with it."""
        direct = self._config.sslnegotiation == "direct"
        if not direct and not (yield from negotiate(link, encryption)):
            return route, None
        route = replace(
            route,
            tls_context=(yield from self._context.get()),
            server_hostname=_server_hostname(self._config, route.host),
            direct_tls=direct,
        )
        return route, (yield from handshake(route))


def _server_hostname(config: Config, host: HostSpec) -> str | None:
    """The name that the certificate must be for, and that SNI tells; None for neither."""
    verified = config.sslmode == "verify-full"
    name = host.host if host.socket_path is None else ""
    if verified and not name:
        raise ConfigError(f"sslmode=verify-full needs a host name for the certificate; {host} has none")
    if not config.sslsni:
        if verified:
            raise ConfigError(
                "sslsni=0 and sslmode=verify-full do not go together in Python: one name is for both"
            )
        return None
    return name or None


def _channel(route: Route, tls: TLSInfo | None) -> Channel:
    if isinstance(route.address, UnixAddress):
        return Channel("unix")
    if tls is None:
        return Channel("tcp")
    return Channel("tls", tls.verified, tls.peer_certificate)
