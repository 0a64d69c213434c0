"""What each state makes of each message, as a text that a person can review.

``python -m tests.support.transitions`` writes it to ``tests/core/transitions.txt``; a test compares. It is
made by asking connections of both roles, not by reading the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pgproto import Connection
from pgproto._state import Phase, Step
from pgproto.errors import RemoteProtocolError
from pgproto.messages import Role
from tests.support.alphabet import ALPHABET, SERVER, label
from tests.support.pair import clone, drain
from tests.support.walk import REFUSED, apply, explore, name_of

__all__ = ["PATH", "places_by_name", "render"]

PATH: Final = Path(__file__).parent.parent / "core" / "transitions.txt"

_INTRODUCTION: Final = """\
What each state of a session makes of each well-formed message, and of the end of the stream.

A state READY names the reply under way and those that wait behind it; each is listed alone and with a Sync
behind it. "-> STATE", "stays" and "queued" (behind the other replies): the message is legal. "refused":
whoever wants to send it is refused, and whoever receives it ends the connection. "ignored": whoever receives
it acts as if it had not come.

Made by `python -m tests.support.transitions`; a change here is a change of the protocol that we speak.
"""

_END: Final = "end of stream"
_ENCRYPTION_ASKED: Final = (Phase.SSL_ASKED, Phase.GSSENC_ASKED)
_ENCRYPTION_ANSWERS: Final = [word for word in SERVER if word.startswith("EncryptionResponse")]
_SIDES: Final = {Role.FRONTEND: "client", Role.BACKEND: "server"}


def places_by_name(role: Role) -> dict[str, Connection]:
    """A connection for each state whose queue is empty or a single Sync."""
    found: dict[str, Connection] = {}
    for place in explore(role, depth=14, queue=1):
        connection = place.connection
        if tuple(connection._queue) in ((), (Step.SYNC,)):
            found.setdefault(name_of(connection), connection)
    closed = Connection(role)
    closed._phase = Phase.CLOSED
    found["CLOSED"] = closed
    return found


def _arrow(before: Connection, after: Connection) -> str:
    """The state that follows, in relation to the one before."""
    old, new = name_of(before), name_of(after)
    if new == old:
        return "stays"
    waiting = before._step is not Step.DONE and before._phase is after._phase
    return "queued" if waiting and len(after._queue) > len(before._queue) else f"-> {new}"


def _outcome(connection: Connection, side: Role, word: str) -> str:
    twin = clone(connection)
    if word == _END:
        twin.receive_data(b"")
        try:
            drain(twin)
        except RemoteProtocolError:
            return REFUSED
        return _arrow(connection, twin)
    result = apply(twin, side, word)
    if isinstance(result, str):
        return result
    taken = label(result)
    return _arrow(connection, twin) if taken == word else f"{_arrow(connection, twin)} as {taken}"


def _block(client: Connection, server: Connection) -> Iterator[str]:
    """The lines of one state."""
    for side, words in ALPHABET.items():
        sender, receiver = (client, server) if side is Role.FRONTEND else (server, client)
        by_outcome: dict[str, list[str]] = {}
        for word in (*words, _END):
            if word in _ENCRYPTION_ANSWERS and client.phase not in _ENCRYPTION_ASKED:
                # Elsewhere its single byte is the beginning of something else.
                continue
            outcome = _outcome(receiver, side, word)
            if word != _END and (sent := _outcome(sender, side, word)) != outcome:
                outcome = f"{sent} when sent, {outcome} when received"
            by_outcome.setdefault(outcome, []).append(word)
        refused = by_outcome.pop(REFUSED, [])
        for outcome, accepted in sorted(by_outcome.items()):
            everything = len(accepted) >= len(words) - len(_ENCRYPTION_ANSWERS)
            yield f"{_SIDES[side]} {outcome}: {'everything' if everything else ', '.join(accepted)}"
        if refused:
            yield f"{_SIDES[side]} refused: everything" + (" else" if by_outcome else "")


def render() -> str:
    """The whole text."""
    clients, servers = places_by_name(Role.FRONTEND), places_by_name(Role.BACKEND)
    assert clients.keys() == servers.keys()
    ranks = [phase.name for phase in Phase]
    steps = ["READY", "READY, skipping to Sync", *[f"READY, {step.name}" for step in Step]]

    def rank(name: str) -> tuple[int, int, int]:
        alone = name.removesuffix(", SYNC") if name != "READY, SYNC" else name
        step = steps.index(alone) if alone in steps else 0
        return ranks.index(name.partition(",")[0]), step, len(name)

    parts = [_INTRODUCTION]
    for name in sorted(clients, key=rank):
        parts += [f"\n{name}\n", *[f"    {line}\n" for line in _block(clients[name], servers[name])]]
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(render())
