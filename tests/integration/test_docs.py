"""What the documentation shows is run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pgproto import DivisionByZero, types
from pgproto._config._keywords import ARGUMENTS, LIBPQ_KEYWORDS
from tests.support.certificates import Certificates
from tests.support.landings import address
from tests.support.servers import Server

__all__: list[str] = []

DOCS = Path(__file__).parents[2] / "docs"


def programs(name: str) -> dict[str, Any]:
    """The names that the page's programs define, run one after the other."""
    names: dict[str, Any] = {}
    for program in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL):
        exec(compile(program, name, "exec"), names)
    return names


def test_the_tiny_client_answers_queries(postgres: Server) -> None:
    make: Callable[[str, str], Any] = programs("write-your-own-driver.md")["TinyClient"]
    client = make(f"{postgres.socket_dir}/.s.PGSQL.{postgres.port}", "postgres")
    assert client.query("select 1, null union all select 2, 'b'") == [(b"1", None), (b"2", b"b")]
    with pytest.raises(DivisionByZero):
        client.query("select 1/0")
    assert client.query("select 3") == [(b"3",)]
    client.close()


def test_streams_that_an_application_opens(postgres: Server) -> None:
    names = programs("custom-transports.md")
    dsn = postgres.dsn_for("alice")
    assert names["on_threads"](dsn) == "alice"
    import trio

    assert trio.run(names["on_trio"], dsn) == "alice"
    assert asyncio.run(names["on_asyncio"](dsn, asyncio.open_connection)) == "alice"


def test_ways_to_connect(tls_postgres: Server, certificates: Certificates) -> None:
    names = programs("connecting.md")
    parameters = address(tls_postgres)
    dsn = " ".join(f"{name}={value}" for name, value in parameters.items())
    assert names["who_am_i"](dsn, host=tls_postgres.host) == "alice"
    assert names["with_a_context"](dsn, certificates.path("root.crt")) == "alice"
    del parameters["password"]
    dsn = " ".join(f"{name}={value}" for name, value in parameters.items())
    assert names["with_a_fresh_password"](dsn, lambda: "wonderland") == "alice"


def test_every_parameter_of_ours_is_described() -> None:
    text = (DOCS / "connecting.md").read_text()
    assert [name for name in sorted(ARGUMENTS - LIBPQ_KEYWORDS) if f"| `{name}` |" not in text] == []


def test_values(postgres: Server) -> None:
    names = programs("values.md")
    dsn = postgres.dsn_for("alice")
    assert names["in_one_session"](dsn) == (1.5, [2.5], Decimal("1.5"))
    assert names["in_all_of_a_pool"](dsn) == {"price": Decimal("1.10")}
    ann = {"id": 1, "name": "ann"}
    assert names["rows"](dsn) == (ann, [ann], [(1, "ann")], [names["User"](1, "ann")], ["Ann"])
    assert names["columns"](dsn) == (6, ["x1", "x2", "x3"], 3)


def test_pools(postgres: Server) -> None:
    names = programs("pools.md")
    dsn = postgres.dsn_for("alice")
    assert asyncio.run(names["use"](dsn)) == (1, 2, 3)
    assert "size 1 of at most 1, 1 in use" in asyncio.run(names["wait_in_vain"](dsn))
    assert asyncio.run(names["with_a_hook"](dsn)) == "5s"


def test_every_type_of_ours_is_described() -> None:
    text = (DOCS / "values.md").read_text()
    kinds = {name for name in types.__all__ if isinstance(getattr(types, name), type)}
    assert {name for name in kinds if f"`{name}`" not in text} == NOT_VALUES


NOT_VALUES = {"Codec", "JsonText", "Lexeme", "Position"}
"""What values are made with or of."""
