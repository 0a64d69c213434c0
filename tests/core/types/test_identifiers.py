from __future__ import annotations

import struct
from uuid import UUID, SafeUUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import BINARY, TEXT, LogSequenceNumber, Snapshot, Tid
from tests.core.types.support import builtin, member, same

_REGISTERED = [
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regclass",
    "regtype",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regrole",
    "regcollation",
]


class TestUuid:
    @given(st.uuids())
    def test_both_ways_in_both_formats(self, value: UUID) -> None:
        codec = builtin("uuid")
        decoded = codec.decode(codec.encode(value))
        assert same(decoded, value)
        assert isinstance(decoded, UUID)
        assert decoded.is_safe is SafeUUID.unknown
        assert hash(decoded) == hash(value)
        assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value)), value)

    @pytest.mark.parametrize(
        "value",
        [
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
            member(UUID(int=0xA0EEBC999C0B4EF8BB6D6BB9BD380A11)),
        ],
    )
    def test_takes_what_postgresql_reads(self, value: object) -> None:
        assert builtin("uuid").encode(value).hex() == "a0eebc999c0b4ef8bb6d6bb9bd380a11"

    @pytest.mark.parametrize(
        "value",
        ["", "1_34" * 8, " " + "0" * 31, "0" * 33, "{" + "0" * 32, 5, b"\x00" * 16, "urn:uuid:" + "0" * 32],
    )
    def test_refuses_what_is_none(self, value: object) -> None:
        with pytest.raises(DataError, match=r"as uuid: it takes a uuid\.UUID"):
            builtin("uuid").encode(value)

    @pytest.mark.parametrize("data", [b"", b"\x00" * 15, b"\x00" * 17])
    def test_refuses_other_widths(self, data: bytes) -> None:
        with pytest.raises(DataError, match="bytes instead of 16"):
            builtin("uuid").decode(data)

    @pytest.mark.parametrize("data", [b"", b"0" * 31, b"+" + b"0" * 31, b"\xff" * 32])
    def test_refuses_other_text(self, data: bytes) -> None:
        with pytest.raises(DataError, match="malformed uuid"):
            builtin("uuid").decoder(TEXT)(data)


class TestTid:
    @given(st.builds(Tid, st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)))
    def test_both_ways_in_both_formats(self, value: Tid) -> None:
        codec = builtin("tid")
        assert codec.decode(codec.encode(value)) == value
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value

    def test_is_ordered(self) -> None:
        assert Tid(1, 5) < Tid(2, 0) < Tid(2, 1) <= Tid(2, 1)
        assert Tid(1, 1).__lt__((1, 1)) is NotImplemented

    @pytest.mark.parametrize("parts", [(-1, 0), (2**32, 0), (0, -1), (0, 2**16), ("0", 0)])
    def test_refuses_what_is_out_of_range(self, parts: tuple[int, int]) -> None:
        with pytest.raises(DataError, match="out of range"):
            Tid(*parts)

    def test_takes_tuples(self) -> None:
        tid, several = builtin("tid"), builtin("_tid")
        for format in (BINARY, TEXT):
            assert tid.encoder(format)((7, 1)) == tid.encoder(format)(Tid(7, 1))
            assert several.encoder(format)([(7, 1), None]) == several.encoder(format)([Tid(7, 1), None])
        with pytest.raises(DataError, match="offset 65536 is out of range"):
            tid.encode((7, 2**16))

    @pytest.mark.parametrize("value", [[0, 1], (0,), (0, 1, 2), (0, "1"), "(0,1)", 5])
    def test_refuses_other_values(self, value: object) -> None:
        with pytest.raises(DataError, match="it takes a Tid"):
            builtin("tid").encode(value)

    def test_refuses_what_is_none(self) -> None:
        with pytest.raises(DataError, match="5 bytes instead of 6"):
            builtin("tid").decode(b"\x00" * 5)
        for data in (b"", b"(1, 2)", b"(1,2", b"(99999999999,1)", b"(4294967296,1)"):
            with pytest.raises(DataError, match="tid"):
                builtin("tid").decoder(TEXT)(data)


