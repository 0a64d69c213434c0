"""`load_config`: values and their types, what goes together, what the server is told, secrets."""

from __future__ import annotations

import base64
import copy
import pickle
import ssl
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from pgproto._config._keywords import KEYWORDS, LIBPQ_KEYWORDS
from pgproto._effects import KeepAlive
from pgproto._secret import Secret
from tests.support.config import SECRET, file, load, refusal


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("connect_timeout", "10", 10.0),
            ("connect_timeout", " +5 ", 5.0),
            ("connect_timeout", "0", None),
            ("connect_timeout", "-1", None),
            ("connect_timeout", 0.5, 0.5),
            ("connect_timeout", 0, None),
            ("keepalives", "0", False),
            ("keepalives", "2", True),
            ("keepalives", False, False),
            ("keepalives_idle", "5", 5),
            ("keepalives_idle", -5, 0),
            ("keepalives_interval", 0, 0),
            ("keepalives_count", "9", 9),
            ("tcp_user_timeout", "1000", 1000),
            ("sslsni", "0", False),
            ("sslsni", False, False),
            ("sslsni", 1, True),
            ("sslcompression", "1", True),
            ("gssdelegation", True, True),
            ("sslmode", "verify-ca", "verify-ca"),
            ("ssl_min_protocol_version", "tlsv1.3", "TLSv1.3"),
            ("ssl_min_protocol_version", "TLSv1", "TLSv1"),
            ("ssl_max_protocol_version", "TLSv1.2", "TLSv1.2"),
            ("max_protocol_version", "latest", "3.2"),
            ("max_protocol_version", "3.2", "3.2"),
            ("max_protocol_version", "3.0", "3.0"),
            ("replication", "database", "database"),
            ("replication", "on", "true"),
            ("replication", "T", "true"),
            ("replication", True, "true"),
            ("replication", False, None),
            ("replication", "no", None),
            ("target_session_attrs", "prefer-standby", "prefer-standby"),
            ("options", "-c geqo=off", "-c geqo=off"),
            ("sslcert", Path("/x"), "/x"),
            ("sslrootcert", "/x\udcff", "/x\udcff"),
            ("krbsrvname", "x", "x"),
            ("statement_cache_size", 0, 0),
            ("statement_cache_size", "10", 10),
            ("prepare", "unnamed", "unnamed"),
            ("command_timeout", 2, 2.0),
            ("command_timeout", "2.5", 2.5),
            ("cancel_timeout", 0.1, 0.1),
            ("max_pipeline", 1, 1),
            ("max_message_size", 4096, 4096),
            ("max_result_bytes", 2**40, 2**40),
            ("scram_max_iterations", 5000, 5000),
            ("scram_min_iterations", "1", 1),
            ("trace", print, print),
            ("oauth_token", print, print),
            ("gss_context", print, print),
            ("requirepeer", "postgres", "postgres"),
            ("oauth_scope", "a b", "a b"),
        ],
    )
    def test_good(self, name: str, value: object, expected: object) -> None:
        given: dict[str, Any] = {name: value}
        found = getattr(load("host=h", **given), name)
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("connect_timeout", "x", "'x'"),
            ("connect_timeout", "1.5", "whole number"),
            ("connect_timeout", "9999999999", "'9999999999'"),
            ("connect_timeout", float("nan"), "nan"),
            ("connect_timeout", True, "True"),
            ("connect_timeout", "", ""),
            ("keepalives", "x", "'x'"),
            ("keepalives_idle", "1s", "'1s'"),
            ("keepalives_idle", 1.5, "1.5"),
            ("tcp_user_timeout", 2**31, "2147483647"),
            ("sslsni", "2", "0 to 1"),
            ("sslsni", "true", "'true'"),
            ("sslmode", "on", "disable, allow, prefer, require, verify-ca, verify-full, not 'on'"),
            ("sslmode", "REQUIRE", "'REQUIRE'"),
            ("sslmode", True, "bool"),
            ("sslmode", "x" * 100, "a text of 100 characters"),
            ("sslnegotiation", "x", "direct"),
            ("sslcertmode", "x", "allow"),
            ("channel_binding", "x", "prefer"),
            ("gssencmode", "x", "prefer"),
            ("target_session_attrs", "x", "read-write"),
            ("load_balance_hosts", "x", "random"),
            ("prepare", "x", "unnamed"),
            ("ssl_min_protocol_version", "SSLv3", "TLSv1.2"),
            ("max_protocol_version", "3.1", "3.0, 3.2, latest"),
            ("min_protocol_version", "2.0", "3.0, 3.2, latest"),
            ("replication", "x", "'x'"),
            ("replication", 1, "int"),
            ("require_auth", "x", "'x'"),
            ("require_auth", "md5,!password", "!"),
            ("scram_client_key", SECRET, "32 bytes"),
            ("scram_client_key", f"{SECRET}!", "32 bytes"),
            ("scram_server_key", base64.b64encode(b"x" * 31).decode(), "32 bytes"),
            ("client_encoding", "LATIN1", "UTF8"),
            ("user", "a\0b", "zero byte"),
            ("user", "a\udcff", "UTF-8"),
            ("password", SECRET + "\0", "zero byte"),
            ("password", SECRET + "\ud800", "UTF-8"),
            ("sslpassword", 12345, "int"),
            ("sslcert", "a\ud800", "UTF-8"),
            ("sslcert", 5, "int"),
            ("dbname", b"d", "bytes"),
            ("statement_cache_size", "many", "'many'"),
            ("command_timeout", 0, "0"),
            ("command_timeout", "soon", "'soon'"),
            ("command_timeout", float("inf"), "inf"),
            ("cancel_timeout", -1, "-1"),
            ("cancel_timeout", [1], "list"),
            ("max_pipeline", 0, "0"),
            ("max_message_size", 10, "1024"),
            ("max_result_bytes", 0, "0"),
            ("scram_max_iterations", 10**7, "9999999"),
            ("scram_max_iterations", 4095, "scram_min_iterations"),
            ("scram_min_iterations", 0, "0"),
            ("trace", "print", "str"),
            ("ssl_context", True, "SSLContext"),
        ],
    )
    def test_bad(self, name: str, value: object, words: str) -> None:
        given: dict[str, Any] = {name: value}
        message = refusal(f"{name}=''") if value == "" else refusal(**given)
        assert name in message
        assert words in message

    @pytest.mark.parametrize(
        "name",
        ["sslmode", "sslnegotiation", "sslcertmode", "channel_binding", "gssencmode", "target_session_attrs"],
    )
    def test_the_empty_text_is_no_choice(self, name: str) -> None:
        assert name in refusal(f"{name}=''")

    @pytest.mark.parametrize("name", ["UTF8", "utf-8", "unicode", "auto"])
    def test_names_of_utf8(self, name: str) -> None:
        assert load(client_encoding=name).startup_parameters["client_encoding"] == "UTF8"

    def test_a_key(self) -> None:
        key = base64.b64encode(b"x" * 32).decode()
        assert load(scram_client_key=key, scram_server_key=key).scram_client_key == Secret(key)

    def test_require_auth(self) -> None:
        assert load(require_auth="scram-sha-256,none").require_auth.allowed == {"scram-sha-256", "none"}
        assert "password" not in load(require_auth="!password").require_auth.allowed
        assert load("require_auth=''").require_auth == load().require_auth

    def test_keepalive(self) -> None:
        assert load().keepalive == KeepAlive(30, 10, 3)
        assert load(keepalives=False).keepalive is None
        nothing_set = load(keepalives_idle=0, keepalives_interval=0, keepalives_count=0)
        assert nothing_set.keepalive == KeepAlive(None, None, None)

    def test_protocol_versions_follow_each_other(self) -> None:
        def versions(**params: Any) -> tuple[str, str]:
            config = load(**params)
            return config.min_protocol_version, config.max_protocol_version

        assert versions() == ("3.0", "3.0")
        assert versions(min_protocol_version="3.0") == ("3.0", "3.0")
        assert versions(min_protocol_version="3.2") == ("3.2", "3.2")
        assert versions(min_protocol_version="latest") == ("3.2", "3.2")
        assert "3.2" in refusal(min_protocol_version="3.2", max_protocol_version="3.0")

    def test_tls_versions_follow_each_other(self) -> None:
        config = load(ssl_min_protocol_version="TLSv1.2", ssl_max_protocol_version="TLSv1.2")
        assert config.ssl_max_protocol_version == "TLSv1.2"
        assert "TLSv1.1" in refusal(ssl_max_protocol_version="TLSv1.1")
        assert (
            load("ssl_min_protocol_version='' ssl_max_protocol_version=TLSv1").ssl_min_protocol_version
            is None
        )


