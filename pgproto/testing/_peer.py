"""`Peer`: the far end of a connection, as the network in memory sees it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Peer"]


class Peer(Protocol):
    """Something that hears bytes and says bytes; time is in seconds, on the network's clock."""

    def receive_data(self, data: bytes) -> None:
        """Hear what the client has sent; ``b""`` when it has closed the connection."""
        ...

    def data_to_send(self, now: float) -> bytes:
        """What there is to say at this time; empty if there is nothing."""
        ...

    def next_time(self) -> float | None:
        """When there will be more to say even if nothing is heard; None if that is not going to happen."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it hangs up, once what it has said has arrived."""
        ...
