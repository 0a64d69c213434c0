"""PostgreSQL for asyncio: `connect`, `Session`, `Transaction` and `Pool` over the state machines of `pgproto`."""

from __future__ import annotations
