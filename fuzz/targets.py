"""What is fuzzed: each target makes a case out of a seed, and checks it.

A case is data that can be saved, replayed and made smaller: who plays, and what is said and heard. `check` is
the same for all of them, and says everything that must hold of any input at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from fuzz.mutations import mutate
from pgproto.errors import RemoteProtocolError
from pgproto.messages import EncryptionResponse, Role, decode
from tests.support.golden import ALL
from tests.support.mini_parser import flatten, parse, readings
from tests.support.replay import Hear, Say, Script, Transcript, at_once, bytewise, play, randomly, script_for
from tests.support.scripts import random_session

__all__ = ["TARGETS", "Case", "Target", "check", "check_message", "make_case"]


class Case(NamedTuple):
    """What one end of a conversation lives through."""

    role: Role
    script: Script


_POOL: Final = 200
"""How many sessions a process takes turns in spoiling: they cost more than the rest."""

_sessions: dict[tuple[Role, int], list[Say | Hear]] = {}


def _session(role: Role, number: int) -> list[Say | Hear]:
    key = role, number % _POOL
    if key not in _sessions:
        _sessions[key] = script_for(role, random_session(random.Random(key[1])))
    return _sessions[key]


def _legal(rng: random.Random, role: Role) -> Script:
    """A session in which nobody does anything wrong, but that it may end anywhere."""
    script = script_for(role, random_session(rng))
    return script if rng.random() < 0.8 else [*script[: rng.randrange(len(script) + 1)], Hear(b"")]


def _spoiled(rng: random.Random, role: Role) -> Script:
    """A session, some of whose bytes are wrong."""
    script = list(_session(role, rng.randrange(_POOL)))
    heard = [number for number, step in enumerate(script) if isinstance(step, Hear)]
    for number in rng.sample(heard, min(len(heard), rng.choice((1, 1, 1, 2)))):
        step = script[number]
        assert isinstance(step, Hear)
        script[number] = Hear(mutate(rng, step.data))
    if rng.random() < 0.1:
        script.append(Hear(b""))
    return script


def _disordered(rng: random.Random, role: Role) -> Script:
    """The turns of two sessions, left out, doubled and exchanged: well-formed messages at the wrong time."""
    script = [*_session(role, rng.randrange(_POOL)), *_session(role, rng.randrange(_POOL))]
    for _ in range(rng.randint(1, 4)):
        number = rng.randrange(len(script))
        other = rng.randrange(len(script))
        match rng.randrange(3):
            case 0:
                del script[number]
            case 1:
                script.insert(other, script[number])
            case _:
                script[number], script[other] = script[other], script[number]
        if not script:
            return [Hear(b"")]
    return script


def _garbage(rng: random.Random, role: Role) -> Script:
    """Any bytes at all, and those that look as if they meant something, to a session in any state."""
    script = _session(role, rng.randrange(_POOL))
    begun = list(script[: rng.randrange(len(script) + 1)])
    words = [case.wire for case in rng.choices(ALL, k=rng.randint(0, 4))]
    return [*begun, Hear(b"".join([*words, rng.randbytes(rng.randint(1, 60)), *words]))]


def _message(rng: random.Random, role: Role) -> Script:
    """A single message, with something wrong."""
    wire = rng.choice([case.wire for case in ALL if case.role is role.peer])
    return [Hear(mutate(rng, wire))]


def make_case(target: str, seed: str) -> Case:
    """The case that this target makes of this seed, always the same."""
    rng = random.Random(f"{target} {seed}")
    role = rng.choice((Role.FRONTEND, Role.BACKEND))
    return Case(role, TARGETS[target].make(rng, role))


def check(case: Case, seed: str, *, legal: bool = False) -> str:
    """All that must hold of any case; whatever else than the two declared errors comes out fails it.

    Returns how it ended. With ``legal``, there must not be an error but for an early end of the stream.
    """
    whole = play(case.role, case.script)
    rng = random.Random(seed)
    _compare(whole, play(case.role, case.script, randomly(rng)))
    if rng.random() < 0.2 or legal:
        _compare(whole, play(case.role, case.script, bytewise))
        _compare(whole, play(case.role, case.script, at_once, sink=True))
        _compare(whole, play(case.role, case.script, randomly(rng), sink=True))
    _check_events(case, whole)
    if legal:
        said = [step for step in case.script if isinstance(step, Say)]
        assert None not in whole.said
        assert whole.error is None or "closed the connection" in whole.error
        assert len(whole.said) == len(said)
    return "error" if whole.error else "no error"


_TURN_ERRORS: Final = ("unencrypted bytes follow", "when it was not its turn")


def _compare(one: Transcript, other: Transcript) -> None:
    """However the network cut the bytes, the same came of them."""
    if one[:3] == other[:3]:
        return
    # The one exception: more than the single byte that may come before a handshake. If it came at once, not
    # even that byte is believed; if it came later, the byte has been acted upon before.
    assert one.error is not None
    assert other.error is not None
    assert [text for text in _TURN_ERRORS if text in one.error]
    assert [text for text in _TURN_ERRORS if text in other.error]


def _check_events(case: Case, transcript: Transcript) -> None:
    """Each message is in the bytes that came, in this order, and the second reader sees it there too."""
    heard = b"".join([step.data for step in case.script if isinstance(step, Hear)])
    position = 0
    for event in transcript.events:
        data = event.encode()
        # Whatever lies between was to be ignored.
        position = heard.index(data, position) + len(data)
        assert decode(case.role.peer, data).encode() == data
        if len(data) > 1:
            # It may say so by raising Unreadable.
            assert parse(case.role.peer, type(event).__name__, data) == flatten(event)


def check_message(case: Case, seed: str) -> str:
    """Two readers that know nothing of each other agree on a single message; returns what they said."""
    role = case.role.peer
    for step in case.script:
        assert isinstance(step, Hear)
        possible = readings(role, step.data)
        try:
            message = decode(role, step.data)
        except RemoteProtocolError:
            assert possible == []
            continue
        assert message.encode() == step.data
        if not isinstance(message, EncryptionResponse):
            assert parse(role, type(message).__name__, step.data) == flatten(message)
        return "accepted"
    return "refused"


class Target(NamedTuple):
    """A way to make cases, and what must hold of them."""

    make: Callable[[random.Random, Role], Script]
    check: Callable[[Case, str], str]
    """Takes a case and its seed, and returns how it ended."""


TARGETS: Final[Mapping[str, Target]] = {
    "legal": Target(_legal, partial(check, legal=True)),
    "spoiled": Target(_spoiled, check),
    "disordered": Target(_disordered, check),
    "garbage": Target(_garbage, check),
    "message": Target(_message, check_message),
}
