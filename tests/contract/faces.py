"""The four ways to run one and the same test: asyncio, uvloop, trio, and blocking.

The tests are written once, as coroutines. On an event loop they run as they are. For the blocking transport
each session is shown with a face of coroutines: they call the blocking method at once and never suspend, so
a test that stands on them runs to its end in whatever thread it is started in, without a loop. What is a
task on a loop is a thread there.
"""

from __future__ import annotations

import importlib
import inspect
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from typing import Any, Generic, Self, TypeAlias, TypeVar, cast

import anyio

import pgproto_asyncio
import pgproto_blocking
from pgproto._verbs import _async, _async_copy, _async_listening, _async_scopes, _async_session

__all__ = [
    "ALL",
    "CANCEL_TIMEOUT",
    "FACES",
    "LOOPS",
    "SWIFT",
    "Connect",
    "Face",
    "Job",
    "LoopFace",
    "Session",
    "Tasks",
    "in_flight",
]

T = TypeVar("T")

Session: TypeAlias = pgproto_asyncio.Session
"""What the tests see; the sessions of the other transports have the same methods."""

Opening: TypeAlias = AbstractAsyncContextManager[Session]
Connect: TypeAlias = Callable[..., Opening]

CANCEL_TIMEOUT = 20.0
"""For sessions that are to survive a cancel request, also on a machine that is busy."""

_POLL_INTERVAL = 0.005
_POLL_PATIENCE = 60.0


class Job(ABC, Generic[T]):
    """Something that runs beside the test."""

    def __init__(self) -> None:
        self.done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        self._value = value
        self._error = error
        self.done = True

    @abstractmethod
    async def _wait(self) -> None: ...

    async def result(self) -> T:
        """Wait for its end; what it returned, or the exception that it raised."""
        await self._wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    async def error(self) -> BaseException | None:
        """Wait for its end; the exception that it raised, None if it raised none."""
        await self._wait()
        return self._error


class Tasks(ABC):
    """A scope of jobs: it ends when all of them have ended."""

    @abstractmethod
    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: object) -> Job[T]:
        """Run ``function(*args)`` beside the caller, in a copy of its context."""


class Face(ABC):
    """A transport as the tests see it."""

    def __init__(self, name: str, backend: tuple[str, dict[str, object]]) -> None:
        self.name = name
        self.backend = backend

    @abstractmethod
    def connect(
        self, dsn: str | None = None, /, **parameters: object
    ) -> AbstractAsyncContextManager[Session]:
        """As the transport's own ``connect``, for ``async with``."""

    @abstractmethod
    def tasks(self) -> AbstractAsyncContextManager[Tasks]:
        """A scope in which things run beside each other."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let others run."""

    async def gather(self, functions: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """Run all of them beside each other; their results in order, or the first exception."""
        async with self.tasks() as tasks:
            jobs = [tasks.start(function) for function in functions]
        return [await job.result() for job in jobs]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something has happened that nobody tells of."""
        deadline = time.monotonic() + _POLL_PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not come to this within {_POLL_PATIENCE} s")
            await self.sleep(_POLL_INTERVAL)


# --- Event loops -------------------------------------------------------------------------------------------


class _LoopJob(Job[T]):
    def __init__(self) -> None:
        super().__init__()
        self._ended = anyio.Event()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self._settle(await coroutine, None)
        except Exception as error:
            self._settle(None, error)
        except BaseException as error:
            self._settle(None, error)
            raise
        finally:
            self._ended.set()

    async def _wait(self) -> None:
        await self._ended.wait()


class _LoopTasks(Tasks):
    def __init__(self, group: Any) -> None:
        self._group = group

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: object) -> Job[T]:
        job: _LoopJob[T] = _LoopJob()
        self._group.start_soon(job.run, function(*args))
        return job


class LoopFace(Face):
    """A transport for an event loop."""

    def __init__(self, name: str, package: str, backend: str, **options: object) -> None:
        super().__init__(name, (backend, options))
        self._package = package

    @property
    def package(self) -> Any:
        """The transport's package."""
        return importlib.import_module(self._package)

    def connect(
        self, dsn: str | None = None, /, **parameters: object
    ) -> AbstractAsyncContextManager[Session]:
        return cast("Opening", self.package.connect(dsn, **parameters))

    @asynccontextmanager
    async def tasks(self) -> AsyncGenerator[Tasks, None]:
        # The error of a test must not come out wrapped into a group with what its jobs do.
        error: BaseException | None = None
        async with anyio.create_task_group() as group:
            try:
                yield _LoopTasks(group)
            except Exception as raised:
                error = raised
        if error is not None:
            raise error

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


# --- Threads -----------------------------------------------------------------------------------------------


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise AssertionError("a test of the blocking transport waited for an event loop")


class _ThreadJob(Job[T]):
    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        super().__init__()
        # A thread that hangs must not keep the test run from ending.
        self.thread = threading.Thread(target=copy_context().run, args=(self._run, coroutine), daemon=True)
        self.thread.start()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self._settle(_drive(coroutine), None)
        except BaseException as error:
            self._settle(None, error)

    async def _wait(self) -> None:
        self.thread.join()


class _ThreadTasks(Tasks):
    def __init__(self) -> None:
        self.jobs: list[_ThreadJob[Any]] = []

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: object) -> Job[T]:
        job = _ThreadJob(function(*args))
        self.jobs.append(job)
        return job


