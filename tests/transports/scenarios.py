"""What is stopped at every step: statements, transactions, streams, pipelines and what is around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pgproto import ConnectionLost, DataError, Error, PipelineAborted, QueryTimeout, errors
from pgproto._session import PipelineResult
from tests.transports.session_stage import (
    ADD,
    DSN,
    FAIL,
    INSERT,
    LATENCY,
    ROWS,
    SLEEP,
    SLOW_INSERT,
    Act,
    Scenario,
    Stage,
    bystander,
)

__all__ = ["SCENARIOS", "scenario"]

SCENARIOS: list[Scenario] = []


def scenario(**options: Any) -> Callable[[Act], Act]:
    """Make a scenario of a function."""

    def add(act: Act) -> Act:
        SCENARIOS.append(Scenario(act, **options))
        return act

    return add


async def warm_up(stage: Stage) -> None:
    """Have the usual statements prepared."""
    for sql, *arguments in ((ADD, 0), (ROWS,), (INSERT, 0)):
        await stage.session.fetch(sql, *arguments)
    stage.server.committed.clear()


# Statements.


@scenario()
async def fetch(stage: Stage) -> None:
    assert [tuple(row) for row in await stage.session.fetch(ROWS)] == [(n,) for n in range(1, 51)]


@scenario(before=warm_up)
async def fetch_known(stage: Stage) -> None:
    assert [row["n"] for row in await stage.session.fetch(ROWS, row=dict)] == [*range(1, 51)]


@scenario(network={"chunk": 7, "capacity": 100})
async def fetch_over_a_narrow_line(stage: Stage) -> None:
    assert len(await stage.session.fetch(ROWS)) == 50


@scenario(before=warm_up, atoms=(0, 1))
async def one_after_another(stage: Stage) -> None:
    session = stage.session
    assert tuple(await session.fetchrow(ROWS)) == (1,)
    assert tuple(await session.fetch_one(ADD, 1)) == (2,)
    assert await session.fetchval(ADD, 2) == 3
    assert await session.execute("insert into t values (1)") == "INSERT 0 1"


@scenario(atoms=(0, 1))
async def execute_slowly(stage: Stage) -> None:
    assert (await stage.session.execute(SLOW_INSERT, 5)).rows == 5


@scenario()
async def a_long_query(stage: Stage) -> None:
    assert await stage.session.fetchval(SLEEP) is None


@scenario(company=(bystander,) * 3)
async def a_long_query_with_followers(stage: Stage) -> None:
    assert await stage.session.fetchval(SLEEP) is None


@scenario(before=warm_up)
async def many_at_once(stage: Stage) -> None:
    asked = [partial(stage.session.fetchval, ADD, n) for n in range(20)]
    results = await stage.world.together(*asked)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    assert results == [*range(1, 21)]


@scenario()
async def an_error_of_the_server(stage: Stage) -> None:
    with pytest.raises(errors.DivisionByZero):
        await stage.session.fetch(FAIL)
    with pytest.raises(errors.DivisionByZero):
        await stage.session.fetch("select late")


@scenario()
async def arguments_that_do_not_fit(stage: Stage) -> None:
    with pytest.raises(DataError):
        await stage.session.fetchval(ADD, "one")


@scenario(before=warm_up)
async def a_statement_that_the_server_forgot(stage: Stage) -> None:
    stage.backend._statements.clear()
    assert await stage.session.fetchval(ADD, 1) == 2


@scenario(parameters={"statement_cache_size": 1})
async def statements_that_are_evicted(stage: Stage) -> None:
    for number in range(2):
        assert await stage.session.fetchval(ADD, number) == number + 1
        assert len(await stage.session.fetch(ROWS)) == 50


@scenario(parameters={"prepare": "unnamed"})
async def statements_without_a_name(stage: Stage) -> None:
    for number in range(2):
        assert await stage.session.fetchval(ADD, number) == number + 1


@scenario(atoms=(0, 2))
async def a_simple_query(stage: Stage) -> None:
    results = await stage.session.simple_query("insert into t values (1); insert into t values (1)")
    assert [result.tag for result in results] == ["INSERT 0 1"] * 2


@scenario(atoms=(0, 1))
async def a_transaction_in_a_simple_query(stage: Stage) -> None:
    results = await stage.session.simple_query("begin; insert into t values (1); commit")
    assert [result.tag for result in results] == ["BEGIN", "INSERT 0 1", "COMMIT"]


@scenario(patience=0.1)
async def a_prepared_statement(stage: Stage) -> None:
    statement = await stage.session.prepare(ADD)
    try:
        assert await statement.fetchval(1) == 2
        assert [tuple(row) for row in await statement.fetch(2)] == [(3,)]
    finally:
        # Also for those who are cancelled: it goes out, even if they cannot wait for it.
        await statement.close()


@scenario()
async def a_ping(stage: Stage) -> None:
    await stage.session.ping()


# Deadlines.


@scenario(before=warm_up)
async def a_deadline_that_is_met_just_so(stage: Stage) -> None:
    for timeout in (2 * LATENCY, 2 * LATENCY + 1e-9, 2 * LATENCY - 1e-9):
        try:
            assert await stage.session.fetchval(ADD, 1, timeout=timeout) == 2
        except QueryTimeout:
            assert timeout <= 2 * LATENCY


@scenario()
async def a_deadline_that_is_not_met(stage: Stage) -> None:
    with pytest.raises(QueryTimeout):
        await stage.session.fetch(SLEEP, timeout=0.05)
    assert await stage.session.fetchval(ADD, 1) == 2


@scenario(parameters={"command_timeout": 0.2}, company=())
async def a_deadline_for_all(stage: Stage) -> None:
    with pytest.raises(QueryTimeout):
        await stage.session.fetch(SLEEP)


# Transactions.


@scenario(atoms=(0, 2))
async def a_transaction(stage: Stage) -> None:
    async with stage.session.transaction() as transaction:
        await transaction.execute(INSERT, 1)
        await stage.session.execute(INSERT, 2)


@scenario(before=warm_up)
async def a_transaction_rolled_back(stage: Stage) -> None:
    with pytest.raises(KeyError):
        async with stage.session.transaction():
            await stage.session.execute(INSERT, 1)
            raise KeyError


@scenario(before=warm_up)
async def a_transaction_that_failed(stage: Stage) -> None:
    with pytest.raises(errors.DivisionByZero):
        async with stage.session.transaction():
            await stage.session.execute(INSERT, 1)
            await stage.session.execute(FAIL)


@scenario(before=warm_up, atoms=(0, 2))
async def savepoints(stage: Stage) -> None:
    async with stage.session.transaction() as outer:
        await outer.execute(INSERT, 1)
        async with outer.transaction() as inner:
            await inner.execute(INSERT, 2)
        with pytest.raises(errors.DivisionByZero):
            async with stage.session.transaction():
                await stage.session.execute(INSERT, 3)
                await stage.session.execute(FAIL)


@scenario(before=warm_up, atoms=(0, 1))
async def explicit_ends(stage: Stage) -> None:
    async with stage.session.transaction() as transaction:
        await transaction.execute(INSERT, 1)
        await transaction.rollback()
    async with stage.session.transaction() as transaction:
        await transaction.execute(INSERT, 2)
        await transaction.commit()


@scenario(atoms=(0, 1), patience=0.2, is_cleaned_up_by_hand=True)
async def a_transaction_by_hand(stage: Stage) -> None:
    session = stage.session
    try:
        await session.execute("BEGIN")
        await session.execute(INSERT, 1)
        await session.execute("COMMIT")
    except BaseException:
        await stage.world.in_peace(partial(session.execute, "ROLLBACK"))
        raise


async def hold(stage: Stage) -> None:
    """Somebody else's transaction."""
    async with stage.session.transaction():
        await stage.world.sleep(0.1)


