"""TLS on every transport: encrypted sessions, cancelling under TLS, and who is refused."""

from __future__ import annotations

import pytest
import trustme

from pgproto import AuthenticationError, ConnectionLost, QueryTimeout, TLSError
from tests.contract.faces import CANCEL_TIMEOUT, Face
from tests.support.certificates import KEY_PASSWORD, Certificates
from tests.support.faulty_proxy import FaultyProxy, How
from tests.support.landings import address
from tests.support.servers import Server, TLSFiles

__all__: list[str] = []

pytestmark = [
    pytest.mark.anyio,
    # The servers under test are others than the one that the observer looks at.
    pytest.mark.parametrize("postgres", [18], indirect=True, ids=["observed"]),
]

NAME = "db.example"
SSL = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


@pytest.fixture
def authority(own_postgres: Server) -> trustme.CA:
    """The authority that has signed the server's certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    chain = b"".join([each.bytes() for each in issued.cert_chain_pems])
    own_postgres.set_tls(TLSFiles(chain, issued.private_key_pem.bytes()))
    return authority


async def test_a_session_under_tls(
    face: Face, own_postgres: Server, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> None:
    roots = tmp_path_factory.mktemp("tls") / "roots.crt"
    roots.write_bytes(authority.cert_pem.bytes())
    dsn = own_postgres.dsn_for("alice")
    parameters = {
        "host": NAME,
        "hostaddr": own_postgres.host,
        "sslmode": "verify-full",
        "sslrootcert": str(roots),
        "cancel_timeout": CANCEL_TIMEOUT,
    }
    async with face.connect(dsn, **parameters) as session:
        assert await session.fetchval(SSL) is True
        # Both ways more than the buffers of a socket hold.
        large = "x" * 3_000_000
        assert await session.fetchval("select $1::text", large) == large
        with pytest.raises(QueryTimeout):
            await session.fetch("select pg_sleep(60)", timeout=0.1)
        # The cancel request was encrypted too, and heard: the session is free again.
        assert await session.fetchval("select 1") == 1

    stranger = tmp_path_factory.mktemp("tls") / "roots.crt"
    stranger.write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(TLSError):
        async with face.connect(dsn, **{**parameters, "sslrootcert": str(stranger)}):
            raise AssertionError("connected to a server that nobody vouches for")


@pytest.mark.parametrize("how", ["reset", "hang up"])
async def test_the_line_breaks_under_tls(
    face: Face, own_postgres: Server, authority: trustme.CA, how: How
) -> None:
    dsn = own_postgres.dsn_for("alice")
    with FaultyProxy(own_postgres.host, own_postgres.port) as proxy:
        parameters = {"host": "127.0.0.1", "port": str(proxy.port), "sslmode": "require"}
        async with face.connect(dsn, **parameters) as session:
            assert await session.fetchval(SSL) is True
            proxy.fail(how)
            with pytest.raises(ConnectionLost):
                await session.fetchval("select 1", timeout=30)
            assert session.is_closed


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
async def test_all_that_a_server_can_do(
    face: Face, tls_postgres: Server, certificates: Certificates, negotiation: str
) -> None:
    """Either way to TLS, a proof bound to it, the longest key there is, and a cancel request by it."""
    parameters = address(
        tls_postgres,
        sslmode="verify-full",
        sslnegotiation=negotiation,
        sslrootcert=certificates.path("root.crt"),
        channel_binding="require",
        max_protocol_version="latest",
    )
    if negotiation == "direct" and tls_postgres.major < 17:
        with pytest.raises((TLSError, ConnectionLost)):
            async with face.connect(**parameters):
                pytest.fail("it connected")
        return
    lines: list[str] = []
    async with face.connect(**parameters, cancel_timeout=CANCEL_TIMEOUT, trace=lines.append) as session:
        assert await session.fetchval(SSL) is True
        with pytest.raises(QueryTimeout):
            await session.fetch("select pg_sleep(60)", timeout=0.1)
        assert await session.fetchval("select 1") == 1
    (key,) = [line for line in lines if "BackendKeyData" in line]
    assert int(key.split("\t")[1]) == (8 + 32 if tls_postgres.major >= 18 else 8 + 4)
    assert any("SCRAM-SHA-256-PLUS" in line for line in lines)


async def test_a_certificate_in_place_of_a_password(
    face: Face, tls_postgres: Server, certificates: Certificates
) -> None:
    parameters = address(
        tls_postgres,
        sslmode="verify-full",
        sslrootcert=certificates.path("root.crt"),
        sslcert=certificates.path("alice.crt"),
        sslkey=certificates.path("locked.key"),
        sslpassword=KEY_PASSWORD,
        dbname="template1",
        password="",
    )
    async with face.connect(**parameters) as session:
        assert await session.fetchval("select current_user") == "alice"
    with pytest.raises(AuthenticationError, match="no authentication"):
        async with face.connect(**parameters, require_auth="scram-sha-256"):
            pytest.fail("it connected")
