"""Each message of PostgreSQL's chapter "Message Formats", with its bytes written by hand from that text.

Nothing here was made by the code under test. One line of bytes is one field, or one list.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pgproto import messages as m
from pgproto.messages import Message, Role

__all__ = ["ALL", "BACKEND", "FRONTEND", "Case"]


class Case(NamedTuple):
    """A message, who sends it, and its bytes."""

    role: Role
    message: Message
    wire: bytes

    @property
    def name(self) -> str:
        """The name of the message."""
        return type(self.message).__name__


def _client(message: Message, *fields: bytes) -> Case:
    return Case(Role.FRONTEND, message, b"".join(fields))


def _server(message: Message, *fields: bytes) -> Case:
    return Case(Role.BACKEND, message, b"".join(fields))


FRONTEND: Final = (
    _client(
        m.Bind("po", "st", (0, 1), (b"ab", None, b""), (1,)),
        b"B\x00\x00\x00\x24",
        b"po\x00",
        b"st\x00",
        b"\x00\x02\x00\x00\x00\x01",
        b"\x00\x03\x00\x00\x00\x02ab\xff\xff\xff\xff\x00\x00\x00\x00",
        b"\x00\x01\x00\x01",
    ),
    _client(m.Bind(), b"B\x00\x00\x00\x0c", b"\x00", b"\x00", b"\x00\x00", b"\x00\x00", b"\x00\x00"),
    _client(
        m.CancelRequest(258, b"\x01\x02\x03\x04"),
        b"\x00\x00\x00\x10",
        b"\x04\xd2\x16\x2e",  # 1234 and 5678
        b"\x00\x00\x01\x02",
        b"\x01\x02\x03\x04",
    ),
    _client(m.Close("S", "s1"), b"C\x00\x00\x00\x08", b"S", b"s1\x00"),
    _client(m.Close("P"), b"C\x00\x00\x00\x06", b"P", b"\x00"),
    _client(m.CopyData(b"1\t2\n"), b"d\x00\x00\x00\x08", b"1\t2\n"),
    _client(m.CopyDone(), b"c\x00\x00\x00\x04"),
    _client(m.CopyFail("no"), b"f\x00\x00\x00\x07", b"no\x00"),
    _client(m.Describe("S", "s1"), b"D\x00\x00\x00\x08", b"S", b"s1\x00"),
    _client(m.Describe("P", ""), b"D\x00\x00\x00\x06", b"P", b"\x00"),
    _client(m.Execute("po", 7), b"E\x00\x00\x00\x0b", b"po\x00", b"\x00\x00\x00\x07"),
    _client(m.Execute(), b"E\x00\x00\x00\x09", b"\x00", b"\x00\x00\x00\x00"),
    _client(m.Flush(), b"H\x00\x00\x00\x04"),
    _client(
        m.FunctionCall(4294967295, (1,), (b"\x07", None), 1),
        b"F\x00\x00\x00\x19",
        b"\xff\xff\xff\xff",
        b"\x00\x01\x00\x01",
        b"\x00\x02\x00\x00\x00\x01\x07\xff\xff\xff\xff",
        b"\x00\x01",
    ),
    _client(m.GSSENCRequest(), b"\x00\x00\x00\x08", b"\x04\xd2\x16\x30"),  # 1234 and 5680
    _client(m.GSSResponse(b"token"), b"p\x00\x00\x00\x09", b"token"),
    _client(
        m.Parse("st", "select $1", (23, 0)),
        b"P\x00\x00\x00\x1b",
        b"st\x00",
        b"select $1\x00",
        b"\x00\x02\x00\x00\x00\x17\x00\x00\x00\x00",
    ),
    _client(m.Parse("", ""), b"P\x00\x00\x00\x08", b"\x00", b"\x00", b"\x00\x00"),
    _client(m.PasswordMessage("hunter2"), b"p\x00\x00\x00\x0c", b"hunter2\x00"),
    _client(m.Query("select 'ä'"), b"Q\x00\x00\x00\x10", b"select '\xc3\xa4'\x00"),
    _client(
        m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x"),
        b"p\x00\x00\x00\x1f",
        b"SCRAM-SHA-256\x00",
        b"\x00\x00\x00\x09n,,n=,r=x",
    ),
    _client(m.SASLInitialResponse("EXTERNAL"), b"p\x00\x00\x00\x11", b"EXTERNAL\x00", b"\xff\xff\xff\xff"),
    _client(m.SASLResponse(b"c=biws"), b"p\x00\x00\x00\x0a", b"c=biws"),
    _client(m.SSLRequest(), b"\x00\x00\x00\x08", b"\x04\xd2\x16\x2f"),  # 1234 and 5679
    _client(
        m.StartupMessage({"user": "al", "database": "db"}, m.PROTOCOL_3_2),
        b"\x00\x00\x00\x1d",
        b"\x00\x03\x00\x02",
        b"user\x00al\x00",
        b"database\x00db\x00",
        b"\x00",
    ),
    _client(
        m.StartupMessage({"user": ""}), b"\x00\x00\x00\x0f", b"\x00\x03\x00\x00", b"user\x00\x00", b"\x00"
    ),
    _client(m.Sync(), b"S\x00\x00\x00\x04"),
    _client(m.Terminate(), b"X\x00\x00\x00\x04"),
)

BACKEND: Final = (
    _server(m.AuthenticationOk(), b"R\x00\x00\x00\x08", b"\x00\x00\x00\x00"),
    _server(m.AuthenticationKerberosV5(), b"R\x00\x00\x00\x08", b"\x00\x00\x00\x02"),
    _server(m.AuthenticationCleartextPassword(), b"R\x00\x00\x00\x08", b"\x00\x00\x00\x03"),
    _server(m.AuthenticationMD5Password(b"salt"), b"R\x00\x00\x00\x0c", b"\x00\x00\x00\x05", b"salt"),
    _server(m.AuthenticationGSS(), b"R\x00\x00\x00\x08", b"\x00\x00\x00\x07"),
    _server(m.AuthenticationGSSContinue(b"token"), b"R\x00\x00\x00\x0d", b"\x00\x00\x00\x08", b"token"),
    _server(m.AuthenticationSSPI(), b"R\x00\x00\x00\x08", b"\x00\x00\x00\x09"),
    _server(
        m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
        b"R\x00\x00\x00\x2a",
        b"\x00\x00\x00\x0a",
        b"SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00",
    ),
    _server(m.AuthenticationSASLContinue(b"r=x"), b"R\x00\x00\x00\x0b", b"\x00\x00\x00\x0b", b"r=x"),
    _server(m.AuthenticationSASLFinal(b"v=y"), b"R\x00\x00\x00\x0b", b"\x00\x00\x00\x0c", b"v=y"),
    _server(
        m.BackendKeyData(4711, b"\x00\x01\x02\x03"),
        b"K\x00\x00\x00\x0c",
        b"\x00\x00\x12\x67",
        b"\x00\x01\x02\x03",
    ),
    _server(m.BackendKeyData(-2, b"k" * 256), b"K\x00\x00\x01\x08", b"\xff\xff\xff\xfe", b"k" * 256),
    _server(m.BindComplete(), b"2\x00\x00\x00\x04"),
    _server(m.CloseComplete(), b"3\x00\x00\x00\x04"),
    _server(m.CommandComplete("SELECT 1"), b"C\x00\x00\x00\x0d", b"SELECT 1\x00"),
    _server(m.CopyData(b""), b"d\x00\x00\x00\x04"),
    _server(m.CopyDone(), b"c\x00\x00\x00\x04"),
    _server(m.CopyInResponse(0, (0, 0)), b"G\x00\x00\x00\x0b", b"\x00", b"\x00\x02\x00\x00\x00\x00"),
    _server(m.CopyOutResponse(1, (1,)), b"H\x00\x00\x00\x09", b"\x01", b"\x00\x01\x00\x01"),
    _server(m.CopyBothResponse(), b"W\x00\x00\x00\x07", b"\x00", b"\x00\x00"),
    _server(
        m.DataRow((b"1", None, b"")),
        b"D\x00\x00\x00\x13",
        b"\x00\x03\x00\x00\x00\x011\xff\xff\xff\xff\x00\x00\x00\x00",
    ),
    _server(m.DataRow(()), b"D\x00\x00\x00\x06", b"\x00\x00"),
    _server(m.EmptyQueryResponse(), b"I\x00\x00\x00\x04"),
    _server(m.EncryptionResponse(b"S"), b"S"),
    _server(m.EncryptionResponse(b"G"), b"G"),
    _server(m.EncryptionResponse(b"N"), b"N"),
    _server(
        m.ErrorResponse({"S": "ERROR", "V": "ERROR", "C": "42601", "M": "no"}),
        b"E\x00\x00\x00\x1e",
        b"SERROR\x00VERROR\x00C42601\x00Mno\x00\x00",
    ),
    _server(m.ErrorResponse({}), b"E\x00\x00\x00\x05", b"\x00"),
    _server(m.FunctionCallResponse(b"\x00\x07"), b"V\x00\x00\x00\x0a", b"\x00\x00\x00\x02\x00\x07"),
    _server(m.FunctionCallResponse(None), b"V\x00\x00\x00\x08", b"\xff\xff\xff\xff"),
    _server(
        m.NegotiateProtocolVersion(m.PROTOCOL_3_0, ("_pq_.a", "_pq_.b")),
        b"v\x00\x00\x00\x1a",
        b"\x00\x03\x00\x00",
        b"\x00\x00\x00\x02_pq_.a\x00_pq_.b\x00",
    ),
    _server(m.NoData(), b"n\x00\x00\x00\x04"),
    _server(m.NoticeResponse({"S": "NOTICE", "M": "hi"}), b"N\x00\x00\x00\x11", b"SNOTICE\x00Mhi\x00\x00"),
    _server(
        m.NotificationResponse(17, "chan", "load"),
        b"A\x00\x00\x00\x12",
        b"\x00\x00\x00\x11",
        b"chan\x00",
        b"load\x00",
    ),
    _server(
        m.ParameterDescription((23, 4294967295)),
        b"t\x00\x00\x00\x0e",
        b"\x00\x02\x00\x00\x00\x17\xff\xff\xff\xff",
    ),
    _server(m.ParameterStatus("TimeZone", "UTC"), b"S\x00\x00\x00\x11", b"TimeZone\x00", b"UTC\x00"),
    _server(m.ParseComplete(), b"1\x00\x00\x00\x04"),
    _server(m.PortalSuspended(), b"s\x00\x00\x00\x04"),
    _server(m.ReadyForQuery("I"), b"Z\x00\x00\x00\x05", b"I"),
    _server(m.ReadyForQuery("T"), b"Z\x00\x00\x00\x05", b"T"),
    _server(m.ReadyForQuery("E"), b"Z\x00\x00\x00\x05", b"E"),
    _server(
        m.RowDescription(
            (
                m.FieldDescription("id", 16384, 1, 23, 4, -1, 1),
                m.FieldDescription("", 0, -2, 4294967295, -1, 2147483647, 0),
            )
        ),
        b"T\x00\x00\x00\x2e",
        b"\x00\x02",
        b"id\x00\x00\x00\x40\x00\x00\x01\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x01",
        b"\x00\x00\x00\x00\x00\xff\xfe\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\x00\x00",
    ),
    _server(m.RowDescription(()), b"T\x00\x00\x00\x06", b"\x00\x00"),
)

ALL: Final = FRONTEND + BACKEND
