"""TLS on every transport: encrypted sessions, cancelling under TLS, and who is refused."""

from __future__ import annotations

import pytest
import trustme

from pgproto import QueryTimeout, TLSError
from tests.contract.faces import Face
from tests.support.servers import Server, TLSFiles

__all__: list[str] = []

pytestmark = pytest.mark.anyio

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
