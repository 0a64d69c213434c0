"""The wire trace, line by line against what libpq's own `PQtrace` writes about the same bytes.

It differs where the documentation of `pgproto.trace` says so.
"""

from __future__ import annotations

from pathlib import Path

from pgproto.trace import Tracer
from tests.support.libpq_trace import Recorder, TracedLibpq
from tests.support.servers import Server

__all__: list[str] = []

PG_BACKEND_PID = 2026

SECRETS = {
    "SASLInitialResponse": 1,
    "SASLResponse": 0,
    "AuthenticationSASLContinue": 0,
    "AuthenticationSASLFinal": 0,
    "BackendKeyData": 1,
}
"""Which messages have one, and how many fields there are before it."""


def talk(connection: TracedLibpq) -> None:
    """Something of everything."""
    connection.execute("select 1 as one, 'it''s', null, E'\\x01\\x7f', 'ä'")
    connection.execute("")
    connection.execute("select 1/0")
    connection.execute("do $$ begin raise notice 'take %', 'note'; end $$")
    connection.execute("set application_name to 'traced'")
    connection.execute_params("select $1::text, $2", b"text", None, types=(25, 17), binary=False)
    connection.execute_params("select $1::int4", b"\0\1\xfe\xff", types=(23,), binary=True)
    connection.execute_params("select no_such_column", binary=False)
    connection.prepared("s", "select $1::int + 1", b"41")
    connection.execute("create temporary table t (a int, b text)")
    connection.copy_in("copy t from stdin", b"1\tone\n2\ttwo\n")
    connection.copy_in("copy t from stdin", b"3\tthree\n", failure="enough")
    connection.copy_out("copy t to stdout")
    connection.execute("listen channel")
    connection.execute("notify channel, 'payload'")
    connection.call_function(PG_BACKEND_PID)
    with connection.pipeline():
        connection.send("select 1")
        connection.send("select 1/0")
        connection.send("select 3")


def masked(line: str) -> str:
    """libpq's line without the secret at its end."""
    name = line.split("\t")[2]
    if name not in SECRETS:
        return line
    return " ".join([*line.split(" ")[: 1 + SECRETS[name]], "<hidden>"])


def test_the_same_lines(postgres: Server, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    with Recorder(postgres.host, postgres.port) as recorder:
        dsn = f"{postgres.dsn_for('alice')}?sslmode=prefer&gssencmode=disable&client_encoding=UTF8"
        dsn = dsn.replace(f":{postgres.port}/", f":{recorder.port}/")
        with TracedLibpq(dsn, file) as connection:
            talk(connection)
    ours: list[str] = []
    tracer = Tracer(ours.append)
    for sender, data in recorder.said:
        tracer.feed(sender, data)
    theirs = file.read_text().split("\n")
    for letter in "FB":
        said = [line for line in ours if line[0] == letter and "\tAuthenticationOk" not in line]
        assert said == [masked(line) for line in theirs if line[:1] == letter]
