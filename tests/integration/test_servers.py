"""The servers that the other tests run against: they start, obey, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from tests.support.binaries import RELEASES, Unavailable, cached, installed
from tests.support.homes import is_running
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import USERS, Server, TLSFiles, shared_server

pytestmark = pytest.mark.postgres

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("major", sorted(RELEASES))
def test_every_major_version_is_here(major: int) -> None:
    if not cached(major) and not installed(major):
        raise Unavailable(
            f"PostgreSQL {major} is not here, so no test of every major version runs with it; "
            f"`python3 dev.py servers {major}` fetches it"
        )


def test_is_the_version_that_was_asked_for(postgres: Server) -> None:
    assert postgres.version.startswith(f"PostgreSQL {postgres.major}")


@pytest.mark.parametrize("user", sorted(USERS))
def test_users_log_in_over_tcp(postgres: Server, user: str) -> None:
    assert postgres.psql("select current_user", dsn=postgres.dsn_for(user)) == user


@pytest.mark.parametrize("user", sorted(USERS))
def test_users_need_their_password(postgres: Server, user: str) -> None:
    with pytest.raises(RuntimeError, match="password authentication failed"):
        postgres.psql("select 1", dsn=postgres.dsn_for(user, "wrong"))


def test_is_shared_by_every_process_of_the_run(postgres: Server) -> None:
    attached = Server.attach(postgres.describe())
    assert attached is not None
    try:
        assert attached.psql("select 1") == "1"
    finally:
        attached.home.close()
    assert shared_server(postgres.major, Path(os.environ["PGPROTO_TEST_MEETING_POINT"])).port == postgres.port


def test_stops_and_starts_again(own_postgres: Server) -> None:
    port = own_postgres.port
    own_postgres.stop()
    assert own_postgres.pid is None
    with pytest.raises(RuntimeError, match=r"psql failed .*\.s\.PGSQL"):
        own_postgres.psql("select 1")
    own_postgres.start()
    own_postgres.restart()
    own_postgres.kill()
    own_postgres.start()
    assert own_postgres.port == port
    assert own_postgres.psql("select 1") == "1"


def test_follows_its_configuration_at_once(own_postgres: Server) -> None:
    own_postgres.set_hba("local all all trust", "host all alice 127.0.0.1/32 reject")
    with pytest.raises(RuntimeError, match="rejects connection"):
        own_postgres.psql("select 1", dsn=own_postgres.dsn_for("alice"))
    own_postgres.configure(work_mem="5MB")
    assert own_postgres.psql("show work_mem") == "5MB"


def test_speaks_tls(own_postgres: Server, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    own_postgres.set_tls(TLSFiles(chain, issued.private_key_pem.bytes()))
    root = own_postgres.write("root.pem", authority.cert_pem.bytes())
    dsn = own_postgres.dsn_for(
        "alice", sslmode="verify-full", sslrootcert=str(root), channel_binding="require"
    )
    assert own_postgres.psql("select ssl from pg_stat_ssl where pid = pg_backend_pid()", dsn=dsn) == "t"


def test_replica_follows_and_takes_over(own_postgres: Server) -> None:
    with own_postgres.replica() as replica:
        assert replica.psql("select pg_is_in_recovery()") == "t"
        own_postgres.stop()
        replica.promote()
        replica.psql("create table written_after_promotion ()")
        assert replica.psql("select pg_is_in_recovery()") == "f"


def test_pgbouncer_passes_on(pgbouncer: PgBouncer) -> None:
    assert pgbouncer.server.psql("select current_user", dsn=pgbouncer.dsn_for("alice")) == "alice"


_HOLD_A_SERVER = """
import sys, time
from tests.support.servers import Server
server = Server(int(sys.argv[1]))
server.start()
print(server.pid, server.home.path, flush=True)
sys.stdin.readline()
if sys.argv[2] == "raise":
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize("ending", ["return", "raise", "SIGTERM", "SIGKILL"])
def test_no_server_outlives_its_process(postgres: Server, ending: str) -> None:
    command = [sys.executable, "-c", _HOLD_A_SERVER, str(postgres.major), ending]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        pid, home = process.stdout.readline().split()
        assert is_running(int(pid))
        if ending.startswith("SIG"):
            process.send_signal(signal.Signals[ending])
        process.communicate("\n")
    deadline = time.monotonic() + 60
    while Path(home).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not Path(home).exists()
    assert not is_running(int(pid))
