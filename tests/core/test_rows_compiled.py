"""What the decoders of rows have compiled, and when."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest

from pgproto._record import record_type
from pgproto._rows import DictMaker, compile_decoder
from pgproto._rows import _compiled as compiled
from pgproto._rows._alike import alike_counter
from pgproto._rows._compiled import MAX_COMPILED_COLUMNS
from pgproto.types import TypeRegistry
from tests.support.reference_rows import reference_decode, row_message

REGISTRY = TypeRegistry()
INT4, TEXT, DATE = map(REGISTRY.codec, (23, 25, 1082))
ENOUGH = 40
"""So many rows, and the decoder knows what to expect."""


def int4(value: int) -> bytes:
    return struct.pack("!i", value)


def test_wide_rows_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(compiled, "_wide_builder", refuse)
    for columns in (MAX_COMPILED_COLUMNS + 1, MAX_COMPILED_COLUMNS):
        data = row_message([int4(7)] * columns) * ENOUGH
        decode = compile_decoder([INT4] * columns)
        if columns > MAX_COMPILED_COLUMNS:
            assert decode([], data, 0, len(data)) == len(data)
        else:
            with pytest.raises(AssertionError, match="compiled"):
                decode([], data, 0, len(data))


def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[bool], bool]]:
    """For each function compiled from now on: where NULLs are expected, and whether rare values are not."""
    seen: list[tuple[list[bool], bool]] = []
    original = compiled.compile_runs

    def compile_runs(codecs: Any, make: Any, nullable: Any, inline: bool) -> Any:
        seen.append((list(nullable), inline))
        return original(codecs, make, nullable, inline)

    monkeypatch.setattr("pgproto._rows._decoder.compile_runs", compile_runs)
    return seen


def test_few_rows_are_not_worth_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = runs(monkeypatch)
    row = row_message([int4(1)])
    decode = compile_decoder([INT4])
    for _ in range(10):
        decode([], row, 0, len(row))
    assert not seen
    decode([], row * 10, 0, len(row) * 10)
    assert seen == [([False], True)]


def test_common_nulls_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = runs(monkeypatch)
    rows = row_message([int4(1), b"x", int4(1)]) + row_message([int4(1), None, int4(1)])
    decode = compile_decoder([INT4, TEXT, INT4])
    decode([], rows * 50, 0, len(rows) * 50)
    assert seen == [([False, True, False], True)]
    # By turns: where all rows have the same NULLs there is nothing to learn.
    rows = row_message([int4(1), None, None]) + row_message([int4(1), None, int4(1)])
    decode([], rows * 50, 0, len(rows) * 50)
    assert seen[1:] == [([False, True, True], True)]
    decode([], rows * 500, 0, len(rows) * 500)
    assert len(seen) == 2


def test_rare_nulls_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = runs(monkeypatch)
    rows = row_message([int4(1)]) * 99 + row_message([None])
    decode = compile_decoder([INT4])
    for _ in range(100):
        decode([], rows, 0, len(rows))
    assert seen == [([False], True)]


def test_common_infinities_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = runs(monkeypatch)
    finite, infinite = row_message([int4(1)]), row_message([int4(2**31 - 1)])
    decode = compile_decoder([DATE])
    decode([], finite * 50, 0, len(finite) * 50)
    decode([], infinite * 50, 0, len(infinite) * 50)
    decode([], infinite * 50, 0, len(infinite) * 50)
    assert seen == [([False], True), ([False], False)]


def test_functions_are_shared_by_shape() -> None:
    compiled._narrow_builder.cache_clear()
    data = row_message([int4(1), b""]) * ENOUGH
    for _ in range(3):
        for codec in (TEXT, REGISTRY.codec(1043)):
            compile_decoder([INT4, codec])([], data, 0, len(data))
    assert compiled._narrow_builder.cache_info().misses == 1
    for builder in (compiled._narrow_builder, compiled._wide_builder):
        assert builder.cache_info().maxsize is not None


def test_nothing_of_the_servers_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    original: Any = compile

    def recorded(text: str, *rest: object) -> object:
        texts.append(text)
        return original(text, *rest)

    monkeypatch.setattr(compiled, "compile", recorded, raising=False)
    compiled._narrow_builder.cache_clear()
    codec = dataclasses.replace(INT4, name="evil\n    import os", from_struct=int)
    other = dataclasses.replace(TEXT, name="evil()", decode=bytes)
    names = ("evil", "x: __import__('os')")
    data = row_message([int4(1), b"x"]) * 30
    for make in (record_type(names), DictMaker(names)):
        compile_decoder([codec, other], make)([], data, 0, len(data))
    assert len(texts) == 2
    assert not any("evil" in text or "import" in text for text in texts)


def test_alike() -> None:
    alike = alike_counter([4, 2])
    row = row_message([int4(-1), b"\0\0"])
    assert alike(b"x" + row * 5, 1, 5) == 5
    for i in range(len(row)):
        changed = bytearray(row * 5)
        changed[2 * len(row) + i] ^= 1
        is_value = 11 <= i < 15 or 19 <= i < 21
        assert alike(bytes(changed), 0, 5) == (5 if is_value else 2)
    assert alike(b"E" + row[1:] + row, 0, 2) == 0


@pytest.mark.parametrize("end_of_the_first", [5000, 5001, 5999])
def test_intervals_between_looks_end_with_the_chunk(end_of_the_first: int) -> None:
    rows = [[int4(i), b"x" * (i * 7 % 11)] for i in range(2000)]
    data = b"".join(map(row_message, rows))
    decode = compile_decoder([INT4, TEXT])
    decode([], data, 0, len(data))
    result: list[object] = []
    position = decode(result, data, 0, end_of_the_first)
    assert end_of_the_first - 30 < position <= end_of_the_first
    assert decode(result, data, position, len(data)) == len(data)
    assert result == [(i, "x" * (i * 7 % 11)) for i in range(2000)]


def test_rows_of_one_length_among_others() -> None:
    lengths = [5] * 40 + [3, 4] * 20 + [6] * 15 + [2] * 16 + [7] * 300 + [1]
    texts = [f"{i}"[-1] * length for i, length in enumerate(lengths)]
    data = b"".join(row_message([text.encode(), int4(len(text))]) for text in texts)
    decode = compile_decoder([TEXT, INT4])
    for _ in range(3):
        rows: list[object] = []
        assert decode(rows, data, 0, len(data)) == len(data)
        assert rows == [(text, len(text)) for text in texts]


def test_rows_of_one_length_whose_values_are_not() -> None:
    row = [b"abc", b"de", int4(1)]
    rows = (
        [row] * 30
        + [[b"ab", b"cde", int4(2)]] * 30
        + [[b"abcd", None, int4(3)[:3] + b"\3x"[:1]]]
        + [row] * 20
    )
    data = b"".join(map(row_message, rows))
    decode = compile_decoder([TEXT, TEXT, INT4])
    decode([], row_message(row) * ENOUGH, 0, len(row_message(row)) * ENOUGH)
    expected, position, error = reference_decode([TEXT, TEXT, INT4], None, data)
    result: list[object] = []
    assert (decode(result, data, 0, len(data)), error) == (position, None)
    assert result == expected


@pytest.mark.parametrize("place", [0, 15, 16, 17, 255, 256, 257, 999])
def test_a_value_among_many_that_cannot_be_made_so(place: int) -> None:
    rows = [[int4(i), b"text"] for i in range(1000)]
    rows[place] = [int4(2**31 - 1), b"text"]
    data = b"".join(map(row_message, rows))
    decode = compile_decoder([DATE, TEXT])
    decode([], row_message(rows[-2]) * ENOUGH, 0, len(row_message(rows[-2])) * ENOUGH)
    result: list[object] = []
    assert decode(result, data, 0, len(data)) == len(data)
    assert result == [(DATE.decode(count), text.decode()) for count, text in rows]


def test_rows_in_which_the_same_columns_are_null() -> None:
    rows: list[list[bytes | None]] = []
    for nulls in ((), (1,), (0, 2), (0, 1, 2, 3), (3,)):
        for i in range(50):
            values = [int4(i), b"text", int4(-i), int4(2 * i)]
            rows.append([None if column in nulls else value for column, value in enumerate(values)])
    codecs = [INT4, TEXT, DATE, INT4]
    data = b"".join(map(row_message, rows))
    expected, end, _ = reference_decode(codecs, None, data)
    decode = compile_decoder(codecs)
    for _ in range(3):
        result: list[object] = []
        assert decode(result, data, 0, len(data)) == end == len(data)
        assert result == expected


def test_alike_with_nulls() -> None:
    alike = alike_counter([4, -1, 0])
    row = row_message([int4(7), None, b""])
    assert alike(row * 9, 0, 9) == 9
    assert alike(row * 4 + row_message([int4(7), b"", None]) + row * 4, 0, 9) == 4
