"""The parts of the pool machine, each by itself."""

from __future__ import annotations

import pickle
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgproto._connecting._target import ChangedKind
from pgproto._pool import Hook, PoolConfig, Ticket, TicketKind, TicketState
from pgproto._pool._faults import Blame, Fate, again, blame, describe, fate
from pgproto._pool._opener import Opener
from pgproto._pool._queue import Queue
from pgproto._pool._shedder import Shedder
from pgproto._pool._status import bucket, folded
from pgproto.errors import (
    AdminShutdown,
    AuthenticationError,
    CannotConnectNow,
    CommitUnknown,
    ConfigError,
    ConnectionFailure,
    ConnectionLost,
    CrashShutdown,
    DatabaseDropped,
    DataError,
    Error,
    IdleInTransactionSessionTimeout,
    IdleSessionTimeout,
    InvalidAuthorizationSpecification,
    InvalidCatalogName,
    InvalidPassword,
    LocalProtocolError,
    OutOfMemory,
    PoolTimeout,
    PostgresError,
    QueryCanceled,
    QueryTimeout,
    ReadOnlySqlTransaction,
    RemoteProtocolError,
    SerializationFailure,
    TLSError,
    TooManyConnections,
    TransactionRolledBack,
    UniqueViolation,
)
from tests.core.pool.helpers import pool_with, served


def fatal(error: PostgresError) -> PostgresError:
    error.severity = "FATAL"
    return error


def caused(error: BaseException) -> ConnectionLost:
    lost = ConnectionLost()
    lost.__cause__ = error
    return lost


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, Fate.KEEP),
        (UniqueViolation("x"), Fate.KEEP),
        (SerializationFailure("x"), Fate.KEEP),
        (QueryCanceled("x"), Fate.KEEP),
        (OutOfMemory("x"), Fate.KEEP),
        (fatal(OutOfMemory("x")), Fate.DESTROY),
        (PostgresError("no sqlstate"), Fate.KEEP),
        (DataError("x"), Fate.KEEP),
        (LocalProtocolError("x"), Fate.KEEP),
        (TransactionRolledBack("x"), Fate.KEEP),
        (KeyError("the caller's own"), Fate.KEEP),
        (KeyboardInterrupt(), Fate.KEEP),
        (RemoteProtocolError("x"), Fate.DESTROY),
        (TLSError("x"), Fate.DESTROY),
        (QueryTimeout("x"), Fate.DESTROY),
        (TimeoutError("x"), Fate.DESTROY),
        (ConnectionResetError("x"), Fate.DESTROY),
        (ConnectionLost(), Fate.DESTROY),
        (CommitUnknown(), Fate.DESTROY),
        (ConnectionFailure("x"), Fate.DESTROY),
        (DatabaseDropped("x"), Fate.DESTROY),
        (IdleSessionTimeout("x"), Fate.DESTROY),
        (IdleInTransactionSessionTimeout("x"), Fate.DESTROY),
        (AdminShutdown("x"), Fate.RETIRE_GENERATION),
        (CrashShutdown("x"), Fate.RETIRE_GENERATION),
        (CannotConnectNow("x"), Fate.RETIRE_GENERATION),
        (ReadOnlySqlTransaction("x"), Fate.RETIRE_GENERATION),
        (ChangedKind("x"), Fate.RETIRE_GENERATION),
        (caused(AdminShutdown("x")), Fate.RETIRE_GENERATION),
        (caused(UniqueViolation("x")), Fate.DESTROY),
    ],
    ids=repr,
)
def test_what_an_error_means_for_a_session(error: BaseException | None, expected: Fate) -> None:
    assert fate(error) is expected


@pytest.mark.parametrize(
    ("error", "in_hook", "expected"),
    [
        (InvalidPassword("x"), False, Blame.SETTINGS),
        (InvalidAuthorizationSpecification("x"), False, Blame.SETTINGS),
        (InvalidCatalogName("x"), False, Blame.SETTINGS),
        (AuthenticationError("x"), False, Blame.SETTINGS),
        (ConfigError("x"), False, Blame.SETTINGS),
        (TLSError("x"), False, Blame.SETTINGS),
        (TooManyConnections("x"), False, Blame.CIRCUMSTANCES),
        (CannotConnectNow("x"), False, Blame.CIRCUMSTANCES),
        (ConnectionLost(), False, Blame.CIRCUMSTANCES),
        (ConnectionRefusedError("x"), False, Blame.CIRCUMSTANCES),
        (RemoteProtocolError("x"), False, Blame.CIRCUMSTANCES),
        (ZeroDivisionError("x"), True, Blame.HOOK),
        (UniqueViolation("x"), True, Blame.HOOK),
        (InvalidPassword("x"), True, Blame.HOOK),
        (ConnectionRefusedError("x"), True, Blame.CIRCUMSTANCES),
        (ConnectionLost(), True, Blame.CIRCUMSTANCES),
        (AdminShutdown("x"), True, Blame.CIRCUMSTANCES),
    ],
    ids=repr,
)
def test_whose_fault_it_is_that_no_session_opened(
    error: BaseException, in_hook: bool, expected: Blame
) -> None:
    assert blame(error, in_hook=in_hook) is expected


