"""The rules of the conversation, as two tables.

**The session table** tells the story of a connection. A client may first ask for encryption; the
server answers with one byte, and either the handshake follows or the client goes on in the clear.
Then it sends its StartupMessage, and the server asks for a password, a SASL exchange, a GSSAPI
exchange, or nothing. SCRAM has a path of its own, on which there is no AuthenticationOk before the
server has proved that it knows the secret too. After AuthenticationOk come the key for cancel
requests and the first ReadyForQuery; from then on the session is *ready* until one side ends it.

**The reply table** takes over there. A client may have any number of requests under way, so there is
no "busy" state: each message that will be answered puts a *step* into a queue, and each answer moves
the head of that queue, by this table, to its next step or out of the queue. Extended-query messages
have short lives (Parse is done with ParseComplete); a simple query goes on until ReadyForQuery.

Three things stand outside the tables because they are the same everywhere:

- NoticeResponse, ParameterStatus and NotificationResponse may come between any two messages and
  belong to no request.
- ErrorResponse ends what the head of the queue was doing. For a simple query and a Sync, only
  ReadyForQuery is left to come. For an extended-query message, the server ignores all that follows up
  to the next Sync, so the queue is cleared up to there, and if no Sync has been sent yet, what is sent
  before it will not be answered. An error of severity FATAL or PANIC ends the session.
- While the server reads copy data, it ignores Sync, so a Sync that was sent before the client knew of the
  copy is never answered. Once it knows, a client sends none: should the copy have failed in the meantime,
  nobody could tell whether that Sync will be answered.

The same tables serve both roles: a client receives what a server sends. PostgreSQL documentation:
chapter "Message Flow".
"""

from __future__ import annotations

import enum
from typing import Final

from pgproto import messages as m

__all__ = [
    "ASYNCHRONOUS",
    "AUTHENTICATING",
    "COPY_INPUT",
    "ERRORS",
    "REPLIES",
    "REQUESTS",
    "SESSION",
    "Phase",
    "Step",
]


class Phase(enum.Enum):
    """Where a session stands."""

    START = "nothing has been said"
    SSL_ASKED = "SSLRequest was sent, its one-byte answer is awaited"
    GSSENC_ASKED = "GSSENCRequest was sent, its one-byte answer is awaited"
    ENCRYPTED = "encryption was agreed on, the StartupMessage follows the handshake"
    STARTED = "StartupMessage was sent, the server chooses how to authenticate"
    NEGOTIATED = "the server has said which protocol version it speaks, and now chooses how to authenticate"
    PASSWORD_ASKED = "the server waits for a PasswordMessage"
    PASSWORD_GIVEN = "the server checks the password"
    SASL_ASKED = "the server waits for a SASLInitialResponse"
    SCRAM_STARTED = "the server owes its SCRAM challenge"
    SCRAM_CHALLENGED = "the server waits for the SCRAM proof"
    SCRAM_PROVED = "the server owes its own proof"
    SCRAM_VERIFIED = "both have proved that they know the secret"
    SASL_STARTED = "the server considers the client's SASL response"
    SASL_CHALLENGED = "the server waits for a SASLResponse"
    SASL_FINISHED = "the server has said its last word in the SASL exchange"
    GSS_ASKED = "the server waits for a GSSResponse"
    GSS_GIVEN = "the server considers the client's GSSAPI token"
    GSS_CONTINUED = "the server has sent its GSSAPI token, and waits for another or is content"
    AUTHENTICATED = "the server starts the session"
    KEYED = "the server starts the session, its key for cancel requests has come"
    READY = "the session is ready"
    CANCELING = "CancelRequest was sent, nothing but the end follows"
    CLOSING = "Terminate or a fatal error was sent, nothing but the end follows"
    CLOSED = "the connection is closed"
    FAILED = "one side has broken the rules"


_METHODS: Final[dict[type[m.Message], Phase]] = {
    m.AuthenticationOk: Phase.AUTHENTICATED,
    m.AuthenticationCleartextPassword: Phase.PASSWORD_ASKED,
    m.AuthenticationMD5Password: Phase.PASSWORD_ASKED,
    m.AuthenticationSASL: Phase.SASL_ASKED,
    m.AuthenticationGSS: Phase.GSS_ASKED,
    m.AuthenticationSSPI: Phase.GSS_ASKED,
    # Nothing can follow this legacy; the client can only hang up.
    m.AuthenticationKerberosV5: Phase.CLOSING,
}

