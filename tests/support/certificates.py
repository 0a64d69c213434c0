"""An authority, and what it has issued: the files that a server and its clients need for TLS."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from tests.support.clusters import TLSFiles

__all__ = ["KEY_PASSWORD", "NAME", "Certificates", "certificate_for", "certificate_without_a_hash"]

NAME: Final = "db.example"
"""Whom the server's certificate is for."""

KEY_PASSWORD: Final = "canary"


class Certificates:
    """A folder of PEM files, which one process makes and others may use.

    | file           | holds                                                           |
    |----------------|-----------------------------------------------------------------|
    | root.crt       | the authority                                                   |
    | stranger.crt   | another one, which has issued nothing                           |
    | server.crt/key | for the server, named `NAME`                                    |
    | alice.crt/key  | for the user alice; locked.key is encrypted with `KEY_PASSWORD` |
    | mallory.crt/key| for a user whose certificate is revoked                         |
    | clients.crl    | what revokes it                                                 |
    | server.crl     | what revokes the server's certificate                           |
    | clean.crl      | a list of nothing                                               |
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> Certificates:
        """Make the folder and its files."""
        folder.mkdir()
        made = cls(folder)
        authority: Any = trustme.CA()
        made._write("root.crt", authority.cert_pem.bytes())
        made._write("stranger.crt", trustme.CA().cert_pem.bytes())
        made._issue("server", authority.issue_cert(NAME))
        alice = authority.issue_cert(common_name="alice")
        made._issue("alice", alice)
        made._write("locked.key", _locked(alice.private_key_pem.bytes()))
        made._issue("mallory", authority.issue_cert(common_name="mallory"))
        made._write("server.crl", _revocations(authority, made._read("server.crt")))
        made._write("clients.crl", _revocations(authority, made._read("mallory.crt")))
        made._write("clean.crl", _revocations(authority))
        return made

    def path(self, name: str) -> str:
        """The path of one of the files."""
        return str(self.folder / name)

    def server(self, **more: str) -> TLSFiles:
        """What the server needs; `more` are names of files, for `TLSFiles`."""
        return TLSFiles(
            self._read("server.crt"),
            self._read("server.key"),
            **{field: self._read(name) for field, name in more.items()},
        )

    def _issue(self, name: str, issued: Any) -> None:
        self._write(f"{name}.crt", b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self._write(f"{name}.key", issued.private_key_pem.bytes())

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        # Others may not read a key, or nobody takes it.
        path.touch(mode=0o600)
        path.write_bytes(data)

    def _read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def _locked(pem: bytes) -> bytes:
    key: Any = load_pem_private_key(pem, None)
    lock = BestAvailableEncryption(KEY_PASSWORD.encode())
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    return data


def _revocations(authority: Any, *certificates: bytes) -> bytes:
    """A list that revokes certificates."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(issuer.not_valid_before_utc)
        .next_update(issuer.not_valid_after_utc)
    )
    for certificate in certificates:
        serial = x509.load_pem_x509_certificate(certificate).serial_number
        revoked = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(
            revoked.revocation_date(issuer.not_valid_before_utc).build()
        )
    key: Any = load_pem_private_key(authority.private_key_pem.bytes(), None)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def certificate_without_a_hash() -> TLSFiles:
    """An Ed25519 certificate."""
    return _self_signed(ed25519.Ed25519PrivateKey.generate(), None, NAME, ())


def certificate_for(common_name: str, *alternatives: x509.GeneralName) -> TLSFiles:
    """A certificate with these names, and its own authority."""
    return _self_signed(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256(), common_name, alternatives)


def _self_signed(
    key: Any, algorithm: hashes.SHA256 | None, common_name: str, alternatives: Sequence[x509.GeneralName]
) -> TLSFiles:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(key, algorithm).public_bytes(Encoding.PEM)
    return TLSFiles(certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
