"""Rows as objects of the classes that other packages make, by all the verbs that take `row=`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import pytest

from pgproto import DataError
from tests.contract.faces import Connect, Face
from tests.contract.pools import make_pool
from tests.support.servers import Server

pytestmark = pytest.mark.anyio

MakeUser: TypeAlias = Callable[..., object]

SQL = "select 'ann' as name, n::int4 as id from generate_series($1::int4, $2) as n"


def attrs_class() -> MakeUser:
    attrs: Any = pytest.importorskip("attrs")

    @attrs.define
    class User:
        id: int
        name: str
        note: str | None = None

    return User


def pydantic_class() -> MakeUser:
    pydantic: Any = pytest.importorskip("pydantic")
    return cast(
        "MakeUser", pydantic.create_model("User", id=(int, ...), name=(str, ...), note=(str | None, None))
    )


@pytest.fixture(params=[attrs_class, pydantic_class], ids=["attrs", "pydantic"])
def user(request: pytest.FixtureRequest) -> MakeUser:
    """A class of the package, if it is installed."""
    return cast("MakeUser", request.param())


async def test_sessions(connect: Connect, user: MakeUser) -> None:
    ann, again = user(id=1, name="ann"), user(id=2, name="ann")
    async with connect() as session:
        for _ in range(2):
            rows = await session.fetch(SQL, 1, 2, row=user)
            assert rows == [ann, again]
            assert type(rows[0]) is user
        assert await session.fetch(SQL, 1, 0, row=user) == []
        assert await session.fetchrow(SQL, 1, 2, row=user) == ann
        assert await session.fetchrow(SQL, 1, 0, row=user) is None
        assert await session.fetch_one(SQL, 2, 2, row=user) == again
        statement = await session.prepare(SQL)
        assert await statement.fetch(1, 2, row=user) == [ann, again]
        async with session.transaction() as transaction:
            assert await transaction.fetch(SQL, 1, 2, row=user) == [ann, again]
        async with session.stream(SQL, 1, 2, batch=1, row=user) as stream:
            assert [row async for row in stream] == [ann, again]
        async with session.pipeline() as pipeline:
            result = pipeline.fetch(SQL, 1, 2, row=user)
        assert result.result() == [ann, again]


async def test_pools(face: Face, postgres: Server, user: MakeUser) -> None:
    ann = user(id=1, name="ann")
    for multiplex in (1, 4):
        async with make_pool(face, postgres.dsn, multiplex=multiplex) as pool:
            assert await pool.fetch(SQL, 1, 1, row=user) == [ann]
            assert await pool.fetchrow(SQL, 1, 1, row=user) == ann
            assert await pool.fetch_one(SQL, 1, 1, row=user) == ann
            async with pool.transaction() as transaction:
                assert await transaction.fetch(SQL, 1, 1, row=user) == [ann]


async def test_rows_that_do_not_fit(connect: Connect, user: MakeUser) -> None:
    """What the class says of it reaches the caller; the session goes on."""
    refusals = (DataError, ValueError)  # attrs has nobody look at types, pydantic does so itself
    async with connect() as session:
        with pytest.raises(refusals, match="name"):
            await session.fetch("select 1 as id", row=user)
        assert await session.fetch_one(SQL, 1, 1, row=user) == user(id=1, name="ann")
