"""The wire trace: libpq's format, no secrets, and no surprise from any bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto import Connection, Role
from pgproto import messages as m
from pgproto.trace import Tracer, main

__all__: list[str] = []


def lines(sender: Role, *messages: m.Message) -> list[str]:
    """The lines for messages that one side sends, fed byte by byte."""
    written: list[str] = []
    tracer = Tracer(written.append)
    for byte in b"".join([message.encode() for message in messages]):
        tracer.feed(sender, bytes((byte,)))
    return written


def test_the_lines_of_a_client() -> None:
    assert lines(
        Role.FRONTEND,
        m.StartupMessage({"user": "alice"}),
        m.Parse("s", "select $1", (23,)),
        m.Bind("", "s", (1,), (b"\x00\x00\x00\x07", None), (1,)),
        m.Describe("P"),
        m.Execute(),
        m.Sync(),
        m.Query("select 1\n"),
        m.Terminate(),
    ) == [
        'F\t20\tStartupMessage\t 3 0 "user" "alice"',
        'F\t22\tParse\t "s" "select $1" 1 23',
        'F\t29\tBind\t "" "s" 1 1 2 4 \'\\x00\\x00\\x00\\x07\' -1 1 1',
        'F\t6\tDescribe\t P ""',
        'F\t9\tExecute\t "" 0',
        "F\t4\tSync",
        'F\t14\tQuery\t "select 1\\n"',
        "F\t4\tTerminate",
    ]


def test_the_lines_of_a_server() -> None:
    assert lines(
        Role.BACKEND,
        m.ParameterStatus("TimeZone", "UTC"),
        m.RowDescription((m.FieldDescription("a", 0, 0, 23, 4, -1, 0),)),
        m.DataRow((b"1", None)),
        m.CommandComplete("SELECT 1"),
        m.ErrorResponse({"S": "ERROR", "C": "22012"}),
        m.CopyData(b"1\t2\n"),
        m.ReadyForQuery("I"),
    ) == [
        'B\t17\tParameterStatus\t "TimeZone" "UTC"',
        'B\t26\tRowDescription\t 1 "a" 0 0 23 4 -1 0',
        "B\t15\tDataRow\t 2 1 '1' -1",
        'B\t13\tCommandComplete\t "SELECT 1"',
        'B\t19\tErrorResponse\t S "ERROR" C "22012" \\x00',
        "B\t8\tCopyData\t '1\\x092\\x0a'",
        "B\t5\tReadyForQuery\t I",
    ]


def test_no_secret_is_shown() -> None:
    secrets = lines(
        Role.FRONTEND,
        m.PasswordMessage("wonderland"),
        m.SASLResponse(b"c=biws,p=wonderland"),
        m.CancelRequest(7, b"wonderland"),
    ) + lines(Role.BACKEND, m.BackendKeyData(7, b"wonderland"), m.AuthenticationSASLContinue(b"s=wonderland"))
    assert len(secrets) == 5
    assert "wonderland" not in "".join(secrets)


def test_an_answer_to_an_encryption_request_is_one_byte() -> None:
    written: list[str] = []
    tracer = Tracer(written.append)
    tracer.feed(Role.FRONTEND, m.SSLRequest().encode())
    tracer.feed(Role.BACKEND, b"N")
    tracer.feed(Role.BACKEND, m.ReadyForQuery("I").encode())
    assert written == ["F\t8\tSSLRequest\t 1234 5679", "B\t1\tSSLResponse\t N", "B\t5\tReadyForQuery\t I"]


@given(st.sampled_from(Role), st.binary(max_size=200))
def test_any_bytes_give_lines_and_nothing_else(sender: Role, data: bytes) -> None:
    written: list[str] = []
    Tracer(written.append).feed(sender, data)
    assert all(line.isprintable() or "\t" in line for line in written)
    assert not any("\n" in line or "\r" in line for line in written)


def test_a_connection_tells_both_directions() -> None:
    connection = Connection(Role.FRONTEND)
    written: list[str] = []
    connection.trace = Tracer(written.append).feed
    connection.send(m.StartupMessage({"user": "a"}))
    connection.receive_data(m.AuthenticationOk().encode())
    assert [line.split("\t")[2] for line in written] == ["StartupMessage", "AuthenticationOk"]


@pytest.mark.parametrize("sender", list(Role))
def test_a_captured_stream_is_printed(
    sender: Role, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = m.Query("select 1") if sender is Role.FRONTEND else m.ReadyForQuery("I")
    captured = tmp_path / "captured"
    captured.write_bytes(message.encode())
    assert main([str(captured), "--from", sender.value]) == 0
    assert main([str(captured)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.startswith("F\t13\tQuery" if sender is Role.FRONTEND else "B\t5\tReadyForQuery")


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("sender", list(Role))
def test_the_program(sender: Role, tmp_path: Path) -> None:
    said: dict[Role, tuple[m.Message, ...]] = {
        Role.FRONTEND: (m.StartupMessage({"user": "alice"}), m.PasswordMessage("wonderland"), m.Sync()),
        Role.BACKEND: (m.AuthenticationCleartextPassword(), m.AuthenticationOk(), m.ReadyForQuery("I")),
    }
    captured = tmp_path / "captured"
    captured.write_bytes(b"".join([message.encode() for message in said[sender]]))
    command = [sys.executable, "-m", "pgproto.trace", str(captured)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    command[-1] = "-"
    piped = subprocess.run(command, input=captured.read_bytes(), capture_output=True, check=True)
    assert piped.stdout.decode() == ran.stdout
    assert ran.stderr == ""
    assert (
        ran.stdout.splitlines()
        == {
            Role.FRONTEND: [
                'F\t20\tStartupMessage\t 3 0 "user" "alice"',
                "F\t15\tUnknownAuthenticationResponse\t <hidden>",
                "F\t4\tSync",
            ],
            Role.BACKEND: [
                "B\t8\tAuthenticationCleartextPassword",
                "B\t8\tAuthenticationOk",
                "B\t5\tReadyForQuery\t I",
            ],
        }[sender]
    )


def test_what_the_client_answers_is_named_after_what_it_was_asked() -> None:
    written: list[str] = []
    tracer = Tracer(written.append)
    asked: list[tuple[m.Message, m.Message, str]] = [
        (m.AuthenticationMD5Password(b"salt"), m.PasswordMessage("md5"), "PasswordMessage"),
        (m.AuthenticationSASL(("X",)), m.SASLInitialResponse("X", b"first"), "SASLInitialResponse"),
        (m.AuthenticationSASLContinue(b"more"), m.SASLResponse(b"second"), "SASLResponse"),
        (m.AuthenticationGSSContinue(b"token"), m.GSSResponse(b"token"), "GSSResponse"),
    ]
    for request, answer, name in asked:
        tracer.feed(Role.BACKEND, request.encode())
        tracer.feed(Role.FRONTEND, answer.encode())
        assert written[-1].split("\t")[2] == name
        assert written[-1].endswith("<hidden>")
    tracer.feed(Role.BACKEND, b"R\0\0\0\x08\0\0\0\x63")
    assert written[-1] == "B\t8\tUnknown authentication message 99\t <hidden>"
    tracer.feed(Role.BACKEND, m.NegotiateProtocolVersion(0x30000, ("_pq_.x",)).encode())
    assert written[-1] == 'B\t19\tNegotiateProtocolVersion\t 196608 1 "_pq_.x"'
