"""Waiting for what was handed in before, from plain threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pgproto._session import Request

if TYPE_CHECKING:
    from pgproto._verbs._blocking import BlockingDriver

__all__ = ["outcome_of"]

R = TypeVar("R")


def outcome_of(driver: BlockingDriver, request: Request[R]) -> R:
    """Wait for the outcome of a request that was handed in before."""
    try:
        while not request.done:
            driver.wait(request)
        return request.result()
    except BaseException:
        driver.leave(request)
        raise
