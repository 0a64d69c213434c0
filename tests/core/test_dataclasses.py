"""Frozen dataclasses with slots, made in a shorter way: otherwise the same as the standard library's."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field
from typing import ClassVar

import pytest

from pgproto._dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ours:
    """With everything."""

    constant: ClassVar[int] = 7
    first: int
    second: str = "two"
    many: list[int] = field(default_factory=list[int])
    secret: str = field(default="hidden", repr=False, compare=False)

    @property
    def both(self) -> str:
        """Of two fields."""
        return f"{self.first} {self.second}"


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """With everything."""

    constant: ClassVar[int] = 7
    first: int
    second: str = "two"
    many: list[int] = field(default_factory=list[int])
    secret: str = field(default="hidden", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class More(Ours):
    """With a field more, and a check."""

    last: int = 0

    def __post_init__(self) -> None:
        if self.last < 0:
            raise ValueError("negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    b: int
    a: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Singular:
    value: int


@dataclass(frozen=True, slots=True)
class Hashed:
    value: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and abs(self.value) == abs(other.value)

    def __repr__(self) -> str:
        return "mine"


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(slots=True)
class Mutable:
    value: int = 0


def test_arguments() -> None:
    assert Ours(1) == Ours(1, "two", [], "other")
    assert Ours(second="b", first=2).both == "2 b"
    assert (Ours(1).secret, Ours.constant) == ("hidden", 7)
    assert Ours(1).many is not Ours(1).many
    assert (More(1, last=3).last, More(1, "b", [2], "c", 4).last) == (3, 4)
    assert (Named(b=2).a, Named(a=3, b=2).a) == (1, 3)
    for wrong in ("Ours()", "Ours(1, 2, 3, 4, 5)", "Ours(1, other=2)", "Named(1)", "Empty(1)"):
        with pytest.raises(TypeError):
            eval(wrong)
    with pytest.raises(ValueError, match="negative"):
        More(1, last=-1)


def test_same_as_the_librarys() -> None:
    ours, theirs = Ours(1, "b", [2], "c"), Theirs(1, "b", [2], "c")
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours") == "Ours(first=1, second='b', many=[2])"
    assert dataclasses.astuple(ours) == dataclasses.astuple(theirs)
    assert Ours.__match_args__ == Theirs.__match_args__
    assert Ours.__slots__ == Theirs.__slots__
    names = [field.name for field in dataclasses.fields(Theirs)]
    assert [field.name for field in dataclasses.fields(Ours)] == names
    assert list(inspect.signature(Ours).parameters) == names
    assert inspect.signature(Ours).parameters["first"].annotation == "int"
    assert inspect.signature(Ours).parameters["second"].default == "two"
    for instance in (ours, theirs):
        with pytest.raises(TypeError, match="unhashable"):
            hash(instance)
        assert not hasattr(instance, "__dict__")


@pytest.mark.parametrize(
    "instance", [Ours(1, "b", [2], "c"), More(1, last=2), Named(b=1), Empty(), Hashed(2)]
)
def test_copies(instance: Ours | Named | Empty | Hashed) -> None:
    for other in (
        copy.copy(instance),
        copy.deepcopy(instance),
        pickle.loads(pickle.dumps(instance)),
        dataclasses.replace(instance),
    ):
        assert other == instance
        assert type(other) is type(instance)
        assert dataclasses.astuple(other) == dataclasses.astuple(instance)
    if isinstance(instance, Ours):
        assert dataclasses.replace(instance, first=9).first == 9


def test_nothing_can_be_changed() -> None:
    for instance in (Ours(1), More(1)):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'first'"):
            instance.first = 2  # type: ignore[misc]  # what is tested
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'first'"):
            delattr(instance, "first")
        assert instance.first == 1


def test_equality() -> None:
    theirs: object = Theirs(1)
    assert Ours(1) != Ours(2)
    assert Ours(1) != theirs
    assert Ours(1) != More(1)
    assert (Named(b=1) == Named(b=1), hash(Named(b=1)) == hash(Named(b=1))) == (True, True)
    assert {Named(b=1), Named(b=1), Named(b=2)} == {Named(b=2), Named(b=1)}
    one = Singular(1)
    assert (one == one, one == Singular(1), len({one, Singular(1)})) == (True, False, 2)


def test_what_a_class_defines_itself_stays() -> None:
    assert Hashed(1) == Hashed(-1)
    assert repr(Hashed(1)) == "mine"
    assert hash(Hashed(1)) == hash(Hashed(1))


def test_patterns_of_match() -> None:
    match Ours(1, "b"):
        case Ours(first, second="b"):
            assert first == 1
        case _:
            raise AssertionError


def test_other_classes_are_made_by_the_library() -> None:
    thing = Mutable(1)
    thing.value = 2
    assert thing == Mutable(2)
