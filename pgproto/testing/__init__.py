"""Servers and a network for tests: PostgreSQL's side of the conversation, without a server or a socket.

- `FakeServer` answers statements as it was told to, follows transactions, prepares and cancels: what an
  application's tests need.
- `ScriptedServer` expects exactly these messages and says exactly those, true or not: what a driver's tests
  need.
- `Network` has such servers at addresses, on a clock of its own, and breaks lines where it is told to.

All of them are pure: bytes in, bytes out, and the time comes in as an argument. `pgproto_asyncio.testing`
and `pgproto_trio.testing` run programs that use the drivers as they are, with a `Network` in the place of
the real one and no time passing while they wait.
"""

from __future__ import annotations

from pgproto.testing._fake import FakeServer
from pgproto.testing._fake_session import FakeSession
from pgproto.testing._fake_transaction import Done
from pgproto.testing._network import Direction, Fault, Link, Network
from pgproto.testing._peer import Peer
from pgproto.testing._scripted import (
    Expect,
    HangUp,
    Lie,
    Say,
    ScriptedServer,
    ScriptMismatch,
    Wait,
    greeting,
)
from pgproto.testing._statement import Statement

__all__ = [
    "Direction",
    "Done",
    "Expect",
    "FakeServer",
    "FakeSession",
    "Fault",
    "HangUp",
    "Lie",
    "Link",
    "Network",
    "Peer",
    "Say",
    "ScriptMismatch",
    "ScriptedServer",
    "Statement",
    "Wait",
    "greeting",
]
