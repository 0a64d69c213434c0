"""Results by column: the same values as by row, in buffers where they are numbers."""

from __future__ import annotations

import array
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._columns import ColumnCollector, Columns
from pgproto._rows import compile_decoder
from pgproto.errors import DataError, RemoteProtocolError
from pgproto.types import Codec, DateInfinity, TypeRegistry
from tests.support.reference_rows import reference_decode, row_message

REGISTRY = TypeRegistry()
NUMBERS = [REGISTRY.codec(oid) for oid in (16, 20, 21, 23, 26, 700, 701, 5069)]
BOOL, INT8, INT2, INT4, _, FLOAT4, FLOAT8, _ = NUMBERS
CHAR, TEXT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ = map(REGISTRY.codec, (18, 25, 1082, 1083, 1114, 1184))
CODECS = [*NUMBERS, CHAR, TEXT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ]
SAMPLES = {16: b"\1", 18: b"x", 25: b"text"}


def message(codecs: Sequence[Codec], values: Sequence[object]) -> bytes:
    return row_message(
        [None if value is None else codec.encode(value) for codec, value in zip(codecs, values, strict=True)]
    )


def collected(codecs: Sequence[Codec], *rows: Sequence[object], cut: int = 1000) -> Columns:
    """Columns a, b, c ... from the bytes of rows, which come in pieces."""
    collector = ColumnCollector(codecs)
    data = b"".join(message(codecs, row) for row in rows)
    position = 0
    for end in range(cut, len(data) + cut, cut):
        position = collector.take(data, position, min(end, len(data)))
    assert position == len(data)
    assert len(collector) == len(rows)
    return collector.finish("abcdefghijklmn"[: len(codecs)])


def lists(columns: Columns) -> list[list[Any]]:
    return [list(columns.at(position)) for position in range(len(columns.names))]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100, 5000])
@pytest.mark.parametrize("codec", NUMBERS)
def test_numbers_are_a_buffer(codec: Codec, count: int) -> None:
    values = [bool(i % 3) if codec is BOOL else i for i in range(count)]
    columns = collected([codec, codec], *([value, value] for value in values))
    for column in columns.values():
        assert isinstance(column, memoryview)
        assert column.format == codec.struct_format
        assert column.tolist() == values
    assert columns.row_count == count


def test_negative_and_extreme_numbers() -> None:
    rows = [[-(2**63), -(2**15), -1.5, False], [2**63 - 1, 2**15 - 1, float("inf"), True]] * 20
    columns = collected([INT8, INT2, FLOAT8, BOOL], *rows)
    assert lists(columns) == [list(column) for column in zip(*rows, strict=True)]
    assert array.array("q", columns["a"]).tolist() == [row[0] for row in rows]


def test_bool_is_true_or_false_whatever_came() -> None:
    data = row_message([b"\2"]) * 20 + row_message([b"\0"])
    collector = ColumnCollector([BOOL])
    assert collector.take(data, 0, len(data)) == len(data)
    assert bytes(collector.finish(["a"])["a"]) == b"\1" * 20 + b"\0"


def test_other_columns_are_lists() -> None:
    rows = [
        [i, str(i), date(2024, 1, 1), time(1), datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "x"]
        for i in range(50)
    ]
    columns = collected([INT4, TEXT, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, CHAR], *rows)
    assert isinstance(columns["a"], memoryview)
    assert all(type(columns[name]) is list for name in "bcdefg")
    assert lists(columns) == [list(column) for column in zip(*rows, strict=True)]
    assert columns["c"] is columns["c"]


def test_text_format_is_a_list() -> None:
    codec = Codec(23, "int4", 0, INT4.encoder(0), INT4.decoder(0))
    assert collected([codec], [1], [None])["a"] == [1, None]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("nulls", [{0}, {30}, {99}, {3, 4, 50}, set(range(0, 100, 2)), set(range(100))])
def test_nulls(codec: Codec, nulls: set[int]) -> None:
    value = codec.decode(SAMPLES.get(codec.oid, bytes(struct.calcsize("!" + (codec.struct_format or "B")))))
    values = [None if i in nulls else value for i in range(100)]
    columns = collected([codec, INT8], *([value, i] for i, value in enumerate(values)))
    assert columns["a"] == values
    assert type(columns["a"]) is list
    assert columns["b"].tolist() == list(range(100))  # type: ignore[attr-defined]  # it is a memoryview


def test_nulls_of_booleans_are_not_false() -> None:
    columns = collected([BOOL], [None], [False], [True])
    assert columns["a"] == [None, False, True]


