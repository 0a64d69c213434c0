"""What the log tells while connecting, and how long all of it may take."""

from __future__ import annotations

import logging
import socket

import pytest

from pgproto import ConnectionLost
from tests.contract.faces import Face
from tests.support.servers import Server

__all__: list[str] = []

pytestmark = pytest.mark.anyio


async def test_a_password_file_that_others_can_read(
    face: Face, postgres: Server, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    twice = "127.0.0.1,127.0.0.1"
    passfile = tmp_path_factory.mktemp("home") / "passwords"
    passfile.write_text("*:*:*:*:Xq7canary9Zz\n")
    passfile.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        async with face.connect(postgres.dsn, passfile=str(passfile)):
            pass
        # All hosts have the same file, and it is told of once; also when nothing comes of it.
        with pytest.raises(ConnectionLost):
            async with face.connect(user="alice", host=twice, port="1", passfile=str(passfile)):
                pytest.fail("it connected")
    told = [record for record in caplog.records if record.name == "pgproto"]
    assert [record.levelname for record in told] == ["WARNING"] * 2
    assert str(passfile) in told[0].getMessage()
    assert "must be 0600" in told[1].getMessage()
    assert "canary" not in caplog.text


async def test_one_deadline_for_all_hosts(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ConnectionLost, match="timed out while") as caught:
            async with face.connect(
                user="alice", host="127.0.0.1,127.0.0.2", port=f"{port},1", timeout=0.2, connect_timeout=60
            ):
                pytest.fail("it connected")
    # There was no time left for the second one.
    assert "127.0.0.2" not in str(caught.value)


async def test_a_timeout_that_is_long_enough(face: Face, postgres: Server) -> None:
    async with face.connect(postgres.dsn, timeout=60) as session:
        assert await session.fetchval("select 1") == 1


async def test_the_wire_trace(face: Face, postgres: Server) -> None:
    lines: list[str] = []
    async with face.connect(postgres.dsn_for("alice"), sslmode="prefer", trace=lines.append) as session:
        assert await session.fetchval("select $1::text", "traced") == "traced"
        process_id = session.backend_pid
    names = [line.split("\t")[2] for line in lines]
    wanted = [
        "SSLRequest",
        "SSLResponse",
        "StartupMessage",
        "SASLResponse",
        "BackendKeyData",
        "Bind",
        "DataRow",
    ]
    assert [name for name in names if name in wanted] == wanted
    assert names[-1] == "Terminate"
    assert f"B\t12\tBackendKeyData\t {process_id} <hidden>" in lines
    assert lines[names.index("SASLResponse")].endswith("\t <hidden>")
    assert "B\t16\tDataRow\t 1 6 'traced'" in lines
