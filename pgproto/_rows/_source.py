"""Writing the function that decodes the rows of one shape.

The columns are cut into segments. A segment begins where its position is known, unpacks with one `struct`
the lengths and values of all columns of a fixed width that follow each other, and ends with the length of
the next column of a variable width, which tells where the next segment begins. The first segment begins with
the message's own header. A row is taken only if all the lengths are as expected and add up to the message's.

The text of the function depends only on the kinds of its columns: a `struct` code, "text" or "any". Nothing
that a server or a user has chosen gets into it; converters come in as arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from pgproto.types._codec import BINARY, Codec
from pgproto.types._text import text_decoder

__all__ = ["MAX_COMPILED_COLUMNS", "Run", "compile_run"]

Run: TypeAlias = Callable[[list[object], bytes, int, int], int]
"""Decodes rows until one is not as expected, and returns where that begins. It raises nothing."""

MAX_COMPILED_COLUMNS: Final = 128
"""Wider rows are left to the loop: compiling takes time for each column, and a server may claim 65,535."""

_FIXED: Final = frozenset("bBhHiIqQfd?")
_TEXT_CODE: Final = getattr(text_decoder("text"), "__code__", None)


def compile_run(codecs: Sequence[Codec], make: Callable[[tuple[object, ...]], object] | None) -> Run:
    """The function for rows of these columns, none of them NULL."""
    build = _builder(tuple(map(_kind, codecs)), make is not None)
    converters = [codec.from_struct if _is_fixed(codec) else codec.decode for codec in codecs]
    run: Run = build(make, *converters)
    return run


def _is_fixed(codec: Codec) -> bool:
    return codec.format == BINARY and codec.struct_format in _FIXED


def _kind(codec: Codec) -> str:
    """All that the compiled function needs to know of a column."""
    if _is_fixed(codec):
        return codec.struct_format + ("" if codec.from_struct is None else "c")
    # Text is so common that it is worth a call less; all of its decoders share their code.
    return "text" if getattr(codec.decode, "__code__", None) is _TEXT_CODE else "any"


@lru_cache(maxsize=128)
def _builder(kinds: tuple[str, ...], make: bool) -> Callable[..., Any]:
    source = _Source(kinds, make)
    namespace: dict[str, Any] = {f"u{i}": layout.unpack_from for i, layout in enumerate(source.layouts)}
    exec(compile(source.text(), "<rows>", "exec"), namespace)
    builder: Callable[..., Any] = namespace["build"]
    return builder


class _Source:
    """The text of the function, and the structs that it uses as ``u0``, ``u1`` and so on."""

    def __init__(self, kinds: tuple[str, ...], make: bool) -> None:
        self.layouts: list[struct.Struct] = []
        self._kinds = kinds
        self._steps: list[str] = []
        self._checks: list[str] = []
        self._format = "!BiH"
        self._names = ["t", "n", "k"]
        self._by_width: dict[int, list[str]] = {}
        self._start = "p"
        self._values = [self._column(i, kind) for i, kind in enumerate(kinds)]
        self._finish_segment()
        row = f"({', '.join(self._values)}{',' if len(kinds) == 1 else ''})"
        self._row = f"make({row})" if make else row

    def _column(self, i: int, kind: str) -> str:
        """Add a column; returns the expression for its value."""
        self._names.append(f"l{i}")
        if kind[0] in _FIXED and kind not in ("text", "any"):
            width = struct.calcsize("!" + kind[0])
            self._format += "i" + kind[0]
            self._names.append(f"v{i}")
            self._by_width.setdefault(width, []).append(f"l{i}")
            return f"c{i}(v{i})" if kind[1:] else f"v{i}"
        self._format += "i"
        size = self._finish_segment()
        self._steps.append(f"a{i} = {self._start} + {size}")
        self._steps.append(f"b{i} = a{i} + l{i}")
        self._checks.append(f"l{i} >= 0")
        self._start = f"b{i}"
        return f"data[a{i}:b{i}].decode()" if kind == "text" else f"c{i}(data[a{i}:b{i}])"

    def _finish_segment(self) -> int:
        """Unpack what has been collected; returns its size in bytes."""
        layout = struct.Struct(self._format)
        if self._names:
            names = ", ".join(self._names) + ("," if len(self._names) == 1 else "")
            self._steps.append(f"{names} = u{len(self.layouts)}(data, {self._start})")
            self.layouts.append(layout)
        self._format = "!"
        self._names = []
        self._last = f"{self._start} + {layout.size}"
        return layout.size

    def text(self) -> str:
        checks = ["t == 68", f"k == {len(self._kinds)}"]
        checks += [f"{width} == {' == '.join(names)}" for width, names in self._by_width.items()]
        checks += [*self._checks, f"e == {self._last} <= end"]
        body = "\n                ".join([*self._steps, "e = p + 1 + n"])
        converters = "".join(f", c{i}" for i in range(len(self._kinds)))
        return f"""
def build(make{converters}):
    def run(rows, data, start, end):
        append = rows.append
        p = start
        last = end - {self.layouts[0].size}
        try:
            while p <= last:
                {body}
                if not ({" and ".join(checks)}):
                    return p
                append({self._row})
                p = e
        except Exception:
            # The loop decodes this row again, and knows what to say about it.
            return p
        return p
    return run
"""
