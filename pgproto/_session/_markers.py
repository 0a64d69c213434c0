"""Things that take a place in the queue of requests, and are never written themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgproto._session._request import Request

if TYPE_CHECKING:
    from pgproto import messages as m
    from pgproto._session._lease import Lease
    from pgproto._session._machine import RequestMachine

__all__ = ["MARKERS", "Goodbye", "LeaseTurn"]


class _Marker(Request[None]):
    __slots__ = ()

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__("", timeout)

    def begin(self, machine: RequestMachine) -> None:
        """Nothing: the machine knows what to do when it comes to the head."""

    def receive(self, machine: RequestMachine, message: m.Message) -> None:
        """Nothing: what is not written is not answered."""

    def value(self) -> None:
        return None


class LeaseTurn(_Marker):
    """Where a lease begins: everything before it has been written."""

    __slots__ = ("turn",)

    def __init__(self, turn: Lease) -> None:
        super().__init__()
        self.turn = turn


class Goodbye(_Marker):
    """The end of the session, in an orderly way: Terminate, when everything before it is over."""

    __slots__ = ()


MARKERS: Final[frozenset[type[Request[Any]]]] = frozenset({LeaseTurn, Goodbye})
"""All of them."""
