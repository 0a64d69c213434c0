"""What a session is like when it comes back, and what has to be done to it before the next one gets it."""

from __future__ import annotations

from pgproto._dataclasses import dataclass
from pgproto._pool._actions import Hook
from pgproto._pool._config import PoolConfig

__all__ = ["CLEAN", "LOST", "RENEWED", "Report", "forgets_settings", "reset_ahead_sql", "reset_sql"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a session's driver knows of it. The exceptions of callers are no part of that.

    The status is the server's word, from its last ReadyForQuery: a count of BEGINs on this side would be
    wrong as soon as a function or a failed COMMIT ends a transaction.
    """

    status: str = "I"
    """"I" (idle), "T" (in a transaction) or "E" (in a failed one)."""
    busy: bool = False
    """Requests are outstanding, or a COPY is open, or a cancellation is not over."""
    changed: bool = False
    """Settings, LISTEN, temporary tables, advisory locks or the like may have been left behind."""
    closed: bool = False
    """The connection has ended."""
    renewed: bool = False
    """A reset is under way that need not be waited for: it comes before everything that is asked from now on,
    none of which is carried out if it fails; and then the session ends."""
    error: BaseException | None = None
    """The gravest error that the driver saw since the session was lent. Leave out read_only_sql_transaction
    (25006) if the transaction was asked to be read-only: then it does not mean that the server is no primary
    any more."""


CLEAN = Report()
"""Idle, nothing outstanding, nothing left behind: what most sessions are like when they come back."""
RENEWED = Report(renewed=True)
"""The same, and its reset goes ahead of whatever the next holder asks."""
LOST = Report(closed=True)
"""The connection has ended."""

_ROLLBACK = "ROLLBACK"
# What DISCARD ALL does, without DEALLOCATE ALL and DISCARD PLANS (prepared statements stay), and with the
# role, which RESET ALL passes over. Unlike DISCARD ALL, these may stand together in one simple query.
_FORGET = (
    "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; "
    "SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
)


def forgets_settings(config: PoolConfig, report: Report) -> bool:
    """Whether the reset takes back settings, those of the after_connect hook among them."""
    return config.reset is None and (config.recycle == "clean" or report.changed)


def reset_ahead_sql(config: PoolConfig) -> str | None:
    """The SQL that a session needs each time it comes back, if nothing has to be done after it."""
    if Hook.AFTER_RELEASE in config.hooks or config.recycle == "verified":
        return None
    if config.reset is None and (config.recycle == "fast" or Hook.AFTER_CONNECT in config.hooks):
        return None
    return reset_sql(config, CLEAN)


def reset_sql(config: PoolConfig, report: Report) -> str | None:
    """The SQL that makes the session fit for its next holder; None if it is so already."""
    if report.renewed and not report.changed and report.status == "I":
        return None
    commands: list[str] = []
    if report.status != "I":
        commands.append(_ROLLBACK)
    if config.reset is not None:
        commands.append(config.reset)
    elif forgets_settings(config, report):
        commands.append(_FORGET)
    elif not commands and config.recycle == "fast":
        return None
    return "; ".join(commands)
