"""A server that breaks the rules ends the session at once, with one typed error, and one outcome for each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pgproto import ConnectionLost, DataError, PostgresError, RemoteProtocolError, errors
from pgproto import messages as m
from pgproto._session import Request
from pgproto.messages import Message
from pgproto.testing import Expect, HangUp, Lie, Say, ScriptedServer, greeting
from tests.core.session.support import Joined, outcome

__all__: list[str] = []

INT8 = m.FieldDescription("n", type_oid=20, type_size=8)
BINARY_INT8 = m.FieldDescription("n", type_oid=20, type_size=8, format=1)
ROW = m.DataRow(((7).to_bytes(8, "big"),))
DONE = (m.CommandComplete("SELECT 1"), m.ReadyForQuery("I"))
GOOD = (m.BindComplete(), ROW, *DONE)
ERROR = m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "22012", "M": "division by zero"})

Words = tuple[Message | bytes, ...]


def _header(tag: bytes, length: int) -> bytes:
    return tag + length.to_bytes(4, "big", signed=True)


def _flood(names: int, size: int = 1) -> Words:
    return tuple([m.ParameterStatus(f"p{number}", "x" * size) for number in range(names)])


# What the server says to "Bind, Execute, Sync" of a statement that gives one int8.
EXTENDED: dict[str, Words] = {
    "a row before BindComplete": (ROW, *DONE),
    "a completion before BindComplete": (*DONE,),
    "two rows of different widths": (m.BindComplete(), ROW, m.DataRow((b"\0" * 8, b"\0" * 8)), *DONE),
    "a row wider than described": (m.BindComplete(), m.DataRow((b"\0" * 8, b"\0" * 8)), *DONE),
    "a row narrower than described": (m.BindComplete(), m.DataRow(()), *DONE),
    "a row after the completion": (
        m.BindComplete(),
        m.CommandComplete("SELECT 1"),
        ROW,
        m.ReadyForQuery("I"),
    ),
    "a row after an error": (m.BindComplete(), ERROR, ROW, m.ReadyForQuery("I")),
    "a completion after an error": (m.BindComplete(), ERROR, *DONE),
    "two completions": (m.BindComplete(), ROW, m.CommandComplete("SELECT 1"), *DONE),
    "no completion": (m.BindComplete(), ROW, m.ReadyForQuery("I")),
    "nothing but ready": (m.ReadyForQuery("I"),),
    "a surplus ready": (*GOOD, m.ReadyForQuery("I")),
    "a surplus answer": (*GOOD, *GOOD),
    "an error that nobody asked for": (*GOOD, ERROR),
    "ParseComplete without a Parse": (m.ParseComplete(), *GOOD),
    "CloseComplete without a Close": (m.BindComplete(), m.CloseComplete(), ROW, *DONE),
    "a description that nobody asked for": (m.BindComplete(), m.RowDescription((INT8,)), ROW, *DONE),
    "parameters described": (m.BindComplete(), m.ParameterDescription((20,)), ROW, *DONE),
    "rows broken off where no limit was set": (
        m.BindComplete(),
        ROW,
        m.PortalSuspended(),
        m.ReadyForQuery("I"),
    ),
    "CopyInResponse": (m.BindComplete(), m.CopyInResponse(0, ()), *DONE),
    "CopyOutResponse": (m.BindComplete(), m.CopyOutResponse(0, ()), *DONE),
    "CopyBothResponse": (m.BindComplete(), m.CopyBothResponse(0, ()), *DONE),
    "copy data": (m.BindComplete(), m.CopyData(b"1\n"), *DONE),
    "a function's result": (m.BindComplete(), m.FunctionCallResponse(b"1"), *DONE),
    "authentication in the midst of it": (m.AuthenticationOk(), *GOOD),
    "a request for a password": (m.AuthenticationCleartextPassword(), *GOOD),
    "another key": (m.BackendKeyData(1, b"\0" * 4), *GOOD),
    "version negotiation": (m.NegotiateProtocolVersion(0x30000, ()), *GOOD),
    "another encoding": (m.ParameterStatus("client_encoding", "LATIN1"), *GOOD),
    "backslashes in strings": (m.ParameterStatus("standard_conforming_strings", "off"), *GOOD),
    "too many parameters": (*_flood(300), *GOOD),
    "too much in parameters": (*_flood(10, 10_000), *GOOD),
    "an unknown status": (m.BindComplete(), ROW, m.CommandComplete("SELECT 1"), b"Z\0\0\0\5X"),
    "an unknown message": (b"!\0\0\0\4", *GOOD),
    "a negative length": (m.BindComplete(), _header(b"D", -1)),
    "a length without room for itself": (m.BindComplete(), _header(b"D", 3)),
    "a length of two gigabytes": (m.BindComplete(), _header(b"D", 2**31 - 1)),
    "a long ready": (m.BindComplete(), ROW, m.CommandComplete("SELECT 1"), _header(b"Z", 6) + b"II"),
    "a field beyond its row": (m.BindComplete(), _header(b"D", 10) + b"\0\1" + b"\0\0\0\x09", *DONE),
    "a field of a negative length": (
        m.BindComplete(),
        _header(b"D", 10) + b"\0\1" + b"\xff\xff\xff\xfe",
        *DONE,
    ),
    "bytes behind a row's fields": (
        m.BindComplete(),
        _header(b"D", 19) + b"\0\1\0\0\0\x08" + b"\0" * 9,
        *DONE,
    ),
    "a column count beyond the row": (m.BindComplete(), _header(b"D", 6) + b"\x7f\xff", *DONE),
}

# What the server says to a simple query.
SIMPLE: dict[str, Words] = {
    "a row without a description": (m.DataRow((b"7",)), *DONE),
    "a row unlike its description": (m.RowDescription((INT8,)), m.DataRow((b"7", b"7")), *DONE),
    "BindComplete": (m.BindComplete(), *DONE),
    "PortalSuspended": (m.RowDescription((INT8,)), m.DataRow((b"7",)), m.PortalSuspended(), *DONE),
    "nothing but ready": (m.ReadyForQuery("I"),),
    "a surplus ready": (*DONE, m.ReadyForQuery("I")),
    "a completion after an error": (ERROR, *DONE),
    "CopyDone without a copy": (m.CopyDone(), *DONE),
    "copy data without a copy": (m.CopyData(b"1"), *DONE),
    "CopyBothResponse": (m.CopyBothResponse(0, ()), *DONE),
    "authentication": (m.AuthenticationMD5Password(b"salt"), *DONE),
}

INTRODUCTION = (
    Expect(m.Parse),
    Expect(m.Describe),
    Expect(m.Flush),
    Say(m.ParseComplete(), m.ParameterDescription((20,)), m.RowDescription((INT8,))),
    Expect(m.Bind),
    Expect(m.Execute),
    Expect(m.Sync),
    Say(*GOOD),
)
KNOWN = (Expect(m.Bind), Expect(m.Execute), Expect(m.Sync))


def end_of(joined: Joined, requests: list[Request[Any]]) -> list[object]:
    """What became of everybody; nothing more may happen on this session."""
    machine = joined.machine
    assert isinstance(machine.failure, RemoteProtocolError)
    results = [outcome(request) for request in requests]
    told = Counter(id(waitable) for waitable in joined.stirred)
    assert all(told[id(request)] == 1 for request in requests)
    late = joined.submit(joined.core.fetchval("select 1", (), 0, None))
    assert isinstance(outcome(late), ConnectionLost)
    # The machine is deaf and dumb from now on.
    written = machine.written
    joined.hear(b"".join([message.encode() for message in GOOD]))
    assert machine.data_to_send() == b""
    assert machine.written == written
    assert machine.next_deadline() is None
    return results


# These come when the request's own answer is complete.
LATE = {"a surplus ready", "a surplus answer", "an error that nobody asked for"}


@pytest.mark.parametrize("lie", EXTENDED)
def test_lies_to_an_extended_query(lie: str) -> None:
    script = (*greeting(), *INTRODUCTION, *KNOWN, Lie(*EXTENDED[lie]))
    joined = Joined(ScriptedServer(*script))
    assert joined.fetchval("select $1", 1) == 7
    joined.stirred.clear()
    request = joined.submit(joined.core.fetchval("select $1", (2,), 0, 60.0))
    joined.settle()
    (result,) = end_of(joined, [request])
    if lie in LATE:
        assert result == 7
    else:
        assert isinstance(result, RemoteProtocolError)


@pytest.mark.parametrize("lie", [lie for lie in EXTENDED if lie not in LATE])
def test_others_hear_of_it_too(lie: str) -> None:
    script = (*greeting(), *INTRODUCTION, *KNOWN * 3, Lie(*EXTENDED[lie]))
    joined = Joined(ScriptedServer(*script), max_pipeline=3)
    assert joined.fetchval("select $1", 1) == 7
    joined.stirred.clear()
    requests = [joined.submit(joined.core.fetchval("select $1", (n,), 0, 60.0)) for n in range(5)]
    joined.settle()
    first, *others = end_of(joined, requests)
    assert isinstance(first, RemoteProtocolError)
    outcomes = [each.outcome for each in others if isinstance(each, ConnectionLost)]
    assert outcomes == ["unknown", "unknown", "not_sent", "not_sent"]


@pytest.mark.parametrize("lie", SIMPLE)
def test_lies_to_a_simple_query(lie: str) -> None:
    joined = Joined(ScriptedServer(*greeting(), Expect(m.Query), Lie(*SIMPLE[lie])))
    request = joined.submit(joined.core.simple_query("select 7", None))
    joined.settle()
    (result,) = end_of(joined, [request])
    if lie not in LATE:
        assert isinstance(result, RemoteProtocolError)


@pytest.mark.parametrize(
    "words",
    [
        (m.RowDescription((INT8,)),),
        (m.NoData(),),
        (m.ParameterDescription((20,)), m.ParameterDescription((20,))),
        (m.ParseComplete(), m.ParseComplete()),
        (m.ParseComplete(), m.ParameterDescription((20,)), m.BindComplete()),
        (m.ParseComplete(), m.ParameterDescription((20,)), ROW),
        (m.ParseComplete(), m.ParameterDescription((20,)), m.NoData(), ROW),
        (m.ParseComplete(), m.ParameterDescription((20,)), m.NoData(), m.ReadyForQuery("I")),
        (m.ReadyForQuery("I"),),
    ],
)
def test_lies_while_a_statement_is_introduced(words: Words) -> None:
    script = (*greeting(), Expect(m.Parse), Expect(m.Describe), Expect(m.Flush), Lie(*words))
    joined = Joined(ScriptedServer(*script, *KNOWN))
    requests = [joined.submit(joined.core.fetchval("select $1", (n,), 0, None)) for n in range(3)]
    joined.settle()
    results = end_of(joined, requests)
    assert isinstance(results[0], RemoteProtocolError)
    assert [each.outcome for each in results[1:] if isinstance(each, ConnectionLost)] == ["not_sent"] * 2


@pytest.mark.parametrize(
    "words", [(m.ReadyForQuery("I"),), (ERROR,), (ROW,), (m.CommandComplete("DO"),), (b"\0\0\0\0\0",)]
)
def test_lies_when_nothing_was_asked(words: Words) -> None:
    joined = Joined()
    assert joined.fetchval("echo $1", 7) == 7
    joined.hear(Lie(*words).encode())
    assert end_of(joined, []) == []


@pytest.mark.parametrize(
    "word", [m.CopyInResponse(0, ()), m.CopyOutResponse(0, ()), m.CopyBothResponse(0, ())]
)
def test_commands_of_the_library_itself_take_no_copy(word: Message) -> None:
    joined = Joined(ScriptedServer(*greeting(), Expect(m.Query), Lie(word)))
    scope = joined.core.transaction(None, False, False)
    joined.machine.submit(begin := scope.begin(), scope.lease)
    joined.settle()
    (result,) = end_of(joined, [begin])
    assert isinstance(result, RemoteProtocolError)


@pytest.mark.parametrize("word", [m.CopyInResponse(0, ()), m.CopyOutResponse(0, ()), m.PortalSuspended()])
def test_groups_take_no_copy_and_no_half_of_the_rows(word: Message) -> None:
    described = (
        Expect(m.Parse),
        Expect(m.Describe),
        Expect(m.Flush),
        Say(m.ParseComplete(), m.ParameterDescription((20,)), m.RowDescription((INT8,))),
        Expect(m.Bind),
    )
    tail = (Expect(m.Execute), Expect(m.Sync), Lie(m.BindComplete(), word))
    joined = Joined(ScriptedServer(*greeting(), *described, *tail))
    batch = joined.core.executemany("insert $1", None)
    joined.submit(batch)
    joined.settle()
    batch.add(joined.machine, [(1,)])
    batch.end(joined.machine)
    joined.stirred.clear()
    joined.settle()
    (result,) = end_of(joined, [batch])
    assert isinstance(result, RemoteProtocolError)
    joined = Joined(
        ScriptedServer(
            *greeting(),
            *described,
            Expect(m.Describe),
            Expect(m.Execute),
            Expect(m.Sync),
            Lie(m.BindComplete(), m.RowDescription((BINARY_INT8,)), word),
        )
    )
    results = [joined.core.later_fetch("select $1", (1,), None)]
    pipeline = joined.submit(joined.core.pipeline(results, None))
    joined.settle()
    (error,) = end_of(joined, [pipeline])
    assert isinstance(error, RemoteProtocolError)


def test_a_flood_of_remarks_is_harmless() -> None:
    notice = m.NoticeResponse({"S": "NOTICE", "C": "00000", "M": "x" * 1000}).encode() * 1000
    told = m.NotificationResponse(1, "channel", "x" * 1000).encode() * 1000
    joined = Joined()
    for _ in range(10):
        joined.hear(notice + told)
    assert joined.machine.take_callbacks() == []
    assert joined.fetchval("echo $1", 7) == 7
    heard: list[PostgresError] = []
    joined.core.add_notice_handler(heard.append)
    joined.hear(m.NoticeResponse({"S": "NOTICE", "C": "00000", "M": "hello"}).encode())
    for handler, argument in joined.machine.take_callbacks():
        handler(argument)
    assert [notice.message for notice in heard] == ["hello"]


def test_remarks_between_any_two_messages_change_nothing() -> None:
    aside = b"".join(
        [
            m.NoticeResponse({"S": "NOTICE", "C": "00000", "M": "aside"}).encode(),
            m.NotificationResponse(1, "channel", "aside").encode(),
            m.ParameterStatus("TimeZone", "UTC").encode(),
        ]
    )
    plain = Joined()
    plain.submit(plain.core.fetch("rows 3 7", (), tuple, None))
    plain.flush()
    introduction = plain.answer()
    plain.hear(introduction)
    plain.flush()
    answer = plain.answer()
    joined = Joined()
    request = joined.submit(joined.core.fetch("rows 3 7", (), tuple, None))
    joined.flush()
    joined.hear(_between(introduction, aside))
    joined.flush()
    joined.hear(_between(answer, aside))
    assert request.result() == [(7, 0), (7, 1), (7, 2)]
    assert joined.machine.is_idle


def _between(stream: bytes, aside: bytes) -> bytes:
    """The stream with something said between any two messages."""
    parts: list[bytes] = [aside]
    while stream:
        length = 1 + int.from_bytes(stream[1:5], "big")
        parts += [stream[:length], aside]
        stream = stream[length:]
    return b"".join(parts)


def test_a_result_may_have_a_limit() -> None:
    joined = Joined(max_result_bytes=1000)
    small = joined.submit(joined.core.fetch("rows 10 1", (), None, None))
    large = joined.submit(joined.core.fetch("rows 1000 1", (), None, None))
    after = joined.submit(joined.core.fetch("rows 1 1", (), None, None))
    joined.settle()
    assert len(small.result()) == 10
    assert isinstance(outcome(large), errors.ResultTooLarge)
    assert after.result() == [(1, 0)]


def test_text_that_is_no_text() -> None:
    text = m.FieldDescription("t", type_oid=25)
    script = (
        Expect(m.Query),
        Say(
            m.RowDescription((text,)),
            m.DataRow((b"\xff",)),
            m.CommandComplete("SELECT 1"),
            m.ReadyForQuery("I"),
        ),
    )
    joined = Joined(ScriptedServer(*greeting(), *script * 2))
    for _ in range(2):
        with pytest.raises(DataError, match="UTF-8"):
            joined.ask(joined.core.simple_query("select chr(255)", None))
    assert joined.machine.failure is None


def test_hanging_up_in_the_midst_of_an_answer() -> None:
    for length in range(1, len(ROW.encode())):
        script = (*greeting(), *INTRODUCTION, *KNOWN, Lie(m.BindComplete(), ROW.encode()[:length]), HangUp())
        joined = Joined(ScriptedServer(*script))
        joined.fetchval("select $1", 1)
        request = joined.submit(joined.core.fetchval("select $1", (2,), 0, None))
        joined.settle()
        error = outcome(request)
        assert isinstance(error, ConnectionLost)
        assert error.outcome == "unknown"
