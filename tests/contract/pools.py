"""Pools of all transports in one shape, for the tests of the contract."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias, cast

import pgproto_asyncio
import pgproto_blocking
from pgproto._verbs import _async_lending
from tests.contract import faces
from tests.contract.faces import CANCEL_TIMEOUT, Awaited, Face, LoopFace
from tests.contract.observer import Observer

__all__ = ["APPLICATION", "MakePool", "Pool", "backends", "kill_all", "make_pool"]

Pool: TypeAlias = pgproto_asyncio.Pool
"""What the tests see; the pools of the other transports have the same methods."""

MakePool: TypeAlias = Callable[..., AbstractAsyncContextManager[Pool]]

APPLICATION = f"pgproto-pool-test-{os.getpid()}"
"""Tells the sessions of this process from those of others that use the same server."""

faces._TWINS |= {
    "Pool": pgproto_asyncio.Pool,
    "BlockingAcquisition": _async_lending.AsyncAcquisition,
    "_GeneratorContextManager": AbstractAsyncContextManager,
}


def make_pool(face: Face, dsn: str, **options: object) -> AbstractAsyncContextManager[Pool]:
    """A pool of the transport under test, to be entered."""
    options = {"application_name": APPLICATION, "cancel_timeout": CANCEL_TIMEOUT, **options}
    if isinstance(face, LoopFace):
        return cast("AbstractAsyncContextManager[Pool]", face.package.Pool(dsn, **options))
    return cast(
        "AbstractAsyncContextManager[Pool]", Awaited(pgproto_blocking.Pool(dsn, **cast("Any", options)))
    )


def backends(observer: Observer) -> int:
    """How many sessions of pools the server has."""
    return int(
        observer.value("select count(*) from pg_stat_activity where application_name = %s", APPLICATION)
    )


def kill_all(observer: Observer) -> int:
    """End all sessions of pools, and wait until they are gone; returns how many they were."""
    return int(
        observer.value(
            "select count(pg_terminate_backend(pid, 60000)) from pg_stat_activity"
            " where application_name = %s",
            APPLICATION,
        )
    )
