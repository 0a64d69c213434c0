"""Which files the TLS parameters name, and what is verified by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pgproto._connecting._tls_files import tls_settings
from pgproto._effects import FileContents
from pgproto._tls import TLSSettings
from pgproto.errors import ConfigError, ConnectionLost
from tests.core.connecting.support import World, config, contents

HOME = "/home/alice/.postgresql/"
Files = Mapping[str, FileContents | Exception]


def settings(files: Files, **params: Any) -> TLSSettings:
    return World({}, files=files).run(tls_settings(config(**params)))


def refused(files: Files, **params: Any) -> str:
    with pytest.raises(ConfigError) as failed:
        settings(files, **params)
    return str(failed.value)


def test_nothing_is_there() -> None:
    for mode in ("allow", "prefer", "require"):
        found = settings({}, sslmode=mode)
        assert found == TLSSettings()
        assert not found.verify


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_authorities_are_needed(mode: str) -> None:
    message = refused({}, sslmode=mode)
    assert f"sslmode={mode}" in message
    assert "sslrootcert=system" in message


@pytest.mark.parametrize("mode", ["allow", "prefer", "require", "verify-ca", "verify-full"])
def test_authorities_that_are_there_are_used(mode: str) -> None:
    found = settings({HOME + "root.crt": contents()}, sslmode=mode)
    assert (found.verify, found.authorities) == (True, HOME + "root.crt")
    assert found.check_hostname is (mode == "verify-full")
    found = settings({"/ca.pem": contents()}, sslmode=mode, sslrootcert="/ca.pem")
    assert (found.verify, found.authorities) == (True, "/ca.pem")


def test_the_authorities_of_the_system() -> None:
    found = settings({}, sslrootcert="system")
    assert (found.verify, found.check_hostname, found.authorities) == (True, True, "system")


def test_files_that_were_asked_for_must_be_there() -> None:
    root: Files = {HOME + "root.crt": contents()}
    cases: list[tuple[Files, dict[str, str]]] = [
        ({}, {"sslrootcert": "/no/such"}),
        (root, {"sslcrl": "/no/such"}),
        ({}, {"sslcert": "/no/such"}),
        ({"/c": contents()}, {"sslcert": "/c", "sslkey": "/no/such"}),
    ]
    for files, params in cases:
        message = refused(files, sslmode="require", **params)
        assert "/no/such" in message
        assert [*params][-1] in message


def test_files_that_cannot_be_read() -> None:
    message = refused({"/ca.pem": PermissionError("denied")}, sslmode="require", sslrootcert="/ca.pem")
    assert "sslrootcert" in message
    assert "denied" in message


def test_files_that_take_too_long() -> None:
    world = World({}, files={"/ca.pem": TimeoutError()})
    with pytest.raises(ConnectionLost, match="reading"):
        world.run(tls_settings(config(sslmode="require", sslrootcert="/ca.pem")))


def test_revocations() -> None:
    root: Files = {HOME + "root.crt": contents()}
    assert settings(root).revocations is None
    both: Files = {**root, HOME + "root.crl": contents()}
    assert settings(both).revocations == HOME + "root.crl"
    assert settings({**root, "/crl": contents()}, sslcrl="/crl").revocations == "/crl"
    found = settings(both, sslcrldir="/crls")
    assert (found.revocations, found.revocations_directory) == (None, "/crls")
    # Without authorities there is nothing to revoke.
    found = settings({HOME + "root.crl": contents()}, sslcrldir="/crls")
    assert (found.revocations, found.revocations_directory) == (None, None)


def test_our_certificate() -> None:
    ours: Files = {HOME + "postgresql.crt": contents(), HOME + "postgresql.key": contents()}
    found = settings(ours)
    assert (found.certificate, found.key) == (HOME + "postgresql.crt", HOME + "postgresql.key")
    assert settings(ours, sslcertmode="disable").certificate is None
    mine: Files = {"/c": contents(), "/k": contents()}
    found = settings(mine, sslcert="/c", sslkey="/k", sslpassword="secret")
    assert (found.certificate, found.key) == ("/c", "/k")
    assert found.key_password is not None
    assert "secret" not in repr(found)
    assert "postgresql.key" in refused({HOME + "postgresql.crt": contents()})


@pytest.mark.parametrize(
    ("mode", "owner", "fine"),
    [
        (0o100600, 1000, True),
        (0o100400, 1000, True),
        (0o100640, 1000, False),
        (0o100604, 1000, False),
        (0o100660, 1000, False),
        (0o100600, 0, True),
        (0o100640, 0, True),
        (0o100644, 0, False),
        (0o100660, 0, False),
        (0o100650, 0, False),
        (0o040600, 1000, False),
        (0o010600, 1000, False),
        (0o100666, None, True),
    ],
)
def test_the_keys_permissions(mode: int, owner: int | None, fine: bool) -> None:
    files: Files = {"/c": contents(), "/k": contents(mode=mode, owner=owner)}
    if fine:
        assert settings(files, sslcert="/c", sslkey="/k").key == "/k"
    else:
        assert "'/k'" in refused(files, sslcert="/c", sslkey="/k")


def test_without_a_home_there_are_no_files() -> None:
    given = config(sslmode="require")
    assert World({}).run(tls_settings(replace(given, tls_directory=None))) == TLSSettings()
    lost = replace(given, tls_directory=None, sslcert="/c")
    with pytest.raises(ConfigError, match="sslkey"):
        World({}, files={"/c": contents()}).run(tls_settings(lost))


def test_the_rest() -> None:
    found = settings(
        {}, ssl_min_protocol_version="TLSv1.3", ssl_max_protocol_version="TLSv1.3", sslkeylogfile="/log"
    )
    assert (found.oldest, found.newest, found.key_log) == ("TLSv1.3", "TLSv1.3", "/log")
