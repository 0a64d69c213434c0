"""Both event loops in a world of their own: no socket, no waiting, and a hand on every step."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple, Unpack, cast

import pgproto_asyncio
from pgproto.testing import Network
from pgproto_asyncio.testing import Deadlock, VirtualLoop

__all__ = ["WORLDS", "AsyncioWorld", "How", "Main", "TrioWorld", "World"]

if TYPE_CHECKING:
    from contextvars import Context

    import trio
    from trio.abc import Instrument
else:
    Instrument = object

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Main = Callable[["World"], Awaitable[T]]
"""A program; it gets the world that it runs in."""

Function: TypeAlias = Callable[[], Awaitable[Any]]

How: TypeAlias = Literal["once", "twice", "from above"]
"""In which way a task is cancelled: once, again one step later, or with the scope or group that it is in."""

_FOREVER = 100_000.0
"""Virtual seconds after which a program does not end any more."""


class World:
    """Runs programs, and can cancel a function at a chosen step of the event loop."""

    name = ""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.steps = 0
        """How many steps the loop has made in the last `cancel_at`."""
        self.cancelled_at: float | None = None
        """When the function was cancelled."""
        self.ended_at = 0.0
        """When it was over."""
        self.connect: Callable[..., Any]
        self.make_pool: Callable[..., Any]

    def run(self, main: Main[T]) -> T:
        """Run a program to its end; whoever waits for ever makes it fail."""
        raise NotImplementedError

    def now(self) -> float:
        """Virtual seconds."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        raise NotImplementedError

    async def in_peace(self, function: Function) -> None:
        """Run the function as those clean up who have been cancelled: it is not cancelled again."""
        raise NotImplementedError

    async def cancel_at(
        self,
        step: int,
        function: Function,
        *,
        how: How = "once",
        also: Callable[[], object] | None = None,
    ) -> bool:
        """Run the function, and cancel it at this step from now; False if it was over before.

        ``also`` is called at the same step. Fails if the function goes on as if nothing had happened, or
        raises something else.
        """
        raise NotImplementedError

    async def within(self, seconds: float, function: Function) -> bool:
        """Run the function, and cancel it after this time; False if it was over before."""
        raise NotImplementedError

    async def together(self, *functions: Function) -> list[Any]:
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

        complaints: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            result = runner.run(start())
            left = asyncio.all_tasks(self._loop)
        assert not left, f"tasks are left: {left}"
        assert not complaints, f"the event loop complains: {complaints}"
        return result

    def now(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_peace(self, function: Function) -> None:
        await function()

    async def cancel_at(
        self,
        step: int,
        function: Function,
        *,
        how: How = "once",
        also: Callable[[], object] | None = None,
    ) -> bool:
        async def victim() -> None:
            if how == "from above":
                async with asyncio.TaskGroup() as group:
                    group.create_task(_call(function))
            else:
                await function()

        task = asyncio.create_task(victim())
        cancelled: list[bool] = []

        def cancel() -> None:
            if also is not None:
                also()
            if task.cancel():
                self.cancelled_at = self.cancelled_at or self.now()
                cancelled.append(True)

        self.cancelled_at = None
        self._loop.count = 0
        self._loop.at = dict.fromkeys([step, step + 1] if how == "twice" else [step], cancel)
        try:
            await asyncio.wait([task])
        finally:
            self._loop.at = {}
        self.ended_at = self.now()
        self.steps = self._loop.count
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        assert task.cancelled() == bool(cancelled), "the cancellation was swallowed"
        return bool(cancelled)

    async def within(self, seconds: float, function: Function) -> bool:
        self.cancelled_at = self.now() + seconds
        timeout = asyncio.timeout(seconds)
        try:
            async with timeout:
                await function()
        except TimeoutError:
            if not timeout.expired():
                raise
        self.ended_at = self.now()
        return timeout.expired()

    async def together(self, *functions: Function) -> list[Any]:
        return await asyncio.gather(*[_call(function) for function in functions], return_exceptions=True)


async def _call(function: Function) -> Any:
    return await function()


class _StepLoop(VirtualLoop):
    """Counts its callbacks, and does something before chosen ones."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.count = 0
        self.at: dict[int, Callable[[], object]] = {}

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._step, callback, args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._step, callback, args, context=context)

    def _step(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.count += 1
        if self.time() > _FOREVER:
            raise Deadlock("the program does not come to its end")
        if (action := self.at.pop(self.count, None)) is not None:
            action()
        callback(*args)


class TrioWorld(World):
    name = "trio"

    def __init__(self, network: Network) -> None:
        import pgproto_trio

        super().__init__(network)
        self.connect = pgproto_trio.connect
        self.make_pool = pgproto_trio.Pool

    def run(self, main: Main[T]) -> T:
        import trio

        from pgproto_trio.testing import run

        async def start() -> T:
            with trio.move_on_after(_FOREVER):
                return await main(self)
            raise AssertionError("everybody waits for what will never happen")

        # The order of tasks is random, and the same each time: `hypothesis` makes trio able to do that.
        cast("Any", trio)._core._run._r.seed(0)
        return run(start, self.network)

    def now(self) -> float:
        import trio

        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        import trio

        await trio.sleep(seconds)

    async def in_peace(self, function: Function) -> None:
        import trio

        with trio.CancelScope(shield=True):
            await function()

    async def cancel_at(
        self,
        step: int,
        function: Function,
        *,
        how: How = "once",
        also: Callable[[], object] | None = None,
    ) -> bool:
        import trio

        def cancel() -> None:
            if also is not None:
                also()
            self.cancelled_at = self.now()
            scope.cancel()

        told: list[object] = []
        self.cancelled_at = None
        with trio.CancelScope() as scope:
            counter = _Steps(step, cancel)
            trio.lowlevel.add_instrument(counter)
            try:
                if how == "from above":
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_overheard, function, scope, told)
                else:
                    await _overheard(function, scope, told)
            finally:
                trio.lowlevel.remove_instrument(counter)
                self.steps = counter.count
                self.ended_at = self.now()
            assert not told, "the cancellation was swallowed"
            await trio.lowlevel.checkpoint()
        return scope.cancelled_caught

    async def within(self, seconds: float, function: Function) -> bool:
        import trio

        self.cancelled_at = self.now() + seconds
        with trio.move_on_after(seconds) as scope:
            await function()
        self.ended_at = self.now()
        return scope.cancelled_caught

    async def together(self, *functions: Function) -> list[Any]:
        import trio

        results: list[Any] = [None] * len(functions)

        async def one(position: int, function: Function) -> None:
            try:
                results[position] = await function()
            except Exception as error:
                results[position] = error

        async with trio.open_nursery() as nursery:
            for position, function in enumerate(functions):
                nursery.start_soon(one, position, function)
        return results


class _Steps(Instrument):
    """An instrument of trio that counts the steps of tasks, and does something before a chosen one."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.count = 0
        self._step = step
        self._action = action

    def before_task_step(self, task: object) -> None:
        self.count += 1
        if self.count == self._step:
            self._action()


async def _overheard(function: Function, scope: trio.CancelScope, told: list[object]) -> None:
    """Run a function; what it was told by trio because of this scope, and what did not come out, is noted."""
    import trio

    try:
        await _overhear(function().__await__(), scope, told)
    except trio.Cancelled:
        told.clear()
        raise


@coroutine
def _overhear(
    steps: Generator[Any, Any, None], scope: trio.CancelScope, told: list[object]
) -> Generator[Any, Any, None]:
    import trio

    answer: Any = None
    while True:
        try:
            question = steps.send(answer)
        except StopIteration:
            return
        # Trio sends outcomes: values, or errors to be raised where they are unwrapped.
        answer = yield question
        error = getattr(answer, "error", None)
        if scope.cancel_called and isinstance(error, trio.Cancelled):
            told.append(error)


WORLDS: list[type[World]] = [AsyncioWorld, *([TrioWorld] if importlib.util.find_spec("trio") else [])]
