"""pgproto beside other drivers, on one server in one run.

    python -m benchmarks.compare [LINE ...] [--quick] [--rounds N] [--out FOLDER]

Every contender is a process of its own. They take turns: in each round each of them works once, for about as
long as the others, so that what else the machine does meanwhile hits all alike. A ratio is taken within each
round; what counts is the median of the rounds, and the quartiles say how far they are apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pgproto_blocking
from benchmarks.chart import draw
from benchmarks.imports import measure_import
from benchmarks.lines import LINES, Line, Target
from benchmarks.machine import describe_machine

__all__ = ["main"]

_FIRST_CALLS = 3
"""A statement is introduced, and code is compiled: that is not what is measured."""


class Contender:
    """A process that works when it is its turn."""

    def __init__(self, line: Line, name: str) -> None:
        self.name = name
        self.units = line.tasks[name].units
        self.rates: list[float] = []
        self.processor: list[float] = []
        """Microseconds of this process for each unit, in each round."""
        self._count = 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", line.name, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def work(self, count: int) -> tuple[float, float]:
        """Make so many calls; returns seconds by the clock and of the processor.

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
        seconds, processor = answer.split()
        return float(seconds), float(processor)

    def warm_up(self, seconds: float) -> None:
        """Find out how many calls take about so long."""
        for _ in range(_FIRST_CALLS):
            self.work(1)
        while (taken := self.work(self._count)[0]) < seconds / 2:
            self._count = max(self._count + 1, int(self._count * min(8.0, 0.8 * seconds / max(taken, 1e-6))))

    def take_turn(self) -> None:
        """Work for one round."""
        seconds, processor = self.work(self._count)
        self.rates.append(self._count * self.units / seconds)
        self.processor.append(1e6 * processor / (self._count * self.units))

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


def measure(line: Line, rounds: int, seconds: float) -> list[Contender]:
    """Let all contenders take turns, so many rounds of about so many seconds each."""
    dsn = os.environ["PGPROTO_DSN"]
    with pgproto_blocking.connect(dsn) as session:
        session.simple_query(f"{line.teardown}; {line.setup}")
        session.simple_query("vacuum analyze")
        contenders: list[Contender] = []
        try:
            contenders.extend(Contender(line, name) for name in line.tasks)
            for contender in contenders:
                contender.warm_up(seconds)
            for number in range(rounds):
                # Each begins a round once, so that nobody always has the same neighbour.
                shift = number % len(contenders)
                for contender in contenders[shift:] + contenders[:shift]:
                    contender.take_turn()
        finally:
            for contender in contenders:
                contender.end()
            session.simple_query(line.teardown)
    return contenders


def _ratio(target: Target, rates: dict[str, list[float]]) -> dict[str, Any]:
    """How the best of ours did beside the best of the peers."""
    ours = max(target.ours, key=lambda name: statistics.median(rates[name]))
    ratios = [
        mine / max(rates[peer][number] for peer in target.peers) for number, mine in enumerate(rates[ours])
    ]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    )
    return {
        "ours": ours,
        "peers": list(target.peers),
        "median": middle,
        "quartiles": [low, high],
        "target": target.least,
        "met": middle >= target.least,
    }


def _show(line: Line, result: dict[str, Any]) -> None:
    print(f"\n{line.title} ({line.unit}: median, least and most; microseconds of the process for each)")
    for name, rates in result["rates"].items():
        spread = f"{statistics.median(rates):>12,.0f} {min(rates):>12,.0f} …{max(rates):>12,.0f}"
        print(f"  {name:38} {spread} {statistics.median(result['processor'][name]):>12,.1f}")
    for ratio in result["ratios"]:
        _show_ratio(ratio)


def _show_ratio(ratio: dict[str, Any]) -> None:
    low, high = ratio["quartiles"]
    verdict = "" if ratio["met"] else "   MISSED"
    print(
        f"  {ratio['ours']} / {' or '.join(ratio['peers'])}: {ratio['median']:.2f} "
        f"({low:.2f} … {high:.2f}), wanted {ratio['target']:.2f}{verdict}"
    )


def _geometric(results: dict[str, Any]) -> dict[str, Any] | None:
    """The seven queries as one figure, if all of them were measured."""
    seven = [results[name]["ratios"][0] for name in results if name.startswith("magicstack-")]
    if len(seven) < 7:
        return None
    mean = [statistics.geometric_mean([each["median"] for each in seven])]
    ends = [statistics.geometric_mean([each["quartiles"][end] for each in seven]) for end in (0, 1)]
    ratio = {**seven[0], "median": mean[0], "quartiles": ends, "met": mean[0] >= seven[0]["target"]}
    return {"title": "MagicStack's seven queries, geometric mean", "rates": {}, "ratios": [ratio]}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write the results and the chart."""
    parser = argparse.ArgumentParser(prog="python3 dev.py bench")
    parser.add_argument("lines", nargs="*", help=f"which: {', '.join(line.name for line in LINES)}, import")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see whether it works")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds; 15 if nothing else is said")
    parser.add_argument("--out", type=Path, help="folder for results.json and chart.svg")
    options = parser.parse_args(arguments)
    known = {line.name for line in LINES} | {"import"}
    if unknown := set(options.lines) - known:
        parser.error(f"there is no line {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    rounds = options.rounds or (2 if options.quick else 15)
    seconds = 0.02 if options.quick else 0.25
    report: dict[str, Any] = {"machine": describe_machine(os.environ["PGPROTO_DSN"]), "lines": {}}
    print("\n".join(f"{name:10} {value}" for name, value in report["machine"].items()))
    results: dict[str, Any] = report["lines"]
    for line in LINES:
        if options.lines and line.name not in options.lines:
            continue
        # Those rounds last long enough by themselves.
        contenders = measure(line, min(rounds, 5) if line.name in ("stream", "large") else rounds, seconds)
        rates = {each.name: each.rates for each in contenders}
        results[line.name] = {
            "title": line.title,
            "unit": line.unit,
            "rates": rates,
            "processor": {each.name: each.processor for each in contenders},
            "ratios": [_ratio(target, rates) for target in line.targets],
        }
        _show(line, results[line.name])
    if (seven := _geometric(results)) is not None:
        results["magicstack"] = seven
        print(f"\n{seven['title']}")
        _show_ratio(seven["ratios"][0])
    if not options.lines or "import" in options.lines:
        report["import"] = measure_import(rounds)
        took = report["import"]["median"]
        print(f"\nimport pgproto_asyncio, over asyncio and ssl: {took:.0f} ms, wanted 60 ms or less")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "results.json").write_text(json.dumps(report, indent=1) + "\n")
        (options.out / "chart.svg").write_text(draw(report))
        print(f"\nwritten: results.json and chart.svg in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
