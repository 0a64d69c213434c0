"""TLS with servers of every major version; libpq of the same version is the oracle."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, GeneralName, IPAddress

from pgproto._connecting import connect
from pgproto.errors import AuthenticationError, ConfigError, ConnectionLost, TLSError
from tests.support.certificates import (
    KEY_PASSWORD,
    Certificates,
    certificate_for,
    certificate_without_a_hash,
)
from tests.support.flows import PlainTransport, configure, connected
from tests.support.impostor import greeter
from tests.support.landings import address, attempt, attempt_by_libpq, both, sleep_and_cancel
from tests.support.libpq import Landing
from tests.support.servers import Server

LOOPBACK = ip_address("127.0.0.1")
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No certificates but those of the test, for libpq either."""
    for variable in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGPROTO")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def transport() -> Iterator[PlainTransport]:
    with PlainTransport() as opened:
        yield opened


@pytest.mark.parametrize("mode", MODES)
def test_the_ladder(tls_postgres: Server, certificates: Certificates, mode: str) -> None:
    encrypted: dict[str, bool | None] = {}
    for name, more in {
        "no authority": {},
        "the authority": {"sslrootcert": certificates.path("root.crt")},
        "another authority": {"sslrootcert": certificates.path("stranger.crt")},
        "another name": {"sslrootcert": certificates.path("root.crt"), "host": "elsewhere.example"},
        "an address": {"sslrootcert": certificates.path("root.crt"), "host": tls_postgres.host},
    }.items():
        landing = both(tls_postgres.major, address(tls_postgres, sslmode=mode, **more))
        encrypted[name] = landing.encrypted if landing else None
    wanted = mode not in ("disable", "allow")
    assert encrypted == {
        "no authority": None if mode.startswith("verify") else wanted,
        "the authority": wanted,
        "another authority": {"prefer": False}.get(mode, None if wanted else False),
        "another name": None if mode == "verify-full" else wanted,
        "an address": None if mode == "verify-full" else wanted,
    }


@pytest.mark.parametrize("mode", MODES)
def test_the_ladder_without_tls(plain_postgres: Server, certificates: Certificates, mode: str) -> None:
    parameters = address(plain_postgres, sslmode=mode, sslrootcert=certificates.path("root.crt"))
    landing = both(plain_postgres.major, parameters)
    assert (landing is not None) is (mode in ("disable", "allow", "prefer"))
    assert landing is None or not landing.encrypted


def test_the_ladder_with_rules_for_hosts(tls_postgres: Server) -> None:
    for mode in MODES[:4]:
        landing = both(tls_postgres.major, address(tls_postgres, "only_tls", sslmode=mode))
        assert (landing is not None) is (mode != "disable")
        parameters = address(tls_postgres, "only_plain", sslmode=mode)
        if mode == "prefer":
            # libpq goes on without TLS when the server refuses a user under TLS; we do not.
            assert isinstance(attempt(parameters), str)
            assert attempt_by_libpq(tls_postgres.major, parameters) == Landing(tls_postgres.port, False)
        else:
            both(tls_postgres.major, parameters)


def test_revocation(tls_postgres: Server, certificates: Certificates, tmp_path: Path) -> None:
    major = tls_postgres.major
    plain = address(tls_postgres, sslmode="verify-full", sslrootcert=certificates.path("root.crt"))
    assert both(major, {**plain, "sslcrl": certificates.path("clean.crl")}) is not None
    assert both(major, {**plain, "sslcrl": certificates.path("server.crl")}) is None
    for name, accepted in (("clean", True), ("server", False)):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(certificates.path(f"{name}.crl"), folder)
        subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
        assert (both(major, {**plain, "sslcrldir": str(folder)}) is not None) is accepted


