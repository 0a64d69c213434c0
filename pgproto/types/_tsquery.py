"""tsquery: `str`, in PostgreSQL's own text form, `'fat' & !'cat':*A`.

Chapter "Data Types", section "Text Search Types". A parameter is the text of a query, words with operators
between them; for words that are to be normalized, say `to_tsquery($1::text)`.

As text it travels as it is. The binary form (`tsquerysend` in PostgreSQL's source) is a count of items and
the items in prefix order: for a word 1, its weights, whether it is a prefix, and the text with a zero byte;
for an operator 2, its number, for a phrase the distance, and then the right operand before the left.
"""

from __future__ import annotations

import re
import struct
from typing import Final, TypeAlias

from pgproto._dataclasses import dataclass
from pgproto._patterns import pattern
from pgproto.types._codec import TEXT, Codec, malformed, shortened, unwrapped, wrong_value
from pgproto.types._text import decode_text, text_decoder, text_encoder
from pgproto.types._tsvector import quoted

__all__ = ["TSQUERY_CODEC"]

_COUNT: Final = struct.Struct("!i")
_DISTANCE: Final = struct.Struct("!H")
_WORD, _OPERATOR = 1, 2
_NOT, _AND, _OR, _PHRASE = 1, 2, 3, 4
_PRIORITY: Final = {_OR: 1, _AND: 2, _PHRASE: 3, _NOT: 4}
_WEIGHTS: Final = (("A", 8), ("B", 4), ("C", 2), ("D", 1))
_MAX_DISTANCE: Final = 16384


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    weights: int
    prefix: bool

    def __str__(self) -> str:
        letters = "".join([letter for letter, bit in _WEIGHTS if self.weights & bit])
        marks = "*" + letters if self.prefix else letters
        return quoted(self.text) + (":" + marks if marks else "")


@dataclass(frozen=True, slots=True)
class _Operator:
    number: int
    distance: int = 1

    @property
    def operands(self) -> int:
        return 1 if self.number == _NOT else 2

    def __str__(self) -> str:
        if self.number == _PHRASE:
            return " <-> " if self.distance == 1 else f" <{self.distance}> "
        return {_NOT: "!", _AND: " & ", _OR: " | "}[self.number]


_Item: TypeAlias = _Word | _Operator


# Trees are lists of items in prefix order, right operand first, as on the wire. Nothing here recurses: a tree
# of a query of a thousand words is a thousand deep.


def _items(data: bytes) -> list[_Item]:
    """What is in the binary form."""
    end = len(data)
    if end < _COUNT.size:
        raise malformed("tsquery", f"{end} bytes, at least {_COUNT.size} expected")
    (count,) = _COUNT.unpack_from(data)
    if not 0 <= count <= (end - _COUNT.size) // 2:
        raise malformed("tsquery", f"{count} items in {end - _COUNT.size} bytes")
    items: list[_Item] = []
    start = _COUNT.size
    for _ in range(count):
        item, start = _item(data, start)
        items.append(item)
    if start != end:
        raise malformed("tsquery", f"{end - start} bytes too many")
    return items


def _item(data: bytes, start: int) -> tuple[_Item, int]:
    """The item that begins at this byte, and where it ends."""
    head = data[start : start + 3]
    if len(head) == 3 and head[0] == _WORD and head[1] < 16 and head[2] < 2:
        zero = data.find(b"\x00", start + 3)
        if zero >= 0:
            return _Word(str(decode_text(data[start + 3 : zero])), head[1], bool(head[2])), zero + 1
    elif len(head) >= 2 and head[0] == _OPERATOR and head[1] in (_NOT, _AND, _OR):
        return _Operator(head[1]), start + 2
    elif head[:2] == bytes((_OPERATOR, _PHRASE)) and len(data) >= start + 4:
        (distance,) = _DISTANCE.unpack_from(data, start + 2)
        if distance <= _MAX_DISTANCE:
            return _Operator(_PHRASE, distance), start + 4
    raise malformed("tsquery", f"no item at byte {start}: {shortened(data)}")


@dataclass(frozen=True, slots=True)
class _Branch:
    operator: _Operator
    left: _Tree | None
    """None for the one operator that has one operand."""
    right: _Tree


_Tree: TypeAlias = "_Word | _Branch"


def _tree(items: list[_Item]) -> _Tree | None:
    """The tree of the items; None if there are none."""
    stack: list[_Tree] = []
    for item in reversed(items):
        if isinstance(item, _Word):
            stack.append(item)
            continue
        if len(stack) < item.operands:
            raise malformed("tsquery", "an operator lacks an operand")
        right = stack.pop()
        stack.append(_Branch(item, stack.pop() if item.operands == 2 else None, right))
    if len(stack) > 1:
        raise malformed("tsquery", "words without an operator between them")
    return stack[0] if stack else None


