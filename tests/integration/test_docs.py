"""What the documentation shows is run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgproto import DivisionByZero
from tests.support.servers import Server

__all__: list[str] = []

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tiny_client_answers_queries(postgres: Server) -> None:
    text = (DOCS / "write-your-own-driver.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(program, "write-your-own-driver.md", "exec"), names)
    make: Callable[[str, str], Any] = names["TinyClient"]
    client = make(f"{postgres.socket_dir}/.s.PGSQL.{postgres.port}", "postgres")
    assert client.query("select 1, null union all select 2, 'b'") == [(b"1", None), (b"2", b"b")]
    with pytest.raises(DivisionByZero):
        client.query("select 1/0")
    assert client.query("select 3") == [(b"3",)]
    client.close()
