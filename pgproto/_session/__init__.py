"""The request machine, and what a session asks of it: the decisions of a client, without I/O."""

from __future__ import annotations

from pgproto._session._core import ServerVersion, SessionCore
from pgproto._session._machine import Goodbye, RequestMachine
from pgproto._session._request import Request
from pgproto._session._simple import Result
from pgproto._session._sql import quote_ident
from pgproto._session._tag import CommandTag

__all__ = [
    "CommandTag",
    "Goodbye",
    "Request",
    "RequestMachine",
    "Result",
    "ServerVersion",
    "SessionCore",
    "quote_ident",
]
