"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("fuzz/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    targets = [each for each in LINK.findall(document.read_text()) if "://" not in each]
    missing = [each for each in targets if not (document.parent / each).exists()]
    assert missing == []


def test_there_are_documents() -> None:
    assert {"README.md", "CHANGELOG.md", "connecting.md"} <= {path.name for path in DOCUMENTS}
