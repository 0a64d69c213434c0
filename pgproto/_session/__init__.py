"""The request machine, and what a session asks of it: the decisions of a client, without I/O."""

from __future__ import annotations

from pgproto._session._batch import Batch
from pgproto._session._blocks import CopyBlock
from pgproto._session._breaking import break_off, give_outcome
from pgproto._session._copy import CopyIn, CopyOut, copy_records_sql
from pgproto._session._copy_format import RowStream
from pgproto._session._core import FIND_TYPE, ServerVersion, SessionCore
from pgproto._session._cursor import Cursor
from pgproto._session._handover import (
    clear_up,
    has_to_settle,
    is_unharmed,
    is_unmarked,
    is_untouched,
    passes_on,
)
from pgproto._session._lease import Lease
from pgproto._session._machine import SEND_AT_ONCE, RequestMachine
from pgproto._session._markers import Goodbye
from pgproto._session._pipeline import PipelineResult
from pgproto._session._queries import Queries
from pgproto._session._reports import Callback, Notification, Subscription
from pgproto._session._request import Request, Waitable
from pgproto._session._reset import Guard, reset_ahead
from pgproto._session._simple import Command, Result
from pgproto._session._sql import quote_ident
from pgproto._session._statement import PreparedStatement
from pgproto._session._tag import CommandTag
from pgproto._session._transaction import TransactionScope

__all__ = [
    "FIND_TYPE",
    "SEND_AT_ONCE",
    "Batch",
    "Callback",
    "Command",
    "CommandTag",
    "CopyBlock",
    "CopyIn",
    "CopyOut",
    "Cursor",
    "Goodbye",
    "Guard",
    "Lease",
    "Notification",
    "PipelineResult",
    "PreparedStatement",
    "Queries",
    "Request",
    "RequestMachine",
    "Result",
    "RowStream",
    "ServerVersion",
    "SessionCore",
    "Subscription",
    "TransactionScope",
    "Waitable",
    "break_off",
    "clear_up",
    "copy_records_sql",
    "give_outcome",
    "has_to_settle",
    "is_unharmed",
    "is_unmarked",
    "is_untouched",
    "passes_on",
    "quote_ident",
    "reset_ahead",
]
