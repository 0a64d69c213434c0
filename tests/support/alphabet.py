"""At least one well-formed message of each kind, by a label that can be read in a table.

Where the fields of a message matter to the state machine, there is one message for each case.
"""

from __future__ import annotations

from typing import Final

from pgproto import messages as m
from pgproto.messages import Message, Role

__all__ = ["ALPHABET", "CLIENT", "SERVER", "label"]

CLIENT: Final[dict[str, Message]] = {
    "Bind": m.Bind(),
    "CancelRequest": m.CancelRequest(1, b"1234"),
    "Close": m.Close("S", "s"),
    "CopyData": m.CopyData(b"1\n"),
    "CopyDone": m.CopyDone(),
    "CopyFail": m.CopyFail("enough"),
    "Describe portal": m.Describe("P"),
    "Describe statement": m.Describe("S"),
    "Execute": m.Execute(),
    "Flush": m.Flush(),
    "FunctionCall": m.FunctionCall(1),
    "GSSENCRequest": m.GSSENCRequest(),
    "GSSResponse": m.GSSResponse(b"token"),
    "Parse": m.Parse("", "select 1"),
    "PasswordMessage": m.PasswordMessage("secret"),
    "Query": m.Query("select 1"),
    "SASLInitialResponse OAUTHBEARER": m.SASLInitialResponse("OAUTHBEARER", b"n,,"),
    "SASLInitialResponse SCRAM": m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x"),
    "SASLResponse": m.SASLResponse(b"word"),
    "SSLRequest": m.SSLRequest(),
    "StartupMessage": m.StartupMessage({"user": "u"}),
    "Sync": m.Sync(),
    "Terminate": m.Terminate(),
}

_ERROR: Final = {"V": "ERROR", "C": "XX000", "M": "no"}

SERVER: Final[dict[str, Message]] = {
    "AuthenticationCleartextPassword": m.AuthenticationCleartextPassword(),
    "AuthenticationGSS": m.AuthenticationGSS(),
    "AuthenticationGSSContinue": m.AuthenticationGSSContinue(b"token"),
    "AuthenticationKerberosV5": m.AuthenticationKerberosV5(),
    "AuthenticationMD5Password": m.AuthenticationMD5Password(b"salt"),
    "AuthenticationOk": m.AuthenticationOk(),
    "AuthenticationSASL": m.AuthenticationSASL(("SCRAM-SHA-256",)),
    "AuthenticationSASLContinue": m.AuthenticationSASLContinue(b"r=x"),
    "AuthenticationSASLFinal": m.AuthenticationSASLFinal(b"v=y"),
    "AuthenticationSSPI": m.AuthenticationSSPI(),
    "BackendKeyData": m.BackendKeyData(1, b"1234"),
    "BackendKeyData of 32 bytes": m.BackendKeyData(1, bytes(32)),
    "BindComplete": m.BindComplete(),
    "CloseComplete": m.CloseComplete(),
    "CommandComplete": m.CommandComplete("SELECT 1"),
    "CopyBothResponse": m.CopyBothResponse(),
    "CopyData": m.CopyData(b"1\n"),
    "CopyDone": m.CopyDone(),
    "CopyInResponse": m.CopyInResponse(),
    "CopyOutResponse": m.CopyOutResponse(),
    "DataRow": m.DataRow((b"1",)),
    "DataRow of 2 columns": m.DataRow((b"1", None)),
    "EmptyQueryResponse": m.EmptyQueryResponse(),
    "EncryptionResponse G": m.EncryptionResponse(b"G"),
    "EncryptionResponse N": m.EncryptionResponse(b"N"),
    "EncryptionResponse S": m.EncryptionResponse(b"S"),
    "ErrorResponse": m.ErrorResponse(_ERROR),
    "ErrorResponse FATAL": m.ErrorResponse({**_ERROR, "V": "FATAL"}),
    "FunctionCallResponse": m.FunctionCallResponse(None),
    "NegotiateProtocolVersion": m.NegotiateProtocolVersion(m.PROTOCOL_3_0, ("_pq_.option",)),
    "NegotiateProtocolVersion 3.2": m.NegotiateProtocolVersion(m.PROTOCOL_3_2),
    "NoData": m.NoData(),
    "NoticeResponse": m.NoticeResponse({"V": "NOTICE", "C": "00000", "M": "hear"}),
    "NotificationResponse": m.NotificationResponse(1, "channel"),
    "ParameterDescription": m.ParameterDescription((23,)),
    "ParameterStatus": m.ParameterStatus("TimeZone", "UTC"),
    "ParseComplete": m.ParseComplete(),
    "PortalSuspended": m.PortalSuspended(),
    "ReadyForQuery": m.ReadyForQuery("I"),
    "RowDescription": m.RowDescription((m.FieldDescription("a"),)),
}

ALPHABET: Final = {Role.FRONTEND: CLIENT, Role.BACKEND: SERVER}


def label(message: Message) -> str:
    """The name under which a message is in the alphabet."""
    for word in (*CLIENT.items(), *SERVER.items()):
        if word[1] == message and type(word[1]) is type(message):
            return word[0]
    return type(message).__name__
