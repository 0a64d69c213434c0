"""Records: tuples that know the names of their columns, whatever those are."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._record import Record, record_type

HOSTILE = (
    "__class__", "__dict__", "__slots__", "__getattr__", "__getattribute__", "__init__", "__reduce__",
    "__del__", "__html__", "__await__", "_repr_html_", "_fields", "_names", "_positions", "count", "index",
    "keys", "get", "class", "", "a b", "x\n    import os", "%s{0.__class__}", "\ud800", "é",
)  # fmt: skip


def record(**columns: object) -> Record:
    return record_type(tuple(columns))(tuple(columns.values()))


def test_tuple() -> None:
    row = record(id=1, name="x", age=None)
    assert isinstance(row, tuple)
    assert row == (1, "x", None)
    assert hash(row) == hash((1, "x", None))
    assert list(row) == [1, "x", None]
    assert len(row) == 3
    assert "x" in row
    assert "name" not in row
    assert row.count(1) == 1
    assert row.index("x") == 1
    assert row < (2,)
    assert row + (4,) == (1, "x", None, 4)  # noqa: RUF005  # it is addition that is tried
    number, *rest = row
    assert (number, rest) == (1, ["x", None])
    match row:
        case (1, name, None):
            assert name == "x"
        case _:
            pytest.fail("no match")
    assert tuple(row) == row
    assert type(tuple(row)) is tuple


def test_by_position_and_slice() -> None:
    row = record(id=1, name="x", age=None)
    assert row[0] == 1
    assert row[-2] == "x"
    assert row[True] == "x"
    assert row[:2] == (1, "x")
    assert type(row[:2]) is tuple
    assert row[::-1] == (None, "x", 1)
    for position in (3, -4):
        with pytest.raises(IndexError):
            row[position]
    with pytest.raises(TypeError):
        cast("Any", row)[1.0]


def test_by_name() -> None:
    class Name(str):
        __slots__ = ()

    row = record(id=1, name="x")
    assert row["id"] == row.id == 1
    assert row[Name("name")] == "x"
    assert row.get("name") == "x"
    assert row.get("nobody") is None
    assert row.get("nobody", 7) == 7
    with pytest.raises(KeyError, match="nobody"):
        row["nobody"]
    with pytest.raises(AttributeError, match="the record has no column 'nobody'"):
        _ = row.nobody
    assert not hasattr(row, "nobody")


def test_as_mapping() -> None:
    row = record(id=1, name="x")
    assert row.keys() == ("id", "name")
    assert row.values() == (1, "x")
    assert type(row.values()) is tuple
    assert row.items() == (("id", 1), ("name", "x"))
    assert row.asdict() == dict(row) == dict(**row) == {"id": 1, "name": "x"}


def test_same_name_twice() -> None:
    row = record_type(("a", "b", "a"))((1, 2, 3))
    assert tuple(row) == (1, 2, 3)
    assert row["a"] == row.a == row.get("a") == 3
    assert row.keys() == ("a", "b", "a")
    assert row.items() == (("a", 1), ("b", 2), ("a", 3))
    assert row.asdict() == dict(row) == {"a": 3, "b": 2}
    assert repr(row) == "Record(a=1, b=2, a=3)"


def test_no_columns() -> None:
    row = record_type(())(())
    assert row == ()
    assert repr(row) == "Record()"
    assert not row


def test_repr() -> None:
    assert repr(record(id=1, name="x")) == "Record(id=1, name='x')"
    assert repr(record_type(("a b", "?\n"))((1, None))) == r"Record('a b'=1, '?\n'=None)"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data(name: str) -> None:
    plain = record(id=1, x=2)
    row = record_type(("id", name))((1, 2))
    assert row[name] == 2
    assert row.get(name) == 2
    assert row.asdict()[name] == 2
    assert dict(row)[name] == 2
    assert isinstance(row, Record)
    assert type(row).__mro__[1:] == (Record, tuple, object)
    assert vars(type(row)).keys() == vars(type(plain)).keys()
    assert not hasattr(row, "__dict__")
    assert row.count(2) == 1
    assert row.index(2) == 1
    assert row.keys() == ("id", name)
    assert hasattr(row, name) == (hasattr(plain, name) or not name.startswith("_"))
    assert pickle.loads(pickle.dumps(row)).keys() == ("id", name)
    assert copy.deepcopy(row).keys() == ("id", name)
    assert "Record(id=1" in repr(row)
    dir(row)


def test_attributes_cannot_be_set() -> None:
    row: Any = record(id=1)
    for name in ("id", "other", "_names", "_positions"):
        with pytest.raises(AttributeError):
            setattr(row, name, 2)


def test_dir_shows_names_that_can_be_typed() -> None:
    names = dir(record_type(("id", "a b"))((1, 2)))
    assert {"id", "asdict", "count"} <= set(names)
    assert "a b" not in names


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    row = record(id=1, name=["x"])
    again = pickle.loads(pickle.dumps(row, protocol))
    assert again == row
    assert type(again) is type(row)
    assert again.name == ["x"]


def test_copy() -> None:
    row = record(id=1, name=["x"])
    for again in (copy.copy(row), copy.deepcopy(row)):
        assert type(again) is type(row)
        assert again == row
    assert copy.copy(row).name is row.name
    assert copy.deepcopy(row).name is not row.name


def test_types_are_shared() -> None:
    assert record_type(("a", "b")) is record_type(("a", "b"))
    assert record_type(("a", "b")) is not record_type(("b", "a"))


def test_huge_names_are_not_kept() -> None:
    names = ("x" * 10_000,)
    kind = record_type(names)
    assert kind((1,))["x" * 10_000] == 1
    gone = weakref.ref(kind)
    del kind
    gc.collect()
    assert gone() is None


@given(st.lists(st.tuples(st.text(max_size=4) | st.sampled_from(HOSTILE), st.integers())))
def test_by_name_is_what_a_dict_has(columns: Sequence[tuple[str, int]]) -> None:
    names, values = tuple(name for name, _ in columns), tuple(value for _, value in columns)
    row = record_type(names)(values)
    assert row == values
    assert row.asdict() == dict(row) == dict(columns)
    assert all(row[name] == value for name, value in dict(columns).items())
