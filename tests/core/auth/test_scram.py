"""SCRAM's messages: the RFC's examples, and what hostile servers send instead."""

from __future__ import annotations

from base64 import b64decode, b64encode
from time import thread_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgproto._auth._scram import SCRAM, SCRAM_PLUS, ScramExchange
from pgproto._secret import Secret
from pgproto.errors import AuthenticationError
from tests.core.auth.rfc7677 import ENTROPY, FULL_NONCE, NONCE, RIGHT, SALT, exchange, server_first


def test_the_example_of_rfc_7677() -> None:
    scram = exchange()
    assert scram.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    scram.challenge(server_first())
    assert scram.derive() == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_the_user_is_in_the_startup_message_only() -> None:
    scram = ScramExchange(SCRAM, Secret("x"), ENTROPY, binding=None, min_iterations=4096, max_iterations=4096)
    assert scram.first() == b"n,,n=*,r=" + NONCE


@pytest.mark.parametrize(
    ("mechanism", "binding", "first", "header"),
    [
        (SCRAM, None, b"n,,n=user,", b"n,,"),
        (SCRAM, b"\xaa" * 32, b"y,,n=user,", b"y,,"),
        (
            SCRAM_PLUS,
            b"\xaa" * 32,
            b"p=tls-server-end-point,,n=user,",
            b"p=tls-server-end-point,," + b"\xaa" * 32,
        ),
    ],
)
def test_what_is_said_of_the_channel(
    mechanism: str, binding: bytes | None, first: bytes, header: bytes
) -> None:
    scram = exchange(mechanism, binding=binding)
    assert scram.first().startswith(first)
    scram.challenge(server_first())
    assert scram.derive().startswith(b"c=" + b64encode(header) + b",r=" + FULL_NONCE + b",p=")


COUNT = [
    (b"", "one to seven digits"),
    (b"0", "0 SCRAM iterations"),
    (b"1", "1 SCRAM iterations"),
    (b"4095", "4095 SCRAM iterations"),
    (b"-1", "one to seven digits"),
    (b"+5000", "one to seven digits"),
    (b" 5000", "one to seven digits"),
    (b"5000\n", "one to seven digits"),
    (b"5_000", "one to seven digits"),
    (b"0x1388", "one to seven digits"),
    ("\u0665\u0660\u0660\u0660".encode(), "one to seven digits"),
    (b"100001", "scram_max_iterations=100000"),
    (b"9999999", "scram_max_iterations=100000"),
    (b"10000000", "one to seven digits"),
    (b"2147483647", "one to seven digits"),
    (b"9" * 4300, "one to seven digits"),
]


@pytest.mark.parametrize(("count", "complaint"), COUNT)
def test_iteration_counts_that_are_refused(count: bytes, complaint: str) -> None:
    scram = exchange()
    scram.first()
    began = thread_time()
    with pytest.raises(AuthenticationError, match=complaint):
        scram.challenge(server_first(count=count))
    # A hundred thousand iterations take this thread several times as long, ten million hundreds of times.
    assert thread_time() - began < 0.02


@pytest.mark.parametrize("count", [b"4096", b"0004096", b"100000"])
def test_iteration_counts_that_are_accepted(count: bytes) -> None:
    scram = exchange()
    scram.first()
    if count.startswith(b"0"):
        # Leading zeros are within our bounds, and not within scramp's.
        with pytest.raises(AuthenticationError, match="not acceptable"):
            scram.challenge(server_first(count=count))
    else:
        scram.challenge(server_first(count=count))
        scram.derive()


def test_the_upper_bound_can_be_moved() -> None:
    scram = exchange(max_iterations=200_000)
    scram.first()
    scram.challenge(server_first(count=b"200000"))
    scram = exchange(max_iterations=5_000)
    scram.first()
    with pytest.raises(
        AuthenticationError, match="5001 SCRAM iterations, more than scram_max_iterations=5000"
    ):
        scram.challenge(server_first(count=b"5001"))


@pytest.mark.parametrize(
    ("nonce", "complaint"),
    [
        (b"", "1 to 1024"),
        (NONCE, "does not extend"),
        (NONCE[:-1], "does not extend"),
        (b"x" + NONCE, "does not extend"),
        (NONCE.lower() + b"more", "does not extend"),
        (b"entirely+different", "does not extend"),
        (NONCE + b"x" * (1025 - len(NONCE)), "1 to 1024"),
        (NONCE + b"x" * 60_000, "1 to 1024"),
        (NONCE + b" x", "1 to 1024"),
        (NONCE + b"\x00", "1 to 1024"),
        (NONCE + b"\n", "1 to 1024"),
        (NONCE + b"\x7f", "1 to 1024"),
        (NONCE + "é".encode(), "1 to 1024"),
    ],
)
def test_nonces_that_are_refused(nonce: bytes, complaint: str) -> None:
    scram = exchange()
    scram.first()
    with pytest.raises(AuthenticationError, match=complaint):
        scram.challenge(server_first(nonce=nonce))


def test_nonces_of_any_printable_characters_are_accepted() -> None:
    printable = bytes(range(0x21, 0x7F)).replace(b",", b"")
    for nonce in (NONCE + b"x", NONCE + printable, NONCE + b"x" * (1024 - len(NONCE))):
        scram = exchange()
        scram.first()
        scram.challenge(server_first(nonce=nonce))
        assert b",r=" + nonce + b",p=" in scram.derive()


