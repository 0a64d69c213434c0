"""The channel binding of SCRAM-SHA-256-PLUS: a hash of the server's certificate.

RFC 5929, "Channel Bindings for TLS", section 4.1, defines it as `tls-server-end-point`:

    the certificate's signature uses...    the binding is the certificate's hash by...
    one hash function, MD5 or SHA-1        SHA-256
    one hash function, any other           the same function
    none or several (Ed25519, Ed448)       nothing: there is no binding

So all that is needed of a certificate is the identifier of its signature's algorithm.

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, parameters }, ... }

A certificate comes from the peer. What cannot be read here has no binding.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["server_end_point"]

_SEQUENCE: Final = 0x30
_OBJECT_IDENTIFIER: Final = 0x06
_PARAMETER_0: Final = 0xA0

_RSA_PSS: Final = "2a864886f70d01010a"

_HASH_OF_SIGNATURE: Final = {
    "2a864886f70d010104": "sha256",  # md5WithRSAEncryption
    "2a864886f70d010105": "sha256",  # sha1WithRSAEncryption
    "2a864886f70d01010e": "sha224",  # sha224WithRSAEncryption
    "2a864886f70d01010b": "sha256",  # sha256WithRSAEncryption
    "2a864886f70d01010c": "sha384",  # sha384WithRSAEncryption
    "2a864886f70d01010d": "sha512",  # sha512WithRSAEncryption
    "2a8648ce3d0401": "sha256",  # ecdsa-with-SHA1
    "2a8648ce3d040301": "sha224",  # ecdsa-with-SHA224
    "2a8648ce3d040302": "sha256",  # ecdsa-with-SHA256
    "2a8648ce3d040303": "sha384",  # ecdsa-with-SHA384
    "2a8648ce3d040304": "sha512",  # ecdsa-with-SHA512
    "2a8648ce380403": "sha256",  # dsa-with-sha1
    "608648016503040301": "sha224",  # dsa-with-sha224
    "608648016503040302": "sha256",  # dsa-with-sha256
    "608648016503040303": "sha384",  # dsa-with-sha384
    "608648016503040304": "sha512",  # dsa-with-sha512
    "608648016503040309": "sha3_224",  # ecdsa-with-sha3-224
    "60864801650304030a": "sha3_256",  # ecdsa-with-sha3-256
    "60864801650304030b": "sha3_384",  # ecdsa-with-sha3-384
    "60864801650304030c": "sha3_512",  # ecdsa-with-sha3-512
    "60864801650304030d": "sha3_224",  # rsassa-pkcs1-v1-5-with-sha3-224
    "60864801650304030e": "sha3_256",  # rsassa-pkcs1-v1-5-with-sha3-256
    "60864801650304030f": "sha3_384",  # rsassa-pkcs1-v1-5-with-sha3-384
    "608648016503040310": "sha3_512",  # rsassa-pkcs1-v1-5-with-sha3-512
}
"""By the object identifier's bytes, in hexadecimal."""

_HASH: Final = {
    "2b0e03021a": "sha256",  # SHA-1
    "608648016503040204": "sha224",
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
    "608648016503040207": "sha3_224",
    "608648016503040208": "sha3_256",
    "608648016503040209": "sha3_384",
    "60864801650304020a": "sha3_512",
}
"""The same, for the hash functions themselves, which RSA-PSS names in its parameters."""


class _Unreadable(Exception):
    """The bytes are not DER, or not what a certificate has in this place."""


def server_end_point(certificate: bytes | None) -> bytes | None:
    """Return the binding data for a DER-encoded certificate; None if it has none."""
    if certificate is None:
        return None
    try:
        name = _hash_name(certificate)
    except _Unreadable:
        return None
    return None if name is None else hashlib.new(name, certificate).digest()


def _hash_name(certificate: bytes) -> str | None:
    body, rest = _take(certificate, _SEQUENCE)
    if rest:
        raise _Unreadable
    _, body = _take(body, _SEQUENCE)
    algorithm, _ = _take(body, _SEQUENCE)
    identifier, parameters = _take(algorithm, _OBJECT_IDENTIFIER)
    if identifier.hex() == _RSA_PSS:
        return _hash_of_pss(parameters)
    return _HASH_OF_SIGNATURE.get(identifier.hex())


def _hash_of_pss(parameters: bytes) -> str | None:
    """RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm DEFAULT sha1, ... } (RFC 4055)."""
    body, _ = _take(parameters, _SEQUENCE)
    if not body.startswith(bytes((_PARAMETER_0,))):
        return "sha256"
    tagged, _ = _take(body, _PARAMETER_0)
    algorithm, _ = _take(tagged, _SEQUENCE)
    identifier, _ = _take(algorithm, _OBJECT_IDENTIFIER)
    return _HASH.get(identifier.hex())


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Split one DER element with this tag off: its contents, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise _Unreadable
    length, start = data[1], 2
    if length >= 0x80:
        # The long form: the lower bits count the bytes of the length. Four are enough for any certificate.
        count = length & 0x7F
        start += count
        if not 1 <= count <= 4 or len(data) < start:
            raise _Unreadable
        length = int.from_bytes(data[2:start], "big")
    if length > len(data) - start:
        raise _Unreadable
    return data[start : start + length], data[start + length :]