def test_an_error_can_be_raised_again() -> None:
    lost = caused(InvalidPassword("no"))
    twin = again(lost)
    assert twin is not lost
    assert type(twin) is ConnectionLost
    assert twin.__cause__ is lost.__cause__
    foreign = OSError("refused")
    assert again(foreign) is foreign


def test_descriptions_quote_only_what_is_known_to_be_harmless() -> None:
    assert describe(ValueError("password=hunter2")) == "ValueError"
    assert (
        describe(OSError(111, "Connection refused"))
        == "ConnectionRefusedError: [Errno 111] Connection refused"
    )
    assert describe(AuthenticationError("the\nserver  lies")) == "AuthenticationError: the server lies"
    assert describe(TimeoutError()) == "TimeoutError"
    assert describe(Error("x" * 1000)) == "Error: " + "x" * 300 + "..."


@given(chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
def test_pauses_grow_and_stay_within_bounds(chances: list[float]) -> None:
    source = iter(chances)
    opener = Opener(8, 0.1, 1.5, lambda: next(source))
    for number, _ in enumerate(chances):
        assert opener.may_begin(opener.retry_at, 0)
        run = opener.begin()
        assert number == 0 or not opener.may_begin(inf, 1)  # a single prober
        opener.failed(run, 100.0)
        pause = opener.retry_at - 100.0
        assert 0.05 - 1e-9 <= pause <= min(1.5, 0.1 * 2**number) + 1e-9
        assert not opener.may_begin(opener.retry_at - 1e-6, 0)
    assert opener.failures == len(chances)


def test_thousands_of_failures_do_not_overflow() -> None:
    opener = Opener(1, 0.1, 1.5, lambda: 0.0)
    for _ in range(5000):
        opener.failed(opener.begin(), 0.0)
    assert opener.retry_at == pytest.approx(0.05)


def test_a_pause_may_be_shorter_than_half_the_first() -> None:
    opener = Opener(1, 1.0, 0.2, lambda: 0.9)
    opener.failed(opener.begin(), 0.0)
    assert opener.retry_at == 0.5


def test_attempts_of_an_older_run_do_not_count() -> None:
    opener = Opener(4, 0.1, 1.5, lambda: 0.0)
    runs = [opener.begin() for _ in range(4)]
    assert not opener.may_begin(0.0, 0)
    opener.failed(runs[0], 0.0)
    opener.failed(runs[1], 0.0)
    opener.succeeded(runs[2])
    opener.gave_up(runs[3])
    assert (opener.failures, opener.limit, opener.under_way) == (1, 1, 0)


def test_giving_up_an_attempt_makes_room_for_another() -> None:
    opener = Opener(1, 0.1, 1.5, lambda: 0.0)
    run = opener.begin()
    assert not opener.may_begin(0.0, 0)
    opener.gave_up(run)
    assert opener.may_begin(0.0, 0)
    assert not opener.may_begin(0.0, 1)


def test_the_queue_forgets_those_who_left() -> None:
    queue: Queue[object, object] = Queue()
    stays: Ticket[object, object] = Ticket(TicketKind.EXCLUSIVE, 0.0, 10.0)
    queue.join(stays)
    for _ in range(10_000):
        leaves: Ticket[object, object] = Ticket(TicketKind.EXCLUSIVE, 0.0, 10.0)
        queue.join(leaves)
        leaves.state = TicketState.ENDED
        queue.leave(leaves)
    assert len(queue._deadlines) < 100
    assert queue.overdue(10.0) == [stays]


def test_the_queue_is_never_asked_twice_for_who_is_overdue() -> None:
    queue: Queue[object, object] = Queue()
    tickets: list[Ticket[object, object]] = [
        Ticket(TicketKind.EXCLUSIVE, 0.0, seconds) for seconds in (3.0, 1.0, 2.0, inf)
    ]
    for one in tickets:
        queue.join(one)
    assert queue.next_deadline() == 1.0
    assert queue.overdue(0.5) == []
    assert queue.overdue(2.0) == [tickets[1], tickets[2]]
    assert queue.overdue(2.0) == []
    tickets[0].state = TicketState.ENDED
    assert queue.next_deadline() == inf


def test_who_comes_back_takes_the_place_of_its_arrival() -> None:
    queue: Queue[object, object] = Queue()
    tickets: list[Ticket[object, object]] = [
        Ticket(TicketKind.EXCLUSIVE, arrival, inf) for arrival in (1.0, 2.0, 3.0, 4.0)
    ]
    queue.join(tickets[0])
    queue.join(tickets[3])
    queue.rejoin(tickets[2])
    queue.rejoin(tickets[1])
    assert list(queue.order) == tickets


def test_an_overloaded_pool_is_one_where_even_the_luckiest_waits() -> None:
    shedder = Shedder(target=0.1, interval=1.0)
    for tenth in range(21):
        shedder.observe(0.3, tenth / 10)
    assert shedder.is_too_late(0.21)
    assert not shedder.is_too_late(0.2)
    shedder.observe(0.0, 2.2)  # one free session, and the load is bearable
    shedder.observe(0.3, 3.1)
    assert not shedder.is_too_late(10.0)


def test_a_wait_long_ago_is_no_overload() -> None:
    shedder = Shedder(target=0.1, interval=1.0)
    shedder.observe(5.0, 0.0)
    shedder.observe(5.0, 100.0)
    assert not shedder.is_too_late(10.0)
    shedder.observe(5.0, 101.5)
    assert shedder.is_too_late(10.0)


def test_an_overloaded_pool_refuses_those_who_waited_too_long() -> None:
    world = pool_with(1, PoolConfig(max_size=1, shed_target=0.1, shed_interval=1.0, acquire_timeout=60.0))
    holder = world.acquire()
    for _ in range(40):
        waiter = world.acquire()
        world.pass_time(0.15)
        world.release(holder)
        holder = waiter
        assert served(holder)
    late = [world.acquire() for _ in range(3)]
    world.pass_time(0.5)
    fresh = world.acquire()
    assert [turn in world.waiting for turn in late] == [False] * 3
    assert all("the pool is overloaded: size 1" in str(error) for error in world.refusals)
    assert all(isinstance(error, PoolTimeout) for error in world.refusals)
    world.release(holder)
    assert served(fresh)
    world.check()
    assert world.machine.status(world.now).requests_shed == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_size": -1}, "min_size is -1; it has to be a whole number of at least 0"),
        ({"max_size": 0}, "max_size is 0; it has to be a whole number of at least 1"),
        ({"max_size": True}, "max_size is True"),
        ({"max_size": 2.5}, "max_size is 2.5"),
        ({"min_size": 11}, "min_size is 11, more than max_size, which is 10"),
        ({"max_waiting": -1}, "max_waiting is -1; it has to be a whole number of at least 0"),
        ({"multiplex": 0}, "multiplex is 0; it has to be a whole number of at least 1"),
        ({"multiplex": None}, "multiplex is None"),
        ({"max_connecting": 0}, "max_connecting is 0"),
        ({"recycle": "slow"}, 'recycle is \'slow\'; it has to be "fast", "verified" or "clean"'),
        ({"reset": "a\0b"}, "reset has a zero byte"),
        ({"acquire_timeout": -1.0}, "acquire_timeout is -1.0; it has to be a positive number of seconds"),
        ({"max_lifetime": 0}, "max_lifetime is 0"),
        ({"connect_timeout": nan}, "connect_timeout is nan"),
        ({"leak_after": inf}, "leak_after is inf"),
        ({"check_timeout": "5"}, "check_timeout is '5'"),
        ({"reset_timeout": False}, "reset_timeout is False"),
        ({"reset": 5}, "reset is 5; it has to be SQL, or None"),
        ({"reset": b"select 1"}, "reset is b'select 1'"),
        ({"cancel_timeout": "x"}, "cancel_timeout is 'x'; it has to be a positive number of seconds"),
        ({"cancel_timeout": None}, "cancel_timeout is None"),
        ({"jitter": 1.0}, "jitter is 1.0; it has to be at least 0 and below 1"),
        ({"jitter": -0.1}, "jitter is -0.1"),
    ],
    ids=repr,
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    make: Any = PoolConfig
    with pytest.raises(ConfigError) as raised:
        make(**settings)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"acquire_timeout": 0},
        {"max_idle": 0.0},
        {"check_after": 0},
        {"max_waiting": 0},
        {"acquire_timeout": None, "max_lifetime": None, "max_idle": None, "connect_timeout": None},
        {"hooks": frozenset(Hook)},
    ],
    # Not repr: that of a set differs from process to process.
    ids=lambda settings: "-".join(settings),
)
def test_settings_at_their_limits(settings: dict[str, object]) -> None:
    make: Any = PoolConfig
    config = make(**settings)
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("seconds", "place"),
    [
        (0.0, 0),
        (0.0009, 0),
        (0.001, 1),
        (0.0019, 1),
        (0.002, 2),
        (1.0, 10),
        (1.024, 11),
        (2.0**19 / 1000 - 1, 19),
        (2.0**19 / 1000, 20),
        (1e9, 20),
    ],
)
def test_durations_fall_into_their_buckets(seconds: float, place: int) -> None:
    histogram = [0] * 64
    histogram[bucket(seconds)] += 1
    shown = folded(histogram)
    assert (len(shown), sum(shown), shown[place]) == (21, 1, 1)
