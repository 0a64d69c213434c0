"""The servers of `pgproto.testing`, spoken to message by message."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pgproto import Connection, Role, errors
from pgproto import messages as m
from pgproto.messages import Message
from pgproto.testing import (
    Expect,
    FakeServer,
    FakeSession,
    HangUp,
    Lie,
    Peer,
    Say,
    ScriptedServer,
    ScriptMismatch,
    Statement,
    Wait,
    greeting,
)
from tests.support.pair import drain

__all__: list[str] = []


class Client:
    """Says messages and hears what comes back."""

    def __init__(self, peer: Peer, *, start: bool = True) -> None:
        self.peer = peer
        self.now = 0.0
        self.connection = Connection(Role.FRONTEND)
        self.greeting: list[Message] = []
        if start:
            self.greeting = self.say(m.StartupMessage({"user": "alice"}))

    def say(self, *messages: Message) -> list[Message]:
        self.peer.receive_data(b"".join([self.connection.send(message) for message in messages]))
        return self.listen()

    def listen(self) -> list[Message]:
        data = self.peer.data_to_send(self.now)
        if data:
            self.connection.receive_data(data)
        return drain(self.connection)


def names(messages: Iterable[Message]) -> list[str]:
    return [type(message).__name__ for message in messages]


def add_one(number: int) -> list[tuple[int]]:
    return [(number + 1,)]


def give_back(*values: object) -> list[tuple[object, ...]]:
    return [values]


SUM = Statement(["int8"], {"sum": "int8"}, add_one)


def fake(*more: tuple[str, Statement]) -> tuple[FakeServer, Client]:
    server = FakeServer({"select $1::int8 + 1": SUM, **dict(more)})
    return server, Client(server())


# --- The fake server ---------------------------------------------------------------------------------------


def test_the_greeting() -> None:
    server, client = fake()
    assert names(client.greeting)[0] == "AuthenticationOk"
    assert client.greeting[-2:] == [server.sessions[0].key, m.ReadyForQuery("I")]
    assert m.ParameterStatus("client_encoding", "UTF8") in client.greeting
    assert server.sessions[0].startup == {"user": "alice"}


def test_it_declines_encryption() -> None:
    client = Client(FakeServer({})(), start=False)
    assert client.say(m.SSLRequest()) == [m.EncryptionResponse(b"N")]


def test_the_extended_query() -> None:
    _, client = fake()
    said = client.say(
        m.Parse("s", "select $1::int8 + 1"),
        m.Describe("S", "s"),
        m.Bind("", "s", (1,), ((41).to_bytes(8, "big"),), (1,)),
        m.Describe("P"),
        m.Execute(),
        m.Sync(),
    )
    assert said == [
        m.ParseComplete(),
        m.ParameterDescription((20,)),
        m.RowDescription((m.FieldDescription("sum", type_oid=20),)),
        m.BindComplete(),
        m.RowDescription((m.FieldDescription("sum", type_oid=20, format=1),)),
        m.DataRow(((42).to_bytes(8, "big"),)),
        m.CommandComplete("SELECT 1"),
        m.ReadyForQuery("I"),
    ]


def test_arguments_as_text_and_null() -> None:
    _, client = fake(("echo $1 $2", Statement(columns={"a": "text", "b": "text"}, rows=give_back)))
    said = client.say(m.Parse("", "echo $1 $2"), m.Bind("", "", (), (b"x", None)), m.Execute(), m.Sync())
    assert said[2] == m.DataRow((b"x", None))


def test_a_simple_query() -> None:
    _, client = fake(("select 7", Statement(columns={"n": "int4"}, rows=[(7,)])))
    assert client.say(m.Query("select 7; select 7")) == [
        *[
            m.RowDescription((m.FieldDescription("n", type_oid=23),)),
            m.DataRow((b"7",)),
            m.CommandComplete("SELECT 1"),
        ]
        * 2,
        m.ReadyForQuery("I"),
    ]
    assert names(client.say(m.Query(" ;"))) == ["EmptyQueryResponse", "ReadyForQuery"]


def test_a_portal_gives_its_rows_in_batches() -> None:
    _, client = fake(("select n", Statement(columns={"n": "int4"}, rows=[(n,) for n in range(5)])))
    said = client.say(m.Parse("", "select n"), m.Bind("p"), m.Execute("p", 2), m.Execute("p", 2), m.Flush())
    assert names(said) == ["ParseComplete", "BindComplete", *["DataRow", "DataRow", "PortalSuspended"] * 2]
    assert names(client.say(m.Execute("p", 2), m.Close("P", "p"), m.Sync())) == [
        "DataRow",
        "CommandComplete",
        "CloseComplete",
        "ReadyForQuery",
    ]


def test_an_error_skips_to_sync() -> None:
    _, client = fake()
    said = client.say(
        m.Parse("", "nonsense"), m.Bind(), m.Execute(), m.Sync(), m.Query("select $1::int8 + 1")
    )
    assert names(said) == ["ErrorResponse", "ReadyForQuery"] * 2
    error = said[0]
    assert isinstance(error, m.ErrorResponse)
    assert errors.PostgresError.from_fields(error.fields).sqlstate == "42601"


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        (m.Bind("", "unknown"), "26000"),
        (m.Execute("unknown"), "34000"),
        (m.Describe("P", "unknown"), "34000"),
        (m.Describe("S", "unknown"), "26000"),
        (m.FunctionCall(1), "0A000"),
    ],
)
def test_what_does_not_exist(message: Message, sqlstate: str) -> None:
    _, client = fake()
    (error, *_) = client.say(message)
    assert isinstance(error, m.ErrorResponse)
    assert error.fields["C"] == sqlstate


@pytest.mark.parametrize("parameters", [(), (b"1", b"2"), (b"no number",)])
def test_arguments_that_do_not_fit(parameters: tuple[bytes, ...]) -> None:
    _, client = fake()
    said = client.say(m.Parse("", "select $1::int8 + 1"), m.Bind("", "", (), parameters), m.Sync())
    assert names(said) == ["ParseComplete", "ErrorResponse", "ReadyForQuery"]


def test_transactions() -> None:
    failing = Statement(error=errors.DivisionByZero("division by zero"))
    _, client = fake(("fail", failing), ("work", Statement(tag="WORK")))

    def ask(sql: str) -> tuple[str, str]:
        *_, result, ready = client.say(m.Query(sql))
        assert isinstance(ready, m.ReadyForQuery)
        tag = result.command_tag if isinstance(result, m.CommandComplete) else type(result).__name__
        return tag, ready.status

    assert ask("begin") == ("BEGIN", "T")
    assert ask("work") == ("WORK", "T")
    assert ask("savepoint a") == ("SAVEPOINT", "T")
    assert ask("fail") == ("ErrorResponse", "E")
    assert ask("work") == ("ErrorResponse", "E")
    assert ask("rollback to a") == ("ROLLBACK", "T")
    assert ask("release a") == ("RELEASE", "T")
    assert ask("commit") == ("COMMIT", "I")
    assert ask("start transaction") == ("START TRANSACTION", "T")
    assert ask("fail") == ("ErrorResponse", "E")
    assert ask("commit") == ("ROLLBACK", "I")
    assert ask("begin; work; abort") == ("ROLLBACK", "I")
    assert ask("fail") == ("ErrorResponse", "I")


def test_even_a_commit_can_fail() -> None:
    _, client = fake(("commit", Statement(error=errors.SerializationFailure("could not serialize"))))
    client.say(m.Query("begin"))
    error, ready = client.say(m.Query("commit"))
    assert isinstance(error, m.ErrorResponse)
    assert ready == m.ReadyForQuery("E")


def test_time_and_cancelling() -> None:
    slow = Statement(columns={"n": "int4"}, rows=[(1,)], delay=10.0)
    server, client = fake(("slow", slow))
    session = server.sessions[0]
    assert names(client.say(m.Query("slow"))) == ["RowDescription"]
    assert session.next_time() == 10.0
    client.now = 9.9
    assert client.listen() == []
    client.now = 10.0
    assert names(client.listen()) == ["DataRow", "CommandComplete", "ReadyForQuery"]
    assert session.next_time() is None
    client.say(m.Query("slow"))
    for key in (b"\0" * 4, session.key.secret_key):
        canceller = Client(server(), start=False)
        canceller.say(m.CancelRequest(session.process_id, key))
        assert canceller.peer.is_closed
    error, ready = client.listen()
    assert isinstance(error, m.ErrorResponse)
    assert error.fields["C"] == "57014"
    assert ready == m.ReadyForQuery("I")
    # Too late for anybody.
    session.interrupt()
    assert client.listen() == []


def test_notifications_and_notices() -> None:
    remark = errors.PostgresError("take care", sqlstate="01000", severity="WARNING")
    server, client = fake(("warn", Statement(tag="DO", notices=[remark])))
    client.say(m.Query('listen "News"'))
    server.notify("News", "hello")
    server.notify("news", "not for us")
    assert client.listen() == [m.NotificationResponse(1, "News", "hello")]
    client.say(m.Query('unlisten "News"'))
    server.notify("News", "gone")
    assert client.listen() == []
    notice, *_ = client.say(m.Query("warn"))
    assert isinstance(notice, m.NoticeResponse)
    assert notice.fields["M"] == "take care"


def test_the_end() -> None:
    server, client = fake()
    client.say(m.Terminate())
    assert client.peer.is_closed
    other = Client(server())
    session = server.sessions[-1]
    session.hang_up(errors.AdminShutdown("out"))
    (error,) = other.listen()
    assert isinstance(error, m.ErrorResponse)
    assert error.fields["S"] == "FATAL"
    assert session.is_closed
    session.receive_data(b"anything")
    assert session.data_to_send(0.0) == b""


def test_a_client_that_breaks_the_protocol() -> None:
    session = FakeServer({})()
    session.receive_data(b"\0\0\0\1garbage")
    assert session.data_to_send(0.0) == b""
    assert session.is_closed
    late = FakeServer({})()
    client = Client(late)
    late.receive_data(b"!\0\0\0\4")
    late.data_to_send(0.0)
    assert late.is_closed
    del client


def test_a_client_that_goes_away() -> None:
    server, client = fake()
    client.peer.receive_data(b"")
    client.peer.data_to_send(0.0)
    assert client.peer.is_closed
    assert server.sessions[0].heard[0] == m.StartupMessage({"user": "alice"})


def test_types_are_named_as_in_the_catalog() -> None:
    _, client = fake(("select x", Statement(columns={"x": "integer"})))
    with pytest.raises(errors.ConfigError, match="int4"):
        client.say(m.Query("select x"))


def test_an_answer_for_everything() -> None:
    server = FakeServer(lambda sql: Statement(tag=sql.upper()) if sql.startswith("do") else None)
    client = Client(server())
    assert m.CommandComplete("DO THIS") in client.say(m.Query("do this"))
    assert names(client.say(m.Query("leave that"))) == ["ErrorResponse", "ReadyForQuery"]


# --- The scripted server -----------------------------------------------------------------------------------


def test_a_script() -> None:
    server = ScriptedServer(
        *greeting(process_id=7),
        Expect(m.Query("select 1")),
        Wait(2.0),
        Say(m.CommandComplete("SELECT 0")),
        Say(m.ReadyForQuery("I")),
        Expect(lambda message: isinstance(message, m.Query) and "2" in message.query),
        Lie(b"garb", m.Sync()),
        HangUp(),
    )
    client = Client(server)
    assert m.BackendKeyData(7, b"\x01\x02\x03\x04") in client.greeting
    assert client.say(m.Query("select 1")) == []
    assert server.next_time() == 2.0
    client.now = 2.0
    assert names(client.listen()) == ["CommandComplete", "ReadyForQuery"]
    server.receive_data(m.Query("select 2").encode())
    assert server.data_to_send(2.0) == b"garb" + m.Sync().encode()
    assert server.is_closed
    assert server.is_finished
    assert names(server.heard) == ["StartupMessage", "Query", "Query"]


def test_what_the_script_does_not_expect() -> None:
    client = Client(ScriptedServer(*greeting(), Expect(m.Sync)))
    with pytest.raises(ScriptMismatch, match=r"Query.*Sync"):
        client.say(m.Query("select 1"))
    client = Client(ScriptedServer(*greeting()))
    with pytest.raises(ScriptMismatch, match="ended"):
        client.say(m.Sync())
    server = ScriptedServer(*greeting())
    with pytest.raises(ScriptMismatch, match="protocol"):
        server.receive_data(b"\0\0\0\1")


def test_what_it_answers_by_itself() -> None:
    server = ScriptedServer(*greeting())
    client = Client(server, start=False)
    assert client.say(m.SSLRequest()) == [m.EncryptionResponse(b"N")]
    assert client.say(m.StartupMessage({"user": "alice"}))[-1] == m.ReadyForQuery("I")
    server.receive_data(b"")


def test_it_may_not_say_what_the_protocol_forbids_unless_it_lies() -> None:
    with pytest.raises(errors.LocalProtocolError):
        Client(ScriptedServer(*greeting(), Say(m.CommandComplete("SELECT 1")))).listen()


def test_peers_are_peers() -> None:
    peers: list[Peer] = [FakeServer({})(), ScriptedServer()]
    assert [peer.is_closed for peer in peers] == [False, False]
    assert isinstance(peers[0], FakeSession)
