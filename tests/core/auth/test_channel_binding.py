"""The hash of a server's certificate, against certificates of every kind that cryptography makes."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pgproto._auth import server_end_point

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
DSA = dsa.generate_private_key(2048)


def certificate(key: Any, algorithm: Any, pss: bool = False) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db.example")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2040, 1, 1))
    )
    more: dict[str, Any] = {}
    if pss:
        more["rsa_padding"] = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    signed = builder.sign(key, algorithm, **more)
    der: bytes = signed.public_bytes(Encoding.DER)
    return der


@pytest.mark.parametrize(
    ("der", "expected"),
    [
        (certificate(RSA, hashes.SHA224()), "sha224"),
        (certificate(RSA, hashes.SHA256()), "sha256"),
        (certificate(RSA, hashes.SHA384()), "sha384"),
        (certificate(RSA, hashes.SHA512()), "sha512"),
        (certificate(RSA, hashes.SHA3_256()), "sha3_256"),
        (certificate(RSA, hashes.SHA3_512()), "sha3_512"),
        (certificate(RSA, hashes.SHA256(), pss=True), "sha256"),
        (certificate(RSA, hashes.SHA384(), pss=True), "sha384"),
        (certificate(RSA, hashes.SHA512(), pss=True), "sha512"),
        (certificate(EC, hashes.SHA224()), "sha224"),
        (certificate(EC, hashes.SHA256()), "sha256"),
        (certificate(EC, hashes.SHA384()), "sha384"),
        (certificate(EC, hashes.SHA512()), "sha512"),
        (certificate(EC, hashes.SHA3_384()), "sha3_384"),
        (certificate(DSA, hashes.SHA224()), "sha224"),
        (certificate(DSA, hashes.SHA256()), "sha256"),
    ],
)
def test_the_hash_is_that_of_the_signature(der: bytes, expected: str) -> None:
    assert server_end_point(der) == hashlib.new(expected, der).digest()


@pytest.mark.parametrize(
    "der",
    [
        certificate(ed25519.Ed25519PrivateKey.generate(), None),
        certificate(ed448.Ed448PrivateKey.generate(), None),
        None,
    ],
)
def test_without_a_hash_there_is_no_binding(der: bytes | None) -> None:
    assert server_end_point(der) is None


SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b0500")


def replaced(identifier: str) -> bytes:
    """A certificate whose signature claims another algorithm, of nine bytes."""
    der = certificate(RSA, hashes.SHA256())
    return der.replace(bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("0609" + identifier))


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("2a864886f70d010104", "sha256"),  # MD5
        ("2a864886f70d010105", "sha256"),  # SHA-1
        ("2a864886f70d010199", None),  # nobody knows
    ],
)
def test_weak_and_unknown_hashes(identifier: str, expected: str | None) -> None:
    der = replaced(identifier)
    assert server_end_point(der) == (expected and hashlib.new(expected, der).digest())


def pss(parameters: str) -> bytes:
    """The outline of a certificate that was signed by RSA-PSS with these parameters."""
    body = bytes.fromhex("06092a864886f70d01010a") + bytes.fromhex(parameters)
    algorithm = bytes((0x30, len(body))) + body
    return bytes((0x30, 2 + len(algorithm))) + b"\x30\x00" + algorithm


def test_rsa_pss_has_sha1_where_it_names_no_hash() -> None:
    assert server_end_point(pss("3000")) == hashlib.sha256(pss("3000")).digest()
    assert server_end_point(pss("3005a203020114")) == hashlib.sha256(pss("3005a203020114")).digest()


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x80\x00\x00",  # indefinite length
        b"\x30\x85\x00\x00\x00\x00\x01\x00",
        b"\x30\x82\x01",
        b"\x30\x82\xff\xff\x30",
        b"\x31\x02\x30\x00",
        certificate(RSA, hashes.SHA256()) + b"\x00",
        certificate(RSA, hashes.SHA256())[:-1],
        pss(""),
        pss("3002a000"),
        pss("3004a0023000"),
        pss("300ba009300706052a03040506"),
    ],
)
def test_what_is_no_certificate_has_no_binding(der: bytes) -> None:
    assert server_end_point(der) is None


@given(st.data())
def test_no_bytes_break_it(data: st.DataObject) -> None:
    der = bytearray(certificate(RSA, hashes.SHA256())[:80])
    for _ in range(data.draw(st.integers(0, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    result = server_end_point(bytes(der))
    assert result is None or len(result) in (28, 32, 48, 64)
