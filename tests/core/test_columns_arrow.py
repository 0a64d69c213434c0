"""Columns for Arrow: what a consumer gets, and that all of it is given back."""

from __future__ import annotations

import ctypes
import gc
import struct
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from pgproto._columns import Columns
from pgproto._columns import _capsule as capsule
from pgproto._columns._arrow import ArrowColumn
from pgproto.errors import DataError
from pgproto.types import Codec, DateInfinity, EndOfDay, TimestampInfinity, TypeRegistry
from tests.core.test_columns import collected

REGISTRY = TypeRegistry()
BOOL, BYTEA, CHAR, INT8, INT4, TEXT, FLOAT4, UNKNOWN, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUIDS = (
    map(REGISTRY.codec, (16, 17, 18, 20, 23, 25, 700, 705, 1082, 1083, 1114, 1184, 1700, 2950))
)

_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Consumer:
    """Takes a stream as a program in C would: moves it out of its capsule and forgets the capsule."""

    def __init__(self, columns: Any) -> None:
        holder: object = columns.__arrow_c_stream__()
        theirs = capsule._Stream.from_address(_pointer(holder, b"arrow_array_stream") or 0)
        self.stream = move(theirs)
        assert not theirs.release
        del holder
        self.schema = capsule._Schema()
        assert self.stream.get_schema(ctypes.pointer(self.stream), ctypes.pointer(self.schema)) == 0
        self.array = self.next()
        assert not self.next().release
        assert self.stream.get_last_error(ctypes.pointer(self.stream)) is None

    def next(self) -> Any:
        array = capsule._Array()
        assert self.stream.get_next(ctypes.pointer(self.stream), ctypes.pointer(array)) == 0
        return array

    def columns(self) -> Iterator[tuple[str, str, Any]]:
        assert self.schema.format == b"+s"
        for i in range(self.schema.n_children):
            schema = self.schema.children[i].contents
            assert schema.flags == 2
            yield schema.name.decode(), schema.format.decode(), self.array.children[i].contents

    def release(self) -> None:
        for structure in (self.array, self.schema, self.stream):
            structure.release(ctypes.pointer(structure))
            assert not structure.release


def move(structure: Any) -> Any:
    """Where a structure is does not matter, so it may be moved; its old place counts as released."""
    copy = type(structure)()
    ctypes.memmove(ctypes.addressof(copy), ctypes.addressof(structure), ctypes.sizeof(structure))
    structure.release = type(structure.release)()
    return copy


def buffer(array: Any, number: int, size: int) -> bytes:
    return ctypes.string_at(array.buffers[number], size)


