"""`load_config`: which source counts, and where servers, services and passwords come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgproto._config import Config, HostSpec
from pgproto._config._keywords import ARGUMENTS, KEYWORDS
from pgproto._effects import FileContents
from pgproto._secret import Secret
from tests.support.config import SECRET, Files, file, load, refusal

ENVIRONMENT = {"PGAPPNAME": "environment", "PGSERVICE": "s", "PGSERVICEFILE": "/services"}
SERVICE = {"/services": file("[s]\napplication_name=service\n")}
PASSFILE = {"/home/me/.pgpass": file("a:*:*:*:of a\nlocalhost:*:*:*:local\n*:2:*:*:port 2")}


class TestPrecedence:
    def test_argument_dsn_service_environment_default(self) -> None:
        dsn = "application_name=dsn"
        assert load(dsn, ENVIRONMENT, SERVICE, application_name="a").application_name == "a"
        assert load(dsn, ENVIRONMENT, SERVICE).application_name == "dsn"
        assert load(None, ENVIRONMENT, SERVICE).application_name == "service"
        assert load(None, {"PGAPPNAME": "environment"}).application_name == "environment"
        assert load(None, {"PGAPPNAME": "x"}, fallback_application_name="f").application_name == "x"
        assert load(fallback_application_name="f").application_name == "f"
        assert load().application_name is None

    def test_what_was_not_given(self) -> None:
        assert load("user=u", user=None).user == "u"
        assert load("user=u", user="").user == "u"
        assert load("user=''", {"PGUSER": "environment"}).user == "me"
        assert load(None, {"PGUSER": ""}).user == "me"
        assert load("user=u").dbname == "u"
        assert load("user=u dbname=''", {"PGDATABASE": "d"}).dbname == "u"

    def test_there_must_be_a_user(self) -> None:
        assert '"user"' in refusal(os_user=None)
        assert load("user=u", os_user=None).user == "u"

    def test_every_variable_of_the_environment(self) -> None:
        special = {
            "PGPORT": "1",
            "PGHOSTADDR": "1.2.3.4",
            "PGCONNECT_TIMEOUT": "2",
            "PGSSLCOMPRESSION": "1",
            "PGSSLSNI": "0",
            "PGGSSDELEGATION": "1",
            "PGREQUIREAUTH": "md5",
            "PGCHANNELBINDING": "require",
            "PGSSLMODE": "verify-full",
            "PGSSLNEGOTIATION": "direct",
            "PGSSLCERTMODE": "require",
            "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
            "PGSSLMAXPROTOCOLVERSION": "TLSv1.3",
            "PGMINPROTOCOLVERSION": "3.2",
            "PGMAXPROTOCOLVERSION": "latest",
            "PGGSSENCMODE": "disable",
            "PGTARGETSESSIONATTRS": "standby",
            "PGLOADBALANCEHOSTS": "random",
            "PGOPTIONS": "-c geqo=off",
        }
        variables = {k.variable: k.name for k in KEYWORDS.values() if k.variable is not None}
        environ = {variable: special.get(variable, f"the {name}") for variable, name in variables.items()}
        environ["PGHOST"] = "h"
        files = {"the servicefile": file("[the service]\n")}
        changed, plain = load(None, environ, files), load()
        same = {name for name in Config.__slots__ if getattr(changed, name) == getattr(plain, name)}
        given = {name for name in variables.values() if hasattr(changed, name)}
        assert given & same == set()
        assert changed.hosts == (HostSpec("h", 1, "1.2.3.4"),)
        assert changed.password == Secret("the password")
        # The encoding of a terminal is no matter of ours.
        assert changed.startup_parameters["client_encoding"] == "UTF8"

    def test_defaults_are_those_of_the_keyword_table(self) -> None:
        config = load()
        for keyword in KEYWORDS.values():
            if keyword.default and hasattr(config, keyword.name):
                value = getattr(config, keyword.name)
                assert value == {"0": False, "1": True}.get(keyword.default, keyword.default)

    def test_the_class_has_the_same_defaults(self) -> None:
        config = load("host=h", home=None)
        assert Config(hosts=config.hosts, user="me", dbname="me") == config


class TestUnknownNames:
    def test_they_are_refused_by_name(self) -> None:
        assert '"nonsense"' in refusal(nonsense=1)
        assert 'did you mean "dbname"' in refusal(database="x")
        assert 'did you mean "statement_cache_size"' in refusal(statement_cach_size=1)
        assert '"nonsense"' in refusal("nonsense=1")

    def test_even_if_they_say_nothing(self) -> None:
        assert '"nonsense"' in refusal(nonsense=None)

    @pytest.mark.parametrize("name", ["ssl_context", "trace", "oauth_token", "gss_context"])
    def test_objects_are_no_text(self, name: str) -> None:
        assert name in ARGUMENTS
        assert name in refusal(f"{name}=x")

    def test_own_data_may_be_in_the_dsn_and_the_service_file(self) -> None:
        assert load("postgresql://h?prepare=unnamed&statement_cache_size=0").prepare == "unnamed"
        files = {"/f": file("[s]\ncommand_timeout=2.5\n")}
        assert load("service=s servicefile=/f", files=files).command_timeout == 2.5


class TestHosts:
    DEFAULT = (HostSpec("/var/run/postgresql"), HostSpec("/tmp"), HostSpec("localhost"))

    @pytest.mark.parametrize(
        ("dsn", "hosts"),
        [
            ("", DEFAULT),
            ("host=''", DEFAULT),
            ("port=1", tuple(replace(host, port=1) for host in DEFAULT)),
            ("host=h", (HostSpec("h"),)),
            ("host=h port=''", (HostSpec("h"),)),
            ("host=h port=' 0001 '", (HostSpec("h", 1),)),
            ("host=a,b", (HostSpec("a"), HostSpec("b"))),
            ("host=a,b port=1", (HostSpec("a", 1), HostSpec("b", 1))),
            ("host=a,b port=1,2", (HostSpec("a", 1), HostSpec("b", 2))),
            ("host=a,b port=,2", (HostSpec("a", 5432), HostSpec("b", 2))),
            ("host=a,,b", (HostSpec("a"), *DEFAULT, HostSpec("b"))),
            ("hostaddr=1.2.3.4", (HostSpec("", 5432, "1.2.3.4"),)),
            ("host=h hostaddr=::1", (HostSpec("h", 5432, "::1"),)),
            ("host=a,b hostaddr=,1.2.3.4", (HostSpec("a"), HostSpec("b", 5432, "1.2.3.4"))),
            ("hostaddr=::1,::2 port=1,2", (HostSpec("", 1, "::1"), HostSpec("", 2, "::2"))),
            ("hostaddr=fe80::1%eth0", (HostSpec("", 5432, "fe80::1%eth0"),)),
            ("postgresql://a,[::1]:2/", (HostSpec("a"), HostSpec("::1", 2))),
        ],
    )
    def test_lists(self, dsn: str, hosts: tuple[HostSpec, ...]) -> None:
        assert load(dsn).hosts == hosts

    def test_no_unix_sockets_on_windows(self) -> None:
        assert load(windows=True).hosts == (HostSpec("localhost"),)

    @pytest.mark.parametrize(
        ("dsn", "words"),
        [
            ("host=a,b port=1,2,3", ["3", "2"]),
            ("host=a,b,c port=1,2", ["2", "3"]),
            ("host=a hostaddr=::1,::2", ["1", "2"]),
            ("port=0", ["1 to 65535"]),
            ("port=65536", ["1 to 65535"]),
            ("port=-1", ["1 to 65535"]),
            ("port=x", ["1 to 65535"]),
            ("port=' '", ["1 to 65535"]),
            ("port=٣", ["1 to 65535"]),
            ("port=99999999999999999999999", ["1 to 65535"]),
            ("host=a,b port=1,x", ["entry 2", "1 to 65535"]),
            ("hostaddr=localhost", ["numeric", "'localhost'"]),
            ("hostaddr=1.2", ["numeric"]),
        ],
    )
    def test_mistakes(self, dsn: str, words: list[str]) -> None:
        for word in words:
            assert word in refusal(dsn)

    def test_a_wrong_port_may_be_half_a_password(self) -> None:
        assert "port" in refusal(f"postgresql://user:{SECRET}/x@host/db")

    def test_port_as_a_number(self) -> None:
        assert load(host="a,b", port=7).hosts == (HostSpec("a", 7), HostSpec("b", 7))
        assert "1 to 65535" in refusal(port=0)
        assert "str" in refusal(port=True)
        assert "str" in refusal(port=1.5)

    @pytest.mark.parametrize(
        ("spec", "socket_path", "address", "password_file_host", "text"),
        [
            (HostSpec("h"), None, "h", "h", "h:5432"),
            (HostSpec("/tmp", 1), "/tmp/.s.PGSQL.1", "/tmp", "localhost", "/tmp/.s.PGSQL.1"),
            (HostSpec("/x"), "/x/.s.PGSQL.5432", "/x", "/x", "/x/.s.PGSQL.5432"),
            (HostSpec("@x"), "@x/.s.PGSQL.5432", "@x", "@x", "@x/.s.PGSQL.5432"),
            (HostSpec("/tmp", 1, "::1"), None, "::1", "/tmp", "[::1]:1 (/tmp)"),
            (HostSpec("h", 1, "1.2.3.4"), None, "1.2.3.4", "h", "1.2.3.4:1 (h)"),
            (HostSpec("", 1, "1.2.3.4"), None, "1.2.3.4", "1.2.3.4", "1.2.3.4:1"),
            (HostSpec("::1", 1, "::1"), None, "::1", "::1", "[::1]:1"),
        ],
    )
    def test_one_host(
        self, spec: HostSpec, socket_path: str | None, address: str, password_file_host: str, text: str
    ) -> None:
        assert spec.socket_path == socket_path
        assert spec.address == address
        assert spec.password_file_host == password_file_host
        assert str(spec) == text


class TestPasswords:
    def of_hosts(self, config: Config) -> list[str | None]:
        passwords = [config.password_for(host) for host in config.hosts]
        return [None if password is None else password.reveal() for password in passwords]

    def test_from_the_password_file_for_each_host(self) -> None:
        config = load("host=a,b,/tmp,c port=1,2,3,4", files=PASSFILE)
        assert self.of_hosts(config) == ["of a", "port 2", "local", None]
        assert config.warnings == ()

    def test_default_hosts_are_localhost(self) -> None:
        assert self.of_hosts(load(files=PASSFILE)) == ["local"] * 3

    def test_a_given_password_comes_first(self) -> None:
        asked: list[str] = []
        config = load("host=a,b", files=PASSFILE, password="given", asked=asked)
        assert self.of_hosts(config) == ["given", "given"]
        assert asked == []
        assert load("host=a password=''", {"PGPASSWORD": "x"}, PASSFILE).password is None

    def test_a_secret_will_do(self) -> None:
        assert load(password=Secret("x")).password == Secret("x")
        assert load(password=Secret("")).password is None

    def test_a_function_will_do(self) -> None:
        asked: list[str] = []

        def ask() -> str:
            raise AssertionError("not before it is needed")

        config = load("host=a", files=PASSFILE, password=ask, asked=asked)
        assert config.password is None
        assert config.ask_password is ask
        assert asked == []

    @pytest.mark.parametrize("value", [1, b"bytes", ["x"]])
    def test_nothing_else_will(self, value: object) -> None:
        message = refusal(password=value)
        assert "password" in message
        assert type(value).__name__ in message

    @pytest.mark.parametrize(
        ("keywords", "path"),
        [
            ({}, "/home/me/.pgpass"),
            ({"environ": {"HOME": "/elsewhere"}}, "/elsewhere/.pgpass"),
            ({"environ": {"HOME": ""}}, "/home/me/.pgpass"),
            ({"environ": {"PGPASSFILE": "/p"}}, "/p"),
            ({"environ": {"PGPASSFILE": ""}}, "/home/me/.pgpass"),
            ({"passfile": Path("/q")}, "/q"),
            ({"passfile": "/\udcff"}, "/\udcff"),
            ({"windows": True, "environ": {"APPDATA": "C:/A"}}, "C:/A/postgresql/pgpass.conf"),
        ],
    )
    def test_where_the_file_is(self, keywords: dict[str, Any], path: str) -> None:
        asked: list[str] = []
        config = load("host=a", asked=asked, **keywords)
        assert asked == [path]
        assert config.passfile == path
        assert config.hosts[0].password is None
        assert config.warnings == ()

    def test_no_home_no_file(self) -> None:
        asked: list[str] = []
        assert load(home=None, asked=asked).passfile is None
        assert load(windows=True, asked=asked).passfile is None
        assert asked == []

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (file("*:*:*:*:x", 0o100640), "others"),
            (file("*:*:*:*:x", 0o100604), "others"),
            (file("*:*:*:*:x", 0o010600), "plain"),
            (PermissionError(13, "Permission denied"), "Permission denied"),
            (OSError(), "OSError"),
        ],
    )
    def test_files_that_are_not_used(self, found: FileContents | OSError, words: str) -> None:
        config = load("host=a", files={"/home/me/.pgpass": found})
        assert config.hosts[0].password is None
        (warning,) = config.warnings
        assert words in warning
        assert "/home/me/.pgpass" in warning

    def test_permissions_mean_nothing_on_windows(self) -> None:
        files = {"C:/A/postgresql/pgpass.conf": file("*:*:*:*:x", 0o100666)}
        config = load("host=a", {"APPDATA": "C:/A"}, files, windows=True)
        assert self.of_hosts(config) == ["x"]


class TestServices:
    def test_where_the_file_is(self) -> None:
        asked: list[str] = []
        system = [
            "/etc/postgresql-common/pg_service.conf",
            "/etc/sysconfig/pgsql/pg_service.conf",
            "/usr/local/pgsql/etc/pg_service.conf",
        ]
        assert '"s"' in refusal("service=s", asked=asked)
        assert asked == ["/home/me/.pg_service.conf", *system]
        del asked[:]
        assert "there is no service file" in refusal("service=s", home=None, asked=asked)
        assert asked == system
        del asked[:]
        refusal("service=s", environ={"PGSYSCONFDIR": "/c"}, asked=asked)
        assert asked == ["/home/me/.pg_service.conf", "/c/pg_service.conf"]
        del asked[:]
        refusal("service=s", environ={"APPDATA": "C:/A", "PGSYSCONFDIR": "D:"}, asked=asked, windows=True)
        assert asked == ["C:/A/postgresql/.pg_service.conf", "D:/pg_service.conf"]

    def test_the_first_file_with_the_service_counts(self) -> None:
        files = {
            "/home/me/.pg_service.conf": file("[other]\nuser=x\n"),
            "/c/pg_service.conf": file("[s]\nuser=found\n"),
        }
        config = load("service=s", {"PGSYSCONFDIR": "/c"}, files)
        assert config.user == "found"
        assert config.service == "s"

    def test_a_named_file_must_be_there(self) -> None:
        assert '"/f"' in refusal("service=s", servicefile="/f")
        assert '"/f"' in refusal("service=s", environ={"PGSERVICEFILE": "/f"}, files={"/f": OSError()})

    def test_a_named_file_need_not_have_the_service(self) -> None:
        files = {"/f": file("[other]\n"), "/c/pg_service.conf": file("[s]\nuser=found\n")}
        environ = {"PGSERVICEFILE": "/f", "PGSYSCONFDIR": "/c"}
        assert load("service=s", environ, files).user == "found"
        assert "looked in /f, /c/pg_service.conf" in refusal("service=t", environ=environ, files=files)

    def test_unreadable_files_that_nobody_named_are_none(self) -> None:
        files: Files = {"/home/me/.pg_service.conf": OSError(), "/c/pg_service.conf": file("[s]\nuser=x\n")}
        assert load("service=s", {"PGSYSCONFDIR": "/c"}, files).user == "x"

    def test_no_service_no_file(self) -> None:
        asked: list[str] = []
        load(None, {"PGSERVICE": ""}, password="x", asked=asked)
        load("service=''", password="x", asked=asked)
        assert asked == []

    def test_a_file_is_not_asked_for_with_a_zero_byte(self) -> None:
        assert "zero byte" in refusal(service="s", servicefile="a\0b")
        assert "zero byte" in refusal(service="a\0b")
        assert "zero byte" in refusal(passfile="a\0b")
