"""Connecting to real servers: what the flows say is what PostgreSQL understands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from pgproto import messages as m
from pgproto._effects import UnixAddress
from pgproto.errors import (
    AuthenticationError,
    ConnectionLost,
    InvalidCatalogName,
    InvalidPassword,
    PostgresError,
    RemoteProtocolError,
    TLSError,
)
from tests.support.flows import PlainTransport, connected
from tests.support.landings import sleep_and_cancel
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Server


@pytest.fixture
def transport() -> Iterator[PlainTransport]:
    with PlainTransport() as opened:
        yield opened


def test_scram(postgres: Server, transport: PlainTransport) -> None:
    session = connected(transport, postgres.dsn_for("alice"))
    assert session.authentication.mechanism == "SCRAM-SHA-256"
    assert session.parameters["client_encoding"] == "UTF8"
    assert transport.value(session, "select current_user") == "alice"
    assert transport.value(session, "select pg_backend_pid()") == str(session.process_id)


def test_md5(postgres: Server, transport: PlainTransport) -> None:
    with pytest.warns(DeprecationWarning, match="MD5"):
        session = connected(transport, postgres.dsn_for("bob"))
    assert session.authentication.method == "md5"


def test_cleartext(postgres: Server, transport: PlainTransport) -> None:
    with pytest.raises(AuthenticationError, match="clear text"):
        connected(transport, postgres.dsn_for("carol"))
    session = connected(transport, postgres.dsn_for("carol"), require_auth="password")
    assert session.authentication.method == "password"


def test_over_the_unix_domain_socket(postgres: Server, transport: PlainTransport) -> None:
    session = connected(transport, postgres.dsn)
    assert isinstance(session.address, UnixAddress)
    assert session.authentication.method == "none"


def test_the_servers_user(postgres: Server, transport: PlainTransport) -> None:
    user = postgres.socket_dir.owner()
    connected(transport, postgres.dsn, requirepeer=user)
    with pytest.raises(AuthenticationError, match="mallory"):
        connected(PlainTransport(), postgres.dsn, requirepeer="mallory")


@pytest.mark.parametrize(
    ("user", "password", "params", "error"),
    [
        ("alice", "eraser", {}, InvalidPassword),
        ("nobody", "x", {}, InvalidPassword),
        ("alice", None, {"dbname": "nowhere"}, InvalidCatalogName),
        ("alice", None, {"require_auth": "md5"}, AuthenticationError),
        ("alice", None, {"channel_binding": "require"}, AuthenticationError),
        ("alice", None, {"sslmode": "require"}, TLSError),
    ],
)
def test_refusals(
    postgres: Server, user: str, password: str | None, params: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as failed:
        connected(PlainTransport(), postgres.dsn_for(user, password), **params)
    assert "eraser" not in str(failed.value)
    if error is InvalidPassword:
        assert isinstance(failed.value, PostgresError)
        assert failed.value.untrusted


@pytest.mark.parametrize(
    "password",
    ["p\U0001f600", "\u2168", "I\u00adX", "tab\tbell\x07", "\u0627a", "\U0001f100", "\u2135", "x" * 200, " "],
)
def test_passwords_of_all_kinds(postgres: Server, transport: PlainTransport, password: str) -> None:
    with PlainTransport() as superuser:
        session = connected(superuser, postgres.dsn)
        # Other processes run this test on the same server.
        user = f"odd_{os.getpid()}"
        literal = "'" + password.replace("'", "''") + "'"
        for sql in (f"drop role if exists {user}", f"create role {user} login password {literal}"):
            answers = superuser.ask(session, m.Query(sql))
            assert isinstance(answers[0], m.CommandComplete | m.NoticeResponse), answers
        try:
            connected(transport, postgres.dsn_for(user, "-"), password=password)
        finally:
            superuser.ask(session, m.Query(f"drop role {user}"))


def test_iteration_counts(own_postgres: Server, transport: PlainTransport) -> None:
    if own_postgres.major < 16:
        pytest.skip("scram_iterations came with PostgreSQL 16")
    for count in (1000, 50_000):
        own_postgres.psql(f"set scram_iterations = {count}; alter role alice password 'wonderland'")
        if count == 1000:
            with pytest.raises(AuthenticationError, match="1000 SCRAM iterations"):
                connected(PlainTransport(), own_postgres.dsn_for("alice"))
            with PlainTransport() as other:
                connected(other, own_postgres.dsn_for("alice"), scram_min_iterations=1000)
        else:
            connected(transport, own_postgres.dsn_for("alice"))
    with pytest.raises(AuthenticationError, match="scram_max_iterations=49999"):
        connected(PlainTransport(), own_postgres.dsn_for("alice"), scram_max_iterations=49_999)


def test_protocol_versions(postgres: Server, transport: PlainTransport) -> None:
    session = connected(transport, postgres.dsn_for("alice"), max_protocol_version="latest")
    assert session.secret_key is not None
    if postgres.major >= 18:
        assert (session.protocol_version, len(session.secret_key)) == (0x0003_0002, 32)
    else:
        assert (session.protocol_version, len(session.secret_key)) == (0x0003_0000, 4)


def test_a_protocol_version_that_is_too_old(plain_postgres: Server, transport: PlainTransport) -> None:
    if plain_postgres.major >= 18:
        session = connected(transport, plain_postgres.dsn_for("alice"), min_protocol_version="3.2")
        assert session.protocol_version == 0x0003_0002
    else:
        with pytest.raises(RemoteProtocolError, match=r"3\.0, older than min_protocol_version=3\.2"):
            connected(transport, plain_postgres.dsn_for("alice"), min_protocol_version="3.2")


def test_a_pooler_that_is_too_old(pgbouncer: PgBouncer) -> None:
    with pytest.raises(PostgresError, match="bad packet header"):
        connected(PlainTransport(), pgbouncer.dsn_for("alice"), min_protocol_version="3.2")


def test_unknown_options_of_the_protocol(postgres: Server, transport: PlainTransport) -> None:
    from pgproto._connecting import connect
    from tests.support.flows import configure

    config = configure(postgres.dsn_for("alice"))
    session = transport.run(connect(config, parameters={"_pq_.compression": "zstd"}))
    assert session.unrecognized_options == ("_pq_.compression",)


@pytest.mark.parametrize("version", ["3.0", "latest"])
def test_cancel(postgres: Server, transport: PlainTransport, version: str) -> None:
    session = connected(transport, postgres.dsn_for("alice"), max_protocol_version=version)
    sleep_and_cancel(transport, session)


def test_cancel_over_the_unix_domain_socket(postgres: Server, transport: PlainTransport) -> None:
    sleep_and_cancel(transport, connected(transport, postgres.dsn))


def test_a_pooler_that_knows_protocol_3_0_only(pgbouncer: PgBouncer, transport: PlainTransport) -> None:
    session = connected(transport, pgbouncer.dsn_for("alice"), max_protocol_version="latest")
    assert session.protocol_version == 0x0003_0000
    assert transport.value(session, "select 1") == "1"


def test_a_server_that_is_not_there(own_postgres: Server) -> None:
    dsn = own_postgres.dsn_for("alice")
    own_postgres.stop()
    with pytest.raises(ConnectionLost, match=str(own_postgres.port)) as failed:
        connected(PlainTransport(), dsn)
    assert isinstance(failed.value.__cause__, ConnectionRefusedError)
