"""PostgreSQL for plain threads: sessions over the state machines of `pgproto`."""

from __future__ import annotations

from pgproto._verbs._blocking_scopes import BlockingTransaction as Transaction
from pgproto_blocking._pool import Pool
from pgproto_blocking._session import Session, connect

__all__ = ["Pool", "Session", "Transaction", "connect"]
