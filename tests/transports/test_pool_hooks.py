"""Hooks that raise, whenever they are called, and hooks that never return: the pool goes on."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import anyio
import pytest

from pgproto import LocalProtocolError
from tests.transports.stage import Stage
from tests.transports.worlds import WORLDS, AsyncioWorld, World

__all__: list[str] = []

HOOKS = ("before_connect", "after_connect", "before_acquire", "after_release", "before_close")
CALLS = 4
"""How often each hook is called at least."""


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def kind(request: pytest.FixtureRequest) -> type[World]:
    world: type[World] = request.param
    return world


class Raiser:
    """Raises at one call, and at no other."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self.calls = 0
        self._at = at
        self._error = error

    def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.calls == self._at:
            raise self._error

    async def later(self, *_: object) -> None:
        await anyio.sleep(0.005)
        self()
        await anyio.sleep(0.005)


async def _use_it_much(stage: Stage, expected: type[Exception]) -> None:
    failures = 0

    async def use() -> None:
        nonlocal failures
        try:
            await stage.use()
            await stage.ask()
        except expected:
            failures += 1

    for _ in range(2):
        await stage.beside(use, use, use)
        await stage.pool.drain()
    assert failures <= 1


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_raises_at_one_of_its_calls(kind: type[World], hook: str, how: str) -> None:
    called = 0
    for at in range(1, CALLS + 1):
        raiser = Raiser(at, ZeroDivisionError)
        options: dict[str, Any] = {hook: raiser.later if how == "async" else raiser}
        stage = Stage(kind, at, **options)
        stage.play(partial(_use_it_much, expected=ZeroDivisionError))
        called += raiser.calls >= at
    assert called == CALLS


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_cancellation_of_the_hooks_own(hook: str, how: str) -> None:
    # It is neither the caller's, nor the end of the pool; and no deadline is needed to notice.
    for at in range(1, CALLS + 1):
        raiser = Raiser(at, asyncio.CancelledError)
        options: dict[str, Any] = {hook: raiser.later if how == "async" else raiser}
        stage = Stage(AsyncioWorld, at, connect_timeout=None, acquire_timeout=None, **options)
        stage.play(partial(_use_it_much, expected=LocalProtocolError))


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_never_returns(kind: type[World], hook: str) -> None:
    hangs = True

    async def hang(*_: object) -> None:
        nonlocal hangs
        if hangs:
            hangs = False
            await anyio.sleep_forever()

    async def play(stage: Stage) -> None:
        # Somebody else is served, or waits until the hook has had its time.
        await stage.beside(stage.use, stage.use, stage.use)
        await stage.pool.drain()

    options: dict[str, Any] = {hook: hang}
    stage = Stage(kind, 0, connect_timeout=5.0, **options)
    stage.play(play)
    assert not hangs
