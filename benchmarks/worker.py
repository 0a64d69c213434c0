"""One contender of one line, as a process of its own: `python -m benchmarks.worker LINE CONTENDER`.

Reads how many calls to make from standard input, and answers with how many seconds they took, by the clock
and of the processor, again and again until there is no more. The server is the one that $PGPROTO_DSN names.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

from benchmarks.adaptors import ADAPTORS
from benchmarks.lines import LINES, Task, data_of

__all__ = ["main"]


def _orders() -> Generator[int, float, None]:
    """How many calls to make; send how long they took."""
    for order in sys.stdin:
        gc.collect()
        started = time.process_time()
        seconds = yield int(order)
        print(f"{seconds:.9f} {time.process_time() - started:.9f}", flush=True)


def _obey(run: Callable[[int], float]) -> None:
    orders = _orders()
    with contextlib.suppress(StopIteration):
        count = next(orders)
        while True:
            count = orders.send(run(count))


def _blocking(adaptor: Any, task: Task, dsn: str) -> None:
    arguments = data_of(task.arguments)
    with adaptor.connect(dsn) as connection:
        work = getattr(adaptor, task.method)

        def run(count: int) -> float:
            started = time.perf_counter()
            for _ in range(count):
                if not work(connection, *arguments):
                    raise RuntimeError(f"{task.method} had no result")
            return time.perf_counter() - started

        _obey(run)


async def _on_loop(adaptor: Any, task: Task, dsn: str, gather: Callable[..., Any]) -> None:
    arguments = data_of(task.arguments)
    work = getattr(adaptor, task.method)
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(adaptor.connect(dsn)) for _ in range(task.connections)]

        async def call(connection: Any, count: int) -> None:
            for _ in range(count):
                if not await work(connection, *arguments):
                    raise RuntimeError(f"{task.method} had no result")

        async def run(count: int) -> float:
            shares = [
                count // task.callers + (number < count % task.callers) for number in range(task.callers)
            ]
            started = time.perf_counter()
            if task.callers == 1:
                await call(connections[0], count)
            else:
                await gather(
                    call,
                    [(connections[number % len(connections)], each) for number, each in enumerate(shares)],
                )
            return time.perf_counter() - started

        orders = _orders()
        with contextlib.suppress(StopIteration):
            count = next(orders)
            while True:
                count = orders.send(await run(count))


async def _gather_asyncio(call: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    await asyncio.gather(*[call(*each) for each in arguments])


async def _gather_trio(call: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        for each in arguments:
            nursery.start_soon(call, *each)


def main(line_name: str, contender: str) -> None:
    """Work until standard input ends."""
    line = next(each for each in LINES if each.name == line_name)
    task, dsn = line.tasks[contender], os.environ["PGPROTO_DSN"]
    adaptor = ADAPTORS[line.adaptors.get(contender, contender)]
    match adaptor.loop:
        case "":
            _blocking(adaptor, task, dsn)
        case "trio":
            import trio

            trio.run(_on_loop, adaptor, task, dsn, _gather_trio)
        case "uvloop":
            import uvloop

            uvloop.run(_on_loop(adaptor, task, dsn, _gather_asyncio))
        case _:
            asyncio.run(_on_loop(adaptor, task, dsn, _gather_asyncio))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
