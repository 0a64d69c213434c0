"""Peers that are gone without a word: what the operating system is told to look out for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.contract.faces import Face
from tests.support.servers import Server, Unavailable

__all__: list[str] = []

pytestmark = pytest.mark.anyio


def options_of_socket_to(port: int) -> dict[str, int]:
    """What is set on the one TCP connection that this process has to a port."""
    found = [opened for opened in _sockets() if _remote_port(opened) == port]
    try:
        assert len(found) == 1
        tcp = socket.IPPROTO_TCP
        return {
            "keepalives": found[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "idle": found[0].getsockopt(tcp, socket.TCP_KEEPIDLE),
            "interval": found[0].getsockopt(tcp, socket.TCP_KEEPINTVL),
            "count": found[0].getsockopt(tcp, socket.TCP_KEEPCNT),
            "user_timeout": found[0].getsockopt(tcp, socket.TCP_USER_TIMEOUT),
            "no_delay": found[0].getsockopt(tcp, socket.TCP_NODELAY),
        }
    finally:
        for opened in found:
            opened.close()


def _sockets() -> list[socket.socket]:
    """A second handle to each socket of this process."""
    numbers: list[int] = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                numbers.append(int(name))
        except FileNotFoundError:
            # It was the one that lists the folder.
            continue
    return [socket.socket(fileno=os.dup(number)) for number in numbers]


def _remote_port(opened: socket.socket) -> int | None:
    port: object = None
    if opened.family == socket.AF_INET:
        try:
            port = opened.getpeername()[1]
        except OSError:
            port = None
    if isinstance(port, int):
        return port
    opened.close()
    return None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list open files")
async def test_keepalives(face: Face, postgres: Server) -> None:
    try:
        dsn = postgres.dsn_for("alice")
    except Unavailable as reason:
        pytest.skip(str(reason))
    async with face.connect(
        dsn, keepalives_idle=77, keepalives_interval=7, keepalives_count=5, tcp_user_timeout=4321
    ):
        assert options_of_socket_to(postgres.port) == {
            "keepalives": 1, "idle": 77, "interval": 7, "count": 5, "user_timeout": 4321, "no_delay": 1
        }  # fmt: skip
    async with face.connect(dsn):
        # A dead peer is noticed within a minute, whatever the system's own settings are.
        assert options_of_socket_to(postgres.port) == {
            "keepalives": 1, "idle": 30, "interval": 10, "count": 3, "user_timeout": 60_000, "no_delay": 1
        }  # fmt: skip
    async with face.connect(dsn, keepalives=0, tcp_user_timeout=0):
        options = options_of_socket_to(postgres.port)
        assert (options["keepalives"], options["user_timeout"]) == (0, 0)
