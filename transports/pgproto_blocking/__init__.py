"""PostgreSQL for plain threads: `connect`, `Session`, `Transaction` and `Pool`."""

from __future__ import annotations