SESSION: Final[dict[Phase, dict[type[m.Message], Phase]]] = {
    Phase.START: {
        m.SSLRequest: Phase.SSL_ASKED,
        m.GSSENCRequest: Phase.GSSENC_ASKED,
        m.CancelRequest: Phase.CANCELING,
        m.StartupMessage: Phase.STARTED,
    },
    # EncryptionResponse leads to ENCRYPTED if accepted, and back to START otherwise.
    Phase.SSL_ASKED: {m.EncryptionResponse: Phase.ENCRYPTED},
    Phase.GSSENC_ASKED: {m.EncryptionResponse: Phase.ENCRYPTED},
    Phase.ENCRYPTED: {m.CancelRequest: Phase.CANCELING, m.StartupMessage: Phase.STARTED},
    Phase.STARTED: {m.NegotiateProtocolVersion: Phase.NEGOTIATED, **_METHODS},
    Phase.NEGOTIATED: _METHODS,
    Phase.PASSWORD_ASKED: {m.PasswordMessage: Phase.PASSWORD_GIVEN},
    Phase.PASSWORD_GIVEN: {m.AuthenticationOk: Phase.AUTHENTICATED},
    # SASLInitialResponse leads to SCRAM_STARTED for the SCRAM mechanisms.
    Phase.SASL_ASKED: {m.SASLInitialResponse: Phase.SASL_STARTED},
    Phase.SCRAM_STARTED: {m.AuthenticationSASLContinue: Phase.SCRAM_CHALLENGED},
    Phase.SCRAM_CHALLENGED: {m.SASLResponse: Phase.SCRAM_PROVED},
    Phase.SCRAM_PROVED: {m.AuthenticationSASLFinal: Phase.SCRAM_VERIFIED},
    Phase.SCRAM_VERIFIED: {m.AuthenticationOk: Phase.AUTHENTICATED},
    Phase.SASL_STARTED: {
        m.AuthenticationSASLContinue: Phase.SASL_CHALLENGED,
        m.AuthenticationSASLFinal: Phase.SASL_FINISHED,
        m.AuthenticationOk: Phase.AUTHENTICATED,
    },
    Phase.SASL_CHALLENGED: {m.SASLResponse: Phase.SASL_STARTED},
    Phase.SASL_FINISHED: {m.AuthenticationOk: Phase.AUTHENTICATED},
    Phase.GSS_ASKED: {m.GSSResponse: Phase.GSS_GIVEN},
    Phase.GSS_GIVEN: {
        m.AuthenticationGSSContinue: Phase.GSS_CONTINUED,
        m.AuthenticationOk: Phase.AUTHENTICATED,
    },
    # The server's last token needs no answer: mutual authentication ends with it.
    Phase.GSS_CONTINUED: {m.GSSResponse: Phase.GSS_GIVEN, m.AuthenticationOk: Phase.AUTHENTICATED},
    Phase.AUTHENTICATED: {m.BackendKeyData: Phase.KEYED, m.ReadyForQuery: Phase.READY},
    Phase.KEYED: {m.ReadyForQuery: Phase.READY},
    Phase.READY: {m.Terminate: Phase.CLOSING},
    Phase.CANCELING: {},
    Phase.CLOSING: {},
    Phase.CLOSED: {},
    Phase.FAILED: {},
}

AUTHENTICATING: Final = frozenset(
    {
        Phase.STARTED,
        Phase.NEGOTIATED,
        Phase.PASSWORD_ASKED,
        Phase.PASSWORD_GIVEN,
        Phase.SASL_ASKED,
        Phase.SCRAM_STARTED,
        Phase.SCRAM_CHALLENGED,
        Phase.SCRAM_PROVED,
        Phase.SCRAM_VERIFIED,
        Phase.SASL_STARTED,
        Phase.SASL_CHALLENGED,
        Phase.SASL_FINISHED,
        Phase.GSS_ASKED,
        Phase.GSS_GIVEN,
        Phase.GSS_CONTINUED,
    }
)
"""The phases in which the client does not know yet whom it talks to."""

_STARTING: Final = frozenset({Phase.AUTHENTICATED, Phase.KEYED})

