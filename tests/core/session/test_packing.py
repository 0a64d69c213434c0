"""Arguments packed by compiled functions, against the plain way: the same bytes, and the same errors."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto import DataError
from pgproto import messages as m
from pgproto._session._packer import Packer, fill_one_by_one
from pgproto._session._packing import Frame
from pgproto._session._statement import Statement
from pgproto._wire import MAX_FRAME_LENGTH
from pgproto.types import DateInfinity, TimestampTZInfinity, TypeRegistry

TYPES = TypeRegistry()
OIDS = [16, 17, 18, 19, 20, 21, 23, 25, 26, 28, 114, 142, 700, 701, 1007, 1043, 1082, 1083, 1114, 1184,
        1700, 2205, 2950, 3220, 3802, 5069]  # fmt: skip
FOLLOWER = m.Execute().encode()


class Clock(tzinfo):
    """A time zone whose offset is none, or an error."""

    def __init__(self, error: type[Exception] | None = None) -> None:
        self._error = error

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        if self._error is not None:
            raise self._error("it has stopped")
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None


class Word(str):
    """Text that says something else when it is asked to encode itself."""

    __slots__ = ()

    def encode(self, *args: object, **kwargs: object) -> bytes:
        return b"other"


class Moment(datetime):
    """A moment that is its own measure."""

    def __sub__(self, other: object) -> Any:
        return timedelta(seconds=1)


class Index:
    """Something that can be an integer."""

    def __init__(self, number: object) -> None:
        self._number = number

    def __index__(self) -> Any:
        if isinstance(self._number, Exception):
            raise self._number
        return self._number


class Colour(enum.Enum):
    RED = 1
    GREEN = "green"
    NIGHT = datetime(2024, 2, 29, tzinfo=UTC)


class Truth(enum.Enum):
    YES = True


class Number(enum.IntEnum):
    ONE = 1


class Name(enum.StrEnum):
    ALICE = "alice"


class Proxy:
    """Says that it is of another class than it is."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __getattribute__(self, name: str) -> Any:
        return (
            object.__getattribute__(self, "_kind")
            if name == "__class__"
            else object.__getattribute__(self, name)
        )


EDGES = [edge + near for edge in (0, 2**7, 2**15, 2**31, 2**32, 2**63, 2**64) for near in (-1, 0, 1)]
MOMENT = datetime(2024, 2, 29, 12, 3, 4, 567, tzinfo=UTC)
ODD: list[object] = [
    *EDGES,
    *[-edge for edge in EDGES],
    *[True, False, 0.5, -0.0, float("nan"), float("inf"), 1e300, 10**400, Decimal("1.50"), 1j],
    *["", "text", "a\0b", "\ud800", "ü" * 3, Word("word"), "x" * 100, "00000000-0000-0000-0000-000000000001"],
    *[b"", b"\0\1", bytearray(b"x"), memoryview(b"abcd")[::2]],
    *[MOMENT, MOMENT.replace(tzinfo=None), MOMENT.astimezone(timezone(timedelta(hours=-3)))],
    *[MOMENT.replace(tzinfo=Clock()), MOMENT.replace(tzinfo=Clock(ValueError))],
    *[datetime.min, datetime.max, datetime.max.replace(tzinfo=UTC), Moment(2024, 1, 1), Moment.now(UTC)],
    *[date.min, date.max, date(2000, 1, 1), time(1), DateInfinity(1), TimestampTZInfinity(-1)],
    *[UUID(int=0), UUID(int=2**128 - 1), Index(7), Index("x"), Index(ValueError("no")), Index(2**40)],
    *[*Colour, *Truth, *Number, *Name, object(), [1, 2], [None, 3], {"a": 1}, (), int],
    *map(Proxy, (str, datetime, date, UUID)),
]
VALUES = st.none() | st.integers(0, len(ODD) - 1).map(ODD.__getitem__)
USUAL: dict[int, st.SearchStrategy[object]] = {
    16: st.booleans(),
    17: st.binary(max_size=5),
    20: st.integers(-(2**63), 2**63 - 1),
    21: st.integers(-(2**15), 2**15 - 1),
    23: st.integers(-(2**31), 2**31 - 1),
    25: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    701: st.floats(),
    1082: st.dates(),
    1114: st.datetimes(),
    1184: st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(minutes=75))])),
    1700: st.decimals(),
    2950: st.uuids(),
}


