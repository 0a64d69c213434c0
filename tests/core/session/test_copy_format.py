"""What is understood of COPY statements, and rows in COPY's three formats."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import date
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto import DataError
from pgproto._session._copy_binary import BinaryRows, BinaryWriter
from pgproto._session._copy_format import RowStream, row_reader, row_writer
from pgproto._session._copy_rows import CopyColumn, RowWriter
from pgproto._session._copy_sql import CopyOptions, parse_copy
from pgproto._session._copy_text import CSVRows, CSVWriter, TextRows, TextWriter
from pgproto._session._packer import Packer, fill_one_by_one
from pgproto._session._packing import Fill, Frame
from pgproto.types import TypeRegistry

TYPES = TypeRegistry()
INT4, TEXT, FLOAT8, BOOL, DATE, UUID = 23, 25, 701, 16, 1082, 2950


def columns(*oids: int) -> list[CopyColumn]:
    return [CopyColumn(f"c{number}", TYPES.codec(oid)) for number, oid in enumerate(oids)]


def written(writer: RowWriter, rows: Sequence[object], limit: int = 1 << 30) -> bytes:
    out = [writer.header]
    source = iter(rows)
    while not writer.fill(source, out, limit):
        continue
    assert writer.size == sum(map(len, out)) - len(writer.header)
    assert writer.count == len(rows)
    return b"".join([*out, writer.trailer])


class Never(Packer):
    """Compiles nothing."""

    def fill(self) -> Fill:
        return fill_one_by_one


@pytest.mark.parametrize(
    ("sql", "describe"),
    [
        ("copy t from stdin", 'SELECT * FROM "t" WHERE false'),
        (
            '/* a /* b */ */ COPY -- c\n "S""x" . T (A, "b c") FROM STDIN;',
            'SELECT "a", "b c" FROM "S""x"."t" WHERE false',
        ),
        ("copy (select ')', $$)$$, \")\" from x) to stdout", "select ')', $$)$$, \")\" from x"),
        ("copy binary t from stdin", 'SELECT * FROM "t" WHERE false'),
        ("copy Ü from stdin where a > 1", 'SELECT * FROM "Ü" WHERE false'),
    ],
)
def test_what_is_copied(sql: str, describe: str) -> None:
    statement = parse_copy(sql)
    assert statement is not None
    assert statement.describe == describe
    assert statement.options is not None
    assert statement.from_client is ("stdin" in sql.lower())
    assert statement.to_client is ("stdout" in sql.lower())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", CopyOptions()),
        ("(format 'csv')", CopyOptions("csv", b",", b"")),
        (
            "with (FORMAT csv, header match, quote '''', freeze)",
            CopyOptions("csv", b",", b"", None, b"'", b"'", True),
        ),
        ("(delimiter E'\\x7c', null E'a\\'\\n', encoding 'UTF8')", CopyOptions("text", b"|", b"a'\n")),
        ("(header off, default '\\D', force_quote (a, b))", CopyOptions("text", default=b"\\D")),
        ("using delimiters '|' with null as 'x'", CopyOptions("text", b"|", b"x")),
        (
            "csv header quote '~' escape as '!' force quote a, b",
            CopyOptions("csv", b",", b"", None, b"~", b"!", True),
        ),
        ("with binary", CopyOptions("binary")),
        ("(format binary) where true", CopyOptions("binary")),
    ],
)
def test_options(options: str, expected: CopyOptions) -> None:
    statement = parse_copy("copy t from stdin " + options)
    assert statement is not None
    assert statement.options == expected


@pytest.mark.parametrize(
    "options",
    [
        "(encoding 'latin1')",
        "(force_null (a))",
        "csv force not null a",
        "(format parquet)",
        "(novelty)",
        "(",
        "nonsense",
        "(delimiter '||')",
    ],
)
def test_options_that_rows_cannot_do_with(options: str) -> None:
    statement = parse_copy("copy t from stdin " + options)
    assert statement is not None
    assert statement.options is None
    with pytest.raises(DataError, match="bytes can be copied"):
        row_writer(statement, columns(INT4), 0, 1)
    with pytest.raises(DataError, match="bytes can be copied"):
        row_reader(statement, columns(INT4), 0, 1)


@pytest.mark.parametrize(
    "sql",
    ["", "select 1", "copy", "copy t", "copy (select 1", 'copy U&"x" from stdin', "copy 't' from stdin"],
)
def test_statements_that_are_not_understood(sql: str) -> None:
    assert parse_copy(sql) is None


@given(st.text())
def test_no_statement_breaks_the_reader(sql: str) -> None:
    parse_copy(sql)
    parse_copy("copy " + sql)
    parse_copy("copy t from stdin " + sql)


TEXTS = st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
CHARACTERS = st.sampled_from("\\\n\r\t|,\"'~!xN.")
ROWS = st.lists(st.tuples(TEXTS | st.text(CHARACTERS), TEXTS | st.text(CHARACTERS)))


def in_pieces(stream: RowStream, data: bytes, cut: int) -> list[object]:
    rows: list[object] = []
    for start in range(0, len(data), cut):
        rows += stream.feed(data[start : start + cut])
    return rows + stream.finish()


@given(ROWS, st.integers(1, 50), st.sampled_from([b"\t", b"|", b","]), st.booleans())
def test_text_there_and_back(
    rows: list[tuple[str | None, ...]], cut: int, delimiter: bytes, header: bool
) -> None:
    options = CopyOptions("text", delimiter, b"\\N", header=header)
    data = written(TextWriter(options, columns(TEXT, TEXT)), rows, cut)
    assert in_pieces(RowStream(TextRows(options)), data, cut) == rows


@given(ROWS, st.integers(1, 50), st.sampled_from([(b'"', b'"'), (b"~", b"!"), (b"'", b"\\")]), st.booleans())
def test_csv_there_and_back(
    rows: list[tuple[str | None, ...]], cut: int, marks: tuple[bytes, bytes], header: bool
) -> None:
    options = CopyOptions("csv", b",", b"", None, *marks, header)
    data = written(CSVWriter(options, columns(TEXT, TEXT)), rows, cut)
    assert in_pieces(RowStream(CSVRows(options)), data, cut) == rows


KINDS = {
    INT4: st.integers(-(2**31), 2**31 - 1),
    TEXT: st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    FLOAT8: st.floats(allow_nan=False),
    BOOL: st.booleans(),
    DATE: st.dates(),
    UUID: st.uuids(),
}


@given(st.data(), st.lists(st.sampled_from(sorted(KINDS)), max_size=6), st.integers(1, 60))
def test_binary_there_and_back(data: st.DataObject, oids: list[int], cut: int) -> None:
    rows = data.draw(st.lists(st.tuples(*[st.none() | KINDS[oid] for oid in oids]), max_size=8))
    raw = written(BinaryWriter(columns(*oids)), rows, cut)
    assert in_pieces(RowStream(BinaryRows(columns(*oids))), raw, cut) == rows
    # What the compiled function makes is what one makes that looks at everything.
    slow = BinaryWriter(columns(*oids))
    slow._packer = Never(slow._encoders, Frame(slow._head))
    assert written(slow, rows) == raw


def test_usual_rows_are_packed_by_the_compiled_function(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = BinaryWriter(columns(INT4, TEXT, FLOAT8, BOOL, DATE, UUID))
    rows: list[object] = [(1, "x", 1.5, True, date.today(), uuid4()), [2, "", -1.0, False, date.max, uuid4()]]
    odd = (3, None, 0.0, None, date.min, None)
    assert writer.fill(iter([odd] * 16), [], 1 << 20)
    monkeypatch.setattr(BinaryWriter, "_slow", None)
    assert writer.fill(iter([*rows, odd, *rows]), [], 1 << 20)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (("x", "y"), "row 1, column 'c0'.*int4"),
        ((2**31, "y"), "row 1, column 'c0'.*out of range"),
        ((1, 2), "row 1, column 'c1'.*text"),
        ((1, "\0"), "row 1, column 'c1'.*NUL"),
        ((1, "\ud800"), "row 1, column 'c1'"),
        ((1,), "row 1 has 1 values; the copy has 2 columns"),
        ((1, "x", None), "row 1 has 3 values"),
        ("ab", "sequence of 2 values"),
        ({"a": 1, "b": 2}, "sequence of 2 values"),
        ({1, 2}, "sequence of 2 values"),
        (None, "sequence of 2 values"),
    ],
)
@pytest.mark.parametrize("format", ["text", "csv", "binary"])
def test_rows_that_do_not_fit(row: object, complaint: str, format: str) -> None:
    statement = parse_copy(f"copy t from stdin (format {format})")
    writer = row_writer(statement, columns(INT4, TEXT), int(format == "binary"), 2)
    out: list[bytes] = []
    with pytest.raises(DataError, match=complaint):
        writer.fill(iter([row]), out, 1000)
    assert (out, writer.count, writer.size) == ([], 0, 0)
    with pytest.raises(DataError):
        writer.fill(iter([(1, "x"), row]), out, 1000)
    assert writer.count == 1
    assert writer.size == sum(map(len, out))


def test_a_bool_is_no_number() -> None:
    with pytest.raises(DataError, match="bool"):
        written(BinaryWriter(columns(BOOL)), [(1,)])


@given(st.binary())
def test_bytes_that_are_no_rows(data: bytes) -> None:
    header = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for raw in (data, header + data, header + struct.pack("!hi", 1, 4) + data):
        for reader in (
            BinaryRows(columns(INT4)),
            TextRows(CopyOptions()),
            CSVRows(CopyOptions("csv", b",", b"")),
        ):
            stream = RowStream(reader)
            try:
                stream.feed(raw)
                stream.finish()
            except DataError:
                continue
