"""Messages with anything in them: what is encoded is decoded, and what is decoded was encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto import messages as m
from pgproto._wire import Reader
from pgproto.errors import RemoteProtocolError
from pgproto.messages import Message, Role, decode
from tests.support.golden import ALL
from tests.support.mini_parser import flatten, parse, readings
from tests.support.strategies import MESSAGES, messages, mutations

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
RESPONSES = (m.PasswordMessage, m.SASLInitialResponse, m.SASLResponse, m.GSSResponse)


def test_no_kind_of_message_is_left_out() -> None:
    assert {kind for kinds in MESSAGES.values() for kind in kinds} == {type(case.message) for case in ALL}


@pytest.mark.parametrize(
    ("role", "kind"),
    [(role, kind) for role in Role for kind in MESSAGES[role]],
    ids=lambda value: getattr(value, "__name__", ""),
)
@given(st.data())
def test_what_is_encoded_is_decoded(role: Role, kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(MESSAGES[role][kind])
    wire = message.encode()
    again = decode(role, wire)
    if isinstance(message, RESPONSES):
        # What was asked before tells them apart; without that, the bytes are kept.
        assert again.encode() == wire
        reader = Reader(wire, 5)
        again = kind.read_body(reader)
        reader.finish()
    assert again == message
    assert type(again) is kind
    if kind is not m.EncryptionResponse:
        # The second reader finds the same fields, and the length that is claimed is the true one.
        assert parse(role, kind.__name__, wire) == flatten(message)


@ROLES
@given(st.data())
def test_what_is_decoded_is_encoded_to_the_same_bytes(role: Role, data: st.DataObject) -> None:
    """There is one way to say each thing, and both readers agree on which bytes say nothing."""
    wire = data.draw(messages(role).map(lambda message: message.encode()).flatmap(mutations))
    possible = readings(role, wire)
    try:
        message = decode(role, wire)
    except RemoteProtocolError:
        assert possible == []
        return
    assert message.encode() == wire
    if not isinstance(message, m.EncryptionResponse):
        assert parse(role, type(message).__name__, wire) == flatten(message)


@ROLES
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(role: Role, wire: bytes) -> None:
    try:
        message = decode(role, wire)
    except RemoteProtocolError:
        assert readings(role, wire) == []
    else:
        assert message.encode() == wire


@ROLES
@given(st.data())
def test_a_stream_of_messages_falls_apart_as_it_was_put_together(role: Role, data: st.DataObject) -> None:
    """Each message is as long as it says: nothing of the next one is touched."""
    said = data.draw(st.lists(messages(role).filter(lambda message: message.tag != b""), max_size=6))
    wire = b"".join([message.encode() for message in said])
    for message in said:
        length = 1 + int.from_bytes(wire[1:5], "big")
        assert wire[:length] == message.encode()
        wire = wire[length:]
    assert wire == b""
