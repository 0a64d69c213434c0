"""What the machine of a running pool was told and what it asked for, and whether that is what was done.

    pool = Pool(dsn, ...)
    trace = record(pool)      # before it is opened
    ...
    trace.check()             # when it has closed

The same calls are made once more, to a fresh machine that has no transport: it has to ask for the same. And
the transport has to have done each thing that it was asked for, once and in this order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

from pgproto._pool import (
    Check,
    CheckedPoolMachine,
    Close,
    Closed,
    Grant,
    Hook,
    Open,
    PoolConfig,
    PoolMachine,
    Refuse,
    Report,
    ReportLeak,
    Reset,
    RunHook,
    Slot,
    SlotState,
    Step,
    Ticket,
    WakeAt,
)

__all__ = ["Trace", "record"]

_Kinds: TypeAlias = tuple[type[Any], ...]

_TICKET: Final[_Kinds] = (Ticket,)
_SLOT: Final[_Kinds] = (Slot,)
_SEVERAL: Final[_Kinds] = (list, tuple)
_WAKING: Final[_Kinds] = (Grant, Refuse)
_AT_ONCE: Final[_Kinds] = (*_WAKING, WakeAt, ReportLeak, Closed)
_STEPS: Final[_Kinds] = (Open, Check, Reset, RunHook, Close)
_LOOKS: Final = ("status", "sessions")
"""Methods of the machine that change nothing."""


@dataclass(frozen=True)
class Call:
    """One call of the machine, without any of its objects."""

    method: str
    arguments: tuple[object, ...]
    options: tuple[tuple[str, object], ...]
    outcome: object
    chances: tuple[float, ...]
    """What `random` came up with meanwhile."""
    sessions: tuple[int, ...]
    """The numbers of the slots that the transport had put a session into by then."""

    def __str__(self) -> str:
        given = [*map(str, self.arguments), *[f"{name}={value}" for name, value in self.options]]
        return f"{self.method}({', '.join(given)}) -> {self.outcome}"


class _Names:
    """Names for tickets, slots and steps: the order in which they came up, which is the same in a replay."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._things: list[object] = []
        self._slots: dict[str, Slot[Any]] = {}

    def name(self, value: Any) -> object:
        kind = type(value).__name__
        if _is(value, _TICKET):
            return (f"ticket {self._number(value)}", value.kind.value, value.state.value)
        if _is(value, _SLOT):
            self._slots[f"slot {value.number}"] = value
            return f"slot {value.number}"
        if _is(value, _SEVERAL):
            return tuple([self.name(each) for each in value])
        if _is(value, _AT_ONCE):
            return (kind, *[self._plain(each) for each in _parts(value)])
        if _is(value, _STEPS):
            return (f"step {self._number(value)}", kind, *[self._plain(each) for each in _parts(value)])
        return value

    def _plain(self, value: object) -> object:
        # An error is known by what it says: a replay makes its own.
        return repr(value) if isinstance(value, BaseException) else self.name(value)

    def _number(self, thing: object) -> int:
        if thing not in self._numbers:
            self._numbers[thing] = len(self._things)
            self._things.append(thing)
        return self._numbers[thing]

    def thing(self, name: Any) -> object:
        """What goes by the name in this world."""
        if _is(name, _SEVERAL) and str(name[0]).startswith(("ticket ", "step ")):
            return self._things[int(name[0].split()[1])]
        return self._slots.get(name, name) if isinstance(name, str) else name


def _is(value: object, kinds: _Kinds) -> bool:
    return isinstance(value, kinds)


def _parts(value: Any) -> list[object]:
    return [getattr(value, each.name) for each in fields(value)]


class _Recorder:
    """Stands in the place of a pool's machine, and writes down what goes in and out."""

    def __init__(self, machine: PoolMachine[Any, Any], trace: Trace) -> None:
        self._machine = machine
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._machine, name)
        if not callable(value) or name in _LOOKS or name.startswith("_"):
            return value

        def call(*arguments: object, **options: object) -> Any:
            return self._trace.note(self._machine, name, arguments, options)

        return call


