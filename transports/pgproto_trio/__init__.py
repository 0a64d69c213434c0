"""PostgreSQL for trio: `connect`, `Session`, `Transaction` and `Pool`."""

from __future__ import annotations
