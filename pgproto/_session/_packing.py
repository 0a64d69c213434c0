"""Writing the functions that pack values: the arguments of a statement, or the rows of a COPY.

What is the same for each set of values is made once, with the function. All lengths and numbers between two
values of variable width go through one `struct.Struct`, and what stands before and behind the values with
them. A set that is anything but expected (a NULL where they are rare, a value out of range) makes the
compiled code fail, with whatever exception; a function that looks at everything then packs it, or says what
is wrong.

The text of a function depends only on the kinds of its values and on where NULLs are common. Nothing that a
server or a user has chosen gets into it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from pgproto._wire import MAX_FRAME_LENGTH
from pgproto.types._builtin import BUILTIN_CODECS
from pgproto.types._calendar import EPOCH, EPOCH_ORDINAL, EPOCH_UTC
from pgproto.types._codec import Encode

__all__ = [
    "Fill",
    "Frame",
    "Kind",
    "Pack",
    "Slow",
    "compile_fill",
    "compile_pack",
    "is_always_nullable",
    "kind_of",
]

Pack: TypeAlias = Callable[[Sequence[object]], bytes]
"""Packs one set of values, or fails."""

Slow: TypeAlias = Callable[[Any, list[bytes], int], int]
"""``slow(values, out, count)`` appends a set, looking at everything, and returns its size in bytes; ``count``
sets came before it."""

Fill: TypeAlias = Callable[
    [Iterable[Any], list[bytes], int, Slow, Callable[[Any], Sequence[Any]], Callable[[int, int], None]], bool
]
"""``fill(sets, out, limit, slow, check, note)`` appends sets until they have ``limit`` bytes; True if these
were all. What is neither a tuple nor a list goes through ``check`` first. However it ends, ``note`` is told
how many sets were appended and how many bytes they have."""


class Frame(NamedTuple):
    """What stands around the values."""

    head: bytes
    tail: bytes = b""
    tag: bytes = b""
    """The type of the message that head, values and tail are; empty if they are none."""
    follower: bytes = b""
    """What comes behind each message."""


class Kind(NamedTuple):
    """How the values of a type are packed."""

    code: str
    """The `struct` code, or "" for a variable width."""
    expression: str
    """What is packed, with ``{v}`` for the value and ``{e}`` for the function that encodes it."""


_CALLED: Final = Kind("", "{e}({v})")
_TEXT: Final = Kind("", "encode({v})")
_BYTES: Final = Kind("", "{v} if {v}.__class__ is bytes else {e}({v})")


def _moment(epoch: str) -> Kind:
    since = f"((d := {{v}} - {epoch}).days * 86400 + d.seconds) * 1000000 + d.microseconds"
    return Kind("q", f"{since} if {{v}}.__class__ is datetime else int64({{e}}({{v}}))[0]")


_BY_ENCODER: Final[dict[Encode, Kind]] = {
    # `struct` takes and refuses the very values that these do, but for members of an `Enum`.
    **{
        BUILTIN_CODECS[oid].encode: Kind(BUILTIN_CODECS[oid].struct_format, "{v}")
        for oid in (20, 21, 23, 26, 28, 29, 700, 701, 5069)
    },
    BUILTIN_CODECS[16].encode: Kind("?", "{v} if {v} is True or {v} is False else {e}({v})[0]"),
    BUILTIN_CODECS[17].encode: _BYTES,
    BUILTIN_CODECS[1082].encode: Kind(
        "i", f"{{v}}.toordinal() - {EPOCH_ORDINAL} if {{v}}.__class__ is date else int32({{e}}({{v}}))[0]"
    ),
    BUILTIN_CODECS[1114].encode: _moment("epoch"),
    BUILTIN_CODECS[1184].encode: _moment("epoch_utc"),
    BUILTIN_CODECS[2950].encode: Kind(
        "16s", "{v}.int.to_bytes(16, 'big') if {v}.__class__ is UUID else {e}({v})"
    ),
}
# All the encoders of text share their code.
_TEXT_CODE: Final = getattr(BUILTIN_CODECS[25].encode, "__code__", None)

_NAMES: Final[dict[str, object]] = {
    "UUID": UUID,
    "date": date,
    "datetime": datetime,
    "encode": str.encode,
    "epoch": EPOCH,
    "epoch_utc": EPOCH_UTC,
    "int32": struct.Struct("!i").unpack,
    "int64": struct.Struct("!q").unpack,
    "longest": MAX_FRAME_LENGTH,
    # The lengths of values. `struct` takes bytes faster than numbers.
    **{f"w{width}": width.to_bytes(4, "big") for width in (1, 2, 4, 8, 16)},
}
"""What the functions use, besides the names of `_PACKERS`."""

_PACKERS: Final = {code: f"pack_{'bool' if code == '?' else code}" for code in "?hiqIQfd"} | {"16s": ""}
"""What makes the bytes of a number of a fixed width, where it may be NULL; it has its bytes already."""
_NAMES.update({name: struct.Struct("!" + code).pack for code, name in _PACKERS.items() if name})

_LENGTH: Final = struct.Struct("!i")


def kind_of(encode: Encode) -> Kind:
    """How the values that this function encodes are packed."""
    if getattr(encode, "__code__", None) is _TEXT_CODE:
        return _TEXT
    return _BY_ENCODER.get(encode, _CALLED)


def is_always_nullable(kind: Kind) -> bool:
    """Whether NULLs are always looked for, as that costs next to nothing beside the rest."""
    return kind in (_CALLED, _BYTES)


def compile_pack(
    kinds: Sequence[Kind], nullable: Sequence[bool], frame: Frame, encoders: Sequence[Encode]
) -> Pack:
    """The function that packs single sets."""
    pack: Pack = _compiled(_PACK, kinds, nullable, frame, encoders)
    return pack


def compile_fill(
    kinds: Sequence[Kind], nullable: Sequence[bool], frame: Frame, encoders: Sequence[Encode]
) -> Fill:
    """The function that packs sets by the thousand."""
    fill: Fill = _compiled(_FILL, kinds, nullable, frame, encoders)
    return fill


def _compiled(
    template: str, kinds: Sequence[Kind], nullable: Sequence[bool], frame: Frame, encoders: Sequence[Encode]
) -> Any:
    head, tail, tag, follower = frame
    varies = _varies(kinds, nullable)
    if tag and not varies:
        head = tag + bytes(4) + head
    build, formats = _built(template, tuple(kinds), tuple(nullable), bool(tag), bool(tail or follower))
    widths = {"head": len(head), "tail": len(tail) + len(follower)}
    layouts = [struct.Struct(each.format(**widths)) for each in formats]
    fixed = sum([layout.size for layout in layouts])
    length = fixed - len(tag) - len(follower)
    if tag and not varies:
        head = tag + _LENGTH.pack(length) + head[5:]
    packers = [layout.pack for layout in layouts]
    return build(tag, head, tail + follower, fixed, length, packers, encoders)


def _varies(kinds: Sequence[Kind], nullable: Sequence[bool]) -> bool:
    """Whether the size depends on the values."""
    return any(nullable) or not all(kind.code for kind in kinds)


@lru_cache(maxsize=256)
def _built(
    template: str, kinds: tuple[Kind, ...], nullable: tuple[bool, ...], framed: bool, tailed: bool
) -> tuple[Callable[..., Any], tuple[str, ...]]:
    source = _Source(kinds, nullable, framed, tailed)
    namespace: dict[str, Any] = dict(_NAMES)
    exec(compile(source.text(template), "<packing>", "exec"), namespace)
    return namespace["build"], tuple(source.formats)


_BUILD: Final = """
def build(tag, head, tail, fixed, length, packers, encoders):
    {packers} = packers
    {encoders} = encoders
