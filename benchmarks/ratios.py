"""Ratios of pgproto's rates to those of others, each taken within a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import geometric_mean, median, quantiles
from typing import Any

from benchmarks.lines import MAGICSTACK_LEAST, Line, Target

__all__ = ["magicstack", "ratios_of"]

Rates = Mapping[str, Sequence[float]]


def ratios_of(line: Line, rates: Rates) -> list[dict[str, Any]]:
    """The ratios that a line is about, of those that took part."""
    return [_ratio(target, rates) for target in line.targets if not rates.keys().isdisjoint(target.ours)]


def _ratio(target: Target, rates: Rates) -> dict[str, Any]:
    """How the best of ours did beside the best of the peers."""
    ours = max([name for name in target.ours if name in rates], key=lambda name: median(rates[name]))
    peers = [name for name in target.peers if name in rates]
    ratios = [mine / max(rates[peer][number] for peer in peers) for number, mine in enumerate(rates[ours])]
    return _described(ours, peers, ratios, target.least)


def _described(
    ours: str, peers: Sequence[str], ratios: Sequence[float], least: float | None
) -> dict[str, Any]:
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    return {
        "ours": ours,
        "peers": list(peers),
        "median": middle,
        "quartiles": [low, high],
        "target": least,
        "met": None if least is None else middle >= least,
    }


def magicstack(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The seven queries as one figure, if all of them were measured: the geometric mean, round by round."""
    seven = [result["rates"] for name, result in results.items() if name.startswith("magicstack-")]
    if len(seven) < 7:
        return None
    rates = {
        name: [geometric_mean(each) for each in zip(*[r[name] for r in seven], strict=True)]
        for name in seven[0]
    }
    targets = [results["magicstack-1"]["ratios"][number] for number in range(2)]
    ratios: list[dict[str, Any]] = []
    for target, least in zip(targets, (MAGICSTACK_LEAST, None), strict=True):
        # The best of the peers may be another one for each query.
        each_round = [
            geometric_mean(
                [r[target["ours"]][number] / max(r[peer][number] for peer in target["peers"]) for r in seven]
            )
            for number in range(len(rates[target["ours"]]))
        ]
        ratios.append(_described(target["ours"], target["peers"], each_round, least))
    return {
        "title": "MagicStack's seven queries, geometric mean",
        "unit": "queries/s",
        "rates": rates,
        "processor": {},
        "memory": {},
        "ratios": ratios,
    }
