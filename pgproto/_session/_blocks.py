"""Which COPY the caller is in the midst of.

A COPY has the connection for itself until its block has ended. Whoever asks for something else inside of the
block would wait for themselves for ever, so they are told. As with leases, context decides who is inside.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pgproto._session._machine import RequestMachine

__all__ = ["CopyBlock", "blocks_of_context", "copy_block_of_context"]


class CopyBlock:
    """The time between the beginning and the end of a block, in which a session copies."""

    __slots__ = ("_holder", "machine", "open")

    def __init__(self, machine: RequestMachine) -> None:
        self.machine = machine
        self.open = False
        self._holder = machine.traces.holder

    @property
    def is_forgotten(self) -> bool:
        """Whether the session is in other hands now: it was returned before the block had ended."""
        return self._holder != self.machine.traces.holder

    def enter(self) -> None:
        """The caller's context, and what is started from it, is inside from now on."""
        self.open = True
        _BLOCKS.set((*(other for other in _BLOCKS.get() if other.open), self))

    def leave(self) -> None:
        """The block ends."""
        self.open = False
        _BLOCKS.set(tuple([other for other in _BLOCKS.get() if other.open]))


_BLOCKS: ContextVar[tuple[CopyBlock, ...]] = ContextVar("pgproto_copy_blocks", default=())

blocks_of_context: Final = _BLOCKS.get
"""The blocks around the caller, on whatever session; there is none around most."""


def copy_block_of_context(machine: RequestMachine) -> CopyBlock | None:
    """The open block of a COPY on this session that the caller's context is inside of, if there is one."""
    for block in _BLOCKS.get():
        if block.open and block.machine is machine and not block.is_forgotten:
            return block
    return None
