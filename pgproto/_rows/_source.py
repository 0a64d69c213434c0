"""Writing the function that decodes the rows of one shape.

The columns are cut into segments. A segment begins where its position is known, unpacks with one `struct` the
lengths and values of all columns of a fixed width that follow each other, and ends with the length of the
next column of a variable width, which tells where the next segment begins. The first segment begins with the
message's own header. A row is taken only if all the lengths are as expected and add up to the message's.

The last segment, if it has columns, is unpacked together with the first of the next row: that saves one call
for each row.

A column in which NULLs are common ends a segment too, whatever its width, and the next segment is unpacked
in one of two ways. All other NULLs are not expected.

A second function makes the rows where many of them were unpacked at once.

The text of the function depends only on the kinds of its columns and on where NULLs are common. Nothing that
a server or a user has chosen gets into it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from pgproto._rows._kinds import Kind

__all__ = ["RowSource"]

_MANY_LENGTHS: Final = 6
"""From so many on, comparing them in one tuple is faster than one by one."""


class RowSource:
    """The text of the function, and what it uses by name.

    The text defines ``build``, which returns ``run(rows, data, start, end)`` and ``many(each)``. Its
    arguments are ``make``, or the keys of the dict, and then a converter for each column.

    Args:
        kinds: of the columns.
        nullable: for each column, whether NULLs are common.
        target: "tuple"; "make", if a function makes the row of that; "dict".
    """

    def __init__(self, kinds: Sequence[Kind], nullable: Sequence[bool], target: str) -> None:
        self.names: dict[str, Any] = {}
        self._kinds = kinds
        self._nullable = nullable
        self._target = target
        self._lines: list[str] = []
        self._indent = 5
        self._merged = self._is_merged()
        self._header: tuple[list[str], str] = ([], "")
        self._segment = _Segment(header=True)
        self._start, self._offset = "p", 0
        self._values: list[str] = []

    def _is_merged(self) -> bool:
        """Whether columns of a fixed width follow the last one of a variable width."""
        odd = [i for i, kind in enumerate(self._kinds) if self._nullable[i] or not kind.code]
        return bool(odd) and odd[-1] < len(self._kinds) - 1 and not self._kinds[odd[-1]].code

    def text(self) -> str:
        """The whole text; fills `names`."""
        columns = range(len(self._kinds))
        for i in columns:
            self._column(i)
        self._unpack(last=True)
        self._line(f"if {self._here()} != e:", "    return p")
        makers = [f"k{i}" for i in columns] if self._target == "dict" else ["make"]
        names, layout = self._header
        header = f"{', '.join(names)} = {self._unpacker('!' + layout)}(data, p)"
        return f"""
def build({", ".join([*makers, *(f"c{i}" for i in columns)])}):
    def run(rows, data, start, end):
        p = start
        last = end - {struct.calcsize("!" + layout)}
        if p > last:
            return p
        try:
            {header if self._merged else ""}
            while True:
                {"" if self._merged else header}
{chr(10).join(self._lines)}
                rows.append({self._row(self._values)})
                p = e
                {"" if self._merged else "if p > last or data[p] != 68: return p"}
        except Exception:
            # What cannot be decoded so is decoded again in a safer way, which also knows what to say.
            return p

    def many(each):
        return {self._many()}

    return run, many
