"""The same connection parameters, given to us and to libpq.

No server takes part: every attempt is at a socket that is not there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgproto._config import Config, load_config, parse_dsn
from pgproto._config._keywords import KEYWORDS, LIBPQ_KEYWORDS
from pgproto._config._sources import Surroundings, gather
from pgproto._effects import FileContents, Flow, ReadFile
from pgproto._secret import Secret
from pgproto.errors import ConfigError
from tests.support.dsn_cases import DSN_CASES, DSN_TOKENS
from tests.support.libpq import Attempt, libpq

R = TypeVar("R")

NOWHERE = "host=/nonexistent"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGPROTO")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path / "etc"))


def parsed(dsn: str) -> dict[str, str] | None:
    """What we make of a connection string; None if we refuse it."""
    try:
        return parse_dsn(dsn)
    except ConfigError:
        return None


def run(flow: Flow[R]) -> R:
    """Run a flow that reads files."""
    result: FileContents | None = None
    while True:
        try:
            effect = flow.send(result)
        except StopIteration as stop:
            return cast("R", stop.value)
        assert isinstance(effect, ReadFile)
        path = Path(effect.path)
        result = FileContents(path.read_bytes(), path.stat().st_mode, None) if path.exists() else None


def gathered(dsn: str) -> dict[str, str] | None:
    """Our values for libpq's parameters, before they are judged; None if something is refused."""
    try:
        values = run(gather(dsn, {}, Surroundings(os.environ, "nobody", None, windows=False)))
    except ConfigError:
        return None
    raw = {name: values.raw(name) for name in LIBPQ_KEYWORDS}
    return {name: value for name, value in raw.items() if isinstance(value, str)}


def loaded(dsn: str) -> Config | None:
    """Our configuration; None if something is refused."""
    try:
        return run(load_config(dsn, {}, os.environ, os_user="nobody"))
    except ConfigError:
        return None


class TestTable:
    @pytest.mark.parametrize(("dsn", "expected"), DSN_CASES, ids=lambda value: repr(value)[:60])
    def test_libpq_says_so(self, dsn: str, expected: dict[str, str] | None) -> None:
        assert libpq().parse(dsn) == expected


class TestParsing:
    @given(st.lists(st.sampled_from(DSN_TOKENS), max_size=14).map("".join))
    def test_tokens(self, dsn: str) -> None:
        assert parsed(dsn) == libpq().parse(dsn)

    @given(st.lists(st.sampled_from(DSN_TOKENS), max_size=14).map("".join))
    def test_uris(self, rest: str) -> None:
        assert parsed(f"postgresql://{rest}") == libpq().parse(f"postgresql://{rest}")

    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    @example("host=\\ ")
    def test_text(self, dsn: str) -> None:
        assert parsed(dsn) == libpq().parse(dsn)

    @given(st.sampled_from([dsn for dsn, _ in DSN_CASES]), st.data())
    def test_mutations(self, dsn: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(dsn)))
        end = data.draw(st.integers(start, min(len(dsn), start + 3)))
        mutated = dsn[:start] + data.draw(st.sampled_from(["", *DSN_TOKENS])) + dsn[end:]
        assert parsed(mutated) == libpq().parse(mutated)


class TestKeywords:
    def test_all_of_them_with_variables_and_secrets(self) -> None:
        theirs = {default.keyword: default for default in libpq().defaults()}
        assert set(theirs) == LIBPQ_KEYWORDS
        for name, default in theirs.items():
            assert KEYWORDS[name].variable == default.variable
            assert KEYWORDS[name].default == default.compiled
        shown_by_libpq = {"scram_client_key", "scram_server_key"}
        secret = {name for name in LIBPQ_KEYWORDS if KEYWORDS[name].secret}
        assert {name for name, default in theirs.items() if default.secret} == secret - shown_by_libpq

    def test_every_variable_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = [default.variable for default in libpq().defaults() if default.variable]
        assert len(variables) >= 35
        for variable in variables:
            if variable != "PGSERVICE":
                monkeypatch.setenv(variable, f"of {variable}")
        values = gathered("")
        assert values is not None
        for default in libpq().defaults():
            if default.variable not in {None, "PGSERVICE", "PGCLIENTENCODING"}:
                assert values[default.keyword] == default.value == f"of {default.variable}"


