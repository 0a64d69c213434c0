"""The tables of the state machine: complete, without dead ends, and as the documents say."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pgproto import Connection
from pgproto import messages as m
from pgproto._state import (
    ASYNCHRONOUS,
    AUTHENTICATING,
    COPY_INPUT,
    ERRORS,
    REPLIES,
    REQUESTS,
    SESSION,
    Phase,
    Step,
)
from pgproto.errors import LocalProtocolError, RemoteProtocolError
from pgproto.messages import Message, Role
from tests.support import golden, transitions
from tests.support.alphabet import ALPHABET, CLIENT, SERVER
from tests.support.pair import clone, drain, ready, snapshot
from tests.support.walk import Place, apply, explore, name_of, state_of

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)


def _classes() -> set[type[Message]]:
    named = [getattr(m, name) for name in m.__all__]
    return {
        kind
        for kind in named
        if isinstance(kind, type)
        and issubclass(kind, Message)
        and kind not in (Message, m.Authentication, m.DataRows)
    }


# The tables by themselves.


def test_each_phase_and_each_step_has_an_entry() -> None:
    assert set(SESSION) == set(Phase)
    assert set(REPLIES) == set(Step)
    assert set(ERRORS) == set(Step) - {Step.DONE, Step.READY_NEXT}


def test_each_message_has_its_place_in_a_table() -> None:
    placed = {kind for moves in SESSION.values() for kind in moves}
    placed |= {kind for moves in REPLIES.values() for kind in moves}
    placed |= {kind for moves in COPY_INPUT.values() for kind in moves}
    placed |= set(REQUESTS) | set(ASYNCHRONOUS) | {m.ErrorResponse}
    assert placed == _classes()


def test_the_alphabet_and_the_golden_bytes_leave_no_message_out() -> None:
    words = {type(message) for words in ALPHABET.values() for message in words.values()}
    assert words == _classes()
    assert {type(case.message) for case in golden.ALL} == _classes()


def test_a_step_that_reads_copy_data_lets_the_client_say_how_it_ends() -> None:
    for moves in COPY_INPUT.values():
        assert set(moves) == {m.CopyData, m.CopyDone, m.CopyFail}


def test_each_step_can_end() -> None:
    ends = {Step.DONE}
    while True:
        more = {
            step
            for step in Step
            if ends & {*REPLIES[step].values(), *COPY_INPUT.get(step, {}).values()}
            or ERRORS.get(step) in ends
        }
        if more <= ends:
            break
        ends |= more
    assert ends == set(Step)


def test_no_way_leads_into_a_session_past_the_proofs() -> None:
    before = {phase for phase, moves in SESSION.items() if Phase.AUTHENTICATED in moves.values()}
    # Only this may be followed by AuthenticationOk: of SCRAM, only that the server has proved itself.
    assert before == {
        Phase.STARTED,
        Phase.NEGOTIATED,
        Phase.PASSWORD_GIVEN,
        Phase.SCRAM_VERIFIED,
        Phase.SASL_STARTED,
        Phase.SASL_FINISHED,
        Phase.GSS_GIVEN,
        Phase.GSS_CONTINUED,
    }
    scram = {Phase.SCRAM_STARTED, Phase.SCRAM_CHALLENGED, Phase.SCRAM_PROVED, Phase.SCRAM_VERIFIED}
    for phase in scram:
        assert len(SESSION[phase]) == 1
        assert set(SESSION[phase].values()) <= scram | {Phase.AUTHENTICATED}


def test_nothing_about_authentication_comes_after_authentication() -> None:
    for phase in set(Phase) - AUTHENTICATING:
        assert not [kind for kind in SESSION[phase] if issubclass(kind, m.Authentication)]


# The tables at work, in connections of both roles.


@ROLES
def test_each_phase_and_step_can_be_reached(role: Role) -> None:
    places = list(explore(role, depth=14, queue=0))
    phases = {place.connection.phase for place in places}
    assert phases == set(Phase) - {Phase.CLOSED}  # the end of the stream leads there
    assert {place.connection.step for place in places} == set(Step)


def test_both_roles_know_the_same_states() -> None:
    client, server = (
        {state_of(place.connection) for place in explore(role, depth=14, queue=1)} for role in Role
    )
    assert client == server
    assert len(client) > 300


def test_the_transitions_are_those_that_were_reviewed() -> None:
    """Regenerate with ``python -m tests.support.transitions`` and review the difference."""
    assert transitions.render() == transitions.PATH.read_text()


def test_the_diagrams_are_those_of_the_tables() -> None:
    """Regenerate with ``python docs/make_state_diagrams.py``."""
    source = Path(__file__).parent.parent.parent / "docs" / "make_state_diagrams.py"
    spec = importlib.util.spec_from_file_location("make_state_diagrams", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() == module.PATH.read_text(encoding="utf-8")


def _check_cell(place: Place, side: Role, word: str) -> str:
    """One state and one word: what declines it must say so by the rules; returns what happened."""
    connection = clone(place.connection)
    before = snapshot(connection)
    result = apply(connection, side, word)
    assert connection.pending >= 0
    if connection.role is side and isinstance(result, str):
        # Refused to the caller: nothing has changed.
        assert snapshot(connection) == before
        return "refused locally"
    if connection.phase is Phase.FAILED:
        # Refused to the peer: the end, the same each time, and nothing more can be said.
        with pytest.raises(RemoteProtocolError) as first:
            drain(connection)
        connection.receive_data(b"more")
        with pytest.raises(RemoteProtocolError) as second:
            drain(connection)
        assert str(first.value) == str(second.value)
        with pytest.raises(LocalProtocolError):
            connection.send(m.Query("") if connection.role is Role.FRONTEND else m.NoData())
        return "refused to the peer"
    return "taken"


@ROLES
def test_every_message_in_every_state_has_an_outcome(role: Role) -> None:
    counts = Counter(
        _check_cell(place, side, word)
        for place in explore(role, depth=14, queue=0)
        for side, words in ALPHABET.items()
        for word in words
    )
    assert counts.total() > 20_000
    assert len(counts) == 3


@ROLES
def test_sequences_of_three_messages(role: Role) -> None:
    """All of them, from a fresh and from a ready connection; nothing but the two errors ever comes out.

    What changes nothing leads to no sequence that is not among them anyway.
    """
    count = 0
    reached: set[object] = set()
    for first in (Connection(role), ready(role)):
        level = [first]
        for _ in range(3):
            following: list[Connection] = []
            for connection in level:
                for side, words in ALPHABET.items():
                    for word in words:
                        count += 1
                        twin = clone(connection)
                        apply(twin, side, word)
                        if twin.phase is not Phase.FAILED and (place := state_of(twin)) != state_of(
                            connection
                        ):
                            following.append(twin)
                            reached.add(place)
            level = following
    assert count > 10_000
    assert len(reached) > 100


@pytest.mark.exhaustive
@ROLES
def test_sequences_of_any_length(role: Role) -> None:
    """All that keep the number of replies outstanding low; those that lead to the same state are one."""
    is_long = os.environ.get("HYPOTHESIS_PROFILE") == "long"
    counts = Counter(
        _check_cell(place, side, word)
        for place in explore(role, depth=99, queue=2 if is_long else 1)
        for side, words in ALPHABET.items()
        for word in words
    )
    assert counts.total() > (1_000_000 if is_long else 100_000)


# All 256 types of message, well formed and not.

_TAGS = {
    Role.FRONTEND: {message.tag for message in CLIENT.values()} - {b""},
    Role.BACKEND: {message.tag for message in SERVER.values()} - {b""},
}


@ROLES
def test_unknown_types_are_refused_from_five_bytes(role: Role) -> None:
    unknown = {bytes((number,)) for number in range(256)} - _TAGS[role.peer]
    for start in transitions.places_by_name(role).values():
        for tag in unknown:
            connection = clone(start)
            connection.receive_data(tag + b"\x00\x00\x00\x04")
            if connection.phase in (Phase.CANCELING, Phase.CLOSING, Phase.CLOSED):
                assert drain(connection) == []
                continue
            try:
                drain(connection)
            except RemoteProtocolError:
                continue
            # What begins like a startup message has no type.
            assert connection.phase in (Phase.START, Phase.ENCRYPTED), name_of(start)
            assert tag == b"\x00"


_BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "one byte more": lambda body: body + b"\x00",
    "one byte less": lambda body: body[:-1],
    "nothing": lambda body: b"",
    "all ones": lambda body: b"\xff" * len(body),
    "all zeros": lambda body: bytes(len(body)),
}


@ROLES
@pytest.mark.parametrize("how", _BROKEN)
def test_broken_bodies_in_every_state(role: Role, how: str) -> None:
    """Each type with another body: an event that encodes to the same bytes, or the end."""
    cases = [case for case in golden.ALL if case.role is role.peer and case.message.tag]
    outcomes = Counter[bool]()
    for start in transitions.places_by_name(role).values():
        for case in cases:
            body = _BROKEN[how](case.wire[5:])
            data = case.wire[:1] + (4 + len(body)).to_bytes(4, "big") + body
            connection = clone(start)
            connection.receive_data(data)
            try:
                events = drain(connection)
            except RemoteProtocolError:
                outcomes[False] += 1
                continue
            outcomes[True] += 1
            assert [event.encode() for event in events] in ([], [data])
    assert outcomes.total() > 1_500
