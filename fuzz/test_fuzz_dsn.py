"""Connection strings made of scraps: the verdict of libpq, one kind of exception, and no secret let out."""

from __future__ import annotations

import os
import random
import time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._config import Config, load_config, parse_dsn
from pgproto._effects import ReadFile
from pgproto.errors import ConfigError
from tests.support.dsn_cases import DSN_CASES, DSN_TOKENS
from tests.support.libpq import libpq

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
COUNT = 500_000 if LONG else 50_000
SECRET = "Xq7$canary9"
"""Not made like the name of a parameter: names of unknown parameters are said in messages."""


def verdict(dsn: str) -> dict[str, str] | None:
    try:
        return parse_dsn(dsn)
    except ConfigError:
        return None


def scraps(random_source: random.Random) -> str:
    """A connection string of random pieces, or a good one with a piece changed."""
    if random_source.random() < 0.3:
        dsn, _ = random_source.choice(DSN_CASES)
        start = random_source.randint(0, len(dsn))
        piece = random_source.choice(["", *DSN_TOKENS])
        return dsn[:start] + piece + dsn[start + random_source.randint(0, 3) :]
    pieces = random_source.choices(DSN_TOKENS, k=random_source.randint(0, 14))
    return random_source.choice(["", "postgresql://"]) + "".join(pieces)


def test_same_verdict_as_libpq() -> None:
    parse = libpq().parse
    seed = int(os.environ.get("PGPROTO_SEED") or (time.time_ns() if LONG else 1))
    print(f"PGPROTO_SEED={seed}")
    random_source = random.Random(seed)
    accepted = 0
    for _ in range(COUNT):
        dsn = scraps(random_source)
        expected = parse(dsn)
        assert verdict(dsn) == expected, f"{dsn!r} with PGPROTO_SEED={seed}"
        accepted += expected is not None
    assert COUNT // 10 < accepted < COUNT * 9 // 10


@given(st.text() | st.lists(st.sampled_from([*DSN_TOKENS, "\0", "\ud800"]), max_size=14).map("".join))
def test_config_error_and_no_other(dsn: str) -> None:
    values = verdict(dsn)
    assert values is None or all(isinstance(value, str) for value in values.values())


@given(st.lists(st.sampled_from([*DSN_TOKENS, SECRET, f":{SECRET}@", f"password={SECRET}"]), max_size=12))
def test_messages_keep_secrets(pieces: list[str]) -> None:
    error: BaseException | None = None
    try:
        parse_dsn("".join(pieces))
    except ConfigError as caught:
        error = caught
    while error is not None:
        assert SECRET not in repr(error)
        error = error.__context__


def loaded(dsn: str) -> Config | None:
    flow = load_config(dsn, {}, {}, os_user="u", home="/home/u")
    try:
        while True:
            effect = flow.send(None)
            assert isinstance(effect, ReadFile)
            assert "\0" not in effect.path
    except ConfigError:
        return None
    except StopIteration as stop:
        return cast("Config", stop.value)


@given(st.lists(st.sampled_from(DSN_TOKENS), max_size=14).map("".join), st.booleans())
def test_a_config_or_a_config_error(rest: str, uri: bool) -> None:
    config = loaded("postgresql://" + rest if uri else rest)
    if config is None:
        return
    assert config.hosts
    assert all("\0" not in text and text for pair in config.startup_parameters.items() for text in pair)
    if config.password is not None:
        assert "***" in repr(config)


@pytest.mark.parametrize("piece", ["a", "\\", "'", "%41", "=", "&a=b", ",", "[", " ", "\\a", "a=b "])
@pytest.mark.parametrize(
    "start", ["host=", "host='", "postgresql://", "postgresql://h?user=", "postgresql://u:"]
)
def test_long_strings_take_no_quadratic_time(start: str, piece: str) -> None:
    begun = time.perf_counter()
    verdict(start + piece * 50_000)
    assert time.perf_counter() - begun < 2.0
