"""What a hostile server can make a decoder cost: memory in proportion to what it sent, and time too."""

from __future__ import annotations

import contextlib
import gc
import struct
import time
from collections.abc import Callable

import pytest

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, Codec
from pgproto.types._builtin import CONTAINERS
from pgproto.types._composites import composite_codec
from pgproto.types._extensions import EXTENSION_CODECS
from tests.core.types.support import builtin
from tests.support.memory import peak_memory

MOST_PER_BYTE = 64
MOST_PER_BYTE_OF_INTERFACES = 128
"""The shortest text of an IPv6 interface has five bytes, and Python 3.13 makes nearly 600 bytes of it."""
SLACK = 4096
N = 5000

NULL = b"\xff\xff\xff\xff"
HSTORE = EXTENSION_CODECS["hstore", "hstore"](70001, "hstore")
SPARSEVEC = EXTENSION_CODECS["vector", "sparsevec"](70002, "sparsevec")


def array(name: str, element: bytes | None, *lengths: int) -> tuple[str, Callable[[bytes], object], bytes]:
    """An array of many such elements."""
    codec = builtin(name)
    shape = lengths or (N,)
    count = 1
    for length in shape:
        count *= length
    data = struct.pack("!iiI", len(shape), 1, CONTAINERS[codec.oid])
    data += b"".join(struct.pack("!ii", length, 1) for length in shape)
    data += (NULL if element is None else struct.pack("!i", len(element)) + element) * count
    return f"{name} of {element!r} {lengths}", codec.decoder(BINARY), data


def text_array(name: str, element: str) -> tuple[str, Callable[[bytes], object], bytes]:
    return (
        f"{name} of {element} as text",
        builtin(name).decoder(TEXT),
        ("{" + ",".join([element] * N) + "}").encode(),
    )


def binary(name: str, data: bytes) -> tuple[str, Callable[[bytes], object], bytes]:
    return f"{name} {data[:8]!r}", builtin(name).decoder(BINARY), data


def text(name: str, data: bytes) -> tuple[str, Callable[[bytes], object], bytes]:
    return f"{name} {data[:8]!r} as text", builtin(name).decoder(TEXT), data


def numeric(weight: int, scale: int) -> bytes:
    return struct.pack("!HhHHH", 1, weight, 0, scale, 1)


CASES = [
    array("_bool", b"\x01"),
    array("_int4", b"\x7f\xff\xff\xff"),
    array("_int4", None),
    array("_int4", None, N, 1),
    array("_int4", None, N, 1, 1),
    array("_int4", None, N, 1, 1, 1, 1, 1),
    array("_bool", b"\x01", N, 1, 1, 1, 1),
    array("_int4", None, 1, 1, 1, 1, 1, N),
    array("_uuid", b"a" * 16),
    array("_inet", bytes.fromhex("0220000401020304")),
    array("_inet", bytes.fromhex("0218000401020304")),
    array("_cidr", bytes.fromhex("0210010401020000")),
    array("_interval", b"\x00" * 16),
    array("_timestamptz", b"\x7f" + b"\xff" * 7),
    array("_date", b"\x7f\xff\xff\xff"),
    array("_timetz", struct.pack("!qi", 1, 1)),
    array("_numeric", numeric(0, 1000)),
    array("_numeric", numeric(0, 1640)),
    array("_numeric", numeric(0, 16383)),
    array("_numeric", numeric(32767, 0)),
    array("_numeric", numeric(250, 0)),
    array("_numeric", numeric(32767, 16383)),
    array("_int4range", b"\x01"),
    array("_int4range", b"\x18"),
    array("_int4multirange", b"\x00" * 4),
    array("_jsonb", b"\x01{}"),
    array("_json", b"[]"),
    array("_varbit", struct.pack("!i", 1) + b"\x00"),
    array("_point", b"\x00" * 16),
    array("_path", b"\x00" + struct.pack("!i", 1) + b"\x00" * 16),
    array("_tsvector", struct.pack("!i", 1) + b"\xc4\x80\x00\x00\x00"),
    array("_text", "\U0001f40d".encode()),
    array("_record", struct.pack("!i", 0)),
    array("_int2vector", struct.pack("!iiIii", 1, 0, 21, 0, 0)),
    binary("int4multirange", struct.pack("!i", N) + struct.pack("!ib", 1, 1) * N),
    binary("tsvector", struct.pack("!i", 1) + b"a\x00" + struct.pack("!H", 60_000) + b"\x3f\xff" * 60_000),
    binary("tsquery", struct.pack("!i", N + 1) + b"\x02\x01" * N + b"\x01\x00\x00a\x00"),
    binary("tsquery", struct.pack("!i", 2 * N + 1) + b"\x02\x02" * N + b"\x01\x00\x00\x00" * (N + 1)),
    binary("varbit", struct.pack("!i", 8 * N) + b"a" * N),
    binary("numeric", struct.pack(f"!HhHH{N}H", N, N - 1, 0, 0, *[9999] * N)),
    binary("json", b"[" + b"{}," * N + b"0]"),
    binary("json", b"[" + b'{"":0},' * N + b"0]"),
    binary("json", b"[" * 500 + b"]" * 500),
    binary("json", b"[" * N),
    (
        "hstore",
        HSTORE.decode,
        struct.pack("!i", N) + b"".join(struct.pack("!iHi", 2, 8481 + n, -1) for n in range(N)),
    ),
    ("sparsevec", SPARSEVEC.decode, struct.pack(f"!iii{N}i{N}f", N, N, 0, *range(N), *[1.0] * N)),
    text_array("_int4", "1"),
    text_array("_int4", "{{{{{1}}}}}"),
    text_array("_text", '""'),
    text_array("_inet", "::/1"),
    text_array("_cidr", "::/0"),
    text_array("_numeric", "1"),
    text_array("_int4range", "empty"),
    text_array("_int4multirange", '"{}"'),
    text_array("_json", "[]"),
    text_array("_record", "()"),
    text("int4multirange", b"{" + b",".join([b"(,)"] * N) + b"}"),
    text("record", b"(" + b"," * N + b")"),
    text("record", b'("' + b'a""' * N + b'")'),
    text("_text", b'{"' + b'\\"' * N + b'"}'),
    text("int2vector", b"1 " * N + b"1"),
    text("polygon", b"(" + b",".join([b"(1,1)"] * N) + b")"),
    text("tsvector", b" ".join([b"'a'"] * N)),
    text("tsvector", b"'a':" + b",".join([b"1A"] * N)),
    text("bytea", b"\\001" * N),
    text("money", b"1" * N),
    text("money", b"1," * N),
    text("pg_snapshot", b"1:99999:" + b",".join(b"%d" % n for n in range(2, N))),
]


