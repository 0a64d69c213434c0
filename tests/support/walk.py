"""Walking through the states of a connection, one well-formed message at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

from pgproto import Connection
from pgproto._state import Phase, Step
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message, Role
from tests.support.alphabet import ALPHABET
from tests.support.pair import clone, drain

__all__ = ["IGNORED", "REFUSED", "Place", "apply", "explore", "name_of", "state_of"]

REFUSED = "refused"
IGNORED = "ignored"

_BYTES = {
    (side, word): message.encode() for side, words in ALPHABET.items() for word, message in words.items()
}


class Place(NamedTuple):
    """A state, and a connection that is in it: clone it, do not move it."""

    connection: Connection
    path: tuple[tuple[Role, str], ...]
    """The shortest way there, as sides and words of the alphabet."""


def apply(connection: Connection, side: Role, word: str) -> str | Message:
    """Let one side say a word; the event that comes of it, or how the connection declined."""
    message = ALPHABET[side][word]
    if connection.role is side:
        try:
            connection.send(message)
        except LocalProtocolError:
            return REFUSED
        return message
    connection.receive_data(_BYTES[side, word])
    try:
        events = drain(connection)
    except RemoteProtocolError:
        return REFUSED
    assert len(events) <= 1
    return events[0] if events else IGNORED


def state_of(connection: Connection) -> Hashable:
    """What tells states apart."""
    return (
        connection._phase,
        connection._step,
        tuple(connection._queue),
        connection._skipping,
        connection._columns,
        connection._protocol_version,
    )


def name_of(connection: Connection) -> str:
    """A state in a few words, the same for both ends."""
    if connection.phase is not Phase.READY:
        return connection.phase.name
    if connection.step is Step.DONE:
        return "READY, skipping to Sync" if connection._skipping else "READY"
    return ", ".join(["READY", connection.step.name, *[step.name for step in connection._queue]])


def explore(role: Role, *, depth: int, queue: int, start: Connection | None = None) -> Iterator[Place]:
    """Each state within ``depth`` messages, once, the nearest first.

    States with more than ``queue`` replies behind the one under way are reached but not left.
    """
    first = Connection(role) if start is None else start
    seen = {state_of(first)}
    level = [Place(first, ())]
    for distance in range(depth + 1):
        following: list[Place] = []
        for place in level:
            yield place
            if distance == depth or len(place.connection._queue) > queue:
                continue
            for side, words in ALPHABET.items():
                for word in words:
                    twin = clone(place.connection)
                    apply(twin, side, word)
                    state = state_of(twin)
                    if state not in seen:
                        seen.add(state)
                        following.append(Place(twin, (*place.path, (side, word))))
        level = following
