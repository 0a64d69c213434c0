"""The fake server of `pgproto.testing`, spoken to message by message."""

from __future__ import annotations

import pytest

from pgproto import errors
from pgproto import messages as m
from pgproto.messages import Message
from pgproto.testing import FakeServer, Statement
from tests.core.testing.clients import Client, names

__all__: list[str] = []


def add_one(number: int) -> list[tuple[int]]:
    return [(number + 1,)]


def give_back(*values: object) -> list[tuple[object, ...]]:
    return [values]


SUM = Statement(["int8"], {"sum": "int8"}, add_one)


def fake(*more: tuple[str, Statement]) -> tuple[FakeServer, Client]:
    server = FakeServer({"select $1::int8 + 1": SUM, **dict(more)})
    return server, Client(server())


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
    # There is no transaction left that could be rolled back.
    assert ready == m.ReadyForQuery("I")


def test_what_took_effect() -> None:
    failing = Statement(error=errors.DivisionByZero("division by zero"))
    work = Statement(["int8"], tag="INSERT 0 1")
    server, client = fake(("work $1", work), ("one", Statement()), ("two", Statement()), ("fail", failing))

    def done_after(*queries: str) -> list[str]:
        server.committed.clear()
        for query in queries:
            client.say(m.Query(query))
        return [each.sql for each in server.committed]

    assert done_after("one; two") == ["one", "two"]
    assert done_after("one; fail") == []
    assert done_after("begin", "one") == []
    assert done_after("commit") == ["one"]
    assert done_after("begin", "one", "rollback") == []
    assert done_after("begin", "one", "fail", "commit", "two") == ["two"]
    undone = ("savepoint a", "one", "savepoint b", "one", "fail", "rollback to savepoint a")
    assert done_after("begin", "one", *undone, "two", "release a", "end") == ["one", "two"]
    group = [m.Bind("", "w", (1,), ((n).to_bytes(8, "big"),)) for n in (1, 2)]
    server.committed.clear()
    client.say(m.Parse("w", "work $1"), group[0], m.Execute(), group[1], m.Execute(), m.Flush())
    assert server.committed == []
    client.say(m.Sync())
    assert server.committed == [("work $1", (1,)), ("work $1", (2,))]
    client.say(group[0], m.Execute(), m.Parse("", "nonsense"), m.Sync())
    assert len(server.committed) == 2


@pytest.mark.parametrize(
    ("sql", "sqlstate"), [("savepoint a", "25P01"), ("begin; release savepoint b", "3B001")]
)
def test_savepoints_that_cannot_be(sql: str, sqlstate: str) -> None:
    _, client = fake()
    error = client.say(m.Query(sql))[-2]
    assert isinstance(error, m.ErrorResponse)
    assert error.fields["C"] == sqlstate


def copying() -> tuple[FakeServer, Client]:
    return fake(
        ("copy in", Statement(columns={"a": "int8", "b": "text"}, copy_in=lambda data: data.count(b"\n"))),
        ("copy out", Statement(columns={"a": "text"}, copy_out=[b"1\n", b"2\n"], delay=1.0, binary=True)),
    )


def test_copy_from_the_client() -> None:
    server, client = copying()
    group = (m.Parse("", "copy in"), m.Bind(), m.Describe("P"), m.Execute())
    *_, described, agreed = client.say(*group)
    assert described == m.NoData()
    assert agreed == m.CopyInResponse(0, (0, 0))
    assert server.sessions[0].next_time() is None
    assert client.say(m.CopyData(b"1\tx\n2")) == []
    assert client.say(m.CopyData(b"\ty\n"), m.CopyDone()) == [m.CommandComplete("COPY 2")]
    assert server.committed == []
    client.say(m.Sync())
    assert server.committed == [("copy in", (b"1\tx\n2\ty\n",))]
    # And in a simple query, taken back in one or the other way.
    client.say(m.Query("copy in"))
    error, ready = client.say(m.CopyFail("no more"))
    assert isinstance(error, m.ErrorResponse)
    assert error.fields["M"] == "COPY from stdin failed: no more"
    assert ready == m.ReadyForQuery("I")
    client.say(*group)
    server.sessions[0].interrupt()
    assert client.listen() == []
    assert names(client.say(m.CopyData(b"3\tz\n"))) == ["ErrorResponse"]
    client.peer.receive_data(m.CopyData(b"4\tz\n").encode() + m.CopyDone().encode())
    assert client.say(m.Sync()) == [m.ReadyForQuery("I")]
    assert len(server.committed) == 1


def test_copy_to_the_client() -> None:
    server, client = copying()
    data = [m.CopyData(b"1\n"), m.CopyData(b"2\n")]
    assert client.say(m.Query("copy out")) == []
    for now, heard in ((1.0, [m.CopyOutResponse(1, (1,)), data[0]]), (2.0, [data[1]])):
        client.now = now
        assert client.listen() == heard
    client.now = 3.0
    assert client.listen() == [m.CopyDone(), m.CommandComplete("COPY 2"), m.ReadyForQuery("I")]
    client.say(m.Query("copy out"))
    client.now = 4.0
    client.listen()
    server.sessions[0].interrupt()
    assert names(client.listen()) == ["ErrorResponse", "ReadyForQuery"]


def test_statements_are_forgotten() -> None:
    _, client = fake()
    empty = (m.Parse("e", " "), m.Bind("", "e"), m.Execute())
    assert names(client.say(*empty, m.Sync()))[2:] == ["EmptyQueryResponse", "ReadyForQuery"]
    bind = m.Bind("", "e")
    assert names(client.say(m.Close("S", "e"), bind, m.Sync()))[1:] == ["ErrorResponse", "ReadyForQuery"]
    client.say(*empty, m.Sync())
    assert m.CommandComplete("DEALLOCATE ALL") in client.say(m.Query("deallocate all; set a to b"))
    assert names(client.say(bind, m.Sync())) == ["ErrorResponse", "ReadyForQuery"]


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
    assert client.listen() == []
    assert late.is_closed
    assert "unknown type '!'" in str(late.violation)


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
