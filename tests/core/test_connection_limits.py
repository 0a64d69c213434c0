"""How much a peer can make a connection hold, and how soon a length that is too much is refused."""

from __future__ import annotations

import struct
import tracemalloc
from functools import partial

import pytest

from pgproto import NEED_DATA, Connection, NeedData
from pgproto import messages as m
from pgproto._state import AUTHENTICATING, Phase
from pgproto.errors import RemoteProtocolError
from pgproto.messages import DEFAULT_MAX_MESSAGE_SIZE, Message, Role
from tests.support.alphabet import ALPHABET
from tests.support.memory import peak_memory
from tests.support.pair import clone, drain, ready
from tests.support.walk import REFUSED, apply, explore

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)

# The shortest and longest length field of each type, from the chapter "Message Formats" and from what a sane
# peer can want. None: max_message_size.
LENGTHS: dict[Role, dict[bytes, tuple[int, int | None]]] = {
    Role.BACKEND: {
        b"R": (8, 65_536),
        b"K": (12, 264),
        b"2": (4, 4),
        b"3": (4, 4),
        b"C": (5, 1_024),
        b"G": (7, 131_077),
        b"H": (7, 131_077),
        b"W": (7, 131_077),
        b"d": (4, None),
        b"c": (4, 4),
        b"D": (6, None),
        b"I": (4, 4),
        b"E": (5, 4_194_304),
        b"V": (8, None),
        b"v": (12, 16_384),
        b"n": (4, 4),
        b"N": (5, 4_194_304),
        b"A": (10, 1_048_576),
        b"t": (6, 262_146),
        b"S": (6, 65_536),
        b"1": (4, 4),
        b"s": (4, 4),
        b"Z": (5, 5),
        b"T": (6, 8_388_608),
    },
    Role.FRONTEND: {
        b"B": (12, None),
        b"C": (6, 10_000),
        b"d": (4, None),
        b"c": (4, 4),
        b"f": (5, 10_000),
        b"D": (6, 10_000),
        b"E": (9, 10_000),
        b"H": (4, 4),
        b"F": (14, None),
        b"P": (8, None),
        b"p": (4, 65_536),
        b"Q": (5, None),
        b"S": (4, 4),
        b"X": (4, 4),
    },
}


def _waiting_for(role: Role) -> dict[bytes, Connection]:
    """For each type of message that can come to this role, a connection to which it may come next."""
    found: dict[bytes, Connection] = {}
    late = sorted(
        explore(role, depth=14, queue=0), key=lambda place: place.connection.phase is not Phase.READY
    )
    for place in late:
        for word, message in ALPHABET[role.peer].items():
            if message.tag and message.tag not in found:
                twin = clone(place.connection)
                if apply(twin, role.peer, word) == message:
                    found[message.tag] = place.connection
    return found


def _header(connection: Connection, tag: bytes, length: int) -> NeedData | Message:
    twin = clone(connection)
    twin.receive_data(tag + struct.pack("!I", length % 2**32))
    return twin.next_event()


@ROLES
@pytest.mark.parametrize("limit", [DEFAULT_MAX_MESSAGE_SIZE, 1_000_000])
def test_lengths_are_judged_from_five_bytes(role: Role, limit: int) -> None:
    waiting = _waiting_for(role)
    assert waiting.keys() == LENGTHS[role.peer].keys()
    for tag, (shortest, longest) in LENGTHS[role.peer].items():
        connection = clone(waiting[tag])
        connection._max_message_size = limit
        most = limit if longest is None else longest
        if role is Role.FRONTEND and connection.phase in AUTHENTICATING:
            most = 16_384
        for length in (shortest, most):
            if length > 4:
                assert _header(connection, tag, length) is NEED_DATA
        for length in (shortest - 1, most + 1, 0, 3, -1, -(2**31), 2**31 - 1):
            with pytest.raises(RemoteProtocolError, match=f"claims a length of {length} bytes"):
                _header(connection, tag, length)


@pytest.mark.parametrize("length", [16_384, 16_385, 65_536, 2**31 - 1])
def test_nobody_gets_much_attention_before_authentication(length: int) -> None:
    """An error is heard before the server is known, but a short one."""
    client = Connection(Role.FRONTEND)
    client.send(m.StartupMessage({"user": "u"}))
    client.receive_data(b"E" + struct.pack("!i", length))
    if length <= 16_384:
        assert client.next_event() is NEED_DATA
        client.receive_data(b"M" + b"x" * (length - 7) + b"\x00\x00")
        assert isinstance(client.next_event(), m.ErrorResponse)
    else:
        with pytest.raises(RemoteProtocolError, match="claims a length"):
            client.next_event()


