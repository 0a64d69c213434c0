"""Every message against bytes written by hand, and against a second reader that knows not the first."""

from __future__ import annotations

import struct

import pytest

from pgproto import messages as m
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message, Role, decode
from tests.support.golden import ALL, Case
from tests.support.mini_parser import flatten, parse, readings


def _by_name(case: Case) -> str:
    return f"{case.role.value}-{case.name}"


EACH = pytest.mark.parametrize("case", ALL, ids=_by_name)
TYPED = [case for case in ALL if case.message.tag]
EACH_TYPED = pytest.mark.parametrize("case", TYPED, ids=_by_name)
# A client's responses to authentication share a type; without a conversation, some cannot be told apart.
LOOKS_LIKE: dict[type[Message], type[Message]] = {m.GSSResponse: m.SASLResponse}


def check_reading(role: Role, data: bytes) -> bool:
    """Decode, and compare with what the second reader says; whether it was accepted."""
    possible = readings(role, data)
    try:
        message = decode(role, data)
    except RemoteProtocolError:
        assert possible == []
        return False
    name = type(message).__name__
    assert name in possible or isinstance(message, m.EncryptionResponse)
    assert message.encode() == data
    if not isinstance(message, m.EncryptionResponse):
        assert flatten(message) == parse(role, name, data)
    return True


def framed(case: Case, body: bytes) -> bytes:
    """Another body under the type of this case, with the right length."""
    return case.message.tag + struct.pack("!i", len(body) + 4) + body


@EACH
def test_encode(case: Case) -> None:
    assert case.message.encode() == case.wire


@EACH
def test_decode(case: Case) -> None:
    message = decode(case.role, case.wire)
    assert message == case.message
    assert type(message) is LOOKS_LIKE.get(type(case.message), type(case.message))
    assert check_reading(case.role, case.wire)


@EACH
def test_every_truncation_is_refused(case: Case) -> None:
    for length in range(len(case.wire)):
        part = case.wire[:length]
        if case.role is Role.BACKEND and part in (b"S", b"N", b"G"):
            continue  # an EncryptionResponse by itself
        with pytest.raises(RemoteProtocolError):
            decode(case.role, part)


@EACH
def test_a_trailing_byte_is_refused(case: Case) -> None:
    for byte in (b"\x00", b"\x01", b"x", b"\xff"):
        with pytest.raises(RemoteProtocolError):
            decode(case.role, case.wire + byte)


@EACH_TYPED
def test_a_wrong_length_is_refused(case: Case) -> None:
    right = len(case.wire) - 1
    for length in {0, 1, 2, 3, 4, -1, right - 1, right + 1, 2**31 - 1, -(2**31)} - {right}:
        data = case.wire[:1] + struct.pack("!i", length) + case.wire[5:]
        with pytest.raises(RemoteProtocolError):
            decode(case.role, data)


@EACH
def test_both_readers_agree_on_every_shorter_and_longer_body(case: Case) -> None:
    start = len(case.message.tag) + 4
    body = case.wire[start:]
    for length in range(len(body)):
        check_reading(case.role, framed(case, body[:length]))
    for more in (b"\x00", b"\xff", b"\x00\x00\x00\x00", b"x\x00"):
        check_reading(case.role, framed(case, body + more))


@EACH
def test_both_readers_agree_on_every_changed_byte(case: Case) -> None:
    for position in range(min(len(case.wire), 300)):
        original = case.wire[position]
        for value in {0, 1, 2, 3, 0x41, 0x7F, 0x80, 0xFE, 0xFF, original ^ 1, original ^ 0x80}:
            changed = bytearray(case.wire)
            changed[position] = value
            check_reading(case.role, bytes(changed))


# What cannot be said.

MANY = 65_536

