"""`PoolConfig`: the numbers that the pool machine goes by."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

from pgproto._dataclasses import dataclass
from pgproto._pool._actions import Hook
from pgproto._seconds import LONGEST
from pgproto.errors import ConfigError
from pgproto.types._codec import shortened

__all__ = ["PoolConfig", "Recycle", "check_sizes"]

Recycle: TypeAlias = Literal["fast", "verified", "clean"]
"""What is done to a session between two holders, besides a rollback where one is needed.

"fast": nothing, unless settings, LISTEN, temporary tables or advisory locks were left behind; then as
"clean". "verified": a round trip, so that only a session that answers is lent again. "clean": everything that
belongs to the session is dropped, apart from its prepared statements.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """A pool's settings. Durations are in seconds; None is no limit.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_size: int = 0
    """Sessions that are kept open, used or not."""
    max_size: int = 10
    """Sessions that exist at most, those that are being opened and closed included."""
    acquire_timeout: float | None = 30.0
    """How long a caller waits: for its turn, and for the session to be opened, checked and reset."""
    max_waiting: int | None = None
    """Callers that wait at most; one more is refused at once."""
    max_lifetime: float | None = 3600.0
    """A session older than this is replaced as soon as it is idle."""
    max_idle: float | None = 600.0
    """A session that nobody used for so long is closed, if more than `min_size` are open."""
    connect_timeout: float | None = 10.0
    """For opening a session, and for each hook."""
    multiplex: int = 1
    """One-shot requests that may share one session."""
    recycle: Recycle = "fast"
    reset: str | None = None
    """SQL that is run on each session that comes back, instead of what `recycle` says."""
    leak_after: float | None = None
    """A session that is out for longer is reported, once."""
    hooks: frozenset[Hook] = frozenset()
    """The hooks that the application has set."""

    check_after: float | None = 30.0
    """A session that was idle for longer is checked before it is lent."""
    check_timeout: float = 2.0
    cancel_timeout: float = 1.0
    """For transports: how long a session that comes back in the midst of something has to get ready."""
    reset_timeout: float = 5.0
    """For a reset, and for a polite goodbye."""
    max_connecting: int = 16
    """Sessions that are opened at the same time at most."""
    first_delay: float = 0.1
    """The longest pause after the first failure to connect; it doubles with each further one ..."""
    longest_delay: float = 1.5
    """... up to this."""
    jitter: float = 0.1
    """The part of `max_lifetime` and `max_idle` that chance may take off, so that sessions of one age do not
    all go at one time."""
    shed_target: float | None = None
    """If even the luckiest caller has waited longer than this, throughout `shed_interval`, the pool is
    overloaded: then callers who have waited twice as long are refused, so that the others get their turn in
    time."""
    shed_interval: float = 1.0

    def __post_init__(self) -> None:
        check_sizes(self.min_size, self.max_size)
        if self.recycle not in get_args(Recycle):
            raise ConfigError(f'recycle is {self.recycle!r}; it has to be "fast", "verified" or "clean"')
        if self.reset is not None and not isinstance(cast("object", self.reset), str):
            raise ConfigError(f"reset is {shortened(self.reset)}; it has to be SQL, or None")
        if self.reset is not None and "\0" in self.reset:
            raise ConfigError("the SQL in reset has a zero byte in it, which PostgreSQL cannot take")
        for name, least in (("multiplex", 1), ("max_connecting", 1), ("max_waiting", 0)):
            _check_count(name, getattr(self, name), least)
        for name in _DURATIONS:
            _check_duration(name, getattr(self, name))
        if not 0 <= self.jitter < 1:
            raise ConfigError(f"jitter is {self.jitter!r}; it has to be at least 0 and below 1")


_DURATIONS = (
    "acquire_timeout",
    "max_lifetime",
    "max_idle",
    "connect_timeout",
    "leak_after",
    "check_after",
    "check_timeout",
    "cancel_timeout",
    "reset_timeout",
    "first_delay",
    "longest_delay",
    "shed_target",
    "shed_interval",
)
_NEVER_NONE = ("check_timeout", "cancel_timeout", "reset_timeout", "first_delay", "longest_delay")
_MAY_BE_ZERO = ("acquire_timeout", "check_after", "max_idle")


def check_sizes(min_size: int, max_size: int) -> None:
    """Raise `ConfigError` unless both are possible, and fit together."""
    _check_count("min_size", min_size, 0)
    _check_count("max_size", max_size, 1)
    if min_size > max_size:
        raise ConfigError(f"min_size is {min_size}, more than max_size, which is {max_size}")


def _check_count(name: str, value: object, least: int) -> None:
    if value is None and name == "max_waiting":
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}; it has to be a whole number of at least {least}")


def _check_duration(name: str, value: object) -> None:
    required = name in _NEVER_NONE
    if value is None and not required:
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST
    if not fits or (value == 0 and name not in _MAY_BE_ZERO):
        raise ConfigError(
            f"{name} is {shortened(value)}; it has to be a positive number of seconds"
            f"{'' if required else ', or None for no limit'}"
        )