class BlockingFace(Face):
    """The blocking transport, with its methods as coroutines."""

    def __init__(self) -> None:
        # The loop is only there because the tests are coroutines; nothing ever waits for it.
        super().__init__("blocking", ("asyncio", {}))

    @asynccontextmanager
    async def connect(self, dsn: str | None = None, /, **parameters: object) -> AsyncGenerator[Session, None]:
        with pgproto_blocking.connect(dsn, **cast("Any", parameters)) as session:
            yield cast("Session", Awaited(session))

    @asynccontextmanager
    async def tasks(self) -> AsyncGenerator[Tasks, None]:
        tasks = _ThreadTasks()
        try:
            yield tasks
        finally:
            for job in tasks.jobs:
                job.thread.join()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop that could run meanwhile


_TWINS = {
    name.replace("Async", "Blocking", 1): getattr(module, name)
    for module in (_async, _async_copy, _async_listening, _async_scopes, _async_session)
    for name in module.__all__
}
_TWINS["Session"] = pgproto_asyncio.Session


def _show(value: object) -> Any:
    """The value as the test is to see it."""
    twin = _TWINS.get(type(value).__name__)
    return value if twin is None else Awaited(value)


def _plain(value: object) -> object:
    """The value as the blocking transport is to get it: without coroutines."""
    if not inspect.iscoroutinefunction(value):
        return value
    function: Callable[..., Coroutine[Any, Any, object]] = value

    def plain(*args: object) -> object:
        return _drive(function(*map(_show, args)))

    return plain


class Awaited:
    """A blocking object in the shape of its asynchronous twin."""

    def __init__(self, wrapped: object) -> None:
        self._wrapped: Any = wrapped
        self._twin = _TWINS[type(wrapped).__name__]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if not callable(value):
            return value
        method: Callable[..., object] = value

        def call_now(*args: object, **options: object) -> object:
            return _show(method(*map(_plain, args), **options))

        async def call(*args: object, **options: object) -> object:
            return call_now(*args, **options)

        return call if inspect.iscoroutinefunction(getattr(self._twin, name)) else call_now

    def __repr__(self) -> str:
        return repr(self._wrapped)

    async def __aenter__(self) -> Any:
        return _show(self._wrapped.__enter__())

    async def __aexit__(self, *error: object) -> object:
        return self._wrapped.__exit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        try:
            return next(self._wrapped)
        except StopIteration:
            raise StopAsyncIteration from None


def in_flight(session: Session) -> int:
    """How many requests are on the wire."""
    shown: Any = session
    inner: Any = getattr(shown, "_wrapped", shown)
    return int(inner._core.machine.in_flight)


FACES: dict[str, Callable[[], Face]] = {
    "asyncio": lambda: LoopFace("asyncio", "pgproto_asyncio", "asyncio", debug=True),
    "uvloop": lambda: LoopFace("uvloop", "pgproto_asyncio", "asyncio", use_uvloop=True),
    "trio": lambda: LoopFace("trio", "pgproto_trio", "trio"),
    "blocking": BlockingFace,
    "swift-asyncio": lambda: LoopFace("asyncio", "pgproto_asyncio", "asyncio"),
}
ALL = ("asyncio", "uvloop", "trio", "blocking")
LOOPS = ("asyncio", "uvloop", "trio")
"""Where a caller can be cancelled."""
SWIFT = ("swift-asyncio", "uvloop", "trio", "blocking")
"""For tests of volume: without asyncio's debug mode, which takes ten times as long."""