"""

_PACK: Final = """
    def pack(values):
        {values} = values{lines}
        return {joined}
    return pack
"""

_FILL: Final = """
    def fill(sets, out, limit, slow, check, note):
        append = out.append
        count = size = 0
        try:
            for values in sets:
                if values.__class__ is not tuple and values.__class__ is not list:
                    values = check(values)
                try:
                    {values} = values{lines}
                    {appended}
                except Exception:
                    pass
                else:
                    size += {size}
                    count += 1
                    if size < limit:
                        continue
                    return False
                size += slow(values, out, count)
                count += 1
                if size >= limit:
                    return False
        finally:
            note(count, size)
        return True
    return fill
"""


class _Source:
    """The Python source of a function.

    Args:
        kinds: of the values.
        nullable: for each value, whether NULL is looked for.
        framed: whether a set is a message, with a type and a length.
        tailed: whether something comes behind the values.
    """

    def __init__(self, kinds: Sequence[Kind], nullable: Sequence[bool], framed: bool, tailed: bool) -> None:
        self.formats: list[str] = []
        self._count = len(kinds)
        self._lines: list[str] = []
        self._parts: list[str] = []
        self._lengths: list[str] = []
        varies = _varies(kinds, nullable)
        self._codes, self._arguments = ["{head}s"], ["head"]
        if framed and varies:
            self._codes, self._arguments = ["ci", *self._codes], ["tag", "n", *self._arguments]
        for i, (kind, is_nullable) in enumerate(zip(kinds, nullable, strict=True)):
            expression = kind.expression.format(v=f"v{i}", e=f"e{i}")
            if is_nullable or not kind.code:
                self._variable(i, kind, expression, is_nullable)
            else:
                self._codes.append("4s" + kind.code)
                self._arguments += [f"w{struct.calcsize('!' + kind.code)}", expression]
        if tailed:
            self._codes.append("{tail}s")
            self._arguments.append("tail")
        self._pack()
        if framed and varies:
            self._lines += [
                f"n = {' + '.join(['length', *self._lengths])}",
                "if n > longest: raise ValueError",
            ]

    def text(self, template: str) -> str:
        """All of it."""
        indent = "\n" + " " * (8 if template is _PACK else 20)
        parts = self._parts
        return (_BUILD + template).format(
            packers=_unpacked("p", len(self.formats)),
            encoders=_unpacked("e", self._count),
            values=_unpacked("v", self._count),
            lines="".join([indent + line for line in self._lines]),
            joined=" + ".join(parts),
            appended=f"append({parts[0]})" if len(parts) == 1 else f"out += ({', '.join(parts)})",
            size=" + ".join(["fixed", *self._lengths]),
        )

    def _variable(self, i: int, kind: Kind, expression: str, nullable: bool) -> None:
        """A value that may have any number of bytes: ``n`` is its length and ``m`` how many bytes it has."""
        if kind.code:
            expression = f"{_PACKERS[kind.code]}({expression})"
        lines = [f"b{i} = {expression}", f"n{i} = m{i} = len(b{i})"]
        if kind is _TEXT:
            lines.append(f"if 0 in b{i}: raise ValueError")
        if nullable:
            lines = [
                f"if v{i} is None: b{i} = b''; n{i} = -1; m{i} = 0",
                "else:",
                *["    " + line for line in lines],
            ]
        self._lines += lines
        self._lengths.append(f"m{i}")
        self._codes.append("i")
        self._arguments.append(f"n{i}")
        self._pack()
        self._parts.append(f"b{i}")

    def _pack(self) -> None:
        """What has come together since the last value of variable width."""
        if self._codes:
            self._parts.append(f"p{len(self.formats)}({', '.join(self._arguments)})")
            self.formats.append("!" + "".join(self._codes))
            self._codes, self._arguments = [], []


def _unpacked(name: str, count: int) -> str:
    """The targets of an assignment that takes so many values apart."""
    return f"({''.join([f'{name}{i}, ' for i in range(count)])})"
