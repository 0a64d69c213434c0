"""inet, cidr, macaddr and macaddr8.

Chapter "Data Types", section "Network Address Types". An inet is an `IPv4Address` or `IPv6Address`; with a
prefix that is not the whole address it is an `IPv4Interface` or `IPv6Interface`, which are kinds of these. A
cidr is an `IPv4Network` or `IPv6Network`. Parameters may also be a `str` that `ipaddress` understands.

MAC addresses are `MacAddress`, of six octets or eight; parameters may be a `str` in any form that it reads.
"""

from __future__ import annotations

import re
from functools import total_ordering
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Final, TypeAlias

from pgproto._patterns import pattern
from pgproto.errors import DataError
from pgproto.types._codec import (
    BINARY,
    Codec,
    Decode,
    Encode,
    ascii_text,
    malformed,
    shortened,
    unwrapped,
    wrong_value,
)
from pgproto.types._value import Value, slot_setter

__all__ = ["NETWORK_CODECS", "MacAddress"]

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

# PostgreSQL's own numbers for the families; the second is its AF_INET plus one, whatever the system's is.
_IPV4, _IPV6 = 2, 3
_WIDTHS: Final = {_IPV4: 4, _IPV6: 16}


def _parts(name: str, data: bytes, is_cidr: int) -> tuple[int, bytes]:
    """The length of the prefix, and the address."""
    if len(data) < 4:
        raise malformed(name, f"{len(data)} bytes, at least 4 expected")
    family, prefix, flag, width = data[:4]
    if _WIDTHS.get(family) != width or len(data) != 4 + width or prefix > 8 * width or flag != is_cidr:
        raise malformed(name, f"header {data[:4].hex()} before {len(data) - 4} bytes")
    return prefix, data[4:]


def _packed(address: _Address, prefix: int, is_cidr: int) -> bytes:
    family = _IPV4 if address.version == 4 else _IPV6
    packed = address.packed
    return bytes((family, prefix, is_cidr, len(packed))) + packed


def _decode_inet(data: bytes) -> object:
    prefix, packed = _parts("inet", data, 0)
    if len(packed) == 4:
        return IPv4Address(packed) if prefix == 32 else IPv4Interface((packed, prefix))
    return IPv6Address(packed) if prefix == 128 else IPv6Interface((packed, prefix))


def _inet(value: object) -> tuple[_Address, int]:
    plain = unwrapped(value)
    if isinstance(plain, str):
        try:
            plain = ip_interface(plain)
        except ValueError as error:
            raise wrong_value("inet", value, str(error)) from None
    if isinstance(plain, (IPv4Interface, IPv6Interface)):
        _refuse_scope("inet", value, plain)
        return plain.ip, plain.network.prefixlen
    if isinstance(plain, (IPv4Address, IPv6Address)):
        _refuse_scope("inet", value, plain)
        return plain, plain.max_prefixlen
    if isinstance(plain, (IPv4Network, IPv6Network)):
        _refuse_scope("inet", value, plain.network_address)
        return plain.network_address, plain.prefixlen
    raise wrong_value("inet", value, "it takes an address or interface of ipaddress, or a str")


def _refuse_scope(name: str, value: object, address: _Address) -> None:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise wrong_value(name, value, "PostgreSQL keeps no scope of an IPv6 address")


def _encode_inet(value: object) -> bytes:
    return _packed(*_inet(value), 0)


def _encode_inet_text(value: object) -> bytes:
    address, prefix = _inet(value)
    return (f"{address}" if prefix == address.max_prefixlen else f"{address}/{prefix}").encode("ascii")


def _decode_inet_text(data: bytes) -> object:
    text = ascii_text("inet", data)
    try:
        value = ip_interface(text) if "/" in text else ip_address(text)
    except ValueError as error:
        raise malformed("inet", str(error)) from None
    if "%" in text:
        raise malformed("inet", f"a scope: {shortened(text)}")
    return value


def _network_of(packed: bytes, prefix: int) -> _Network:
    return IPv4Network((packed, prefix)) if len(packed) == 4 else IPv6Network((packed, prefix))


def _decode_cidr(data: bytes) -> object:
    prefix, packed = _parts("cidr", data, 1)
    try:
        return _network_of(packed, prefix)
    except ValueError:
        raise malformed("cidr", f"bits to the right of the prefix of {prefix}") from None