def test_the_authorities_of_the_system(
    tls_postgres: Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = address(tls_postgres, sslrootcert="system")
    assert "certificate verify failed" in str(attempt(parameters))
    monkeypatch.setenv("SSL_CERT_FILE", certificates.path("root.crt"))
    assert attempt(parameters) == Landing(tls_postgres.port, encrypted=True)
    assert isinstance(attempt({**parameters, "host": "elsewhere.example"}), str)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_versions(tls_postgres: Server, transport: PlainTransport, version: str) -> None:
    for bound in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        parameters = address(tls_postgres, sslmode="require", **{bound: version})
        session = connected(transport, "", **parameters)
        assert session.tls is not None
        newest = "TLSv1.3" if bound == "ssl_min_protocol_version" else version
        assert session.tls.version == newest
        transport.close()


NAMES: list[tuple[str, bool | None, str, list[GeneralName]]] = [
    ("db.example", True, "db.example", []),
    ("DB.example", True, "nobody", [DNSName("db.EXAMPLE")]),
    ("db.example", False, "db.example", [DNSName("other.example")]),
    ("db.example", True, "db.example", [IPAddress(LOOPBACK)]),
    ("db.example.com", True, "nobody", [DNSName("*.example.com")]),
    ("a.db.example.com", False, "nobody", [DNSName("*.example.com")]),
    ("db.example.com", False, "nobody", [DNSName("d*.example.com")]),
    ("127.0.0.1", True, "nobody", [IPAddress(LOOPBACK)]),
    # libpq takes these two, and we do not.
    ("db.example", None, "nobody", [DNSName("*.example")]),
    ("127.0.0.1", None, "127.0.0.1", []),
]
"""The host, whether it is accepted, and whom the certificate is for."""


def test_names(own_postgres: Server, tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    for host, accepted, common_name, alternatives in NAMES:
        files = certificate_for(common_name, *alternatives)
        own_postgres.set_tls(files)
        root.write_bytes(files.certificate)
        parameters = address(own_postgres, host=host, sslmode="verify-full", sslrootcert=str(root))
        if accepted is None:
            assert "mismatch" in str(attempt(parameters))
            assert isinstance(attempt_by_libpq(own_postgres.major, parameters), Landing)
        else:
            assert (both(own_postgres.major, parameters) is not None) is accepted, (host, common_name)


def test_the_name_that_is_told_in_the_clear(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.crt"), certificates.path("server.key"))
    common = {"hostaddr": "127.0.0.1", "user": "alice", "sslmode": "require"}
    with greeter(context) as seen:
        for more, told in (
            ({"host": "db.example"}, "db.example"),
            ({"host": "127.0.0.1"}, None),
            ({}, None),
            ({"host": "db.example", "sslsni": "0"}, None),
        ):
            parameters = {**common, "port": str(seen.port), **more}
            for way in (attempt, partial(attempt_by_libpq, 18)):
                seen.server_name = "nothing"
                assert isinstance(way(parameters), str)
                assert seen.server_name == told, (parameters, way)


@pytest.mark.parametrize(
    ("spoken", "negotiation"), [([], "direct"), (["h2"], "direct"), (["h2"], "postgres")]
)
def test_tls_to_something_else(certificates: Certificates, spoken: list[str], negotiation: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.crt"), certificates.path("server.key"))
    if spoken:
        context.set_alpn_protocols(spoken)
    with greeter(context) as seen:
        parameters = {"host": "127.0.0.1", "port": str(seen.port), "user": "alice", "sslmode": "require"}
        found = attempt({**parameters, "sslnegotiation": negotiation})
    if negotiation == "direct":
        assert "ALPN" in str(found)
    else:
        assert "closed" in str(found)


def test_channel_binding(tls_postgres: Server, transport: PlainTransport) -> None:
    for binding, mechanism in (
        ("require", "SCRAM-SHA-256-PLUS"),
        ("prefer", "SCRAM-SHA-256-PLUS"),
        ("disable", "SCRAM-SHA-256"),
    ):
        parameters = address(tls_postgres, sslmode="require", channel_binding=binding)
        session = connected(transport, "", **parameters)
        assert session.authentication.mechanism == mechanism
        assert session.authentication.channel_bound is (binding != "disable")
        transport.close()
    major = tls_postgres.major
    assert both(major, address(tls_postgres, sslmode="disable", channel_binding="require")) is None
    assert both(major, address(tls_postgres, "carol", sslmode="require", channel_binding="require")) is None


def test_other_passwords(tls_postgres: Server, transport: PlainTransport) -> None:
    session = connected(transport, "", **address(tls_postgres, "carol", sslmode="require"))
    assert session.authentication.method == "password"
    transport.close()
    with pytest.warns(DeprecationWarning, match="MD5"):
        session = connected(transport, "", **address(tls_postgres, "bob", sslmode="require"))
    assert session.authentication.method == "md5"
    for user in ("alice", "bob", "carol"):
        parameters = address(tls_postgres, user, sslmode="require", require_auth="none")
        assert isinstance(attempt(parameters), str)


def test_a_certificate_without_a_hash(own_postgres: Server, transport: PlainTransport) -> None:
    own_postgres.set_tls(certificate_without_a_hash())
    parameters = address(own_postgres, sslmode="require")
    with pytest.raises(AuthenticationError, match="Ed25519"):
        connected(PlainTransport(), "", **parameters, channel_binding="require")
    session = connected(transport, "", **parameters)
    assert session.authentication.mechanism == "SCRAM-SHA-256"


def test_our_certificate(tls_postgres: Server, certificates: Certificates, transport: PlainTransport) -> None:
    certain = address(tls_postgres, sslmode="require", dbname="template1", password="")
    ours = {"sslcert": certificates.path("alice.crt"), "sslkey": certificates.path("alice.key")}
    session = connected(transport, "", **certain, **ours)
    assert transport.value(session, "select current_user") == "alice"
    assert session.authentication.method == "none"
    assert both(tls_postgres.major, {**certain, **ours}) is not None
    for refused in (
        {},
        {"sslcertmode": "disable", **ours},
        {**ours, "user": "bob"},
        {
            "user": "mallory",
            "sslcert": certificates.path("mallory.crt"),
            "sslkey": certificates.path("mallory.key"),
        },
    ):
        if tls_postgres.major >= 16 or "sslcertmode" not in refused:
            both(tls_postgres.major, {**certain, **refused})
        assert "certificate" in str(attempt({**certain, **refused}))


def test_an_encrypted_key(tls_postgres: Server, certificates: Certificates) -> None:
    parameters = address(
        tls_postgres,
        sslmode="require",
        dbname="template1",
        password="",
        sslcert=certificates.path("alice.crt"),
        sslkey=certificates.path("locked.key"),
    )
    assert both(tls_postgres.major, {**parameters, "sslpassword": KEY_PASSWORD}) is not None
    assert both(tls_postgres.major, {**parameters, "sslpassword": "wrong"}) is None
    for more in ({"sslpassword": "wrong"}, {}):
        with pytest.raises(ConfigError, match="sslkey"):
            connected(PlainTransport(), "", **parameters, **more)


def test_direct_tls(tls_postgres: Server, certificates: Certificates, transport: PlainTransport) -> None:
    parameters = address(
        tls_postgres,
        sslmode="verify-full",
        sslnegotiation="direct",
        sslrootcert=certificates.path("root.crt"),
    )
    if tls_postgres.major < 17:
        with pytest.raises((TLSError, ConnectionLost)):
            connected(PlainTransport(), "", **parameters)
        return
    session = connected(transport, "", **parameters)
    assert session.tls is not None
    assert session.tls.alpn == "postgresql"
    assert session.tls.verified
    assert both(tls_postgres.major, parameters) is not None


def test_the_applications_own_context(
    tls_postgres: Server, certificates: Certificates, transport: PlainTransport
) -> None:
    context = ssl.create_default_context(cafile=certificates.path("root.crt"))
    direct = {"sslnegotiation": "direct"} if tls_postgres.major >= 17 else {}
    for more in ({}, {"sslmode": "verify-full"}, direct):
        session = connected(transport, "", **address(tls_postgres), ssl_context=context, **more)
        assert session.tls is not None
        assert session.tls.verified
        assert session.authentication.channel_bound
        transport.close()
    stranger = ssl.create_default_context(cafile=certificates.path("stranger.crt"))
    with pytest.raises(TLSError, match="certificate verify failed"):
        connected(transport, "", **address(tls_postgres), ssl_context=stranger)


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
@pytest.mark.parametrize("protocol", ["3.0", "latest"])
def test_cancel(
    tls_postgres: Server,
    certificates: Certificates,
    transport: PlainTransport,
    negotiation: str,
    protocol: str,
) -> None:
    if negotiation == "direct" and tls_postgres.major < 17:
        pytest.skip("direct TLS came with PostgreSQL 17")
    parameters = address(
        tls_postgres,
        sslmode="verify-full",
        sslnegotiation=negotiation,
        sslrootcert=certificates.path("root.crt"),
        max_protocol_version=protocol,
    )
    session = connected(transport, "", **parameters)
    assert session.secret_key is not None
    long = protocol == "latest" and tls_postgres.major >= 18
    assert (session.protocol_version, len(session.secret_key)) == (0x3_0002, 32) if long else (0x3_0000, 4)
    sleep_and_cancel(transport, session)


def test_files_in_the_home(
    tls_postgres: Server, certificates: Certificates, tmp_path: Path, transport: PlainTransport
) -> None:
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    for name, original in (
        ("root.crt", "root.crt"),
        ("postgresql.crt", "alice.crt"),
        ("postgresql.key", "alice.key"),
    ):
        shutil.copy(certificates.path(original), folder / name)
    parameters = address(tls_postgres, sslmode="verify-full", dbname="template1", password="")
    config = configure("", {"HOME": str(tmp_path)}, **parameters)
    session = transport.run(connect(config))
    assert session.tls is not None
    assert session.tls.verified
    # Before version 15, libpq asks the operating system for the home.
    if tls_postgres.major >= 15:
        assert attempt_by_libpq(tls_postgres.major, parameters) == Landing(tls_postgres.port, encrypted=True)
