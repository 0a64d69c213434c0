"""Streams that the application opens: tunnels, proxies, socket pairs."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trustme

from pgproto import ConfigError, ConnectionLost, QueryTimeout, TLSError
from tests.contract.faces import CANCEL_TIMEOUT, Face
from tests.contract.observer import Observer
from tests.contract.pools import make_pool
from tests.support.servers import Server, TLSFiles
from tests.support.socks import ProxyError, SocksProxy, connect_through, relay

if TYPE_CHECKING:
    import trio
else:
    trio = pytest.importorskip("trio")

__all__: list[str] = []

pytestmark = pytest.mark.anyio

PATIENT: dict[str, Any] = {"cancel_timeout": CANCEL_TIMEOUT}

NAME = "db.inside.example"
"""A name that no resolver knows."""

Make: TypeAlias = Callable[[str, int], socket.socket]


def opener(face: Face, make: Make) -> Callable[[str, int], Any]:
    """What ``open_socket`` is on this transport, for a socket that ``make`` connects."""
    if face.name == "blocking":
        return make

    async def open_socket(host: str, port: int) -> object:
        made = make(host, port)
        return trio.SocketStream(trio.socket.from_stdlib_socket(made)) if face.name == "trio" else made

    return open_socket


class Wrapped(trio.abc.Stream):
    """A stream that is no socket, as far as anybody can tell."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        self.closed = True
        await self._stream.aclose()