SERVICES = """\
# services
[one]
application_name=of the service
dbname = spaced
[two]
application_name=of the service
application_name=again
port=7
host=/nonexistent
options= -c geqo=off
[three] and more
user=three
[nested]
service=one
[unknown]
nonsense=1
[bare]
host
[empty]
"""

COMPUTED = {"user", "dbname", "passfile", "sslcertmode", "port", "service"}
"""What libpq fills in later, or does not report."""


def same_values(attempt: Attempt, ours: Mapping[str, str]) -> bool:
    return {k: v for k, v in attempt.values.items() if k not in COMPUTED} == {
        k: v for k, v in ours.items() if k not in COMPUTED
    }


class TestSources:
    @pytest.mark.parametrize("place", [".pg_service.conf", "etc/pg_service.conf", "named"])
    @pytest.mark.parametrize(
        "service", ["one", "two", "three", "nested", "unknown", "bare", "empty", "absent", "thre"]
    )
    @pytest.mark.parametrize("by", ["environment", "dsn"])
    def test_services(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, service: str, by: str
    ) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / place).write_text(SERVICES)
        if place == "named":
            monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / place))
        monkeypatch.setenv("PGAPPNAME", "of the environment")
        if by == "environment":
            monkeypatch.setenv("PGSERVICE", service)
        dsn = NOWHERE if by == "environment" else f"{NOWHERE} service={service}"
        attempt, ours = libpq().attempt(dsn), gathered(dsn)
        assert attempt.refused == (ours is None)
        if ours is not None:
            assert same_values(attempt, ours)

    def test_the_named_file_must_be_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGSERVICEFILE", "/nonexistent/services")
        dsn = f"{NOWHERE} service=one"
        assert libpq().attempt(dsn).refused
        assert gathered(dsn) is None

    @pytest.mark.parametrize(
        "environment",
        [
            {},
            {"PGAPPNAME": "x", "PGOPTIONS": "-c geqo=off"},
            {"PGAPPNAME": ""},
            {"PGREQUIRESSL": "1"},
            {"PGREQUIRESSL": "0"},
            {"PGREQUIRESSL": "1", "PGSSLMODE": "disable"},
            {"PGSSLROOTCERT": "system"},
            {"PGSSLROOTCERT": "system", "PGREQUIRESSL": "0"},
            {"PGTARGETSESSIONATTRS": "read-write"},
        ],
    )
    def test_environment(self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for dsn in (NOWHERE, f"{NOWHERE} application_name=dsn sslmode=allow sslrootcert=x"):
            ours = gathered(dsn)
            assert ours is not None
            assert same_values(libpq().attempt(dsn), ours)


PASSFILES = [
    "*:*:*:*:secret",
    "*:*:*:*:a:b",
    r"*:*:*:*:a\:b\\c\d",
    "*:*:*:*:ends\\",
    "/nonexistent:1:d:u:exact",
    "/nonexistent:2:d:u:other\n*:*:*:u:rest",
    r"/non\existent:*:*:*:escaped",
    r"\*:*:*:*:no",
    "localhost:*:*:*:local",
    "#*:*:*:*:comment\n\n*:1:*:*:second\r\n",
    "*:*:*:*:",
    "*:*:*:*:\n*:*:*:*:later",
    "*:*:*:*",
    " *:*:*:*:space",
    "*:*:*:* :space",
    "*:*:*:*: space ",
    "*:*:*:*:\u00e9",
    "*:*:*:*:" + "long" * 500,
]


class TestPasswordFile:
    DSN = f"{NOWHERE} port=1 dbname=d user=u"

    def both(self) -> tuple[str, str]:
        config = loaded(self.DSN)
        assert config is not None
        password = config.password_for(config.hosts[0])
        return libpq().attempt(self.DSN).password, "" if password is None else password.reveal()

    @pytest.mark.parametrize("text", PASSFILES)
    def test_lines(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / ".pgpass"
        path.write_text(text)
        path.chmod(0o600)
        theirs, ours = self.both()
        assert ours == theirs

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o640, 0o604, 0o644])
    def test_permissions(self, tmp_path: Path, mode: int, capfd: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / ".pgpass"
        path.write_text("*:*:*:*:secret")
        path.chmod(mode)
        theirs, ours = self.both()
        assert ours == theirs
        config = loaded(self.DSN)
        assert config is not None
        assert bool(config.warnings) == ("WARNING" in capfd.readouterr().err)

    def test_passfile_by_variable_and_by_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).write_text(f"*:*:*:*:{name}")
            (tmp_path / name).chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "one"))
        assert self.both() == ("one", "one")
        config = loaded(f"{self.DSN} passfile={tmp_path / 'two'}")
        assert config is not None
        assert config.password_for(config.hosts[0]) == Secret("two")
        assert libpq().attempt(f"{self.DSN} passfile={tmp_path / 'two'}").password == "two"