def test_numbers_and_which_are_valid() -> None:
    rows = [[i or None, i, date(2000, 1, 1) + timedelta(i), str(i)] for i in range(20)]
    columns = collected([INT4, INT8, DATE, TEXT], *rows)
    numbers, valid = columns.numbers("a")
    assert numbers.tolist() == list(range(20))
    assert valid is not None
    assert valid.tolist() == [False] + [True] * 19
    assert columns.numbers("b")[1] is None
    assert columns.numbers("c")[0].tolist() == list(range(20))
    with pytest.raises(TypeError, match="column 'd' of type text holds no numbers"):
        columns.numbers("d")
    with pytest.raises(KeyError):
        columns.numbers("z")


def test_mapping() -> None:
    codecs = [INT4, TEXT, INT4]
    collector = ColumnCollector(codecs)
    data = message(codecs, [1, "x", 2])
    collector.take(data, 0, len(data))
    columns = collector.finish(["n", "t", "n"])
    assert columns.names == ("n", "t", "n")
    assert list(columns) == ["n", "t"]
    assert len(columns) == 2
    assert list(columns["n"]) == [2]
    assert list(columns.at(0)) == [1]
    assert "t" in columns
    assert "z" not in columns
    assert {name: list(column) for name, column in columns.items()} == {"n": [2], "t": ["x"]}
    assert repr(columns) == "<Columns 'n', 't', 'n' of 1 rows>"
    with pytest.raises(KeyError):
        columns["z"]
    with pytest.raises(IndexError):
        columns.at(3)


def test_no_columns() -> None:
    columns = collected([], [], [])
    assert columns.row_count == 2
    assert dict(columns) == {}


def test_dates_beyond_the_calendar_are_an_error_when_looked_at() -> None:
    assert collected([DATE], *[[DateInfinity(1)]] * 9)["a"] == [DateInfinity(1)] * 9
    collector = ColumnCollector([DATE, INT4])
    data = row_message([struct.pack("!i", -(2**31) + 1), bytes(4)]) * 10
    assert collector.take(data, 0, len(data)) == len(data)
    columns = collector.finish(["a", "b"])
    assert list(columns["b"]) == [0] * 10
    with pytest.raises(DataError, match="outside PostgreSQL's calendar"):
        columns["a"]


def values_of(codec: Codec) -> st.SearchStrategy[bytes]:
    if codec.oid in SAMPLES:
        return st.just(SAMPLES[codec.oid])
    size = struct.calcsize("!" + codec.struct_format)
    return st.integers(0, 2**15 - 1).map(lambda number: number.to_bytes(size, "big"))


@given(st.data())
def test_same_as_by_row(data: st.DataObject) -> None:
    codecs = data.draw(st.lists(st.sampled_from(CODECS), min_size=1, max_size=4))
    if data.draw(st.booleans()):
        codecs = [codec for codec in codecs if codec.struct_format] or [INT8]
    value = [values_of(codec) for codec in codecs]
    some = [st.none() | values if data.draw(st.integers(0, 3)) == 0 else values for values in value]
    rows = [row_message(row) for row in data.draw(st.lists(st.tuples(*some), min_size=1, max_size=4))]
    order = data.draw(st.lists(st.tuples(st.integers(0, len(rows) - 1), st.integers(1, 40)), max_size=9))
    received = b"".join(rows[row] * count for row, count in order) + data.draw(
        st.sampled_from([b"", b"D\0", b"C" + rows[0][1:], rows[0][:-1]])
    )
    cut = data.draw(st.integers(1, len(received) + 1))
    expected, end, error = reference_decode(codecs, None, received)
    assert error is None
    collector = ColumnCollector(codecs)
    position = 0
    for stop in range(cut, len(received) + cut, cut):
        position = collector.take(received, position, min(stop, len(received)))
    assert position == end
    assert len(collector) == len(expected)
    columns = collector.finish([str(i) for i in range(len(codecs))])
    assert repr(lists(columns)) == repr([[row[i] for row in expected] for i in range(len(codecs))])  # type: ignore[index]  # rows are tuples


@pytest.mark.parametrize("codecs", [[INT4], [INT4, TEXT]])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_errors_come_when_the_wrong_row_is_the_first(codecs: Sequence[Codec], count: int) -> None:
    good = message(codecs, [1, "x"][: len(codecs)])
    wrong = [
        (row_message([]), RemoteProtocolError),
        (good[:6] + b"\7" + good[7:], RemoteProtocolError),
        (b"D\0\0\0\5\0", RemoteProtocolError),
        (row_message([b"xyz", b"x"][: len(codecs)]), DataError),
        (row_message([b"x" * 5000, b"x"][: len(codecs)]), DataError),
    ]
    for (bad, error), behind in product(wrong, [b"", good * 20]):
        data = good * count + bad + behind
        collector = ColumnCollector(codecs)
        position = len(good) * count
        if count:
            assert collector.take(data, 0, len(data)) == position
        with pytest.raises(error):
            collector.take(data, position, len(data))
        assert list(collector.finish("ab"[: len(codecs)])["a"]) == [1] * count


