"""Draws the state machine from its tables.

``python docs/make_state_diagrams.py`` writes docs/state-machine.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pgproto import messages as m
from pgproto._state import (
    ASYNCHRONOUS,
    AUTHENTICATING,
    COPY_INPUT,
    ERRORS,
    REPLIES,
    REQUESTS,
    SESSION,
    Phase,
    Step,
)

__all__ = ["PATH", "render"]

PATH = Path(__file__).parent / "state-machine.md"

_FRONTEND = (
    *REQUESTS,
    m.CancelRequest,
    m.CopyData,
    m.CopyDone,
    m.CopyFail,
    m.GSSENCRequest,
    m.GSSResponse,
    m.PasswordMessage,
    m.SASLInitialResponse,
    m.SASLResponse,
    m.SSLRequest,
    m.StartupMessage,
    m.Terminate,
)

_TEXT = """\
# The state machine

Made by `python docs/make_state_diagrams.py` from the tables in `pgproto/_state.py`; a test compares. The
rules in words are in that module's docstring. → is a message of the client, ← one of the server.

## The session

{session}

Two moves depend on what a message says. EncryptionResponse leads back to START if it is a no. A
SASLInitialResponse that chooses one of the SCRAM mechanisms leads to SCRAM_STARTED instead, from where there
is no way to AUTHENTICATED but through the server's proof.

While the server is authenticating the client or starting the session, ErrorResponse leads to CLOSING. The end
of the stream leads from CANCELING and CLOSING to CLOSED, and from anywhere else to FAILED, like each message
that has no arrow.

{asynchronous}

## The replies

Once READY, each message of the client that will be answered puts a step into a queue:

{requests}

Flush is not answered. Describe of a portal begins at DESCRIBE_PORTAL. The head of the queue moves by these
diagrams, and is done at the final mark; then the next one begins.

### Extended query

{extended}

### Simple query

{simple}

### Function call and Sync

{others}

### Errors

ErrorResponse moves the head of the queue as well:

{errors}

"To the next Sync" means that the replies up to the next Sync in the queue will not come; if there is none,
what the client sends before its next Sync will not be answered. An ErrorResponse of severity FATAL or PANIC
leads to CLOSING from anywhere.
"""


def _diagram(arrows: Iterable[tuple[str, str, str]]) -> str:
    """A diagram of these arrows: from, to, and what makes it; arrows side by side become one."""
    together: dict[tuple[str, str], list[str]] = {}
    for source, target, cause in arrows:
        together.setdefault((source, target), []).append(cause)
    lines = [
        f"    {source} --> {target}: {'<br>'.join(dict.fromkeys(causes))}"
        for (source, target), causes in together.items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _cause(message: type[m.Message], *, of_client: bool) -> str:
    return f"{'→' if of_client else '←'} {message.__name__}"


def _session() -> str:
    arrows = [("[*]", Phase.START.name, "")]
    for phase, moves in SESSION.items():
        for message, following in moves.items():
            cause = _cause(message, of_client=message in _FRONTEND)
            arrows.append((phase.name, following.name, cause))
            if message is m.EncryptionResponse:
                arrows.append((phase.name, Phase.START.name, f"{cause} (no)"))
            elif message is m.SASLInitialResponse:
                arrows.append((phase.name, Phase.SCRAM_STARTED.name, f"{cause} (SCRAM)"))
    arrows += [(phase.name, Phase.CLOSED.name, "end of stream") for phase in (Phase.CANCELING, Phase.CLOSING)]
    arrows.append((Phase.CLOSED.name, "[*]", ""))
    return _diagram(arrows).replace(": \n", "\n")


def _replies(steps: Iterable[Step]) -> str:
    arrows: list[tuple[str, str, str]] = []
    for step in steps:
        tables: tuple[tuple[Mapping[type[m.Message], Step], bool], ...] = (
            (REPLIES[step], False),
            (COPY_INPUT.get(step, {}), True),
        )
        for moves, of_client in tables:
            for message, following in moves.items():
                target = "[*]" if following is Step.DONE else following.name
                arrows.append((step.name, target, _cause(message, of_client=of_client)))
    return _diagram(arrows)


def _table(titles: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join([f"| {a} | {b} |" for a, b in (titles, ("---", "---"), *rows)])


def render() -> str:
    """The whole page."""
    extended = [step for step in Step if ERRORS.get(step) is Step.DONE]
    simple = [step for step in Step if step.name.startswith("QUERY")]
    others = [step for step in Step if step not in (Step.DONE, *extended, *simple)]
    asynchronous = [
        (
            message.__name__,
            ", ".join(sorted([phase.name for phase in phases - AUTHENTICATING]))
            + (", and while authenticating" if phases >= AUTHENTICATING else ""),
        )
        for message, phases in ASYNCHRONOUS.items()
    ]
    return _TEXT.format(
        session=_session(),
        asynchronous=_table(("A server may say unasked", "when"), asynchronous),
        requests=_table(
            ("message", "first step"),
            [(kind.__name__, step.name) for kind, step in REQUESTS.items() if step is not Step.DONE],
        ),
        extended=_replies(extended),
        simple=_replies(simple),
        others=_replies(others),
        errors=_table(
            ("step", "after ErrorResponse"),
            [
                (step.name, "to the next Sync" if following is Step.DONE else following.name)
                for step, following in ERRORS.items()
            ],
        ),
    )


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
