"""Decoding rows: from the bytes of DataRow messages to Python objects.

Chapter "Message Formats", DataRow: the byte ``D``, the length of the rest (int32), the number of columns
(int16), and for each column the length of its value (int32, -1 for NULL) and the value.

Most of a driver's time goes into decisions that are the same for every row. So the decisions are made once
for each result shape: `compile_decoder` writes a function for it, made of nothing but struct formats and
positions. Whatever that function does not expect, it leaves to a loop that looks at every byte.
"""

from __future__ import annotations

from pgproto._rows._compiled import DictMaker, Make
from pgproto._rows._decoder import Decoder, compile_decoder, compile_reader
from pgproto._rows._loop import skip_rows

__all__ = ["Decoder", "DictMaker", "Make", "compile_decoder", "compile_reader", "skip_rows"]
