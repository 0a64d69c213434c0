"""Contenders of a line: processes that work when it is their turn."""

from __future__ import annotations

import os
import subprocess
import sys

import pgproto_blocking
from benchmarks.lines import Line

__all__ = ["Contender", "measure"]

_FIRST_CALLS = 20
"""A statement is introduced, and code is compiled: that is not what is measured."""
_LONG = 2
"""A call that takes so many times as long as a round is one by itself."""


class Contender:
    """A process that works when it is its turn."""

    def __init__(self, line: Line, name: str) -> None:
        self.name = name
        self.rates: list[float] = []
        self.processor: list[float] = []
        """Microseconds of this process for each unit, in each round."""
        self.memory = 0.0
        """The most that this process had, in MiB."""
        self._units = line.tasks[name].units * line.tasks[name].callers
        self._count = 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", line.name, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def work(self, count: int) -> tuple[float, float]:
        """Have each caller make so many calls; returns seconds by the clock and of the processor.

        Raises RuntimeError if the process has ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        try:
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"{self.name} has failed; see above") from None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} has failed; see above")
        seconds, processor, memory = map(float, answer.split())
        self.memory = memory
        return seconds, processor

    def warm_up(self, seconds: float) -> None:
        """Find out how many calls take about so long."""
        if self._introduce(_LONG * seconds) > _LONG * seconds:
            return
        fastest = 0.0
        while True:
            # What the machine does meanwhile makes calls slow, and none fast.
            fastest = max(fastest, self._count / max(self.work(self._count)[0], 1e-6))
            wanted = max(1, int(fastest * seconds))
            if self._count >= wanted / 2:
                self._count = wanted
                return
            self._count = min(8 * self._count, wanted)

    def _introduce(self, patience: float) -> float:
        """Make the first calls, while there are seconds left; returns how long the last of them took."""
        taken: list[float] = []
        while len(taken) < _FIRST_CALLS and sum(taken) < patience:
            taken.append(self.work(1)[0])
        return taken[-1]

    def take_turn(self) -> None:
        """Work for one round."""
        seconds, processor = self.work(self._count)
        done = self._count * self._units
        self.rates.append(done / seconds)
        self.processor.append(1e6 * processor / done)

    def end(self) -> None:
        """Let the process end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()


def measure(line: Line, rounds: int, seconds: float, most_units: int) -> list[Contender]:
    """Let all contenders take turns, so many rounds of about so many seconds each.

    Those of which a single call does more than `most_units` stay out.
    """
    names = [name for name, task in line.tasks.items() if task.units <= most_units]
    with pgproto_blocking.connect(os.environ["PGPROTO_DSN"]) as session:
        session.simple_query(f"{line.teardown}; {line.setup}")
        session.simple_query("vacuum analyze")
        contenders: list[Contender] = []
        try:
            contenders.extend(Contender(line, name) for name in names)
            for contender in contenders:
                session.simple_query(line.between)
                contender.warm_up(seconds)
            for number in range(min(rounds, line.rounds)):
                # Each begins a round once, so that nobody always has the same neighbour.
                shift = number % len(contenders)
                for contender in contenders[shift:] + contenders[:shift]:
                    session.simple_query(line.between)
                    contender.take_turn()
        finally:
            for contender in contenders:
                contender.end()
            session.simple_query(line.teardown)
    return contenders