ASYNCHRONOUS: Final[dict[type[m.Message], frozenset[Phase]]] = {
    m.NoticeResponse: AUTHENTICATING | _STARTING | {Phase.READY},
    m.ParameterStatus: _STARTING | {Phase.READY},
    m.NotificationResponse: frozenset({Phase.READY}),
}
"""What a server may say unasked, and when."""


class Step(enum.IntEnum):
    """How far the reply to one request has come."""

    DONE = 0
    PARSE = enum.auto()
    BIND = enum.auto()
    CLOSE = enum.auto()
    DESCRIBE_STATEMENT = enum.auto()
    DESCRIBE_PORTAL = enum.auto()
    EXECUTE = enum.auto()
    EXECUTE_ROWS = enum.auto()
    EXECUTE_COPY_IN = enum.auto()
    EXECUTE_COPY_OUT = enum.auto()
    EXECUTE_COPY_ENDED = enum.auto()
    EXECUTE_COPY_FAILED = enum.auto()
    SYNC = enum.auto()
    QUERY = enum.auto()
    QUERY_NEXT = enum.auto()
    QUERY_ROWS = enum.auto()
    QUERY_COPY_IN = enum.auto()
    QUERY_COPY_OUT = enum.auto()
    QUERY_COPY_ENDED = enum.auto()
    QUERY_COPY_FAILED = enum.auto()
    QUERY_COPY_BOTH = enum.auto()
    QUERY_COPY_FRONTEND_ENDED = enum.auto()
    QUERY_COPY_BACKEND_ENDED = enum.auto()
    QUERY_COPY_BOTH_FAILED = enum.auto()
    FUNCTION_CALL = enum.auto()
    FUNCTION_CALL_ENDED = enum.auto()
    READY_NEXT = enum.auto()


REQUESTS: Final[dict[type[m.Message], Step]] = {
    m.Parse: Step.PARSE,
    m.Bind: Step.BIND,
    m.Close: Step.CLOSE,
    # Describe of a statement begins at DESCRIBE_STATEMENT, of a portal at DESCRIBE_PORTAL.
    m.Describe: Step.DESCRIBE_STATEMENT,
    m.Execute: Step.EXECUTE,
    m.Sync: Step.SYNC,
    m.Query: Step.QUERY,
    m.FunctionCall: Step.FUNCTION_CALL,
    # Flush is not answered.
    m.Flush: Step.DONE,
}
"""The first step of the reply to each of a client's messages in a ready session."""

_QUERY_REPLIES: Final[dict[type[m.Message], Step]] = {
    m.RowDescription: Step.QUERY_ROWS,
    m.CommandComplete: Step.QUERY_NEXT,
    m.EmptyQueryResponse: Step.READY_NEXT,
    m.CopyInResponse: Step.QUERY_COPY_IN,
    m.CopyOutResponse: Step.QUERY_COPY_OUT,
    m.CopyBothResponse: Step.QUERY_COPY_BOTH,
}

