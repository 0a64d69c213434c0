"""Both event loops in a world of their own: no socket, no waiting, and a hand on every step."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

import pgproto_asyncio
from pgproto.testing import Network
from pgproto_asyncio.testing import VirtualLoop

__all__ = ["WORLDS", "AsyncioWorld", "TrioWorld", "World"]

if TYPE_CHECKING:
    from contextvars import Context

    from trio.abc import Instrument
else:
    Instrument = object

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Main = Callable[["World"], Awaitable[T]]
"""A program; it gets the world that it runs in."""


class World:
    """Runs programs, and can cancel one at a chosen step of the event loop."""

    name = ""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.steps = 0
        """How many steps the loop has made since `watch` began."""
        self.connect: Callable[..., Any]
        self.make_pool: Callable[..., Any]

    def run(self, main: Main[T]) -> T:
        """Run a program to its end."""
        raise NotImplementedError

    def now(self) -> float:
        """Virtual seconds."""
        raise NotImplementedError

    async def cancel_at(self, step: int, function: Callable[[], Awaitable[Any]]) -> bool:
        """Run the function, and cancel it at this step from now; False if it was over before."""
        raise NotImplementedError

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Run all of them beside each other; results, or the exceptions."""
        raise NotImplementedError


class AsyncioWorld(World):
    name = "asyncio"

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.connect = pgproto_asyncio.connect
        self.make_pool = pgproto_asyncio.Pool
        self._loop = _StepLoop(network)

    def run(self, main: Main[T]) -> T:
        async def start() -> T:
            return await main(self)

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            result = runner.run(start())
            left = asyncio.all_tasks(self._loop)
        assert not left, f"tasks are left: {left}"
        return result

    def now(self) -> float:
        return self._loop.time()

    async def cancel_at(self, step: int, function: Callable[[], Awaitable[Any]]) -> bool:
        async def victim() -> None:
            await function()

        task = asyncio.create_task(victim())
        cancelled: list[bool] = []
        self._loop.count = 0
        self._loop.at = (step, lambda: cancelled.append(task.cancel()))
        try:
            await asyncio.wait([task])
        finally:
            self._loop.at = None
        self.steps = self._loop.count
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        # A task that was asked to cancel must not go on as if nothing had happened.
        assert task.cancelled() == any(cancelled), "the cancellation was swallowed"
        return any(cancelled)

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> list[Any]:
        async def one(function: Callable[[], Awaitable[Any]]) -> Any:
            return await function()

        return await asyncio.gather(*[one(function) for function in functions], return_exceptions=True)


class _StepLoop(VirtualLoop):
    """Counts its callbacks, and does something before a chosen one."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.count = 0
        self.at: tuple[int, Callable[[], object]] | None = None

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._step, callback, args, context=context)

    def _step(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.count += 1
        if self.at is not None and self.count == self.at[0]:
            self.at[1]()
        callback(*args)


class TrioWorld(World):
    name = "trio"

    def __init__(self, network: Network) -> None:
        import pgproto_trio

        super().__init__(network)
        self.connect = pgproto_trio.connect
        self.make_pool = pgproto_trio.Pool

    def run(self, main: Main[T]) -> T:
        from pgproto_trio.testing import run

        return run(main, self.network, self)

    def now(self) -> float:
        import trio

        return trio.current_time()

    async def cancel_at(self, step: int, function: Callable[[], Awaitable[Any]]) -> bool:
        import trio

        with trio.CancelScope() as scope:
            counter = _Steps(step, scope)
            trio.lowlevel.add_instrument(counter)
            try:
                await function()
            finally:
                trio.lowlevel.remove_instrument(counter)
                self.steps = counter.count
        return scope.cancelled_caught

    async def together(self, *functions: Callable[[], Awaitable[Any]]) -> list[Any]:
        import trio

        results: list[Any] = [None] * len(functions)

        async def one(position: int, function: Callable[[], Awaitable[Any]]) -> None:
            try:
                results[position] = await function()
            except Exception as error:
                results[position] = error

        async with trio.open_nursery() as nursery:
            for position, function in enumerate(functions):
                nursery.start_soon(one, position, function)
        return results


class _Steps(Instrument):
    """An instrument of trio that counts the steps of tasks, and cancels before a chosen one."""

    def __init__(self, step: int, scope: Any) -> None:
        self.count = 0
        self._step = step
        self._scope = scope

    def before_task_step(self, task: object) -> None:
        self.count += 1
        if self.count == self._step:
            self._scope.cancel()


WORLDS: list[type[World]] = [AsyncioWorld, *([TrioWorld] if importlib.util.find_spec("trio") else [])]
