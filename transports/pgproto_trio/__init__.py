"""PostgreSQL for trio: sessions over the state machines of `pgproto`."""

from __future__ import annotations

from pgproto._verbs._async_scopes import AsyncTransaction as Transaction
from pgproto_trio._pool import Pool
from pgproto_trio._session import Session, connect

__all__ = ["Pool", "Session", "Transaction", "connect"]