@scenario(company=(hold, bystander))
async def behind_a_transaction(stage: Stage) -> None:
    assert await stage.session.fetchval(ADD, 1) == 2


@scenario(company=(hold, bystander), atoms=(0, 1))
async def a_transaction_behind_another(stage: Stage) -> None:
    async with stage.session.transaction() as transaction:
        await transaction.execute(INSERT, 1)


# Streams and pipelines.


@scenario()
async def a_stream(stage: Stage) -> None:
    async with stage.session.stream(ROWS, batch=20) as rows:
        assert [tuple(row) async for row in rows] == [(n,) for n in range(1, 51)]


@scenario(before=warm_up, atoms=(0, 1))
async def a_stream_in_a_transaction(stage: Stage) -> None:
    async with stage.session.transaction():
        async with stage.session.stream(ROWS, batch=40) as rows:
            assert len([row async for row in rows]) == 50
        await stage.session.execute(INSERT, 1)


@scenario()
async def a_stream_left_early(stage: Stage) -> None:
    async with stage.session.stream(ROWS, batch=10) as rows:
        async for row in rows:
            if row[0] == 15:
                break


@scenario()
async def a_stream_that_fails(stage: Stage) -> None:
    with pytest.raises(errors.DivisionByZero):
        async with stage.session.stream("select late", batch=2) as rows:
            assert [row[0] async for row in rows] == []


