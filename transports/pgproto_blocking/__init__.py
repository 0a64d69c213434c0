"""PostgreSQL for plain threads: sessions over the state machines of `pgproto`."""

from __future__ import annotations

from pgproto_blocking._session import Session, connect

__all__ = ["Session", "connect"]
