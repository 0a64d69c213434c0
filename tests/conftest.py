"""What every test may ask for: real servers, the event loops, and the profile of hypothesis."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.binaries import RELEASES, cached, exclusive, installed, with_vector
from tests.support.certificates import Certificates
from tests.support.homes import Home
from tests.support.pgbouncer import PgBouncer
from tests.support.profiles import load_profile
from tests.support.servers import ForeignServer, Server, Unavailable, leave_shared_servers, shared_server

__all__: list[str] = []

_MAJORS = (18, 15)
_FOREIGN_DSN = os.environ.get("PGPROTO_TEST_DSN")
_MEETING_POINT = "PGPROTO_TEST_MEETING_POINT"
_PATIENCE = 1200
"""Seconds for a test that is marked as slow or exhaustive."""
_SERVER_FIXTURES = {"postgres", "own_postgres", "pgbouncer", "pgvector", "every_major", "tls_postgres"}

load_profile()
# What helps tests asserts too, and must go on doing so under `python -O`.
pytest.register_assert_rewrite("tests.core", "tests.contract", "tests.transports")


def pytest_configure(config: pytest.Config) -> None:
    """Name a folder where all processes of this run meet; the workers of pytest-xdist inherit it."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="pgproto-tests-")
        os.environ[_MEETING_POINT] = folder.name

        def leave() -> None:
            leave_shared_servers(Path(folder.name))
            folder.cleanup()

        config.add_cleanup(leave)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a server, for ``-m 'not postgres'``; give what says it is slow more time."""
    for item in items:
        if not _SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.postgres)
        patient = item.get_closest_marker("slow") or item.get_closest_marker("exhaustive")
        if patient and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_PATIENCE))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    """The same for fixtures as for the test itself."""
    return (yield from pytest_runtest_call())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """A server that cannot be had is a reason to skip, wherever in a test it turns out."""
    try:
        return (yield)
    except Unavailable as reason:
        _refuse(reason)


def _name_server(which: object) -> str:
    return f"pg{which}"


def _refuse(reason: Unavailable) -> NoReturn:
    """Skip and say why; fail where the environment says that no server may be missing."""
    if os.environ.get("PGPROTO_REQUIRE_SERVERS"):
        pytest.fail(f"{reason}\n(a failure because PGPROTO_REQUIRE_SERVERS is set)", pytrace=False)
    pytest.skip(str(reason))


@pytest.fixture(
    scope="session", params=["foreign"] if _FOREIGN_DSN else _MAJORS, ids=lambda major: f"pg{major}"
)
def postgres(request: pytest.FixtureRequest) -> Server:
    """A server that all tests of the run share: leave it running, and as you found it."""
    if _FOREIGN_DSN:
        return ForeignServer(_FOREIGN_DSN)
    try:
        return shared_server(request.param, Path(os.environ[_MEETING_POINT]))
    except Unavailable as reason:
        _refuse(reason)


@pytest.fixture(params=_MAJORS, ids=_name_server)
def own_postgres(request: pytest.FixtureRequest) -> Generator[Server, None, None]:
    """A fresh server for this test alone, to stop, break and reconfigure; it takes up to a second."""
    try:
        with Server(request.param) as server:
            yield server
    except Unavailable as reason:
        _refuse(reason)


@pytest.fixture(
    scope="session",
    params=[major for major in sorted(RELEASES) if cached(major) or installed(major)],
    ids=_name_server,
)
def every_major(request: pytest.FixtureRequest) -> int:
    """Each major version of PostgreSQL that is here already; test_servers.py tells which ones are not."""
    return int(request.param)


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """An authority and what it has issued, the same for all processes of the run."""
    meeting_point = Path(os.environ[_MEETING_POINT])
    folder = meeting_point / "certificates"
    with exclusive(meeting_point / "certificates.lock"):
        return Certificates(folder) if folder.exists() else Certificates.create(folder)


@pytest.fixture(scope="session")
def plain_postgres(every_major: int) -> Server:
    """A server of each major version, without TLS, that all tests of the run share."""
    return shared_server(every_major, Path(os.environ[_MEETING_POINT]))


_TLS_HBA = (
    "local all,replication all trust",
    "hostssl template1 all 127.0.0.1/32 cert",
    "hostssl all only_tls 127.0.0.1/32 scram-sha-256",
    "hostnossl all only_plain 127.0.0.1/32 scram-sha-256",
    "hostssl all bob 127.0.0.1/32 md5",
    "hostssl all carol 127.0.0.1/32 password",
    "host all alice 127.0.0.1/32 scram-sha-256",
)
_TLS_USERS = """
create role only_tls login password 'tunnel';
create role only_plain login password 'field';
create role mallory login;
"""


@pytest.fixture(scope="session")
def tls_postgres(every_major: int, certificates: Certificates) -> Server:
    """A server of each major version that has a certificate for `NAME`, and asks clients for theirs.

    All tests of the run share it. In the database template1 it takes nothing but a certificate, and from
    some users only a password over a line of the kind that they are named for.
    """

    def start(major: int, home: Home) -> Server:
        files = certificates.server(client_ca="root.crt", revoked="clients.crl")
        server = Server(major, home=home, tls=files, hba=_TLS_HBA)
        server.start()
        server.psql(_TLS_USERS)
        return server

    return shared_server(every_major, Path(os.environ[_MEETING_POINT]), kind="tls", start=start)


@pytest.fixture(scope="session")
def pgbouncer(postgres: Server) -> Generator[PgBouncer, None, None]:
    """PgBouncer in transaction mode, in front of the shared server."""
    try:
        with PgBouncer(postgres) as pooler:
            yield pooler
    except Unavailable as reason:
        _refuse(reason)


@pytest.fixture(scope="session")
def pgvector() -> Server:
    """A server that has the extension vector, which all tests of the run share."""
    if _FOREIGN_DSN:
        return ForeignServer(_FOREIGN_DSN)

    def start(major: int, home: Home) -> Server:
        server = Server(major, home=home, installation=with_vector())
        server.start()
        return server

    return shared_server(18, Path(os.environ[_MEETING_POINT]), kind="pgvector", start=start)


def _event_loop(backend: str, identifier: str, needs: str, **options: object) -> Any:
    missing = importlib.util.find_spec(needs) is None
    marks = [pytest.mark.skip(reason=f"{needs} is not installed")] if missing else []
    return pytest.param((backend, options), id=identifier, marks=marks)


@pytest.fixture(
    params=[
        _event_loop("asyncio", "asyncio", "asyncio", debug=True),
        _event_loop("asyncio", "uvloop", "uvloop", use_uvloop=True),
        _event_loop("trio", "trio", "trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The event loops that an async test marked ``anyio`` runs on."""
    return request.param