REPLIES: Final[dict[Step, dict[type[m.Message], Step]]] = {
    Step.DONE: {},
    Step.PARSE: {m.ParseComplete: Step.DONE},
    Step.BIND: {m.BindComplete: Step.DONE},
    Step.CLOSE: {m.CloseComplete: Step.DONE},
    Step.DESCRIBE_STATEMENT: {m.ParameterDescription: Step.DESCRIBE_PORTAL},
    Step.DESCRIBE_PORTAL: {m.RowDescription: Step.DONE, m.NoData: Step.DONE},
    Step.EXECUTE: {
        m.DataRow: Step.EXECUTE_ROWS,
        m.CommandComplete: Step.DONE,
        m.EmptyQueryResponse: Step.DONE,
        m.PortalSuspended: Step.DONE,
        m.CopyInResponse: Step.EXECUTE_COPY_IN,
        m.CopyOutResponse: Step.EXECUTE_COPY_OUT,
    },
    Step.EXECUTE_ROWS: {
        m.DataRow: Step.EXECUTE_ROWS,
        m.CommandComplete: Step.DONE,
        m.PortalSuspended: Step.DONE,
    },
    Step.EXECUTE_COPY_IN: {},
    Step.EXECUTE_COPY_OUT: {m.CopyData: Step.EXECUTE_COPY_OUT, m.CopyDone: Step.EXECUTE_COPY_ENDED},
    Step.EXECUTE_COPY_ENDED: {m.CommandComplete: Step.DONE},
    Step.EXECUTE_COPY_FAILED: {},
    Step.SYNC: {m.ReadyForQuery: Step.DONE},
    Step.QUERY: _QUERY_REPLIES,
    Step.QUERY_NEXT: {**_QUERY_REPLIES, m.ReadyForQuery: Step.DONE},
    Step.QUERY_ROWS: {m.DataRow: Step.QUERY_ROWS, m.CommandComplete: Step.QUERY_NEXT},
    Step.QUERY_COPY_IN: {},
    Step.QUERY_COPY_OUT: {m.CopyData: Step.QUERY_COPY_OUT, m.CopyDone: Step.QUERY_COPY_ENDED},
    Step.QUERY_COPY_ENDED: {m.CommandComplete: Step.QUERY_NEXT},
    Step.QUERY_COPY_FAILED: {},
    Step.QUERY_COPY_BOTH: {m.CopyData: Step.QUERY_COPY_BOTH, m.CopyDone: Step.QUERY_COPY_BACKEND_ENDED},
    Step.QUERY_COPY_FRONTEND_ENDED: {m.CopyData: Step.QUERY_COPY_FRONTEND_ENDED, m.CopyDone: Step.QUERY},
    Step.QUERY_COPY_BACKEND_ENDED: {},
    # What the server sends until it sees the client's CopyFail is still on its way.
    Step.QUERY_COPY_BOTH_FAILED: {
        m.CopyData: Step.QUERY_COPY_BOTH_FAILED,
        m.CopyDone: Step.QUERY_COPY_BOTH_FAILED,
    },
    # The implicit commit comes after FunctionCallResponse, and may fail.
    Step.FUNCTION_CALL: {m.FunctionCallResponse: Step.FUNCTION_CALL_ENDED},
    Step.FUNCTION_CALL_ENDED: {m.ReadyForQuery: Step.DONE},
    Step.READY_NEXT: {m.ReadyForQuery: Step.DONE},
}
"""Which of a server's messages moves the head of the queue, and to which step."""

COPY_INPUT: Final[dict[Step, dict[type[m.Message], Step]]] = {
    Step.EXECUTE_COPY_IN: {
        m.CopyData: Step.EXECUTE_COPY_IN,
        m.CopyDone: Step.EXECUTE_COPY_ENDED,
        m.CopyFail: Step.EXECUTE_COPY_FAILED,
    },
    Step.QUERY_COPY_IN: {
        m.CopyData: Step.QUERY_COPY_IN,
        m.CopyDone: Step.QUERY_COPY_ENDED,
        m.CopyFail: Step.QUERY_COPY_FAILED,
    },
    Step.QUERY_COPY_BOTH: {
        m.CopyData: Step.QUERY_COPY_BOTH,
        m.CopyDone: Step.QUERY_COPY_FRONTEND_ENDED,
        m.CopyFail: Step.QUERY_COPY_BOTH_FAILED,
    },
    Step.QUERY_COPY_BACKEND_ENDED: {
        m.CopyData: Step.QUERY_COPY_BACKEND_ENDED,
        m.CopyDone: Step.QUERY,
        m.CopyFail: Step.QUERY_COPY_FAILED,
    },
}
"""Which of a client's messages moves the head of the queue, while the server reads copy data."""

_EXTENDED: Final = frozenset(
    {
        Step.PARSE,
        Step.BIND,
        Step.CLOSE,
        Step.DESCRIBE_STATEMENT,
        Step.DESCRIBE_PORTAL,
        Step.EXECUTE,
        Step.EXECUTE_ROWS,
        Step.EXECUTE_COPY_IN,
        Step.EXECUTE_COPY_OUT,
        Step.EXECUTE_COPY_ENDED,
        Step.EXECUTE_COPY_FAILED,
    }
)

ERRORS: Final[dict[Step, Step]] = {
    # DONE stands for: skip to the next Sync. READY_NEXT itself has had its error already.
    step: Step.DONE if step in _EXTENDED else Step.READY_NEXT
    for step in Step
    if step not in (Step.DONE, Step.READY_NEXT)
}
"""Where ErrorResponse leaves the head of the queue."""
