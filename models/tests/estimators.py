"""AUC, thresholds and signal efficiencies as `nae-trigger evaluate` computes them (src/evaluate), to the last digit.

A second computation of every published figure, for the tests alone.

Events of one ``source_group`` are one cluster; without groups every event is its own. Intervals come from a
cluster bootstrap whose replicas draw threshold and signal again. All sums are of integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1models.report.thresholds import effective_events, rate_interval, threshold_at
from tests import bootstrap

Scores = NDArray[np.float32]
Groups = NDArray[np.int64]
FEW_EVENTS = 10
RATES = (1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Efficiency:
    """Signal efficiency at a background efficiency, with its 95 % interval."""

    background: float
    signal: float
    low: float
    high: float
    threshold: float
    background_passing: int
    few_background: bool


@dataclass(frozen=True)
class Performance:
    """Replicas of AUC (R + 1) and of the efficiency at each rate (rates, R + 1); the sample itself stands last."""

    auc: NDArray[np.float64]
    efficiency: NDArray[np.float64]


def perform(
    background: Scores,
    background_groups: Groups,
    signals: dict[str, tuple[Scores, Groups]],
    rates: Sequence[float],
    replicas: int = bootstrap.REPLICAS,
) -> dict[str, Performance]:
    """Every signal's AUC (ties count half) and efficiencies, of the sample and of all replicas."""
    order = np.argsort(-background, kind="stable")
    falling = background[order]
    hashes = bootstrap.group_hashes("", background_groups)[order]
    # Blocks of equal background score, from the highest: `ends` events are at or above each.
    starts = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
    ends = np.r_[starts[1:], len(falling)]
    values = -falling[starts]
    placed = {}
    for name, (scores, groups) in signals.items():
        by_score = np.argsort(-scores, kind="stable")
        ordered = scores[by_score]
        # First block at or below each signal score, and whether it ties.
        block = np.searchsorted(values, -ordered, side="left")
        tied = (block < len(values)) & (values[np.minimum(block, len(values) - 1)] == -ordered)
        # Signal events at or above, and strictly above, each block's score.
        at_or_above = np.searchsorted(-ordered, values, side="right")
        above = np.searchsorted(-ordered, values, side="left")
        placed[name] = (bootstrap.group_hashes(name, groups)[by_score], block, tied, at_or_above, above)
    auc = {name: np.empty(replicas + 1) for name in signals}
    efficiency = {name: np.empty((len(rates), replicas + 1)) for name in signals}
    for pair in range(replicas // 2 + 1):
        last = pair == replicas // 2
        drawn = (np.ones(len(falling), np.uint8),) if last else bootstrap.weights(hashes, pair)
        drawn_signals = {
            name: (np.ones(len(place[0]), np.uint8),) if last else bootstrap.weights(place[0], pair)
            for name, place in placed.items()
        }
        for half, weight in enumerate(drawn):
            replica = 2 * pair + half
            down_to = np.cumsum(weight, dtype=np.int64)[ends - 1]
            total = int(down_to[-1])
            before = np.r_[0, down_to]
            cuts = [_cut(down_to, before, int(np.floor(rate * total + 1e-6))) for rate in rates]
            for name, (_, block, tied, at_or_above, above) in placed.items():
                own = drawn_signals[name][half].astype(np.int64)
                summed = np.r_[0, np.cumsum(own)]
                higher = before[block]
                equal = np.where(tied, before[np.minimum(block + 1, len(down_to))] - higher, 0)
                auc[name][replica] = int(np.sum(own * (2 * (total - higher) - equal))) / 2 / (int(summed[-1]) * total)
                for number, (cut, any_passes) in enumerate(cuts):
                    passing = summed[at_or_above[cut] if any_passes else above[cut]]
                    efficiency[name][number, replica] = passing / summed[-1]
    return {name: Performance(auc[name], efficiency[name]) for name in signals}


def _cut(down_to: NDArray[np.int64], before: NDArray[np.int64], allowed: int) -> tuple[int, bool]:
    """The block of the last background event that passes, or of the first that doesn't where none passes."""
    crossing = int(np.searchsorted(down_to, allowed, side="right"))
    if before[crossing] == 0:
        return crossing, False
    return int(np.searchsorted(down_to, before[crossing])), True


def spread(replicas: NDArray[np.float64]) -> float:
    """Standard deviation over the replicas."""
    return float(np.std(replicas[:-1], ddof=1))


def central_interval(replicas: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile interval, 95 %: ranks k from either end, k = 2.5 % of (R + 1)."""
    ordered = np.sort(replicas[:-1])
    rank = max(1, int(0.025 * (len(ordered) + 1)))
    return float(ordered[rank - 1]), float(ordered[-rank])


def efficiency_interval(replicas: NDArray[np.float64], groups: Groups) -> tuple[float, float, float]:
    """Efficiency, low, high: percentiles, never narrower than Clopper and Pearson's at the effective number."""
    signal, events = float(replicas[-1]), len(groups)
    low, high = central_interval(replicas)
    effective = effective_events(groups)
    passing = round(signal * events) * (effective / events)
    exact_low, exact_high = rate_interval(passing, effective)
    return signal, min(low, exact_low), max(high, exact_high)


def working_points(
    performance: Performance, background: Scores, groups: Groups, rates: Sequence[float]
) -> list[Efficiency]:
    """The signal's efficiencies at each rate; ``groups`` are the signal's."""
    points = []
    for rate, replicas in zip(rates, performance.efficiency, strict=True):
        threshold = threshold_at(background, rate)
        passing = int(np.sum(background >= threshold))
        signal, low, high = efficiency_interval(replicas, groups)
        points.append(Efficiency(rate, signal, low, high, float(threshold), passing, passing < FEW_EVENTS))
    return points


def measure(
    model: str, background: Scores, background_groups: Groups, signals: dict[str, tuple[Scores, Groups]]
) -> dict[str, Any]:
    """What `nae-trigger evaluate --json` says of one model, but for what it sculpts; ``signals``: scores, groups."""
    rows = []
    for name, performance in perform(background, background_groups, signals, RATES).items():
        scores, groups = signals[name]
        rows.append(
            {
                "name": name,
                "events": len(scores),
                "effective_events": effective_events(groups),
                "auc": float(performance.auc[-1]),
                "auc_error": spread(performance.auc),
                "efficiency": [asdict(point) for point in working_points(performance, background, groups, RATES)],
            }
        )
    return {
        "model": model,
        "background_events": len(background),
        "effective_background_events": effective_events(background_groups),
        "signals": rows,
    }