def test_limit_of_length() -> None:
    good = message([INT4], [1])
    for longest in (len(good) - 1, len(good) - 2):
        collector = ColumnCollector([INT4], longest)
        if longest == len(good) - 1:
            assert collector.take(good * 20, 0, len(good) * 20) == len(good) * 20
        else:
            with pytest.raises(RemoteProtocolError, match="claims a length of 14 bytes; 6 to 13"):
                collector.take(good * 20, 0, len(good) * 20)


def test_mostly_without_row_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the rows around a NULL are decoded one by one."""
    decoded = 0

    def counting(*arguments: Any) -> Any:
        decode = compile_decoder(*arguments)

        def count(rows: list[object], data: bytes, start: int, end: int) -> int:
            nonlocal decoded
            position = decode(rows, data, start, end)
            decoded += len(rows)
            return position

        return count

    monkeypatch.setattr("pgproto._columns._collector.compile_decoder", counting)
    rows = [[i] for i in range(20_000)]
    collected([INT8], *rows, cut=100_000)
    assert decoded == 0
    with_nulls: list[list[int | None]] = [[None if i % 5000 == 4000 else i] for i in range(20_000)]
    assert collected([INT8], *with_nulls, cut=100_000)["a"] == [row[0] for row in with_nulls]
    assert 4 <= decoded < 1000


def test_numpy() -> None:
    numpy: Any = pytest.importorskip("numpy")
    now = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    rows = [
        [i, i / 2, i % 2 == 0, date(1970, 1, 1) + timedelta(i), now, time(0, 0, 1), str(i)] for i in range(20)
    ]
    columns = collected([INT8, FLOAT4, BOOL, DATE, TIMESTAMPTZ, TIME, TEXT], *rows)
    arrays = [columns.to_numpy(name) for name in columns]
    assert [str(array.dtype) for array in arrays] == [
        "int64", "float32", "bool", "datetime64[D]", "datetime64[us]", "timedelta64[us]", "object",
    ]  # fmt: skip
    assert arrays[0].tolist() == list(range(20))
    assert arrays[3].tolist() == [row[3] for row in rows]
    assert arrays[4].tolist() == [now.replace(tzinfo=None)] * 20
    assert arrays[5].tolist() == [timedelta(seconds=1)] * 20
    assert arrays[6].tolist() == [row[6] for row in rows]
    assert numpy.shares_memory(arrays[0], numpy.asarray(columns["a"]))


def test_numpy_with_nulls() -> None:
    numpy: Any = pytest.importorskip("numpy")
    rows: list[Sequence[object]] = [[1, date(1970, 1, 1), time(1), "x"], [None] * 4]
    columns = collected([INT8, DATE, TIME, TEXT], *rows)
    numbers = columns.to_numpy("a")
    assert isinstance(numbers, numpy.ma.MaskedArray)
    assert numbers.tolist() == [1, None]
    assert columns.to_numpy("b").tolist() == [date(1970, 1, 1), None]
    assert columns.to_numpy("c").tolist() == [timedelta(hours=1), None]
    assert columns.to_numpy("d").tolist() == ["x", None]


@pytest.mark.parametrize(
    ("codec", "number"),
    [
        (DATE, 2**31 - 1),
        (DATE, -(2**31)),
        (TIMESTAMP, 2**63 - 1),
        (TIMESTAMP, -(2**63)),
        (TIMESTAMPTZ, 2**63 - 10**14),
    ],
)
def test_numpy_has_no_infinity(codec: Codec, number: int) -> None:
    pytest.importorskip("numpy")
    data = row_message([struct.pack("!" + codec.struct_format, number)])
    collector = ColumnCollector([codec])
    collector.take(data, 0, len(data))
    with pytest.raises(DataError, match="a value is infinite, or beyond what datetime64"):
        collector.finish(["a"]).to_numpy("a")


def test_numpy_and_values_of_ones_own() -> None:
    pytest.importorskip("numpy")
    mine = Codec(99_999, "mine", 1, INT4.encode, INT4.decode, struct_format="i", from_struct=str)
    assert collected([mine], [1])["a"] == ["1"]
    assert collected([mine], [1]).to_numpy("a").tolist() == ["1"]