def _infix(tree: _Tree | None) -> str:
    """The text form, with parentheses where PostgreSQL puts them."""
    parts: list[str] = []
    # What is still to be written: texts, and trees with the priority of what they are in.
    pending: list[str | tuple[_Tree, int, bool]] = [] if tree is None else [(tree, 0, False)]
    while pending:
        step = pending.pop()
        if isinstance(step, str):
            parts.append(step)
            continue
        part, outer, behind_phrase = step
        if isinstance(part, _Word):
            parts.append(str(part))
            continue
        priority = _PRIORITY[part.operator.number]
        is_phrase = part.operator.number == _PHRASE
        steps: list[str | tuple[_Tree, int, bool]] = [str(part.operator), (part.right, priority, is_phrase)]
        if part.left is not None:
            steps.insert(0, (part.left, priority, False))
        if priority < outer or (is_phrase and behind_phrase):
            steps = ["( ", *steps, " )"]
        pending.extend(reversed(steps))
    return "".join(parts)


_TOKEN = pattern(
    r"""\s*(?:
        (?P<mark>[!&|()]) | <(?P<distance>-|[0-9]{1,5})> |
        (?:'(?P<quoted>(?:[^'\\]++|''|\\.)++)' | (?P<bare>(?:[^\s'\\:!&|()<]++|\\.)++))
        (?::(?P<weights>[ABCDabcd*]+))?
    )\s*""",
    re.VERBOSE | re.DOTALL,
)


def _parsed(value: object, text: str) -> list[_Item]:
    """The items of a query's text, by operator precedence; all but `!` bind to the left."""
    reversed_items: list[_Item] = []
    operators: list[_Operator | None] = []
    expects_operand = True
    end = 0
    if not text.strip():
        return []

    def refused() -> Exception:
        return wrong_value("tsquery", value, f"no query at character {end}")

    def reduce(priority: int) -> None:
        # Operands come before operators in this order; reversed, it is the prefix order.
        while operators:
            top = operators[-1]
            if top is None or _PRIORITY[top.number] < priority:
                break
            reversed_items.append(top)
            operators.pop()

    while end < len(text):
        match = _TOKEN.match(text, end)
        if match is None:
            raise refused()
        mark, distance = match["mark"], match["distance"]
        if mark in ("!", "(") or not (mark or distance):
            if not expects_operand:
                raise refused()
            if mark:
                operators.append(_Operator(_NOT) if mark == "!" else None)
            else:
                reversed_items.append(_word(match))
                expects_operand = False
        else:
            if expects_operand:
                raise refused()
            if mark == ")":
                reduce(0)
                if not operators:
                    raise refused()
                operators.pop()
            else:
                operator = _binary(mark, distance)
                if operator.distance > _MAX_DISTANCE:
                    raise refused()
                reduce(_PRIORITY[operator.number])
                operators.append(operator)
                expects_operand = True
        end = match.end()
    reduce(0)
    if expects_operand or operators:
        raise refused()
    return reversed_items[::-1]


def _binary(mark: str | None, distance: str | None) -> _Operator:
    if distance is not None:
        return _Operator(_PHRASE, 1 if distance == "-" else int(distance))
    return _Operator(_AND if mark == "&" else _OR)


def _word(match: re.Match[str]) -> _Word:
    text = match["bare"] if match["quoted"] is None else match["quoted"].replace("''", "'")
    marks = (match["weights"] or "").upper()
    weights = sum(bit for letter, bit in _WEIGHTS if letter in marks)
    return _Word(re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL), weights, "*" in marks)


_encode_text = text_encoder("tsquery")


def _encode_binary(value: object) -> bytes:
    plain = unwrapped(value)
    if not isinstance(plain, str):
        raise wrong_value("tsquery", value, "it takes a str")
    items = _parsed(value, plain)
    if not items:
        # It sends them, but does not take them.
        raise wrong_value("tsquery", value, "PostgreSQL reads no empty one in binary format")
    parts = [_COUNT.pack(len(items))]
    for item in items:
        if isinstance(item, _Word):
            parts.append(bytes((_WORD, item.weights, item.prefix)) + _encode_text(item.text) + b"\x00")
        else:
            parts.append(bytes((_OPERATOR, item.number)))
            if item.number == _PHRASE:
                parts.append(_DISTANCE.pack(item.distance))
    return b"".join(parts)


def _decode_binary(data: bytes) -> object:
    return _infix(_tree(_items(data)))


TSQUERY_CODEC: Final = Codec(
    oid=3615,
    name="tsquery",
    format=TEXT,
    encode=_encode_text,
    decode=text_decoder("tsquery"),
    encode_binary=_encode_binary,
    decode_binary=_decode_binary,
)
