"""A result as columns: for who wants to reckon with a million numbers, and not to look at a million rows.

Values of a fixed width go from the bytes of the messages into one buffer for each column, without a Python
object for any of them.
"""

from __future__ import annotations

from pgproto._columns._collector import ColumnCollector
from pgproto._columns._columns import Columns

__all__ = ["ColumnCollector", "Columns"]
