"""Reader, Writer and ReceiveBuffer: every bound checked, every byte looked at once."""

from __future__ import annotations

import array
import struct
from collections.abc import Callable, Sequence

import pytest

from pgproto._wire import MAX_FRAME_LENGTH, Reader, ReceiveBuffer, Writer
from pgproto.errors import LocalProtocolError, RemoteProtocolError

# Reading.


def test_primitive_values_in_network_byte_order() -> None:
    reader = Reader(b"\x01\xff\xfe\xff\xfe\xff\xff\xff\xfd\xff\xff\xff\xfdab\x00cd")
    assert reader.byte() == 1
    assert reader.int16() == -2
    assert reader.uint16() == 65534
    assert reader.int32() == -3
    assert reader.uint32() == 4294967293
    assert reader.string() == "ab"
    assert reader.remaining == 2
    assert reader.take(1) == b"c"
    assert reader.rest() == b"d"
    assert reader.rest() == b""
    reader.finish()


TAKERS: dict[str, tuple[Callable[[Reader], object], int]] = {
    "byte": (Reader.byte, 1),
    "int16": (Reader.int16, 2),
    "uint16": (Reader.uint16, 2),
    "int32": (Reader.int32, 4),
    "uint32": (Reader.uint32, 4),
    "format_code": (Reader.format_code, 2),
    "value": (Reader.value, 4),
    "take": (lambda reader: reader.take(3), 3),
    "string": (Reader.string, 1),
}


@pytest.mark.parametrize("name", TAKERS)
def test_nothing_is_read_past_the_end(name: str) -> None:
    """The bytes behind the body belong to somebody else: neither their end nor their presence helps."""
    take, size = TAKERS[name]
    data = bytes(10)
    for length in range(size):
        with pytest.raises(RemoteProtocolError, match="sample is malformed"):
            take(Reader(data, 2, 2 + length, "sample"))
    reader = Reader(data, 2, 2 + size, "sample")
    take(reader)
    assert reader.remaining == 0
    reader.finish()


def test_a_failed_take_takes_nothing() -> None:
    reader = Reader(b"abc")
    with pytest.raises(RemoteProtocolError, match="a field of 4 bytes where 3 are left"):
        reader.take(4)
    with pytest.raises(RemoteProtocolError, match="a field of -1 bytes"):
        reader.take(-1)
    assert reader.rest() == b"abc"


@pytest.mark.parametrize("length", [-2, -(2**31), 5, 2**31 - 1])
def test_a_value_of_impossible_length(length: int) -> None:
    with pytest.raises(RemoteProtocolError):
        Reader(struct.pack("!i", length) + b"four").value()


def test_values() -> None:
    assert Reader(b"\xff\xff\xff\xff").value() is None
    assert Reader(b"\x00\x00\x00\x00").value() == b""
    assert Reader(b"\x00\x00\x00\x02xy").value() == b"xy"


@pytest.mark.parametrize("code", [2, -1, 256])
def test_there_are_two_format_codes(code: int) -> None:
    assert [Reader(b"\x00\x00").format_code(), Reader(b"\x00\x01").format_code()] == [0, 1]
    with pytest.raises(RemoteProtocolError, match=f"format code {code}"):
        Reader(struct.pack("!h", code)).format_code()


def test_a_string_ends_within_the_body() -> None:
    with pytest.raises(RemoteProtocolError, match="no terminator"):
        Reader(b"abc\x00", 0, 3).string()


def test_strings_that_are_not_utf8_survive() -> None:
    text = Reader(b"caf\xe9\x00").string()
    writer = Writer()
    writer.string(text)
    assert writer.message(b"Q") == b"Q\x00\x00\x00\x09caf\xe9\x00"


def test_finish_counts_what_is_left() -> None:
    with pytest.raises(RemoteProtocolError, match="2 bytes follow its last field"):
        Reader(b"\x00\x00").finish()


# Writing.


def test_what_is_written_can_be_read() -> None:
    writer = Writer()
    writer.byte(255)
    writer.int16(-32768)
    writer.uint16(65535)
    writer.int32(-(2**31))
    writer.uint32(2**32 - 1)
    writer.format_code(1)
    writer.value(None)
    writer.value(b"x")
    writer.string("ä")
    writer.raw(b"rest")
    data = writer.message(b"!")
    reader = Reader(data, 1)
    assert reader.int32() == len(data) - 1
    assert [reader.byte(), reader.int16(), reader.uint16()] == [255, -32768, 65535]
    assert [reader.int32(), reader.uint32(), reader.format_code()] == [-(2**31), 2**32 - 1, 1]
    assert [reader.value(), reader.value(), reader.string(), reader.rest()] == [None, b"x", "ä", b"rest"]


TOO_MUCH: list[tuple[Callable[[Writer, int], None], int, int]] = [
    (Writer.byte, 0, 255),
    (Writer.int16, -(2**15), 2**15 - 1),
    (Writer.uint16, 0, 2**16 - 1),
    (Writer.int32, -(2**31), 2**31 - 1),
    (Writer.uint32, 0, 2**32 - 1),
    (Writer.format_code, 0, 1),
]


