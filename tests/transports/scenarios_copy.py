"""What is stopped at every step: COPY in both directions, and statements with many sets of arguments."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from pgproto import DataError, errors
from tests.transports.scenarios import SCENARIOS, scenario
from tests.transports.session_stage import FAIL, INSERT, LATENCY, Stage

# With those of this module, these are all.
__all__ = ["SCENARIOS"]

LINE = b"1\tx\n"


@scenario(atoms=(0, 1))
async def copy_in_of_bytes(stage: Stage) -> None:
    async with stage.session.copy_in("copy t from stdin") as copy:
        for _ in range(3):
            await copy.write(LINE)
    assert copy.tag == "COPY 3"


@scenario(atoms=(0, 1), network={"chunk": 30_000, "capacity": 50_000})
async def copy_in_of_much(stage: Stage) -> None:
    async with stage.session.copy_in("copy t from stdin") as copy:
        for _ in range(10):
            await copy.write(LINE * 10_000)
    assert copy.row_count == 100_000


@scenario(atoms=(0, 1))
async def copy_in_of_rows(stage: Stage) -> None:
    async with stage.session.copy_in("copy t from stdin") as copy:
        for number in range(3):
            await copy.write_row((number, "x"))
            await stage.world.sleep(LATENCY)


@scenario()
async def copy_in_whose_source_fails(stage: Stage) -> None:
    with pytest.raises(KeyError):
        async with stage.session.copy_in("copy t from stdin") as copy:
            await copy.write(LINE)
            raise KeyError


@scenario()
async def copy_in_with_a_row_that_does_not_fit(stage: Stage) -> None:
    with pytest.raises(DataError):
        async with stage.session.copy_in("copy t from stdin") as copy:
            await copy.write_row(("one", "x"))


@scenario()
async def copy_in_refused(stage: Stage) -> None:
    with pytest.raises(errors.UndefinedTable):
        async with stage.session.copy_in("copy u from stdin") as copy:
            await copy.write(LINE)


@scenario(atoms=(0, 2))
async def copy_in_within_a_transaction(stage: Stage) -> None:
    async with stage.session.transaction() as transaction:
        await transaction.execute("insert into t values (1)")
        async with transaction.copy_in("copy t from stdin") as copy:
            await copy.write(LINE)


@scenario(atoms=(0, 1))
async def records_to_a_table(stage: Stage) -> None:
    records = [(n, "x") for n in range(3)]
    assert await stage.session.copy_records_to_table("t", records=records) == 3


async def trickle(stage: Stage) -> AsyncGenerator[tuple[int, str], None]:
    for number in range(3):
        await stage.world.sleep(LATENCY)
        yield (number, "x")


@scenario(atoms=(0, 1))
async def records_as_they_come(stage: Stage) -> None:
    async with aclosing(trickle(stage)) as records:
        assert await stage.session.copy_records_to_table("t", records=records) == 3


# What is copied out counts as an effect too, where it was copied to the end.


@scenario(atoms=(0, 1))
async def copy_out(stage: Stage) -> None:
    async with stage.session.copy_out("copy t to stdout") as copy:
        assert b"".join([chunk async for chunk in copy]).count(b"\n") == 10


@scenario(atoms=(0, 1))
async def copy_out_of_rows(stage: Stage) -> None:
    async with stage.session.copy_out("copy t to stdout") as copy:
        assert [row async for row in copy.rows()] == [(str(n), "x") for n in range(10)]


@scenario(atoms=(0, 1, 0))
async def copy_out_left_early(stage: Stage) -> None:
    async with stage.session.copy_out("copy t to stdout") as copy:
        async for _ in copy:
            break


@scenario(atoms=(0, 1))
async def copy_out_within_a_transaction(stage: Stage) -> None:
    async with (
        stage.session.transaction() as transaction,
        transaction.copy_out("copy t to stdout") as copy,
    ):
        async for _ in copy:
            break


# executemany.


@scenario(atoms=(0, 3))
async def executemany(stage: Stage) -> None:
    assert await stage.session.executemany(INSERT, [(n,) for n in range(3)]) == 3


@scenario(atoms=(0, 2500))
async def executemany_of_many(stage: Stage) -> None:
    assert await stage.session.executemany(INSERT, ((n,) for n in range(2500))) == 2500


async def numbers(stage: Stage, *, fail: bool = False) -> AsyncGenerator[tuple[int], None]:
    for number in range(3):
        await stage.world.sleep(LATENCY)
        yield (number,)
    if fail:
        raise KeyError("the source dries up")


@scenario(atoms=(0, 3))
async def executemany_as_they_come(stage: Stage) -> None:
    async with aclosing(numbers(stage)) as source:
        assert await stage.session.executemany(INSERT, source) == 3


@scenario()
async def executemany_with_a_source_that_fails(stage: Stage) -> None:
    async with aclosing(numbers(stage, fail=True)) as source:
        with pytest.raises(KeyError):
            await stage.session.executemany(INSERT, source)


@scenario()
async def executemany_with_arguments_that_do_not_fit(stage: Stage) -> None:
    with pytest.raises(DataError):
        await stage.session.executemany(INSERT, [(1,), ("two",)])


@scenario()
async def executemany_refused(stage: Stage) -> None:
    with pytest.raises(errors.DivisionByZero):
        await stage.session.executemany(FAIL, [(), ()])
