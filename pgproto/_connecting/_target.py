"""`target_session_attrs`: which of several servers is the one that is wanted.

| value          | wanted is a session ...        | known if both are reported from | else by asking for    |
|----------------|--------------------------------|---------------------------------|-----------------------|
| any            | of any kind                    |                                 |                       |
| read-write     | that may write                 | in_hot_standby and              | transaction_read_only |
|                |                                | default_transaction_read_only   |                       |
| read-only      | that may not                   | the same                        | the same              |
| primary        | on a server not in hot standby | in_hot_standby                  | pg_is_in_recovery()   |
| standby        | on a server in hot standby     | the same                        | the same              |
| prefer-standby | first standby, then any        |                                 |                       |

Servers report both parameters since PostgreSQL 14. "prefer-standby" goes through all hosts a second time if
none of them was a standby.

A server may change its kind under a session, as a standby does that is promoted; since PostgreSQL 14 it says
so with its next answer. A pool then looks for another one (`change_of_kind`).

PostgreSQL documentation: "Parameter Key Words", `target_session_attrs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, assert_never

from pgproto import messages
from pgproto._config._config import TargetSessionAttrs
from pgproto._connecting._link import Link
from pgproto._connecting._startup import Session
from pgproto._effects import Flow
from pgproto.errors import Error, RemoteProtocolError

__all__ = ["PASSES", "ChangedKind", "Wanted", "change_of_kind", "why_not"]

Wanted: TypeAlias = Literal["any", "read-write", "read-only", "primary", "standby"]

PASSES: Final[dict[str, tuple[Wanted, ...]]] = {
    "any": ("any",),
    "read-write": ("read-write",),
    "read-only": ("read-only",),
    "primary": ("primary",),
    "standby": ("standby",),
    "prefer-standby": ("standby", "any"),
}
"""What to look for, each time through all hosts."""

_IS_READ_ONLY: Final = "SHOW transaction_read_only"
_IS_STANDBY: Final = "SELECT pg_catalog.pg_is_in_recovery()"

_TRUE: Final[dict[tuple[bytes | None, ...], bool]] = {
    (b"on",): True,
    (b"t",): True,
    (b"off",): False,
    (b"f",): False,
}
"""What the only row of an answer may be."""


class ChangedKind(Error):
    """The server is not of the kind any more that was asked for; for pools, not for their callers."""


def change_of_kind(target: TargetSessionAttrs, parameters: Mapping[str, str]) -> ChangedKind | None:
    """What to say of a server that reports another `in_hot_standby` than before; None if it is wanted still.

    A `default_transaction_read_only` that changes says nothing of the server: whoever has the session may set
    it.
    """
    standby = parameters.get("in_hot_standby") == "on"
    match target:
        case "any":
            unwanted = False
        case "read-write" | "primary":
            unwanted = standby
        case "standby" | "prefer-standby":
            unwanted = not standby
        case "read-only":
            unwanted = not standby and parameters.get("default_transaction_read_only") != "on"
        case _:
            assert_never(target)
    if not unwanted:
        return None
    became = "in hot standby" if standby else "a primary"
    return ChangedKind(f"the server has become {became}, and target_session_attrs={target} was asked for")


def why_not(link: Link, session: Session, wanted: Wanted) -> Flow[str | None]:
    """Say why a session that is ready is not what is wanted; None if it is."""
    match wanted:
        case "any":
            return None
        case "read-write":
            return "the session is read-only" if (yield from _is_read_only(link, session)) else None
        case "read-only":
            return None if (yield from _is_read_only(link, session)) else "the session is not read-only"
        case "primary":
            return "the server is in hot standby" if (yield from _is_standby(link, session)) else None
        case "standby":
            return None if (yield from _is_standby(link, session)) else "the server is not in hot standby"
        case _:
            assert_never(wanted)


def _is_read_only(link: Link, session: Session) -> Flow[bool]:
    standby = session.reported("in_hot_standby")
    read_only = session.reported("default_transaction_read_only")
    if standby is None or read_only is None:
        return (yield from _ask(link, session, _IS_READ_ONLY))
    return standby or read_only


def _is_standby(link: Link, session: Session) -> Flow[bool]:
    standby = session.reported("in_hot_standby")
    if standby is None:
        return (yield from _ask(link, session, _IS_STANDBY))
    return standby


def _ask(link: Link, session: Session, question: str) -> Flow[bool]:
    """Ask the server something that is true or false."""
    link.now("asking what kind of server it is")
    yield from link.send(messages.Query(question))
    answer: bool | None = None
    while True:
        match (yield from link.receive_or_raise()):
            case messages.RowDescription() | messages.CommandComplete():
                continue
            case messages.ParameterStatus() as message:
                session.report(message)
            case messages.DataRow() as row if answer is None:
                answer = _TRUE.get(row.values)
            case messages.ReadyForQuery("I") if answer is not None:
                return answer
            case _:
                raise RemoteProtocolError(f"the server answered {question!r} with neither yes nor no")
