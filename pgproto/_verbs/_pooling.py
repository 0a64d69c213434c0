"""What the pools of all transports have in common: their parameters, and how they look at a session."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from pgproto._effects import Flow
from pgproto._establishing import establish, registry_of
from pgproto._pool import (
    CLEAN,
    Action,
    Closed,
    Grant,
    Hook,
    PoolConfig,
    PoolMachine,
    PoolStatus,
    Recycle,
    Refuse,
    Report,
    ReportLeak,
    RunHook,
    Slot,
    Step,
    Ticket,
    WakeAt,
)
from pgproto._pool._status import SessionStatus
from pgproto._session import SessionCore, has_to_settle
from pgproto.errors import ConfigError, LocalProtocolError
from pgproto.types import TypeRegistry

__all__ = [
    "HookFunction",
    "Member",
    "PoolBase",
    "interruption",
    "merged",
    "misuse",
    "report_on",
]

D = TypeVar("D")
"""A transport's driver."""
W = TypeVar("W")
"""What a caller waits for."""

HookFunction: TypeAlias = Callable[..., object] | None
_Line: TypeAlias = tuple[CodeType, int]

_STACK_DEPTH: Final = 30
_OWN_FRAMES: Final = 3
"""How far away the one is who asks for a session, as `PoolBase._note` sees it."""


class Member(Generic[D]):
    """One session of a pool."""

    __slots__ = ("core", "driver", "look")

    def __init__(self, driver: D, core: SessionCore, look: Callable[[], object]) -> None:
        self.driver = driver
        self.core = core
        self.look = look
        """Looks after the socket; what comes of it is the transport's own."""


def report_on(core: SessionCore, *, alone: bool = True) -> Report:
    """What a session is like, for the pool machine; if others have it too, what is under way is theirs."""
    machine = core.machine
    traces = machine.traces
    refusal, traces.refusal = traces.refusal, None
    if refusal is None and machine.failure is None and machine.is_idle and machine.status == "I":
        return Report(changed=True) if traces.changed else CLEAN
    return Report(
        status=machine.status,
        busy=has_to_settle(machine, alone=alone),
        changed=traces.changed,
        closed=machine.failure is not None,
        error=machine.failure or refusal,
    )


def interruption(step: Step[Any], error: BaseException | None = None) -> LocalProtocolError:
    """What those hear who wait for a step that was cancelled, or the like: the cancellation is not theirs."""
    what = f"the {step.hook.value} hook" if isinstance(step, RunHook) else "the upkeep of a session"
    by = "" if error is None else f" by {type(error).__name__}"
    failure = LocalProtocolError(f"{what} was interrupted{by}")
    failure.__cause__ = error
    return failure


def misuse(ticket: Ticket[Any, Any] | None) -> Exception:
    """What to raise when a session is used that is not in the caller's hands any more."""
    if ticket is not None:
        return ticket.misuse()
    return LocalProtocolError("this session was only lent to a hook, for as long as the hook ran")


