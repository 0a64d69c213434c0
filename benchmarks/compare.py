"""pgproto beside other drivers, on one server in one run.

    python -m benchmarks.compare [LINE ...] [--quick] [--rounds N] [--seconds S] [--out FOLDER]

Every contender is a process of its own. They take turns: in each round each of them works once, for about as
long as the others, so that what else the machine does meanwhile hits all alike. A ratio is taken within each
round; what counts is the median of the rounds, and the quartiles say how far they are apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chart import draw
from benchmarks.contenders import measure
from benchmarks.imports import measure_import
from benchmarks.lines import LINES, Line
from benchmarks.machine import describe_machine
from benchmarks.ratios import magicstack, ratios_of
from benchmarks.tables import figure, place, tables

__all__ = ["main"]

_ROUNDS, _QUICK_ROUNDS = 11, 2
_SECONDS, _QUICK_SECONDS = 0.25, 0.04
_MOST_UNITS, _QUICK_MOST_UNITS = 10_000_000, 1_000_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 dev.py bench",
        epilog="All reach the server over TCP on 127.0.0.1, or with --unix-socket over its Unix socket. "
        "$PGPROTO_DSN names another server; a table called bench is made and dropped there.",
    )
    parser.add_argument("lines", nargs="*", help=f"which: {', '.join(line.name for line in LINES)}, import")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see whether it works")
    parser.add_argument("--rounds", type=int, help=f"how many rounds; {_ROUNDS} if nothing else is said")
    parser.add_argument("--seconds", type=float, help=f"how long a turn is, about; {_SECONDS} unless said")
    parser.add_argument("--out", type=Path, help="folder for results.json, tables.md and chart.svg")
    parser.add_argument("--document", type=Path, help="a document, for the tables that it has places for")
    return parser


def _result(line: Line, rounds: int, seconds: float, most_units: int) -> dict[str, Any]:
    contenders = measure(line, rounds, seconds, most_units)
    rates = {each.name: each.rates for each in contenders}
    return {
        "title": line.title,
        "unit": line.unit,
        "rates": rates,
        "processor": {each.name: each.processor for each in contenders},
        "memory": {each.name: each.memory for each in contenders},
        "ratios": ratios_of(line, rates),
    }


def _show(result: dict[str, Any]) -> None:
    print(f"\n{result['title']} ({result['unit']}: median, least and most; processor's µs for each; MiB)")
    for name, rates in result["rates"].items():
        spread = f"{figure(median(rates)):>12} {figure(min(rates)):>12} …{figure(max(rates)):>12}"
        cost = ""
        if name in result["processor"]:
            cost = f"{figure(median(result['processor'][name])):>12} {result['memory'][name]:>7,.0f}"
        print(f"  {name:38} {spread} {cost}")
    for ratio in result["ratios"]:
        low, high = ratio["quartiles"]
        wanted = "" if ratio["target"] is None else f", wanted {ratio['target']:.2f}"
        verdict = "   MISSED" if ratio["met"] is False else ""
        print(
            f"  {ratio['ours']} / {' or '.join(ratio['peers'])}: {ratio['median']:.2f} "
            f"({low:.2f} … {high:.2f}){wanted}{verdict}"
        )
    sys.stdout.flush()


def _write(report: dict[str, Any], folder: Path | None) -> None:
    """After each line, so that a run that is broken off has not been for nothing."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "tables.md").write_text(tables(report))
    (folder / "chart.svg").write_text(draw(report))


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write the results, the tables and the chart."""
    parser = _parser()
    options = parser.parse_args(arguments)
    known = {line.name for line in LINES} | {"import"}
    if unknown := set(options.lines) - known:
        parser.error(f"there is no line {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    seconds = options.seconds or (_QUICK_SECONDS if options.quick else _SECONDS)
    most_units = _QUICK_MOST_UNITS if options.quick else _MOST_UNITS
    started = time.monotonic()
    report: dict[str, Any] = {
        "machine": describe_machine(os.environ["PGPROTO_DSN"]),
        "conditions": {"rounds": rounds, "seconds": seconds, "load": [os.getloadavg()[0]]},
        "lines": {},
    }
    results: dict[str, Any] = report["lines"]
    print("\n".join(f"{name:12} {value}" for name, value in report["machine"].items()))
    for line in LINES:
        if options.lines and line.name not in options.lines:
            continue
        results[line.name] = _result(line, rounds, seconds, most_units)
        report["conditions"]["load"].append(os.getloadavg()[0])
        _show(results[line.name])
        _write(report, options.out)
    if (seven := magicstack(results)) is not None:
        results["magicstack"] = seven
        _show(seven)
    if not options.lines or "import" in options.lines:
        report["import"] = measure_import(rounds)
        took = report["import"]["median"]
        print(f"\nimport pgproto_asyncio, over asyncio and ssl: {took:.0f} ms, wanted 60 ms or less")
    _write(report, options.out)
    if options.document is not None:
        options.document.write_text(place(options.document.read_text(), report))
    print(f"\nin {(time.monotonic() - started) / 60:.1f} minutes", end="")
    print(f"; results.json, tables.md and chart.svg are in {options.out}" if options.out else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