UNSAYABLE: list[Message] = [
    m.Bind("a\0b"),
    m.Bind("", "a\0b"),
    m.Bind(parameter_formats=(2,)),
    m.Bind(parameter_formats=(0,) * MANY),
    m.Bind(parameters=(None,) * MANY),
    m.Bind(result_formats=(-1,)),
    m.CancelRequest(2**31, b"1234"),
    m.CancelRequest(1, b"123"),
    m.CancelRequest(1, bytes(257)),
    m.Close("X", "s"),
    m.Close("", "s"),
    m.Close("S", "x" * 9_995),
    m.CopyFail("\0"),
    m.CopyFail("x" * 9_996),
    m.Describe("X", "s"),
    m.Execute("", 2**31),
    m.Execute("", -(2**31) - 1),
    m.Execute("x" * 9_992),
    m.FunctionCall(-1),
    m.FunctionCall(2**32),
    m.FunctionCall(1, (), (), 2),
    m.Parse("\0", ""),
    m.Parse("", "\0"),
    m.Parse("", "", (-1,)),
    m.Parse("", "", (2**32,)),
    m.Parse("", "", (0,) * MANY),
    m.PasswordMessage("\0"),
    m.PasswordMessage("x" * 65_532),
    m.Query("select '\0'"),
    m.Query("\ud800"),
    m.SASLInitialResponse("\0"),
    m.SASLResponse(bytes(65_533)),
    m.StartupMessage({"user": "u"}, 0x0002_0000),
    m.StartupMessage({"": "u"}),
    m.StartupMessage({"user": "\0"}),
    m.StartupMessage({"user": "x" * 9_990}),
    m.AuthenticationMD5Password(b"abc"),
    m.AuthenticationMD5Password(b"abcde"),
    m.AuthenticationSASL(("",)),
    m.AuthenticationSASL(("X",) * 33),
    m.AuthenticationSASLContinue(bytes(65_529)),
    m.BackendKeyData(1, b"123"),
    m.BackendKeyData(1, bytes(257)),
    m.CommandComplete("x" * 1_020),
    m.CopyInResponse(2),
    m.CopyOutResponse(0, (2,)),
    m.CopyBothResponse(0, (0,) * MANY),
    m.DataRow((None,) * MANY),
    m.EncryptionResponse(b"X"),
    m.EncryptionResponse(b""),
    m.EncryptionResponse(b"SS"),
    m.ErrorResponse({"": "x"}),
    m.ErrorResponse({"MM": "x"}),
    m.ErrorResponse({"\0": "x"}),
    m.ErrorResponse({"\u0100": "x"}),
    m.ErrorResponse({"M": "x" * 4 * 1024 * 1024}),
    m.NegotiateProtocolVersion(-1),
    m.NegotiateProtocolVersion(m.PROTOCOL_3_0, ("x",) * 33),
    m.NotificationResponse(2**31, "c"),
    m.ParameterDescription((0,) * MANY),
    m.ParameterStatus("\0", ""),
    m.ReadyForQuery("X"),  # type: ignore[arg-type]  # what a type checker would have refused
    m.RowDescription((m.FieldDescription("a", attribute_number=2**15),)),
    m.RowDescription((m.FieldDescription("a", type_size=-(2**15) - 1),)),
    m.RowDescription((m.FieldDescription("a", type_modifier=2**31),)),
    m.RowDescription((m.FieldDescription("a", format=2),)),
    m.RowDescription((m.FieldDescription("a\0"),)),
]