@pytest.mark.parametrize(
    ("write", "least", "most"), TOO_MUCH, ids=lambda value: getattr(value, "__name__", "")
)
def test_numbers_are_checked(write: Callable[[Writer, int], None], least: int, most: int) -> None:
    for good in (least, most):
        write(Writer(), good)
    for bad in (least - 1, most + 1, 2**70, -(2**70)):
        with pytest.raises(LocalProtocolError, match="sample"):
            write(Writer("sample"), bad)


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udc7f\udfff"])
def test_strings_that_cannot_be_sent(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="sample: a string holds"):
        Writer("sample").string(text)


def _as_pairs(data: bytes) -> memoryview[int]:
    return memoryview(array.array("H", data))


@pytest.mark.parametrize("kind", [bytearray, memoryview, _as_pairs])
def test_other_buffers_than_bytes_are_measured_in_bytes(kind: Callable[[bytes], bytes]) -> None:
    writer = Writer()
    writer.value(kind(b"abcd"))
    writer.raw(kind(b"efgh"))
    assert writer.message(b"d") == b"d\x00\x00\x00\x10\x00\x00\x00\x04abcdefgh"


def test_a_number_is_not_a_buffer() -> None:
    with pytest.raises(TypeError):
        Writer().raw(3)  # type: ignore[arg-type]  # a number of zero bytes, if it were let through


class _Pretender(bytes):
    """Claims a length without having it: nobody needs a gigabyte to see the limit."""

    claimed = 0

    def __len__(self) -> int:
        return self.claimed


@pytest.mark.parametrize("longest", [MAX_FRAME_LENGTH, 10_000])
def test_a_message_has_a_largest_length(longest: int) -> None:
    def measure(claimed: int) -> bytes:
        writer = Writer("sample")
        piece = _Pretender()
        piece.claimed = claimed
        writer._parts.append(piece)
        return writer.message(b"d", longest)

    # The length counts its own four bytes, and not the type.
    assert measure(longest - 4) == b"d" + longest.to_bytes(4, "big")
    with pytest.raises(LocalProtocolError, match=f"sample of {longest + 1} bytes is too long"):
        measure(longest - 3)


def test_the_largest_length_is_what_a_server_accepts() -> None:
    assert MAX_FRAME_LENGTH == 2**30 - 2


# Receiving.


def _content(buffer: ReceiveBuffer) -> bytes:
    return buffer.data[buffer.position : buffer.end]


def test_what_was_fed_comes_out() -> None:
    buffer = ReceiveBuffer()
    assert not buffer.gather(1)
    buffer.feed(b"abc")
    buffer.feed(b"de")
    assert len(buffer) == 5
    assert not buffer.gather(6)
    assert buffer.gather(5)
    assert _content(buffer) == b"abcde"
    buffer.position += 4
    assert len(buffer) == 1
    buffer.feed(b"f")
    assert buffer.gather(2)
    assert _content(buffer) == b"ef"
    buffer.clear()
    assert len(buffer) == 0
    assert not buffer.gather(1)


def test_a_chunk_that_comes_alone_is_not_copied() -> None:
    buffer = ReceiveBuffer()
    chunk = b"x" * 1000
    for _ in range(3):
        buffer.feed(chunk)
        assert buffer.gather(1000)
        assert buffer.data is chunk
        buffer.position = buffer.end


def test_chunks_wait_until_they_suffice() -> None:
    """A message that comes in many chunks is joined once, not once for each chunk."""
    buffer = ReceiveBuffer()
    buffer.feed(b"head")
    for _ in range(100):
        before = buffer.data
        buffer.feed(b"x" * 10)
        assert not buffer.gather(2000)
        assert buffer.data is before
    buffer.feed(b"y" * 1000)
    assert buffer.gather(2000)
    assert _content(buffer) == b"head" + b"x" * 1000 + b"y" * 1000


@pytest.mark.parametrize("sizes", [[1] * 50, [3, 7, 20, 1, 19], [50]])
def test_order_is_kept(sizes: Sequence[int]) -> None:
    data = bytes(range(50))
    buffer, start = ReceiveBuffer(), 0
    for size in sizes:
        buffer.feed(data[start : start + size])
        start += size
        if start % 2:
            buffer.gather(start)
    assert buffer.gather(50)
    assert _content(buffer) == data


def test_very_small_chunks_do_not_pile_up() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"head")
    pattern = bytes(range(251))
    for number in range(100_000):
        buffer.feed(pattern[number % 251 : number % 251 + 1])
    assert len(buffer) == 100_004
    assert len(buffer._pieces) < 100_000 / 1024 + 1024
    assert buffer.gather(100_004)
    assert _content(buffer) == (b"head" + pattern * 400)[:100_004]
    # The next message begins anew.
    buffer.position = buffer.end - 1
    for _ in range(5_000):
        buffer.feed(b"ab")
    assert buffer.gather(10_001)
    assert _content(buffer)[1:] == b"ab" * 5_000