@pytest.mark.parametrize(
    ("length", "good"), [(7, False), (8, True), (10_004, True), (10_005, False), (-1, False)]
)
def test_lengths_of_startup_messages(length: int, good: bool) -> None:
    server = Connection(Role.BACKEND)
    server.receive_data(struct.pack("!i", length))
    if good:
        assert server.next_event() is NEED_DATA
    else:
        with pytest.raises(RemoteProtocolError, match="8 to 10004"):
            server.next_event()


@ROLES
def test_types_that_cannot_come_are_refused_from_five_bytes(role: Role) -> None:
    """Whatever length they claim: nobody waits for a body that will be refused anyway."""
    refused = 0
    for place in explore(role, depth=14, queue=0):
        connection = place.connection
        if role is Role.BACKEND and connection.phase in (Phase.START, Phase.ENCRYPTED, Phase.READY):
            continue  # no types yet; a client may ask for anything, but in COPY
        possible = {
            message.tag
            for word, message in ALPHABET[role.peer].items()
            if apply(clone(connection), role.peer, word) != REFUSED
        }
        for tag in LENGTHS[role.peer].keys() - possible:
            with pytest.raises(RemoteProtocolError):
                _header(connection, tag, max(LENGTHS[role.peer][tag][0], 5))
            refused += 1
    assert refused > (3_000 if role is Role.FRONTEND else 100)


@ROLES
def test_a_claim_of_two_gigabytes_costs_nothing(role: Role) -> None:
    headers = [tag + struct.pack("!i", 2**31 - 1) for tag in LENGTHS[role.peer]]
    headers.append(struct.pack("!i", 2**31 - 1) + b"\x00")
    connections = [*(ready(role) for _ in headers), *(Connection(role) for _ in headers)]
    if role is Role.FRONTEND:
        for connection in connections[: len(headers)]:
            connection.send(m.Execute())
        for connection in connections[len(headers) :]:
            connection.send(m.StartupMessage({"user": "u"}))
    tracemalloc.start()
    try:
        for connection, header in zip(connections, headers * 2, strict=True):
            connection.receive_data(header)
            with pytest.raises(RemoteProtocolError):
                connection.next_event()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024


def test_a_large_message_is_held_as_it_comes() -> None:
    """A claim of one GiB, of which little arrives, costs what has arrived."""
    client = ready(Role.FRONTEND)
    client.send(m.Execute())
    chunk = bytes(1000)
    tracemalloc.start()
    try:
        client.receive_data(
            b"D" + struct.pack("!iHi", DEFAULT_MAX_MESSAGE_SIZE, 1, DEFAULT_MAX_MESSAGE_SIZE - 10)
        )
        for _ in range(1000):
            client.receive_data(bytes(chunk))
            assert client.next_event() is NEED_DATA
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_counts_are_not_believed_either() -> None:
    """A row that claims 65,535 columns, and its like, cost no more than their bytes."""
    most = 32 * 1024
    lies: list[tuple[type[Message], bytes]] = [
        (m.RowDescription, b"T" + struct.pack("!iH", 6, 65_535)),
        (m.DataRow, b"D" + struct.pack("!iH", 6, 65_535)),
        (m.ParameterDescription, b"t" + struct.pack("!iH", 6, 65_535)),
        (m.CopyInResponse, b"G" + struct.pack("!ibH", 7, 0, 65_535)),
        (m.NegotiateProtocolVersion, b"v" + struct.pack("!iIi", 12, m.PROTOCOL_3_0, 2**31 - 1)),
    ]
    for kind, data in lies:
        refused = partial(_refused, kind, data)
        # Once before, for what the first time costs and is kept: it is another's.
        refused()
        assert peak_memory(refused, most) < most


def _refused(kind: type[Message], data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=kind.__name__):
        m.decode(Role.BACKEND, data)


def test_the_limit_is_on_what_comes_in() -> None:
    client = ready(Role.FRONTEND, max_message_size=100)
    assert len(client.send(m.Query("x" * 1000))) == 1006
    client.receive_data(m.RowDescription((m.FieldDescription("a"),)).encode())
    client.receive_data(m.DataRow((b"x" * 90,)).encode())
    assert len(drain(client)) == 2
    client.receive_data(m.DataRow((b"x" * 91,)).encode()[:5])
    with pytest.raises(RemoteProtocolError, match="claims a length of 101 bytes; 6 to 100 are possible"):
        client.next_event()