def statement(oids: Sequence[int], name: str = "pgproto_1") -> Statement:
    column = m.FieldDescription("a", 0, 0, 23, 4, -1, 0)
    return Statement("x", name, "SELECT", [TYPES.codec(oid) for oid in oids], [column], [TYPES.codec(23)])


def compiled(oids: Sequence[int]) -> Statement:
    """A statement that has been used often enough to have its function."""
    made = statement(oids)
    for _ in range(4):
        made.bind([None] * len(oids))
    assert made.pack is not None
    return made


def outcome(bind: Any, *arguments: object) -> tuple[str, object]:
    try:
        return "bytes", bind(*arguments)
    except DataError as error:
        return "error", f"{error}, {error.__context__ is error.__cause__}"
    except Exception as error:
        # Objects that lie about their class; both ways must meet them alike.
        return "bug", type(error)


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[int], list[list[object]]]:
    """Types, and sets of values that fit them more or less."""
    oids = draw(st.lists(st.sampled_from(sorted(USUAL)) | st.sampled_from(OIDS), max_size=5))
    usual = st.tuples(*[USUAL.get(oid, VALUES) for oid in oids]).map(list)
    rows = draw(st.lists(usual, min_size=1, max_size=6))
    for row in rows if oids else []:
        if draw(st.booleans()):
            row[draw(st.integers(0, len(oids) - 1))] = draw(VALUES)
    return oids, rows


@given(sets())
def test_compiled_or_not_it_is_the_same(example: tuple[list[int], list[list[object]]]) -> None:
    oids, some = example
    fast, plain = compiled(oids), statement(oids)
    for arguments in some:
        expected = outcome(plain.bind_one_by_one, arguments)
        assert outcome(fast.bind, arguments) == expected
        assert outcome(fast.bind, arguments, "p") == outcome(plain.bind_one_by_one, arguments, "p")


@pytest.mark.parametrize("oid", OIDS)
def test_every_odd_value_for_every_type(oid: int) -> None:
    fast, plain = compiled([oid, 23]), statement([oid, 23])
    nullable = compiled([oid, 23])
    for _ in range(20):
        nullable.bind([None, None])
    for value in ODD:
        expected = outcome(plain.bind_one_by_one, [value, 1])
        assert outcome(fast.bind, [value, 1]) == expected
        assert outcome(nullable.bind, [value, 1]) == expected
        assert outcome(nullable.bind, [value, None]) == outcome(plain.bind_one_by_one, [value, None])


@given(sets(), st.integers(1, 300), st.integers(0, 20))
def test_many_sets(example: tuple[list[int], list[list[object]]], limit: int, nulls: int) -> None:
    oids, some = example
    plain = statement(oids)
    expected: list[bytes] = []
    failure = None
    rows = [[None] * len(oids)] * nulls + some
    for arguments in rows:
        kind, result = outcome(plain.bind_one_by_one, arguments)
        if kind != "bytes":
            failure = kind, result
            break
        assert isinstance(result, bytes)
        expected.append(result + FOLLOWER)
    assert outcome(filled, plain.packer(FOLLOWER), plain, rows, limit) == (failure or ("bytes", expected))


class Noted:
    """What a fill says of itself at the end."""

    what = (-1, -1)

    def __call__(self, count: int, size: int) -> None:
        self.what = count, size


def filled(packer: Packer, plain: Statement, rows: list[list[object]], limit: int) -> list[bytes]:
    """The messages that are made, for each ``limit`` bytes or a little more."""
    fill = packer.fill()

    def slow(values: Any, out: list[bytes], count: int) -> int:
        nonlocal fill
        assert type(values) in (tuple, list)
        data = plain.bind_one_by_one(values)
        out += (data, FOLLOWER)
        if packer.missed(values):
            fill = packer.fill()
        return len(data) + len(FOLLOWER)

    source = iter(rows)
    made: list[bytes] = []
    done = False
    while not done:
        out: list[bytes] = []
        noted = Noted()
        try:
            done = fill(source, out, limit, slow, tuple, noted)
        finally:
            data = b"".join(out)
            messages = [each + FOLLOWER for each in data.split(FOLLOWER)[:-1]]
            assert noted.what == (len(messages), len(data))
        assert done is (len(data) < limit)
        made += messages
    return made


