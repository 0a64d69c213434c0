"""The threads that wait while another one is at the wheel."""

from __future__ import annotations

import threading

from pgproto._session import Waitable

__all__ = ["Passengers"]


class Passengers:
    """Who waits for what, in the order in which they came; each has a lock that is released to wake them."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[Waitable, list[threading.Lock]] = {}
        """What they wait for, and by which locks: several may wait for the same, as do writers of a COPY."""

    def add(self, waitable: Waitable) -> threading.Lock:
        """Somebody takes a seat; returns what to acquire in order to wait."""
        woken = threading.Lock()
        woken.acquire()
        self.waiting.setdefault(waitable, []).append(woken)
        return woken

    def remove(self, waitable: Waitable, woken: threading.Lock) -> None:
        """They wait no more, whether they have been woken or not."""
        locks = self.waiting.get(waitable, [])
        if woken in locks:
            locks.remove(woken)
            if not locks:
                del self.waiting[waitable]

    # Whoever is woken is taken off the list afterwards: if this is interrupted, nobody is lost sight of.

    def wake(self, waitable: Waitable) -> None:
        """There is news of it."""
        for woken in self.waiting.get(waitable, ()):
            _release(woken)
        self.waiting.pop(waitable, None)

    def wake_one(self) -> None:
        """Wake the one who has waited the longest, if there is one."""
        for waitable, locks in self.waiting.items():
            woken = locks[0]
            _release(woken)
            self.remove(waitable, woken)
            return

    def wake_all(self) -> None:
        """Wake everybody."""
        for waitable in list(self.waiting):
            self.wake(waitable)


def _release(woken: threading.Lock) -> None:
    if woken.locked():
        woken.release()
