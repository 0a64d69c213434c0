from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto.errors import DataError
from pgproto.types import TEXT, MacAddress
from tests.core.types.support import builtin, member, same

_ADDRESSES = st.ip_addresses()


@st.composite
def interfaces(draw: st.DrawFn) -> IPv4Interface | IPv6Interface:
    address = draw(_ADDRESSES)
    prefix = draw(st.integers(0, address.max_prefixlen - 1))
    return (
        IPv4Interface((address, prefix))
        if isinstance(address, IPv4Address)
        else IPv6Interface((address, prefix))
    )


@given(_ADDRESSES | interfaces())
def test_inet(value: object) -> None:
    codec = builtin("inet")
    assert same(codec.decode(codec.encode(value)), value)
    assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value)), value)


@given(interfaces())
def test_cidr(value: IPv4Interface | IPv6Interface) -> None:
    codec = builtin("cidr")
    assert same(codec.decode(codec.encode(value.network)), value.network)
    assert same(codec.decoder(TEXT)(codec.encoder(TEXT)(value.network)), value.network)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.3.4", IPv4Address("1.2.3.4")),
        ("1.2.3.4/24", IPv4Interface("1.2.3.4/24")),
        ("::1/128", IPv6Address("::1")),
        (IPv4Interface("1.2.3.4/32"), IPv4Address("1.2.3.4")),
        (IPv4Network("1.2.0.0/16"), IPv4Interface("1.2.0.0/16")),
        (member("1.2.3.4"), IPv4Address("1.2.3.4")),
    ],
)
def test_inet_takes(value: object, expected: object) -> None:
    assert same(builtin("inet").decode(builtin("inet").encode(value)), expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.2.0.0/16", IPv4Network("1.2.0.0/16")),
        (IPv4Address("1.2.3.4"), IPv4Network("1.2.3.4/32")),
        (IPv6Address("::1"), IPv6Network("::1/128")),
        (IPv4Interface("1.2.0.0/16"), IPv4Network("1.2.0.0/16")),
    ],
)
def test_cidr_takes(value: object, expected: object) -> None:
    assert same(builtin("cidr").decode(builtin("cidr").encode(value)), expected)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("inet", "1.2.3", "does not appear to be"),
        ("inet", "", "does not appear to be"),
        ("inet", 5, "it takes an address"),
        ("inet", b"\x01\x02\x03\x04", "it takes an address"),
        ("inet", IPv6Address("fe80::1%eth0"), "no scope"),
        ("inet", "fe80::1%eth0", "no scope"),
        ("cidr", "1.2.3.4/16", "has host bits set"),
        ("cidr", IPv4Interface("1.2.3.4/16"), "has host bits set"),
        ("cidr", 5, "it takes a network"),
        ("cidr", "x", "does not appear to be"),
        ("cidr", IPv6Address("fe80::1%eth0"), "no scope"),
    ],
)
def test_refuses(name: str, value: object, why: str) -> None:
    with pytest.raises(DataError, match=f"as {name}: .*{why}"):
        builtin(name).encode(value)


@pytest.mark.parametrize("name", ["inet", "cidr"])
@pytest.mark.parametrize(
    "data",
    [
        "",
        "020000",
        "02200004",
        "0220000401020304ff",
        "0221000401020304",
        "0420000401020304",
        "0220001001020304",
    ],
)
def test_refuses_what_is_no_address(name: str, data: str) -> None:
    flag = bytes.fromhex(data)
    if name == "cidr" and len(flag) > 2:
        flag = flag[:2] + b"\x01" + flag[3:]
    with pytest.raises(DataError, match=f"malformed {name}"):
        builtin(name).decode(flag)


def test_the_flag_says_which_of_the_two_it_is() -> None:
    with pytest.raises(DataError, match="malformed inet: header 02200104"):
        builtin("inet").decode(bytes.fromhex("0220010401020304"))
    with pytest.raises(DataError, match="malformed cidr: bits to the right of the prefix of 16"):
        builtin("cidr").decode(bytes.fromhex("0210010401020304"))


@pytest.mark.parametrize("name", ["inet", "cidr"])
@pytest.mark.parametrize(
    "data", [b"", b"1.2.3", b"x", b"fe80::1%eth0", b"fe80::1%eth0/128", b"\xff", b"1.2.3.4/99"]
)
def test_refuses_other_text(name: str, data: bytes) -> None:
    with pytest.raises(DataError, match=f"malformed {name}"):
        builtin(name).decoder(TEXT)(data)


@pytest.mark.parametrize(("name", "width"), [("macaddr", 6), ("macaddr8", 8)])
class TestMacAddress:
    @given(data=st.data())
    def test_both_ways_in_both_formats(self, name: str, width: int, data: st.DataObject) -> None:
        value = MacAddress(data.draw(st.binary(min_size=width, max_size=width)))
        codec = builtin(name)
        assert codec.decode(codec.encode(value)) == value
        assert codec.decoder(TEXT)(codec.encoder(TEXT)(value)) == value
        assert MacAddress(str(value)) == value
        assert codec.encode(str(value)) == value.octets

    def test_refuses_other_widths(self, name: str, width: int) -> None:
        with pytest.raises(DataError, match=f"7 bytes instead of {width}"):
            builtin(name).decode(b"\x00" * 7)
        with pytest.raises(DataError, match=f"it takes {width} octets"):
            builtin(name).encode(MacAddress(b"\x00" * (14 - width)))
        for text in (
            b"",
            b"00:" * 20,
            b"000000000000",
            b"\xff",
            b"00-00-00-00-00-00",
            b"zz:" * (width - 1) + b"zz",
        ):
            with pytest.raises(DataError, match=f"malformed {name}"):
                builtin(name).decoder(TEXT)(text)

    @pytest.mark.parametrize("value", ["x", 5, b"\x00" * 6])
    def test_refuses_other_values(self, name: str, width: int, value: object) -> None:
        with pytest.raises(DataError, match=f"as {name}"):
            builtin(name).encode(value)


@pytest.mark.parametrize(
    "text",
    [
        "08:00:2b:01:02:03",
        "08-00-2B-01-02-03",
        "08002b:010203",
        "08002b-010203",
        "0800.2b01.0203",
        "08002b010203",
    ],
)
def test_forms_of_a_mac_address(text: str) -> None:
    assert MacAddress(text).octets.hex() == "08002b010203"


@pytest.mark.parametrize(
    "address", ["", "8:0:2b:1:2:3", "08:00:2b:01:02", "08002b01020", "g" * 12, b"abc", 5, "0" * 100]
)
def test_what_is_no_mac_address(address: str) -> None:
    with pytest.raises(DataError, match="MAC address"):
        MacAddress(address)


def test_mac_addresses_are_ordered() -> None:
    assert MacAddress(b"\x00" * 6) < MacAddress(b"\x00" * 5 + b"\x01")
    assert MacAddress(b"\x00" * 6).__lt__("x") is NotImplemented
