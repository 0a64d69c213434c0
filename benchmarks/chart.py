"""The ratios as a picture, in SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["draw"]

_WIDTH = 960
_LEFT = 470
_RIGHT = 70
_ROW = 26
_TOP = 64
_LOWEST, _HIGHEST = 0.25, 32.0
_INK, _SOFT, _OURS, _MISSED, _MARK = "#1f2933", "#7b8794", "#2f6f9f", "#b7791f", "#9b2c2c"


def draw(report: dict[str, Any]) -> str:
    """A bar for each ratio, on a logarithmic scale, with a mark at what was wanted."""
    rows = [
        (f"{result['title']}: {ratio['ours']}", ratio)
        for result in report["lines"].values()
        for ratio in result["ratios"]
        if not result["title"].startswith("MagicStack ")
    ]
    height = _TOP + _ROW * len(rows) + 70
    machine = report["machine"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-size="15" font-weight="600">pgproto beside its peers: times as fast</text>',
        f'<text x="16" y="42" fill="{_SOFT}">{escape(_conditions(machine))}</text>',
    ]
    bottom = _TOP + _ROW * len(rows)
    for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32):
        x = _x(tick)
        parts += [
            _line(x, _TOP - 4, x, bottom, _SOFT, 1.5 if tick == 1 else 0.5),
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="{_SOFT}">{tick:g}</text>',
        ]
    for number, (title, ratio) in enumerate(rows):
        parts += _bar(_TOP + number * _ROW, title, ratio)
    parts += [
        f'<text x="16" y="{bottom + 44}" fill="{_SOFT}">Bars: the median of the rounds; thin lines: the '
        "quartiles; red marks: what was wanted. Below each title stands the peer.</text>",
        "</svg>\n",
    ]
    return "\n".join(parts)


def _conditions(machine: dict[str, str]) -> str:
    return (
        f"{machine['server']}, {machine['python']}, {machine['cores']} cores of {machine['processor']}; "
        f"asyncpg {machine['asyncpg']}, psycopg {machine['psycopg']}, pg8000 {machine['pg8000']}"
    )


def _x(ratio: float) -> float:
    """Where a ratio is."""
    within = min(max(ratio, _LOWEST), _HIGHEST)
    share = math.log(within / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _bar(y: float, title: str, ratio: dict[str, Any]) -> list[str]:
    low, high = map(_x, ratio["quartiles"])
    end, wanted = _x(ratio["median"]), _x(ratio["target"])
    peers = "over " + " or ".join(ratio["peers"])
    label = f'<text x="{_LEFT - 10}" text-anchor="end"'
    return [
        f'{label} y="{y + 8}" font-size="11">{escape(title)}</text>',
        f'{label} y="{y + 19}" font-size="9" fill="{_SOFT}">{escape(peers)}</text>',
        f'<rect x="{_LEFT}" y="{y + 2}" width="{end - _LEFT:.1f}" height="14" '
        f'fill="{_OURS if ratio["met"] else _MISSED}"/>',
        _line(low, y + 9, high, y + 9, _INK, 1),
        _line(wanted, y, wanted, y + 18, _MARK, 2),
        f'<text x="{max(end, high) + 5:.1f}" y="{y + 13}">{ratio["median"]:.2f}</text>',
    ]
