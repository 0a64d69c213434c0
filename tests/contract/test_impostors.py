"""Servers that are not what they should be, and passwords that are asked for."""

from __future__ import annotations

import ssl

import pytest

from pgproto import ConnectionLost, Error, InvalidPassword, RemoteProtocolError, TLSError
from pgproto import messages as m
from tests.contract.faces import Face, LoopFace
from tests.support.certificates import Certificates
from tests.support.impostor import Impostor, greeter, impostor
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SSL_REQUEST = m.SSLRequest().encode()
LIE = m.ErrorResponse({"S": "FATAL", "C": "28P01", "M": "send your money"}).encode()


class Passwords:
    """Gives out passwords, one after the other."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = list(passwords)

    def __call__(self) -> str:
        return self.passwords.pop(0)

    async def later(self) -> str:
        return self.passwords.pop(0)


async def test_a_password_is_asked_for_anew(face: Face, postgres: Server) -> None:
    for user, right in (("alice", "wonderland"), ("postgres", postgres.password)):
        passwords = Passwords(right, "wrong", right)
        ways = [passwords, passwords.later] if isinstance(face, LoopFace) else [passwords]
        for ask in ways:
            dsn = postgres.dsn_for(user, "")
            async with face.connect(dsn, password=ask) as session:
                assert await session.fetchval("select current_user") == user
            with pytest.raises(InvalidPassword):
                async with face.connect(dsn, password=ask):
                    raise AssertionError("connected with a wrong password")
            async with face.connect(dsn, password=ask):
                assert passwords.passwords == []
            passwords.passwords += [right, "wrong", right]


async def refusal(face: Face, peer: Impostor, sslmode: str) -> Error:
    with pytest.raises(Error) as refused:
        async with face.connect(
            host="127.0.0.1", port=peer.port, user="alice", password="canary", sslmode=sslmode
        ):
            raise AssertionError("connected to nobody")
    assert "money" not in repr(refused.value) + str(refused.value)
    await face.until(lambda: len(peer.told) == len(peer.asked))
    return refused.value


@pytest.mark.parametrize("sslmode", ["prefer", "require"])
async def test_bytes_behind_the_yes(face: Face, sslmode: str) -> None:
    with impostor(b"S" + LIE) as peer:
        error = await refusal(face, peer, sslmode)
    assert isinstance(error, RemoteProtocolError), error
    assert peer.asked == [SSL_REQUEST]
    assert peer.told == [b""], "nothing was tried after that"


@pytest.mark.parametrize("sslmode", ["prefer", "require"])
async def test_words_in_place_of_an_answer(face: Face, sslmode: str) -> None:
    with impostor(LIE) as peer:
        error = await refusal(face, peer, sslmode)
    assert isinstance(error, RemoteProtocolError), error
    assert (peer.asked, peer.told) == ([SSL_REQUEST], [b""])


async def test_a_verdict_that_comes_after_the_handshake(face: Face, certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificates.path("server.crt"), certificates.path("server.key"))
    context.load_verify_locations(certificates.path("root.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    with greeter(context) as peer:
        # The client has done its part by the time that the server misses its certificate.
        with pytest.raises(ConnectionLost, match=r"(?i)certificate.required"):
            async with face.connect(host="127.0.0.1", port=peer.port, user="alice", sslmode="require"):
                pytest.fail("it connected")
        await face.sleep(0)


async def test_no_tls_where_it_was_asked_for(face: Face) -> None:
    with impostor(b"N") as peer:
        assert isinstance(await refusal(face, peer, "require"), TLSError)
    assert (peer.asked, peer.told) == ([SSL_REQUEST], [b""])
