"""Compiling the functions that decode rows, and keeping them for the next result of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from pgproto._rows._alike import LAYOUTS, Many, ManyOf, Run, run_of_many
from pgproto._rows._kinds import NAMES, NULL, Kind, converter_of, kind_of
from pgproto._rows._source import RowSource
from pgproto.types._codec import Codec

__all__ = ["MAX_COMPILED_COLUMNS", "DictMaker", "Make", "Runs", "compile_runs"]

Make: TypeAlias = Callable[[tuple[object, ...]], object]
"""Makes a row from the tuple of its values; it never fails."""

MAX_COMPILED_COLUMNS: Final = 300
"""Wider rows are left to the loop: compiling takes time for each column, and a server may claim 65,535."""

_NARROW: Final = 64


class DictMaker:
    """Makes a dict by these names; compiled functions do it in place."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def __call__(self, values: tuple[object, ...]) -> dict[str, object]:
        return dict(zip(self.names, values, strict=True))


class Runs(NamedTuple):
    """What is compiled for one result."""

    few: Run
    many: Run
    codes: Sequence[str]
    """For each column the `struct` code, "" for a variable width."""
    many_of: ManyOf
    """What makes the rows of what was unpacked so."""


def compile_runs(
    codecs: Sequence[Codec], make: Make | None, nullable: Sequence[bool], inline: bool = True
) -> Runs:
    """The functions for few rows of these columns, and for many.

    Args:
        codecs: one for each column.
        make: makes the row from the tuple of its values; None leaves the tuple.
        nullable: for each column, whether NULLs are common.
        inline: whether expressions may be used that fail for rare values.
    """
    kinds = tuple([kind_of(codec, inline) for codec in codecs])
    target = "tuple" if make is None else "dict" if isinstance(make, DictMaker) else "make"
    makers = make.names if isinstance(make, DictMaker) else (make,)
    builder = _narrow_builder if len(kinds) <= _NARROW else _wide_builder
    arguments = (*makers, *map(converter_of, codecs))
    run: Run = builder(kinds, tuple(nullable), target)(*arguments)[0]
    codes = [kind.code for kind in kinds]

    @lru_cache(maxsize=LAYOUTS)
    def many_of(nulls: tuple[bool, ...]) -> Many:
        shape = tuple([NULL if null else kind for kind, null in zip(kinds, nulls, strict=True)])
        many: Many = builder(shape, (False,) * len(shape), target)(*arguments)[1]
        return many

    return Runs(run, run_of_many(codes, run, many_of) if kinds else run, codes, many_of)


def _build(kinds: tuple[Kind, ...], nullable: tuple[bool, ...], target: str) -> Callable[..., Any]:
    source = RowSource(kinds, nullable, target)
    text = source.text()
    namespace: dict[str, Any] = {**NAMES, **source.names}
    exec(compile(text, "<rows>", "exec"), namespace)
    builder: Callable[..., Any] = namespace["build"]
    return builder


# A function takes up to a kilobyte for each column, so of the wide ones only a few are kept.
_narrow_builder = lru_cache(maxsize=128)(_build)
_wide_builder = lru_cache(maxsize=16)(_build)
