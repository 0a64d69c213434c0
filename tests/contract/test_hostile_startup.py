"""Servers that lie, stall and stutter before the session has begun.

Each ends in one typed error, with the socket closed, nothing more said, and no secret told to anybody.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import trustme

from pgproto import (
    AuthenticationError,
    ConnectionLost,
    Error,
    PoolTimeout,
    PostgresError,
    RemoteProtocolError,
    TLSError,
)
from pgproto import messages as m
from pgproto.messages import Message
from tests.contract.faces import Face
from tests.contract.pools import make_pool
from tests.core.auth.support import ScramServer
from tests.support.canary import CANARY, everything_about, expect_no_song_in, songs
from tests.support.certificates import certificate_without_a_hash
from tests.support.liars import HANG_UP, WELCOME, Banner, LiarServer, Reply, StartTLS

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SASL = m.AuthenticationSASL(("SCRAM-SHA-256",))
OK = m.AuthenticationOk()
SECRET_TEXT = "the server's own text"
ERROR = m.ErrorResponse({"S": "FATAL", "V": "FATAL", "C": "28000", "M": SECRET_TEXT})
KEY = m.BackendKeyData(1, b"\0" * 4)


@pytest.fixture
def observer() -> None:
    """No server is needed."""


@dataclass
class Case:
    """What a server says, message by message, and what must come of it."""

    replies: tuple[Reply | Banner, ...]
    error: type[Error] | tuple[type[Error], ...] = RemoteProtocolError
    match: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: int = 1
    """How many connections are attempted."""
    tls: Callable[[], ssl.SSLContext] | None = None


def given(
    *replies: Reply | Banner, error: Any = RemoteProtocolError, match: str | None = None, **parameters: Any
) -> Case:
    return Case(replies, error, match, parameters)


def scram(honest: int, *lies: Reply) -> tuple[Reply, ...]:
    """Lies of a server that was honest for so many steps."""
    return (*cast("list[Reply]", ScramServer(CANARY.encode()).script()[:honest]), *lies)


def signed_and(lie: Message) -> tuple[Reply, ...]:
    """A lie of a server that has proved itself."""
    sasl, challenge, sign, _ = ScramServer(CANARY.encode()).script()
    assert callable(sign)
    return (sasl, challenge, (sign, lie.encode()))


def challenge(**changes: str) -> Callable[[Message], Message]:
    """A challenge with something wrong in it; `{nonce}` is the client's."""

    def answer(message: Message) -> Message:
        assert isinstance(message, m.SASLInitialResponse)
        assert message.data is not None
        nonce = message.data.split(b",r=")[1].decode()
        parts = {"r": "{nonce}SERVER", "s": b64encode(b"0123456789abcdef").decode(), "i": "4096", **changes}
        before = parts.pop("before", "")
        text = before + ",".join(f"{name}={value}" for name, value in parts.items())
        return m.AuthenticationSASLContinue(text.replace("{nonce}", nonce).encode())

    return answer


def raw(tag: bytes, body: bytes, length: int | None = None) -> bytes:
    return tag + (len(body) + 4 if length is None else length).to_bytes(4, "big", signed=True) + body


def ed25519() -> ssl.SSLContext:
    files = certificate_without_a_hash()
    return _context(files.certificate, files.key)


def rsa() -> ssl.SSLContext:
    issued = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("localhost", key_type=trustme.KeyType.RSA)
    return _context(b"".join(each.bytes() for each in issued.cert_chain_pems), issued.private_key_pem.bytes())


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def tls(
    make: Callable[[], ssl.SSLContext],
    *replies: Reply,
    error: Any,
    match: str | None = None,
    **parameters: Any,
) -> Case:
    return Case((StartTLS(), *replies), error, match, {"sslmode": "require", **parameters}, tls=make)


