"""Contexts and what they accept: real handshakes, in memory."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pgproto._effects import TLSInfo
from pgproto._secret import Secret
from pgproto._tls import TLSSettings, adopt_context, create_context, describe
from pgproto.errors import ConfigError

NAME = "db.example"


class Authority:
    """A certificate authority, a server's certificate, a client's, and their files."""

    def __init__(self, folder: Path, ca: trustme.CA) -> None:
        self.folder = folder
        self.ca: Any = ca
        self.server: Any = ca.issue_cert(NAME)
        self.roots = self.write("root.crt", ca.cert_pem.bytes())
        client = ca.issue_cert("alice@example.org")
        self.certificate = self.write("client.crt", b"".join(blob.bytes() for blob in client.cert_chain_pems))
        self.key = self.write("client.key", client.private_key_pem.bytes())

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def server_context(self, *, ask: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.configure_cert(context)
        context.set_alpn_protocols(["postgresql"])
        if ask:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context

    def revocations(self, *serial_numbers: int) -> str:
        key: Any = load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        issuer = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(issuer.not_valid_before_utc)
            .next_update(issuer.not_valid_after_utc)
        )
        for number in serial_numbers:
            revoked = x509.RevokedCertificateBuilder().serial_number(number)
            builder = builder.add_revoked_certificate(
                revoked.revocation_date(issuer.not_valid_before_utc).build()
            )
        signed = builder.sign(key, hashes.SHA256())
        return self.write("root.crl", signed.public_bytes(Encoding.PEM))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, trustme.CA())


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = NAME
) -> tuple[TLSInfo, ssl.SSLObject]:
    """Connect the two in memory; return what the client knows, and the server's side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    return describe(ours), theirs


def test_without_verification(authority: Authority) -> None:
    info, _ = shake_hands(create_context(TLSSettings()), authority.server_context(), "elsewhere.example")
    assert (info.version, info.alpn, info.verified) == ("TLSv1.3", "postgresql", False)
    assert info.cipher
    der = ssl.PEM_cert_to_DER_cert(authority.server.cert_chain_pems[0].bytes().decode())
    assert info.peer_certificate == der


def test_verification(authority: Authority, tmp_path: Path) -> None:
    context = create_context(TLSSettings(verify=True, authorities=authority.roots))
    info, _ = shake_hands(context, authority.server_context(), "elsewhere.example")
    assert info.verified
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", trustme.CA())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, other.server_context())


def test_the_name(authority: Authority) -> None:
    context = create_context(TLSSettings(verify=True, check_hostname=True, authorities=authority.roots))
    assert shake_hands(context, authority.server_context())[0].verified
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        shake_hands(context, authority.server_context(), "elsewhere.example")


def test_the_authorities_of_the_system(authority: Authority) -> None:
    context = create_context(TLSSettings(verify=True, check_hostname=True, authorities="system"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, authority.server_context())


def test_revocations(authority: Authority) -> None:
    server = x509.load_pem_x509_certificate(authority.server.cert_chain_pems[0].bytes())
    settings: dict[str, Any] = {"verify": True, "authorities": authority.roots}
    good = create_context(TLSSettings(**settings, revocations=authority.revocations(1)))
    assert shake_hands(good, authority.server_context())[0].verified
    path = authority.revocations(server.serial_number)
    bad = create_context(TLSSettings(**settings, revocations=path))
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake_hands(bad, authority.server_context())
    folder = str(authority.folder)
    empty = create_context(TLSSettings(**settings, revocations_directory=folder))
    with pytest.raises(ssl.SSLCertVerificationError, match="CRL"):
        shake_hands(empty, authority.server_context())


def test_our_certificate(authority: Authority) -> None:
    settings = TLSSettings(certificate=authority.certificate, key=authority.key)
    _, theirs = shake_hands(create_context(settings), authority.server_context(ask=True))
    assert theirs.getpeercert(binary_form=True)


def encrypted(authority: Authority) -> str:
    key = load_pem_private_key(Path(authority.key).read_bytes(), None)
    form = PrivateFormat.TraditionalOpenSSL
    assert key.private_bytes(Encoding.PEM, form, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"canary"))
    return authority.write("locked.key", locked)


def test_an_encrypted_key(authority: Authority) -> None:
    path = encrypted(authority)
    settings = TLSSettings(certificate=authority.certificate, key=path, key_password=Secret("canary"))
    _, theirs = shake_hands(create_context(settings), authority.server_context(ask=True))
    assert theirs.getpeercert(binary_form=True)
    with pytest.raises(ConfigError, match="sslkey") as failed:
        create_context(TLSSettings(certificate=authority.certificate, key=path, key_password=Secret("wrong")))
    assert "wrong" not in str(failed.value)
    with pytest.raises(ConfigError, match="no sslpassword"):
        create_context(TLSSettings(certificate=authority.certificate, key=path))


def test_versions(authority: Authority) -> None:
    context = create_context(TLSSettings(newest="TLSv1.2"))
    assert shake_hands(context, authority.server_context())[0].version == "TLSv1.2"
    context = create_context(TLSSettings(oldest="TLSv1.3"))
    server = authority.server_context()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake_hands(context, server)
    context = create_context(TLSSettings(oldest=None))
    assert context.minimum_version is ssl.TLSVersion.MINIMUM_SUPPORTED


def test_files_that_hold_something_else(authority: Authority) -> None:
    wrong = authority.write("wrong.pem", b"not a certificate")
    for settings, parameter in (
        (TLSSettings(verify=True, authorities=wrong), "sslrootcert"),
        (TLSSettings(verify=True, authorities=authority.roots, revocations=wrong), "sslcrl"),
        (TLSSettings(certificate=wrong, key=authority.key), "sslcert"),
        (TLSSettings(certificate=authority.certificate, key=wrong), "sslkey"),
        (TLSSettings(key_log=str(authority.folder / "no" / "such")), "TLS"),
    ):
        with pytest.raises(ConfigError, match=parameter):
            create_context(settings)


def test_the_sessions_keys_can_be_logged(authority: Authority) -> None:
    path = authority.folder / "keys"
    shake_hands(create_context(TLSSettings(key_log=str(path))), authority.server_context())
    assert b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" in path.read_bytes()


def test_a_context_of_the_application(authority: Authority) -> None:
    context = ssl.create_default_context()
    authority.ca.configure_trust(context)
    assert adopt_context(context, verify=True, check_hostname=True) is context
    info, _ = shake_hands(context, authority.server_context())
    assert (info.alpn, info.verified) == ("postgresql", True)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("a context", "of type str"),
        (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "for servers"),
        (ssl._create_unverified_context(), "verify_mode"),
    ],
)
def test_contexts_that_cannot_be(given: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        adopt_context(given, verify=True, check_hostname=True)


def test_a_context_that_does_not_look_at_the_name() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    assert adopt_context(context, verify=True, check_hostname=False) is context
    with pytest.raises(ConfigError, match="check_hostname"):
        adopt_context(context, verify=True, check_hostname=True)
