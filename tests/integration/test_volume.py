"""What results cost as they grow: ten million rows, and values of many megabytes."""

from __future__ import annotations

import gc
import resource
import time
from pathlib import Path
from statistics import median

import pytest

from pgproto_blocking import Session, connect
from tests.support.servers import Server

__all__: list[str] = []

_ROWS = 10_000_000
_PIECE = 1_000_000
_MIB = 1024 * 1024


def _resident() -> int:
    """This process's memory, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_million_rows_take_no_more_memory_or_time_each_than_a_million(postgres: Server) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system does not tell how much memory a process has")
    times: list[float] = []
    sizes: list[int] = []
    total = 0
    sql = "select n::int4, 'row ' || n from generate_series(1, $1::int4) as n"
    with connect(postgres.dsn) as session, session.stream(sql, _ROWS, batch=5000) as rows:
        began = time.process_time()
        for number, _ in rows:
            total += number
            if number % _PIECE == 0:
                now = time.process_time()
                times.append(now - began)
                sizes.append(_resident())
                began = now
    assert total == _ROWS * (_ROWS + 1) // 2
    assert len(times) == _ROWS // _PIECE
    assert max(sizes) - sizes[0] < 8 * _MIB
    assert median(times[-3:]) < 1.5 * median(times[:3])


def _cost(session: Session, size: int) -> float:
    """The processor time that a value of this size takes there and back, in seconds; the best of some."""
    value = b"x" * size
    times: list[float] = []
    for _ in range(5):
        gc.collect()
        began = time.process_time()
        assert len(session.fetchval("select $1::bytea", value)) == size
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.slow
def test_a_value_of_twice_the_size_costs_twice_as_much(postgres: Server) -> None:
    with connect(postgres.dsn) as session:
        _cost(session, 32 * _MIB)
        assert _cost(session, 64 * _MIB) <= 2.3 * _cost(session, 32 * _MIB)
