"""The work grows with the bytes, and with nothing else: counted, so that no machine is too slow to pass."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import SupportsIndex, overload

import pytest

from pgproto import NEED_DATA, Connection, NeedData
from pgproto import messages as m
from pgproto._wire import ReceiveBuffer
from pgproto.messages import DataRows, Message, Role
from tests.support.pair import ready
from tests.support.replay import play, script_for
from tests.support.scripts import random_session

ROW = m.DataRow((b"x" * 100,))


class CountingBuffer(ReceiveBuffer):
    """Counts the bytes that are copied when pieces are joined."""

    __slots__ = ()
    copied = 0

    def feed(self, data: bytes) -> None:
        joined = self._joined
        super().feed(data)
        if self._joined > joined:
            CountingBuffer.copied += len(self._pieces[self._joined - 1])

    def gather(self, needed: int) -> bool:
        before = self.data
        found = super().gather(needed)
        if self.data is not before:
            CountingBuffer.copied += len(self.data)
        return found


class CountedBytes(bytes):
    """Counts the bytes that are copied by slicing."""

    copied = 0

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:
        value = super().__getitem__(key)
        if isinstance(value, bytes):
            CountedBytes.copied += len(value)
        return value


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def asking(buffer: ReceiveBuffer | None = None) -> Connection:
    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    if buffer is not None:
        client._incoming = buffer
    return client


def drained(client: Connection) -> int:
    rows = 0
    while (event := client.next_event()) is not NEED_DATA:
        rows += len(event) if isinstance(event, DataRows) else 1
    return rows


SHAPES: dict[str, Sequence[m.DataRow]] = {
    "one large row": [m.DataRow((b"x" * 1_000_000,))],
    "rows of a chunk": [m.DataRow((b"x" * 4_000,))] * 250,
    "small rows": [ROW] * 9_000,
    "tiny rows": [m.DataRow((None,))] * 90_000,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 7, 64, 1_024, 4_096, 65_536, 1_048_576])
def test_each_byte_is_copied_a_few_times_at_the_most(shape: str, size: int) -> None:
    """Once to join a header, once to join the rest, once for what is left, and once to hand it on."""
    wire = b"".join([row.encode() for row in SHAPES[shape]])
    if size < 64:
        wire = wire[: len(wire) // 10]
        if len(SHAPES[shape]) == 1:
            wire = m.DataRow((b"x" * 100_000,)).encode()
    CountingBuffer.copied = 0
    client = asking(CountingBuffer())
    for piece in pieces(wire, size):
        client.receive_data(piece)
        drained(client)
    assert CountingBuffer.copied <= 4 * len(wire)


def test_work_for_a_partial_message_does_not_grow_with_it() -> None:
    """The header is read again with each chunk, and nothing else: no row is looked at before it is whole."""
    client = asking()
    client.receive_data(b"D" + (10_000_000).to_bytes(4, "big"))
    for _ in range(1_000):
        client.receive_data(b"x" * 1_000)
        before = client._incoming.data
        assert client.next_event() is NEED_DATA
        assert client._incoming.data is before
        assert client._incoming.position == 0


def test_a_message_is_sliced_once() -> None:
    """Of the messages in a chunk, each is taken out by itself: the rest is not copied with it."""
    client = ready(Role.FRONTEND)
    said = [m.NoticeResponse({"M": "x" * 100}), m.NotificationResponse(1, "c", "p" * 100)] * 1_000
    wire = b"".join([message.encode() for message in said])
    CountedBytes.copied = 0
    client._incoming.clear()
    client._incoming.data = CountedBytes(wire)
    client._incoming.end = len(wire)
    assert drained(client) == len(said)
    assert 0 < CountedBytes.copied <= len(wire)


def test_calls_grow_with_the_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the session, twice the calls: nothing is looked at again."""
    calls = 0
    original = Connection._next_message

    def counted(self: Connection) -> Message | NeedData | None:
        nonlocal calls
        calls += 1
        return original(self)

    monkeypatch.setattr(Connection, "_next_message", counted)
    counts: list[int] = []
    for requests in (50, 100, 200):
        calls = 0
        session = random_session(random.Random(1), requests=0)[:-1]
        begun = len(session)
        query = (Role.FRONTEND, [m.Query("")]), (Role.BACKEND, [m.EmptyQueryResponse(), m.ReadyForQuery("I")])
        session += [*query] * requests
        assert len(session) == begun + 2 * requests
        play(Role.FRONTEND, script_for(Role.FRONTEND, session), lambda data: pieces(data, 3))
        counts.append(calls)
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


def _seconds(size: int, chunk: bytes) -> float:
    """How long it takes to receive a row of this size in chunks like this one; the best of three."""
    best = float("inf")
    for _ in range(3):
        client = asking()
        started = time.process_time()
        client.receive_data(b"D" + (10 + size).to_bytes(4, "big") + b"\x00\x01" + size.to_bytes(4, "big"))
        for _ in range(size // len(chunk)):
            client.receive_data(chunk)
            if client.next_event() is not NEED_DATA:
                break
        best = min(best, time.process_time() - started)
        assert client.next_event() is NEED_DATA
        assert len(client._incoming) == 0
    return best


def test_a_row_of_twice_the_size_takes_twice_the_time() -> None:
    """From 8 to 64 MiB in chunks of 1 KiB; generous, for machines that do something else as well."""
    chunk = b"x" * 1024
    times = [_seconds(size << 20, chunk) for size in (8, 64)]
    assert times[1] < 8 * 2.5 * times[0] + 0.2