@scenario(atoms=(0, 2))
async def a_pipeline(stage: Stage) -> None:
    async with stage.session.pipeline() as pipeline:
        first = pipeline.execute(INSERT, 1)
        second = pipeline.fetchval(ADD, 1)
        third = pipeline.execute(INSERT, 2)
    outcomes = [_outcome(each) for each in (first, second, third)]
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    assert outcomes == ["INSERT 0 1", 2, "INSERT 0 1"]


def _outcome(result: PipelineResult[Any]) -> object:
    """Its own, whatever became of the others: one that nobody asks for is warned of."""
    try:
        return result.result()
    except Error as error:
        return error


@scenario(before=warm_up)
async def a_pipeline_with_an_error(stage: Stage) -> None:
    async with stage.session.pipeline() as pipeline:
        first = pipeline.execute(INSERT, 1)
        second = pipeline.execute(FAIL)
        third = pipeline.fetchval(ADD, 1)
    outcomes = [_outcome(each) for each in (first, second, third)]
    assert outcomes[0] == "INSERT 0 1"
    assert isinstance(outcomes[1], errors.DivisionByZero)
    assert isinstance(outcomes[2], PipelineAborted)


# Notifications, cancelling, beginning and end.


async def speak(stage: Stage) -> None:
    """Somebody else who notifies."""
    for number in range(3):
        await stage.world.sleep(0.05)
        stage.server.notify("news", str(number))


@scenario(company=(speak, bystander))
async def notifications(stage: Stage) -> None:
    async with stage.session.listen("news") as heard:
        async for notification in heard:
            if notification.payload == "1":
                break


async def sleep_in_vain(stage: Stage) -> None:
    """Somebody whose query others may cancel."""
    try:
        await stage.session.fetch(SLEEP)
    except errors.QueryCanceled:
        return


@scenario(company=(sleep_in_vain,))
async def cancelling_what_another_does(stage: Stage) -> None:
    await stage.world.sleep(0.1)
    await stage.session.cancel()
    assert await stage.session.fetchval(ADD, 1) == 2


async def hang_up(stage: Stage) -> None:
    await stage.world.sleep(0.1)
    stage.backend.hang_up()


@scenario(survives=False, company=(hang_up, bystander))
async def the_server_hangs_up(stage: Stage) -> None:
    with pytest.raises(ConnectionLost):
        await stage.session.fetch(SLEEP)
    with pytest.raises(ConnectionLost):
        await stage.session.fetch(ROWS)


@scenario(survives=False, patience=5.0)
async def closing(stage: Stage) -> None:
    await stage.session.close()
    assert stage.session.is_closed


@scenario(survives=False, patience=5.0)
async def closing_from_many_sides(stage: Stage) -> None:
    results = await stage.world.together(*[stage.session.close] * 3)
    assert results == [None] * 3


@scenario(survives=False)
async def terminating(stage: Stage) -> None:
    await stage.world.sleep(LATENCY)
    stage.session.terminate()
    with pytest.raises(ConnectionLost):
        await stage.session.fetchval(ADD, 1)


@scenario(patience=5.0)
async def another_session(stage: Stage) -> None:
    async with stage.world.connect(DSN) as session:
        assert await session.fetchval(ADD, 1) == 2
