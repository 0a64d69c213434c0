"""The scripted server of `pgproto.testing`, spoken to message by message."""

from __future__ import annotations

import pytest

from pgproto import errors
from pgproto import messages as m
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
    Wait,
    greeting,
)
from tests.core.testing.clients import Client, names

__all__: list[str] = []


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
