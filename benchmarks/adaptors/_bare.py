"""A bare socket: the limit, since it decodes nothing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.bare import Bare
from benchmarks.settings import CONNECTIONS, ONE_ROW

__all__ = ["BareSocket", "BareSockets"]


class BareSocket:
    """A blocking socket that sends what was prepared before, and looks for nothing but the end."""

    loop = ""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        with Bare(dsn) as bare:
            yield bare

    def one_row(self, bare: Bare) -> int:
        bare.ask(ONE_ROW, (b"\0\0\0\1",), 1)
        return 1

    def fetch(self, bare: Bare, sql: str, *args: object) -> int:
        bare.ask(sql, (), 1)
        return 1

    def pipelined(self, bare: Bare, count: int) -> int:
        bare.ask(ONE_ROW, (b"\0\0\0\1",), count)
        return count

    def copy_out(self, bare: Bare, sql: str) -> int:
        bare.simple(sql)
        return 1


class BareSockets:
    """As many of them as a pool has sessions: all are asked before the first answer is read."""

    loop = ""

    @contextmanager
    def connect(self, dsn: str) -> Generator[Any, None, None]:
        with ExitStack() as stack:
            yield [stack.enter_context(Bare(dsn)) for _ in range(CONNECTIONS)]

    def pipelined(self, sockets: list[Bare], count: int) -> int:
        shares = [(count + place) // len(sockets) for place in range(len(sockets))]
        for bare, share in zip(sockets, shares, strict=True):
            bare.send(ONE_ROW, (b"\0\0\0\1",), share)
        for bare, share in zip(sockets, shares, strict=True):
            bare.wait(share)
        return sum(shares)
