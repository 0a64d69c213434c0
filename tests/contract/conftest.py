"""Every test of the contract runs on all transports, against all servers, and must leave nothing behind."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.contract.faces import ALL, CANCEL_TIMEOUT, FACES, Connect, Face, Session
from tests.contract.observer import Observer
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import Server, Unavailable

__all__: list[str] = []

_PATIENCE = 10.0
_NEEDS = {"uvloop": "uvloop", "trio": "trio"}


@pytest.fixture(params=ALL)
def face(request: pytest.FixtureRequest) -> Face:
    """The transport under test."""
    needed = _NEEDS.get(request.param)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    return FACES[request.param]()


@pytest.fixture
def anyio_backend(face: Face) -> tuple[str, dict[str, object]]:
    """The event loop of the transport under test."""
    return face.backend


@pytest.fixture(scope="session")
def observer(postgres: Server) -> Iterator[Observer]:
    """A superuser's eyes on the server."""
    with Observer(postgres.dsn) as observer:
        yield observer


@pytest.fixture(autouse=True)
def nothing_left_behind(observer: Observer) -> Iterator[None]:
    """No socket and no thread may outlive a test."""
    sockets, threads = _open_sockets(), _threads()
    yield
    deadline = time.monotonic() + _PATIENCE
    # Who has been told to end may need a moment.
    while not (_open_sockets() <= sockets and _threads() <= threads) and time.monotonic() < deadline:
        time.sleep(0.005)
    # Fewer there may be: what other tests have left is collected at any time.
    assert _open_sockets() <= sockets
    assert _threads() <= threads


def _threads() -> set[threading.Thread]:
    """The threads there are, but for the event loops' idle workers."""
    return {each for each in threading.enumerate() if not each.name.startswith("Trio thread")}


def _open_sockets() -> int:
    """How many sockets this process has; none where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return 0
    count = 0
    for entry in folder.iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            # It was the one that lists the folder.
            continue
    return count


@pytest.fixture
def connect(face: Face, postgres: Server) -> Connect:
    """Opens sessions with the server on the transport under test, as superuser over the Unix socket."""

    def connect(**parameters: object) -> AbstractAsyncContextManager[Session]:
        return face.connect(postgres.dsn, **{"cancel_timeout": CANCEL_TIMEOUT, **parameters})

    return connect


@pytest.fixture
def proxy(postgres: Server) -> Generator[FaultyProxy, None, None]:
    """A breakable line to the server."""
    try:
        postgres.dsn_for("alice")
    except Unavailable as reason:
        pytest.skip(str(reason))
    with FaultyProxy(postgres.host, postgres.port) as proxy:
        yield proxy


@pytest.fixture
def connect_through(face: Face, postgres: Server, proxy: FaultyProxy) -> Connect:
    """Opens sessions through the proxy, over TCP with a password."""

    def connect(**parameters: object) -> AbstractAsyncContextManager[Session]:
        return face.connect(postgres.dsn_for(postgres.user), port=proxy.port, **parameters)

    return connect