@dataclass
class Trace:
    """The life of one pool, as its machine saw it."""

    config: PoolConfig
    calls: list[Call] = field(default_factory=list[Call])
    asked: list[object] = field(default_factory=list[object])
    """What the machine asked for."""
    done: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    """What the transport did; the same things, if all is well."""
    steps: list[Step[Any]] = field(default_factory=list[Step[Any]])
    """What takes time."""
    finished: Counter[Step[Any]] = field(default_factory=Counter[Step[Any]])
    """How often each step was said to be done."""
    failed: set[Step[Any]] = field(default_factory=set[Step[Any]])
    hooks: Counter[Hook] = field(default_factory=Counter[Hook])
    """How often each hook was called."""
    problems: list[str] = field(default_factory=list[str])
    chances: list[float] = field(default_factory=list[float])
    is_guarded: Callable[[], bool] = lambda: True
    """Whether nobody else can call the machine meanwhile."""
    _names: _Names = field(default_factory=_Names)

    # While the pool lives.

    def note(
        self,
        machine: PoolMachine[Any, Any],
        method: str,
        arguments: tuple[object, ...],
        options: dict[str, object],
    ) -> Any:
        """Make the call, and write it down."""
        if not self.is_guarded():
            self.problems.append(f"{method} was called without the guard")
        names = self._names
        sessions = tuple([slot.number for slot in machine._slots if slot.session is not None])
        given = tuple([names.name(each) for each in arguments])
        named = tuple([(name, names.name(value)) for name, value in options.items()])
        if method == "finished":
            self._note_end(*arguments, **options)  # type: ignore[arg-type]
        self.chances.clear()
        result: Any = None
        outcome: object = None
        try:
            result = getattr(machine, method)(*arguments, **options)
            outcome = names.name(result)
        except Exception as error:
            outcome = repr(error)
            raise
        finally:
            self.calls.append(Call(method, given, named, outcome, tuple(self.chances), sessions))
        if method == "actions":
            self.asked += map(_deed, result)
            self.steps += [each for each in result if hasattr(each, "slot")]
        return result

    def _note_end(
        self,
        step: Step[Any],
        now: float,
        error: BaseException | None = None,
        report: Report | None = None,
    ) -> None:
        del now, report
        self.finished[step] += 1
        if error is not None:
            self.failed.add(step)
        member = step.slot.session
        if isinstance(step, Close) and member is not None and _has_socket(member.driver):
            self.problems.append(f"slot {step.slot.number} was closed, and its socket was not")

    # Afterwards.

    def check(self) -> None:
        """Everything that has to be true of the life of a pool that has closed."""
        assert not self.problems, self.problems
        self._check_deeds()
        self._check_steps()
        self._check_hooks()
        self.replay()

    def _check_deeds(self) -> None:
        asked = [each for each in self.asked if each is not None]
        for place, (wanted, deed) in enumerate(zip(asked, self.done, strict=False)):
            assert deed == wanted, f"deed {place}: {deed} was done where {wanted} was asked for"
        assert len(self.done) == len(asked)
        woken = Counter([each[1] for each in self.done if each[0] == "wake"])
        assert max(woken.values(), default=1) == 1, "somebody was woken twice"

    def _check_steps(self) -> None:
        """Each step came to its end once, or was overtaken; and of each slot nothing is left."""
        by_slot: dict[Slot[Any], list[Step[Any]]] = {}
        for step in self.steps:
            by_slot.setdefault(step.slot, []).append(step)
        assert self.finished.keys() <= set(self.steps), "something was finished that nobody asked for"
        for slot, steps in by_slot.items():
            *earlier, last = steps
            assert slot.state is SlotState.GONE, f"{slot} is left"
            assert isinstance(last, Close) or last in self.failed, f"{slot} ended with {last}"
            assert self.finished[last] == 1, f"{last} was finished {self.finished[last]} times"
            forced = isinstance(last, Close) and not last.graceful
            for step in earlier:
                overtaken = forced and step is earlier[-1]
                assert self.finished[step] <= 1, f"{step} was finished twice"
                assert self.finished[step] == 1 or overtaken, f"{step} was never finished"

    def _check_hooks(self) -> None:
        for hook in Hook:
            steps = [step for step in self.steps if isinstance(step, RunHook) and step.hook is hook]
            succeeded = [step for step in steps if self.finished[step] and step not in self.failed]
            assert len(succeeded) <= self.hooks[hook] <= len(steps), f"{hook} ran {self.hooks[hook]} times"

    def count(self, kind: type[Step[Any]]) -> int:
        """How often a step of that kind was asked for."""
        return sum(isinstance(step, kind) for step in self.steps)

    def replay(self) -> None:
        """Tell a fresh machine the same; it asks for the same, and never contradicts itself."""
        chances: deque[float] = deque()
        machine: PoolMachine[Any, Any] = CheckedPoolMachine(self.config, chances.popleft)
        names = _Names()
        for place, call in enumerate(self.calls):
            chances.extend(call.chances)
            for slot in machine._slots:
                slot.session = slot if slot.number in call.sessions else None
            arguments = [names.thing(each) for each in call.arguments]
            options = {name: names.thing(each) for name, each in call.options}
            try:
                outcome = names.name(getattr(machine, call.method)(*arguments, **options))
            except Exception as error:
                outcome = repr(error)
            assert outcome == call.outcome, f"call {place}, {call}: now it is {outcome}"
            assert not chances, f"call {place}, {call}: chance was not asked as often"


