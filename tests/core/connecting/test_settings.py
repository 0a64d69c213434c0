"""What the configuration gives to authentication."""

from __future__ import annotations

import sys
from base64 import b64encode
from hmac import digest
from typing import Any

import pytest

from pgproto import messages as m
from pgproto._connecting import Established
from pgproto._secret import Secret
from pgproto.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLost,
    Error,
    InvalidPassword,
    LocalProtocolError,
)
from tests.core.auth.support import ScramServer
from tests.core.connecting.servers import Script, Server
from tests.core.connecting.support import World, config, failure, session

HERE = "192.0.2.1:5432"
OK = m.AuthenticationOk()
READY = m.ReadyForQuery("I")


def connected(server: Server, **params: Any) -> Established:
    return session(World({HERE: server}), config(sslmode="disable", **params))


def refused(server: Server, error: type[Error], **params: Any) -> Error:
    failed = failure(World({HERE: server}), config(sslmode="disable", **params), error)
    assert isinstance(failed, Error)
    return failed


def test_passwords_of_the_application() -> None:
    calls: list[int] = []

    def ask() -> str:
        calls.append(1)
        return "pencil"

    connected(Server(password="pencil"), password=ask)
    connected(Server(), password=ask)
    assert calls == [1]


def test_what_asking_for_a_password_raises_comes_out() -> None:
    def ask() -> str:
        raise LookupError("vault sealed")

    world = World({HERE: Server(password="pencil"), "192.0.2.2:5432": Server()})
    failed = failure(world, config(host="192.0.2.1,192.0.2.2", password=ask), LookupError)
    assert str(failed) == "'vault sealed'" or str(failed) == "vault sealed"
    assert world.log == [HERE]


def test_keys_in_place_of_a_password() -> None:
    salted = ScramServer(b"pencil").salted
    keys = {
        f"scram_{name.lower()}_key": b64encode(digest(salted, f"{name} Key".encode(), "sha256")).decode()
        for name in ("Client", "Server")
    }
    assert connected(Server(password="pencil"), **keys).authentication.method == "scram-sha-256"
    del keys["scram_server_key"]
    assert "go together" in str(refused(Server(password="pencil"), ConfigError, **keys))


class Ticket:
    complete = True

    def step(self, token: bytes | None = None, /) -> bytes | None:
        return b"ticket"


def test_a_security_context_gets_the_services_name() -> None:
    asked: list[tuple[object, ...]] = []

    def make(*names: object) -> object:
        asked.append(names)
        return Ticket()

    server = Server(asks=m.AuthenticationGSS(), silent_at="GSSResponse")
    refused(server, ConnectionLost, gss_context=make, krbsrvname="pg", connect_timeout=1)
    assert asked == [("pg", "192.0.2.1")]
    assert server.heard[-1] == m.GSSResponse(b"ticket")


def test_something_else_than_a_security_context() -> None:
    def make(service: str, host: str) -> str:
        return "ticket"

    error = refused(Server(asks=m.AuthenticationGSS()), ConfigError, gss_context=make)
    assert "str" in str(error)
    assert "gssapi.SecurityContext" in str(error)


def test_a_token() -> None:
    server = Server(asks=m.AuthenticationSASL(("OAUTHBEARER",)), silent_at="SASLInitialResponse")
    refused(server, ConnectionLost, oauth_token=lambda: "token", require_auth="oauth", connect_timeout=1)
    assert isinstance(server.heard[-1], m.SASLInitialResponse)


@pytest.mark.parametrize(
    ("params", "startup"),
    [
        ({"require_auth": "scram-sha-256"}, [OK, READY]),
        ({"require_auth": "!none"}, [OK, READY]),
        ({"require_auth": "scram-sha-256", "password": "x"}, [m.AuthenticationMD5Password(b"salt")]),
        ({"channel_binding": "require", "password": "x"}, [m.AuthenticationSASL(("SCRAM-SHA-256",))]),
        ({"channel_binding": "require"}, [OK, READY]),
        ({"password": "x"}, [m.AuthenticationCleartextPassword()]),
    ],
)
def test_policies(params: dict[str, Any], startup: Script) -> None:
    server = Server(startup=startup)
    refused(server, AuthenticationError, **params)
    assert len(server.heard) == 1, "nothing was sent"


def test_the_limits_for_iterations() -> None:
    for limit in ("scram_max_iterations=5000", "scram_min_iterations=5002"):
        server = Server(password="x", iterations=5001)
        name, value = limit.split("=")
        assert limit in str(refused(server, AuthenticationError, password="x", **{name: value}))


def test_what_cannot_be_met() -> None:
    assert "sslcertmode=require" in str(refused(Server(), ConfigError, sslcertmode="require"))


@pytest.mark.parametrize("value", ["x" * 10_000, "a\0b", "\ud800"])
def test_parameters_that_cannot_be_sent(value: str) -> None:
    server = Server()
    world = World({HERE: server})
    failure(world, config(sslmode="disable"), LocalProtocolError, parameters={"search_path": value})
    assert server.heard == []


def test_no_password_in_an_error() -> None:
    server = Server(password="pencil")
    error = refused(server, InvalidPassword, password=Secret("canary").reveal())
    seen = "".join([repr(error), str(error), *getattr(error, "__notes__", [])])
    assert "canary" not in seen


def test_without_a_security_context_the_package_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    error = refused(Server(asks=m.AuthenticationGSS()), AuthenticationError)
    assert "install the package gssapi" in str(error)


def test_an_error_names_the_place_once() -> None:
    for params, place in (
        ({"hostaddr": "192.0.2.1", "host": "db.example"}, "192.0.2.1:5432 (db.example)"),
        ({"host": "192.0.2.1"}, "192.0.2.1:5432"),
        ({"host": "db.example"}, "db.example:5432 (192.0.2.1:5432)"),
    ):
        world = World({HERE: Server(password="pencil")}, names={"db.example": ("192.0.2.1",)})
        failed = failure(world, config(sslmode="disable", password="eraser", **params), InvalidPassword)
        assert failed.__notes__ == [f"while connecting to {place}"]
