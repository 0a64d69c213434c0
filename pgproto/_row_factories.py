"""What becomes of a row: the ``row=`` argument of the fetching verbs.

=========================  =====================================================================
``None``                   `Record`
``tuple``                  plain tuples
``dict``                   dicts, by the names of the columns
a dataclass, NamedTuple,   an object built by name: the column ``id`` is the argument ``id``
attrs or pydantic class
any other callable         what it returns for the `Record`
=========================  =====================================================================

The first three are made while the rows are decoded. The others are code of the user's, which may do
anything, so it runs later and elsewhere: in `RowFactory.finish`, called from where the user has asked for the
rows, when all that concerns the connection is done. What it raises reaches the user unchanged.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, Literal, TypeAlias, cast

from pgproto._record import Record, record_type
from pgproto._rows import DictMaker, Make
from pgproto.errors import DataError

__all__ = ["Key", "RowFactory"]

Key: TypeAlias = Literal["record", "tuple", "dict"]
"""What the decoder makes: rows of the same columns and key can share one, whatever becomes of them later."""

_Build: TypeAlias = Callable[[list[Any]], list[object]]


class RowFactory:
    """How the rows of one request are made.

    Args:
        row: what the caller passed.

    Raises:
        TypeError: it is neither None nor callable.
    """

    __slots__ = ("_build", "_kind", "_names", "key")

    key: Key

    def __init__(self, row: object = None) -> None:
        self._kind: type[Any] | None = None
        self._build: _Build | None = None
        self._names: tuple[str, ...] = ()
        if row is None or row is Record:
            self.key = "record"
        elif row is tuple:
            self.key = "tuple"
        elif row is dict:
            self.key = "dict"
        else:
            self._init_from(row)

    def _init_from(self, row: object) -> None:
        if isinstance(row, type) and _is_built_by_name(row):
            self.key = "tuple"
            self._kind = row
        elif callable(row):
            self.key = "record"
            function = cast("Callable[[object], object]", row)
            # Not map(): it would take a StopIteration of the function for the end of the rows.
            self._build = lambda rows: [function(values) for values in rows]
        else:
            raise TypeError(f"row= takes tuple, dict, a class or another callable, not {row!r}")

    def make(self, names: tuple[str, ...]) -> Make | None:
        """For the decoder: makes a row from the values of columns with these names; None keeps the tuple."""
        if self.key == "record":
            return record_type(names)
        return DictMaker(names) if self.key == "dict" else None

    def finish(self, names: tuple[str, ...], rows: list[object]) -> list[object]:
        """Turn what `make` has made into what the caller gets; runs the caller's own code.

        Raises:
            DataError: the columns are not those that the caller's class is built from.
            Exception: whatever the caller's code raises.
        """
        if self._kind is not None and (self._build is None or names != self._names) and (names or rows):
            self._build = _plan_again(self._kind, names)
            self._names = names
        return rows if self._build is None else self._build(rows)


def _plan(kind: type[Any], names: tuple[str, ...]) -> _Build:
    """How to build objects of this class from tuples of values with these names."""
    if len(set(names)) < len(names):
        (twice, _), *_ = Counter(names).most_common(1)
        raise DataError(
            f"cannot build {kind.__name__} from columns of which two are called {twice!r}; "
            f"rename one with AS, or take them by position with row=tuple"
        )
    if _is_pydantic(kind):
        # What aliases and surplus columns mean is up to the model's own configuration.
        return lambda rows: [kind(**dict(zip(names, values, strict=True))) for values in rows]
    parameters = inspect.signature(kind).parameters
    by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    surplus = [
        name
        for name in names
        if not takes_any and (name not in parameters or parameters[name].kind not in by_name)
    ]
    if surplus:
        raise DataError(
            f"cannot build {kind.__name__} from a column called {surplus[0]!r}: it has no field of that name"
        )
    missing = [
        name
        for name, parameter in parameters.items()
        if name not in names
        and parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    if missing:
        raise DataError(f"cannot build {kind.__name__}: its field {missing[0]!r} is not among the columns")
    return _construction(kind, names, list(parameters.values()))


def _construction(kind: type[Any], names: tuple[str, ...], parameters: Sequence[inspect.Parameter]) -> _Build:
    first = parameters[: len(names)]
    positional = all(parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in first)
    order = tuple(parameter.name for parameter in first)
    construct = cast("Callable[..., object]", kind)
    if positional and order == names:
        return lambda rows: [construct(*values) for values in rows]
    if positional and len(names) > 1 and set(order) == set(names):
        arrange = itemgetter(*map(names.index, order))
        return lambda rows: [construct(*arrange(values)) for values in rows]
    return lambda rows: [construct(**dict(zip(names, values, strict=True))) for values in rows]


# Looking into a signature takes as long as a query.
_plan_again: Final = cast("Callable[[type[Any], tuple[str, ...]], _Build]", lru_cache(maxsize=256)(_plan))


def _is_pydantic(kind: type[Any]) -> bool:
    return hasattr(kind, "model_fields") and hasattr(kind, "model_validate")


def _is_built_by_name(kind: type[Any]) -> bool:
    return (
        hasattr(kind, "__dataclass_fields__")
        or hasattr(kind, "__attrs_attrs__")
        or _is_pydantic(kind)
        or (hasattr(kind, "_fields") and issubclass(kind, tuple))
    )
