"""Kerberos: a server that asks for GSSAPI, and a key distribution centre on this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgproto.errors import AuthenticationError, PostgresError
from tests.support.flows import PlainTransport, connected
from tests.support.kerberos import REALM, Realm, realm
from tests.support.servers import Server

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gssapi") is None,
    reason="needs the package gssapi, which pip compiles with the headers of Kerberos",
)

HBA = ("local all all trust", f"host all all 127.0.0.1/32 gss include_realm=0 krb_realm={REALM}")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Realm]:
    with realm(tmp_path) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def server(here: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    here.add_user("alice", "wonderland")
    with Server(18, hba=HBA) as server:
        keytab = server.write("keytab", here.add_service("postgres/localhost"))
        server.configure(krb_server_keyfile=str(keytab))
        # Its user cannot read the original.
        config = server.write("krb5.conf", (here.folder / "krb5.conf").read_bytes())
        monkeypatch.setenv("KRB5_CONFIG", str(config))
        server.restart()
        yield server


def test_a_ticket(server: Server, here: Realm) -> None:
    where = {"host": "localhost", "hostaddr": server.host, "port": str(server.port), "dbname": "postgres"}
    with pytest.raises(AuthenticationError, match="No Kerberos credentials"):
        connected(PlainTransport(), "", **where, user="alice")
    here.log_in("alice", "wonderland")
    for more in ({}, {"require_auth": "gss"}, {"gssdelegation": "1"}):
        with PlainTransport() as transport:
            session = connected(transport, "", **where, user="alice", **more)
            assert session.authentication.method == "gss"
            assert transport.value(session, "select system_user") == f"gss:alice@{REALM}"
    with pytest.raises(PostgresError, match="GSSAPI authentication failed"):
        connected(PlainTransport(), "", **where, user="bob")
    with pytest.raises(AuthenticationError, match="elsewhere"):
        connected(PlainTransport(), "", **where, user="alice", krbsrvname="elsewhere")
    with pytest.raises(AuthenticationError, match="channel_binding=require"):
        connected(PlainTransport(), "", **where, user="alice", channel_binding="require")
