"""What was executed before is asked again by a short way, which says the same as the long one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgproto._session import PreparedStatement, Request
from pgproto._session._prepare import CloseStatement
from pgproto._session._query import Query
from tests.core.session.support import Joined, outcome

__all__: list[str] = []

SQL = ("echo $1", "insert $1", "rows 3 7", "echo 9")
VALUES: tuple[object, ...] = (1, -5, None, 2**70, "x", 1.5)


@dataclass(frozen=True)
class Step:
    """One thing that happens: a query, or a change of what is known."""

    what: str
    sql: str = SQL[0]
    arguments: tuple[object, ...] = (1,)
    together: int = 1


QUERIES = st.builds(
    Step,
    what=st.sampled_from(["execute", "fetch", "fetchrow", "fetchval", "fetch_columns", "prepared"]),
    sql=st.sampled_from(SQL),
    arguments=st.sampled_from([(), *[(value,) for value in VALUES], (1, 2)]),
    together=st.integers(1, 6),
)
CHANGES = st.sampled_from([Step("forget types"), Step("codec"), Step("close")])
LONG_WAY: Any = cast("Any", Query)._begin
OFTEN = [Step("fetchval", together=6), Step("fetch", "rows 3 7", (), 6)]


class Client:
    """One client; it notes all that can be seen of it."""

    def __init__(self, **options: Any) -> None:
        self.joined = Joined(**options)
        self.held = PreparedStatement(SQL[0])
        self.seen: list[object] = []
        self.joined.connection.trace = lambda role, data: self.seen.append((role, data))

    def take(self, step: Step) -> None:
        machine = self.joined.machine
        if step.what == "forget types":
            machine.types.forget()
        elif step.what == "codec":
            self.joined.core.set_type_codec(20, (), lambda value: str(value + 1), lambda text: text, "text")
        elif step.what == "close":
            self.joined.ask(CloseStatement(self.held))
            self.held = PreparedStatement(SQL[0])
        else:
            requests = [self.joined.submit(self.make(step)) for _ in range(step.together)]
            self.joined.settle()
            while machine.take_cancel():
                machine.cancel_delivered()
                self.joined.settle()
            self.seen += [(repr(outcome(each)), each.first_byte, each.execute_end) for each in requests]
        known = [statement.name for statement in machine.statements._statements.values()]
        self.seen.append((known, machine.written, machine.unsent, self.joined.connection.pending))

    def make(self, step: Step) -> Request[Any]:
        core, arguments = self.joined.core, step.arguments
        match step.what:
            case "execute":
                return core.execute(step.sql, arguments, None)
            case "fetch":
                return core.fetch(step.sql, arguments, dict, None)
            case "fetchrow":
                return core.fetchrow(step.sql, arguments, None, None)
            case "fetch_columns":
                return core.fetch_columns(step.sql, arguments, None)
            case "prepared":
                return core.fetchval(self.held.sql, arguments, 0, None, self.held)
            case _:
                return core.fetchval(step.sql, arguments, 0, None)


@pytest.mark.parametrize(
    "options",
    [{}, {"statement_cache_size": 2}, {"unnamed_statements": True}, {"max_result_bytes": 40}],
    ids=lambda options: "-".join(options) or "plain",
)
@given(steps=st.lists(QUERIES | CHANGES, max_size=12))
@example([*OFTEN, Step("forget types"), Step("codec"), Step("fetchval")])
@example([*OFTEN, Step("fetchval", arguments=("x",)), Step("fetch", "rows 3 7", ()), Step("fetchval")])
@example([*OFTEN, Step("fetchval"), Step("execute", "echo 9", ()), Step("execute", "insert $1")])
@example([Step("prepared", together=6), Step("close"), Step("prepared"), Step("fetch", "rows 3 7", (), 6)])
def test_both_ways_say_the_same(options: dict[str, Any], steps: list[Step]) -> None:
    usual, long = Client(**options), Client(**options)
    for step in steps:
        usual.take(step)
        with patch.object(Query, "begin", LONG_WAY):
            long.take(step)
        assert usual.seen == long.seen


def test_the_short_way_is_taken() -> None:
    """Else the one before would compare the long way with itself."""
    client = Client()
    client.take(Step("fetchval", together=6))
    client.take(Step("prepared", together=6))
    with patch.object(Query, "_begin", None):
        client.take(Step("fetchval", together=6))
        client.take(Step("prepared", together=6))
