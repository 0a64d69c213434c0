"""Results as tables in Markdown, and into the documents that have a place for them.

    python -m benchmarks.tables RESULTS.json [DOCUMENT.md ...]

prints the tables, or writes each into the documents where they have the lines ``<!-- results: NAME -->`` and
``<!-- end of results -->``. Figures in documents are made in this way and not by hand.
"""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["figure", "main", "place", "tables"]

_PLACE = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
_TIMES = "\u00d7"
_DRIVERS = ("pgproto", "asyncpg", "psycopg (C)", "pg8000", "a bare socket")


def tables(report: dict[str, Any]) -> str:
    """All the tables, one after the other."""
    return "\n\n".join(filter(None, [make(report) for make in _TABLES.values()])) + "\n"


def place(document: str, report: dict[str, Any]) -> str:
    """The document with the tables where it has a place for them."""
    return _PLACE.sub(lambda found: found[1] + "\n" + _TABLES[found[2]](report) + "\n\n" + found[3], document)


def figure(number: float) -> str:
    """A number with three digits at least, and no more after the point than that takes."""
    if number == 0:
        return "0"
    return f"{number:,.{min(4, max(0, 2 - math.floor(math.log10(abs(number)))))}f}"


def _table(head: str, rows: Iterator[Sequence[str]]) -> str:
    """A table, or nothing where it would have no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {head} |", "|---" * (head.count("|") + 1) + "|", *lines]) if lines else ""


def _machine(report: dict[str, Any]) -> str:
    machine, conditions = report["machine"], report["conditions"]
    loads = conditions["load"]
    text = (
        f"The machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"{machine['python']}, {machine['server']} by {machine['connection']}; "
        + ", ".join(f"{name} {version}" for name, version in machine.items() if name not in _NOT_PACKAGES)
        + f". Rounds: {conditions['rounds']}, fewer of what takes long; a turn takes about "
        f"{conditions['seconds']} seconds. The machine's load, this run included, was {min(loads):.1f} to "
        f"{max(loads):.1f}."
    )
    return textwrap.fill(text, 115, break_long_words=False, break_on_hyphens=False)


_NOT_PACKAGES = ("processor", "cores", "system", "python", "server", "connection")


def _ratios(report: dict[str, Any]) -> str:
    def rows() -> Iterator[Sequence[str]]:
        for result in report["lines"].values():
            for ratio in result["ratios"]:
                low, high = ratio["quartiles"]
                rate = f"{figure(median(result['rates'][ratio['ours']]))} {result['unit']}"
                yield (
                    result["title"],
                    f"{ratio['ours']}: {rate}",
                    f"{ratio['median']:.2f} {_TIMES} {' or '.join(ratio['peers'])}",
                    f"{low:.2f} to {high:.2f}",
                    "" if ratio["target"] is None else f"{ratio['target']:.2f}",
                    {None: "", True: "met", False: "**missed**"}[ratio["met"]],
                )
        if "import" in report:
            took = report["import"]["median"]
            verdict = "met" if took <= 60 else "**missed**"
            yield ("import pgproto_asyncio, over asyncio and ssl", f"{took:.0f} ms", "", "", "60 ms", verdict)

    return _table("work | pgproto, median | ratio | quartiles | target | ", rows())


def _rates(report: dict[str, Any]) -> str:
    """The best of each driver's contenders in each line."""

    def rows() -> Iterator[Sequence[str]]:
        for result in _compared(report):
            medians = [_medians(result["rates"], driver) for driver in _DRIVERS]
            yield (
                result["title"],
                result["unit"],
                *[figure(max(each)) if each else "" for each in medians],
            )

    return _table(" | ".join(("work", "", *_DRIVERS)), rows())


def _processor(report: dict[str, Any]) -> str:
    """What the thriftiest of each driver's contenders took."""

    def rows() -> Iterator[Sequence[str]]:
        for result in _compared(report):
            medians = [_medians(result["processor"], driver) for driver in _DRIVERS]
            if any(medians):
                yield (result["title"], *[figure(min(each)) if each else "" for each in medians])

    return _table(" | ".join(("work", *_DRIVERS)), rows())


def _medians(figures: dict[str, list[float]], driver: str) -> list[float]:
    """What each of a driver's contenders has of the figures."""
    return [median(each) for name, each in figures.items() if _driver(name) == driver]


def _driver(contender: str) -> str:
    """Whose contender it is."""
    return next((driver for driver in _DRIVERS[1:] if contender.startswith(driver)), _DRIVERS[0])


def _growth(report: dict[str, Any]) -> str:
    def rows() -> Iterator[Sequence[str]]:
        result = report["lines"].get("stream", {"rates": {}})
        for name, rates in result["rates"].items():
            cost = median(result["processor"][name])
            memory = f"{result['memory'][name]:.0f}"
            yield (name, figure(median(rates)), figure(1e6 / median(rates)), figure(cost), memory)

    return _table("stream | rows/s | µs per row | of the process's processor | MiB at most", rows())


def _compared(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines in which others take part."""
    return [
        result
        for result in report["lines"].values()
        if any(_driver(name) != _DRIVERS[0] for name in result["rates"])
    ]


_TABLES = {
    "machine": _machine,
    "ratios": _ratios,
    "rates": _rates,
    "processor": _processor,
    "growth": _growth,
}


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or put them into documents."""
    report = json.loads(Path(arguments[0]).read_text())
    if not arguments[1:]:
        print(tables(report), end="")
    for path in map(Path, arguments[1:]):
        path.write_text(place(path.read_text(), report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