ENCRYPTION = {
    "plaintext behind the S": given(
        b"S" + OK.encode() + m.ReadyForQuery("I").encode(),
        error=(RemoteProtocolError, TLSError),
        sslmode="require",
    ),
    "an error in the place of S": given(ERROR.encode(), sslmode="require"),
    "an error, and TLS only preferred": given(ERROR.encode(), sslmode="prefer"),
    "a web server": given(b"HTTP/1.1 400 Bad Request\r\n\r\n", sslmode="prefer"),
    "no TLS, which is required": given(b"N", error=TLSError, sslmode="require"),
    "no TLS, which is to be verified": given(b"N", error=TLSError, sslmode="verify-full", host="localhost"),
    "no TLS, which a context is for": given(
        b"N", error=TLSError, ssl_context=ssl.create_default_context(), host="localhost"
    ),
    "an end in the place of S": given(HANG_UP, error=ConnectionLost, sslmode="require"),
    "an end in the handshake": given((b"S", HANG_UP), error=TLSError, sslmode="require"),
    "garbage in the handshake": given(
        (b"S", b"\x16\x03\x03\x40\x00garbage", HANG_UP),
        error=(RemoteProtocolError, TLSError),
        sslmode="require",
    ),
    "a certificate of nobody we know": tls(
        rsa,
        error=TLSError,
        sslmode="verify-full",
        host="localhost",
        ssl_context=ssl.create_default_context(),
    ),
    "a certificate that nothing can be bound to": tls(
        ed25519,
        m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
        error=AuthenticationError,
        match="channel_binding=require",
        channel_binding="require",
    ),
    "no channel binding under TLS": tls(
        rsa, SASL, error=AuthenticationError, match="does not offer", channel_binding="require"
    ),
    "no authentication, and no channel bound": tls(
        rsa,
        (*WELCOME,),
        error=AuthenticationError,
        match="channel_binding=require",
        channel_binding="require",
    ),
    "a token for a stranger": tls(
        rsa,
        m.AuthenticationSASL(("OAUTHBEARER",)),
        error=AuthenticationError,
        match="has not shown who it is",
        oauth_token=lambda: CANARY,
    ),
}

METHODS = {
    "a password in clear text": given(
        m.AuthenticationCleartextPassword(), error=AuthenticationError, match="not encrypted"
    ),
    "md5 where SCRAM is required": given(
        m.AuthenticationMD5Password(b"salt"), error=AuthenticationError, require_auth="scram-sha-256"
    ),
    "clear text where SCRAM is required": given(
        m.AuthenticationCleartextPassword(), error=AuthenticationError, require_auth="scram-sha-256"
    ),
    "trust where SCRAM is required": given(
        (*WELCOME,), error=AuthenticationError, match="no authentication", require_auth="scram-sha-256"
    ),
    "trust where the channel must be bound": given(
        (*WELCOME,), error=AuthenticationError, channel_binding="require"
    ),
    "PLUS without TLS": given(m.AuthenticationSASL(("SCRAM-SHA-256-PLUS",)), error=AuthenticationError),
    "mechanisms of another planet": given(m.AuthenticationSASL(("X", "Y")), error=AuthenticationError),
    "Kerberos V5": given(raw(b"R", b"\0\0\0\2"), error=(AuthenticationError, RemoteProtocolError)),
    "an unknown request": given(raw(b"R", b"\0\0\0\x63")),
    "a million mechanisms": given(raw(b"R", b"\0\0\0\x0a" + b"X\0" * 1_000_000 + b"\0")),
    "33 mechanisms": given(raw(b"R", b"\0\0\0\x0a" + b"SCRAM-SHA-256\0" * 33 + b"\0")),
    "mechanisms without an end": given(raw(b"R", b"\0\0\0\x0aSCRAM-SHA-256")),
    "a salt of three bytes": given(raw(b"R", b"\0\0\0\5abc")),
}

