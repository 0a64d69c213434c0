"""Secret: nothing but reveal() gives the text away."""

from __future__ import annotations

import copy
import pickle

import pytest

from pgproto._secret import Secret

TEXT = "hunter2"


def test_reveal_is_the_way_to_the_text() -> None:
    assert Secret(TEXT).reveal() == TEXT


def test_nothing_shows_it() -> None:
    secret = Secret(TEXT)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", repr([secret])]
    assert not [text for text in shown if TEXT in text]
    assert not hasattr(secret, "__dict__")


def test_equality() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("hunter3")
    assert Secret("\udcff") != Secret("é")
    assert Secret(TEXT) != TEXT


def test_it_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(TEXT))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled") as caught:
        pickle.dumps({"password": Secret(TEXT)}, protocol)
    assert TEXT not in str(caught.value)


def test_a_copy_is_the_same() -> None:
    secret = Secret(TEXT)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
