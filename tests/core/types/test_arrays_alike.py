"""Arrays of one length in succession, which are unpacked in another way than the first of them."""

from __future__ import annotations

import pytest

from pgproto.errors import DataError
from tests.core.types.support import builtin

__all__: list[str] = []


@pytest.mark.parametrize("name", ["_int2", "_int8", "_float8", "_oid"])
@pytest.mark.parametrize(
    "counts", [(3, 3, 3, 3), (70, 70, 5, 70, 5, 5, 5, 0, 5), (1, 1, 1, 2000, 2000, 2000)]
)
def test_of_the_same_length_again_and_again(name: str, counts: tuple[int, ...]) -> None:
    codec = builtin(name)
    for turn, count in enumerate(counts):
        values = [(number * 7 + turn) % 32_000 for number in range(count)]
        data = codec.encode(values)
        assert codec.decode(data) == values
        if count:
            # What has a NULL, is too short, or says that it is longer is taken for what it is all the same.
            assert codec.decode(codec.encode([None, *values[1:]])) == [None, *values[1:]]
            for broken in (data[:-1], data + b"\0", data[:15] + bytes([data[15] ^ 1]) + data[16:]):
                with pytest.raises(DataError):
                    codec.decode(broken)
