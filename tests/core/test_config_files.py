"""Password files and service files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._config._keywords import DSN_KEYWORDS
from pgproto._config._passfile import PasswordFile
from pgproto._config._servicefile import read_service
from pgproto.errors import ConfigError


def look_up(
    data: str | bytes, host: str = "h", port: str = "5432", dbname: str = "d", user: str = "u"
) -> str | None:
    data = data if isinstance(data, bytes) else data.encode()
    password = PasswordFile(data).password(host, port, dbname, user)
    return None if password is None else password.reveal()


class TestPasswordFile:
    @pytest.mark.parametrize(
        ("data", "password"),
        [
            ("h:5432:d:u:secret", "secret"),
            ("h:5432:d:u:secret\n", "secret"),
            ("h:5432:d:u:secret\r\n", "secret"),
            ("*:*:*:*:secret", "secret"),
            ("x:*:*:*:no\nh:*:*:*:first\nh:*:*:*:second", "first"),
            ("# h:*:*:*:comment\n\n \n*:*:*:*:secret", "secret"),
            ("#:*:*:*:comment", None),
            ("*:*:*:*:", None),
            ("*:*:*:*:\n*:*:*:*:later", None),
            ("h:5432:d:u", None),
            ("h:5432:d", None),
            ("h:5433:d:u:secret", None),
            ("hh:5432:d:u:secret", None),
            ("H:5432:d:u:secret", None),
            ("*h:5432:d:u:secret", None),
            ("h*:5432:d:u:secret", None),
            (r"\*:5432:d:u:secret", None),
            (r"\h:5432:d:u:secret", "secret"),
            ("*:*:*:*:with:colon", "with"),
            (r"*:*:*:*:with\:colon", "with:colon"),
            (r"*:*:*:*:with\\backslash", r"with\backslash"),
            (r"*:*:*:*:with\xother", "withxother"),
            ("*:*:*:*:ends\\", "ends\\"),
            ("*:*:*:*: spaces ", " spaces "),
            (" *:*:*:*:secret", None),
            ("*:*:*:*:" + "x" * 5000, "x" * 5000),
            (b"*:*:*:*:\xff", "\udcff"),
            ("", None),
        ],
    )
    def test_lines(self, data: str | bytes, password: str | None) -> None:
        assert look_up(data) == password

    def test_escapes_in_fields(self) -> None:
        assert look_up(r"\:\:1:*:*:*:secret", host="::1") == "secret"
        assert look_up(r"a\\b:*:*:*:secret", host=r"a\b") == "secret"
        assert look_up("::1:*:*:*:secret", host="::1") is None
        assert look_up("h\\", host="h\\") is None

    @pytest.mark.parametrize("field", ["host", "port", "dbname", "user"])
    def test_every_field_counts(self, field: str) -> None:
        assert look_up("h:5432:d:u:secret", **{field: "other"}) is None
        names = ["host", "port", "dbname", "user"]
        line = ":".join(
            "*" if name == field else value
            for name, value in zip(names, ["h", "5432", "d", "u"], strict=True)
        )
        assert look_up(f"{line}:secret", **{field: "other"}) == "secret"

    def test_it_shows_nothing(self) -> None:
        file = PasswordFile(b"h:5432:d:u:secret")
        assert "secret" not in repr(file)
        assert "secret" not in repr(file.password("h", "5432", "d", "u"))

    texts = st.text(st.characters(exclude_characters="\0\r\n"))

    @given(st.tuples(texts, texts, texts, texts), texts.filter(bool))
    def test_what_is_escaped_is_found(self, fields: tuple[str, str, str, str], password: str) -> None:
        def escaped(text: str) -> str:
            return text.replace("\\", "\\\\").replace(":", "\\:").replace("*", "\\*").replace("#", "\\#")

        line = ":".join(map(escaped, (*fields, password)))
        data = line.encode("utf-8", "surrogatepass")
        expected = data.decode("utf-8", "surrogateescape")
        if expected == line:  # lone surrogates are bytes that are not UTF-8
            assert look_up(data, *fields) == password


SERVICES = b"""\
# comment
outside=ignored
[one]
host=first.example
 port = 1
host=second.example

  # comment
dbname= spaced value\t
[two]  trailing words
user=two
[one]
user=later
[empty]
[last]
options=-c a=b\
"""


def read(data: bytes, service: str) -> dict[str, str] | None:
    return read_service(data, service, "/f", DSN_KEYWORDS)


class TestServiceFile:
    def test_first_setting_counts_and_the_next_header_ends_it(self) -> None:
        data = SERVICES.replace(b" port = 1\n", b" port=1 \r\n")
        assert read(data, "one") == {"host": "first.example", "port": "1", "dbname": " spaced value"}

    @pytest.mark.parametrize(
        ("service", "expected"),
        [
            ("two", {"user": "two"}),
            ("empty", {}),
            ("last", {"options": "-c a=b"}),
            ("three", None),
            ("tw", None),
            ("on", None),
        ],
    )
    def test_services(self, service: str, expected: dict[str, str] | None) -> None:
        assert read(SERVICES, service) == expected

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (b"port = 1", ["unknown"]),
            (b"sslmod=x", ['"sslmod"', '"sslmode"']),
            (b"host", ["name=value"]),
            (b"service=other", ["another service"]),
            (b"ldap://x/y?z?one", ["name=value"]),
            (b"host=a\0b", ["zero byte"]),
            (b"user=" + b"x" * 1017, ["longer than"]),
            (b"# " + b"x" * 1020, ["longer than"]),
        ],
    )
    def test_mistakes_are_named_by_place(self, line: bytes, words: list[str]) -> None:
        data = b"[x]\nuser=secret\n" + line + b"\n"
        with pytest.raises(ConfigError) as caught:
            read(data, "x")
        for word in ['service file "/f", line 3', *words]:
            assert word in str(caught.value)

    def test_mistakes_elsewhere_do_not_matter(self) -> None:
        assert read(b"nonsense\n[a]\nnonsense\n[x]\nuser=u\n[b]\nnonsense", "x") == {"user": "u"}

    def test_longest_line(self) -> None:
        assert read(b"[x]\nuser=" + b"x" * 1016 + b"\n", "x") == {"user": "x" * 1016}

    def test_bytes_that_are_not_utf8(self) -> None:
        assert read(b"[\xff]\npassword=\xff", "\udcff") == {"password": "\udcff"}

    @given(st.binary() | st.text("[]x=#\n user", max_size=60).map(str.encode))
    def test_garbage(self, data: bytes) -> None:
        try:
            values = read(data, "x")
        except ConfigError:
            return
        assert values is None or set(values) <= DSN_KEYWORDS
