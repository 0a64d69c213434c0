"""The backend role before real clients: a mock server, and a proxy made of both roles."""

from __future__ import annotations

import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg

import pgproto_blocking
from pgproto import NEED_DATA, Connection, Role
from pgproto import messages as m
from tests.integration.test_docs import programs
from tests.support.servers import Server

__all__: list[str] = []


@contextmanager
def serving(serve: Callable[[socket.socket], object]) -> Generator[int]:
    """A port on which each client is served by a thread; what goes wrong there is raised at the end."""
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []

    def attend(client: socket.socket) -> None:
        with client:
            try:
                serve(client)
            except BaseException as error:
                errors.append(error)

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(20)
            threads.append(threading.Thread(target=attend, args=(client,), daemon=True))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,), daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert not errors, errors


def run_tool(server: Server, *command: str, password: str = "") -> str:
    tool = [server.installation.tool(command[0]), *command[1:]]
    environment = {**server.installation.environment(), "PGPASSWORD": password, "PGSSLMODE": "prefer"}
    answer = subprocess.run(tool, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_mock_server(postgres: Server) -> None:
    make = programs("write-your-own-driver.md")["MockServer"]
    with serving(lambda client: make(client).serve()) as port:
        dsn = f"postgresql://anybody@127.0.0.1:{port}/anything"
        assert run_tool(postgres, "psql", "-XAtc", "select from nowhere", dsn) == "select from nowhere\n"
        with psycopg.connect(dsn, autocommit=True) as session:
            assert session.execute("select 'psycopg'").fetchall() == [("select 'psycopg'",)]
            assert session.execute("select 2", prepare=True).fetchone() == ("select 2",)
        with pgproto_blocking.connect(dsn) as ours:
            assert ours.fetchval("select 'pgproto'") == "select 'pgproto'"


class Proxy:
    """Says to each end what the other has said, message by message; it understands both."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = {client: Connection(Role.BACKEND), server: Connection(Role.FRONTEND)}
        self.other = {client: server, server: client}
        self.messages = 0

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for end in self.ends:
                selector.register(end, selectors.EVENT_READ)
            while all(self.forward(key.fileobj) for key, _ in selector.select(20)):  # type: ignore[arg-type]
                continue

    def forward(self, end: socket.socket) -> bool:
        data = end.recv(65536)
        if not data:
            return False
        core, other = self.ends[end], self.other[end]
        core.receive_data(data)
        parts: list[bytes] = []
        while (event := core.next_event()) is not NEED_DATA:
            # No TLS through the middle: the proxy could not read it.
            if isinstance(event, m.SSLRequest | m.GSSENCRequest):
                end.sendall(core.send(m.EncryptionResponse(b"N")))
                continue
            parts.append(self.ends[other].send(event))
            self.messages += 1
        other.sendall(b"".join(parts))
        return True


def test_a_proxy(postgres: Server) -> None:
    passed: list[int] = []

    def serve(client: socket.socket) -> None:
        with socket.create_connection((postgres.host, postgres.port)) as server:
            proxy = Proxy(client, server)
            proxy.run()
            passed.append(proxy.messages)

    with serving(serve) as port:
        where = ("-h", "127.0.0.1", "-p", str(port), "-U", "alice")
        psql = ("psql", *where, "-XAt", "postgres", "-c", "select count(*) from generate_series(1, 5000)")
        assert run_tool(postgres, *psql, password="wonderland") == "5000\n"
        pgbench = ("pgbench", *where, "-n", "-M", "prepared", "-c", "2", "-t", "50", "-f", "-", "postgres")
        script = postgres.folder / "proxy.sql"
        script.write_text("\\set n random(1, 1000)\nselect :n::int + 1;\n")
        report = run_tool(
            postgres, *[str(script) if part == "-" else part for part in pgbench], password="wonderland"
        )
        assert "number of transactions actually processed: 100/100" in report
        with pgproto_blocking.connect(postgres.dsn_for("alice"), port=port) as session:
            assert len(session.fetch("select n, n::text from generate_series(1, 5000) n")) == 5000
            with session.transaction():
                session.execute("create temp table t (a int)")
                assert session.copy_records_to_table("t", records=[(n,) for n in range(1000)]) == 1000
            with session.pipeline() as pipeline:
                count = pipeline.fetchval("select count(*) from t")
            assert count.result() == 1000
    assert min(passed) > 10