class TestTogether:
    def test_sslmode_where_nothing_gives_it(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        assert load().sslmode == "prefer"
        assert load(None, {"PGREQUIRESSL": "1"}).sslmode == "require"
        assert load(None, {"PGREQUIRESSL": "0"}).sslmode == "prefer"
        assert load(None, {"PGREQUIRESSL": "1", "PGSSLMODE": "allow"}).sslmode == "allow"
        assert load(sslrootcert="system").sslmode == "verify-full"
        assert load(ssl_context=context).sslmode == "require"
        assert load(None, {"PGSSLMODE": "prefer"}, ssl_context=context).sslmode == "prefer"
        assert load(ssl_context=context).ssl_context is context

    @pytest.mark.parametrize(
        ("dsn", "words"),
        [
            ("sslrootcert=system sslmode=verify-ca", "verify-full"),
            ("sslnegotiation=direct", "require"),
            ("sslnegotiation=direct sslmode=allow", "require"),
            ("gssencmode=require", "TLS"),
            (f"user={'x' * 5000} application_name={'y' * 5000}", "10000"),
        ],
    )
    def test_what_does_not_go_together(self, dsn: str, words: str) -> None:
        assert words in refusal(dsn)

    def test_a_context_without_tls(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        assert "sslmode=disable" in refusal(ssl_context=context, sslmode="disable")

    def test_direct_tls(self) -> None:
        assert load("sslnegotiation=direct sslmode=require").sslnegotiation == "direct"

    def test_startup_message_may_have_10000_bytes(self) -> None:
        fixed = "user database client_encoding UTF8 application_name"
        used = 9 + len(fixed) + 1 + 2 * 2
        room = 10_000 - used - 1
        assert load(user="u", application_name="x" * room).application_name == "x" * room
        assert "10001 bytes" in refusal(user="u", application_name="x" * (room + 1))

    def test_tls_directory(self) -> None:
        assert load().tls_directory == "/home/me/.postgresql"
        assert load(home=None).tls_directory is None
        assert load(None, {"APPDATA": "C:/A"}, windows=True).tls_directory == "C:/A/postgresql/."


class TestStartup:
    def test_least(self) -> None:
        assert load().startup_parameters == {"user": "me", "database": "me", "client_encoding": "UTF8"}

    def test_most(self) -> None:
        environ = {"PGTZ": "UTC", "PGDATESTYLE": "ISO, DMY", "PGGEQO": "off"}
        config = load("user=u dbname=d replication=database options='-c a=b' application_name=n", environ)
        assert list(config.startup_parameters.items()) == [
            ("user", "u"),
            ("database", "d"),
            ("replication", "database"),
            ("options", "-c a=b"),
            ("application_name", "n"),
            ("client_encoding", "UTF8"),
            ("datestyle", "ISO, DMY"),
            ("timezone", "UTC"),
            ("geqo", "off"),
        ]

    def test_default_is_no_setting(self) -> None:
        assert load(None, {"PGTZ": "Default", "PGGEQO": ""}).session_defaults == ()
        assert "zero byte" in refusal(environ={"PGTZ": "a\0b"})

    @pytest.mark.parametrize(
        "options",
        [
            "-c standard_conforming_strings=off",
            "-cstandard_conforming_strings=0",
            "--standard-conforming-strings=no",
            "-c geqo=off  -c\tStandard_Conforming_Strings=f",
            r"-c standard_conforming\_strings=off",
            "-c standard_conforming_strings=x",
            "-c standard_conforming_strings",
            "-c client_encoding=latin1",
            "--client-encoding=SQL_ASCII",
        ],
    )
    def test_options_that_would_make_answers_wrong(self, options: str) -> None:
        assert '"options"' in refusal(options=options)
        assert '"options"' in refusal(environ={"PGOPTIONS": options})

    @pytest.mark.parametrize(
        "options",
        [
            "-c standard_conforming_strings=on",
            "-c standard_conforming_strings=TRUE",
            "-c client_encoding=utf-8",
            r"-c application_name=-c\ client_encoding=latin1",
            "-c",
            "-d 5 -c geqo=off",
            "client_encoding=latin1",
        ],
    )
    def test_options_that_do_not(self, options: str) -> None:
        assert load(options=options).startup_parameters["options"] == options


class TestSecrets:
    NAMES = sorted(keyword.name for keyword in KEYWORDS.values() if keyword.secret)

    def test_the_table_knows_them(self) -> None:
        assert self.NAMES == [
            "oauth_client_secret",
            "password",
            "scram_client_key",
            "scram_server_key",
            "sslpassword",
        ]
        assert len(LIBPQ_KEYWORDS) == 50

    @pytest.mark.parametrize("name", NAMES)
    def test_they_are_not_shown(self, name: str) -> None:
        value = base64.b64encode(b"canary" + bytes(26)).decode()
        plain: dict[str, Any] = {name: value}
        wrapped: dict[str, Any] = {name: Secret(value)}
        for config in (load(**plain), load(f"{name}='{value}'"), load(**wrapped)):
            assert isinstance(getattr(config, name), Secret)
            assert getattr(config, name).reveal() == value
            assert value not in repr(config)
            assert value not in str(config)
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(config)

    def test_nor_is_what_the_password_file_says(self) -> None:
        config = load("host=a", files={"/home/me/.pgpass": file(f"*:*:*:*:{SECRET}")})
        assert config.password_for(config.hosts[0]) == Secret(SECRET)
        assert SECRET not in repr(config)
        assert SECRET not in str(config.hosts[0])

    def test_a_config_without_can_be_pickled_and_copied(self) -> None:
        config = load("host=h")
        assert pickle.loads(pickle.dumps(config)) == config
        assert copy.deepcopy(load(password="x")) == load(password="x")

    def test_a_config_stays_as_it_is(self) -> None:
        config = load()
        with pytest.raises(FrozenInstanceError):
            config.user = "other"  # type: ignore[misc]  # what the test is about
