"""Servers and resolvers that keep a client waiting: one budget for all stages of connecting."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import Any

import pytest

from pgproto import ConnectionLost
from pgproto import messages as m
from pgproto._auth._scram import ScramExchange
from tests.contract.faces import Face
from tests.core.auth.support import ScramServer
from tests.support.canary import CANARY, everything_about, expect_no_song_in
from tests.support.liars import WELCOME, Banner, Drip, LiarServer, Reply

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SASL, CHALLENGE, *_ = ScramServer(CANARY.encode()).script()
OK = m.AuthenticationOk()


@pytest.fixture
def observer() -> None:
    """No server is needed."""


SILENT: dict[str, tuple[Reply | Banner, ...]] = {
    "the question for TLS": (),
    "the TLS handshake": (b"S",),
    "the startup message": (b"N",),
    "the SCRAM greeting": (b"N", SASL),
    "the SCRAM proof": (b"N", SASL, CHALLENGE),
    "Ok": (b"N", OK),
    "all but ready": (b"N", WELCOME[:-1]),
    "the question for TLS, with notices": (
        b"N",
        (OK, Drip(m.NoticeResponse({"S": "NOTICE", "M": "x"}).encode())),
    ),
    "a password, byte by byte": (b"N", Drip(m.AuthenticationSASL(("SCRAM-SHA-256" * 900,)).encode())),
}


@pytest.mark.parametrize("stage", SILENT)
async def test_one_budget_for_all_stages(stage: str, face: Face, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with LiarServer(*SILENT[stage]) as server:
        with pytest.raises(ConnectionLost, match="timed out while") as caught:
            async with face.connect(
                user="alice",
                password=CANARY,
                host="127.0.0.1",
                port=server.port,
                sslmode="prefer",
                connect_timeout=0.3,
            ):
                pytest.fail("it connected")
        assert caught.value.outcome == "not_sent"
        await face.until(lambda: server.left)
        heard = server.heard
    expect_no_song_in(heard, everything_about(caught.value), caplog.text.encode())


@pytest.mark.parametrize("face", ["asyncio", "trio", "blocking"], indirect=True)
async def test_a_resolver_that_does_not_answer(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def hang(
        host: object, port: object, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        given_up.wait()
        return []

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", hang)
        threads = set(threading.enumerate())
        try:
            with pytest.raises(
                ConnectionLost, match=r"timed out while looking up the host name 'slow\.example'"
            ):
                async with face.connect(user="alice", host="slow.example", connect_timeout=0.1):
                    pytest.fail("it connected")
        finally:
            given_up.set()
            if face.name == "blocking":
                for thread in set(threading.enumerate()) - threads:
                    thread.join()


class NoTicket:
    """A security context whose ticket server never answers."""

    complete = False

    def __init__(self, given_up: threading.Event) -> None:
        self.given_up = given_up

    def step(self, token: bytes | None = None, /) -> bytes | None:
        self.given_up.wait()
        return None


@pytest.mark.parametrize("what", ["a key", "a ticket"])
async def test_work_that_is_not_done_in_time(face: Face, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in a thread cannot be interrupted; nobody waits for it."""
    given_up = threading.Event()
    asked = SASL if what == "a key" else m.AuthenticationGSS()

    def wait(exchange: ScramExchange) -> bytes:
        given_up.wait()
        return b""

    def make_context(service: str, host: str) -> NoTicket:
        return NoTicket(given_up)

    threads = set(threading.enumerate())
    with monkeypatch.context() as patched, LiarServer(asked, CHALLENGE) as server:
        patched.setattr(ScramExchange, "derive", wait)
        served = set(threading.enumerate()) - threads
        try:
            with pytest.raises(ConnectionLost, match="timed out while authenticating"):
                async with face.connect(
                    user="alice",
                    password=CANARY,
                    host="127.0.0.1",
                    port=server.port,
                    sslmode="disable",
                    connect_timeout=1,  # it has to get so far
                    gss_context=make_context,
                ):
                    pytest.fail("it connected")
            await face.until(lambda: server.left)
        finally:
            given_up.set()
            if face.name == "blocking":
                for thread in set(threading.enumerate()) - threads - served:
                    thread.join()


async def test_a_server_that_does_not_accept(face: Face) -> None:
    with contextlib.ExitStack() as stack:
        # What does not fit into the queue of connections to be accepted gets no answer at all.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        with pytest.raises(ConnectionLost, match="timed out while connecting to 127"):
            async with face.connect(user="alice", host="127.0.0.1", port=address[1], connect_timeout=0.2):
                pytest.fail("it connected")


async def test_a_name_that_does_not_resolve(face: Face) -> None:
    with pytest.raises(ConnectionLost, match=r"looking up the host name 'no-such-name\.invalid'"):
        async with face.connect(user="alice", host="no-such-name.invalid", connect_timeout=30):
            pytest.fail("it connected")