"""

    def _here(self) -> str:
        return f"{self._start} + {self._offset}" if self._offset else self._start

    def _line(self, *lines: str) -> None:
        self._lines.extend("    " * (self._indent - 1) + line for line in lines)

    def _row(self, values: Sequence[str]) -> str:
        if self._target == "dict":
            return f"{{{', '.join([f'k{i}: {value}' for i, value in enumerate(values)])}}}"
        row = f"({', '.join(values)}{',' if len(values) == 1 else ''})"
        return row if self._target == "tuple" else f"make({row})"

    def _value(self, i: int, variable: str = "v") -> str:
        return self._kinds[i].expression.format(v=f"{variable}{i}", c=f"c{i}", d=f"data[a{i}:b{i}]")

    def _unpacker(self, layout: str) -> str:
        """The name of what unpacks this."""
        name = f"u{len(self.names)}"
        self.names[name] = struct.Struct(layout).unpack_from
        return name

    def _column(self, i: int) -> None:
        kind, nullable = self._kinds[i], self._nullable[i]
        if kind.code and not nullable:
            self._segment.add(i, kind)
            # Those of the next row have come when the row is made.
            self._values.append(self._value(i, "w" if self._merged and self._segment.header else "v"))
            return
        self._segment.end(i)
        self._unpack()
        self._values.append(f"x{i}" if nullable else self._value(i))
        if kind.code:
            self._segment = _Segment(after=i)
            return
        self._line(f"a{i} = {self._here()}")
        if nullable:
            self._line(
                f"if l{i} >= 0:",
                f"    b{i} = a{i} + l{i}",
                f"    x{i} = {self._value(i)}",
                f"elif l{i} == -1:",
                f"    b{i} = a{i}",
                f"    x{i} = None",
                "else:",
                "    return p",
            )
        else:
            self._line(f"if l{i} < 0:", "    return p", f"b{i} = a{i} + l{i}")
        self._start, self._offset = f"b{i}", 0
        self._segment = _Segment()

    def _unpack(self, *, last: bool = False) -> None:
        """Write what unpacks and checks the segment that has been collected."""
        segment = self._segment
        i = segment.after
        if i is None:
            self._unpack_one(segment, last=last)
            return
        # Behind a column of a fixed width that may be NULL: the segment begins with its value or without.
        kind = self._kinds[i]
        start, offset = self._start, self._offset
        self._line(f"if l{i} == {kind.width}:")
        self._indent += 1
        self._unpack_one(segment.behind(i, kind))
        self._line(f"x{i} = {self._value(i)}", f"s{i} = {self._here()}")
        self._indent -= 1
        self._start, self._offset = start, offset
        self._line(f"elif l{i} == -1:")
        self._indent += 1
        self._unpack_one(segment)
        self._line(f"x{i} = None", f"s{i} = {self._here()}")
        self._indent -= 1
        self._line("else:", "    return p")
        self._start, self._offset = f"s{i}", 0

    def _unpack_one(self, segment: _Segment, *, last: bool = False) -> None:
        start = self._here()
        checks: list[str] = []
        many = len(segment.lengths) >= _MANY_LENGTHS
        if many:
            unpack = self._unpacker("!" + segment.format(values=False))
            self.names[f"w{unpack}"] = tuple(segment.lengths.values())
            checks.append(f"{unpack}(data, {start}) != w{unpack}")
        else:
            checks += segment.comparisons()
        names = segment.all_names(lengths=not many)
        layout = segment.format(values=True, lengths=not many)
        if segment.header:
            self._header = names, layout
            self._line("e = p + 1 + n", "if e > end:", "    return p")
            checks[:0] = ["t != 68", f"k != {len(self._kinds)}"]
        elif names:
            self._line(*self._unpacking(names, layout, start, merged=last and self._merged))
        if checks:
            self._line(f"if {' or '.join(checks)}:", "    return p")
        if segment.header and self._merged and segment.lengths:
            variables = [f"{i}" for i in segment.lengths]
            self._line(f"w{', w'.join(variables)} = v{', v'.join(variables)}")
        self._offset += struct.calcsize("!" + layout)

    def _unpacking(self, names: Sequence[str], layout: str, start: str, *, merged: bool) -> list[str]:
        """Lines that unpack a segment; if merged, the header of the next row too, where it is there."""
        alone = f"{', '.join(names)}, = {self._unpacker('!' + layout)}(data, {start})"
        if not merged:
            return [alone]
        more, header = self._header
        both = f"{', '.join([*names, *more])} = {self._unpacker(f'!{layout}{header}')}(data, {start})"
        return ["if e <= last:", f"    {both}", "else:", f"    {alone}", "    t = 0"]

    def _many(self) -> str:
        """The rows of what `struct` has unpacked from many of them."""
        kinds = self._kinds
        values = [kind.expression.format(v=f"v{i}", c=f"c{i}", d=f"v{i}") for i, kind in enumerate(kinds)]
        variables = [f"v{i}" for i in range(len(kinds))]
        if self._target == "dict":
            rows = f"[{self._row(values)} for ({', '.join(variables)},) in each]"
        else:
            rows = f"[({', '.join(values)},) for ({', '.join(variables)},) in each]"
        if not kinds or (values == variables and self._target != "dict"):
            rows = "each"
        # For each row, zip() uses the same tuple of arguments again, which map() does not.
        return f"starmap(make, zip({rows}))" if self._target == "make" else rows


class _Segment:
    """Columns that are unpacked together; may begin with the message's header, and end with a length."""

    def __init__(self, *, header: bool = False, after: int | None = None) -> None:
        self.header = header
        self.after = after
        self.lengths: dict[int, int] = {}
        self._kinds: dict[int, Kind] = {}
        self._headless: int | None = None
        self._last: int | None = None

    def add(self, i: int, kind: Kind) -> None:
        """A column of a fixed width."""
        self._kinds[i] = kind
        self.lengths[i] = kind.width

    def end(self, i: int) -> None:
        """The length of a column that comes next."""
        self._last = i

    def behind(self, i: int, kind: Kind) -> _Segment:
        """The same with the value of column ``i``, whose length is known already, at its beginning."""
        segment = _Segment()
        segment._kinds = {i: kind, **self._kinds}
        segment.lengths = self.lengths
        segment._headless = i
        segment._last = self._last
        return segment

    def format(self, *, values: bool, lengths: bool = True) -> str:
        parts = [("BiH" if values else "7x") if self.header else ""]
        for i, kind in self._kinds.items():
            if i != self._headless:
                parts.append("i" if lengths else "4x")
            parts.append(kind.code if values else f"{kind.width}x")
        if values and self._last is not None:
            parts.append("i")
        return "".join(parts)

    def all_names(self, *, lengths: bool) -> list[str]:
        """Of what is unpacked."""
        names = ["t", "n", "k"] if self.header else []
        for i in self._kinds:
            if lengths and i != self._headless:
                names.append(f"l{i}")
            names.append(f"v{i}")
        if self._last is not None:
            names.append(f"l{self._last}")
        return names

    def comparisons(self) -> list[str]:
        """Conditions that are true if a length is not as it should be."""
        by_width: dict[int, list[str]] = {}
        for i, width in self.lengths.items():
            by_width.setdefault(width, []).append(f"l{i}")
        return [
            f"{width} != {names[0]}" if len(names) == 1 else f"not ({width} == {' == '.join(names)})"
            for width, names in by_width.items()
        ]
