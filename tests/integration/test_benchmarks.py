"""The benchmarks run and report; how fast anything is is none of the tests' business."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.lines import LINES
from tests.support.servers import Server

__all__: list[str] = []

ROOT = Path(__file__).parents[2]
SOME = ("int4", "magicstack-7", "import")
ALL = tuple([line.name for line in LINES if line.name != "stream"])


@pytest.mark.parametrize("lines", [SOME, pytest.param(ALL, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.timeout(600)
def test_the_command(postgres: Server, tmp_path: Path, lines: tuple[str, ...]) -> None:
    command = ["-m", "benchmarks.compare", "--quick", "--rounds", "1", "--out", str(tmp_path), *lines]
    answer = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PGPROTO_DSN": postgres.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads((tmp_path / "results.json").read_text())
    measured = {line.name: line for line in LINES if line.name in lines}
    assert set(report["lines"]) - {"magicstack"} == set(measured)
    for name, line in measured.items():
        result = report["lines"][name]
        assert set(result["rates"]) == set(line.tasks)
        assert all(len(rates) == 1 and rates[0] > 0 for rates in result["rates"].values())
        assert len(result["ratios"]) == len(line.targets)
        assert line.title in answer.stdout
    assert ("import" in report) == ("import" in lines)
    picture = ElementTree.fromstring((tmp_path / "chart.svg").read_text())
    assert picture.tag.endswith("svg")
    assert str(ROOT) not in json.dumps(report)


def test_a_line_that_does_not_exist(postgres: Server) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", "no-such-line"],
        cwd=ROOT,
        env={**os.environ, "PGPROTO_DSN": postgres.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "no-such-line" in answer.stderr
    assert "one-row" in answer.stderr
