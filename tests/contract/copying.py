"""What the tests of COPY have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.contract.faces import Connect, Session

__all__ = ["count", "table"]


@asynccontextmanager
async def table(
    connect: Connect, definition: str = "a int, b text, c float8, d date"
) -> AsyncGenerator[Session]:
    async with connect() as session:
        await session.execute(f"create temporary table t ({definition})")
        yield session


async def count(session: Session) -> object:
    return await session.fetchval("select count(*) from t")