@pytest.mark.parametrize(("name", "decode", "data"), CASES, ids=[case[0] for case in CASES])
def test_memory_is_in_proportion_to_what_came(
    name: str, decode: Callable[[bytes], object], data: bytes
) -> None:
    def run() -> object:
        try:
            return decode(data)
        except DataError as error:
            return error

    # Once before, for what the first time costs and is kept.
    assert run() is not None
    gc.collect()
    per_byte = MOST_PER_BYTE_OF_INTERFACES if name == "_inet of ::/1 as text" else MOST_PER_BYTE
    most = per_byte * len(data) + SLACK
    peak = peak_memory(run, most)
    assert peak <= most, f"{peak / len(data):.1f} bytes for each byte"


def doubled(name: str, part: bytes, head: bytes, tail: bytes) -> tuple[Codec, bytes, bytes, bytes]:
    return builtin(name), part, head, tail


LONG = [
    doubled("_text", b'"a\\"b",', b"{", b"x}"),
    doubled("_text", b'\\"', b'{"', b'"}'),
    doubled("_text", b"{", b"", b""),
    doubled("record", b'"a""b",', b"(", b"x)"),
    doubled("record", b'""', b'("', b'")'),
    doubled("record", b'""', b'("', b""),
    doubled("int4multirange", b"[1,2),", b"{", b"[1,2)}"),
    doubled("tsvector", b"'a':1A,2 ", b"", b"'b'"),
    doubled("tsvector", b"''", b"'", b""),
    doubled("polygon", b"(1,2),", b"(", b"(1,2))"),
    doubled("numeric", b"1", b"", b""),
    doubled("bytea", b"\\001", b"", b""),
    doubled("int2vector", b"1 ", b"", b"1"),
    doubled("money", b"1,", b"", b""),
    doubled("pg_snapshot", b"9,", b"1:10:", b"9"),
]


@pytest.mark.parametrize(
    ("codec", "part", "head", "tail"), LONG, ids=[f"{case[0].name} {case[1].decode()}" for case in LONG]
)
def test_text_takes_time_in_proportion_too(codec: Codec, part: bytes, head: bytes, tail: bytes) -> None:
    decode = codec.decoder(TEXT)

    def seconds(count: int) -> float:
        data = head + part * count + tail
        best = 1e9
        for _ in range(5):
            start = time.process_time()
            with contextlib.suppress(DataError):
                decode(data)
            best = min(best, time.process_time() - start)
        return best

    # The collector of garbage looks at all objects again and again; that is not the decoder's time.
    gc.disable()
    try:
        # Four times as much may take eight times as long on a noisy machine; quadratic would be sixteen.
        assert seconds(16_000) <= 8 * seconds(4000) + 0.02
    finally:
        gc.enable()


def test_composites_of_many_attributes() -> None:
    names = tuple(str(n) for n in range(1600))
    codec = composite_codec(1, "wide", names, (builtin("int4"),) * 1600)
    assert codec.decoder(TEXT)(b"(" + b"," * 1599 + b")") == (None,) * 1600