@pytest.mark.parametrize("message", UNSAYABLE, ids=lambda message: type(message).__name__)
def test_what_cannot_be_represented(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        message.encode()


LARGEST: list[tuple[Message, int]] = [
    (m.Bind(parameters=(None,) * 65_535), 12 + 4 * 65_535),
    (m.Close("S", "x" * 9_994), 10_000),
    (m.CopyFail("x" * 9_995), 10_000),
    (m.Execute("x" * 9_991), 10_000),
    (m.PasswordMessage("x" * 65_531), 65_536),
    (m.CommandComplete("x" * 1_019), 1_024),
    (m.DataRow((None,) * 65_535), 6 + 4 * 65_535),
    (m.ParameterDescription((0,) * 65_535), 6 + 4 * 65_535),
    (m.CopyInResponse(0, (0,) * 65_535), 7 + 2 * 65_535),
]


@pytest.mark.parametrize(("message", "length"), LARGEST, ids=lambda value: type(value).__name__)
def test_the_largest_there_is(message: Message, length: int) -> None:
    role = Role.FRONTEND if isinstance(message, m.Bind | m.Close | m.CopyFail | m.Execute) else Role.BACKEND
    data = message.encode()
    assert len(data) == 1 + length
    if not isinstance(message, m.PasswordMessage):
        assert decode(role, data) == message


def test_the_longest_startup_message() -> None:
    """What PostgreSQL calls 10,000 bytes does not count the length itself."""
    message = m.StartupMessage({"user": "x" * 9_989})
    data = message.encode()
    assert len(data) == 10_004
    assert decode(Role.FRONTEND, data) == message
    with pytest.raises(RemoteProtocolError, match="8 to 10004"):
        decode(Role.FRONTEND, struct.pack("!i", 10_005) + data[4:] + b"\0")


# What cannot be heard.

UNHEARABLE: list[tuple[Role, bytes]] = [
    (Role.BACKEND, b""),
    (Role.FRONTEND, b""),
    (Role.BACKEND, b"X"),
    (Role.FRONTEND, b"S"),
    (Role.BACKEND, b"Q\x00\x00\x00\x05\x00"),
    (Role.FRONTEND, b"Z\x00\x00\x00\x05I"),
    (Role.BACKEND, b"R\x00\x00\x00\x08\x00\x00\x00\x01"),
    (Role.BACKEND, b"R\x00\x00\x00\x08\xff\xff\xff\xff"),
    (Role.BACKEND, b"E\x00\x00\x00\x0bMa\x00Mb\x00\x00"),
    (Role.BACKEND, b"v\x00\x00\x00\x0c\x00\x03\x00\x00\xff\xff\xff\xff"),
    (Role.BACKEND, b"v\x00\x00\x00\x0c\x00\x03\x00\x00\x7f\xff\xff\xff"),
    (Role.BACKEND, b"v\x00\x00\x00\x2d\x00\x03\x00\x00\x00\x00\x00\x21" + b"\x00" * 33),
    (Role.BACKEND, b"R\x00\x00\x00\x4b\x00\x00\x00\x0a" + b"a\x00" * 33 + b"\x00"),
    (Role.BACKEND, b"D\x00\x00\x00\x06\xff\xff"),
    (Role.BACKEND, b"D\x00\x00\x00\x0a\x00\x01\xff\xff\xff\xfe"),
    (Role.BACKEND, b"D\x00\x00\x00\x0a\x00\x01\x7f\xff\xff\xff"),
    (Role.FRONTEND, b"\x00\x00\x00\x08\x00\x02\x00\x00"),
    (Role.FRONTEND, b"\x00\x00\x00\x09\x04\xd2\x16\x2f\x00"),
    (Role.FRONTEND, b"\x00\x00\x00\x0f\x04\xd2\x16\x2e\x00\x00\x00\x01123"),
    (Role.FRONTEND, b"\x00\x00\x00\x13\x00\x03\x00\x00" + b"a\x00b\x00a\x00c\x00" + b"\x00\x00\x00"),
    (Role.FRONTEND, b"\x00\x00\x00\x11\x00\x03\x00\x00" + b"a\x00b\x00a\x00c\x00" + b"\x00"),
    (Role.FRONTEND, b"D\x00\x00\x00\x06X\x00"),
]


@pytest.mark.parametrize(("role", "data"), UNHEARABLE)
def test_what_cannot_be_understood(role: Role, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(role, data)
    if len(data) > 8:
        assert readings(role, data) in ([], ["AuthenticationSASL"])


RESPONSES: list[tuple[bytes, type[Message]]] = [
    (b"secret\x00", m.PasswordMessage),
    (b"\x00", m.PasswordMessage),
    (b"SCRAM-SHA-256\x00\x00\x00\x00\x03n,,", m.SASLInitialResponse),
    (b"EXTERNAL\x00\xff\xff\xff\xff", m.SASLInitialResponse),
    (b"EXTERNAL\x00\x00\x00\x00\x00", m.SASLInitialResponse),
    (b"", m.SASLResponse),
    (b"c=biws,r=x,p=y", m.SASLResponse),
    (b"\x00\x00\x00\x00\x00", m.SASLResponse),
    (b"X\x00\x00\x00\x00\x02a", m.SASLResponse),
    (b"X\x00\xff\xff\xff\xfb", m.SASLResponse),
    (b"X\x00\xff\xff\xff\xff\x00", m.SASLResponse),
    (b"X" * 65 + b"\x00\xff\xff\xff\xff", m.SASLResponse),
    (b"a\x00b\x00", m.SASLResponse),
]


@pytest.mark.parametrize(("body", "kind"), RESPONSES)
def test_the_likeliest_response_to_authentication(body: bytes, kind: type[Message]) -> None:
    data = b"p" + struct.pack("!i", 4 + len(body)) + body
    message = decode(Role.FRONTEND, data)
    assert type(message) is kind
    assert message.encode() == data


# What can be seen.

SECRET = "hunter2"
RAW = SECRET.encode()

SECRETIVE: list[Message] = [
    m.PasswordMessage(SECRET),
    m.SASLInitialResponse("SCRAM-SHA-256", RAW),
    m.SASLResponse(RAW),
    m.GSSResponse(RAW),
    m.CancelRequest(1, RAW),
    m.BackendKeyData(1, RAW),
]


@pytest.mark.parametrize("message", SECRETIVE, ids=lambda message: type(message).__name__)
def test_secrets_do_not_show(message: Message) -> None:
    for text in (repr(message), str(message), f"{message}", repr([message]), repr({1: message})):
        assert SECRET not in text
        assert RAW.hex() not in text
        assert type(message).__name__ in text


@EACH
def test_what_is_not_secret_shows(case: Case) -> None:
    message = case.message
    assert repr(message).startswith(type(message).__name__ + "(")


@EACH
def test_messages_are_compared_by_value(case: Case) -> None:
    again = decode(case.role, case.wire)
    assert again == case.message
    assert again != m.Query("something else")
    assert case.message != object()
    for other in ALL:
        if other.wire != case.wire and type(other.message) is type(case.message):
            assert other.message != case.message


def test_tokens_are_equal_under_both_names() -> None:
    assert m.SASLResponse(b"x") == m.GSSResponse(b"x")
    assert hash(m.SASLResponse(b"x")) == hash(m.GSSResponse(b"x"))
    assert m.SASLResponse(b"x") != m.SASLResponse(b"y")
    assert m.SASLResponse(b"x") != b"x"


def test_any_sequence_makes_a_tuple() -> None:
    """A message does not change when the list it was made of does."""
    formats, values, oids = [1], [b"x", None], [23]
    bind = m.Bind("", "", formats, values, formats)  # type: ignore[arg-type]  # lists are welcome as well
    parse_ = m.Parse("", "", oids)  # type: ignore[arg-type]  # lists are welcome as well
    fields = {"user": "u", "M": "m"}
    error = m.ErrorResponse(fields)
    formats.append(2)
    values.append(None)
    oids.append(1)
    fields["M"] = "changed"
    assert bind == m.Bind("", "", (1,), (b"x", None), (1,))
    assert parse_.parameter_types == (23,)
    assert error.message == "m"


def test_the_severity_is_the_untranslated_one_where_there_is_one() -> None:
    report = {"S": "FATAL", "C": "57P01", "M": "text"}
    assert m.ErrorResponse({**report, "S": "KATASTROPHAL", "V": "FATAL"}).fatal
    assert m.ErrorResponse({**report, "S": "KATASTROPHAL", "V": "PANIC"}).fatal
    assert m.ErrorResponse(report).fatal
    assert not m.ErrorResponse({**report, "V": "ERROR"}).fatal
    assert not m.ErrorResponse({}).fatal
    notice = m.NoticeResponse(report)
    assert (notice.severity, notice.sqlstate, notice.message) == ("FATAL", "57P01", "text")
    empty = m.NoticeResponse({})
    assert (empty.severity, empty.sqlstate, empty.message) == (None, None, None)


def test_what_accepts_encryption() -> None:
    assert [m.EncryptionResponse(reply).accepted for reply in (b"S", b"G", b"N")] == [True, True, False]


def test_the_roles_are_each_others_peers() -> None:
    assert Role.FRONTEND.peer is Role.BACKEND
    assert Role.BACKEND.peer is Role.FRONTEND
