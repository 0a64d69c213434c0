"""What becomes of rows: records, tuples, dicts, objects of the caller's classes, what a callable returns."""

from __future__ import annotations

import collections
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple, TypedDict

import pytest

from pgproto._record import Record
from pgproto._row_factories import RowFactory
from pgproto._rows import compile_decoder
from pgproto.errors import DataError
from pgproto.types import TypeRegistry
from tests.support.reference_rows import row_message

INT4 = TypeRegistry().codec(23)


def made(row: object, names: Sequence[str], *rows: Sequence[int]) -> list[Any]:
    """Rows of integers in columns of these names, from the bytes to what the caller gets."""
    factory = RowFactory(row)
    decode = compile_decoder([INT4] * len(names), factory.make(tuple(names)))
    data = b"".join(row_message([struct.pack("!i", value) for value in values]) for values in rows)
    decoded: list[object] = []
    assert decode(decoded, data, 0, len(data)) == len(data)
    return factory.finish(tuple(names), decoded)


@dataclass
class User:
    id: int
    name: int = 7


class Point(NamedTuple):
    x: int
    y: int = 0


def test_records() -> None:
    for row in (None, Record):
        (record,) = made(row, ["id", "name"], [1, 2])
        assert isinstance(record, Record)
        assert record.asdict() == {"id": 1, "name": 2}


def test_tuples() -> None:
    rows = made(tuple, ["id", "id"], [1, 2], [3, 4])
    assert rows == [(1, 2), (3, 4)]
    assert {type(row) for row in rows} == {tuple}


def test_dicts() -> None:
    rows = made(dict, ["id", "name"], [1, 2])
    assert rows == [{"id": 1, "name": 2}]
    assert type(rows[0]) is dict
    assert made(dict, ["a", "b", "a"], *[[1, 2, 3]] * 50) == [{"a": 3, "b": 2}] * 50


@pytest.mark.parametrize("row", [None, tuple, dict])
def test_nothing_is_copied(row: object) -> None:
    rows: list[object] = [object()]
    assert RowFactory(row).finish(("a",), rows) is rows


def test_dataclass() -> None:
    assert made(User, ["id", "name"], [1, 2], [3, 4]) == [User(1, 2), User(3, 4)]
    assert made(User, ["name", "id"], [1, 2], [3, 4]) == [User(2, 1), User(4, 3)]
    assert made(User, ["id"], [1]) == [User(1)]


def test_dataclass_of_many_kinds_of_fields() -> None:
    @dataclass(frozen=True, slots=True)
    class Everything:
        constant: ClassVar[int] = 1
        scale: InitVar[int]
        first: int
        made: int = field(init=False)
        second: int = field(default=5, kw_only=True)
        third: list[int] = field(default_factory=list[int])

        def __post_init__(self, scale: int) -> None:
            object.__setattr__(self, "made", self.first * scale)

    (row,) = made(Everything, ["first", "scale"], [2, 10])
    assert (row.first, row.made, row.second, row.third) == (2, 20, 5, [])
    (row,) = made(Everything, ["second", "scale", "first"], [1, 2, 3])
    assert (row.first, row.made, row.second) == (3, 6, 1)
    for name in ("constant", "made"):
        with pytest.raises(DataError, match=rf"column called '{name}': it has no field of that name"):
            made(Everything, ["first", "scale", name])


def test_named_tuple() -> None:
    assert made(Point, ["x", "y"], [1, 2]) == [Point(1, 2)]
    assert made(Point, ["y", "x"], [1, 2]) == [Point(2, 1)]
    assert made(Point, ["x"], [1]) == [Point(1)]
    assert type(made(Point, ["x"], [1])[0]) is Point
    untyped: Any = collections.namedtuple  # noqa: PYI024  # not only the typed ones
    pair = untyped("pair", ["left", "right"])
    assert made(pair, ["left", "right"], [1, 2]) == [pair(1, 2)]


def test_attrs() -> None:
    attrs = pytest.importorskip("attrs")
    kind: Any = attrs.make_class("Kind", {"id": attrs.field(), "_hidden": attrs.field(default=3)})
    assert made(kind, ["hidden", "id"], [1, 2]) == [kind(2, 1)]
    assert made(kind, ["id"], [2]) == [kind(2, 3)]
    with pytest.raises(DataError, match="no field of that name"):
        made(kind, ["id", "_hidden"])


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    kind: Any = pydantic.create_model("Kind", id=(str, ...), other=(int, 3))
    with pytest.raises(pydantic.ValidationError):
        made(kind, ["id"], [1])
    kind = pydantic.create_model("Kind", id=(int, ...), other=(int, pydantic.Field(3, alias="another")))
    assert made(kind, ["another", "id", "surplus"], [1, 2, 9]) == [kind(id=2, another=1)]