def to_unix(server: Server) -> Make:
    def make(host: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(f"{server.socket_dir}/.s.PGSQL.{server.port}")
        return made

    return make


@contextmanager
def to_pair(server: Server) -> Generator[Make, None, None]:
    """Sockets whose other end a thread of the test holds, and carries bytes to the server and back."""
    threads: list[threading.Thread] = []

    def make(host: str, port: int) -> socket.socket:
        near, far = socket.socketpair()

        def carry() -> None:
            with far, to_unix(server)(host, port) as upstream:
                try:
                    relay(far, upstream)
                except OSError:
                    return

        threads.append(threading.Thread(target=carry))
        threads[-1].start()
        return near

    yield make
    for thread in threads:
        thread.join()


@pytest.fixture
def proxy(postgres: Server) -> Generator[SocksProxy, None, None]:
    with SocksProxy({NAME: (postgres.host, postgres.port)}) as proxy:
        yield proxy


async def work(session: Any) -> None:
    """Use a session in both directions, cancel a query, and use it again."""
    large = "x" * 3_000_000
    assert await session.fetchval("select $1::text", large) == large
    with pytest.raises(QueryTimeout):
        await session.fetch("select pg_sleep(60)", timeout=0.1)
    assert await session.fetchval("select 1") == 1


async def test_the_servers_unix_socket(face: Face, postgres: Server) -> None:
    async with face.connect(postgres.dsn, open_socket=opener(face, to_unix(postgres)), **PATIENT) as session:
        await work(session)
    assert session.is_closed


async def test_one_end_of_a_pair(face: Face, postgres: Server) -> None:
    with to_pair(postgres) as make:
        async with face.connect(postgres.dsn, open_socket=opener(face, make), **PATIENT) as session:
            await work(session)


@pytest.mark.parametrize("face", ["trio"], indirect=True)
async def test_a_stream_that_is_no_socket(face: Face, postgres: Server) -> None:
    opened: list[Wrapped] = []

    async def open_socket(host: str, port: int) -> trio.abc.Stream:
        made = to_unix(postgres)(host, port)
        opened.append(Wrapped(trio.SocketStream(trio.socket.from_stdlib_socket(made))))
        return opened[-1]

    async with face.connect(postgres.dsn, open_socket=open_socket, **PATIENT) as session:
        await work(session)
    async with make_pool(face, postgres.dsn, open_socket=open_socket, max_size=1) as pool:
        for number in range(3):
            assert await pool.fetchval("select $1::int", number) == number
    with pytest.raises(TLSError, match="does not support TLS"):
        async with face.connect(postgres.dsn, open_socket=open_socket, sslmode="require"):
            pytest.fail("it connected")
    await face.until(lambda: all(stream.closed for stream in opened))


async def test_through_a_proxy(face: Face, postgres: Server, proxy: SocksProxy) -> None:
    parameters = {"host": NAME, "port": 5432, "application_name": "through the proxy", **PATIENT}
    make = opener(face, lambda host, port: connect_through(proxy, host, port))
    async with face.connect(postgres.dsn_for("alice"), open_socket=make, **parameters) as session:
        assert proxy.asked == [(NAME, 5432)]
        await work(session)
        assert proxy.asked == [(NAME, 5432)] * 2  # the cancel request took the same way
        assert await session.fetchval("show application_name") == "through the proxy"


@pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"])
async def test_tls_inside_a_tunnel(
    face: Face, own_postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    chain = b"".join([each.bytes() for each in issued.cert_chain_pems])
    own_postgres.set_tls(TLSFiles(chain, issued.private_key_pem.bytes()))
    roots = tmp_path_factory.mktemp("tls") / "roots.crt"
    roots.write_bytes(authority.cert_pem.bytes())
    with SocksProxy({NAME: (own_postgres.host, own_postgres.port)}) as proxy:
        make = opener(face, lambda host, port: connect_through(proxy, host, port))
        async with face.connect(
            own_postgres.dsn_for("alice"),
            host=NAME,
            open_socket=make,
            sslmode="verify-full",
            sslrootcert=str(roots),
            **PATIENT,
        ) as session:
            assert await session.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
            await work(session)
        assert len(proxy.asked) == 2


@pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"])
@pytest.mark.parametrize("own_postgres", [18], indirect=True, ids=["pg18"])
@pytest.mark.parametrize("face", ["trio", "blocking"], indirect=True)
async def test_a_stream_that_is_encrypted_already(face: Face, own_postgres: Server) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    chain = b"".join([each.bytes() for each in issued.cert_chain_pems])
    own_postgres.set_tls(TLSFiles(chain, issued.private_key_pem.bytes()))
    # A server that speaks TLS would offer to bind SCRAM to it, which nobody here can do any more.
    own_postgres.set_hba("hostssl all all all trust")
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())

    def make(host: str, port: int) -> socket.socket:
        made = socket.create_connection((own_postgres.host, own_postgres.port))
        return context.wrap_socket(made, server_hostname=NAME)

    async def make_stream(host: str, port: int) -> trio.abc.Stream:
        made = await trio.open_tcp_stream(own_postgres.host, own_postgres.port)
        return trio.SSLStream(made, context, server_hostname=NAME, https_compatible=True)

    open_socket: Any = make if face.name == "blocking" else make_stream
    dsn = own_postgres.dsn_for("alice")
    async with face.connect(dsn, sslmode="disable", open_socket=open_socket, **PATIENT) as session:
        assert await session.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        await work(session)


@pytest.mark.parametrize("face", ["asyncio", "uvloop"], indirect=True)
async def test_event_loops_shake_hands_themselves(face: Face) -> None:
    near, far = socket.socketpair()
    with far, near:
        made = ssl.create_default_context().wrap_socket(
            near, server_hostname=NAME, do_handshake_on_connect=False
        )

        def make(host: str, port: int) -> socket.socket:
            return made

        with made, pytest.raises(ConfigError, match="open_socket returned an object of type SSLSocket"):
            async with face.connect(user="alice", host="x", open_socket=make):
                pytest.fail("it connected")


async def test_a_pool(face: Face, postgres: Server, proxy: SocksProxy) -> None:
    make = opener(face, lambda host, port: connect_through(proxy, host, port))
    dsn = postgres.dsn_for("alice")
    async with make_pool(face, dsn, host=NAME, open_socket=make, min_size=2, max_size=2) as pool:
        assert await face.gather([lambda: pool.fetchval("select 7")] * 8) == [7] * 8
        async with pool.acquire() as session:
            await work(session)
    assert {name for name, _ in proxy.asked} == {NAME}


async def test_the_next_host_if_one_cannot_be_reached(
    face: Face, postgres: Server, proxy: SocksProxy
) -> None:
    make = opener(face, lambda host, port: connect_through(proxy, host, port))
    dsn = postgres.dsn_for("alice")
    async with face.connect(dsn, host=f"unknown.example,{NAME}", open_socket=make) as session:
        assert await session.fetchval("select 1") == 1
    assert [name for name, _ in proxy.asked] == ["unknown.example", NAME]


async def test_what_the_function_raises(face: Face, postgres: Server, proxy: SocksProxy) -> None:
    make = opener(face, lambda host, port: connect_through(proxy, host, port))
    with pytest.raises(ConnectionLost, match=r"unknown\.example:5432.*ProxyError") as caught:
        async with face.connect(user="alice", host="unknown.example", open_socket=make):
            pytest.fail("it connected")
    assert caught.value.outcome == "not_sent"
    assert isinstance(caught.value.__cause__, ProxyError)


async def test_a_function_that_returns_something_else(face: Face) -> None:
    def lie(host: str, port: int) -> str:
        return "a socket"

    with pytest.raises(ConfigError, match="open_socket returned an object of type str"):
        async with face.connect(user="alice", host="x", open_socket=lie):
            pytest.fail("it connected")


async def test_a_function_that_takes_too_long(face: Face) -> None:
    near, far = socket.socketpair()
    given_up = threading.Event()

    def hang(host: str, port: int) -> socket.socket:
        given_up.wait()
        return near

    async def hang_on_a_loop(host: str, port: int) -> object:
        await face.sleep(3600)
        raise AssertionError("it was not cancelled")

    function: Any = hang if face.name == "blocking" else hang_on_a_loop
    with pytest.raises(ConnectionLost, match="timed out while opening a stream to x:5432"):
        async with face.connect(user="alice", host="x", open_socket=function, connect_timeout=0.05):
            pytest.fail("it connected")
    with near, far:
        given_up.set()
        if face.name == "blocking":
            # What comes too late is closed by the thread that nobody waits for any more.
            assert far.recv(1) == b""
            await face.until(lambda: all(thread.name != "pgproto-open" for thread in threading.enumerate()))


async def test_the_operating_systems_user_cannot_be_checked(face: Face, postgres: Server) -> None:
    with pytest.raises(ConfigError, match="requirepeer"):
        async with face.connect(
            postgres.dsn, open_socket=opener(face, to_unix(postgres)), requirepeer="postgres"
        ):
            pytest.fail("it connected")


async def test_the_server_goes(face: Face, postgres: Server, observer: Observer) -> None:
    async with face.connect(postgres.dsn, open_socket=opener(face, to_unix(postgres))) as session:
        observer.terminate(session.backend_pid)
        with pytest.raises(ConnectionLost):
            while True:
                await session.ping()
        assert session.is_closed