SCRAM = {
    "Ok without a proof": given(*scram(2, OK.encode())),
    "Ok at once": given(*scram(1, OK.encode())),
    "a forged signature": given(
        *scram(2, m.AuthenticationSASLFinal(b"v=" + b64encode(bytes(32)))), error=AuthenticationError
    ),
    "an empty signature": given(*scram(2, m.AuthenticationSASLFinal(b"v=")), error=AuthenticationError),
    "two signatures": given(
        *scram(2, lambda _: m.AuthenticationSASLFinal(b"v=AAAA,v=BBBB")), error=AuthenticationError
    ),
    "the signature a second time": given(*signed_and(m.AuthenticationSASLFinal(b"v=x"))),
    "clear text after the signature": given(*signed_and(m.AuthenticationCleartextPassword())),
    "SASL a second time": given(*scram(2, SASL.encode())),
    "a challenge a second time": given(
        *scram(2, m.AuthenticationSASLContinue(b"r=x,s=eA==,i=4096").encode())
    ),
    "clear text after the proof": given(*scram(2, m.AuthenticationCleartextPassword().encode())),
    "clear text after the challenge": given(*scram(1, m.AuthenticationCleartextPassword().encode())),
    "authentication after Ok": given((OK, SASL.encode())),
    "clear text after Ok": given((OK, m.AuthenticationCleartextPassword().encode())),
    **{
        f"a challenge with {name}": given(
            *scram(1, challenge(**changes)), error=(AuthenticationError, RemoteProtocolError)
        )
        for name, changes in {
            "2**31 - 1 iterations": {"i": "2147483647"},
            "one iteration": {"i": "1"},
            "no iterations": {"i": "0"},
            "one iteration too few": {"i": "4095"},
            "one iteration too many": {"i": "100001"},
            "eight digits of iterations": {"i": "00004096"},
            "4,300 digits of iterations": {"i": "9" * 4300},
            "iterations in other digits": {"i": "\u0664\u0660\u0669\u0666"},
            "negative iterations": {"i": "-4096"},
            "a nonce of its own": {"r": "SERVER"},
            "our nonce and nothing of its own": {"r": "{nonce}"},
            "a nonce of 2 KiB": {"r": "{nonce}" + "x" * 2048},
            "no salt": {"s": ""},
            "a salt that is no base64": {"s": "!!!!"},
            "a salt with a line end": {"s": "MDEyMzQ1Njc4OWFiY2RlZg==\n"},
            "an extension that must be known": {"before": "m=x,"},
        }.items()
    },
}

STARTUP = {
    "a newer version than asked for": given(m.NegotiateProtocolVersion(0x30009, ()).encode()),
    "options that nobody asked for": given(m.NegotiateProtocolVersion(0x30000, ("_pq_.x",)).encode()),
    "a version that does not exist": given(m.NegotiateProtocolVersion(0x30001, ()).encode()),
    "33 options": given(raw(b"v", b"\0\3\0\0\0\0\0\x21" + b"_pq_.x\0" * 33)),
    "two billion options": given(raw(b"v", b"\0\3\0\0\x7f\xff\xff\xff")),
    "an error of a gigabyte": given(raw(b"E", b"SFATAL\0", 1 << 30)),
    "an error of 16 KiB and a byte": given(raw(b"E", b"SFATAL\0C28000\0M" + b"x" * 16_365 + b"\0\0")),
    "an error without a field": given(raw(b"E", b"\0"), error=PostgresError),
    "an error with escape sequences": given(
        raw(b"E", b"SFATAL\0C28000\0M\x1b[2Jyour \x07 screen\xff\xfe\0\0"), error=PostgresError, match=r"your"
    ),
    "a negative length": given(raw(b"R", b"", -1)),
    "a length of two gigabytes": given(raw(b"R", b"", 2**31 - 1)),
    "a row": given(m.DataRow((b"1",)).encode()),
    "ready at once": given(m.ReadyForQuery("I").encode()),
    "an end": given(HANG_UP, error=ConnectionLost),
    "an end after Ok": given((OK, HANG_UP), error=ConnectionLost),
    "a web server that speaks first": Case((Banner(b"HTTP/1.1 400 Bad Request\r\n\r\n"), b""), parameters={}),
    "two keys": given((OK, KEY, KEY.encode(), m.ReadyForQuery("I"))),
    "a key of three bytes": given((OK, raw(b"K", b"\0\0\0\1abc"))),
    "a key of 300 bytes": given((OK, raw(b"K", b"\0\0\0\1" + bytes(300)))),
    "a key of 257 bytes in protocol 3.2": given(
        (OK, raw(b"K", b"\0\0\0\1" + bytes(257))), max_protocol_version="3.2"
    ),
    "a long key in protocol 3.0": given((OK, raw(b"K", b"\0\0\0\1" + bytes(32)))),
    "another encoding": given((OK, m.ParameterStatus("client_encoding", "SJIS"))),
    "backslashes in strings": given((OK, m.ParameterStatus("standard_conforming_strings", "off"))),
    "a thousand parameters": given((OK, *[m.ParameterStatus(f"p{n}", "x") for n in range(1000)])),
    "ready in a transaction": given((OK, m.ReadyForQuery("T").encode())),
    "a copy": given((OK, m.CopyInResponse(0, ()).encode())),
}

CASES = {**ENCRYPTION, **METHODS, **SCRAM, **STARTUP}


