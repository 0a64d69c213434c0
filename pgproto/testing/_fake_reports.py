"""How a fake server tells of errors and notices."""

from __future__ import annotations

from pgproto import messages as m
from pgproto.errors import PostgresError

__all__ = ["notice_response", "report"]


def _fields(error: PostgresError, severity: str) -> dict[str, str]:
    fields = {"S": error.severity or severity, "V": error.severity or severity}
    fields |= {"C": error.sqlstate or "XX000", "M": error.message or ""}
    for code, text in (
        ("D", error.detail),
        ("H", error.hint),
        ("t", error.table_name),
        ("n", error.constraint_name),
    ):
        if text is not None:
            fields[code] = text
    return fields


def report(error: PostgresError, severity: str) -> m.ErrorResponse:
    """The message that tells of an error."""
    return m.ErrorResponse(_fields(error, severity))


def notice_response(notice: PostgresError) -> m.NoticeResponse:
    """The message that tells of a notice."""
    return m.NoticeResponse(_fields(notice, "NOTICE"))
