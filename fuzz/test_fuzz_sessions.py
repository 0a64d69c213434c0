"""Whole sessions, legal and spoiled, cut anywhere: the same comes of them, and only the two declared errors.

A short slice of what ``python -m fuzz.long`` does for hours. The seeds are fixed; ``HYPOTHESIS_PROFILE=long``
takes more of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.corpus import FOLDER, read_entry
from fuzz.long import fuzz, run_one
from fuzz.minimise import minimise
from fuzz.targets import TARGETS, Case, check, make_case
from pgproto import messages as m
from pgproto.messages import Role
from tests.support.replay import Hear, Say, bytewise, play, script_for
from tests.support.scripts import random_session
from tests.support.strategies import chunkings

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

CASES = {"legal": 250, "spoiled": 800, "disordered": 500, "garbage": 800, "message": 3_000}


@pytest.mark.parametrize("target", TARGETS)
def test_a_slice_of_the_long_run(target: str, tmp_path: Path) -> None:
    endings: Counter[str] = Counter()
    wanted = CASES[target] * (100 if IS_LONG else 1)
    for number in range(wanted):
        failure, ending = run_one(target, f"slice {number}", tmp_path)
        assert failure is None
        endings[ending] += 1
    assert endings.total() == wanted
    # Neither all of them may be good nor all of them bad, or something is not tested.
    assert len(endings) == 2
    assert min(endings.values()) > wanted / 50


def test_seeds_make_the_same_case_each_time() -> None:
    for target in TARGETS:
        assert make_case(target, "1") == make_case(target, "1")
        assert make_case(target, "1") != make_case(target, "2")


@ROLES
@given(st.data())
def test_any_cut_of_a_session_gives_the_same_events(role: Role, data: st.DataObject) -> None:
    session = random_session(random.Random(data.draw(st.integers(0, 2**32))), requests=3)
    script = script_for(role, session)
    whole = play(role, script)
    assert whole.error is None
    sent = [message for side, said in session if side is not role for message in said]
    if role is Role.FRONTEND:
        assert whole.events == sent
    else:
        # A server drops what comes behind an error, and nothing else.
        left = iter(sent)
        assert all(event in left for event in whole.events)
    pieces = {step.data: data.draw(chunkings(step.data)) for step in script if isinstance(step, Hear)}
    assert play(role, script, pieces.__getitem__) == whole


def _in_two(place: int, data: bytes) -> list[bytes]:
    return [piece for piece in (data[:place], data[place:]) if piece]


@ROLES
def test_every_two_way_cut_of_some_sessions(role: Role) -> None:
    compared = 0
    for number in range(60 if IS_LONG else 6):
        script = script_for(role, random_session(random.Random(f"cut {number}"), requests=2))
        whole = play(role, script)
        assert play(role, script, bytewise) == whole
        longest = max(len(step.data) for step in script if isinstance(step, Hear))
        for place in range(1, longest):
            assert play(role, script, partial(_in_two, place)) == whole
            compared += 1
    assert compared > 500


@ROLES
def test_sessions_cut_off_at_every_byte(role: Role) -> None:
    """What came before the end is delivered, and then the end is an error, unless the session was over."""
    for number in range(40 if IS_LONG else 4):
        script = script_for(role, random_session(random.Random(f"end {number}"), requests=2))
        full = play(role, script)
        for place, step in enumerate(script):
            if isinstance(step, Say):
                continue
            for cut in range(len(step.data)):
                part = Hear(step.data[:cut])
                end = [part, Hear(b"")] if cut else [Hear(b"")]
                transcript = play(role, [*script[:place], *end])
                assert transcript.events == full.events[: len(transcript.events)]
                assert transcript.error is not None
                assert "closed the connection" in transcript.error


# The corpus: what has been wrong once, and what is most easily got wrong.

ENTRIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_the_corpus(path: Path) -> None:
    case, ending = read_entry(path)
    for seed in range(5):
        check(case, str(seed))
    transcript = play(case.role, case.script)
    if ending is None:
        return
    assert None not in transcript.said
    if ending:
        assert transcript.error is not None
        assert ending in transcript.error
    else:
        assert transcript.error is None


def test_the_corpus_is_there() -> None:
    assert len(ENTRIES) >= 40
    for path in ENTRIES:
        assert path.read_text().startswith("# ")


# The fuzzer itself.


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library in which one message is not read as it should be, if it says something special."""
    read_body = m.ParameterStatus.read_body

    def read_badly(reader: object) -> m.ParameterStatus:
        message = read_body(reader)  # type: ignore[arg-type]  # whatever is given to the real one
        if "client" in message.name:
            raise KeyError(message.name)
        return message

    from pgproto.messages._catalogue import KINDS

    kinds = KINDS[Role.BACKEND]
    monkeypatch.setitem(kinds, 0x53, kinds[0x53]._replace(read=read_badly))


@pytest.mark.usefixtures("broken")
def test_the_fuzzer_finds_what_is_broken_and_saves_it_small(tmp_path: Path) -> None:
    counts, failures = fuzz("self", 60, ["legal", "spoiled"], tmp_path)
    assert len(failures) == 5
    assert counts.total() >= 5
    assert "KeyError in test_fuzz_sessions.py, read_badly" in failures[0]
    saved = sorted(tmp_path.glob("found-*.txt"))
    assert saved
    for path in saved:
        case, ending = read_entry(path)
        assert ending is None
        assert len(case.script) <= 4
        assert sum(len(step.data) for step in case.script if isinstance(step, Hear)) < 150
        with pytest.raises(KeyError):
            check(case, "1")


def test_minimising_keeps_what_matters() -> None:
    case = Case(Role.FRONTEND, [Say(m.Sync()), Hear(b"abcXdefYgh"), Say(m.Flush()), Hear(b"nothing")])

    def fails(candidate: Case) -> bool:
        heard = b"".join([step.data for step in candidate.script if isinstance(step, Hear)])
        return b"X" in heard and b"Y" in heard

    assert minimise(case, fails) == Case(Role.FRONTEND, [Hear(b"XY")])