@pytest.mark.parametrize("name", CASES)
async def test_a_liar(
    name: str, face: Face, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    parameters: dict[str, Any] = {"host": "127.0.0.1", "sslmode": "disable", **case.parameters}
    if "ssl_context" in parameters:
        del parameters["sslmode"]
    if parameters["host"] == "localhost":
        parameters["hostaddr"] = "127.0.0.1"
    caplog.set_level(logging.DEBUG)
    with LiarServer(*case.replies, tls=None if case.tls is None else case.tls()) as server:
        with pytest.raises(case.error, match=case.match) as caught:
            async with face.connect(
                user="alice", password=CANARY, port=server.port, connect_timeout=30, **parameters
            ):
                pytest.fail("it connected")
        await face.until(lambda: server.left)
        assert len(server.lines) == case.lines
        for line in server.lines:
            # Nothing more is said, but for the end of the TLS connection, or the vain beginning of one.
            assert case.tls is not None or not line.after or line.after.startswith(b"\x16\x03")
        heard = server.heard
    assert "timed out" not in str(caught.value)
    if case.parameters.get("channel_binding") == "require":
        # Not even the first message of SCRAM, which tells of a user who has a password.
        assert b"SCRAM" not in heard
    if isinstance(caught.value, PostgresError):
        assert caught.value.untrusted
    seen = everything_about(caught.value) + caplog.text.encode() + "".join(capfd.readouterr()).encode()
    expect_no_song_in(heard, seen)
    assert not any(0 < ord(char) < 32 and char != "\n" for char in str(caught.value))
    if name.startswith("an error"):
        assert SECRET_TEXT.encode() not in seen


async def test_an_error_that_says_nothing(face: Face) -> None:
    with LiarServer(raw(b"E", b"\0")) as server, pytest.raises(PostgresError) as caught:
        async with face.connect(user="alice", host="127.0.0.1", port=server.port, sslmode="disable"):
            pytest.fail("it connected")
    error = caught.value
    assert (error.sqlstate, error.severity, error.detail, error.hint, error.position) == (None,) * 5


@pytest.mark.parametrize("count", [4096, 100_000])
async def test_iterations_that_are_as_few_or_as_many_as_may_be(face: Face, count: int) -> None:
    *scram, ok = ScramServer(CANARY.encode(), count=count).script()
    assert isinstance(ok, m.AuthenticationOk)
    with LiarServer(*cast("list[Reply]", scram[:2]), (scram[2], *WELCOME)) as server:
        async with face.connect(
            user="alice", password=CANARY, host="127.0.0.1", port=server.port, sslmode="disable"
        ) as session:
            assert session.server_version


async def test_a_pool_tells_of_it_and_shows_nothing(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with LiarServer(m.AuthenticationCleartextPassword()) as server:
        dsn = f"postgresql://alice:{CANARY}@127.0.0.1:{server.port}/app?sslmode=disable"
        async with make_pool(face, dsn, password=CANARY) as pool:
            with pytest.raises((PoolTimeout, AuthenticationError)) as caught:
                async with pool.acquire(timeout=30):
                    pytest.fail("it connected")
            seen = everything_about(caught.value) + repr(pool).encode() + repr(pool.status()).encode()
        heard = server.heard
    seen += caplog.text.encode()
    assert b"clear text" in seen
    expect_no_song_in(heard, seen)


@pytest.mark.filterwarnings("ignore:the server asks for an MD5")
async def test_md5_tells_the_hash_and_nothing_else(face: Face) -> None:
    with LiarServer(m.AuthenticationMD5Password(b"salt"), (*WELCOME, HANG_UP)) as server:
        async with face.connect(
            user="alice", password=CANARY, host="127.0.0.1", port=server.port, sslmode="disable"
        ) as session:
            await face.until(lambda: server.left)
            with pytest.raises(ConnectionLost):
                await session.ping()
        assert b"p\x00\x00\x00\x28md5" in server.heard
        assert not any(song in server.heard for song in songs())


def test_the_canary_would_be_heard() -> None:
    raw = CANARY.encode()
    for text in (
        *[b64encode(b"x" * pad + raw + b"y" * end) for pad in range(5) for end in range(4)],
        raw.hex().encode(),
        repr(list(raw)).encode(),
        CANARY.encode("utf-16"),
    ):
        assert any(song in text for song in songs())