class TestLogSequenceNumber:
    @given(st.integers(0, 2**64 - 1))
    def test_both_ways_in_both_formats(self, number: int) -> None:
        codec = builtin("pg_lsn")
        value = LogSequenceNumber(number)
        assert value == number
        assert LogSequenceNumber(str(value)) == value
        assert same(codec.decode(codec.encode(value)), value)
        assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value)), value)

    def test_takes_numbers_and_text(self) -> None:
        assert builtin("pg_lsn").encode("1/2") == builtin("pg_lsn").encode(2**32 + 2)
        assert repr(LogSequenceNumber(10)) == "LogSequenceNumber('0/A')"
        assert LogSequenceNumber("1/0") - LogSequenceNumber("0/FFFFFFFF") == 1

    @pytest.mark.parametrize("value", [-1, 2**64, "", "1", "1/", "123456789/0", "g/0", 1.5, None])
    def test_refuses_what_is_none(self, value: int) -> None:
        with pytest.raises(DataError, match="not a position in the log"):
            LogSequenceNumber(value)
        with pytest.raises(DataError, match="as pg_lsn: it takes a LogSequenceNumber"):
            builtin("pg_lsn").encode(value)

    def test_refuses_other_text(self) -> None:
        with pytest.raises(DataError, match="malformed pg_lsn"):
            builtin("pg_lsn").decoder(TEXT)(b"16")


@pytest.mark.parametrize("name", ["pg_snapshot", "txid_snapshot"])
class TestSnapshot:
    @given(
        data=st.data(),
        ends=st.tuples(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1)).map(lambda ends: sorted(ends)),
    )
    def test_both_ways_in_both_formats(self, name: str, data: st.DataObject, ends: list[int]) -> None:
        low, high = ends
        active = (
            data.draw(st.lists(st.integers(low, high - 1), unique=True).map(sorted)) if low < high else []
        )
        value = Snapshot(low, high, active)
        codec = builtin(name)
        assert codec.decode(codec.encode(value)) == value
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value

    def test_refuses_other_values(self, name: str) -> None:
        with pytest.raises(DataError, match=f"as {name}: it takes a Snapshot"):
            builtin(name).encode("1:2:")

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "0 bytes, at least 20"),
            (struct.pack("!iqq", 1, 1, 2), "1 transactions in 0 bytes"),
            (struct.pack("!iqq", -1, 1, 2), "-1 transactions"),
            (struct.pack("!iqq", 2**31 - 1, 1, 2), "2147483647 transactions"),
            (struct.pack("!iqq", 0, 2, 1), "no snapshot"),
            (struct.pack("!iqqq", 1, 1, 2, 2), "no snapshot"),
        ],
    )
    def test_refuses_what_is_none(self, name: str, data: bytes, why: str) -> None:
        with pytest.raises(DataError, match=f"malformed {name}: .*{why}"):
            builtin(name).decode(data)

    @pytest.mark.parametrize("data", [b"", b"1:2", b"1:2:,", b"2:1:", b"1:3:2,2", b"1:3:3", b"0:1:"])
    def test_refuses_other_text(self, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match=f"malformed {name}"):
            builtin(name).decoder(TEXT)(data)


@pytest.mark.parametrize("active", [(5, 5), (9,), (1,), (6, 5), ("5",)])
def test_a_snapshot_is_in_order(active: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="no snapshot"):
        Snapshot(2, 9, active)


@pytest.mark.parametrize("name", _REGISTERED)
class TestRegistered:
    def test_travel_as_text(self, name: str) -> None:
        codec = builtin(name)
        assert codec.format == TEXT
        assert codec.encode("pg_catalog.x") == b"pg_catalog.x"
        assert codec.encode(1259) == b"1259"
        assert codec.decode(b"x") == "x"

    def test_are_oids_in_binary_format(self, name: str) -> None:
        codec = builtin(name)
        assert codec.encoder(BINARY)(1259) == b"\x00\x00\x04\xeb"
        assert codec.decoder(BINARY)(b"\x00\x00\x04\xeb") == 1259
        with pytest.raises(DataError, match=f"as {name}: in binary format it takes an OID"):
            codec.encoder(BINARY)("x")

    @pytest.mark.parametrize("value", [1.5, None, b"x", -1])
    def test_refuse_other_values(self, name: str, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}"):
            builtin(name).encode(value)