VALUES = {
    "sslmode": ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full", "Require", "on"],
    "sslnegotiation": ["", "postgres", "direct", "x"],
    "sslcertmode": ["", "disable", "allow", "require", "x"],
    "sslrootcert": ["", "system", "/x"],
    "channel_binding": ["", "disable", "prefer", "require", "x"],
    "gssencmode": ["", "disable", "prefer", "x"],
    "target_session_attrs": [
        "",
        "any",
        "read-write",
        "read-only",
        "primary",
        "standby",
        "prefer-standby",
        "x",
    ],
    "load_balance_hosts": ["", "disable", "random", "x"],
    "ssl_min_protocol_version": ["", "TLSv1", "tlsv1.1", "TLSv1.2", "TLSv1.3", "SSLv3"],
    "ssl_max_protocol_version": ["", "TLSv1", "TLSv1.1", "TLSv1.2", "tlsv1.3", "x"],
    "min_protocol_version": ["", "3.0", "3.1", "3.2", "latest", "2.0"],
    "max_protocol_version": ["", "3.0", "3.1", "3.2", "latest", "4.0"],
    "port": [
        "",
        "1",
        " 1 ",
        "+1",
        "01",
        "0",
        "-1",
        "65535",
        "65536",
        "x",
        "1x",
        "1,2",
        ",",
        "99999999999999999",
    ],
    "require_auth": [
        *[
            "",
            "none",
            "!none",
            "md5",
            "md5,none",
            "!md5,!none",
            "md5,!none",
            "!md5,none",
            "md5,md5",
            "!md5,!md5",
        ],
        *[
            "gss,sspi",
            "!gss,!sspi",
            "scram-sha-256,oauth",
            "password,x",
            ",",
            "md5,",
            " md5",
            "MD5",
            "!",
            "!!md5",
        ],
    ],
    "scram_client_key": ["", "x", "QUJD", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", "Q=="],
    "scram_server_key": [
        "",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY",
    ],
}


class TestJudgement:
    """The values that libpq refuses before it tries to connect are refused here, and no others."""

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name, values in VALUES.items() for value in values]
    )
    def test_each(self, name: str, value: str) -> None:
        dsn = f"{NOWHERE} {name}='{value}'"
        assert (loaded(dsn) is None) == libpq().attempt(dsn).refused

    @given(
        st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=4).flatmap(
            lambda names: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in names})
        )
    )
    def test_combinations(self, values: dict[str, str]) -> None:
        dsn = " ".join([NOWHERE, *(f"{name}='{value}'" for name, value in values.items())])
        assert (loaded(dsn) is None) == libpq().attempt(dsn).refused

    @pytest.mark.parametrize(
        ("dsn", "refused"),
        [
            ("host=/nonexistent,/nonexistent port=1,2", False),
            ("host=/nonexistent,/nonexistent port=1,", False),
            ("host=/nonexistent,/nonexistent port=1,2,3", True),
            ("host=/nonexistent,/nonexistent,/nonexistent port=1,2", True),
            ("host=/nonexistent hostaddr=127.0.0.1,127.0.0.1", True),
            ("host=/nonexistent,/nonexistent hostaddr=127.0.0.1", True),
            ("hostaddr=nonsense", True),
        ],
    )
    def test_lists_of_hosts(self, dsn: str, refused: bool) -> None:
        assert libpq().attempt(dsn).refused is refused
        assert (loaded(dsn) is None) is refused
