"""What an error says about a session, and about the server behind it."""

from __future__ import annotations

import enum
from copy import copy

from pgproto._connecting._target import ChangedKind
from pgproto.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLost,
    Error,
    PostgresError,
    QueryTimeout,
    RemoteProtocolError,
    TLSError,
)

__all__ = ["Blame", "Fate", "again", "blame", "describe", "fate"]

_LONGEST_DESCRIPTION = 300

_SERVER_IS_ANOTHER = frozenset({"25006", "57P01", "57P02", "57P03"})
"""read_only_sql_transaction, admin_shutdown, crash_shutdown, cannot_connect_now: what goes for one session
goes for all that were opened at its time."""
_SESSION_IS_OVER = frozenset({"25P03", "57P04", "57P05"})
"""idle_in_transaction_session_timeout, database_dropped, idle_session_timeout; class 08 is the rest."""


class Fate(enum.Enum):
    """What becomes of a session on which an error was seen."""

    KEEP = "keep"
    """The request failed; the session is as good as before."""
    DESTROY = "destroy"
    RETIRE_GENERATION = "retire generation"
    """The server has gone, or is the primary no more: neither this session nor its contemporaries are lent
    again."""


def fate(error: BaseException | None) -> Fate:
    """What becomes of a session whose driver saw `error`. A caller's own exceptions say nothing about it."""
    match error:
        case PostgresError():
            return _fate_of_answer(error)
        case ChangedKind():
            return Fate.RETIRE_GENERATION
        case ConnectionLost():
            # The server's last words, if it had any, are the cause.
            of_cause = fate(error.__cause__)
            return Fate.DESTROY if of_cause is Fate.KEEP else of_cause
        case RemoteProtocolError() | TLSError() | QueryTimeout() | OSError():
            return Fate.DESTROY
        case _:
            return Fate.KEEP


def _fate_of_answer(error: PostgresError) -> Fate:
    sqlstate = error.sqlstate or ""
    if sqlstate in _SERVER_IS_ANOTHER:
        return Fate.RETIRE_GENERATION
    if sqlstate.startswith("08") or sqlstate in _SESSION_IS_OVER or error.severity in ("FATAL", "PANIC"):
        return Fate.DESTROY
    return Fate.KEEP


class Blame(enum.Enum):
    """Why a session did not open."""

    CIRCUMSTANCES = "circumstances"
    """The server or the network is away, or full: waiting may help."""
    SETTINGS = "settings"
    """The server or these settings say no, and will say it again: waiting callers had better know."""
    HOOK = "hook"
    """The application's own function failed, not the session: whoever waits for that had better know."""


def blame(error: BaseException, *, in_hook: bool) -> Blame:
    """Why a session did not open, by the error of the attempt; `in_hook` if a hook raised it."""
    match error:
        case _ if in_hook:
            return Blame.HOOK if fate(error) is Fate.KEEP else Blame.CIRCUMSTANCES
        case PostgresError(sqlstate=str(sqlstate)) if sqlstate[:2] == "28" or sqlstate == "3D000":
            return Blame.SETTINGS  # invalid authorization, and a database that does not exist
        case AuthenticationError() | ConfigError() | TLSError():
            return Blame.SETTINGS
        case _:
            return Blame.CIRCUMSTANCES


def again(error: BaseException) -> BaseException:
    """A copy of the error, so that several callers can raise it, each with its own traceback."""
    if not isinstance(error, Error):
        return error
    twin = copy(error)
    twin.__cause__ = error.__cause__
    return twin


def describe(error: BaseException) -> str:
    """The error in a few words, for a message that everybody may read.

    pgproto's and the system's errors quote no secret; what others put into theirs nobody knows, so only their
    type is named.
    """
    kind = type(error).__name__
    if not isinstance(error, Error | OSError):
        return kind
    text = " ".join(str(error).split())
    if len(text) > _LONGEST_DESCRIPTION:
        text = text[:_LONGEST_DESCRIPTION] + "..."
    return f"{kind}: {text}" if text else kind
