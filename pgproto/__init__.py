"""PostgreSQL's protocol as a pure state machine: bytes in, events out, no I/O.

`Connection` speaks the protocol for either end; `pgproto.messages` are its words and
`pgproto.errors` all that can go wrong. For a client that does I/O, see the packages
`pgproto_asyncio`, `pgproto_trio` and `pgproto_blocking`.
"""

from __future__ import annotations

from pgproto import errors, messages
from pgproto._columns import Columns
from pgproto._config import parse_dsn
from pgproto._connection import NEED_DATA, Connection, NeedData
from pgproto._pool import PoolStatus
from pgproto._record import Record
from pgproto._session import CommandTag, Notification, Result, ServerVersion, quote_ident

# Named here too, although `errors` has them: mypy does not follow two star imports in a row.
from pgproto._sqlstates import *  # noqa: F403
from pgproto._version import __version__
from pgproto.errors import *  # noqa: F403
from pgproto.messages import Role

__all__ = [
    "NEED_DATA",
    "Columns",
    "CommandTag",
    "Connection",
    "NeedData",
    "Notification",
    "PoolStatus",
    "Record",
    "Result",
    "Role",
    "ServerVersion",
    "__version__",
    "errors",
    "messages",
    "parse_dsn",
    "quote_ident",
]
__all__ += errors.__all__
