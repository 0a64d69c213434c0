"""TLS with real servers, and what libpq does with the same parameters."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from pgproto import messages as m
from pgproto._connecting import Established, cancel
from pgproto.errors import AuthenticationError, ConfigError, ConnectionLost, Error, TLSError
from tests.support.flows import PlainTransport, connected
from tests.support.servers import Server, TLSFiles

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
NAME = "db.example"


class Authority:
    """A certificate authority with its files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.ca: Any = trustme.CA()
        self.roots = self.write("root.crt", self.ca.cert_pem.bytes())

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
        return str(path)

    def server(self, *, asks: bool = False) -> TLSFiles:
        """A certificate for the server."""
        issued = self.ca.issue_cert(NAME)
        return TLSFiles(
            b"".join(blob.bytes() for blob in issued.cert_chain_pems),
            issued.private_key_pem.bytes(),
            client_ca=self.ca.cert_pem.bytes() if asks else None,
        )

    def client(self, user: str, password: bytes | None = None) -> dict[str, str]:
        """A certificate for a client, as parameters."""
        issued = self.ca.issue_cert(common_name=user)
        key: Any = load_pem_private_key(issued.private_key_pem.bytes(), None)
        lock = BestAvailableEncryption(password) if password else NoEncryption()
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return {"sslcert": self.write(f"{user}.crt", chain), "sslkey": self.write(f"{user}.key", locked)}

    def revoke(self, certificate: bytes) -> str:
        """A list that revokes a certificate."""
        issuer = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        revoked = x509.RevokedCertificateBuilder().serial_number(
            x509.load_pem_x509_certificate(certificate).serial_number
        )
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(issuer.not_valid_before_utc)
            .next_update(issuer.not_valid_after_utc)
            .add_revoked_certificate(revoked.revocation_date(issuer.not_valid_before_utc).build())
        )
        key: Any = load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        return self.write("root.crl", builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No certificates but those of the test, for libpq either."""
    for variable in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGPROTO")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "good")


@pytest.fixture
def transport() -> Iterator[PlainTransport]:
    with PlainTransport() as opened:
        yield opened


@pytest.fixture
def secure(own_postgres: Server, authority: Authority) -> Server:
    own_postgres.set_tls(authority.server(asks=True))
    return own_postgres


def dsn(server: Server, **params: str) -> str:
    given: dict[str, Any] = {"host": NAME, "hostaddr": "127.0.0.1", **params}
    return server.dsn_for("alice", **given)


def ours(dsn: str, **params: str) -> str:
    """How it ends with us: "TLS", "plain" or "refused"."""
    with PlainTransport() as transport:
        try:
            session = connected(transport, dsn, **params)
        except Error:
            return "refused"
        return "TLS" if session.tls else "plain"


def libpqs(dsn: str, **params: str) -> str:
    """The same with libpq."""
    try:
        with psycopg.connect(dsn, **params, gssencmode="disable") as connection:  # type: ignore[arg-type]  # texts
            return "TLS" if connection.pgconn.ssl_in_use else "plain"
    except psycopg.OperationalError:
        return "refused"


def test_the_ladder(secure: Server, authority: Authority, tmp_path: Path) -> None:
    wrong = Authority(tmp_path / "wrong")
    plain = dsn(secure)
    for mode in MODES:
        for params in (
            {},
            {"sslrootcert": authority.roots},
            {"sslrootcert": wrong.roots},
            {"sslrootcert": authority.roots, "host": "elsewhere.example"},
        ):
            everything = {"sslmode": mode, **params}
            assert ours(plain, **everything) == libpqs(plain, **everything), everything


def test_the_ladder_without_tls(own_postgres: Server, authority: Authority) -> None:
    for mode in MODES:
        everything = {"sslmode": mode, "sslrootcert": authority.roots}
        assert ours(dsn(own_postgres), **everything) == libpqs(dsn(own_postgres), **everything), mode


def test_the_ladder_with_rules_for_hosts(secure: Server) -> None:
    for rule, differs in (("hostssl", ()), ("hostnossl", ("prefer",))):
        secure.set_hba("local all all trust", f"{rule} all all 127.0.0.1/32 scram-sha-256")
        for mode in MODES[:4]:
            found = ours(dsn(secure), sslmode=mode)
            if mode in differs:
                # libpq goes on without TLS when the server refuses a user under TLS; we do not.
                assert (found, libpqs(dsn(secure), sslmode=mode)) == ("refused", "plain")
            else:
                assert found == libpqs(dsn(secure), sslmode=mode), (rule, mode)


def test_revocation(own_postgres: Server, authority: Authority) -> None:
    files = authority.server()
    own_postgres.set_tls(files)
    everything = {"sslmode": "verify-full", "sslrootcert": authority.roots}
    assert ours(dsn(own_postgres), **everything) == "TLS"
    everything["sslcrl"] = authority.revoke(files.certificate)
    assert ours(dsn(own_postgres), **everything) == libpqs(dsn(own_postgres), **everything) == "refused"


def test_the_authorities_of_the_system(secure: Server) -> None:
    with pytest.raises(TLSError, match="certificate verify failed"):
        connected(PlainTransport(), dsn(secure), sslrootcert="system")


def test_channel_binding(secure: Server, transport: PlainTransport) -> None:
    session = connected(transport, dsn(secure), sslmode="require", channel_binding="require")
    assert session.authentication.channel_bound
    assert session.authentication.mechanism == "SCRAM-SHA-256-PLUS"
    with PlainTransport() as other:
        session = connected(other, dsn(secure), sslmode="require", channel_binding="disable")
        assert session.authentication.mechanism == "SCRAM-SHA-256"
    with pytest.raises(AuthenticationError, match="TLS"):
        connected(PlainTransport(), dsn(secure), sslmode="disable", channel_binding="require")


def without_a_hash() -> TLSFiles:
    """An Ed25519 certificate."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .sign(key, None)
        .public_bytes(Encoding.PEM)
    )
    return TLSFiles(certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_a_certificate_without_a_hash(own_postgres: Server, transport: PlainTransport) -> None:
    own_postgres.set_tls(without_a_hash())
    with pytest.raises(AuthenticationError, match="Ed25519"):
        connected(PlainTransport(), dsn(own_postgres), sslmode="require", channel_binding="require")
    session = connected(transport, dsn(own_postgres), sslmode="require")
    assert session.authentication.mechanism == "SCRAM-SHA-256"


def test_our_certificate(secure: Server, authority: Authority, transport: PlainTransport) -> None:
    secure.set_hba("local all all trust", "hostssl all all 127.0.0.1/32 cert")
    files = authority.client("alice")
    session = connected(transport, dsn(secure), sslmode="require", **files)
    assert transport.value(session, "select current_user") == "alice"
    assert session.authentication.method == "none"
    with pytest.raises(Error, match="certificate"):
        connected(PlainTransport(), dsn(secure), sslmode="require")
    with pytest.raises(Error, match="certificate"):
        connected(PlainTransport(), dsn(secure), sslmode="require", sslcertmode="disable", **files)


def test_an_encrypted_key(secure: Server, authority: Authority, transport: PlainTransport) -> None:
    secure.set_hba("local all all trust", "hostssl all all 127.0.0.1/32 cert")
    files = authority.client("alice", b"canary")
    connected(transport, dsn(secure), sslmode="require", sslpassword="canary", **files)
    for more in ({"sslpassword": "wrong"}, {}):
        with pytest.raises(ConfigError, match="sslkey"):
            connected(PlainTransport(), dsn(secure), sslmode="require", **files, **more)


def test_direct_tls(secure: Server, authority: Authority, transport: PlainTransport) -> None:
    everything = {"sslmode": "verify-full", "sslnegotiation": "direct", "sslrootcert": authority.roots}
    if secure.major < 17:
        with pytest.raises((TLSError, ConnectionLost)):
            connected(PlainTransport(), dsn(secure), **everything)
        return
    session = connected(transport, dsn(secure), **everything)
    assert session.tls is not None
    assert session.tls.alpn == "postgresql"
    assert session.tls.verified


def sleep_and_cancel(transport: PlainTransport, session: Established) -> list[str | None]:
    assert transport.socket is not None
    transport.socket.sendall(session.connection.send(m.Query("select pg_sleep(20)")))
    with PlainTransport() as other:
        while True:
            other.run(cancel(session))
            transport.socket.settimeout(0.1)
            try:
                session.connection.receive_data(transport.socket.recv(65_536))
                break
            except TimeoutError:
                # The request was there before the query was.
                continue
    return [answer.sqlstate for answer in transport.ask(session) if isinstance(answer, m.ErrorResponse)]


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_cancel(secure: Server, authority: Authority, transport: PlainTransport, negotiation: str) -> None:
    if negotiation == "direct" and secure.major < 17:
        pytest.skip("direct TLS came with PostgreSQL 17")
    everything = {"sslmode": "verify-full", "sslnegotiation": negotiation, "sslrootcert": authority.roots}
    session = connected(transport, dsn(secure), **everything)
    assert sleep_and_cancel(transport, session) == ["57014"]


def test_files_in_the_home(secure: Server, authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    (folder / "root.crt").write_bytes(authority.ca.cert_pem.bytes())
    plain = dsn(secure)
    environ = {"HOME": str(tmp_path)}
    from pgproto._connecting import connect
    from tests.support.flows import configure

    with PlainTransport() as transport:
        session = transport.run(connect(configure(plain, environ, sslmode="verify-full")))
        assert session.tls is not None
        assert session.tls.verified
    assert libpqs(plain, sslmode="verify-full") == "TLS"