def bits(array: Any, number: int = 0) -> list[int]:
    data = buffer(array, number, (array.length + 7) // 8)
    return [data[i // 8] >> i % 8 & 1 for i in range(array.length)]


def exported(codec: Codec, values: Sequence[object]) -> tuple[str, Any, Consumer]:
    consumer = Consumer(collected([codec], *([value] for value in values)))
    ((name, format, array),) = consumer.columns()
    assert name == "a"
    assert array.length == consumer.array.length == len(values)
    assert (array.offset, array.n_children) == (0, 0)
    assert array.null_count == list(values).count(None)
    if array.null_count:
        assert bits(array) == [value is not None for value in values]
    else:
        assert not array.buffers[0]
    return format, array, consumer


def test_numbers() -> None:
    for codec, format, values in (
        (INT8, "l", [1, -2, 2**63 - 1]),
        (INT4, "i", [None, -1]),
        (FLOAT4, "f", [0.5]),
    ):
        found, array, consumer = exported(codec, values)
        assert found == format
        numbers = [0 if value is None else value for value in values]
        data = struct.pack(f"={len(values)}{codec.struct_format}", *numbers)
        assert buffer(array, 1, len(data)) == data
        consumer.release()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_booleans_are_bits(count: int) -> None:
    values = [i % 3 == 0 for i in range(count)]
    format, array, consumer = exported(BOOL, values)
    assert format == "b"
    assert bits(array, 1) == values
    consumer.release()


def test_dates_and_times_count_from_1970() -> None:
    for codec, format, value, number in (
        (DATE, "tdD", date(1970, 1, 3), 2),
        (TIMESTAMP, "tsu:", datetime(1969, 12, 31, 23, 59, 59), -1_000_000),
        (TIMESTAMPTZ, "tsu:UTC", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1_000_000),
        (TIME, "ttu", time(23, 59, 59, 999_999), 86_399_999_999),
    ):
        found, array, consumer = exported(codec, [value])
        assert found == format
        size = struct.calcsize(codec.struct_format)
        assert int.from_bytes(buffer(array, 1, size), sys.byteorder, signed=True) == number
        consumer.release()


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (DATE, DateInfinity(1)),
        (DATE, DateInfinity(-1)),
        (TIMESTAMP, TimestampInfinity(1)),
        (TIMESTAMP, TimestampInfinity(-1)),
        (TIME, EndOfDay()),
    ],
)
def test_what_arrow_cannot_hold(codec: Codec, value: object) -> None:
    columns: Any = collected([codec], [value])
    with pytest.raises(
        DataError, match=f"column 'a' has a {codec.name} that is infinite, or none that Arrow"
    ):
        columns.__arrow_c_stream__()


def test_strings_and_bytes() -> None:
    for codec, format, values in (
        (TEXT, "u", ["é", None, "", "abc"]),
        (UNKNOWN, "u", ["x"]),
        (CHAR, "u", ["x", "\\377"]),
        (BYTEA, "z", [b"\0\xff", None, b"x"]),
        (TEXT, "u", []),
        (TEXT, "u", [None]),
    ):
        found, array, consumer = exported(codec, values)
        assert found == format
        ends = struct.unpack(f"={len(values) + 1}i", buffer(array, 1, 4 * len(values) + 4))
        data = buffer(array, 2, ends[-1])
        parts = [data[start:end] for start, end in pairwise(ends)]
        assert parts == [
            b"" if value is None else value.encode() if isinstance(value, str) else value for value in values
        ]
        consumer.release()


def test_long_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgproto._columns._arrow._INT32_MAX", 5)
    for codec, format, value in ((TEXT, "U", "abc"), (BYTEA, "Z", b"abc")):
        found, array, consumer = exported(codec, [value, value])
        assert found == format
        assert struct.unpack("=3q", buffer(array, 1, 24)) == (0, 3, 6)
        consumer.release()


def test_uuid() -> None:
    values = [UUID(int=7), None]
    format, array, consumer = exported(UUIDS, values)
    assert format == "w:16"
    assert buffer(array, 1, 32) == UUID(int=7).bytes + bytes(16)
    consumer.release()


def test_types_that_arrow_has_not() -> None:
    mine = Codec(99_999, "mine", 1, INT4.encode, INT4.decode, struct_format="i", from_struct=str)
    for codec, value in ((NUMERIC, 1), (mine, 1)):
        columns: Any = collected([codec], [value])
        with pytest.raises(TypeError, match=f"column 'a': {codec.name} has no counterpart in Arrow"):
            columns.__arrow_c_stream__()


def test_no_columns_and_odd_names() -> None:
    consumer = Consumer(collected([], [], []))
    assert consumer.array.length == 2
    assert list(consumer.columns()) == []
    consumer.release()
    consumer = Consumer(Columns(["\udcff", "b"], collected([INT4, INT4], [1, 2])._columns, 1))
    assert [name for name, _, _ in consumer.columns()] == ["?", "b"]
    consumer.release()


def references(names: list[str], columns: list[ArrowColumn]) -> tuple[int, int]:
    gc.collect()
    return sys.getrefcount(names), sys.getrefcount(columns)


def test_all_is_given_back() -> None:
    data = bytearray(b"12345678")
    names, columns = ["a"], [ArrowColumn("i", 0, (None, data))]
    before = references(names, columns)
    # Nobody wants it.
    capsule.stream_capsule(names, columns, 2)
    assert references(names, columns) == before

    class Exporter:
        def __arrow_c_stream__(self) -> object:
            return capsule.stream_capsule(names, columns, 2)

    consumer = Consumer(Exporter())
    assert references(names, columns) != before
    with pytest.raises(BufferError):
        data.append(0)
    # A column that was moved out outlives its table.
    child = move(consumer.array.children[0].contents)
    consumer.release()
    assert references(names, columns) == before
    assert buffer(child, 1, 8) == b"12345678"
    with pytest.raises(BufferError):
        data.append(0)
    child.release(ctypes.pointer(child))
    data.append(0)


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    consumer = Consumer(collected([INT4], [1]))
    again = capsule.stream_capsule(["a"], [ArrowColumn("i", 0, (None, b"1234"))], 1)
    stream = capsule._Stream.from_address(_pointer(again, b"arrow_array_stream") or 0)
    monkeypatch.setattr(capsule, "_fill_schema", fail)
    monkeypatch.setattr(capsule, "_fill_array", fail)
    assert stream.get_schema(ctypes.pointer(stream), ctypes.pointer(capsule._Schema())) == 12
    assert stream.get_next(ctypes.pointer(stream), ctypes.pointer(capsule._Array())) == 12
    consumer.release()


def test_pyarrow() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    rows: list[Sequence[object]] = [
        [
            i,
            i / 2,
            i % 2 == 0,
            date(1970, 1, 1) + timedelta(i),
            datetime(1999, 1, 1, tzinfo=UTC),
            str(i),
            b"x" * i,
        ]
        for i in range(20)
    ]
    rows.append([None] * 7)
    table = pyarrow.table(collected([INT8, FLOAT4, BOOL, DATE, TIMESTAMPTZ, TEXT, BYTEA], *rows))
    table.validate(full=True)
    assert [column.to_pylist() for column in table.columns] == [
        list(column) for column in zip(*rows, strict=True)
    ]
