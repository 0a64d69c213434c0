"""What type checkers make of ``row=``; checked, never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, assert_type

import attrs
import pydantic

from pgproto import Columns, Record
from pgproto_asyncio import Pool as AsyncioPool
from pgproto_asyncio import Session as AsyncioSession
from pgproto_blocking import Pool as BlockingPool
from pgproto_blocking import Session as BlockingSession
from pgproto_trio import Pool as TrioPool
from pgproto_trio import Session as TrioSession


@dataclass
class User:
    id: int
    name: str = ""


@attrs.define
class Account:
    id: int
    name: str = ""


class Customer(pydantic.BaseModel):
    id: int
    name: str = ""


class Point(NamedTuple):
    x: int
    y: int


def user_from_record(record: Record) -> User:
    return User(record.id, record["name"])


def first_value(record: tuple[Any, ...]) -> int:
    return int(record[0])


class Reader:
    def __call__(self, record: Record) -> User | None:
        return None


async def fetching(session: AsyncioSession | TrioSession) -> None:
    assert_type(await session.fetch("select 1"), list[Record])
    assert_type(await session.fetch("select 1", 1, "two", row=None, timeout=3), list[Record])
    assert_type(await session.fetch("select 1", row=Record), list[Record])
    assert_type(await session.fetch("select 1", row=User), list[User])
    assert_type(await session.fetch("select 1", row=Account), list[Account])
    assert_type(await session.fetch("select 1", row=Customer), list[Customer])
    assert_type(await session.fetch("select 1", row=Point), list[Point])
    assert_type(await session.fetch("select 1", row=user_from_record), list[User])
    assert_type(await session.fetch("select 1", row=first_value), list[int])
    assert_type(await session.fetch("select 1", row=Reader()), list[User | None])
    assert_type(await session.fetch("select 1", row=lambda record: User(record.id)), list[User])
    assert_type(await session.fetch("select 1", row=tuple[Any, ...]), list[tuple[Any, ...]])
    assert_type(await session.fetch("select 1", row=tuple), list[tuple[Any, ...]])
    assert_type(await session.fetch("select 1", row=dict), list[dict[str, Any]])
    assert_type(await session.fetch_columns("select 1"), Columns)
    async with session.stream("select 1", row=dict) as rows:
        async for each in rows:
            assert_type(each, dict[str, Any])
    async with session.pipeline() as pipeline:
        assert_type(pipeline.fetch("select 1", row=dict).result(), list[dict[str, Any]])


async def fetching_one(session: AsyncioSession | TrioSession) -> None:
    assert_type(await session.fetchrow("select 1"), Record | None)
    assert_type(await session.fetchrow("select 1", row=User), User | None)
    assert_type(await session.fetchrow("select 1", row=Account), Account | None)
    assert_type(await session.fetchrow("select 1", row=dict), dict[str, Any] | None)
    assert_type(await session.fetch_one("select 1"), Record)
    assert_type(await session.fetch_one("select 1", row=User), User)
    assert_type(await session.fetch_one("select 1", row=Customer), Customer)
    assert_type(await session.fetch_one("select 1", row=first_value), int)


async def fetching_from_a_pool(pool: AsyncioPool | TrioPool) -> None:
    assert_type(await pool.fetch("select 1"), list[Record])
    assert_type(await pool.fetch("select 1", row=User), list[User])
    assert_type(await pool.fetch("select 1", row=Account), list[Account])
    assert_type(await pool.fetchrow("select 1", row=Customer), Customer | None)
    assert_type(await pool.fetch_one("select 1", row=dict), dict[str, Any])


def fetching_from_a_pool_with_threads(pool: BlockingPool) -> None:
    assert_type(pool.fetch("select 1", row=User), list[User])
    assert_type(pool.fetchrow("select 1", row=Account), Account | None)
    assert_type(pool.fetch_one("select 1", row=Customer), Customer)


async def in_blocks(session: AsyncioSession | TrioSession) -> None:
    statement = await session.prepare("select 1")
    assert_type(await statement.fetch(row=User), list[User])
    async with session.transaction() as transaction:
        assert_type(await transaction.fetch("select 1", row=Account), list[Account])
    async with session.stream("select 1", row=Customer) as rows:
        async for each in rows:
            assert_type(each, Customer)
    async with session.pipeline() as pipeline:
        assert_type(pipeline.fetch("select 1", row=User).result(), list[User])


def fetching_with_threads(session: BlockingSession) -> None:
    assert_type(session.fetch("select 1"), list[Record])
    assert_type(session.fetch("select 1", row=User), list[User])
    assert_type(session.fetch("select 1", row=user_from_record), list[User])
    assert_type(session.fetch("select 1", row=dict), list[dict[str, Any]])
    assert_type(session.fetchrow("select 1", row=Point), Point | None)
    assert_type(session.fetch_one("select 1", row=tuple), tuple[Any, ...])


def records(record: Record) -> None:
    assert_type(record[0], Any)
    assert_type(record["id"], Any)
    assert_type(record.id, Any)
    assert_type(record[1:], tuple[Any, ...])
    assert_type(record.keys(), tuple[str, ...])
    assert_type(record.asdict(), dict[str, Any])
    for value in record:
        assert_type(value, Any)
    left, right = record
    assert_type((left, right), tuple[Any, Any])