def _deed(action: Any) -> tuple[object, ...] | None:
    """What a transport does when it carries out the action; None if there is nothing to do."""
    if _is(action, _WAKING):
        waiter: object = action.ticket.waiter
        return None if waiter is None else ("wake", waiter, getattr(action, "error", None))
    if _is(action, _STEPS):
        return ("begin", action)
    if isinstance(action, WakeAt):
        return ("set timer", action.time)
    return ("all closed",) if isinstance(action, Closed) else ("log",)


def _has_socket(driver: Any) -> bool:
    wire = getattr(driver, "_wire", None)
    if wire is None:
        return driver._transport is not None and not driver._transport.is_closing()
    if not hasattr(wire, "is_open"):
        return wire.stream is not None
    # Where a thread waits for it, it was shut down, and that thread closes it as it wakes up.
    return bool(wire.is_open and driver._at_wheel is None)


def record(pool: Any) -> Trace:
    """From now on, write down what happens between this pool and its machine; it must not be open yet."""
    config = pool._machine._config
    trace = Trace(config)

    def random() -> float:
        trace.chances.append(pool._random())
        return trace.chances[-1]

    def watch(name: str, deed: str, *, say_which: bool = True) -> None:
        method = getattr(pool, name)

        def act(*arguments: object) -> object:
            trace.done.append((deed, *arguments) if say_which else (deed,))
            return method(*arguments)

        setattr(pool, name, act)

    watch("_wake", "wake")
    watch("_set_timer", "set timer")
    watch("_log", "log", say_which=False)
    watch("_all_closed", "all closed")
    watch("_begin", "begin")
    for hook, function in pool._hooks.items():
        pool._hooks[hook] = _counted(trace, hook, function)
    if hasattr(pool, "_guard"):
        trace.is_guarded = pool._guard.locked
    pool._machine = _Recorder(PoolMachine(config, random), trace)
    return trace


def _counted(trace: Trace, hook: Hook, function: Callable[..., object]) -> Callable[..., object]:
    if hook is Hook.BEFORE_CONNECT:

        def call_with_parameters(parameters: dict[str, object]) -> object:
            trace.hooks[hook] += 1
            return function(parameters)

        return call_with_parameters

    def call(session: object) -> object:
        trace.hooks[hook] += 1
        return function(session)

    return call