def test_what_looks_like_pydantic_decides_for_itself() -> None:
    class Model:
        model_fields: ClassVar[dict[str, object]] = {}

        def __init__(self, **values: int) -> None:
            self.values = values

        @classmethod
        def model_validate(cls) -> None: ...

    assert [row.values for row in made(Model, ["x", "y"], [1, 2])] == [{"x": 1, "y": 2}]


def test_other_callables_get_the_record() -> None:
    def added(record: Record) -> object:
        return record.id + record["name"]

    def namespace(record: Record) -> object:
        return SimpleNamespace(**record)

    class Typed(TypedDict):
        id: int

    class Plain:
        def __init__(self, record: Record) -> None:
            self.id = record.id

    assert made(added, ["id", "name"], [1, 2], [3, 4]) == [3, 7]
    assert made(list, ["id"], [1]) == [[1]]
    assert made(OrderedDict, ["id"], [1]) == [OrderedDict(id=1)]
    assert made(Typed, ["id"], [1]) == [{"id": 1}]
    assert made(Plain, ["id"], [1])[0].id == 1
    assert made(namespace, ["id"], [1]) == [SimpleNamespace(id=1)]


def test_class_that_takes_any_name() -> None:
    @dataclass(init=False)
    class Anything:
        values: dict[str, int]

        def __init__(self, **values: int) -> None:
            self.values = values

    assert [row.values for row in made(Anything, ["x", "a b"], [1, 2])] == [{"x": 1, "a b": 2}]


def test_class_without_arguments_by_name() -> None:
    @dataclass(init=False)
    class Positional:
        x: int

        def __init__(self, x: int, /) -> None:
            self.x = x

    with pytest.raises(DataError, match="column called 'x'"):
        made(Positional, ["x"], [1])


@pytest.mark.parametrize(
    ("row", "names", "words"),
    [
        (
            User,
            ["id", "evil\n"],
            r"cannot build User from a column called 'evil\\n': it has no field of that name",
        ),
        (User, ["name"], "cannot build User: its field 'id' is not among the columns"),
        (User, ["id", "name", "id"], "cannot build User from columns of which two are called 'id'"),
        (Point, ["x", "__class__"], "cannot build Point from a column called '__class__'"),
        (Point, ["y"], "cannot build Point: its field 'x' is not among the columns"),
    ],
)
def test_columns_that_do_not_fit(row: object, names: Sequence[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        made(row, names, [1] * len(names))
    with pytest.raises(DataError, match=words):
        made(row, names)


def test_no_rows_at_all() -> None:
    assert made(User, []) == []
    assert made(User, ["id", "name"]) == []
    assert made(refusing, ["id"]) == []


def test_rows_without_columns() -> None:
    with pytest.raises(DataError, match="its field 'id' is not among the columns"):
        made(User, [], [])
    empty: Any = dataclass(type("Empty", (), {}))
    assert isinstance(made(empty, [], [])[0], empty)


def test_batches_of_one_result() -> None:
    factory = RowFactory(User)
    assert factory.finish(("id",), [(1,)]) == [User(1)]
    assert factory.finish(("id",), [(2,), (3,)]) == [User(2), User(3)]
    assert factory.finish(("name", "id"), [(2, 3)]) == [User(3, 2)]
    assert factory.finish(("id",), []) == []


class Refusal(Exception):
    pass


@dataclass
class Refusing:
    x: int
    y: int = 0

    def __post_init__(self) -> None:
        raise StopIteration if self.x == 1 else Refusal(self.x)


def refusing(record: Record) -> object:
    return Refusing(record.x)


@pytest.mark.parametrize("row", [Refusing, refusing])
@pytest.mark.parametrize("names", [["x"], ["y", "x"]])
def test_exceptions_of_the_caller_are_the_callers(row: Callable[..., object], names: list[str]) -> None:
    with pytest.raises(Refusal):
        made(row, names, [0] * len(names))
    # It must not be taken for the end of the rows.
    with pytest.raises(StopIteration):
        made(row, names, [1] * len(names))


@pytest.mark.parametrize("row", [5, "tuple", (), [User]])
def test_what_is_no_row(row: object) -> None:
    with pytest.raises(TypeError, match="row= takes tuple, dict, a class or another callable, not"):
        RowFactory(row)


def test_what_can_share_a_decoder() -> None:
    assert {RowFactory(row).key for row in (None, Record, len, list)} == {"record"}
    assert {RowFactory(row).key for row in (tuple, User, Point)} == {"tuple"}
    assert RowFactory(dict).key == "dict"
