"""Connection strings: what libpq makes of them, and what the messages about bad ones hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._config import parse_dsn
from pgproto._config._dsn import parse_connection_string
from pgproto._config._keywords import DSN_KEYWORDS, LIBPQ_KEYWORDS
from pgproto.errors import ConfigError
from tests.support.dsn_cases import DSN_CASES

SECRET = "Xq7canary9Zz"


def message(dsn: str) -> str:
    """What the error about a bad connection string says."""
    with pytest.raises(ConfigError) as caught:
        parse_dsn(dsn)
    return str(caught.value)


def test_there_are_enough_cases() -> None:
    assert len(DSN_CASES) >= 150
    assert sum(expected is None for _, expected in DSN_CASES) >= 50


@pytest.mark.parametrize(("dsn", "expected"), DSN_CASES, ids=lambda value: repr(value)[:60])
def test_same_as_libpq(dsn: str, expected: dict[str, str] | None) -> None:
    if expected is None:
        message(dsn)
    else:
        assert parse_dsn(dsn) == expected


@pytest.mark.parametrize("dsn", ["host=a\0b", "postgresql://a\0b", "user=\ud800"])
def test_what_no_c_string_can_hold(dsn: str) -> None:
    message(dsn)


def test_bytes_that_are_not_utf8_survive() -> None:
    assert parse_dsn("user=\udcff\udc80") == {"user": "\udcff\udc80"}
    assert parse_dsn("postgresql://%ff%C3%A9@h")["user"].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("nonsense=1", ['"nonsense"']),
        ("postgresql://h?nonsense=1", ['"nonsense"']),
        ("hots=1", ['"hots"', 'did you mean "host"']),
        ("database=1", ['did you mean "dbname"']),
        ("postgresql://h?sslmod=1", ['did you mean "sslmode"']),
        ("User=1", ['did you mean "user"']),
        (f"password={SECRET} nonsense=1", ['"nonsense"']),
        ("host", ["postgresql://"]),
        ("postgresql://h?options=-c a=b", ['"options"', "%3D"]),
        ("postgresql://u:50%@h", ["password", "%25"]),
        ("postgresql://h/a b", ["database name", "%20"]),
    ],
)
def test_messages_say_what_is_wrong(dsn: str, words: list[str]) -> None:
    for word in words:
        assert word in message(dsn)


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:{SECRET}%zz@h/d",
        f"postgresql://u:{SECRET}%00@h/d",
        f"postgresql://u:{SECRET} {SECRET}@h/d",
        f"postgresql://u:{SECRET}@h/d?x=1",
        f"postgresql://u:{SECRET}@h/d?user",
        f"postgresql://u:{SECRET}@[::1/d",
        f"postgresql://u:{SECRET}@[::1]x/d",
        f"postgresql://u:a/b?{SECRET}=c@h/d",
        f"postgresql://u:a/b?{SECRET}@h/d",
        f"postgresql://h/d?password={SECRET}=x",
        f"postgresql://h/d?password={SECRET}%x",
        f"postgresql://h/d?{SECRET}%x",
        f"{SECRET}",
        f"password={SECRET}\0",
        f"password='{SECRET}",
        f"password=a {SECRET}",
        f"password=a {SECRET}=b",
        f"password='a' {SECRET}-{SECRET}=b",
        f"password='it's {SECRET}=b",
        f"password='it's{SECRET}=b'",
        f"user=u password = x'{SECRET} y",
        f"mysql://u:{SECRET}@h/d",
        f" postgresql://u:{SECRET}@h/d?sslmode=require",
    ],
)
def test_secrets_stay_where_they_are(dsn: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dsn(dsn)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in repr(error)
        assert SECRET not in str(vars(error))
        error = error.__context__


def test_a_misplaced_password_is_explained() -> None:
    assert "%2F" in message("postgresql://u:pa/ss?word=1@h/d")
    assert "quotes" in message("password=pass word2=x")


def test_own_parameters_are_for_load_config() -> None:
    dsn = "host=h statement_cache_size=0"
    assert parse_connection_string(dsn, DSN_KEYWORDS) == {"host": "h", "statement_cache_size": "0"}
    assert "statement_cache_size" in message(dsn)


VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@given(st.dictionaries(st.sampled_from(sorted(LIBPQ_KEYWORDS)), VALUES), st.sampled_from(["", " ", "\n\t "]))
def test_quoted_pairs_round_trip(values: dict[str, str], space: str) -> None:
    pairs = [f"{name}{space}={space}{quoted(value)}" for name, value in values.items()]
    assert parse_dsn(f"{space}{' '.join(pairs)}{space}") == values


def percent_encoded(value: str) -> str:
    return "".join(f"%{byte:02x}" for byte in value.encode())


@given(st.dictionaries(st.sampled_from(sorted(LIBPQ_KEYWORDS)), VALUES))
def test_encoded_uris_round_trip(values: dict[str, str]) -> None:
    query = "&".join(f"{name}={percent_encoded(value)}" for name, value in values.items())
    assert parse_dsn(f"postgresql://?{query}") == values