def test_usual_arguments_do_not_go_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = compiled([23, 25, 1184, 2950, 16, 17, 114])
    monkeypatch.setattr(Statement, "bind_one_by_one", None)
    assert fast.bind((1, "x", MOMENT, uuid4(), True, b"x", [None]))
    assert fast.bind([-1, "", MOMENT, uuid4(), False, bytearray(), None])
    with pytest.raises(TypeError, match="not callable"):
        fast.bind((1, None, MOMENT, uuid4(), True, None, None))


def test_a_type_of_fixed_width_takes_what_its_encoder_does(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = compiled([1114, 1184, 1082, 2950, 16])
    monkeypatch.setattr(Statement, "bind_one_by_one", None)
    assert fast.bind((date.max, TimestampTZInfinity(1), DateInfinity(-1), str(uuid4()), Truth.YES))


def test_nulls_are_expected_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = compiled([23, 25, 1184, 3802])
    for _ in range(16):
        fast.bind([None, "", MOMENT, None])
    assert fast.bind([1, "", MOMENT, None]) == fast.bind_one_by_one([1, "", MOMENT, None])
    for _ in range(16):
        fast.bind([1, None, MOMENT, None])
    plain = fast.bind_one_by_one([None, None, MOMENT, None])
    monkeypatch.setattr(Statement, "bind_one_by_one", None)
    assert fast.bind([None, None, MOMENT, None]) == plain
    assert fast.bind([1, None, MOMENT, 1])
    with pytest.raises(TypeError, match="not callable"):
        fast.bind([1, None, None, 1])


def test_wide_sets_are_not_compiled() -> None:
    wide = statement([23] * 129)
    for _ in range(10):
        assert wide.bind([1] * 129) == wide.bind_one_by_one([1] * 129)
    assert wide.pack is None
    packer = wide.packer(FOLLOWER)
    assert packer.fill() is fill_one_by_one
    assert filled(packer, wide, [[1] * 129] * 3, 1000) == [wide.bind([1] * 129) + FOLLOWER] * 3


def test_rows_of_other_kinds_are_checked() -> None:
    seen: list[object] = []

    def check(row: Any) -> tuple[object, ...]:
        seen.append(row)
        return tuple(row)

    for width in (1, 129):
        packer = Packer([TYPES.codec(23).encode] * width, Frame(b"h", b"t"))
        out: list[bytes] = []
        rows: list[Any] = [range(width), (1,) * width, {5: 0} if width == 1 else range(width)]

        def slow(values: Any, out: list[bytes], count: int) -> int:
            out.append(bytes(2 + 8 * len(values)))
            return len(out[-1])

        assert packer.fill()(rows, out, 10**6, slow, check, Noted())
        assert seen.pop(0) == rows[0]
        assert seen.pop(0) == rows[2]
        assert not seen
        assert len(b"".join(out)) == 3 * (2 + 8 * width)


def test_a_message_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled function leaves it to the plain way, which says so."""
    fast = compiled([25, 25])
    assert MAX_FRAME_LENGTH > 2**29
    from pgproto._session import _packing, _statement

    monkeypatch.setattr(_statement, "MAX_FRAME_LENGTH", 100)
    monkeypatch.setitem(_packing._NAMES, "longest", 100)
    _packing._built.cache_clear()
    fast = compiled([25, 25])
    assert fast.bind(["x" * 20, "y"])
    with pytest.raises(DataError, match="a message has at most 100"):
        fast.bind(["x" * 90, "y"])
    _packing._built.cache_clear()


@pytest.mark.parametrize("arguments", [(), (1,), (1, "x", 3), [1]])
def test_too_few_and_too_many(arguments: Sequence[object]) -> None:
    fast = compiled([23, 25])
    with pytest.raises(DataError, match=f"has 2 parameters; {len(arguments)} arguments") as caught:
        fast.bind(arguments)
    assert caught.value.__context__ is None


def test_statements_of_the_same_types_share_the_code_and_not_the_name() -> None:
    first, second = compiled([23, 25]), statement([23, 25], "another name")
    for _ in range(5):
        second.bind([1, "x"])
    assert m.decode(m.Role.FRONTEND, first.bind([1, "x"])) == m.Bind(
        "", "pgproto_1", (1, 1), (b"\0\0\0\1", b"x"), (1,)
    )
    assert m.decode(m.Role.FRONTEND, second.bind([1, "x"])) == m.Bind(
        "", "another name", (1, 1), (b"\0\0\0\1", b"x"), (1,)
    )
    assert first.pack.__code__ is second.pack.__code__  # type: ignore[union-attr]  # they are functions
