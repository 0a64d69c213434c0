"""The benchmarks run and report; how fast anything is is none of the tests' business."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.lines import LINES, Line
from benchmarks.ratios import magicstack, ratios_of
from benchmarks.tables import figure, place
from tests.support.servers import Server

__all__: list[str] = []

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
SOME = ("pool", "magicstack-7", "import")
ALL = tuple([line.name for line in LINES])
QUICK = 1_000_000
"""A quick run leaves out what does more than this."""


def compare(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *arguments],
        cwd=ROOT,
        env={**os.environ, "PGPROTO_DSN": dsn},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("lines", [SOME, pytest.param(ALL, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.timeout(600)
def test_the_command(postgres: Server, tmp_path: Path, lines: tuple[str, ...]) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    options = ("--quick", "--rounds", "1", "--out", str(tmp_path), "--document", str(page))
    answer = compare(postgres.dsn_for(postgres.user), *options, *lines)
    assert answer.returncode == 0, answer.stderr
    report = json.loads((tmp_path / "results.json").read_text())
    measured = {line.name: line for line in LINES if line.name in lines}
    assert set(report["lines"]) - {"magicstack"} == set(measured)
    assert report["machine"]["connection"] == "TCP to 127.0.0.1"
    for name, line in measured.items():
        look_at(report["lines"][name], line)
        assert line.title in answer.stdout
    assert ("import" in report) == ("import" in lines)
    picture = ElementTree.fromstring((tmp_path / "chart.svg").read_text())
    assert picture.tag.endswith("svg")
    assert str(ROOT) not in json.dumps(report)
    assert place(PAGE.read_text(), report) == page.read_text() != PAGE.read_text()
    for row in (tmp_path / "tables.md").read_text().splitlines():
        assert row in page.read_text()


def look_at(result: dict[str, Any], line: Line) -> None:
    """Every contender has a rate, a cost and a size, and every target its ratio."""
    contenders = {name for name, task in line.tasks.items() if task.units <= QUICK}
    for figures in (result["rates"], result["processor"], result["memory"]):
        assert set(figures) == contenders
    assert all(len(rates) == 1 and rates[0] > 0 for rates in result["rates"].values())
    assert len(result["ratios"]) == len(
        [each for each in line.targets if not contenders.isdisjoint(each.ours)]
    )


def test_over_a_unix_socket(postgres: Server, tmp_path: Path) -> None:
    answer = compare(postgres.dsn, "--quick", "--rounds", "1", "--out", str(tmp_path), "copy-out")
    assert answer.returncode == 0, answer.stderr
    report = json.loads((tmp_path / "results.json").read_text())
    assert report["machine"]["connection"] == "a Unix socket"
    look_at(report["lines"]["copy-out"], next(line for line in LINES if line.name == "copy-out"))


def test_a_line_that_does_not_exist(postgres: Server) -> None:
    answer = compare(postgres.dsn, "no-such-line")
    assert answer.returncode == 2
    assert "no-such-line" in answer.stderr
    assert "one-row" in answer.stderr


def test_ratios_are_taken_within_a_round() -> None:
    line = next(line for line in LINES if line.name == "copy-in")
    rates = {name: [1.0, 1.0, 1.0] for name in line.tasks}
    rates["pgproto_asyncio on uvloop"] = [3.0, 8.0, 2.0]
    rates["asyncpg on uvloop"] = [6.0, 2.0, 4.0]
    first, second = ratios_of(line, rates)
    assert (first["ours"], first["peers"]) == ("pgproto_asyncio on uvloop", ["asyncpg on uvloop"])
    assert (first["median"], first["quartiles"], first["met"]) == (0.5, [0.5, 2.25], True)
    assert (second["median"], second["met"]) == (3.0, None)


def test_the_seven_queries_are_one_figure() -> None:
    results: dict[str, Any] = {}
    for line in [line for line in LINES if line.name.startswith("magicstack-")]:
        assert magicstack(results) is None
        rates = {name: [4.0, 9.0] for name in line.tasks}
        rates["asyncpg on uvloop"] = [2.0, 9.0]
        results[line.name] = {"rates": rates, "ratios": ratios_of(line, rates)}
    seven = magicstack(results)
    assert seven is not None
    assert seven["rates"]["asyncpg on uvloop"] == pytest.approx([2, 9])
    asyncpg, psycopg = seven["ratios"]
    assert asyncpg["median"] == pytest.approx(1.5)
    assert (asyncpg["target"], asyncpg["met"], psycopg["met"]) == (1.2, True, None)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.01234, "0.0123"), (1.236, "1.24"), (45.25, "45.2"), (1234.5, "1,234")]
)
def test_figures(number: float, text: str) -> None:
    assert figure(number) == text