class PoolBase(ABC, Generic[D, W]):
    """The parameters of a pool, and its machine.

    Durations are in seconds; None is no limit. All other keyword arguments are connection parameters.

    - ``min_size``, ``max_size``: how many sessions there are, always and at the most.
    - ``acquire_timeout``: how long a caller waits for a session. ``max_waiting``: how many callers do.
    - ``max_lifetime``, ``max_idle``: when a session is replaced because of its age, or closed because
      nobody uses it.
    - ``connect_timeout``: for opening a session, and for each hook.
    - ``cancel_timeout``: how long a session that comes back in the midst of something has to get ready; else
      it is closed.
    - ``multiplex``: how many one-shot requests may share one session.
    - ``recycle``: ``"fast"`` (roll back what is open), ``"verified"`` (and make sure that the server
      answers), or ``"clean"`` (and take back settings, locks and temporary tables). ``reset`` is SQL of your
      own instead.
    - ``before_connect(parameters)`` may change the parameters or return others; ``after_connect``,
      ``before_acquire``, ``after_release`` and ``before_close`` are called with a session.
    - ``types``: the codecs that all its sessions share.
    - ``leak_after``: a session that is out for longer is reported on the log, with where it was acquired.

    Raises:
        ConfigError: a value is out of its range.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        min_size: int = 0,
        max_size: int = 10,
        acquire_timeout: float | None = 30.0,
        max_waiting: int | None = None,
        max_lifetime: float | None = 3600.0,
        max_idle: float | None = 600.0,
        connect_timeout: float | None = 10.0,
        cancel_timeout: float = 1.0,
        multiplex: int = 1,
        recycle: Recycle = "fast",
        reset: str | None = None,
        before_connect: HookFunction = None,
        after_connect: HookFunction = None,
        before_acquire: HookFunction = None,
        after_release: HookFunction = None,
        before_close: HookFunction = None,
        leak_after: float | None = None,
        types: TypeRegistry | None = None,
        **params: object,
    ) -> None:
        hooks = {
            Hook.BEFORE_CONNECT: before_connect,
            Hook.AFTER_CONNECT: after_connect,
            Hook.BEFORE_ACQUIRE: before_acquire,
            Hook.AFTER_RELEASE: after_release,
            Hook.BEFORE_CLOSE: before_close,
        }
        if dsn is not None and not isinstance(cast("object", dsn), str):
            raise ConfigError(f"dsn is of type {type(dsn).__name__}; it has to be a string, or None")
        for hook, function in hooks.items():
            if function is not None and not callable(cast("object", function)):
                raise ConfigError(
                    f"{hook.value} is of type {type(function).__name__}; it has to be a function, or None"
                )
        self._hooks = {hook: function for hook, function in hooks.items() if function is not None}
        config = PoolConfig(
            min_size=min_size,
            max_size=max_size,
            acquire_timeout=acquire_timeout,
            max_waiting=max_waiting,
            max_lifetime=max_lifetime,
            max_idle=max_idle,
            connect_timeout=connect_timeout,
            cancel_timeout=cancel_timeout,
            multiplex=multiplex,
            recycle=recycle,
            reset=reset,
            leak_after=leak_after,
            hooks=frozenset(self._hooks),
        )
        self._dsn = dsn
        self._parameters = {"cancel_timeout": cancel_timeout, **params}
        self._cancel_timeout = cancel_timeout
        self._connect_timeout = connect_timeout
        self._reset_timeout = config.reset_timeout
        self._whole_stack = leak_after is not None
        self._types = registry_of(types)
        self._machine: PoolMachine[Member[D], W] = PoolMachine(config, self._random)
        self._due: deque[Action[Member[D], W]] = deque()
        self._carries_out = False
        self._prepare()

    def __repr__(self) -> str:
        status = self.status()
        state = "closed" if status.closed else f"{status.size} of {status.max_size} sessions"
        return f"<{type(self).__module__.split('.')[0]}.Pool with {state}>"

    # What a transport brings along.

    _now: Callable[[], float]
    """The time of the machine's and of all sessions' clocks."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the transport needs; the last part of making a pool."""

    @abstractmethod
    def _random(self) -> float:
        """A number from 0 up to 1."""

    @abstractmethod
    def _wake(self, waiter: W, error: BaseException | None) -> None:
        """Let a caller go on who waits; with this error, if there is one."""

    @abstractmethod
    def _set_timer(self, time: float) -> None:
        """Tell the machine when it is this time, instead of the time said before."""

    @abstractmethod
    def _begin(self, step: Step[Member[D]]) -> None:
        """Begin to carry out a step."""

    @abstractmethod
    def _all_closed(self) -> None:
        """No session is left, nor will there be another."""

    @abstractmethod
    def _log(self, message: str) -> None:
        """A warning for the log."""

    # What is known of the pool.

    def status(self) -> PoolStatus:
        """The pool at this instant: its sessions, who waits for them, and what was counted."""
        return self._machine.status(self._now())

    def sessions(self) -> list[SessionStatus]:
        """Each session at this instant, the oldest first."""
        return self._machine.sessions(self._now())

    # Carrying out what the machine has decided.

    def _carry_out(self, actions: list[Action[Member[D], W]]) -> None:
        """Do what the machine asks for, in its order.

        What follows from one thing comes after all that was asked for before: else the pool would be woken at
        a time that the machine has meanwhile replaced.
        """
        due = self._due
        due += actions
        if self._carries_out:
            return
        self._carries_out = True
        try:
            while due:
                self._carry_out_one(due.popleft())
        finally:
            self._carries_out = False

    def _carry_out_one(self, action: Action[Member[D], W]) -> None:
        match action:
            case Grant():
                if action.ticket.waiter is not None:
                    self._wake(action.ticket.waiter, None)
            case Refuse():
                if action.ticket.waiter is not None:
                    self._wake(action.ticket.waiter, action.error.with_traceback(None))
            case WakeAt():
                self._set_timer(action.time)
            case ReportLeak():
                self._log(
                    f"a session has been out of the pool for {action.held:.1f} s; "
                    f"it was acquired at {_describe(action.ticket.note)}"
                )
            case Closed():
                self._all_closed()
            case _:
                self._begin(action)

    def _note(self) -> object:
        """Where the caller's caller is, for the report of a leak; cheap unless reports are wanted."""
        frame = inspect.currentframe()
        for _ in range(_OWN_FRAMES):
            frame = None if frame is None else frame.f_back
        if frame is None:
            return None
        return _stack(frame) if self._whole_stack else (frame.f_code, frame.f_lineno)

    def _establish(self, slot: Slot[Member[D]]) -> Flow[SessionCore]:
        """The way to a session; its parameters, with their secrets, are in no variable of those who go it."""
        settings = self._parameters if slot.settings is None else cast("dict[str, object]", slot.settings)
        return establish(self._dsn, settings, self._now, self._types)

    def _settings(self, before_connect: Callable[..., object]) -> tuple[dict[str, object], object]:
        """The parameters for a hook to change, and what it returned."""
        settings: dict[str, object] = dict(self._parameters)
        return settings, before_connect(settings) if _takes_one(before_connect) else before_connect()


def merged(settings: dict[str, object], answer: object) -> dict[str, object]:
    """The parameters that a before_connect hook wants: those it was given, with those that it returned."""
    if isinstance(answer, Mapping):
        settings.update(cast("Mapping[str, object]", answer))
    elif answer is not None:
        raise TypeError(f"before_connect returned {type(answer).__name__}; a mapping of parameters, or None")
    return settings


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True  # a function without a signature, written in C
    return True


def _stack(frame: FrameType | None) -> list[_Line]:
    lines: list[_Line] = []
    while frame is not None and len(lines) < _STACK_DEPTH:
        lines.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return lines


def _describe(note: object) -> str:
    if not note:
        return "an unknown line"
    lines = cast("list[_Line]", note if isinstance(note, list) else [note])
    return ", called from\n  ".join([f"{code.co_filename}:{line}, in {code.co_name}" for code, line in lines])
