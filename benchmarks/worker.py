"""One contender of one line, as a process of its own: `python -m benchmarks.worker LINE CONTENDER`.

Reads from standard input how many calls each caller shall make, and answers with how many seconds they took,
by the clock and of the processor, and the most memory so far in MiB; again and again until there is no more.
The server is the one that $PGPROTO_DSN names.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
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
        processor = time.process_time() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{seconds:.9f} {processor:.9f} {memory:.1f}", flush=True)


def _obey(run: Callable[[int], float]) -> None:
    orders = _orders()
    with contextlib.suppress(StopIteration):
        count = next(orders)
        while True:
            count = orders.send(run(count))


def _blocking(adaptor: Any, task: Task, dsn: str) -> None:
    """In this thread, or in a thread for each caller."""
    arguments = data_of(task.arguments)
    work = getattr(adaptor, task.method)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(adaptor.connect(dsn)) for _ in range(task.connections)]

        def call(connection: Any, count: int) -> None:
            for _ in range(count):
                if not work(connection, *arguments):
                    raise RuntimeError(f"{task.method} had no result")

        callers = [connections[number % len(connections)] for number in range(task.callers)]
        threads = stack.enter_context(ThreadPoolExecutor(task.callers)) if task.callers > 1 else None

        def run(count: int) -> float:
            started = time.perf_counter()
            if threads is None:
                call(connections[0], count)
            else:
                for done in [threads.submit(call, connection, count) for connection in callers]:
                    done.result()
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

        callers = [connections[number % len(connections)] for number in range(task.callers)]

        async def run(count: int) -> float:
            started = time.perf_counter()
            if task.callers == 1:
                await call(connections[0], count)
            else:
                await gather(call, [(connection, count) for connection in callers])
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
