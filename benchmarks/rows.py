"""How long decoding takes, without any server: nanoseconds per row and per value.

    python -m benchmarks.rows [name ...]

The best of several runs counts. The first rows of a shape are decoded by a loop and pay for compiling; the
figures are those of a shape that has been seen before.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from pgproto._columns import ColumnCollector
from pgproto._record import record_type
from pgproto._rows import DictMaker, compile_decoder
from pgproto.types import Codec, TypeRegistry

__all__ = ["main"]

_ROUNDS = 40
_CHUNK = 64 * 1024
_OIDS = {
    "bool": 16, "char": 18, "name": 19, "int8": 20, "int2": 21, "int4": 23, "text": 25, "oid": 26,
    "float8": 701, "timestamptz": 1184, "uuid": 2950, "numeric": 1700, "date": 1082,
}  # fmt: skip
_START = datetime(2024, 2, 29, 12, tzinfo=UTC)

Shape = tuple[str, Callable[[int], Sequence[object]]]


def _moment(i: int) -> datetime:
    return _START + timedelta(seconds=i, microseconds=i * 7919 % 1_000_000)


def _pg_type(i: int) -> Sequence[object]:
    name = "pg_" + "abcdefghijklmnopqrstuvwxyz"[: i % 20]
    return (name, 11, 10, -1 if i % 3 else 8, i % 3 == 0, "BCNU"[i % 4], False, True, ",", 0, i, 1000 + i)


SHAPES: dict[str, Shape] = {
    "int4": ("int4", lambda i: (i,)),
    "fixed": ("int4 int8 float8 bool int2", lambda i: (i, i << 20, i / 7, i % 2 == 0, i % 1000)),
    "text": ("text", lambda i: ("some text of a row",)),
    "mixed": ("int4 int8 float8 text timestamptz", lambda i: (i, i << 20, i / 7, f"row {i}", _moment(i))),
    "pg_type": ("name oid oid int2 bool char bool bool char oid oid oid", _pg_type),
    "int4x10": (" ".join(["int4"] * 10), lambda i: [i] * 10),
    "nulls": ("int4 text int8 text", lambda i: (i, None if i % 3 else "x", i if i % 2 else None, "y")),
    "one null": ("int4 int8", lambda i: (i, None if i % 500 == 0 else i)),
}


def _rows(codecs: Sequence[Codec], rows: Iterable[Sequence[object]]) -> bytes:
    parts: list[bytes] = []
    for row in rows:
        fields = [
            b"\xff\xff\xff\xff"
            if value is None
            else struct.pack("!i", len(codec.encode(value))) + codec.encode(value)
            for codec, value in zip(codecs, row, strict=True)
        ]
        body = b"".join(fields)
        parts.append(b"D" + struct.pack("!ih", 6 + len(body), len(fields)) + body)
    return b"".join(parts)


def _measure(
    codecs: Sequence[Codec], data: bytes, count: int, make: Callable[[tuple[object, ...]], object] | None
) -> float:
    """Nanoseconds for each row, in chunks as they come from a socket, or in a chunk for each row."""
    decode = compile_decoder(codecs, make)

    def one_pass() -> None:
        rows: list[object] = []
        position = 0
        for _ in range(repeat):
            position = 0
            for end in ends:
                position = decode(rows, data, position, end)
        if position != len(data):
            raise RuntimeError("the benchmark's own rows were not taken")

    ends = _ends(data, count)
    repeat = 1000 if count == 1 else 1
    return _best(one_pass) / (repeat * count)


def _measure_columns(codecs: Sequence[Codec], data: bytes, count: int) -> float:
    """Nanoseconds for each row that becomes part of columns."""

    def one_pass() -> None:
        collector = ColumnCollector(codecs)
        position = 0
        for end in ends:
            position = collector.take(data, position, end)

    ends = _ends(data, count)
    return _best(one_pass) / count


def _ends(data: bytes, count: int) -> list[int]:
    """Where the chunks end."""
    size = len(data) if count == 1 else _CHUNK
    return [min(end, len(data)) for end in range(size, len(data) + size, size)]


def _best(one_pass: Callable[[], None]) -> float:
    """How long the fastest of many takes, in nanoseconds."""
    times: list[int] = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter_ns()
        one_pass()
        times.append(time.perf_counter_ns() - begin)
    return min(times)


def main(names: Sequence[str]) -> None:
    """Print a table of the shapes of these names, or of all."""
    registry = TypeRegistry()
    print("ns per row          record   tuple    dict  columns   ns per value of a record")
    for name in names or SHAPES:
        types, row = SHAPES[name]
        codecs = [registry.codec(_OIDS[type_name]) for type_name in types.split()]
        columns = tuple(f"column{i}" for i in range(len(codecs)))
        for count in (1, 1000):
            data = _rows(codecs, map(row, range(count)))
            results = [
                _measure(codecs, data, count, make)
                for make in (record_type(columns), None, DictMaker(columns))
            ]
            by_column = f"{_measure_columns(codecs, data, count):7.0f}" if count > 1 else ""
            figures = " ".join(f"{result:7.0f}" for result in results)
            print(f"{name:9} x {count:5} {figures}  {by_column:7}   {results[0] / len(codecs):7.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
