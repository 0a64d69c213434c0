"""`dataclass`: that of the standard library, with a short way for frozen classes with slots.

For each of them the library writes six functions, compiles and runs their text, which took half of the time
to import this package. Here only ``__init__`` is written, the others are closures; it fills the slots through
their own setters. `dataclasses.fields` and `replace`, `match`, copying and pickling work as ever. To type
checkers it is `dataclasses.dataclass` itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

__all__ = ["dataclass"]

_MISSING: Final = dataclasses.MISSING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, eq: bool = True, kw_only: bool = False):
        """As `dataclasses.dataclass`."""
        if not (frozen and slots):
            return dataclasses.dataclass(frozen=frozen, slots=slots, eq=eq, kw_only=kw_only)

        def decorate(cls: type[Any]) -> type[Any]:
            # None is what a class gets that defines __eq__ alone.
            own = {name for name, value in cls.__dict__.items() if value is not None}
            # For a class without a text of its own the library would look at the arguments, at some length.
            cls.__doc__ = cls.__doc__ or cls.__name__
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
            for name, method in _methods(made, eq).items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return decorate


def _methods(cls: type[Any], eq: bool) -> dict[str, Callable[..., Any]]:
    names = [field.name for field in dataclasses.fields(cls)]
    shown = [field.name for field in dataclasses.fields(cls) if field.repr]
    compared = [field.name for field in dataclasses.fields(cls) if field.compare]

    def key(self: object) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in compared])

    def get_state(self: object) -> list[object]:
        return [getattr(self, name) for name in names]

    def set_state(self: object, state: list[object]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    def represent(self: object) -> str:
        return (
            f"{type(self).__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in shown])})"
        )

    def equal(self: object, other: object) -> bool:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    def hash_of(self: object) -> int:
        return hash(key(self))

    methods: dict[str, Callable[..., Any]] = {
        "__init__": _init(cls),
        "__repr__": represent,
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
        "__getstate__": get_state,
        "__setstate__": set_state,
    }
    if eq:
        methods |= {"__eq__": equal, "__hash__": hash_of}
    return methods


def _init(cls: type[Any]) -> Callable[..., None]:
    """Written of the names of the class's fields, which are ours, and of nothing else."""
    fields = dataclasses.fields(cls)
    names: dict[str, Any] = {"missing": _MISSING}
    positional, named, lines = ["self"], ["*"], ["pass"]
    for field in fields:
        name = value = field.name
        parameter = name
        if field.default is not _MISSING:
            names[f"default_{name}"] = field.default
            parameter = f"{name}=default_{name}"
        elif field.default_factory is not _MISSING:
            names[f"make_{name}"] = field.default_factory
            parameter = f"{name}=missing"
            value = f"make_{name}() if {name} is missing else {name}"
        (named if field.kw_only else positional).append(parameter)
        names[f"set_{name}"] = getattr(cls, name).__set__
        lines.append(f"set_{name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = ", ".join([*positional, *(named if len(named) > 1 else [])])
    exec(f"def __init__({parameters}): {'; '.join(lines)}", names)
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {**{field.name: field.type for field in fields}, "return": None}
    return init


def _refuse_to_set(self: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
