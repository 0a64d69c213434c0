"""`text_form`: a Python value in PostgreSQL's text form, by the value's own type.

It serves `str()` of the value types that hold other values, which know nothing of OIDs.
"""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from decimal import Decimal

from pgproto.types._array_text import array_text
from pgproto.types._float_text import float_text
from pgproto.types._guards import is_list, is_plain_tuple
from pgproto.types._interval import Interval
from pgproto.types._row_text import row_text

__all__ = ["text_form"]


def text_form(value: object) -> str:
    """What PostgreSQL would write for the value, as far as its Python type tells."""
    match value:
        case bool():
            return "t" if value else "f"
        case float():
            return float_text(value)
        case Decimal() if value.is_finite():
            return format(value, "f")
        case bytes():
            return "\\x" + value.hex()
        case datetime() | time():
            return _clock_text(value)
        case timedelta():
            return str(Interval.from_timedelta(value))
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _ if is_list(value):
            return _list_text(value)
        case _ if is_plain_tuple(value):
            return _row_text(value)
        case _:
            return str(value)


def _clock_text(value: datetime | time) -> str:
    # Microseconds without trailing zeros, offsets without trailing ":00".
    text = value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    head, point, tail = text.partition(".")
    if point:
        head += ("." + tail[:6]).rstrip("0")
        tail = tail[6:]
    else:
        position = max(text.rfind("+"), text.rfind("-", 10 if isinstance(value, datetime) else 0))
        head, tail = (text, "") if position < 0 else (text[:position], text[position:])
    while tail.endswith(":00"):
        tail = tail[:-3]
    return head + tail


def _list_text(value: list[object]) -> str:
    """A list as an array of one dimension; inner lists become its further ones."""
    lengths = [len(value)]
    cells = value
    while cells:
        rows = [row for row in cells if is_list(row)]
        if len(rows) != len(cells) or len({len(row) for row in rows}) != 1 or not rows[0]:
            break
        lengths.append(len(rows[0]))
        cells = [cell for row in rows for cell in row]
    texts = [None if cell is None else text_form(cell).encode() for cell in cells]
    return array_text(texts, lengths, (1,) * len(lengths), b",").decode()


def _row_text(value: tuple[object, ...]) -> str:
    return row_text(None if field is None else text_form(field).encode() for field in value).decode()
