"""The ratios as a picture, in SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["draw"]

_WIDTH = 1000
_LEFT = 440
"""Where the bars may begin; the labels are before it."""
_RIGHT = 124
"""As much is left for the figures behind them."""
_TITLE, _ROW, _GAP = 22, 19, 8
_TOP = 96
_LOWEST, _HIGHEST = 0.2, 32.0
_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)
_INK, _SOFT, _FAINT = "#1f2933", "#616e7c", "#d5dbe1"
_MET, _MISSED, _PLAIN, _MARK = "#2f6f9f", "#c98a1b", "#9fb3c8", "#9b2c2c"


def draw(report: dict[str, Any]) -> str:
    """A bar for each ratio, from 1 to where it is on a logarithmic scale, with a mark at what was wanted."""
    results = [each for name, each in report["lines"].items() if not name.startswith("magicstack-")]
    heights = [_TITLE + _ROW * len(each["ratios"]) + _GAP for each in results]
    bottom = _TOP + sum(heights)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 76}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{bottom + 76}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="17" font-weight="600">pgproto beside others: times as fast</text>',
        *_lines_of_text(_conditions(report), 46),
        *_scale(_TOP - 4, bottom),
    ]
    y = float(_TOP)
    for result, height in zip(results, heights, strict=True):
        title = f"{result['title']} ({result['unit']})"
        parts.append(f'<text x="16" y="{y + 14}" font-weight="600">{escape(title)}</text>')
        for number, ratio in enumerate(result["ratios"]):
            parts += _bar(y + _TITLE + number * _ROW, result, ratio)
        y += height
    parts += [*_legend(bottom + 40), "</svg>\n"]
    return "\n".join(parts)


def _conditions(report: dict[str, Any]) -> list[str]:
    machine = report["machine"]
    packages = ("asyncpg", "psycopg", "pg8000", "uvloop", "trio")
    return [
        f"{machine['server']} by {machine['connection']}, {machine['python']}, "
        f"{machine['cores']} cores of {machine['processor']}",
        ", ".join(f"{package} {machine[package]}" for package in packages),
    ]


def _lines_of_text(texts: list[str], y: int) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f'<text x="16" y="{y + 16 * number}" fill="{_SOFT}">{escape(text)}</text>'


def _scale(top: float, bottom: float) -> Iterator[str]:
    for tick in _TICKS:
        x = _x(tick)
        yield _line(x, top, x, bottom, _INK if tick == 1 else _FAINT, 1)
        for y in (top - 4, bottom + 14):
            yield f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{_SOFT}">{tick:g}</text>'


def _legend(y: float) -> Iterator[str]:
    x = 16.0
    for colour, text in ((_MET, "as wanted"), (_MISSED, "less than wanted"), (_PLAIN, "nothing was wanted")):
        yield f'<rect x="{x}" y="{y - 9}" width="11" height="11" fill="{colour}"/>'
        yield f'<text x="{x + 16}" y="{y}" fill="{_SOFT}">{text}</text>'
        x += 36 + 6.3 * len(text)
    yield _line(x, y - 11, x, y + 3, _MARK, 2)
    yield f'<text x="{x + 8}" y="{y}" fill="{_SOFT}">what was wanted</text>'
    yield (
        f'<text x="16" y="{y + 18}" fill="{_SOFT}">Bars and figures: the median of the ratios of all rounds; '
        "thin lines: their quartiles. The scale is logarithmic.</text>"
    )


def _x(ratio: float) -> float:
    """Where a ratio is."""
    within = min(max(ratio, _LOWEST), _HIGHEST)
    share = math.log(within / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _bar(y: float, result: dict[str, Any], ratio: dict[str, Any]) -> Iterator[str]:
    low, high = map(_x, ratio["quartiles"])
    end, one = _x(ratio["median"]), _x(1)
    colour = {True: _MET, False: _MISSED, None: _PLAIN}[ratio["met"]]
    label = f"{_short(ratio['ours'])} / {_short_peers(result, ratio['peers'])}"
    middle = y + 8.5
    yield f'<text x="{_LEFT - 12}" y="{y + 12.5}" text-anchor="end" fill="{_SOFT}">{escape(label)}</text>'
    yield (
        f'<rect x="{min(one, end):.1f}" y="{y + 2}" width="{max(abs(end - one), 1):.1f}" height="13" '
        f'fill="{colour}"/>'
    )
    yield _line(low, middle, high, middle, _INK, 1)
    wanted = ""
    if ratio["target"] is not None:
        mark = _x(ratio["target"])
        yield _line(mark, y, mark, y + 17, _MARK, 2)
        wanted = f"of {ratio['target']:.2f}"
    right = _WIDTH - _RIGHT
    figure = f"{ratio['median']:.2f}"
    yield f'<text x="{right + 52}" y="{y + 12.5}" text-anchor="end" font-weight="600">{figure}</text>'
    yield f'<text x="{right + 60}" y="{y + 12.5}" fill="{_SOFT}">{wanted}</text>'


def _short(name: str) -> str:
    return name.replace("pgproto_", "").replace("pgproto ", "")


def _short_peers(result: dict[str, Any], peers: list[str]) -> str:
    """The fastest of the peers, which is whom it is about."""
    best = max(peers, key=lambda name: median(result["rates"][name]))
    return _short(best) if len(peers) == 1 else f"{_short(best)}, the fastest of {len(peers)}"
