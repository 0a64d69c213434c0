"""Durations as callers give them."""

from __future__ import annotations

from math import inf, nan

import pytest

from pgproto import DataError
from pgproto._seconds import LONGEST, seconds

__all__: list[str] = []


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (1.5, 1.5),
        (2, 2.0),
        (True, 1.0),
        (0, 0.0),
        (-1, 0.0),
        (-inf, 0.0),
        (-(10**400), 0.0),
        (LONGEST, LONGEST),
        (1e300, LONGEST),
        (inf, LONGEST),
        (10**400, LONGEST),
    ],
)
def test_a_number_of_seconds(given: float, taken: float) -> None:
    assert seconds(given) == taken
    assert type(seconds(given)) is float


def test_not_a_number() -> None:
    with pytest.raises(DataError, match="not NaN"):
        seconds(nan)


@pytest.mark.parametrize("given", ["5", b"5", None, [5], 1j])
def test_no_number(given: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(given).__name__}"):
        seconds(given)
