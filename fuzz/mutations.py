"""Spoiling bytes: blindly, and knowing where a message has its length and its counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from tests.support.golden import ALL

__all__ = ["frames", "mutate"]

_NUMBERS: Final = (
    0,
    1,
    2,
    3,
    4,
    5,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 2,
    2**32 - 1,
)
_WORDS: Final = (
    *[case.wire for case in ALL],
    *[case.wire[:5] for case in ALL],
    b"\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"FATAL\x00",
)


def frames(data: bytes | bytearray) -> list[int]:
    """Where the messages of a stream begin, as long as it makes sense."""
    starts: list[int] = []
    position = 0
    while position + 5 <= len(data):
        starts.append(position)
        length = int.from_bytes(data[position + 1 : position + 5], "big")
        if length < 4:
            break
        position += 1 + length
    return starts


def _flip(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _overwrite_number(rng: random.Random, data: bytearray) -> None:
    size = rng.choice((2, 4))
    position = rng.randrange(len(data))
    data[position : position + size] = (rng.choice(_NUMBERS) % 256**size).to_bytes(size, "big")


def _insert(rng: random.Random, data: bytearray) -> None:
    position = rng.randint(0, len(data))
    data[position:position] = rng.choice((rng.choice(_WORDS), rng.randbytes(rng.randint(1, 8))))


def _delete(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data))
    del data[position : position + rng.randint(1, 8)]


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _copy_range(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    position = rng.randint(0, len(data))
    data[position:position] = data[start : start + rng.randint(1, 40)]


def _change_length(rng: random.Random, data: bytearray) -> None:
    """The length of a message, and sometimes the body with it, so that the frame stays whole."""
    starts = frames(data)
    if not starts:
        return
    start = rng.choice(starts)
    length = int.from_bytes(data[start + 1 : start + 5], "big")
    new = rng.choice((length + 1, length - 1, length + rng.randint(-8, 8), rng.choice(_NUMBERS))) % 2**32
    data[start + 1 : start + 5] = new.to_bytes(4, "big")
    if rng.random() < 0.5 and length < new < length + 1000:
        end = start + 1 + length
        data[end:end] = rng.randbytes(new - length)
    elif rng.random() < 0.5 and 4 <= new < length:
        del data[start + 1 + new : start + 1 + length]


def _change_body(rng: random.Random, data: bytearray) -> None:
    """The first bytes of a body, where counts and codes are."""
    starts = [start for start in frames(data) if start + 5 < len(data)]
    if starts:
        position = rng.choice(starts) + 5 + rng.randrange(8)
        size = rng.choice((1, 2, 4))
        data[position : position + size] = (rng.choice(_NUMBERS) % 256**size).to_bytes(size, "big")


def _change_type(rng: random.Random, data: bytearray) -> None:
    starts = frames(data)
    if starts:
        data[rng.choice(starts)] = rng.choice(rng.choice(_WORDS))


def _move_messages(rng: random.Random, data: bytearray) -> None:
    """Leave a message out, say it twice, or exchange it with the next one."""
    starts = [*frames(data), len(data)]
    if len(starts) < 3:
        return
    number = rng.randrange(len(starts) - 2)
    one, two, end = starts[number : number + 3]
    first, second = data[one:two], data[two:end]
    data[one:end] = rng.choice((second, first + first + second, second + first))


def _insert_message(rng: random.Random, data: bytearray) -> None:
    position = rng.choice([*frames(data), len(data)])
    data[position:position] = rng.choice(_WORDS)


_WAYS: Final[Sequence[Callable[[random.Random, bytearray], None]]] = (
    _flip,
    _overwrite,
    _overwrite_number,
    _insert,
    _delete,
    _truncate,
    _copy_range,
    _change_length,
    _change_length,
    _change_body,
    _change_body,
    _change_type,
    _move_messages,
    _move_messages,
    _insert_message,
    _insert_message,
)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """The same bytes, with one or a few things wrong."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not changed:
            changed += rng.choice(_WORDS)
        rng.choice(_WAYS)(rng, changed)
    return bytes(changed)
