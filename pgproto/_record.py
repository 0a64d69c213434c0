"""`Record`: one row of a result, a tuple that knows the names of its columns.

The names come from the server, so they are data and nothing else: they live in a mapping that is looked into
after Python's own attributes, and never become attributes, slots or code. A column called ``__class__`` or
``count`` can be had as ``record["count"]``, and changes nothing about what ``record.count`` is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final, SupportsIndex, cast, overload

__all__ = ["Record", "record_type"]

_CACHED_CHARACTERS: Final = 4096
_tuple_item: Final[Callable[..., Any]] = cast("type[tuple[Any, ...]]", tuple).__getitem__


class Record(tuple[Any, ...]):
    """One row: a tuple of its values, which can be had by the names of their columns too.

    It is equal to a tuple of the same values, hashes, unpacks, iterates and slices like one, and ``in`` looks
    for a value. ``record["id"]`` and ``record.id`` are the value of a column. Only the brackets reach a
    column that is called like a method of tuples or records (``count``, ``index``, ``keys`` ...), or whose
    name begins with an underscore: Python and libraries look for such attributes of their own accord, and
    what they find is not for a server to say. Columns with the same name are all there by position; by name
    one gets the last of them, as from a `dict`.

    ``dict(record)`` works, and so does ``function(**record)``. Type checkers see `Any` for every value.
    """

    __slots__ = ()

    _names: ClassVar[tuple[str, ...]] = ()
    _positions: ClassVar[Mapping[str, int]] = {}

    @overload
    def __getitem__(self, key: SupportsIndex | str, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice[Any, Any, Any], /) -> tuple[Any, ...]: ...
    def __getitem__(self, key: SupportsIndex | str | slice[Any, Any, Any], /) -> Any:
        """The value at a position or of a column, or a tuple of the values of a slice.

        Raises:
            IndexError: there is no such position.
            KeyError: there is no column of this name.
        """
        return _tuple_item(self, self._positions[key] if isinstance(key, str) else key)

    def __getattr__(self, name: str) -> Any:
        # Python comes here only for what no class in the hierarchy has.
        position = None if name.startswith("_") else self._positions.get(name)
        if position is None:
            raise AttributeError(f"the record has no column {name!r}", name=name, obj=self)
        return _tuple_item(self, position)

    def keys(self) -> tuple[str, ...]:
        """The names of the columns, in their order, as often as they occur."""
        return self._names

    def values(self) -> tuple[Any, ...]:
        """The values, as a plain tuple."""
        return tuple(self)

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Pairs of name and value, in the order of the columns."""
        return tuple(zip(self._names, self, strict=True))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of the column of this name, or ``default`` if there is none."""
        position = self._positions.get(name)
        return default if position is None else _tuple_item(self, position)

    def asdict(self) -> dict[str, Any]:
        """The values by the names of their columns; of several with one name, the last."""
        return dict(zip(self._names, self, strict=True))

    def __repr__(self) -> str:
        fields = (
            f"{name if name.isidentifier() else repr(name)}={value!r}"
            for name, value in zip(self._names, self, strict=True)
        )
        return f"Record({', '.join(fields)})"

    def __dir__(self) -> list[str]:
        names = [name for name in self._names if name.isidentifier() and not name.startswith("_")]
        return sorted({*super().__dir__(), *names})

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._names, tuple(self))


def record_type(names: tuple[str, ...]) -> type[Record]:
    """The class of the records of results with these columns: call it with a tuple of as many values."""
    if sum(map(len, names)) > _CACHED_CHARACTERS:
        # What a server makes unusually large is not kept for longer than it is used.
        return _new_type(names)
    return _cached_type(names)


def _new_type(names: tuple[str, ...]) -> type[Record]:
    positions = {name: position for position, name in enumerate(names)}
    members = {
        "__slots__": (),
        "__module__": __name__,
        "_names": names,
        "_positions": positions,
    }
    return type("Record", (Record,), members)


_cached_type = lru_cache(maxsize=256)(_new_type)


def _restore(names: tuple[str, ...], values: tuple[Any, ...]) -> Record:
    return record_type(names)(values)
