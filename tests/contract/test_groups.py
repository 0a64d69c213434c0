"""Many at once: batches, pipelines, streams, prepared statements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn

import pytest

from pgproto import (
    CommandTag,
    DataError,
    DivisionByZero,
    LocalProtocolError,
    PipelineAborted,
    UndefinedTable,
    UniqueViolation,
)
from tests.contract.faces import Connect, Face, Session

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class Sentinel(Exception):
    """What goes wrong in a block."""


async def make_table(session: Session) -> None:
    await session.execute("create temp table t (a int primary key, b text)")


async def count(session: Session) -> int:
    number: int = await session.fetchval("select count(*) from t")
    return number


INSERT = "insert into t values ($1, $2)"


# --- executemany -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000])
async def test_a_batch_of_any_size(connect: Connect, size: int) -> None:
    async with connect() as session:
        await make_table(session)
        assert await session.executemany(INSERT, ((number, str(number)) for number in range(size))) == size
        assert await count(session) == size


async def test_a_batch_from_an_asynchronous_iterable(connect: Connect, face: Face) -> None:
    if face.name == "blocking":
        pytest.skip("plain threads have no asynchronous iterables")

    async def numbers() -> AsyncIterator[tuple[int, str]]:
        for number in range(2500):
            yield number, "x"

    async with connect() as session:
        await make_table(session)
        assert await session.executemany(INSERT, numbers()) == 2500
        assert await count(session) == 2500


async def test_a_batch_is_atomic_when_the_server_refuses_one(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        with pytest.raises(UniqueViolation) as info:
            await session.executemany(INSERT, [*((number, "x") for number in range(4000)), (0, "again")])
        assert info.value.__notes__ == ["it was args[4000] of executemany()"]
        assert await count(session) == 0
        # What fails at the end of all is no one's fault alone.
        await session.execute("create temp table d (a int unique deferrable initially deferred)")
        with pytest.raises(UniqueViolation) as info:
            await session.executemany("insert into d values ($1)", [(1,), (1,)])
        assert not hasattr(info.value, "__notes__")


@pytest.mark.parametrize("position", [0, 10, 3500])
@pytest.mark.parametrize("wrong", [("no number", "x"), (1, "x", 2), 5], ids=["value", "count", "kind"])
async def test_a_batch_is_atomic_when_an_argument_does_not_fit(
    connect: Connect, face: Face, position: int, wrong: object
) -> None:
    sets: list[Any] = [(number, "x") for number in range(5000)]
    sets[position] = wrong

    async def one_by_one() -> AsyncIterator[Any]:
        for each in sets:
            yield each

    async with connect() as session:
        await make_table(session)
        for source in (sets, iter(sets), one_by_one())[: 2 if face.name == "blocking" else 3]:
            with pytest.raises(DataError, match=rf"^args\[{position}\]: ") as info:
                await session.executemany(INSERT, source)
            assert ("parameter $1" in str(info.value)) is (wrong == ("no number", "x"))
        assert await count(session) == 0
        assert session.transaction_status == "I"


async def test_a_batch_is_atomic_when_its_source_fails(connect: Connect) -> None:
    def numbers() -> Iterator[tuple[int, str]]:
        for number in range(3000):
            yield number, "x"
        raise Sentinel

    async with connect() as session:
        await make_table(session)
        with pytest.raises(Sentinel):
            await session.executemany(INSERT, numbers())
        assert await count(session) == 0


def _fail() -> NoReturn:
    raise Sentinel


async def _make_tables(session: Session) -> None:
    await make_table(session)
    await session.execute("create type pg_temp.mood as enum ('sad', 'ok')")
    await session.execute("create temp table typed (a pg_temp.mood)")


@pytest.mark.parametrize("table", ["t", "typed", "missing"])
async def test_a_batch_whose_source_fails_at_once(connect: Connect, table: str) -> None:
    """Before the server has said what the statement is, or that there is none like it."""
    async with connect() as session:
        await _make_tables(session)
        sources: list[tuple[Any, type[Exception]]] = [(iter(_fail, ()), Sentinel), (5, TypeError)]
        for source, error in sources:
            with pytest.raises(error):
                await session.executemany(f"insert into {table} (a) values ($1)", source, timeout=10)
            assert await session.fetchval("select 1") == 1


@pytest.mark.parametrize("source", [list, lambda: iter(())], ids=["list", "iterator"])
async def test_a_batch_of_nothing(connect: Connect, source: Callable[[], Any]) -> None:
    async with connect() as session:
        await _make_tables(session)
        for table in ("t", "typed"):
            sql = f"insert into {table} (a) values ($1)"
            assert await session.executemany(sql, source(), timeout=10) == 0
        with pytest.raises(UndefinedTable):
            await session.executemany("insert into missing values ($1)", source(), timeout=10)
        assert await session.fetchval("select 1") == 1


async def test_a_batch_in_a_transaction(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        with pytest.raises(Sentinel):
            async with session.transaction() as tx:
                assert await tx.executemany(INSERT, [(1, "x"), (2, "y")]) == 2
                assert await count(session) == 2
                raise Sentinel
        assert await count(session) == 0


async def test_what_cannot_be_a_batch(connect: Connect) -> None:
    async with connect() as session:
        with pytest.raises(DataError, match="COPY"):
            await session.executemany("copy t from stdin", [()])
        sets: list[tuple[Any, str]] = [
            ("ab", "not str"), (1, "not int"), ({"a": 1}, "not dict"), (iter(_fail, ()), "Sentinel"),
        ]  # fmt: skip
        for arguments, reason in sets:
            with pytest.raises(DataError, match=f"a set of arguments .*{reason}"):
                await session.executemany("select $1::text", [arguments])
        assert await session.fetchval("select 1") == 1


async def test_a_batch_with_a_type_of_the_database(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create type pg_temp.mood as enum ('sad', 'ok')")
        await session.execute("create temp table feelings (who int, how pg_temp.mood)")
        assert await session.executemany("insert into feelings values ($1, $2)", [(1, "sad"), (2, "ok")]) == 2
        assert await session.fetchval("select how from feelings where who = 2") == "ok"


# --- pipelines ---------------------------------------------------------------------------------------------


async def test_a_pipeline_gives_each_statement_its_own_outcome(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.pipeline() as pipeline:
            one = pipeline.fetchval("select $1::int", 1)
            insert = pipeline.execute(INSERT, 1, "x")
            rows = pipeline.fetch("select a, b from t", row=dict)
            nothing = pipeline.fetchrow("select a from t where a = 9")
            only = pipeline.fetch_one("select b from t")
            with pytest.raises(LocalProtocolError, match="block"):
                one.result()
        assert one.result() == 1
        assert insert.result() == CommandTag("INSERT 0 1")
        assert rows.result() == [{"a": 1, "b": "x"}]
        assert nothing.result() is None
        assert only.result() == ("x",)


async def test_a_pipeline_stops_at_an_error_and_keeps_nothing(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.pipeline() as pipeline:
            first = pipeline.execute(INSERT, 1, "x")
            wrong = pipeline.execute("select 1/0")
            behind = pipeline.execute(INSERT, 2, "x")
            last = pipeline.fetchval("select 5")
        assert first.result() == "INSERT 0 1"
        with pytest.raises(DivisionByZero):
            wrong.result()
        for aborted in (behind, last):
            with pytest.raises(PipelineAborted) as info:
                aborted.result()
            assert isinstance(info.value.cause, DivisionByZero)
        assert await count(session) == 0
        assert await session.fetchval("select 6") == 6


async def test_a_pipeline_whose_commit_fails_has_no_success_in_it(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table d (a int unique deferrable initially deferred)")
        async with session.pipeline() as pipeline:
            results = [pipeline.execute("insert into d values (1)") for _ in range(2)]
        for result in results:
            with pytest.raises(UniqueViolation) as info:
                result.result()
            assert info.value.query is None


@pytest.mark.parametrize("known", [True, False])
async def test_a_pipeline_with_arguments_that_do_not_fit(connect: Connect, known: bool) -> None:
    async with connect() as session:
        await make_table(session)
        if known:
            await session.execute(INSERT, 100, "known")
            await session.execute("delete from t")
        async with session.pipeline() as pipeline:
            first = pipeline.execute("insert into t values (7, 'first')")
            wrong = pipeline.execute(INSERT, "no number", "x")
            behind = pipeline.fetchval("select 1")
        with pytest.raises(DataError):
            wrong.result()
        with pytest.raises(PipelineAborted):
            behind.result()
        assert first.done
        assert await count(session) == 0


async def test_a_pipeline_may_make_what_it_uses(connect: Connect) -> None:
    async with connect() as session:
        async with session.pipeline() as pipeline:
            pipeline.execute("create temp table made (a int)")
            pipeline.execute("insert into made values ($1)", 5)
            made = pipeline.fetchval("select a from made")
        assert made.result() == 5


async def test_a_pipeline_that_is_left_by_an_exception_sends_nothing(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        pipeline = session.pipeline()
        with pytest.raises(Sentinel):
            async with pipeline:
                pipeline.execute(INSERT, 1, "x")
                raise Sentinel
        assert await count(session) == 0
        async with session.pipeline():
            pass
        with pytest.raises(LocalProtocolError, match="block"):
            pipeline.execute("select 1")


# --- streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 500])
async def test_a_stream_gives_all_rows_in_order(connect: Connect, batch: int) -> None:
    async with connect() as session:
        got: list[int] = []
        async with session.stream("select generate_series(1, $1)", 100, batch=batch, row=tuple) as rows:
            async for (number,) in rows:
                got.append(number)
        assert got == list(range(1, 101))
        assert session.transaction_status == "I"


async def test_a_stream_that_is_left_early(connect: Connect) -> None:
    async with connect() as session:
        for _ in range(3):
            async with session.stream("select generate_series(1, 100000)", batch=10) as rows:
                async for row in rows:
                    if row[0] == 15:
                        break
            assert await session.fetchval("select 2") == 2
        with pytest.raises(Sentinel):
            async with session.stream("select generate_series(1, 100000)", batch=10) as rows:
                raise Sentinel
        assert session.transaction_status == "I"
        assert await session.fetchval("select count(*) from pg_cursors where name <> ''") == 0


async def test_statements_between_the_rows_of_a_stream(connect: Connect) -> None:
    async with connect() as session:
        await make_table(session)
        async with session.stream("select generate_series(1, 30)", batch=4) as rows:
            async for row in rows:
                await session.execute(INSERT, row[0], "streamed")
        assert await count(session) == 30


async def test_a_stream_in_a_transaction_leaves_it_open(connect: Connect) -> None:
    async with connect() as session, session.transaction() as tx:
        async with session.stream("select generate_series(1, 30)", batch=4) as rows:
            assert [row[0] async for row in rows] == list(range(1, 31))
        assert session.transaction_status == "T"
        assert await tx.fetchval("select 3") == 3


async def test_an_error_in_the_midst_of_a_stream(connect: Connect) -> None:
    async with connect() as session:
        seen = 0
        with pytest.raises(DivisionByZero):
            async with session.stream("select 10 / (6 - n) from generate_series(1, 9) n", batch=2) as rows:
                async for _ in rows:
                    seen += 1
        assert seen == 4
        assert session.transaction_status == "I"
        with pytest.raises(DataError, match="batch"):
            session.stream("select 1", batch=0)


# --- prepared statements -----------------------------------------------------------------------------------


async def test_a_prepared_statement(connect: Connect) -> None:
    async with connect() as session:
        statement = await session.prepare("select $1::int8 as number, $2::text as word")
        assert statement.parameter_types == (20, 25)
        assert [column.name for column in statement.columns] == ["number", "word"]
        assert await statement.fetch(1, "a") == [(1, "a")]
        assert await statement.fetchrow(2, "b", row=dict) == {"number": 2, "word": "b"}
        assert await statement.fetch_one(3, None) == (3, None)
        assert await statement.fetchval(4, "d", column=1) == "d"
        assert await statement.execute(5, "e") == "SELECT 1"
        await statement.close()
        await statement.close()
        with pytest.raises(LocalProtocolError, match="closed"):
            await statement.fetch(1, "a")
        assert await session.fetchval("select count(*) from pg_prepared_statements where name = $1", "x") == 0


@pytest.mark.parametrize("forget", ["deallocate all", "discard all"])
async def test_statements_that_the_server_forgot(connect: Connect, forget: str) -> None:
    async with connect() as session:
        statement = await session.prepare("select $1::int")
        assert await session.fetchval("select $1::int", 1) == 1
        await session.execute(forget)
        assert await session.fetchval("select $1::int", 2) == 2
        assert await statement.fetchval(3) == 3


async def test_a_table_that_changes_under_a_statement(connect: Connect) -> None:
    async with connect() as session:
        await session.execute("create temp table changing (a int)")
        await session.execute("insert into changing values (1)")
        assert await session.fetch("select * from changing") == [(1,)]
        await session.execute("alter table changing add column b text default 'new'")
        assert await session.fetch("select * from changing") == [(1, "new")]
        # In a transaction the first use fails, as the server says, and the next works.
        await session.execute("alter table changing drop column b")
        with pytest.raises(Exception, match="cached plan must not change result type"):
            async with session.transaction():
                await session.fetch("select * from changing")
        async with session.transaction():
            assert await session.fetch("select * from changing") == [(1,)]


async def test_the_cache_is_bounded_and_drops_what_is_old(connect: Connect) -> None:
    async with connect(statement_cache_size=3) as session:
        for round_ in range(3):
            for number in range(10):
                assert await session.fetchval(f"select {number} + $1::int", round_) == number + round_
        prepared = await session.fetchval("select count(*) from pg_prepared_statements")
        assert prepared <= 5
    async with connect(statement_cache_size=0) as session:
        for number in range(5):
            assert await session.fetchval("select $1::int", number) == number
        assert await session.fetchval("select count(*) from pg_prepared_statements") <= 2
