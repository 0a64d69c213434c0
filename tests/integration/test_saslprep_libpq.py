"""SASLprep, compared with libpq's for every character there is.

`PQencryptPasswordConn` makes the server's record of a password on the client; with one iteration instead of
4,096, that takes microseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from base64 import b64decode
from collections.abc import Iterator

import psycopg
import pytest

from pgproto._auth._saslprep import saslprep
from tests.support.servers import Server

CHARACTERS = [chr(number) for number in range(1, 0x11_0000) if not 0xD800 <= number < 0xE000]


@pytest.fixture(scope="module")
def libpq(postgres: Server) -> Iterator[psycopg.pq.abc.PGconn]:
    if postgres.major < 16:
        pytest.skip("scram_iterations came with PostgreSQL 16")
    if psycopg.pq.version() < 160000:
        pytest.skip("libpq knows scram_iterations from version 16 on")
    with psycopg.connect(postgres.dsn, options="-c scram_iterations=1") as connection:
        yield connection.pgconn


def agrees(libpq: psycopg.pq.abc.PGconn, password: str) -> bool:
    """Whether libpq's keys are made from the bytes that we would take."""
    record = libpq.encrypt_password(password.encode(), b"x", b"scram-sha-256").decode()
    _, iterations_and_salt, keys = record.split("$")
    iterations, salt = iterations_and_salt.split(":")
    assert iterations == "1"
    prepared = saslprep(password)
    ours = password.encode() if prepared is None else prepared.encode()
    salted = hashlib.pbkdf2_hmac("sha256", ours, b64decode(salt), 1)
    return hmac.digest(salted, b"Server Key", "sha256") == b64decode(keys.split(":")[1])


@pytest.mark.slow
@pytest.mark.parametrize("around", ["{}", "a{}b"])
def test_every_character(libpq: psycopg.pq.abc.PGconn, around: str) -> None:
    others = [hex(ord(each)) for each in CHARACTERS if not agrees(libpq, around.format(each))]
    # Characters that are newer than one side's Unicode are normalised by the other alone; there are none
    # today, because SASLprep refuses all that came after Unicode 3.2.
    assert others == []


def test_random_passwords(libpq: psycopg.pq.abc.PGconn) -> None:
    source = random.Random(20)
    blocks = (
        CHARACTERS,
        [each for each in CHARACTERS if each < "\u3000"],
        # Where it matters in which direction one writes.
        [chr(number) for number in (*range(0x41, 0x5B), *range(0x590, 0x700), *range(0xFB1D, 0xFF00))],
    )
    for _ in range(30_000):
        block = source.choice(blocks)
        password = "".join(source.choices(block, k=source.randint(1, 6)))
        assert agrees(libpq, password), ascii(password)
