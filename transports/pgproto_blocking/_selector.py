"""Waiting for one socket, of which only the end of the wait is of interest."""

from __future__ import annotations

import select
import selectors
import sys
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["READ", "WRITE", "Selector", "new_selector"]

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE


class Selector(Protocol):
    """What is used of `selectors.BaseSelector`."""

    def register(self, fileobj: FileDescriptorLike, events: int, /) -> object:
        """Watch it."""
        ...

    def modify(self, fileobj: FileDescriptorLike, events: int, /) -> object:
        """Watch it for these events instead."""
        ...

    def unregister(self, fileobj: FileDescriptorLike, /) -> object:
        """Watch it no more."""
        ...

    def select(self, timeout: float | None, /) -> object:
        """Wait for an event, for so many seconds at the most."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


if sys.platform == "linux":
    _EVENTS: Final = {
        READ: select.EPOLLIN,
        WRITE: select.EPOLLOUT,
        READ | WRITE: select.EPOLLIN | select.EPOLLOUT,
    }

    class _Epoll:
        """As `selectors.EpollSelector`, but it does not find out what has happened."""

        __slots__ = ("_epoll", "close", "unregister")

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.close = self._epoll.close
            self.unregister = self._epoll.unregister

        def register(self, fileobj: FileDescriptorLike, events: int) -> None:
            self._epoll.register(fileobj, _EVENTS[events])

        def modify(self, fileobj: FileDescriptorLike, events: int) -> None:
            self._epoll.modify(fileobj, _EVENTS[events])

        def select(self, timeout: float | None) -> None:
            self._epoll.poll(timeout, 1)

    def new_selector() -> Selector:
        """A selector that watches nothing yet."""
        return _Epoll()

else:

    def new_selector() -> Selector:
        """A selector that watches nothing yet."""
        return selectors.DefaultSelector()