@pytest.mark.parametrize(
    ("salt", "complaint"),
    [
        (b"", "canonical base64"),
        (b"====", "canonical base64"),
        (b"W22ZaJ0SNY7soEsUEjb6gQ=", "canonical base64"),
        (b"W22ZaJ0SNY7soEsUEjb6gQ", "canonical base64"),
        (b"W22ZaJ0SNY7soEsUEjb6gR==", "canonical base64"),  # stray bits at the end
        (b"W22ZaJ0SNY7s\noEsUEjb6gQ==", "canonical base64"),
        (b"W22ZaJ0SNY7s*oEsUEjb6gQ==", "canonical base64"),
        (b"W22ZaJ0SNY7soEsUEjb6gQ==W22Z", "canonical base64"),
        ("\uff3722ZaJ0SNY7soEsUEjb6gQ==".encode(), "canonical base64"),
        (b64encode(bytes(1000)), "canonical base64"),
    ],
)
def test_salts_that_are_refused(salt: bytes, complaint: str) -> None:
    scram = exchange()
    scram.first()
    with pytest.raises(AuthenticationError, match=complaint):
        scram.challenge(server_first(salt=salt))


@pytest.mark.parametrize("size", [1, 11, 12, 16, 17, 768])
def test_salts_that_are_accepted(size: int) -> None:
    scram = exchange()
    scram.first()
    scram.challenge(server_first(salt=b64encode(bytes(size))))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"r=",
        b"m=ext," + server_first(),
        server_first() + b",m=ext",
        server_first() + b",x=unknown",
        server_first() + b",",
        server_first() + b",i=4096",
        b"," + server_first(),
        b" " + server_first(),
        b"R=" + server_first()[2:],
        b"s=" + SALT + b",r=" + FULL_NONCE + b",i=4096",
        b"r=" + FULL_NONCE + b",s=" + SALT,
        b"r=" + FULL_NONCE + b",i=4096,s=" + SALT,
        b"e=other-error",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        server_first() + b"\0",
        server_first() + b"\n",
        "\uff52\uff1d".encode() + server_first()[2:],
    ],
)
def test_challenges_that_are_malformed(message: bytes) -> None:
    scram = exchange()
    scram.first()
    with pytest.raises(AuthenticationError):
        scram.challenge(message)


def proved() -> ScramExchange:
    scram = exchange()
    scram.first()
    scram.challenge(server_first())
    scram.derive()
    return scram


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "not a signature"),
        (b"v=", "not a signature"),
        (b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "not a signature"),
        (RIGHT[:-1], "not a signature"),
        (RIGHT + b"=", "not a signature"),
        (RIGHT + b"\n", "not a signature"),
        (RIGHT + b"\0", "not a signature"),
        (RIGHT + b",x=y", "not a signature"),
        (RIGHT + b"," + RIGHT, "not a signature"),
        (b"v=" + b64encode(bytes(31)), "not a signature"),
        (b"v=" + b64encode(bytes(33)), "not a signature"),
        (RIGHT.replace(b"4=", b"5="), "not a signature"),  # the same bytes, with stray bits
        (b"V" + RIGHT[1:], "not a signature"),
        (b"v=" + b64encode(bytes(32)), "wrong"),
        (RIGHT.replace(b"6r", b"7r"), "wrong"),
        (b"e=invalid-proof", "error 'invalid-proof'"),
        (b"e=" + b"x" * 201, "not a signature"),
        (b"e=\x1b[2J", "not a signature"),
        (b"e=", "not a signature"),
    ],
)
def test_signatures_that_are_refused(message: bytes, complaint: str) -> None:
    with pytest.raises(AuthenticationError, match=complaint):
        proved().verify(message)


@given(st.integers(2, len(RIGHT) - 2), st.integers(0, 255))
def test_no_other_signature_will_do(position: int, value: int) -> None:
    forged = bytearray(RIGHT)
    forged[position] = value
    scram = proved()
    if bytes(forged) == RIGHT:
        scram.verify(RIGHT)
    else:
        with pytest.raises(AuthenticationError):
            scram.verify(bytes(forged))


def acceptable(message: bytes) -> bool:
    """The rules once more, by other means."""
    parts = message.split(b",")
    if [part[:2] for part in parts] != [b"r=", b"s=", b"i="]:
        return False
    nonce, salt, count = (part[2:] for part in parts)
    if not (
        nonce.startswith(NONCE)
        and len(NONCE) < len(nonce) <= 1024
        and all(33 <= byte <= 126 for byte in nonce)
    ):
        return False
    try:
        size = len(b64decode(salt, validate=True))
    except ValueError:
        return False
    if size < 1 or b64encode(b64decode(salt)) != salt:
        return False
    return count.isdigit() and not count.startswith(b"0") and len(count) < 8 and 4096 <= int(count) <= 100_000


@settings(max_examples=300)
@given(st.binary(max_size=80) | st.text("rsmi=,0123456789+/xA", max_size=60).map(str.encode))
@example(b"0")
@example(b"1")
@example(b",i=1")
def test_any_bytes_are_accepted_or_refused(message: bytes) -> None:
    for data in (message, server_first() + message, server_first()[: len(message)] + message):
        scram = exchange()
        scram.first()
        if acceptable(data):
            scram.challenge(data)
        else:
            with pytest.raises(AuthenticationError):
                scram.challenge(data)