def _cidr(value: object) -> _Network:
    plain = unwrapped(value)
    if isinstance(plain, (IPv4Network, IPv6Network)):
        network = plain
    elif isinstance(plain, (str, IPv4Address, IPv6Address)):
        try:
            network = ip_network(plain if isinstance(plain, str) else str(plain))
        except ValueError as error:
            raise wrong_value("cidr", value, str(error)) from None
    else:
        raise wrong_value("cidr", value, "it takes a network or address of ipaddress, or a str")
    _refuse_scope("cidr", value, network.network_address)
    return network


def _encode_cidr(value: object) -> bytes:
    network = _cidr(value)
    return _packed(network.network_address, network.prefixlen, 1)


def _encode_cidr_text(value: object) -> bytes:
    return str(_cidr(value)).encode("ascii")


def _decode_cidr_text(data: bytes) -> object:
    text = ascii_text("cidr", data)
    try:
        network = ip_network(text)
    except ValueError as error:
        raise malformed("cidr", str(error)) from None
    if "%" in text:
        raise malformed("cidr", f"a scope: {shortened(text)}")
    return network


_MAC = pattern(r"(?:[0-9A-Fa-f]{2})+(?:[:.-](?:[0-9A-Fa-f]{2})+)*")


def _are_octets(octets: object) -> bool:
    return isinstance(octets, bytes) and len(octets) in (6, 8)


@total_ordering
class MacAddress(Value):
    """A MAC address of six octets (EUI-48) or eight (EUI-64); immutable.

    Args:
        address: the octets, or text such as "08:00:2b:01:02:03", "0800.2b01.0203" or "08002b-010203".

    Raises:
        DataError: it is neither.
    """

    __slots__ = ("octets",)

    octets: bytes

    def __init__(self, address: bytes | str) -> None:
        octets = address
        if isinstance(octets, str):
            if len(octets) > 23 or _MAC.fullmatch(octets) is None:
                raise DataError(f"not a MAC address: {shortened(address)}")
            octets = bytes.fromhex(re.sub("[:.-]", "", octets))
        if not _are_octets(octets):
            raise DataError(f"a MAC address has six or eight octets: {shortened(address)}")
        _set_octets(self, octets)

    def __lt__(self, other: object) -> bool:
        return self.octets < other.octets if isinstance(other, MacAddress) else NotImplemented

    def __str__(self) -> str:
        return self.octets.hex(":")

    def __repr__(self) -> str:
        return f"MacAddress({str(self)!r})"


_set_octets = slot_setter(MacAddress, "octets")


def _mac_codec(oid: int, name: str, width: int) -> Codec:
    def octets(value: object) -> bytes:
        plain = unwrapped(value)
        if isinstance(plain, str):
            try:
                plain = MacAddress(plain)
            except DataError as error:
                raise wrong_value(name, value, str(error)) from None
        if not isinstance(plain, MacAddress):
            raise wrong_value(name, value, "it takes a MacAddress or a str")
        if len(plain.octets) != width:
            raise wrong_value(name, value, f"it takes {width} octets")
        return plain.octets

    def decode(data: bytes) -> object:
        if len(data) != width:
            raise malformed(name, f"{len(data)} bytes instead of {width}")
        return MacAddress(data)

    def decode_text(data: bytes) -> object:
        text = ascii_text(name, data)
        if len(text) != 3 * width - 1 or text.count(":") != width - 1:
            raise malformed(name, f"not {width} octets: {shortened(text)}")
        try:
            return MacAddress(text)
        except DataError as error:
            raise malformed(name, str(error)) from None

    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=octets,
        decode=decode,
        encode_text=lambda value: octets(value).hex(":").encode("ascii"),
        decode_text=decode_text,
    )


def _ip_codec(
    oid: int, name: str, encode: Encode, decode: Decode, encode_text: Encode, decode_text: Decode
) -> Codec:
    return Codec(
        oid=oid,
        name=name,
        format=BINARY,
        encode=encode,
        decode=decode,
        encode_text=encode_text,
        decode_text=decode_text,
    )


NETWORK_CODECS: Final = (
    _ip_codec(869, "inet", _encode_inet, _decode_inet, _encode_inet_text, _decode_inet_text),
    _ip_codec(650, "cidr", _encode_cidr, _decode_cidr, _encode_cidr_text, _decode_cidr_text),
    _mac_codec(829, "macaddr", 6),
    _mac_codec(774, "macaddr8", 8),
)
