"""Cases as files that a person can read, in the folder ``corpus``.

Lines that begin with ``#`` say what the case is about. The first other line is the role that is played; then
``>`` with a message that it sends, and ``<`` with bytes that it receives (none: the end of the stream), both
as Python writes bytes. The last line may say how it must end: ``= fine``, or ``= error`` and words of the
error.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final, NamedTuple

from fuzz.targets import Case
from pgproto import messages
from pgproto._wire import Reader
from pgproto.messages import Message, Role
from tests.support.replay import Hear, Say

__all__ = ["FOLDER", "Entry", "read_entry", "write_entry"]

FOLDER: Final = Path(__file__).parent / "corpus"


class Entry(NamedTuple):
    """A case, and how it must end: None if that is not said, an empty text for no error at all."""

    case: Case
    ending: str | None


def _message(name: str, data: bytes) -> Message:
    kind: type[Message] = getattr(messages, name)
    if kind is messages.EncryptionResponse:
        return messages.EncryptionResponse(data)
    reader = Reader(data, len(kind.tag) + 4)
    if issubclass(kind, messages.Authentication):
        reader.int32()
    message = kind.read_body(reader)
    reader.finish()
    assert message.encode() == data
    return message


def read_entry(path: Path) -> Entry:
    """What a file says."""
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if line and line[0] != "#"]
    role = Role(lines.pop(0))
    script: list[Say | Hear] = []
    ending: str | None = None
    for line in lines:
        mark, _, rest = line.partition(" ")
        if mark == ">":
            name, _, data = rest.partition(" ")
            script.append(Say(_message(name, ast.literal_eval(data))))
        elif mark == "<":
            script.append(Hear(ast.literal_eval(rest)))
        elif rest == "fine":
            ending = ""
        else:
            ending = rest.removeprefix("error ")
    return Entry(Case(role, script), ending)


def write_entry(path: Path, entry: Entry, about: str) -> None:
    """Save a case, with a word about it."""
    lines = [f"# {line}" for line in about.splitlines()]
    lines.append(entry.case.role.value)
    for step in entry.case.script:
        if isinstance(step, Say):
            lines.append(f"> {type(step.message).__name__} {step.message.encode()!r}")
        else:
            lines.append(f"< {step.data!r}")
    if entry.ending is not None:
        lines.append(f"= error {entry.ending}" if entry.ending else "= fine")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
