"""The exception tree, its generated part, and what str() shows of a server's error."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import re
import traceback
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto import _sqlstates, errors
from pgproto._postgres_error import CLASS_OF_SQLSTATE
from pgproto.errors import Error, PostgresError, postgres_error_class

ROOT = Path(__file__).resolve().parents[2]

OWN = [
    errors.LocalProtocolError("x"),
    errors.RemoteProtocolError("x"),
    errors.ConfigError("x"),
    errors.AuthenticationError("x"),
    errors.TLSError("x"),
    errors.DataError("x"),
    errors.ConnectionLost("x", outcome="not_committed"),
    errors.CommitUnknown("x"),
    errors.TransactionRolledBack("x"),
    errors.QueryTimeout("x"),
    errors.PoolTimeout("x"),
    errors.PoolClosed("x"),
    errors.PipelineAborted("x", cause=errors.DeadlockDetected("y")),
    errors.NoRows("x"),
    errors.TooManyRows("x"),
    errors.ResultTooLarge("x"),
    errors.UniqueViolation("x", detail="d", position=3, query="select 1", untrusted=True),
]

ALL_FIELDS = {
    "S": "FEHLER",
    "V": "ERROR",
    "C": "23505",
    "M": "duplicate key",
    "D": "Key (id)=(1) already exists.",
    "H": "Use another.",
    "P": "8",
    "p": "3",
    "q": "select 2",
    "W": "PL/pgSQL function f()",
    "s": "public",
    "t": "t",
    "c": "id",
    "d": "int4",
    "n": "t_pkey",
    "F": "nbtinsert.c",
    "L": "666",
    "R": "_bt_check_unique",
    "?": "a field of a later protocol",
}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_sqlstates", ROOT / "docs" / "generate_sqlstates.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def error_code_lists() -> list[Path]:
    """Every errcodes.txt of a server on this machine: installed, or fetched for the tests."""
    found = [*Path("/usr/share/postgresql").glob("*/errcodes.txt"), *(ROOT / ".cache").rglob("errcodes.txt")]
    return sorted(found)


class TestTree:
    def test_docstring_draws_every_class_of_our_own(self) -> None:
        assert errors.__doc__ is not None
        drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__))
        own = {
            name
            for name, value in vars(errors).items()
            if isinstance(value, type) and issubclass(value, Error) and value is not Error
            if value not in CLASS_OF_SQLSTATE.values()
        }
        assert own == drawn - {"IntegrityConstraintViolation", "UniqueViolation"}

    @pytest.mark.parametrize("error", OWN, ids=lambda e: type(e).__name__)
    def test_everything_is_an_error(self, error: Error) -> None:
        assert isinstance(error, errors.Error)
        assert type(error).__module__ == "pgproto.errors"

    def test_timeouts_are_timeouts(self) -> None:
        assert issubclass(errors.QueryTimeout, TimeoutError)
        assert issubclass(errors.PoolTimeout, TimeoutError)
        assert str(errors.PoolTimeout("waited 3 s")) == "waited 3 s"

    def test_commit_unknown_is_a_lost_connection_with_unknown_outcome(self) -> None:
        error = errors.CommitUnknown()
        assert isinstance(error, errors.ConnectionLost)
        assert error.outcome == "unknown"
        assert "COMMIT" in str(error)

    def test_lost_connections_are_unknown_unless_said_otherwise(self) -> None:
        assert errors.ConnectionLost().outcome == "unknown"
        assert errors.ConnectionLost("gone", outcome="not_sent").outcome == "not_sent"

    def test_pipeline_aborted_shows_its_cause_in_the_traceback(self) -> None:
        error = errors.PipelineAborted(cause=errors.DivisionByZero("division by zero"))
        assert isinstance(error.cause, errors.DivisionByZero)
        assert "division by zero" in "".join(traceback.format_exception(error))

    def test_all_lists_what_is_there(self) -> None:
        names: list[str] = vars(errors)["__all__"]
        assert len(names) == len(set(names))
        for name in names:
            assert hasattr(errors, name)
        assert "UniqueViolation" in names

    @pytest.mark.parametrize("error", OWN, ids=lambda e: type(e).__name__)
    def test_pickle_and_copy_keep_the_attributes(self, error: Error) -> None:
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(other) is type(error)
            assert other.args == error.args
            assert str(other) == str(error)
            assert repr(other) == repr(error)
            assert set(vars(other)) == set(vars(error))
            for name, value in vars(error).items():
                assert repr(getattr(other, name)) == repr(value)

    def test_pickle_keeps_notes_and_survives_odd_arguments(self) -> None:
        error = errors.PoolTimeout("a", "b")
        error.add_note("seen here")
        other = pickle.loads(pickle.dumps(error))
        assert other.args == ("a", "b")
        assert other.__notes__ == ["seen here"]


class TestSqlstates:
    @pytest.mark.parametrize(
        ("sqlstate", "name", "base"),
        [
            ("23505", "UniqueViolation", "IntegrityConstraintViolation"),
            ("23000", "IntegrityConstraintViolation", "PostgresError"),
            ("40001", "SerializationFailure", "TransactionRollback"),
            ("57014", "QueryCanceled", "OperatorIntervention"),
            ("42P01", "UndefinedTable", "SyntaxErrorOrAccessRuleViolation"),
            ("42601", "SyntaxError", "SyntaxErrorOrAccessRuleViolation"),
            ("28P01", "InvalidPassword", "InvalidAuthorizationSpecification"),
            ("58000", "SystemError", "PostgresError"),
            ("01000", "Warning", "PostgresError"),
            ("01004", "WarningStringDataRightTruncation", "Warning"),
            ("22001", "StringDataRightTruncation", "DataException"),
            ("22004", "NullValueNotAllowed", "DataException"),
            (
                "39004",
                "ExternalRoutineInvocationExceptionNullValueNotAllowed",
                "ExternalRoutineInvocationException",
            ),
            ("10608", "InvalidArgumentForXquery", "XQueryError"),
            ("72000", "SnapshotTooOld", "PostgresError"),
            ("P0003", "PlpgsqlErrorTooManyRows", "PlpgsqlError"),
        ],
    )
    def test_classes(self, sqlstate: str, name: str, base: str) -> None:
        cls = postgres_error_class(sqlstate)
        assert cls is getattr(errors, name)
        assert cls.__name__ == name
        assert cls.__bases__ == (getattr(errors, base),)
        assert cls.sqlstate == sqlstate
        assert cls("x").sqlstate == sqlstate

    @pytest.mark.parametrize(
        ("sqlstate", "name"),
        [
            ("23XYZ", "IntegrityConstraintViolation"),
            ("10000", "XQueryError"),
            ("ZZ001", "PostgresError"),
            ("23", "PostgresError"),
            ("", "PostgresError"),
            (None, "PostgresError"),
        ],
    )
    def test_unknown_sqlstates(self, sqlstate: str | None, name: str) -> None:
        assert postgres_error_class(sqlstate).__name__ == name
        fields = {} if sqlstate is None else {"C": sqlstate}
        assert PostgresError.from_fields(fields).sqlstate == sqlstate

    def test_every_class_has_its_own_code_and_name(self) -> None:
        codes = {code: cls for code, cls in CLASS_OF_SQLSTATE.items() if len(code) == 5}
        assert len(codes) > 250
        assert len({cls.__name__ for cls in codes.values()}) == len(codes)
        for code, cls in codes.items():
            assert cls.sqlstate == code
            assert cls.condition is not None
            assert issubclass(cls, CLASS_OF_SQLSTATE[code[:2]])
            assert cls.__name__ in vars(errors)["__all__"]

    def test_module_is_what_the_newest_list_gives(self, generator: ModuleType) -> None:
        lists = error_code_lists()
        if not lists:
            pytest.skip("no errcodes.txt of a PostgreSQL server on this machine")
        compared = 0
        for path in lists:
            text = path.read_text(encoding="utf-8")
            listed = {c.sqlstate: c for c in generator.read(text) if c.sqlstate is not None}
            for sqlstate, condition in listed.items():
                if sqlstate in CLASS_OF_SQLSTATE:  # a server newer than the table has more
                    assert CLASS_OF_SQLSTATE[sqlstate].condition == condition.name
                    compared += 1
            codes = {code for code in CLASS_OF_SQLSTATE if len(code) == 5}
            if listed.keys() | {"72000"} == codes:
                assert generator.generate(text) == Path(_sqlstates.__file__).read_text(encoding="utf-8")
        assert compared > 250

    def test_generator_keeps_names_apart(self, generator: ModuleType) -> None:
        source = generator.generate(
            "Section: Class 99 - Odd Things (said so)\n"
            "99001    W    ERRCODE_A    same_name\n"
            "99001    E    ERRCODE_OTHER_NAME_OF_THE_MACRO\n"
            "Section: Class 98 - First\n"
            "98000    E    ERRCODE_B    first\n"
            "98001    E    ERRCODE_C    same_name\n"
        )
        assert "class SameName(First)" in source
        assert "class OddThings(PostgresError)" in source
        assert "class OddThingsSameName(OddThings)" in source
        with pytest.raises(SystemExit, match="SameName"):
            generator.generate(
                "98000 E ERRCODE_B first\n98001 E ERRCODE_C same_name\n"
                "98002 E ERRCODE_C same_name\n98003 E ERRCODE_C same_name\n"
            )


class TestFields:
    def test_all_of_them(self) -> None:
        error = PostgresError.from_fields(ALL_FIELDS, query="insert ...")
        assert type(error) is errors.UniqueViolation
        assert vars(error) == {
            "message": "duplicate key",
            "sqlstate": "23505",
            "severity": "ERROR",
            "detail": "Key (id)=(1) already exists.",
            "hint": "Use another.",
            "position": 8,
            "internal_position": 3,
            "internal_query": "select 2",
            "where": "PL/pgSQL function f()",
            "schema_name": "public",
            "table_name": "t",
            "column_name": "id",
            "data_type_name": "int4",
            "constraint_name": "t_pkey",
            "file": "nbtinsert.c",
            "line": 666,
            "routine": "_bt_check_unique",
            "query": "insert ...",
            "untrusted": False,
        }

    def test_none_of_them(self) -> None:
        error = PostgresError.from_fields({}, untrusted=True)
        assert type(error) is PostgresError
        assert error.untrusted is True
        assert {value for name, value in vars(error).items() if name != "untrusted"} == {None}
        assert str(error) == "the server sent an error without a message (SQLSTATE None)"

    def test_severity_of_old_servers(self) -> None:
        assert PostgresError.from_fields({"S": "FATAL"}).severity == "FATAL"

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1", 1),
            ("2147483647", 2147483647),
            ("0", None),
            ("-1", None),
            ("2147483648", None),
            ("9" * 5000, None),
            ("", None),
            ("1 ", None),
            ("1\n", None),
            ("٣", None),
        ],
    )
    def test_positions_are_bounded(self, text: str, value: int | None) -> None:
        error = PostgresError.from_fields({"P": text, "p": text, "L": text})
        assert (error.position, error.internal_position, error.line) == (value, value, value)

    def test_bytes_that_are_not_utf8(self) -> None:
        error = PostgresError.from_fields({"M": b"caf\xe9".decode("utf-8", "surrogateescape")})
        assert error.message == "caf\ufffd"
        str(error).encode("utf-8")

    @given(st.dictionaries(st.sampled_from("SVCMDHPpqWstcdnFLR?"), st.text()), st.none() | st.text())
    def test_whatever_the_server_sends(self, fields: dict[str, str], query: str | None) -> None:
        error = PostgresError.from_fields(fields, query=query)
        shown = str(error)
        assert all(c in "\n\t" or not (c < " " or "\x7f" <= c <= "\x9f") for c in shown)
        shown.encode("utf-8")
        assert str(pickle.loads(pickle.dumps(error))) == shown


def shown(query: str, position: int) -> list[str]:
    """The query's line and the caret line of an error's str()."""
    return str(PostgresError("m", query=query, position=position)).split("\n")[1:]


class TestString:
    def test_message_place_detail_hint(self) -> None:
        error = errors.UndefinedColumn(
            "no such column", detail="d", hint="h", position=8, query="select a, b\nfrom t"
        )
        assert str(error) == (
            "no such column\n"  # as psql orders them
            "LINE 1: select a, b\n"
            "               ^\n"
            "DETAIL:  d\n"
            "HINT:  h"
        )

    def test_control_characters_are_escaped(self) -> None:
        error = PostgresError("\x1b[2J\x9b1m\x00\r\u202egnp.exe\n\tok \u00ab\u00a0t\u00a0\u00bb \u2028")
        assert str(error) == ("\\x1b[2J\\x9b1m\\x00\\r\\u202egnp.exe\n\tok \u00ab\u00a0t\u00a0\u00bb \\u2028")
        assert "\x1b" not in repr(error)

    def test_position_without_query(self) -> None:
        assert str(PostgresError("m", position=3)) == "m"

    def test_internal_query(self) -> None:
        error = PostgresError("m", internal_query="selec 1", internal_position=1)
        assert str(error) == "m\nLINE 1: selec 1\n        ^"

    @pytest.mark.parametrize(
        ("query", "position", "expected"),
        [
            ("select\r\n  x\nfrom t", 11, ["LINE 2:   x", "          ^"]),
            ("select\rx", 8, ["LINE 2: x", "        ^"]),
            ("select\n", 7, ["LINE 1: select", "              ^"]),
            ("select\n", 8, ["LINE 2: ", "        ^"]),
            ("select", 7, ["LINE 1: select", "              ^"]),
            ("a\r\nb", 3, ["LINE 1: a", "         ^"]),
            ("", 1, ["LINE 1: ", "        ^"]),
            ("select", 8, []),
            ("a\tb\x1bc", 5, ["LINE 1: a b c", "            ^"]),
            ("日本 x", 4, ["LINE 1: 日本 x", "             ^"]),
            ("e\u0301 x", 4, ["LINE 1: e\u0301 x", "          ^"]),
        ],
    )
    def test_caret(self, query: str, position: int, expected: list[str]) -> None:
        assert shown(query, position) == expected

    @pytest.mark.parametrize("position", [1, 30, 31, 100, 200])
    def test_long_lines_are_cut_around_the_place(self, position: int) -> None:
        query = "".join(chr(0x100 + i) for i in range(200))
        line, caret = shown(query, position)
        assert line[caret.index("^")] == query[position - 1]
        assert len(line) <= len("LINE 1: ") + 66
        assert line.removeprefix("LINE 1: ").startswith("...") == (position > 31)
        assert line.endswith("...") == (position < 170)
